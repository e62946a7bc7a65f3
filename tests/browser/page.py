#!/usr/bin/env python3
"""The page in a real browser, on the real binary with events through its API.

    page.py [--binary PATH] [--only WORDS] [--page FOLDER]

Checks what it shows and says with data, empty, with a token, while restoring and with the connection broken; that a
verdict by button changes the next score of the terminal and of the card; keyboard, names, contrast, a phone. Writes
screenshots to target/browser. --page takes the page's files from a folder, for work on them without a build."""

import argparse
import os
import itertools
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import access
from service import ROOT, Service
from shop import CUSTOMERS, Shop
from window import Window, chromium

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SHOTS = TARGET / "browser"
# From the press of the button to the first changed score; the page's promise.
CHANGE_SECONDS_MAX = 1.0
# Of traffic, before the pictures are taken.
BUSY_SECONDS = 20
HOSTILE = '<img src=x onerror="alert(1)">'


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def that(self, what, holds):
        self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
        print(f"{'ok' if holds else 'FAILED'}: {what}", flush=True)

    def none(self, what, faults):
        self.that(what if not faults else f"{what}: {faults}", not faults)

    def soon(self, what, locator, state="visible", seconds=10):
        """Whether an element comes or goes in time."""
        try:
            locator.wait_for(state=state, timeout=1000 * seconds)
            self.that(what, True)
        except Exception:
            self.that(what, False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(TARGET / "release" / "habitue"))
    parser.add_argument("--only", default="", help="parts whose name has one of these words, comma between")
    parser.add_argument("--page", type=pathlib.Path)
    args = parser.parse_args()
    SHOTS.mkdir(parents=True, exist_ok=True)
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="habitue-page-") as name, chromium() as browser:
        for part in PARTS:
            if not any(word in part.__name__ for word in args.only.split(",")):
                continue
            print(f"== {part.__name__.replace('_', ' ')}", flush=True)
            folder = pathlib.Path(name) / part.__name__
            folder.mkdir()
            service = Service(args.binary, folder)
            try:
                service.start()
                part(checks, service, lambda **options: Window(browser, service, args.page, **options))
            except Exception as error:
                checks.that(f"{part.__name__} goes through: {error}", False)
            finally:
                service.kill()
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


def shot(window, name, full=False):
    window.page.mouse.move(0, 0)
    window.page.wait_for_timeout(400)
    window.page.screenshot(path=SHOTS / f"{name}.png", full_page=full)


def is_quiet(checks, window):
    checks.none("the browser complains of nothing", window.errors)
    checks.none("nothing is asked of any other host", window.foreign())
    window.close()


def card_of(page, event):
    return page.locator(f'.card[data-event="{event["event_id"]}"]')


# --- parts: each with a service of its own ----------------------------------------------------------------


def an_empty_service_says_what_to_do(checks, service, window):
    view = window()
    page = view.open()
    checks.soon("it says that there are no alerts yet", page.get_by_role("heading", name="No alerts yet"))
    checks.soon("health is one sentence", page.get_by_text("Ready: 4 of 4 partitions live, nothing waits."))
    checks.soon("the list is live", page.locator("#live-words", has_text="live"))
    access.check(checks, "empty", page)
    shot(view, "empty")
    commands = page.locator("#example").inner_text()
    ran = subprocess.run(["bash", "-c", commands], capture_output=True, text=True, check=False)
    checks.that("its commands run", ran.returncode == 0 and ran.stdout.count('"accepted":1') == 9)
    checks.soon("and raise an alert, which comes live", page.locator(".card", has_text="€600.00"))
    checks.soon("the hint goes", page.locator("#alerts-empty"), "hidden")
    page.locator("#rate-note", has_text="9 events, 1 alert since the start").wait_for(timeout=5000)
    page.wait_for_timeout(1500)
    checks.that("latency is shown", page.locator("#latency").inner_text().endswith((" ms", " s")))
    is_quiet(checks, view)
    view = window(color_scheme="dark", width=360, height=740)
    page = view.open()
    page.locator(".card").first.wait_for()
    access.check(checks, "nearly empty, dark phone", page)
    is_quiet(checks, view)


def alerts_come_live(checks, service, window):
    shop = Shop(service)
    shop.history()
    view = window()
    page = view.open()
    page.locator("#live[data-state=on]").wait_for()
    page.mouse.move(0, 0)
    raised = shop.stands_out(CUSTOMERS[0])
    card = card_of(page, raised)
    checks.soon("an alert appears by itself", card, seconds=3)
    amount = f"€{raised['lines'][0]['unit_price_minor'] / 100:,.2f}"
    text = card.inner_text()
    checks.that("with amount, customer, terminal", all(word in text for word in (amount, CUSTOMERS[0], "Terminal web-checkout")))
    told = service.alerts()[0]
    checks.that("with its reasons in words", told["reasons"] and all(reason["text"] in text for reason in told["reasons"]))
    checks.that("with its risk", str(told["risk"]) in text)
    written = card.locator("time").get_attribute("datetime")
    checks.that("with its time", written.startswith(time.strftime("%Y-%m-%dT%H:", time.gmtime(raised["time_ms"] / 1000))))
    checks.soon("a screen reader is told of it", page.locator("#announcer", has_text=f"New alert: {amount} by customer {CUSTOMERS[0]}"))
    page.evaluate("""() => { window.told = 0; new MutationObserver((changes) => { window.told += changes.length; })
        .observe(document.getElementById("announcer"), { childList: true, characterData: true, subtree: true }); }""")
    flood = [shop.payment(customer, 1500, "web-checkout") for customer in CUSTOMERS[10:40]]
    service.send(flood)
    checks.soon("a flood of alerts comes too", card_of(page, flood[-1]))
    page.wait_for_timeout(7500)
    checks.that("of which a screen reader hears once or twice", 1 <= page.evaluate("window.told") <= 2)
    newest = [alert["event_id"] for alert in service.alerts()]
    shown = page.locator(".card").evaluate_all("cards => cards.map((card) => card.dataset.event)")
    checks.that("the newest stand first, none twice", len(shown) == 31 and shown == newest[:31])
    told_out_of_order(checks, service, window())
    hostile = [shop.payment(HOSTILE, 10 + place % 3, HOSTILE) for place in range(8)]
    service.send([*hostile, shop.payment(HOSTILE, 2000, HOSTILE)])
    checks.soon("markup from outside is text", page.locator(".card", has_text=HOSTILE).first)
    checks.that("and nothing else", page.locator("main img").count() == 0)
    page.locator(".card", has_text=HOSTILE).first.get_by_role("link").click()
    checks.soon("in the customer too", page.locator("#customer-heading", has_text=f"Customer {HOSTILE}"))
    checks.soon("which is found", page.locator("#customer-body dl"))
    checks.that("and is no markup there", page.locator("main img").count() == 0)
    is_quiet(checks, view)


def told_out_of_order(checks, service, view):
    """Partitions are heard one after the other, so that a stream may tell alerts of one moment in any order."""
    newest, told = service.alerts(), []
    body = lambda: "".join(f"event: alerts\ndata: {json.dumps(alert)}\n\n" for alert in told)
    page = view.page
    page.route("**/api/v1/stream*", lambda route: route.fulfill(content_type="text/event-stream", body=body()))
    page.route("**/api/v1/alerts*", lambda route: route.fulfill(json={"alerts": [], "next": None}))
    for told in [newest[1::2] + newest[::2], newest, newest[::-1]]:
        view.open()
        page.locator(".card").nth(len(newest) - 1).wait_for()
        shown = page.locator(".card").evaluate_all("cards => cards.map((card) => card.dataset.id)")
        checks.that("told in any order, they stand as the service has them", shown == [alert["id"] for alert in newest])
    view.close()


def the_list_can_be_held(checks, service, window):
    shop = Shop(service)
    shop.history()
    view = window()
    page = view.open()
    page.locator("#live[data-state=on]").wait_for()
    first = shop.stands_out(CUSTOMERS[0])
    card_of(page, first).wait_for()
    page.get_by_role("button", name="Pause").click()
    page.mouse.move(0, 0)
    checks.soon("it says that it is paused", page.locator("#live-words", has_text="paused"))
    second = shop.stands_out(CUSTOMERS[1])
    fresh = page.get_by_role("button", name="Show 1 new alert")
    checks.soon("paused, a new alert is counted", fresh)
    checks.that("and does not move the list", card_of(page, second).count() == 0)
    fresh.click()
    checks.soon("it is shown when asked for", card_of(page, second))
    third = shop.stands_out(CUSTOMERS[2])
    checks.soon("and the next one is held again", fresh)
    page.get_by_role("button", name="Resume").click()
    checks.soon("until it goes on", card_of(page, third))
    card_of(page, first).hover()
    fourth = shop.stands_out(CUSTOMERS[3])
    checks.soon("under the pointer it is held by itself", fresh)
    checks.that("and nothing moves", card_of(page, fourth).count() == 0)
    page.mouse.move(0, 0)
    checks.soon("until the pointer leaves", card_of(page, fourth))
    is_quiet(checks, view)


def a_verdict_changes_the_next_score(checks, service, window):
    shop = Shop(service)
    shop.history()
    others = iter(CUSTOMERS[30:])
    view = window()
    page = view.open()
    page.locator("#live[data-state=on]").wait_for()
    took = []
    for number, (kind, name) in enumerate([("terminal", "kiosk-1"), ("card", "card-stolen"), ("terminal", "kiosk-2")]):
        through = {"terminal": name} if kind == "terminal" else {"terminal": "web-checkout", "instrument": name}
        judged = shop.pay(CUSTOMERS[number], 1900, **through)
        card = card_of(page, judged)
        card.wait_for()
        calm = service.risk_of(shop.pay(next(others), 12, **through))
        seconds, risk = press_and_watch(card.get_by_role("button", name="Fraud"), service, shop, others, through, lambda risk: risk > calm + 100)
        took.append(seconds)
        print(f"   {kind} {name}: risk {calm:.0f} before, {risk:.0f} after, {seconds * 1000:.0f} ms from the press to the score")
        checks.that(f"a verdict by button raises the next score of the {kind} within a second", risk > calm + 100 and seconds < CHANGE_SECONDS_MAX)
        checks.soon("and the page says that it was taken", card.get_by_text("Taken as fraud."))
        checks.that("the button is marked", card.get_by_role("button", name="Fraud").get_attribute("aria-pressed") == "true")
    print(f"   longest from the press to the changed score: {1000 * max(took):.0f} ms")
    reason = shop.pay(CUSTOMERS[20], 1900, "kiosk-1")
    checks.soon("an alert at the terminal says why", card_of(page, reason).get_by_text("of what lately went through terminal kiosk-1 was fraud"))
    before = service.risk_of(shop.pay(next(others), 12, "kiosk-1"))
    button = card_of(page, reason).get_by_role("button", name="Legitimate")
    seconds, risk = press_and_watch(button, service, shop, others, {"terminal": "kiosk-1"}, lambda risk: risk < before)
    checks.that(f"a verdict of legitimate lowers it ({before:.0f} to {risk:.0f})", risk < before and seconds < CHANGE_SECONDS_MAX)
    page.reload()
    checks.soon("after a reload it is still known", card_of(page, judged).get_by_text("Taken as fraud."))
    elsewhere = shop.pay(CUSTOMERS[21], 1900, "kiosk-1")
    card_of(page, elsewhere).wait_for()
    service.judge(elsewhere, "legitimate", "analyst:7")
    checks.soon("what another says is shown as it is said", card_of(page, elsewhere).get_by_text("Judged legitimate by analyst:7."))
    pressed = card_of(page, elsewhere).get_by_role("button", name="Legitimate").get_attribute("aria-pressed")
    checks.that("with its button marked", pressed == "true")
    is_quiet(checks, view)


def press_and_watch(button, service, shop, others, through, is_changed):
    """Presses, then pays as somebody else until a score that is published is changed: (seconds, risk)."""
    pressed = time.monotonic()
    button.click(no_wait_after=True)
    while True:
        risk = service.risk_of(shop.pay(next(others), 12, **through))
        seconds = time.monotonic() - pressed
        if risk is None or is_changed(risk) or seconds > 3:
            return seconds, risk or 0


def a_customer_is_looked_up(checks, service, window):
    shop = Shop(service)
    shop.history()
    view = window()
    page = view.open()
    anna, body = CUSTOMERS[0], page.locator("#customer-body")
    raised = shop.stands_out(anna)
    card_of(page, raised).get_by_role("link", name=f"Customer {anna}").click()
    heading = page.locator("#customer-heading", has_text=anna)
    checks.soon("a click on the customer of an alert opens it", heading)
    checks.that("the heading has the focus", heading.evaluate("one => one === document.activeElement"))
    checks.that("the address can be shared", page.url.endswith(f"#customer={anna}"))
    known = service.customer(anna)
    body.locator("dl").wait_for()
    text = body.inner_text()
    checks.that("profile", f"{known['profile']['purchases']} payments" in text and "Usual payment" in text)
    checks.that("score with band and reasons", known["alerts"][0]["reasons"][0]["text"] in text and f"{known['alerts'][0]['risk']} of 1000" in text and "alert" in text)
    checks.that("payments", page.get_by_role("table", name="Last payments").get_by_role("row").count() == 1 + len(known["payments"]))
    checks.that("recommendations with why", all(item["item"] in text and item["reason"] in text for item in known["recommendations"][:3]))
    checks.that("what is bought again", page.get_by_role("table", name="Items bought more than once").get_by_role("row").count() > 1)
    access.check(checks, "with a customer", page)
    shop.pay(anna, 15, "till-1")
    checks.soon("what happens to it is shown by itself", body.get_by_text(f"{known['profile']['purchases'] + 1} payments"))
    page.get_by_label("Customer id").fill("nobody")
    page.keyboard.press("Enter")
    checks.soon("an unknown customer is said to be", page.get_by_text("Nothing is known of nobody."))
    page.go_back()
    checks.soon("back goes back", heading)
    page.get_by_role("button", name="Close").click()
    checks.soon("closing says what can be done", page.get_by_text("Choose a customer in an alert"))
    # The 404 is the browser's to report, and the only one.
    checks.that("the browser complains of the unknown only", [error for error in view.errors if "404" not in error] == [])
    checks.none("nothing is asked of any other host", view.foreign())
    view.close()
    view = window()
    page = view.open(f"#customer={anna}")
    checks.soon("a deep link opens it", page.locator("#customer-body dl"))
    is_quiet(checks, view)


def a_broken_connection_is_told(checks, service, window):
    shop = Shop(service)
    shop.history()
    first = shop.stands_out(CUSTOMERS[0])
    view = window()
    page = view.open()
    card_of(page, first).wait_for()
    page.get_by_role("link", name=f"Customer {CUSTOMERS[0]}").first.click()
    page.locator("#customer-body dl").wait_for()
    is_restoring(checks, view)
    service.kill()
    banner = page.locator("#banner")
    checks.soon("a broken connection is told", banner.get_by_text("No connection to the service."), seconds=5)
    checks.that("what is there stays", card_of(page, first).is_visible() and page.locator("#customer-body dl").is_visible())
    checks.soon("health says so", page.get_by_text("No answer from the service."))
    card_of(page, first).get_by_role("button", name="Legitimate").click()
    checks.soon("a verdict that is not taken is said to be", card_of(page, first).get_by_text("Not taken: the service does not answer"))
    access.check(checks, "broken", page)
    shot(view, "broken")
    service.start()
    checks.soon("it comes back by itself", banner.get_by_text("Connected again."), seconds=20)
    checks.soon("and the banner goes", banner, "hidden")
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    second = shop.stands_out(CUSTOMERS[1])
    checks.soon("alerts are live again", card_of(page, second))
    checks.that("and the one before is still there, once", card_of(page, first).count() == 1)
    card_of(page, first).get_by_role("button", name="Legitimate").click()
    checks.soon("the verdict is taken now", card_of(page, first).get_by_text("Taken as legitimate."))
    checks.none("nothing is asked of any other host", view.foreign())
    view.close()


def is_restoring(checks, view):
    """A service that is restored answers so."""
    page, text = view.page, "restoring 73 % (1 of 4 partitions)"
    refuse = {"status": 503, "headers": {"Retry-After": "1"}}
    page.route("**/api/v1/**", lambda route: route.fulfill(**refuse, body='{"error": "the service is starting"}'))
    page.route("**/readyz", lambda route: route.fulfill(**refuse, body=text + "\n"))
    checks.soon("health says how far a restore is", page.get_by_text("Restoring: 73 % (1 of 4 partitions)."))
    checks.soon("no alarm while the stream goes on", page.locator("#banner"), "hidden")
    page.reload()
    checks.soon("a page opened meanwhile says that it goes on by itself", page.locator("#banner", has_text="not ready: Restoring 73 %"))
    page.unroute("**/api/v1/**")
    page.unroute("**/readyz")
    checks.soon("and does", page.locator(".card").first)
    checks.soon("the customer too", page.locator("#customer-body dl"))


def a_token_is_asked_for_once(checks, service, window):
    service.kill()
    service.start(token="open-sesame")
    view = window()
    page = view.open()
    field = page.get_by_label("Token", exact=True)
    checks.soon("the page asks for the token", field)
    checks.that("and shows nothing else", not page.locator("main").is_visible())
    shot(view, "token")
    field.fill("wrong")
    page.keyboard.press("Enter")
    checks.soon("a wrong one is told", page.get_by_text("This token was not accepted."))
    field.fill("open-sesame")
    page.keyboard.press("Enter")
    checks.soon("the right one opens", page.get_by_role("heading", name="No alerts yet"))
    checks.that("the commands ask for it", "Authorization: Bearer" in page.locator("#example").inner_text())
    checks.soon("health too", page.get_by_text("Ready: 4 of 4 partitions live"))
    shop = Shop(service)
    shop.history()
    checks.soon("the stream comes with it", card_of(page, shop.stands_out(CUSTOMERS[0])))
    page.reload()
    checks.soon("it is asked for once", page.locator(".card").first)
    checks.that("and is in no address", not any("sesame" in url for url in view.asked))
    checks.that("nor kept for other tabs", page.evaluate("localStorage.length + document.cookie.length") == 0)
    checks.none("nothing is asked of any other host", view.foreign())
    view.close()


def everything_is_reached_by_keyboard(checks, service, window):
    shop = Shop(service)
    shop.history()
    first = shop.stands_out(CUSTOMERS[0])
    view = window()
    page = view.open()
    card_of(page, first).wait_for()
    reached = access.walk(page, 8)
    names = [name[:40] for name, _ in reached]
    wanted = ["Skip to the alerts", "Customer id", "Look up", "Pause", f"Customer {CUSTOMERS[0]}", "Fraud: payment of", "Legitimate: payment of"]
    places = [next((place for place, name in enumerate(names) if name.startswith(one)), None) for one in wanted]
    checks.that(f"Tab reaches all in the order of reading: {names}", None not in places and places == sorted(places))
    checks.that("the focus can be seen everywhere", all(seen for name, seen in reached[:places[-1] + 1]) if None not in places else False)
    page.keyboard.press("Shift+Tab")
    page.get_by_role("button", name="Fraud").focus()
    page.keyboard.press("Enter")
    checks.soon("Enter gives the verdict", card_of(page, first).get_by_text("Taken as fraud."))
    checks.that("and the place is kept", page.evaluate("document.activeElement.dataset.verdict") == "fraud")
    page.get_by_role("link", name=f"Customer {CUSTOMERS[0]}").focus()
    page.keyboard.press("Enter")
    checks.soon("Enter opens a customer", page.locator("#customer-body dl"))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    checks.that("closing gives the place back", page.evaluate("document.activeElement.textContent") == CUSTOMERS[0])
    page.keyboard.press("Tab")
    checks.that("there is no trap", page.evaluate("document.activeElement.textContent") == "Fraud")
    is_quiet(checks, view)


def it_looks_well(checks, service, window):
    """Wide, dark and phone with a busy shop; the pictures are for people to look at."""
    shop = Shop(service)
    shop.history()
    judge = {"source": "test", "verdict": "fraud"}
    for place in range(4):
        bad = shop.stands_out(CUSTOMERS[40 + place], "kiosk-7")
        service.answer("/api/v1/feedback", {"customer": bad["customer"], "event_id": bad["event_id"], **judge})
    views = {"wide": window(), "dark": window(color_scheme="dark"), "phone": window(width=360, height=780, has_touch=True, is_mobile=True)}
    for view in views.values():
        view.open().locator(".card").first.wait_for()
    traffic = Traffic(service)
    traffic.start()
    for place in range(4):
        views["wide"].page.wait_for_timeout(250 * BUSY_SECONDS)
        shop.stands_out(CUSTOMERS[50 + place])
    shop.pay(CUSTOMERS[58], 240, "kiosk-7", "card-058")
    farah = shop.stands_out(CUSTOMERS[5], "kiosk-7")
    for name, view in views.items():
        page = view.page
        card_of(page, farah).wait_for()
        page.wait_for_timeout(800)
        access.check(checks, name, page)
        if name == "phone":
            shot(view, "phone")
        # What was said in one window is known in the others.
        page.locator(".verdict.fraud:not([aria-disabled=true])").first.click()
        card_of(page, farah).get_by_role("link").click()
        page.locator("#customer-body dl").wait_for()
        access.check(checks, f"{name} with a customer", page)
        if name == "phone":
            checks.that("on a phone the customer takes the place of the list", not page.locator("#alerts").is_visible())
        page.evaluate("document.activeElement.blur()")
        shot(view, "phone-customer" if name == "phone" else name, full=name == "phone")
        is_quiet(checks, view)
    traffic.stop()
    view = window(reduced_motion="reduce")
    view.open().locator(".card").first.wait_for()
    moving = "() => document.getAnimations().filter((one) => one.playState === 'running').length"
    checks.that("nothing moves where that is asked for", view.page.evaluate(moving) == 0)
    is_quiet(checks, view)


class Traffic(threading.Thread):
    """Guests who pay, some more in one second than in another, until it is stopped."""

    def __init__(self, service):
        super().__init__(daemon=True)
        self._shop, self._service, self._ended = Shop(service, seed=2), service, threading.Event()

    def run(self):
        for second in itertools.count():
            guests = [self._shop.payment(None, 10 + place % 20, "till-2") for place in range(24 + round(11 * math.sin(second / 22)) + (7 * second) % 12)]
            self._service.send([dict(guest, event_id="guest-" + guest["event_id"], order="G" + guest["order"]) for guest in guests])
            if self._ended.wait(0.2):
                return

    def stop(self):
        self._ended.set()
        self.join()


PARTS = [
    an_empty_service_says_what_to_do, alerts_come_live, the_list_can_be_held, a_verdict_changes_the_next_score,
    a_customer_is_looked_up, a_broken_connection_is_told, a_token_is_asked_for_once,
    everything_is_reached_by_keyboard, it_looks_well,
]

if __name__ == "__main__":
    main()

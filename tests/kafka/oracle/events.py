"""Streams of events as (topic, key, record): two real data sets and a synthetic shop."""

import collections
import csv
import datetime
import decimal
import gzip
import io
import os
import pathlib
import random

DAY_MS = 86_400_000


def data_folder():
    """$HABITUE_DATA, or shared/data beside the repository."""
    named = os.environ.get("HABITUE_DATA")
    return pathlib.Path(named) if named else pathlib.Path(__file__).resolve().parents[4] / "shared" / "data"


def rows(path):
    """The rows of a CSV file, plain, .gz or .zst, as dictionaries."""
    path = pathlib.Path(path)
    if path.suffix == ".zst":
        import zstandard

        text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(path.open("rb")), newline="")
    elif path.suffix == ".gz":
        text = gzip.open(path, "rt", newline="")
    else:
        text = path.open(newline="")
    with text:
        yield from csv.DictReader(text)


def minor(amount):
    """Pounds and pence as pence: exact decimals, half away from zero."""
    return int((decimal.Decimal(amount) * 100).to_integral_value(decimal.ROUND_HALF_UP))


def purchase(event_id, customer, order, time_ms, lines, currency, **more):
    record = {
        "event_id": event_id, "customer": customer, "order": order, "time_ms": time_ms, "lines": lines,
        "currency": currency, "instrument": None, "channel": None, "terminal": None, "device": None,
        "country": None, "refund": False,
    }
    record.update(more)
    return "purchases", customer if customer is not None else order, record


def line(item, quantity, unit_price_minor, category=None):
    return {"item": item, "category": category, "quantity": quantity, "unit_price_minor": unit_price_minor}


def retail(path=None, left_out=None):
    """Online Retail II: lines are grouped by invoice, in the order in which invoices first appear, with the
    time of their first line. Positive quantities make a purchase with the invoice's number as its id, negative
    ones a refund with `-R` after it. Customer 0 is a guest. A line of negative price (an adjustment of bad
    debt) or of quantity 0 is no sale: it is left out and counted in `left_out`."""
    left_out = left_out if left_out is not None else collections.Counter()
    invoices = {}
    for row in rows(path or data_folder() / "online_retail" / "online_retail_II.csv.gz"):
        quantity, price = int(row["Quantity"]), minor(row["Price"])
        if price < 0:
            left_out["negative price"] += 1
        elif quantity == 0:
            left_out["quantity 0"] += 1
        else:
            bought, returned, _ = invoices.setdefault(row["Invoice"], ([], [], row))
            (bought if quantity > 0 else returned).append(line(row["StockCode"], quantity, price))
    for invoice, (bought, returned, row) in invoices.items():
        customer = row["cust"] if row["cust"] not in ("0", "") else None
        time_ms = int(row["ts"]) * 1000
        for lines, event_id, refund in ((bought, invoice, False), (returned, f"{invoice}-R", True)):
            if lines:
                yield purchase(event_id, customer, invoice, time_ms, lines, "GBP", country=row["Country"], refund=refund)


def fraud(path=None):
    """The fraud handbook's card transactions from 2018-04-01 on, each with its verdict seven days later, both
    kinds merged by time (a verdict before a transaction of the same moment)."""
    start_ms = int(datetime.datetime(2018, 4, 1, tzinfo=datetime.timezone.utc).timestamp()) * 1000
    waiting = collections.deque()
    for row in rows(path or data_folder() / "fraud_handbook" / "transactions_days_0_89.csv.zst"):
        time_ms = start_ms + int(row["tx_time_seconds"]) * 1000
        while waiting and waiting[0][2]["time_ms"] <= time_ms:
            yield waiting.popleft()
        customer, event_id = row["customer_id"], row["transaction_id"]
        yield purchase(
            event_id, customer, event_id, time_ms, [line("payment", 1, minor(row["tx_amount"]))], "EUR",
            instrument=f"card-{customer}", terminal=row["terminal_id"],
        )
        verdict = "fraud" if row["tx_fraud"] == "1" else "legitimate"
        waiting.append(feedback(customer, event_id, verdict, time_ms + 7 * DAY_MS, "chargeback"))
    yield from waiting


def feedback(customer, event_id, verdict, time_ms, source):
    record = {"customer": customer, "event_id": event_id, "verdict": verdict, "time_ms": time_ms, "source": source}
    return "feedback", customer, record


KINDS = ["view"] * 70 + ["click"] * 14 + ["add_to_cart"] * 8 + ["search"] * 4 + ["wishlist"] * 2 + ["remove_from_cart", "email_open"]


def shop(events, seed=1, customers=100_000, items=20_000, start_ms=1_700_000_000_000):
    """A synthetic shop in time order: 10 % purchases of one to five lines (one in twenty of a guest, one in
    forty a refund), 89 % engagements, 1 % verdicts on earlier purchases. Popular customers and items come
    more often (the share of number n falls with the square root of n). Ten million events last 30 days."""
    rng = random.Random(seed)
    rand = rng.random
    step_ms = 30 * DAY_MS / 10_000_000
    judged = collections.deque(maxlen=1000)
    for i in range(events):
        time_ms = start_ms + int(i * step_ms)
        customer = f"C{int(rand() ** 2 * customers)}"
        draw = rand()
        if draw < 0.10 or (draw >= 0.99 and not judged):
            lines = [
                line(f"I{int(rand() ** 2 * items)}", 1 + int(rand() * 4), 99 + int(rand() * 9900))
                for _ in range(1 + int(rand() * 5))
            ]
            known = None if rand() < 0.05 else customer
            event = purchase(f"P{i}", known, f"O{i}", time_ms, lines, "EUR", channel="web", country="DE",
                             instrument=f"card-{customer}", terminal=f"T{int(rand() * 500)}", refund=rand() < 0.025)
            if known is not None and not event[2]["refund"]:
                judged.append((customer, f"P{i}"))
            yield event
        elif draw < 0.99:
            yield "engagements", customer, {
                "event_id": f"E{i}", "customer": customer, "time_ms": time_ms, "kind": KINDS[int(rand() * len(KINDS))],
                "session": f"S{customer}-{i * 8 // max(events, 1)}", "item": f"I{int(rand() ** 2 * items)}", "category": None,
                "duration_seconds": round(rand() * 90, 1), "query": None, "experiment": None, "variant": None,
                "anonymous_id": None,
            }
        else:
            customer, event_id = judged.popleft()
            verdict = "fraud" if rand() < 0.1 else "legitimate"
            yield feedback(customer, event_id, verdict, time_ms, "analyst:1")


def bad_records(time_ms):
    """One record of every way to be bad: (topic, key, value, reason). They carry `time_ms` where it is not
    the time that is wrong."""
    from wire import Writer

    write, engage = Writer("purchase"), Writer("engagement")

    def good(event_id, **more):
        return purchase(event_id, "BAD", event_id, time_ms, [line("I1", 1, 100)], "EUR", **more)[2]

    whole = write(good("bad-0"))
    view = {"event_id": "bad-nan", "customer": "BAD", "time_ms": time_ms, "kind": "view", "duration_seconds": float("nan")}
    text = write(good("bad-text", country="\x7f\x7f"))
    return [
        ("purchases", b"BAD", whole[:-7], "malformed"),
        ("purchases", b"BAD", whole + b"\0", "malformed"),
        ("purchases", b"BAD", b"{}", "malformed"),
        ("purchases", b"BAD", b"\0" + (4_000_000).to_bytes(4, "big") + whole[5:], "unknown_schema"),
        ("purchases", b"BAD", text.replace(b"\x7f\x7f", b"\xff\xfe"), "invalid_text"),
        ("purchases", b"BAD", write(good("")), "missing_field"),
        ("purchases", b"BAD", b"", "malformed"),
        ("engagements", b"BAD", engage(view), "not_finite"),
        ("purchases", b"BAD", write(dict(good("bad-quantity"), lines=[line("I1", -1, 100)])), "invalid_value"),
        ("purchases", b"BAD", write(dict(good("bad-price"), lines=[line("I1", 1, -100)])), "invalid_value"),
        ("purchases", b"BAD", write(dict(good("bad-lines"), lines=[])), "invalid_value"),
        ("purchases", None, write(good("bad-key")), "missing_key"),
        ("purchases", b"BAD", write(dict(good("bad-1970"), time_ms=1)), "implausible_time"),
        ("purchases", b"BAD", write(dict(good("bad-2100"), time_ms=4_102_444_800_000)), "implausible_time"),
    ]



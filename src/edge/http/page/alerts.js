// The newest alerts: a page of them, then each as it is raised, and verdicts on them.

import { bar, byId, draw, make, setText } from "./element.js";
import { getJson, postJson } from "./server.js";
import { count, money, several, time } from "./words.js";

const PAGE = 30;
/** Cards on the page while nobody asks for older ones. */
const CARDS_MAX = 100;
/** A finger stays near what it has touched. */
const TOUCH_HOLD_MS = 4_000;
/** A screen reader is told of new alerts at most so often. */
const ANNOUNCE_MS = 6_000;
/** Who says what is said by the buttons. */
const OURS = "page";

const known = new Set();
/** Newest first, not on the page yet. */
let held = [];
let next = null;
let cardsMax = CARDS_MAX;
let paused = false;
let touchedAt = -Infinity;
let unannounced = [];
let announcing = null;

/** Reads the newest page. What came while nobody listened is added; `announce` says whether aloud. */
export async function loadAlerts(announce) {
  const page = await getJson(`/api/v1/alerts?limit=${PAGE}`);
  if (next === null && known.size === 0) next = page.next;
  // With a whole page of unknown ones there may be more between: the list begins anew.
  if (known.size > 0 && page.alerts.length === PAGE && page.alerts.every((alert) => !known.has(alert.id))) restart(page.next);
  [...page.alerts].reverse().forEach((alert) => take(alert, announce));
  byId("alerts-loading").hidden = true;
  settle();
}

function restart(from) {
  known.clear();
  held = [];
  next = from;
  byId("cards").replaceChildren();
}

/** An alert that was just raised, or that was missed. */
export function take(alert, announce = true) {
  if (known.has(alert.id)) return;
  known.add(alert.id);
  if (isHeld()) {
    held.unshift(alert);
  } else {
    put(alert);
  }
  if (announce) tellLater(alert);
  settle();
}

function put(alert) {
  const cards = byId("cards");
  // Alerts of one moment come partition by partition; they stand as the service has them.
  const below = [...cards.children].find((other) => isWrittenBefore(other.dataset, alert.at));
  cards.insertBefore(card(alert), below ?? null);
  while (cards.childElementCount > cardsMax) {
    known.delete(cards.lastElementChild.dataset.id);
    cards.lastElementChild.remove();
    // What is cut off is asked for by its place again.
    next = cards.lastElementChild.dataset.place;
  }
}

function isWrittenBefore({ written, place }, at) {
  const [partition, offset] = place.split("-");
  return (written - at.written_ms || partition - at.partition || offset - at.offset) < 0;
}

/** Nothing moves while it is paused, or under a pointer, a finger, or the focus of a keyboard. */
function isHeld() {
  const cards = byId("cards");
  const pointed = matchMedia("(hover: hover)").matches && cards.matches(":hover");
  return paused || pointed || cards.querySelector(":focus-visible") !== null || performance.now() - touchedAt < TOUCH_HOLD_MS;
}

function release() {
  held.reverse().forEach(put);
  held = [];
  settle();
}

/** A verdict by anybody: of the payments that are shown, and of those that are held. */
export function takeVerdict(verdict) {
  held.filter((alert) => alert.event_id === verdict.event_id).forEach((alert) => (alert.verdict = verdict));
  for (const judge of document.querySelectorAll(".judge")) {
    if (judge.dataset.event === verdict.event_id) judged(verdict, [...judge.querySelectorAll("button")], judge.querySelector(".said"));
  }
}

function settle() {
  const fresh = byId("fresh");
  fresh.hidden = held.length === 0;
  setText(fresh, `Show ${several(held.length, "new alert")}`);
  byId("older").hidden = next === null;
  byId("alerts-empty").hidden = known.size > 0 || !byId("alerts-loading").hidden;
}

function tellLater(alert) {
  unannounced.push(alert);
  // What comes at once is told at once.
  announcing ??= setTimeout(tell, 300);
}

function tell() {
  announcing = null;
  if (unannounced.length === 0) return;
  const [{ amount_minor, currency, customer, risk }] = unannounced;
  const highest = Math.max(...unannounced.map((alert) => alert.risk));
  const one = `New alert: ${money(amount_minor, currency)} by customer ${customer}, risk ${risk} of 1000.`;
  const more = `${count(unannounced.length)} new alerts, highest risk ${highest} of 1000.`;
  setText(byId("announcer"), unannounced.length === 1 ? one : more);
  unannounced = [];
  announcing = setTimeout(tell, ANNOUNCE_MS);
}

// --- one alert ------------------------------------------------------------------------------------------

function card(alert) {
  const amount = money(alert.amount_minor, alert.currency);
  const through = [["Terminal", alert.terminal], ["Card", alert.instrument], ["Order", alert.order]].filter(([, name]) => name);
  const { partition, offset, written_ms } = alert.at;
  return make("li", { class: "card", "data-id": alert.id, "data-place": `${partition}-${offset}`, "data-written": written_ms, "data-event": alert.event_id },
    dial(alert.risk),
    make("div", { class: "what" },
      make("h3", {}, make("span", { class: "amount" }, amount), " ", make("span", { class: "by" }, "by ", customerLink(alert.customer))),
      make("p", { class: "note" }, time(alert.time_ms), through.map(([what, name]) => [" · ", make("span", {}, `${what} ${name}`)]))),
    reasons(alert.reasons, alert.currency),
    verdictOn(alert, amount));
}

export const customerLink = (customer) =>
  make("a", { href: `#customer=${encodeURIComponent(customer)}`, "aria-label": `Customer ${customer}` }, customer);

/** The risk as a ring that fills, with its number. */
function dial(risk) {
  const around = 2 * Math.PI * 19;
  const ring = { cx: 24, cy: 24, r: 19, fill: "none", "stroke-width": 5 };
  const filled = (around * Math.min(1000, Math.max(0, risk))) / 1000;
  return make("p", { class: `dial ${level(risk)}` },
    draw("svg", { viewBox: "0 0 48 48", "aria-hidden": "true" },
      draw("circle", { ...ring, class: "track" }),
      draw("circle", { ...ring, class: "fill", "stroke-linecap": "round", "stroke-dasharray": `${filled} ${around}`, transform: "rotate(-90 24 24)" })),
    make("span", { class: "unseen" }, "Risk "), make("strong", {}, count(risk)), make("span", { class: "unseen" }, " of 1000"));
}

const level = (risk) => (risk >= 900 ? "severe" : risk >= 700 ? "high" : risk >= 350 ? "raised" : "calm");

/** Why, strongest first, each with how much it weighs. */
export function reasons(list, currency) {
  if (!list?.length) return null;
  const one = (reason) => {
    // The text gives the ratio; what it is a ratio of stands beside it.
    const usual = reason.code === "amount_ratio" && currency ? `, ${money(reason.usual, currency)}` : "";
    return make("li", {}, bar(reason.weight / 1000), make("span", {}, reason.text + usual));
  };
  return make("ul", { class: "reasons", "aria-label": "Reasons, strongest first" }, list.map(one));
}

function verdictOn(alert, amount) {
  const said = make("p", { class: "said", role: "status" });
  const about = `payment of ${amount} by ${alert.customer}`;
  const button = (verdict, words) => {
    const made = make("button", { type: "button", class: `verdict ${verdict}`, "data-verdict": verdict, "aria-pressed": "false", "aria-label": `${words}: ${about}` }, words);
    made.addEventListener("click", () => judge(alert, verdict, buttons, said));
    return made;
  };
  const buttons = [button("fraud", "Fraud"), button("legitimate", "Legitimate")];
  if (alert.verdict) judged(alert.verdict, buttons, said);
  return make("div", { class: "judge", "data-event": alert.event_id }, make("div", { class: "pair" }, buttons), said);
}

async function judge(alert, verdict, buttons, said) {
  if (buttons.some((button) => button.getAttribute("aria-disabled") === "true")) return;
  // They stay focusable: who pressed one with the keyboard does not lose the place.
  buttons.forEach((button) => button.setAttribute("aria-disabled", "true"));
  setText(said, "Sending …");
  said.classList.remove("failed");
  try {
    await postJson("/api/v1/feedback", { customer: alert.customer, event_id: alert.event_id, verdict, source: OURS });
  } catch (error) {
    buttons.forEach((button) => button.removeAttribute("aria-disabled"));
    said.classList.add("failed");
    return setText(said, `Not taken: ${error.message}. Try again.`);
  }
  judged({ verdict, source: OURS }, buttons, said);
}

function judged({ verdict, source }, buttons, said) {
  for (const button of buttons) {
    button.setAttribute("aria-disabled", "true");
    button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
  }
  setText(said, source === OURS ? `Taken as ${verdict}.` : `Judged ${verdict} by ${source}.`);
}

// --- controls -------------------------------------------------------------------------------------------

export function listenToControls() {
  const [cards, pause] = [byId("cards"), byId("pause")];
  pause.addEventListener("click", () => {
    paused = !paused;
    setText(pause, paused ? "Resume" : "Pause");
    const live = byId("live");
    live.dataset.paused = String(paused);
    if (live.dataset.state === "on") setText(byId("live-words"), paused ? "paused" : "live");
    if (!paused) release();
  });
  byId("fresh").addEventListener("click", () => {
    release();
    cards.querySelector("a, button")?.focus();
  });
  byId("older").addEventListener("click", showOlder);
  cards.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse") touchedAt = performance.now();
  });
  // The pointer and the focus leave in their own time.
  setInterval(() => { if (held.length > 0 && !isHeld()) release(); }, 500);
}

async function showOlder() {
  const older = byId("older");
  older.setAttribute("aria-disabled", "true");
  try {
    const page = await getJson(`/api/v1/alerts?limit=${PAGE}&before=${encodeURIComponent(next)}`);
    const missing = page.alerts.filter((alert) => !known.has(alert.id));
    missing.forEach((alert) => known.add(alert.id));
    cardsMax += missing.length;
    const added = missing.map(card);
    byId("cards").append(...added);
    next = page.next;
    added[0]?.querySelector("a")?.focus();
    setText(byId("announcer"), `${several(missing.length, "older alert")} added.`);
  } catch (error) {
    setText(byId("announcer"), `Older alerts did not come: ${error.message}.`);
  }
  older.removeAttribute("aria-disabled");
  settle();
}

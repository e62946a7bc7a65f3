// One customer, looked up by id: who it is, what is said of it and why, what it paid, what it may want next.

import { reasons } from "./alerts.js";
import { bar, byId, make, setText } from "./element.js";
import { Refused, getJson, hasToken } from "./server.js";
import { count, day, money, percent, sentence, several, shortDay, tenth, time } from "./words.js";

const REFRESH_MS = 4_000;
const PREFIX = "#customer=";

/** Names and units of the analyses that people meet; any other is shown as it calls itself. */
const SCORES = {
  anomaly: { name: "Payment risk", value: count, of: " of 1000", part: (value) => value / 1000 },
  churn: { name: "Risk of churn", value: percent, of: "", part: (value) => value },
};
const BANDS = { alert: "severe", high: "severe", elevated: "raised", medium: "raised", usual: "calm", low: "calm" };

let open = null;
/** Where the focus goes when it is closed. */
let opener = null;
let shown = "";
let timer = null;

/** Opens the customer of the address, or closes. */
export function followAddress() {
  const { hash } = location;
  if (hash !== "" && !hash.startsWith(PREFIX)) return;
  const id = decoded(hash.slice(PREFIX.length));
  if (id === (open ?? "")) return;
  if (id === "") close(); else show(id);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function listenToLookup() {
  byId("lookup").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = byId("lookup-id").value.trim();
    if (id === "") return;
    if (id === open) return byId("customer-heading").focus();
    location.hash = PREFIX + encodeURIComponent(id);
  });
  byId("customer-close").addEventListener("click", () => {
    history.pushState(null, "", location.pathname + location.search);
    close();
  });
  addEventListener("hashchange", followAddress);
  addEventListener("popstate", followAddress);
}

function show(id) {
  open = id;
  opener = document.activeElement;
  shown = "";
  document.body.classList.add("with-customer");
  byId("customer-close").hidden = false;
  byId("lookup-id").value = id;
  setText(byId("customer-heading"), `Customer ${id}`);
  document.title = `${id} · Habitué`;
  byId("customer").scrollTop = 0;
  say(`Looking up ${id} …`);
  byId("customer-heading").focus();
  refresh();
}

function close() {
  open = null;
  clearTimeout(timer);
  document.body.classList.remove("with-customer");
  byId("customer-close").hidden = true;
  byId("lookup-id").value = "";
  setText(byId("customer-heading"), "Customer");
  document.title = "Habitué";
  say("Choose a customer in an alert, or look one up by id.");
  (opener?.isConnected && opener !== document.body ? opener : byId("lookup-id")).focus();
}

/** Reads the open customer again; at once when something has happened to it. */
export async function refresh(customer = open) {
  if (open === null || customer !== open) return;
  const id = open;
  clearTimeout(timer);
  try {
    const answer = await getJson(`/api/v1/customers/${encodeURIComponent(id)}`);
    if (id !== open) return;
    const text = JSON.stringify({ ...answer, as_of_ms: 0 });
    // Nothing is drawn anew under a reader's eye when nothing is new.
    if (text !== shown) byId("customer-body").replaceChildren(...parts(answer));
    shown = text;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (id === open) refused(id, error);
  }
  clearTimeout(timer);
  timer = setTimeout(() => (document.hidden ? null : refresh()), REFRESH_MS);
}

function refused(id, error) {
  if (error.status === 404) {
    shown = "";
    return say(`Nothing is known of ${id}.`, "A customer is known from the first event on, under the very id that the shop sends. A guest has no record.");
  }
  // What is there stays, and the banner tells of a broken connection.
  if (shown !== "") return;
  if (error.status === 401) return say(hasToken() ? "This token is not accepted." : "A token is needed first.");
  if (error.status === 503) return say(`${id} cannot be read yet.`, `${sentence(error.message)} Trying again by itself.`);
  say(`${id} could not be read.`, `${sentence(error.message)} Trying again by itself.`);
}

function say(words, more) {
  byId("customer-body").replaceChildren(make("div", { class: "empty", role: "status" }, make("p", { class: "lead" }, words), more ? make("p", {}, more) : null));
}

// --- what is known ----------------------------------------------------------------------------------------

function parts(known) {
  const currency = known.profile.currency;
  return [
    facts(known, currency),
    part("Scores", scores(known, currency)),
    part("Recommendations", recommended(known.recommendations)),
    part("Payments", payments(known, currency)),
    part("Alerts", alerts(known.alerts)),
    part("Bought again and again", repurchases(known.repurchases)),
  ];
}

const part = (title, content) => make("section", {}, make("h3", {}, title), content);
const nothing = (words) => make("p", { class: "note" }, words);

function facts({ profile, orders, session }, currency) {
  const rows = [
    ["Paid", money(profile.amount_minor, currency), several(profile.purchases, "payment")],
    ["Usual payment", orders.usual_minor === null ? "–" : money(orders.usual_minor, currency), ""],
    ["Last order", ago(orders.silence_days), orders.mean_gap_days === null ? "" : `usually every ${days(orders.mean_gap_days)}`],
    ["Customer since", profile.first_ms === null ? "–" : day(profile.first_ms), ""],
  ];
  if (profile.refunds > 0) rows.push(["Returned", money(profile.refunded_minor, currency), several(profile.refunds, "refund")]);
  if (profile.engagements > 0) rows.push(["Visits", count(session.sessions), several(profile.engagements, "event")]);
  if (profile.verdicts > 0) rows.push(["Verdicts", count(profile.verdicts), profile.frauds > 0 ? `${count(profile.frauds)} fraud` : "none fraud"]);
  if (profile.unsubscribed) rows.push(["Newsletter", "unsubscribed", ""]);
  return make("dl", { class: "facts" }, rows.map(([name, value, more]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value, more ? make("small", {}, more) : null))));
}

const days = (number) => `${tenth(number)} ${tenth(number) === "1" ? "day" : "days"}`;

function ago(silence_days) {
  if (silence_days === null) return "–";
  if (silence_days <= 0) return "today";
  return silence_days === 1 ? "yesterday" : `${count(silence_days)} days ago`;
}

/** What each analysis would say now, else what it said last, in full; those before it in a table. */
function scores({ opinions, scores: list }, currency) {
  if (opinions.length === 0 && list.length === 0) return nothing("None lately.");
  const newest = new Map();
  [...list].reverse().forEach((score) => newest.set(score.analysis, score));
  opinions.forEach((opinion) => newest.set(opinion.analysis, opinion));
  const earlier = list.filter((score) => newest.get(score.analysis) !== score);
  return [
    make("ul", { class: "scores" }, [...newest.values()].map((score) => scored(score, currency))),
    earlier.length === 0 ? null : table("Earlier scores", ["What", "Score", "Band", "When"], earlier.map((score) => {
      const { name, value } = named(score.analysis);
      return [name, value(score.value), band(score.band), time(score.time_ms)];
    })),
  ];
}

const named = (analysis) => SCORES[analysis] ?? { name: analysis, value: tenth, of: "", part: () => 0 };
const band = (words) => make("span", { class: `band ${BANDS[words] ?? ""}` }, words);

function scored(score, currency) {
  const { name, value, of, part } = named(score.analysis);
  return make("li", {},
    make("p", { class: "score" }, make("span", {}, name), make("strong", {}, value(score.value) + of), band(score.band)),
    make("p", { class: `gauge ${BANDS[score.band] ?? ""}` }, bar(part(score.value))),
    reasons(score.reasons, currency) ?? nothing("Nothing stands out."),
    make("p", { class: "note" }, score.time_ms === undefined ? "as of now" : time(score.time_ms)));
}

function recommended(list) {
  if (list.length === 0) return nothing("Nothing yet: it takes some purchases or views to learn from.");
  const most = Math.max(...list.map((item) => item.score), 1e-9);
  return make("ol", { class: "wants" }, list.map((item) =>
    make("li", {}, make("span", { class: "item" }, item.item), bar(item.score / most), make("span", { class: "share" }, percent(item.score)), make("span", { class: "note" }, item.reason))));
}

function payments({ payments: list }, currency) {
  if (list.length === 0) return nothing("None yet.");
  const most = Math.max(...list.map((payment) => payment.amount_minor), 1);
  return table("Last payments, newest first", ["When", "", "Amount"], list.map((payment) =>
    [time(payment.time_ms), bar(payment.amount_minor / most), money(payment.amount_minor, currency)]));
}

function alerts(list) {
  if (list.length === 0) return nothing("None lately.");
  return make("ul", { class: "scores" }, list.map((alert) => make("li", {},
    make("p", { class: "score" }, make("span", {}, money(alert.amount_minor, alert.currency)), make("strong", {}, `risk ${count(alert.risk)}`)),
    reasons(alert.reasons, alert.currency),
    make("p", { class: "note" }, time(alert.time_ms), alert.terminal ? ` · Terminal ${alert.terminal}` : null))));
}

function repurchases(list) {
  const again = list.filter((item) => item.count > 1);
  if (again.length === 0) return nothing("Nothing was bought twice yet.");
  return table("Items bought more than once", ["Item", "Times", "Every", "Last"], again.map((item) =>
    [item.item, count(item.count), item.interval_days === null ? "–" : days(item.interval_days), time(item.last_ms, shortDay)]));
}

/** The first cell of a row heads it; a column without a name is a picture of another. */
function table(caption, heads, rows) {
  const cell = (content, i) => make(i === 0 ? "th" : "td", i === 0 ? { scope: "row" } : {}, content);
  return make("div", { class: "table" }, make("table", {},
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, heads.map((head) => (head === "" ? make("td", {}) : make("th", { scope: "col" }, head))))),
    make("tbody", {}, rows.map((row) => make("tr", {}, row.map(cell))))));
}

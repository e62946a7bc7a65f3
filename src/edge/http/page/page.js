// The page: keeps the connection, says how it is, and hands what comes to the lists.

import { listenToControls, loadAlerts, take, takeVerdict } from "./alerts.js";
import { followAddress, listenToLookup, refresh } from "./customer.js";
import { byId, setText } from "./element.js";
import { followPulse } from "./pulse.js";
import { Refused, follow, getText, hasToken, onUnauthorized, setToken } from "./server.js";
import { sentence, when } from "./words.js";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;
const BACK_FOR_MS = 5_000;
/** A page that nobody looks at gives its connection back: browsers have six for each server. */
const UNSEEN_MS = 60_000;

let retryNow = () => {};
let aliveAt = null;
/** The stream of this moment; aborted to begin another. */
let stream = new AbortController();

async function keepConnected() {
  let wait = FIRST_WAIT_MS;
  for (let attempt = 0; ; attempt++) {
    stream = new AbortController();
    const opened = async () => {
      wait = FIRST_WAIT_MS;
      connected(attempt > 0);
      // After the stream has begun, so that nothing falls between; known ones are told by their id.
      await loadAlerts(attempt > 0);
      refresh();
    };
    try {
      await follow("/api/v1/stream?topics=alerts,feedback", stream.signal, () => opened().catch(() => stream.abort()), heard);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (document.hidden && stream.signal.aborted) await seen();
      else await broken(error, error.retryAfterMs || wait);
      wait = Math.min(2 * wait, LONGEST_WAIT_MS);
    }
  }
}

function heard(name, data) {
  aliveAt = Date.now();
  if (name === "missed") return loadAlerts(true).catch(() => stream.abort());
  if (name === "feedback") takeVerdict(data);
  else if (name === "alerts") take(data);
  else return;
  refresh(data.customer);
}

// --- how the connection is ----------------------------------------------------------------------------------

function connected(again) {
  aliveAt = Date.now();
  const live = byId("live");
  live.dataset.state = "on";
  setText(byId("live-words"), live.dataset.paused === "true" ? "paused" : "live");
  setText(byId("example-commands"), example());
  byId("token").hidden = true;
  document.body.classList.remove("locked");
  const banner = byId("banner");
  if (!again || banner.hidden) return;
  banner.dataset.state = "back";
  byId("banner-retry").hidden = true;
  setText(byId("banner-words"), "Connected again. Nothing was lost: what came meanwhile is in the list.");
  setTimeout(() => { if (banner.dataset.state === "back") banner.hidden = true; }, BACK_FOR_MS);
}

/** Says what is the matter, keeps what is there, and returns when it is time to try again. */
async function broken(error, waitMs) {
  byId("live").dataset.state = "off";
  setText(byId("live-words"), "not live");
  if (error.status === 401) return new Promise((resolve) => { retryNow = resolve; });
  const banner = byId("banner");
  banner.hidden = false;
  banner.dataset.state = error.status === 503 ? "wait" : "broken";
  byId("banner-retry").hidden = false;
  setText(byId("banner-words"), await reasonOf(error));
  await new Promise((resolve) => {
    retryNow = resolve;
    setTimeout(resolve, waitMs * (0.8 + 0.4 * Math.random()));
  });
}

async function reasonOf(error) {
  if (error.status === 503) {
    const ready = await getText("/readyz").then(() => error.message, (unready) => unready.message);
    return `The service is there, but not ready: ${sentence(ready)} This page goes on by itself.`;
  }
  const since = aliveAt === null ? "" : ` What you see is as of ${when(aliveAt)}.`;
  const what = error.status === 0 ? "No connection to the service." : sentence(`The service refuses: ${error.message}`);
  return `${what}${since} Trying again by itself.`;
}

const seen = () => new Promise((resolve) => {
  const look = () => {
    if (document.hidden) return;
    document.removeEventListener("visibilitychange", look);
    resolve();
  };
  document.addEventListener("visibilitychange", look);
});

function listenToPage() {
  let unseen = null;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(unseen);
    if (document.hidden) unseen = setTimeout(() => stream.abort(), UNSEEN_MS);
    else refresh();
  });
  byId("banner-retry").addEventListener("click", () => retryNow());
  addEventListener("online", () => retryNow());
}

// --- the token ----------------------------------------------------------------------------------------------

function listenToToken() {
  const [value, words] = [byId("token-value"), byId("token-words")];
  onUnauthorized((given) => {
    if (document.body.classList.contains("locked") && !value.disabled) return;
    document.body.classList.add("locked");
    byId("token").hidden = false;
    value.disabled = false;
    setText(words, given ? "This token was not accepted." : "");
    value.focus();
  });
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setToken(value.value.trim());
    setText(words, "Asking …");
    // Says that an answer is awaited: the next refusal is of this token.
    value.disabled = true;
    retryNow();
  });
}

// --- the example --------------------------------------------------------------------------------------------

/** Eight usual payments and one that is fifty times as large. */
function example() {
  const token = hasToken() ? ' -H "Authorization: Bearer $HABITUE_HTTP_TOKEN"' : "";
  return `now=$(date +%s)
for i in 1 2 3 4 5 6 7 8 9; do
  price=$((1000 + 40 * i)); [ $i = 9 ] && price=60000
  curl -s ${location.origin}/api/v1/events${token} -d '{
    "type": "purchase", "event_id": "try-'$now-$i'", "order": "'$now-$i'",
    "customer": "ada", "terminal": "till-1", "currency": "EUR",
    "lines": [{"item": "tea", "quantity": 1, "unit_price_minor": '$price'}]
  }'
done`;
}

function listenToExample() {
  const copy = byId("example-copy");
  copy.addEventListener("click", async () => {
    const copied = await navigator.clipboard?.writeText(example()).then(() => true, () => false);
    setText(copy, copied ? "Copied" : "Copying is not allowed here: select the text");
    setTimeout(() => setText(copy, "Copy the commands"), 3_000);
  });
}

listenToControls();
listenToLookup();
listenToPage();
listenToToken();
listenToExample();
followAddress();
followPulse();
keepConnected();

// How the service does: events a second and latency by differences of /metrics, and its health in one sentence.

import { byId, setText, sparkline } from "./element.js";
import { Refused, getJson, getText } from "./server.js";
import { count, duration, sentence, several } from "./words.js";

const EVENTS = "habitue_events_applied_total";
const LATENCY = "habitue_event_to_commit_seconds";
const ALERTS = "habitue_alerts_total";

const EVERY_MS = 1_000;
/** Of the lines: one value each second. */
const SLOTS = 60;
/** Shards tell their counts in bursts: a second alone would flicker. */
const RATE_SAMPLES = 3;
const LATENCY_SAMPLES = 10;

/** Counts at a moment, oldest first. */
const samples = [];
const rates = [];
const latencies = [];

/** What /metrics says of events: totals, and the cumulative buckets of event to commit as [bound, count]. */
export function readMetrics(text) {
  const read = { events: 0, alerts: 0, buckets: [], restart: "" };
  for (const line of text.split("\n")) {
    const found = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) continue;
    const [, name, labels = "", value] = found;
    if (name === EVENTS) read.events += Number(value);
    if (name === ALERTS && labels.includes('lane="exact"')) read.alerts += Number(value);
    if (name === "process_start_time_seconds") read.restart = value;
    if (name === `${LATENCY}_bucket` && labels.includes('stage="customer"')) {
      const bound = /le="([^"]+)"/.exec(labels)[1];
      read.buckets.push([bound === "+Inf" ? Infinity : Number(bound), Number(value)]);
    }
  }
  return read;
}

/** The value that a share of what came between two readings lies below, linear within its bucket; null of nothing. */
export function quantile(before, after, share) {
  const counts = after.map(([bound, value], i) => [bound, value - (before[i]?.[1] ?? 0)]);
  const total = counts.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const wanted = share * total;
  const i = counts.findIndex(([, value]) => value >= wanted);
  const [low, below] = i > 0 ? counts[i - 1] : [0, 0];
  const [high, value] = counts[i];
  if (high === Infinity) return low;
  return low + ((high - low) * (wanted - below)) / Math.max(1, value - below);
}

async function measure() {
  const now = { at: performance.now(), ...readMetrics(await getText("/metrics")) };
  // Another process counts from 0 again.
  if (samples.length > 0 && samples.at(-1).restart !== now.restart) forget();
  const last = samples.at(-1);
  samples.push(now);
  if (samples.length > SLOTS) samples.shift();
  if (last) {
    push(rates, rateSince(last, now));
    push(latencies, quantile(back(LATENCY_SAMPLES).buckets, now.buckets, 0.99));
  }
  show(now);
}

const rateSince = (before, now) => (1000 * (now.events - before.events)) / Math.max(1, now.at - before.at);
const back = (steps) => samples[Math.max(0, samples.length - 1 - steps)];

function push(values, value) {
  values.push(value);
  if (values.length > SLOTS) values.shift();
}

function forget() {
  samples.length = 0;
  rates.length = 0;
  latencies.length = 0;
}

function show(now) {
  const rate = rateSince(back(RATE_SAMPLES), now);
  setText(byId("rate"), count(rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate)));
  const total = `${several(now.events, "event")}, ${several(now.alerts, "alert")} since the start`;
  setText(byId("rate-note"), total);
  sparkline(byId("rate-spark"), rates, SLOTS);

  const before = back(LATENCY_SAMPLES);
  const [half, most] = [0.5, 0.99].map((share) => quantile(before.buckets, now.buckets, share));
  setText(byId("latency"), half === null ? "–" : duration(half));
  setText(byId("latency-note"), half === null ? "no event in the last 10 s" : `99 of 100 within ${duration(most)}, last 10 s`);
  sparkline(byId("latency-spark"), latencies, SLOTS);
}

/** [state, words]: the state is "ready", "waiting" or "broken". */
export async function health() {
  try {
    const status = await getJson("/api/v1/status");
    if (status.ready !== "ready") return unready(status.ready);
    const stuck = await probe("/livez");
    if (stuck) return ["broken", `Not well: ${sentence(stuck)}`];
    const [all, lag] = [status.partitions.length, status.partitions.reduce((sum, one) => sum + one.lag, 0)];
    if (all === 0) return ["waiting", "Ready, but no partition is with this instance."];
    const live = status.partitions.filter((one) => one.state === "live").length;
    const waiting = lag === 0 ? "nothing waits" : `${several(lag, "record")} ${lag === 1 ? "waits" : "wait"}`;
    return ["ready", `Ready: ${count(live)} of ${several(all, "partition")} live, ${waiting}.`];
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) return ["waiting", "Waiting for a token."];
    if (error.status === 0) return ["broken", "No answer from the service."];
    return unready((await probe("/readyz").catch(() => "")) || error.message);
  }
}

/** What a probe complains of; empty where all is well. */
async function probe(path) {
  try {
    await getText(path);
    return "";
  } catch (error) {
    if (error.status !== 503) throw error;
    return error.message;
  }
}

function unready(reason) {
  const restoring = /^restoring (.*)$/.exec(reason);
  if (restoring) return ["waiting", `Restoring: ${sentence(restoring[1])}`];
  if (reason === "draining") return ["waiting", "Stopping: it finishes what it has begun."];
  return [reason.startsWith("failed") ? "broken" : "waiting", sentence(reason)];
}

/** Asks for ever, while the page is seen and does not wait for a token. */
export async function followPulse() {
  for (;;) {
    if (!document.hidden && !document.body.classList.contains("locked")) {
      const [[state, words]] = await Promise.all([health(), measure().catch(quietly)]);
      byId("health").dataset.state = state;
      setText(byId("health-words"), words);
      byId("pulse").classList.toggle("stale", state === "broken");
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

function quietly(error) {
  if (!(error instanceof Refused)) throw error;
  // The banner says so already; a gap in the lines shows how long.
  push(rates, null);
  push(latencies, null);
}

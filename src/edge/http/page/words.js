// Numbers, money and times in words, as the reader's own settings write them.

import { make } from "./element.js";

const DAY_MS = 86_400_000;
const moneyOf = new Map();

/** Minor units of an ISO currency; a currency that is not known is written behind the bare number. */
export function money(minor, currency) {
  if (!moneyOf.has(currency)) moneyOf.set(currency, moneyFormat(currency));
  const { format, minorInMajor } = moneyOf.get(currency);
  return format(minor / minorInMajor);
}

function moneyFormat(currency) {
  try {
    const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
    return { format: format.format, minorInMajor: 10 ** format.resolvedOptions().maximumFractionDigits };
  } catch {
    const plain = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    return { format: (major) => [plain.format(major), currency].filter(Boolean).join(" "), minorInMajor: 100 };
  }
}

const counts = new Intl.NumberFormat();
const tenths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const percents = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 0 });
const finePercents = new Intl.NumberFormat(undefined, { style: "percent", maximumSignificantDigits: 2 });

export const count = (number) => counts.format(number);
export const tenth = (number) => tenths.format(number);
/** A share of 0 to 1; small ones keep two digits. */
export const percent = (share) => (share < 0.1 ? finePercents : percents).format(share);

/** "1 payment", "2 payments". */
export const several = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** Seconds in two digits, with the unit that fits. */
export function duration(seconds) {
  const digits = (number) => new Intl.NumberFormat(undefined, { maximumSignificantDigits: number < 100 ? 2 : 3 }).format(number);
  if (seconds < 1e-3) return `${digits(seconds * 1e6)} µs`;
  return seconds < 1 ? `${digits(seconds * 1e3)} ms` : `${digits(seconds)} s`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndClock = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const days = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const monthDays = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** The clock today, the day before that. */
export function when(ms) {
  const [then, now] = [new Date(ms), new Date()];
  if (then.toDateString() === now.toDateString()) return clock.format(then);
  return Math.abs(now - then) < 300 * DAY_MS ? dayAndClock.format(then) : days.format(then);
}

export const shortDay = (ms) => (Date.now() - ms < 300 * DAY_MS ? monthDays : days).format(new Date(ms));
export const day = (ms) => days.format(new Date(ms));

/** A time for people and machines. */
export function time(ms, words = when) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return make("span", {}, "at an unknown time");
  return make("time", { datetime: date.toISOString(), title: whole.format(date) }, words(ms));
}

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

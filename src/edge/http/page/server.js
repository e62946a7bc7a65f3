// Requests to the one server this page knows: with the token where there is one, and errors as words.

const TOKEN = "habitue-token";
/** A server that takes longer is as good as away. */
const PATIENCE_MS = 10_000;
/** The stream says something at least every 15 s. */
const SILENCE_MS = 40_000;

/** An answer that is no success, or none at all: then `status` is 0. */
export class Refused extends Error {
  constructor(status, words, retryAfterMs = 0) {
    super(words);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

let askForToken = () => {};

/** What to do when the token is missing or wrong. */
export function onUnauthorized(act) {
  askForToken = act;
}

export function setToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;

async function request(path, options = {}, signal = AbortSignal.timeout(PATIENCE_MS)) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, signal, cache: "no-store" });
  } catch {
    throw new Refused(0, "the service does not answer");
  }
  if (response.ok) return response;
  if (response.status === 401) askForToken(hasToken());
  const text = await response.text().catch(() => "");
  const seconds = Number(response.headers.get("retry-after")) || 0;
  throw new Refused(response.status, wordsOf(text) || response.statusText, seconds * 1000);
}

function wordsOf(text) {
  try {
    const { error, results } = JSON.parse(text);
    return error ?? results?.find((result) => result.reason)?.reason;
  } catch {
    return text.trim().slice(0, 300);
  }
}

async function read(response, how) {
  try {
    return await response[how]();
  } catch {
    throw new Refused(0, "the answer broke off");
  }
}

export const getJson = async (path) => read(await request(path), "json");
export const getText = async (path) => read(await request(path), "text");

export async function postJson(path, body) {
  const headers = { "Content-Type": "application/json" };
  return read(await request(path, { method: "POST", headers, body: JSON.stringify(body) }), "json");
}

/**
 * Follows server-sent events until they end, which is an error. EventSource could not send the token.
 * `opened` is called once they come; `each` with the name and the data of each.
 */
export async function follow(path, signal, opened, each) {
  const silence = new AbortController();
  let watch = setTimeout(() => silence.abort(), SILENCE_MS);
  const response = await request(path, {}, AbortSignal.any([signal, silence.signal]));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  opened();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      clearTimeout(watch);
      watch = setTimeout(() => silence.abort(), SILENCE_MS);
      const messages = (rest + value).split("\n\n");
      rest = messages.pop();
      messages.forEach((message) => deliver(message, each));
    }
  } catch {
    // Broken off or ended: the same to whoever follows.
  } finally {
    clearTimeout(watch);
  }
  throw new Refused(0, "the stream has ended");
}

function deliver(message, each) {
  const fields = message.split("\n").filter((line) => line !== "" && !line.startsWith(":"));
  const all = (name) => fields.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ""));
  const data = all("data").join("\n");
  if (data === "") return;
  try {
    each(all("event").at(-1) ?? "message", JSON.parse(data));
  } catch (error) {
    // Of this page, not of the connection: the next message may be well.
    console.error(error);
  }
}

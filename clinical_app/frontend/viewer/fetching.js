// Fetching: films and heatmaps over HTTP, the last few kept in memory by the film's own name.
//
// A name is made of the SOP Instance UID and the file's content, so what is kept under it is that film
// and no other, whatever arrived meanwhile and wherever it stands in its study.

import { filmIn, heatIn, previewIn } from "./unpacking.js";

const films = new Map(); // film id -> promise of a film
const heats = new Map(); // film id -> promise of heatmaps
const coming = new Map(); // film id -> how far a film is on its way, and whether nobody waits for it yet
const KEPT = 10;

// A film that somebody waits for: what is only fetched ahead makes room on the line.
export function film({ id, film: url }) {
  const on = coming.get(id);
  if (on) on.ahead = false;
  const value = remembered(films, id, () => loadFilm(id, url, false));
  if (coming.has(id)) [...coming.values()].filter(({ ahead }) => ahead).forEach(({ stop }) => stop());
  return value;
}

export function filmAhead({ id, film: url }) {
  return remembered(films, id, () => loadFilm(id, url, true));
}

// Nobody waits for this film any more.
export function letGo(id) {
  const on = coming.get(id);
  if (on) on.ahead = true;
}

// A locked tab keeps no picture.
export function forgetAll() {
  [...coming.values()].forEach(({ stop }) => stop());
  films.clear();
  heats.clear();
}

export function heatmaps({ id, heat: url }) {
  return remembered(heats, id, async () => heatIn(await fetched(url)));
}

// Share of a film's bytes that are here, in [0, 1].
export function shareOf(id) {
  const on = coming.get(id);
  return on ? on.share : 0;
}

// The small copy of a film that is on its way, once that is here.
export function previewOf(id) {
  const on = coming.get(id);
  return (on && on.preview) || null;
}

function remembered(cache, id, make) {
  const known = cache.get(id);
  const value = known || make();
  cache.delete(id);
  cache.set(id, value); // most recently used last
  if (known) return value;
  value.catch(() => {
    if (cache.get(id) === value) cache.delete(id);
  });
  while (cache.size > KEPT) cache.delete(cache.keys().next().value);
  return value;
}

async function loadFilm(id, url, ahead) {
  const abort = new AbortController();
  const on = { ahead, share: 0, preview: null };
  on.stop = () => {
    abort.abort();
    films.delete(id);
    coming.delete(id);
  };
  coming.set(id, on);
  try {
    const bytes = await fetched(url, abort.signal, (part, arrived) => {
      on.share = arrived / part.length;
      if (on.preview === null) on.preview = previewIn(part, arrived);
    });
    return filmIn(bytes, id);
  } finally {
    if (coming.get(id) === on) coming.delete(id);
  }
}

async function fetched(url, signal, seen) {
  let answer;
  let bytes;
  try {
    answer = await fetch(url, { credentials: "same-origin", cache: "no-store", signal });
    if (answer.ok) bytes = await received(answer, seen);
  } catch (error) {
    throw new Error("The server does not answer. Check the connection; your work is kept here.");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(said.message || `The server answered ${answer.status}.`), { status: answer.status });
  }
  return bytes;
}

async function received(answer, seen) {
  const whole = Number(answer.headers.get("X-Film-Bytes"));
  if (!seen || !whole || !answer.body) return new Uint8Array(await answer.arrayBuffer());
  const bytes = new Uint8Array(whole);
  const reader = answer.body.getReader();
  let at = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    bytes.set(part.value, at);
    at += part.value.length;
    seen(bytes, at);
  }
  if (at !== whole) throw new Error("The film was cut off on its way.");
  return bytes;
}

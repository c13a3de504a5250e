// Fetching: films and heatmaps over HTTP, the last few kept in memory by the film's own name.
//
// A name is made of the SOP Instance UID and the file's content, so what is kept under it is that film
// and no other, whatever arrived meanwhile and wherever it stands in its study.

const films = new Map(); // film id -> promise of a film
const heats = new Map(); // film id -> promise of heatmaps
const arrived = new Map(); // film id -> share of the bytes that are here
const KEPT = 8;

export function film({ id, film: url }) {
  return remembered(films, id, () => loadFilm(id, url));
}

export function heatmaps({ id, heat: url }) {
  return remembered(heats, id, () => loadHeat(url));
}

// Share of a film's bytes that are here, in [0, 1].
export function shareOf(id) {
  return arrived.get(id) || 0;
}

function remembered(cache, id, make) {
  if (cache.has(id)) {
    const value = cache.get(id);
    cache.delete(id);
    cache.set(id, value); // most recently used last
    return value;
  }
  const value = make();
  cache.set(id, value);
  value.catch(() => cache.delete(id));
  while (cache.size > KEPT) cache.delete(cache.keys().next().value);
  return value;
}

// A header in JSON, its length before it, and numbers from the next multiple of eight bytes on.
async function fetched(url, id = "") {
  let answer;
  let buffer;
  try {
    answer = await fetch(url, { credentials: "same-origin", cache: "no-store" });
    if (answer.ok) buffer = await received(answer, id);
  } catch (error) {
    throw new Error("The server does not answer. Check the connection; your work is kept here.");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(said.message || `The server answered ${answer.status}.`), { status: answer.status });
  }
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { header, buffer, start: Math.ceil((4 + length) / 8) * 8 };
}

async function received(answer, id) {
  const whole = Number(answer.headers.get("Content-Length"));
  if (!id || !whole || !answer.body) return answer.arrayBuffer();
  const bytes = new Uint8Array(whole);
  const reader = answer.body.getReader();
  let at = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    bytes.set(part.value, at);
    at += part.value.length;
    arrived.set(id, at / whole);
  }
  arrived.delete(id);
  if (at !== whole) throw new Error("The film was cut off on its way.");
  return bytes.buffer;
}

async function loadFilm(id, url) {
  const { header, buffer, start } = await fetched(url, id);
  const n = header.rows * header.columns;
  let at = start + 2 * n;
  for (const preset of header.presets) {
    if (preset.function !== "TABLE") continue;
    preset.levels = new Uint8Array(buffer, at, 65536);
    at += 65536;
  }
  for (const overlay of header.overlays) {
    const length = Math.ceil((overlay.rows * overlay.columns) / 8);
    overlay.bits = new Uint8Array(buffer, at, length);
    at += length;
  }
  const levels = [
    { values: new Uint16Array(buffer, start, n), rows: header.rows, columns: header.columns },
  ];
  return { ...header, id, levels };
}

async function loadHeat(url) {
  const { header, buffer, start } = await fetched(url);
  const n = header.rows * header.columns;
  const maps = new Map();
  const boxes = new Map();
  header.findings.forEach((name, i) => {
    maps.set(name, new Uint8Array(buffer, start + i * n, n));
    if (header.boxes[i]) boxes.set(name, header.boxes[i]);
  });
  return {
    rows: header.rows, columns: header.columns, level: header.level, maps, boxes, painted: new Map(), contours: new Map(),
  };
}

// Fetching: films and heatmaps over HTTP, the last few kept in memory.

const films = new Map(); // URL -> promise of a film
const heats = new Map(); // URL -> promise of heatmaps
const KEPT = 8;

export function film(url) {
  return remembered(films, url, loadFilm);
}

export function heatmaps(url) {
  return remembered(heats, url, loadHeat);
}

function remembered(cache, url, make) {
  if (cache.has(url)) {
    const value = cache.get(url);
    cache.delete(url);
    cache.set(url, value); // most recently used last
    return value;
  }
  const value = make(url);
  cache.set(url, value);
  value.catch(() => cache.delete(url));
  while (cache.size > KEPT) cache.delete(cache.keys().next().value);
  return value;
}

// A header in JSON, its length before it, and numbers from the next multiple of eight bytes on.
async function fetched(url) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    throw new Error("The server does not answer. Check the connection; your work is kept here.");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.message || `The server answered ${answer.status}.`);
  }
  const buffer = await answer.arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { header, buffer, start: Math.ceil((4 + length) / 8) * 8 };
}

async function loadFilm(url) {
  const { header, buffer, start } = await fetched(url);
  const n = header.rows * header.columns;
  let at = start + 2 * n;
  for (const preset of header.presets) {
    if (preset.function !== "TABLE") continue;
    preset.levels = new Uint8Array(buffer, at, 65536);
    at += 65536;
  }
  const levels = [
    { values: new Uint16Array(buffer, start, n), rows: header.rows, columns: header.columns },
  ];
  return { ...header, url, levels };
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
  return { rows: header.rows, columns: header.columns, maps, boxes, painted: new Map() };
}

// Unpacking: bytes of the server, as they arrive, into a film: a header, a small copy, then the film itself.
//
// A header in JSON, its length before it, and numbers from the next multiple of eight bytes on.

export function headerIn(bytes, arrived = bytes.length) {
  if (arrived < 4) return null;
  const length = new DataView(bytes.buffer).getUint32(0, true);
  if (arrived < 4 + length) return null;
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  return { header, start: Math.ceil((4 + length) / 8) * 8 };
}

// The tables of a film's windows, and where they end.
function tables(bytes, { header, start }) {
  let at = start;
  for (const preset of header.presets) {
    if (preset.function !== "TABLE") continue;
    preset.levels = bytes.subarray(at, at + 65536);
    at += 65536;
  }
  return at;
}

// The small copy, with what its windows need; null before it is here, undefined for a film without one.
export function previewIn(bytes, arrived) {
  const opened = headerIn(bytes, arrived);
  if (!opened) return null;
  const { columns, rows } = opened.header.preview;
  if (!rows) return undefined;
  const at = tables(bytes, opened);
  if (arrived < at + 2 * rows * columns) return null;
  return { film: opened.header, values: new Uint16Array(bytes.buffer, at, rows * columns).slice() };
}

export function filmIn(bytes, id) {
  const opened = headerIn(bytes);
  const { header } = opened;
  const { columns, overlays, preview, rows } = header;
  let at = tables(bytes, opened) + 2 * preview.rows * preview.columns;
  for (const preset of header.presets) if (preset.levels) preset.levels = preset.levels.slice();
  const n = rows * columns;
  const values = summed(bytes.subarray(at, at + n), bytes.subarray(at + n, at + 2 * n), columns);
  at += 2 * n;
  for (const overlay of overlays) {
    const length = Math.ceil((overlay.rows * overlay.columns) / 8);
    overlay.bits = bytes.slice(at, at + length);
    at += length;
  }
  return { ...header, id, levels: [{ values, rows, columns }] };
}

// Each value is the one above it and a difference, whose sign is its lowest bit; the sum is taken modulo 65,536.
function summed(high, low, columns) {
  const values = new Uint16Array(high.length);
  for (let i = 0; i < values.length; i += 1) {
    const folded = (high[i] << 8) | low[i];
    const above = i < columns ? 0 : values[i - columns];
    values[i] = above + ((folded >>> 1) ^ -(folded & 1));
  }
  return values;
}

export function heatIn(bytes) {
  const { header, start } = headerIn(bytes);
  const n = header.rows * header.columns;
  const maps = new Map();
  const boxes = new Map();
  header.findings.forEach((name, i) => {
    maps.set(name, bytes.subarray(start + i * n, start + (i + 1) * n));
    if (header.boxes[i]) boxes.set(name, header.boxes[i]);
  });
  return {
    rows: header.rows, columns: header.columns, level: header.level, maps, boxes, painted: new Map(), contours: new Map(),
  };
}

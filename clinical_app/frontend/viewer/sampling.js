// Sampling: film values under each device pixel, averaged where the film is shown small.

// Turns are multiples of 90 degrees, so the two film coordinates are functions of one axis each.
// Writes into view, and returns the part of it that lies on the film: left, right, top, bottom.
export function sample(at, view) {
  const { film, width } = at;
  const wanted = Math.max(Math.floor(Math.log2(1 / Math.max(...at.scales))), 0);
  const depth = smaller(film, wanted);
  const { values, rows, columns } = film.levels[depth];
  const { along, down, swapped } = axes(at, rows, columns, 2 ** depth);
  const [stepX, stepY] = swapped ? [columns, 1] : [1, columns];
  const exact = along.whole && down.whole;
  for (let y = down.from; y < down.to; y += 1) {
    const top = down.low[y] * stepY;
    const bottom = down.high[y] * stepY;
    const fy = down.part[y];
    let o = y * width + along.from;
    if (exact) {
      for (let x = along.from; x < along.to; x += 1) view[o++] = values[top + along.low[x] * stepX];
      continue;
    }
    for (let x = along.from; x < along.to; x += 1) {
      const l = along.low[x] * stepX;
      const h = along.high[x] * stepX;
      const fx = along.part[x];
      const a = values[top + l] + (values[top + h] - values[top + l]) * fx;
      const b = values[bottom + l] + (values[bottom + h] - values[bottom + l]) * fx;
      view[o++] = a + (b - a) * fy + 0.5;
    }
  }
  return [along.from, along.to, down.from, down.to];
}

function axes(at, rows, columns, shrink) {
  const swapped = at.turn % 2 === 1;
  const along = axis(at.width, (x) => at.toFilm(x + 0.5, 0.5)[swapped ? 1 : 0] / shrink - 0.5,
    swapped ? rows : columns);
  const down = axis(at.height, (y) => at.toFilm(0.5, y + 0.5)[swapped ? 0 : 1] / shrink - 0.5,
    swapped ? columns : rows);
  return { along, down, swapped };
}

// Which film cells lie under the device pixels of one axis, and how far between them.
function axis(length, place, limit) {
  const low = new Int32Array(length);
  const high = new Int32Array(length);
  const part = new Float32Array(length);
  let from = length;
  let to = 0;
  let whole = true;
  for (let i = 0; i < length; i += 1) {
    const at = place(i);
    if (at < -0.5 || at >= limit - 0.5) continue;
    from = Math.min(from, i);
    to = i + 1;
    const inside = Math.min(Math.max(at, 0), limit - 1);
    low[i] = Math.floor(inside + 1e-6);
    part[i] = Math.max(inside - low[i], 0);
    if (part[i] > 1e-5) whole = false;
    high[i] = Math.min(low[i] + 1, limit - 1);
  }
  return { low, high, part, from: Math.min(from, to), to, whole };
}

// Halved copies, made when first needed; returns the deepest of them that exists up to wanted.
function smaller(film, wanted) {
  while (film.levels.length <= wanted) {
    const { values, rows, columns } = film.levels[film.levels.length - 1];
    const r = rows >> 1;
    const c = columns >> 1;
    if (r < 2 || c < 2) break;
    const half = new Uint16Array(r * c);
    for (let y = 0; y < r; y += 1) {
      let a = 2 * y * columns;
      const o = y * c;
      for (let x = 0; x < c; x += 1, a += 2) {
        const b = a + columns;
        half[o + x] = (values[a] + values[a + 1] + values[b] + values[b + 1] + 2) >> 2;
      }
    }
    film.levels.push({ values: half, rows: r, columns: c });
  }
  return Math.min(wanted, film.levels.length - 1);
}

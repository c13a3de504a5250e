// Overlay: what lies over a film: heatmap, boxes, patient directions, measurements.

// viridis at eight stops (van der Walt and Smith, CC0): even in lightness, colour-blind safe
const VIRIDIS = [
  [68, 1, 84], [70, 50, 127], [54, 92, 141], [39, 127, 142],
  [31, 161, 135], [74, 194, 109], [159, 218, 58], [253, 231, 37],
];

// Returns whether there was a map of the finding.
export function drawHeat(context, at, heat, finding, opacity) {
  const picture = paintedHeat(heat, finding);
  if (!picture) return false;
  const [ax, ay] = at.toScreen(0, 0);
  const [bx, by] = at.toScreen(at.film.columns, 0);
  const [cx, cy] = at.toScreen(0, at.film.rows);
  const [w, h] = [heat.columns, heat.rows];
  context.globalAlpha = opacity;
  context.imageSmoothingEnabled = true;
  context.setTransform((bx - ax) / w, (by - ay) / w, (cx - ax) / h, (cy - ay) / h, ax, ay);
  context.drawImage(picture, 0, 0);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalAlpha = 1;
  return true;
}

function paintedHeat(heat, finding) {
  if (heat.painted.has(finding)) return heat.painted.get(finding);
  const map = heat.maps.get(finding);
  if (!map) return null;
  const picture = new ImageData(heat.columns, heat.rows);
  for (let i = 0; i < map.length; i += 1) {
    const place = (map[i] / 255) * (VIRIDIS.length - 1);
    const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
    for (let k = 0; k < 3; k += 1) {
      const [a, b] = [VIRIDIS[low][k], VIRIDIS[low + 1][k]];
      picture.data[4 * i + k] = a + (b - a) * (place - low);
    }
    picture.data[4 * i + 3] = map[i];
  }
  const canvas = document.createElement("canvas");
  canvas.width = heat.columns;
  canvas.height = heat.rows;
  canvas.getContext("2d").putImageData(picture, 0, 0);
  heat.painted.set(finding, canvas);
  return canvas;
}

// Boxes, then their names, none of which covers another: boxes of several findings often share a corner.
// box: x, y, width and height as shares of the film; the chosen finding's is drawn solid.
export function drawBoxes(context, at, boxes) {
  const drawn = boxes.map((one) => ({ ...one, sides: outline(context, at, one.box, one.chosen) }));
  const seen = drawn.filter(({ sides: [left, top, right, bottom] }) =>
    right > 0 && bottom > 0 && left < at.width && top < at.height);
  const taken = [];
  const chosenFirst = seen.sort((a, b) => Number(b.chosen) - Number(a.chosen));
  chosenFirst.forEach(({ title, sides }) => label(context, at, title, sides, taken));
}

function outline(context, at, box, chosen) {
  const [x, y, width, height] = box;
  const { columns, rows } = at.film;
  const [ax, ay] = at.toScreen(x * columns, y * rows);
  const [bx, by] = at.toScreen((x + width) * columns, (y + height) * rows);
  const [left, top, right, bottom] = [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
  const one = at.unit;
  context.setLineDash(chosen ? [] : [6 * one, 4 * one]);
  for (const [color, line] of [["rgba(0,0,0,.75)", 3.5], ["#56b4e9", chosen ? 2 : 1.4]]) {
    context.strokeStyle = color;
    context.lineWidth = line * one;
    context.strokeRect(left, top, right - left, bottom - top);
  }
  context.setLineDash([]);
  return [left, top, right, bottom];
}

// Above the corner, inside where the box begins at an edge; where another name lies, lower, or higher where
// that would leave the picture.
function label(context, at, text, [left, top], taken) {
  const { unit } = at;
  writeIn(context, 13 * unit, "left", "bottom");
  const width = context.measureText(text).width + 8 * unit;
  const height = 19 * unit;
  const x = Math.max(0, Math.min(left, at.width - width));
  const start = Math.max(top, 20 * unit) - 20 * unit;
  const near = taken.filter((one) => x < one.x + one.width && one.x < x + width);
  const free = (place) => near.every((one) => Math.abs(place - one.y) > height - 0.5); // sums are rounded
  const lower = near.map((one) => one.y + height).filter((place) => place > start && place + height <= at.height);
  const higher = near.map((one) => one.y - height).filter((place) => place < start && place >= 0);
  const places = [start, ...lower.sort((one, two) => one - two), ...higher.sort((one, two) => two - one)];
  const y = places.find(free) ?? start;
  taken.push({ x, width, y });
  context.fillStyle = "rgba(0,0,0,.75)";
  context.fillRect(x, y, width, height);
  context.fillStyle = "#9bd4f5";
  context.fillText(text, x + 4 * unit, y + 17 * unit);
}

// Patient directions at all four edges, as far as the file states them, at every turn. taken: how much of the
// upper and the lower edge's middle has words over it.
export function drawDirections(context, at, taken) {
  const [row, column] = at.film.orientation;
  if (!row || !column) return;
  const opposite = { L: "R", R: "L", A: "P", P: "A", H: "F", F: "H" };
  const turned = (word) => [...word].map((letter) => opposite[letter] || "").join("");
  let sides = [turned(column), at.flipped ? turned(row) : row, column, at.flipped ? row : turned(row)];
  for (let i = 0; i < at.turn; i += 1) sides = [sides[3], sides[0], sides[1], sides[2]];
  const edge = 18 * at.unit;
  writeIn(context, 15 * at.unit, "center", "middle");
  outlined(context, at.unit, sides[0], at.width / 2, edge + taken.top);
  outlined(context, at.unit, sides[1], at.width - edge, at.height / 2);
  outlined(context, at.unit, sides[2], at.width / 2, at.height - edge - taken.bottom);
  outlined(context, at.unit, sides[3], edge, at.height / 2);
}

export function drawMark(context, at, { kind, points, text }) {
  const one = at.unit;
  const places = points.map((point) => at.toScreen(...point));
  for (let i = 0; i + 1 < places.length; i += 2) drawLine(context, one, places[i], places[i + 1]);
  const [x, y] = places.at(-1);
  writeIn(context, 13 * one, "left", "middle");
  const words = text || (kind === "ratio" ? "CTR" : "");
  outlined(context, one, words, x + 9 * one, y - 9 * one, "#ffd75e");
}

function drawLine(context, one, a, b) {
  context.lineWidth = 3.5 * one;
  context.strokeStyle = "rgba(0,0,0,.75)";
  for (let pass = 0; pass < 2; pass += 1) {
    context.beginPath();
    context.moveTo(...a);
    context.lineTo(...b);
    context.stroke();
    context.lineWidth = 1.5 * one;
    context.strokeStyle = "#ffd75e";
  }
  context.fillStyle = "#ffd75e";
  for (const [x, y] of [a, b]) {
    context.beginPath();
    context.arc(x, y, 3 * one, 0, 2 * Math.PI);
    context.fill();
  }
}

function writeIn(context, size, align, baseline) {
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textAlign = align;
  context.textBaseline = baseline;
}

function outlined(context, unit, text, x, y, color = "#e8edf2") {
  context.lineWidth = 3 * unit;
  context.lineJoin = "round";
  context.strokeStyle = "rgba(0,0,0,.8)";
  context.strokeText(text, x, y);
  context.fillStyle = color;
  context.fillText(text, x, y);
}

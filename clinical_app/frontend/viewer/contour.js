// Contour: the line at one level of a map, by marching squares; it shows on a gray monitor too.

// Line pieces [x, y, x, y] in cells of the map.
export function contour(map, rows, columns, level) {
  const pieces = [];
  const value = (y, x) => (y < 0 || x < 0 || y >= rows || x >= columns ? 0 : map[y * columns + x]);
  for (let y = -1; y < rows; y += 1) {
    for (let x = -1; x < columns; x += 1) {
      const corners = [value(y, x), value(y, x + 1), value(y + 1, x + 1), value(y + 1, x)];
      const crossed = crossings(corners, level, x + 0.5, y + 0.5);
      for (let i = 0; i + 1 < crossed.length; i += 2) pieces.push([...crossed[i], ...crossed[i + 1]]);
    }
  }
  return pieces;
}

// Where the level crosses the sides of one cell, in order round it.
function crossings(corners, level, left, top) {
  const places = [[left, top], [left + 1, top], [left + 1, top + 1], [left, top + 1]];
  const found = [];
  for (let i = 0; i < 4; i += 1) {
    const [a, b] = [corners[i], corners[(i + 1) % 4]];
    if ((a < level) === (b < level)) continue;
    const share = (level - a) / (b - a);
    const [[ax, ay], [bx, by]] = [places[i], places[(i + 1) % 4]];
    found.push([ax + (bx - ax) * share, ay + (by - ay) * share]);
  }
  return found;
}

export function drawContour(context, at, heat, finding, color = "#ffffff") {
  const map = heat.maps.get(finding);
  if (!map) return false;
  if (!heat.contours.has(finding)) {
    heat.contours.set(finding, contour(map, heat.rows, heat.columns, heat.level * 255));
  }
  const pieces = heat.contours.get(finding);
  const [wide, high] = [at.film.columns / heat.columns, at.film.rows / heat.rows];
  for (const [stroke, line] of [["rgba(0,0,0,.8)", 3.5], [color, 1.5]]) {
    context.strokeStyle = stroke;
    context.lineWidth = line * at.unit;
    context.beginPath();
    for (const [ax, ay, bx, by] of pieces) {
      context.moveTo(...at.toScreen(ax * wide, ay * high));
      context.lineTo(...at.toScreen(bx * wide, by * high));
    }
    context.stroke();
  }
  return pieces.length > 0;
}

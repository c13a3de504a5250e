// Planes: what the file itself wants drawn over its film, or covered: overlays (60xx) and shutters.

export function drawPlanes(context, at) {
  const { film } = at;
  if (film.shutter) cover(context, at, film.shutter);
  film.overlays.forEach((overlay) => drawOverlay(context, at, overlay));
}

export function planesInWords(film, shown) {
  const said = [];
  const n = film.overlays.length;
  if (n) said.push(shown ? "overlay" : "overlay hidden (g)");
  if (film.shutter) said.push(shown ? "shutter" : "shutter open (g)");
  if (film.unread_overlays) said.push("the file has an overlay that cannot be drawn");
  return said.join(", ");
}

function cover(context, at, { rectangle, circle, polygon }) {
  for (const path of [rectanglePath(rectangle), circlePath(circle), polygon].filter((one) => one.length)) {
    context.fillStyle = "#000";
    context.beginPath();
    context.rect(0, 0, at.width, at.height);
    path.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](...at.toScreen(x, y)));
    context.closePath();
    context.fill("evenodd");
  }
}

function rectanglePath([left, top, right, bottom]) {
  return left === undefined ? [] : [[left, top], [right, top], [right, bottom], [left, bottom]];
}

function circlePath([x, y, radius]) {
  if (x === undefined) return [];
  return Array.from({ length: 180 }, (_, i) => {
    const turn = (i * Math.PI) / 90;
    return [x + radius * Math.cos(turn), y + radius * Math.sin(turn)];
  });
}

function drawOverlay(context, at, overlay) {
  const [ax, ay] = at.toScreen(overlay.left, overlay.top);
  const [bx, by] = at.toScreen(overlay.left + overlay.columns, overlay.top);
  const [cx, cy] = at.toScreen(overlay.left, overlay.top + overlay.rows);
  const [w, h] = [overlay.columns, overlay.rows];
  context.setTransform((bx - ax) / w, (by - ay) / w, (cx - ax) / h, (cy - ay) / h, ax, ay);
  context.imageSmoothingEnabled = true;
  context.drawImage(pictureOf(overlay), 0, 0);
  context.setTransform(1, 0, 0, 1, 0, 0);
}

function pictureOf(overlay) {
  if (overlay.picture) return overlay.picture;
  const { rows, columns, bits } = overlay;
  const picture = new ImageData(columns, rows);
  const pixels = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < rows * columns; i += 1) {
    if (bits[i >> 3] & (1 << (i & 7))) pixels[i] = 0xff5ed7ff; // #ffd75e
  }
  overlay.picture = document.createElement("canvas");
  overlay.picture.width = columns;
  overlay.picture.height = rows;
  overlay.picture.getContext("2d").putImageData(picture, 0, 0);
  return overlay.picture;
}

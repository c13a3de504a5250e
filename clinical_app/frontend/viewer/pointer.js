// Pointer: window, pan, zoom and measurements by mouse, pen or finger on a pane; two fingers zoom and pan.

export function listen(pane) {
  const { root } = pane;
  const fingers = new Map(); // pointer id -> place
  let drag = null;
  const ratio = () => window.devicePixelRatio || 1;
  const place = (event) => {
    const box = root.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio(), (event.clientY - box.top) * ratio()];
  };
  root.addEventListener("contextmenu", (event) => event.preventDefault());
  root.addEventListener("pointerdown", (event) => {
    const focused = root.getRootNode().activeElement;
    if (focused) focused.blur(); // a film under the hand takes the keys from the note
    if (!pane.film) return;
    event.preventDefault();
    capture(root, event.pointerId);
    pane.desk.activate(pane);
    const [x, y] = place(event);
    fingers.set(event.pointerId, [x, y]);
    if (fingers.size > 1) {
      if (drag && drag.kind === "mark") pane.desk.marks.drop(pane);
      drag = null;
      return;
    }
    drag = { kind: kindOf(event, pane.desk), x, y };
    if (drag.kind === "mark") pane.desk.marks.begin(pane, pane.at.toFilm(x, y));
  });
  root.addEventListener("pointermove", (event) => {
    if (!pane.film) return;
    const [x, y] = place(event);
    if (fingers.size > 1 && fingers.has(event.pointerId)) {
      const before = spread(fingers);
      fingers.set(event.pointerId, [x, y]);
      pinched(pane, before, spread(fingers));
      return;
    }
    if (!drag) return;
    if (drag.kind === "mark") {
      pane.desk.marks.stretch(pane, pane.at.toFilm(x, y));
      return;
    }
    dragged(pane, drag.kind, x - drag.x, y - drag.y, ratio());
    Object.assign(drag, { x, y });
  });
  const end = (event) => {
    fingers.delete(event.pointerId);
    if (drag && drag.kind === "mark") pane.desk.marks.end(pane);
    drag = null;
  };
  root.addEventListener("pointerup", end);
  root.addEventListener("pointercancel", end);
  root.addEventListener("dblclick", () => pane.fit());
  root.addEventListener("wheel", (event) => {
    event.preventDefault();
    pane.zoom(2 ** (-event.deltaY / 400), ...place(event));
  }, { passive: false });
}

function capture(root, id) {
  try {
    root.setPointerCapture(id);
  } catch (error) {
    // the pointer is gone already
  }
}

// Middle and distance of the first two fingers.
function spread(fingers) {
  const [[ax, ay], [bx, by]] = [...fingers.values()];
  return { x: (ax + bx) / 2, y: (ay + by) / 2, apart: Math.max(Math.hypot(bx - ax, by - ay), 1) };
}

function pinched(pane, before, now) {
  pane.pan(now.x - before.x, now.y - before.y);
  pane.zoom(now.apart / before.apart, now.x, now.y);
}

function kindOf(event, desk) {
  if (event.button === 1 || event.shiftKey || desk.spaced) return "pan";
  if (event.button === 2) return "zoom";
  return desk.measuring ? "mark" : "window";
}

function dragged(pane, kind, dx, dy, ratio) {
  if (kind === "pan") pane.pan(dx, dy);
  else if (kind === "zoom") pane.zoom(2 ** (-dy / (150 * ratio)));
  else {
    const { film, look } = pane;
    const step = look.width / (350 * ratio);
    const up = film.inverse !== look.inverted ? -1 : 1;
    pane.window(look.center + up * dy * step, look.width + 2 * dx * step);
  }
}

// Pointer: window, pan, zoom and ruler by mouse, pen or finger on a pane.

export function listen(pane) {
  const { root } = pane;
  let drag = null;
  const ratio = () => window.devicePixelRatio || 1;
  const place = (event) => {
    const box = root.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio(), (event.clientY - box.top) * ratio()];
  };
  root.addEventListener("contextmenu", (event) => event.preventDefault());
  root.addEventListener("pointerdown", (event) => {
    if (!pane.film) return;
    event.preventDefault();
    root.setPointerCapture(event.pointerId);
    pane.desk.activate(pane);
    const [x, y] = place(event);
    drag = { kind: kindOf(event, pane.desk), x, y };
    if (drag.kind === "ruler") {
      const at = pane.at.toFilm(x, y);
      pane.rulers.push({ from: at, to: at });
    }
  });
  root.addEventListener("pointermove", (event) => {
    if (!drag || !pane.film) return;
    const [x, y] = place(event);
    if (drag.kind === "ruler") {
      const ruler = pane.rulers.at(-1); // none where Esc cleared them meanwhile
      if (ruler) ruler.to = pane.at.toFilm(x, y);
      pane.decorate();
      return;
    }
    dragged(pane, drag.kind, x - drag.x, y - drag.y, ratio());
    Object.assign(drag, { x, y });
  });
  const end = () => {
    if (drag && drag.kind === "ruler") dropShort(pane);
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

function kindOf(event, desk) {
  if (event.button === 1 || event.shiftKey || desk.spaced) return "pan";
  if (event.button === 2) return "zoom";
  return desk.ruling ? "ruler" : "window";
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

// A click is no ruler.
function dropShort(pane) {
  const last = pane.rulers.at(-1);
  if (last && Math.hypot(last.to[0] - last.from[0], last.to[1] - last.from[1]) < 2) pane.rulers.pop();
  pane.decorate();
}

// Keyboard: every step of the desk on a key.

export class Keyboard {
  constructor(desk) {
    this.desk = desk;
    this.onKey = (event) => this.pressed(event);
    this.onUp = (event) => {
      if (event.key === " ") desk.spaced = false;
    };
    window.addEventListener("keydown", this.onKey, true);
    window.addEventListener("keyup", this.onUp, true);
  }

  remove() {
    window.removeEventListener("keydown", this.onKey, true);
    window.removeEventListener("keyup", this.onUp, true);
  }

  pressed(event) {
    const { desk } = this;
    if (!desk.isListening || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.composedPath()[0];
    if (isTyping(target)) {
      if (event.key === "Escape") {
        target.blur();
        desk.sheet.close();
      }
      if (desk.root.contains(target)) event.stopPropagation();
      return;
    }
    const focused = target instanceof HTMLElement && target.matches("button, a, summary");
    if (focused && (event.key === "Enter" || event.key === " ")) return;
    if (!this.act(event)) return;
    desk.clock.touch();
    event.preventDefault();
    event.stopPropagation();
  }

  // Returns whether the key means something here.
  act({ key, shiftKey }) {
    const { desk } = this;
    if (shiftKey && key.startsWith("Arrow")) return windowByKey(desk.active, key);
    if (/^[1-6]$/.test(key)) {
      desk.active.preset(Number(key) - 1);
      return true;
    }
    const keys = { ...this.filmKeys(desk.active), ...this.deskKeys() };
    if (!Object.hasOwn(keys, key)) return false;
    keys[key]();
    return true;
  }

  filmKeys(pane) {
    const { desk } = this;
    const { layers } = desk;
    return {
      i: () => pane.invert(), f: () => pane.fit(), o: () => pane.actual(), 0: () => pane.actual(),
      r: () => pane.rotate(), x: () => pane.flip(), m: () => desk.rule(),
      "+": () => pane.zoom(1.25), "=": () => pane.zoom(1.25), "-": () => pane.zoom(0.8),
      " ": () => { desk.spaced = true; },
      h: () => layers.toggleHeat(), b: () => layers.toggleBoxes(),
      "[": () => layers.fade(layers.opacity - 0.1), "]": () => layers.fade(layers.opacity + 0.1),
      s: () => desk.togglePrior(), v: () => desk.nextImage(),
    };
  }

  deskKeys() {
    const { desk } = this;
    const { panel } = desk;
    return {
      ArrowDown: () => panel.step(1), ArrowUp: () => panel.step(-1),
      a: () => panel.judge("agree"), d: () => panel.judge("disagree"),
      u: () => panel.judge("uncertain"), l: () => panel.judgePlace(), t: () => panel.box.focus(),
      c: () => desk.dictation.copy(desk.current), Enter: () => desk.finish(),
      n: () => desk.go("next"), p: () => desk.go("previous"), w: () => desk.leave(),
      Escape: () => desk.escape(), "?": () => desk.sheet.help(),
    };
  }
}

function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.matches("textarea, select, [contenteditable]")
    || (target.matches("input") && target.type !== "range");
}

function windowByKey(pane, key) {
  const { look, film } = pane;
  if (!film) return false;
  const step = look.width / 20;
  const up = { ArrowUp: -1, ArrowDown: 1 }[key] || 0;
  const wide = { ArrowLeft: -1, ArrowRight: 1 }[key] || 0;
  pane.window(look.center + up * step, look.width + wide * step);
  return true;
}

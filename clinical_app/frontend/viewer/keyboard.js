// Keyboard: every step of the desk on a key. A key that is held down repeats only what does no harm.

import { WindowKeys } from "./windowkeys.js";

const REPEATED = new Set(["+", "=", "-", "[", "]", "ArrowDown", "ArrowUp", " "]);

export class Keyboard extends WindowKeys {
  constructor(desk) {
    super(desk);
    this.desk = desk;
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
    const known = desk.sheet.isOpen ? this.behind(event) : event.repeat && !repeats(event) ? this.knows(event) : this.act(event);
    if (!known) return;
    desk.clock.touch();
    event.preventDefault();
    event.stopPropagation();
  }

  // Nothing acts behind an open sheet but what closes it.
  behind({ key }) {
    if (key === "Escape" || key === "?") this.desk.sheet.close();
    return key === "Enter" || key === "Escape" || this.knows({ key });
  }

  knows({ key }) {
    return /^[1-6]$/.test(key) || Object.hasOwn({ ...this.filmKeys(this.desk.active), ...this.deskKeys() }, key);
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
      i: () => pane.invert(), f: () => pane.fit(), o: () => pane.actual(), 0: () => pane.reset(),
      r: () => pane.rotate(), x: () => pane.flip(), g: () => desk.togglePlanes(),
      m: () => desk.measure("length"), k: () => desk.measure("ratio"), j: () => desk.measure("angle"),
      Delete: () => desk.marks.removeLast(pane), Backspace: () => desk.marks.removeLast(pane),
      "+": () => pane.zoom(1.25), "=": () => pane.zoom(1.25), "-": () => pane.zoom(0.8),
      " ": () => { desk.spaced = true; },
      h: () => layers.toggleHeat(), b: () => layers.toggleBoxes(),
      "[": () => layers.fade(layers.opacity - 0.1), "]": () => layers.fade(layers.opacity + 0.1),
      s: () => desk.togglePrior(), ",": () => desk.stepPrior(-1), ".": () => desk.stepPrior(1),
      q: () => desk.toggleLens(), v: () => desk.nextImage(), V: () => desk.nextPriorImage(), e: () => desk.togglePanel(),
    };
  }

  deskKeys() {
    const { desk } = this;
    const { panel } = desk;
    return {
      ArrowDown: () => panel.step(1), ArrowUp: () => panel.step(-1),
      a: () => panel.judge("agree"), d: () => panel.judge("disagree"),
      u: () => panel.judge("uncertain"), l: () => panel.judgePlace(), t: () => panel.box.focus(),
      z: () => desk.finishing.undo(),
      c: () => desk.dictation.copy(desk.current), Enter: () => desk.finish(),
      n: () => desk.go("next"), p: () => desk.go("previous"), w: () => desk.leave(),
      Escape: () => desk.escape(), "?": () => desk.sheet.help(),
    };
  }
}

function repeats({ key, shiftKey }) {
  return REPEATED.has(key) || (shiftKey && key.startsWith("Arrow"));
}

function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.matches("textarea, select, [contenteditable]")
    || (target.matches("input") && target.type !== "range");
}

// Up is brighter, as a drag upwards is, whatever the polarity of the film.
function windowByKey(pane, key) {
  const { look, film } = pane;
  if (!film) return false;
  const step = look.width / 20;
  const sign = film.inverse !== look.inverted ? -1 : 1;
  const up = { ArrowUp: -1, ArrowDown: 1 }[key] || 0;
  const wide = { ArrowLeft: -1, ArrowRight: 1 }[key] || 0;
  pane.window(look.center + sign * up * step, look.width + wide * step);
  return true;
}

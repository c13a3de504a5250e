// Answer keys: answers, the way back, and the film's own tools. A key that is held down answers once.

import { WindowKeys } from "../viewer/windowkeys.js";

const WORDS = { p: "present", a: "absent", u: "uncertain", x: "unreadable" };

export class AnswerKeys extends WindowKeys {
  constructor(page) {
    super(page);
    this.page = page;
  }

  pressed(event) {
    const { page } = this;
    if (!page.isListening || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.composedPath()[0];
    const inside = target instanceof HTMLElement;
    if (inside && target.matches("input, textarea, select, [contenteditable]")) return;
    if (inside && target.matches("button, a, summary") && (event.key === "Enter" || event.key === " ")) return;
    const act = this.meaning(event);
    if (!act) return;
    page.clock.touch();
    if (!event.repeat || act.repeats) act.run();
    event.preventDefault();
    event.stopPropagation();
  }

  meaning({ key }) {
    const { page } = this;
    const { pane } = page;
    const word = WORDS[key.toLowerCase()];
    if (word) return { run: () => page.answer(word) };
    if (/^[1-6]$/.test(key)) return { run: () => pane.preset(Number(key) - 1) };
    const keys = {
      ArrowLeft: () => this.back(), Backspace: () => this.back(), z: () => this.back(),
      s: () => (page.standing.isOpen && page.question ? page.standing.close() : page.standing.open()),
      Escape: () => { if (page.question) page.standing.close(); },
      i: () => pane.invert(), f: () => pane.fit(), o: () => pane.actual(), 0: () => pane.reset(),
    };
    const zooms = { "+": () => pane.zoom(1.25), "=": () => pane.zoom(1.25), "-": () => pane.zoom(0.8) };
    if (Object.hasOwn(zooms, key)) return { run: zooms[key], repeats: true };
    if (key === " ") return { run: () => { page.spaced = true; } };
    return Object.hasOwn(keys, key) ? { run: keys[key] } : null;
  }

  back() {
    const { standing, question } = this.page;
    if (standing.isOpen && question) return;
    standing.close();
    this.page.takeBack();
  }
}

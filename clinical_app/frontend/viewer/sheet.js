// Sheet: what lies over the desk for a moment: the list of keys, or a text to copy by hand.

import { element } from "../element.js";

const KEYS = [
  ["1 to 6", "window presets; the file's own window is 1"],
  ["drag", "window (left-right: width, up-down: centre); arrow keys with Shift"],
  ["wheel, + −", "zoom; two fingers zoom and pan"], ["Shift-drag", "pan"],
  ["f, o, 0", "fit, one film pixel a screen pixel, everything as opened"],
  ["i, r, x", "invert, rotate, mirror"], ["q", "lens under the pointer"], ["g", "the file's own overlays and shutter"],
  ["m, k, j", "measure a length, the cardiothoracic ratio, an angle; Delete takes the last one away"],
  ["h, [ ]", "heatmap of the chosen finding, its opacity"],
  ["b", "boxes of flagged findings, where the model was shown to localize"],
  ["↑ ↓", "choose a finding"], ["a, d, u", "agree, disagree, I am not sure"],
  ["l", "the place is right, wrong, not judged"], ["t", "write a note"],
  ["s", "another study of this person beside"], [", .", "a newer, an older one"],
  ["v, Shift-v", "next film of the study, of the one beside"],
  ["Enter", "finish and open the next study"], ["z", "take the last word back; open a finished study again"],
  ["n, p", "next, previous study"], ["e", "the film alone, without the panel"],
  ["c", "copy the text for dictation"], ["w", "worklist"], ["?", "this list"],
];

export class Sheet {
  constructor() {
    this.root = element("div", "sheet");
    this.root.hidden = true;
    this.root.addEventListener("click", () => this.close());
    const table = element("dl");
    KEYS.forEach(([key, what]) => table.append(element("dt", "", key), element("dd", "", what)));
    this.keys = this.box("Keys", table);
  }

  box(title, ...parts) {
    const made = element("div", "keys");
    made.tabIndex = 0; // so that it scrolls by keys, where the screen is low
    made.setAttribute("role", "dialog");
    made.setAttribute("aria-label", title);
    made.append(element("h2", "", title), ...parts);
    return made;
  }

  get isOpen() {
    return !this.root.hidden;
  }

  close() {
    this.root.hidden = true;
  }

  help() {
    if (this.isOpen) {
      this.close();
      return;
    }
    this.root.replaceChildren(this.keys);
    this.root.hidden = false;
    this.keys.focus({ preventScroll: true });
  }

  text(text) {
    const area = element("textarea", "copy");
    area.value = text;
    area.readOnly = true;
    area.setAttribute("aria-label", "Text for dictation");
    const box = this.box("Copy with Ctrl-C, close with Esc", area);
    box.addEventListener("click", (event) => event.stopPropagation());
    this.root.replaceChildren(box);
    this.root.hidden = false;
    area.select();
  }
}

// Captions: the words in the corners of a pane, and how much of the middle of its edges they cover, where the
// letters of the directions stand.

import { element } from "../element.js";

export class Captions {
  constructor(root, moved) {
    this.root = root;
    this.title = element("div", "title");
    this.warning = element("div", "warning");
    this.corner = element("div", "corner");
    this.parts = [this.title, this.warning, this.corner];
    this.taken = { top: 0, bottom: 0 }; // pixels of the screen
    this.moved = moved;
    this.watcher = new ResizeObserver(() => this.measure());
    for (const part of [root, ...this.parts]) this.watcher.observe(part);
  }

  remove() {
    this.watcher.disconnect();
  }

  clear() {
    this.warning.textContent = "";
    this.corner.textContent = "";
  }

  measure() {
    const { height, width } = this.root.getBoundingClientRect();
    const letter = parseFloat(getComputedStyle(this.root).fontSize);
    const reaches = ({ offsetLeft: left, offsetWidth: wide }) => wide > 0
      && left < width / 2 + letter && left + wide > width / 2 - letter;
    const ratio = window.devicePixelRatio || 1;
    const ends = [this.title, this.warning].filter(reaches).map((part) => part.offsetTop + part.offsetHeight);
    const top = Math.max(0, ...ends) * ratio;
    const bottom = reaches(this.corner) ? (height - this.corner.offsetTop) * ratio : 0;
    if (top === this.taken.top && bottom === this.taken.bottom) return;
    this.taken = { top, bottom };
    this.moved();
  }
}

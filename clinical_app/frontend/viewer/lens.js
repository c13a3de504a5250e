// Lens: a part of the film under the pointer, three times as large, in the window of the film.

import { element } from "../element.js";
import { sample } from "./sampling.js";

const POWER = 3;
const SIDE = 15; // in rem

export class Lens {
  constructor(pane) {
    this.pane = pane;
    this.root = element("canvas", "lens");
    this.root.setAttribute("aria-hidden", "true");
    this.root.hidden = true;
    this.place = null; // device pixels of the pane
    const move = (event) => this.follow(event);
    for (const kind of ["pointermove", "pointerdown"]) pane.root.addEventListener(kind, move);
    pane.root.addEventListener("pointerleave", () => { this.root.hidden = true; });
  }

  follow({ clientX, clientY }) {
    const ratio = window.devicePixelRatio || 1;
    const box = this.pane.root.getBoundingClientRect();
    this.place = [(clientX - box.left) * ratio, (clientY - box.top) * ratio];
    this.draw();
  }

  // With the film under it: its window, its place, and its pane's size may have changed.
  draw() {
    const { desk, film, table } = this.pane;
    this.root.hidden = !(desk.lensOn && film && desk.active === this.pane);
    if (this.root.hidden) return;
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.pane.base;
    const [x, y] = this.place || [width / 2, height / 2];
    const type = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const side = Math.round(SIDE * type * ratio);
    const at = Object.assign(this.pane.at.copy(), { width: side, height: side });
    at.scale *= POWER;
    at.center = this.pane.at.toFilm(x, y);
    this.paint(at, side, table);
    Object.assign(this.root.style, {
      width: `${side / ratio}px`, height: `${side / ratio}px`,
      left: `${(x - side / 2) / ratio}px`, top: `${(y - side / 2) / ratio}px`,
    });
  }

  paint(at, side, table) {
    const { root } = this;
    if (root.width !== side || root.height !== side) Object.assign(root, { width: side, height: side });
    const view = new Uint16Array(side * side);
    const [left, right, top, bottom] = sample(at, view);
    const picture = new ImageData(side, side);
    const pixels = new Uint32Array(picture.data.buffer).fill(0xff000000);
    for (let y = top; y < bottom; y += 1) {
      for (let i = y * side + left; i < y * side + right; i += 1) pixels[i] = table[view[i]];
    }
    root.getContext("2d").putImageData(picture, 0, 0);
  }
}

// Preview: a small copy of a film that is still on its way, on a canvas of its own and clearly named. The film's
// own canvas stays black meanwhile, and nothing can be said of the film.

import { element } from "../element.js";
import { previewOf, shareOf } from "./fetching.js";
import { fillTable, presetLook } from "./grays.js";
import { Placement } from "./placement.js";

export class Preview {
  constructor(pane) {
    this.pane = pane;
    this.root = element("canvas", "early");
    this.root.setAttribute("aria-hidden", "true");
    this.hide();
  }

  hide() {
    this.shown = null;
    this.root.hidden = true;
    this.root.width = 1; // its pixels go as well
    this.pane.root.classList.remove("early-on");
    this.pane.root.dataset.preview = "";
  }

  // Until the pane's film is here: how far it is, and this copy once that is here.
  wait(id) {
    if (this.pane.id !== id) return;
    this.show(id, previewOf(id));
    const loading = `Loading the film · ${Math.round(shareOf(id) * 100)} %`;
    this.pane.say(this.shown ? `PREVIEW, too coarse to read from. ${loading}` : loading);
  }

  // Draws it where the whole film will stand, in the window in which it will open.
  show(id, early) {
    if (!early || this.shown === early) return;
    const { pane } = this;
    const { film, values } = early;
    const kept = pane.desk.memory.get(`look ${id}`);
    const at = new Placement(film);
    const { height, width } = pane.base;
    Object.assign(at, { width, height }, kept && kept.at);
    if (at.fitted) at.fit();
    this.root.width = width;
    this.root.height = height;
    const context = this.root.getContext("2d");
    const [ax, ay] = at.toScreen(0, 0);
    const { step } = film.preview;
    const [bx, by] = at.toScreen(step, 0);
    const [cx, cy] = at.toScreen(0, step);
    context.setTransform(bx - ax, by - ay, cx - ax, cy - ay, ax, ay);
    context.drawImage(painted(film, values), 0, 0);
    this.shown = early;
    this.root.hidden = false;
    pane.root.classList.add("early-on");
    pane.root.dataset.preview = id;
  }
}

function painted(film, values) {
  const { columns, rows } = film.preview;
  const table = new Uint32Array(65536);
  fillTable(table, film, presetLook(film, 0));
  const picture = new ImageData(columns, rows);
  const pixels = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = table[values[i]];
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

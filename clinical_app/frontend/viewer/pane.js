// Pane: one film on two canvases, gray values below, what lies over it above.

import { element } from "../element.js";
import { film, heatmaps } from "./fetching.js";
import { BLACK, fillTable, lookAfter, lookByHand, lookInWords, presetLook } from "./grays.js";
import { drawBoxes, drawDirections, drawHeat, drawRuler } from "./overlay.js";
import { Placement } from "./placement.js";
import { listen } from "./pointer.js";
import { sample } from "./sampling.js";

export class Pane {
  constructor(desk, title) {
    this.desk = desk;
    this.root = element("div", "pane");
    this.base = element("canvas", "film");
    this.over = element("canvas", "over");
    this.base.setAttribute("role", "img");
    this.over.setAttribute("aria-hidden", "true");
    this.message = element("div", "message");
    this.corner = element("div", "corner");
    this.title = element("div", "title", title);
    this.root.append(this.base, this.over, this.title, this.corner, this.message);
    this.film = null;
    this.at = null; // its placement
    this.heat = null;
    this.table = new Uint32Array(65536);
    this.rulers = [];
    this.url = "";
    listen(this);
    new ResizeObserver(() => this.resized()).observe(this.root);
  }

  async show(url, heatUrl, label) {
    if (this.url === url) return;
    this.url = url;
    this.cool();
    this.rulers = [];
    const slow = setTimeout(() => this.say("Loading the film"), 150);
    try {
      const loaded = await film(url);
      if (this.url !== url) return;
      this.film = loaded;
      this.at = new Placement(loaded);
      this.say("");
      this.preset(0, false);
      this.fit();
    } catch (error) {
      if (this.url === url) {
        this.film = null;
        this.draw();
        this.say(error.message);
      }
      return;
    } finally {
      clearTimeout(slow);
    }
    this.base.setAttribute("aria-label", label);
    this.root.dataset.painted = url;
    this.desk.painted(this);
    if (heatUrl) await this.warm(url, heatUrl);
  }

  cool() {
    this.heat = null;
    this.root.dataset.heat = "";
  }

  async warm(url, heatUrl) {
    try {
      const heat = await heatmaps(heatUrl);
      if (this.url !== url) return;
      this.heat = heat;
      this.root.dataset.heat = "ready";
      this.decorate();
    } catch (error) {
      if (this.url === url) this.desk.tell(error.message);
    }
  }

  clear(sentence) {
    this.url = "";
    this.cool();
    this.film = null;
    this.draw();
    this.say(sentence);
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  // ---- the look

  preset(number, tell = true) {
    if (!this.film || !this.film.presets[number]) return;
    this.look = presetLook(this.film, number);
    if (tell) this.desk.linked(this);
    this.redraw();
  }

  window(center, width) {
    this.look = lookByHand(this.film, this.look, center, width);
    this.desk.linked(this);
    this.redraw();
  }

  follow(other) {
    if (!this.film || !other.film) return;
    this.look = lookAfter(this.film, other.film, other.look);
    this.redraw();
  }

  invert() {
    if (!this.film) return;
    this.look = { ...this.look, inverted: !this.look.inverted };
    this.desk.linked(this);
    this.redraw();
  }

  // ---- the placement

  fit() {
    this.move((at) => at.fit());
  }

  actual() {
    this.move((at) => at.actual());
  }

  zoom(factor, x, y) {
    this.move((at) => at.zoom(factor, x, y));
  }

  pan(dx, dy) {
    this.move((at) => at.pan(dx, dy));
  }

  rotate() {
    this.move((at) => at.rotate());
  }

  flip() {
    this.move((at) => at.flip());
  }

  move(how) {
    if (!this.film) return;
    this.size();
    how(this.at);
    this.draw();
  }

  resized() {
    if (!this.root.isConnected || !this.film) return;
    if (this.at.fitted) this.fit();
    else this.draw();
  }

  // ---- drawing

  size() {
    const ratio = window.devicePixelRatio || 1;
    const box = this.root.getBoundingClientRect();
    const width = Math.max(Math.round(box.width * ratio), 1);
    const height = Math.max(Math.round(box.height * ratio), 1);
    const unit = (ratio * parseFloat(getComputedStyle(document.documentElement).fontSize)) / 14;
    if (this.film) Object.assign(this.at, { width, height, unit });
    if (this.base.width === width && this.base.height === height && this.context) return;
    for (const canvas of [this.base, this.over]) {
      canvas.width = width;
      canvas.height = height;
    }
    this.context = this.base.getContext("2d", { alpha: false, willReadFrequently: true });
    this.picture = this.context.createImageData(width, height);
    this.view = new Uint16Array(width * height);
  }

  draw() {
    this.size();
    if (!this.film) {
      this.context.fillStyle = "#000";
      this.context.fillRect(0, 0, this.base.width, this.base.height);
      this.decorate();
      return;
    }
    this.inside = sample(this.at, this.view);
    this.redraw();
  }

  // The window is applied to the values that were sampled.
  redraw() {
    if (!this.film || !this.view) return;
    fillTable(this.table, this.film, this.look);
    const { width, height } = this.base;
    const pixels = new Uint32Array(this.picture.data.buffer);
    const [left, right, top, bottom] = this.inside || [0, 0, 0, 0];
    const { table, view } = this;
    if (left > 0 || right < width || top > 0 || bottom < height) pixels.fill(BLACK);
    for (let y = top; y < bottom; y += 1) {
      const end = y * width + right;
      for (let i = y * width + left; i < end; i += 1) pixels[i] = table[view[i]];
    }
    this.context.putImageData(this.picture, 0, 0);
    this.root.dataset.window = `${this.look.center.toFixed(3)}/${this.look.width.toFixed(3)}`;
    this.decorate();
  }

  decorate() {
    const context = this.over.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.over.width, this.over.height);
    if (!this.film) {
      this.corner.textContent = "";
      return;
    }
    const { at, desk, heat } = this;
    const finding = heat ? desk.layers.heatOf(this) : "";
    const warm = Boolean(finding) && drawHeat(context, at, heat, finding, desk.layers.opacity);
    this.root.dataset.shown = warm ? finding : "";
    const boxes = heat ? desk.layers.boxesOf(this) : [];
    this.root.dataset.boxes = boxes.map((one) => one.finding).join(" ");
    drawBoxes(context, at, boxes.map((one) => ({ ...one, box: heat.boxes.get(one.finding) })));
    drawDirections(context, at);
    this.rulers.forEach((ruler) => drawRuler(context, at, ruler));
    this.corner.textContent = `${lookInWords(this.film, this.look)} · ${(at.scale * 100).toFixed(0)} %`;
  }
}

// Pane: one film on two canvases, gray values below, what lies over it above. It shows the film that the
// header names, or black.

import { element } from "../element.js";
import { Captions } from "./captions.js";
import { drawContour } from "./contour.js";
import { film, heatmaps, letGo } from "./fetching.js";
import { BLACK, fillTable, lookAfter, lookByHand, lookInWords, presetLook } from "./grays.js";
import { Lens } from "./lens.js";
import { keepLook, openLook } from "./looking.js";
import { drawBoxes, drawDirections, drawHeat, drawMark } from "./overlay.js";
import { Placement } from "./placement.js";
import { drawPlanes, planesInWords } from "./planes.js";
import { listen } from "./pointer.js";
import { Preview } from "./preview.js";
import { sample } from "./sampling.js";

const BOX = "devicePixelContentBoxSize" in ResizeObserverEntry.prototype ? "device-pixel-content-box" : "content-box";

export class Pane {
  constructor(desk) {
    this.desk = desk;
    this.root = element("div", "pane");
    this.base = element("canvas", "film");
    this.over = element("canvas", "over");
    this.base.setAttribute("role", "img");
    this.over.setAttribute("aria-hidden", "true");
    this.message = element("div", "message");
    this.sentence = element("span");
    this.message.append(this.sentence);
    this.captions = new Captions(this.root, () => this.decorate());
    this.early = new Preview(this);
    this.lens = new Lens(this);
    this.root.append(this.base, this.early.root, this.over, this.lens.root, ...this.captions.parts, this.message);
    this.film = null;
    this.at = null; // its placement
    this.heat = null;
    this.table = new Uint32Array(65536);
    this.id = ""; // of the film that belongs here
    this.paintedAt = 0;
    listen(this);
    this.watcher = new ResizeObserver(() => this.resized());
    this.watcher.observe(this.root, { box: BOX });
    this.onScale = () => this.resized();
    this.watchScale();
  }

  remove() {
    this.watcher.disconnect();
    this.captions.remove();
    if (this.scale) this.scale.removeEventListener("change", this.onScale);
  }

  // Another screen may have other pixels: one film pixel stays one of the screen.
  watchScale() {
    if (this.scale) this.scale.removeEventListener("change", this.onScale);
    this.scale = window.matchMedia(`(resolution: ${window.devicePixelRatio || 1}dppx)`);
    this.scale.addEventListener("change", this.onScale);
  }

  async show(image, label) {
    const { id } = image;
    if (this.id === id && (this.film || this.loading)) {
      if (image.heat && !this.heat && this.film) await this.warm(image);
      return;
    }
    letGo(this.id);
    this.blank();
    this.id = id;
    this.loading = true;
    const slow = setInterval(() => this.early.wait(id), 150);
    try {
      const loaded = await film(image);
      if (this.id !== id) return;
      this.early.hide();
      this.film = loaded;
      this.at = new Placement(loaded);
      this.say("");
      openLook(this);
    } catch (error) {
      if (this.id === id) {
        this.blank();
        this.say(error.message);
        if (error.status === 403) this.desk.renew();
        if (error.status === 422) this.desk.finishing.cannotShow(id);
      }
      return;
    } finally {
      clearInterval(slow);
      if (this.id === id) this.loading = false;
    }
    this.base.setAttribute("aria-label", label);
    this.root.dataset.painted = id;
    this.paintedAt = performance.now();
    this.desk.painted(this);
    if (image.heat) await this.warm(image);
  }

  // Black, and nothing over it: what was here belongs to another film.
  blank() {
    this.early.hide();
    this.id = "";
    this.film = null;
    this.heat = null;
    this.loading = false;
    this.paintedAt = 0;
    Object.assign(this.root.dataset, { painted: "", heat: "", shown: "", boxes: "" });
    this.base.removeAttribute("aria-label");
    this.draw();
  }

  async warm(image) {
    try {
      const heat = await heatmaps(image);
      if (this.id !== image.id) return;
      this.heat = heat;
      this.root.dataset.heat = "ready";
      this.decorate();
    } catch (error) {
      if (this.id === image.id) this.desk.tell(error.message);
    }
  }

  clear(sentence) {
    this.blank();
    this.say(sentence);
  }

  say(text) {
    this.sentence.textContent = text;
    this.message.hidden = !text;
  }

  // ---- the look

  preset(number, tell = true) {
    if (!this.film || !this.film.presets[number]) return;
    this.look = presetLook(this.film, number, this.look.inverted);
    if (tell) this.desk.linked(this);
    this.redraw();
    keepLook(this);
  }

  window(center, width) {
    this.look = lookByHand(this.film, this.look, center, width);
    this.desk.linked(this);
    this.redraw();
    keepLook(this);
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
    keepLook(this);
  }

  // Everything as the film opened.
  reset() {
    if (!this.film) return;
    this.look = presetLook(this.film, 0);
    this.desk.linked(this);
    this.move((at) => {
      Object.assign(at, { turn: 0, flipped: false });
      at.fit();
    });
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

  move(how, tell = true) {
    if (!this.film) return;
    this.size();
    how(this.at);
    this.draw();
    if (!tell) return;
    keepLook(this);
    this.desk.moved(this);
  }

  resized() {
    this.watchScale();
    if (!this.root.isConnected) return;
    if (this.film && this.at.fitted) this.move((at) => at.fit(), false);
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
      this.lens.draw();
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
    this.lens.draw();
    this.root.dataset.window = `${this.look.center.toFixed(3)}/${this.look.width.toFixed(3)}`;
    this.decorate();
  }

  decorate() {
    const context = this.over.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.over.width, this.over.height);
    if (!this.film) {
      this.captions.clear();
      return;
    }
    const { at, desk, heat } = this;
    const finding = heat ? desk.layers.heatOf(this) : "";
    const warm = Boolean(finding) && drawHeat(context, at, heat, finding, desk.layers.opacity);
    if (warm) drawContour(context, at, heat, finding);
    this.root.dataset.shown = warm ? finding : "";
    this.decorateBoxes(context);
    if (desk.planesOn) drawPlanes(context, at);
    drawDirections(context, at, this.captions.taken);
    desk.marks.of(this).forEach((mark) => drawMark(context, at, mark));
    this.captions.warning.textContent = at.flipped ? "MIRRORED" : "";
    const planes = planesInWords(this.film, desk.planesOn);
    const words = [lookInWords(this.film, this.look), `${(at.scale * 100).toFixed(0)} %`, planes];
    this.captions.corner.textContent = words.filter(Boolean).join(" · ");
  }

  decorateBoxes(context) {
    const boxes = this.heat ? this.desk.layers.boxesOf(this) : [];
    this.root.dataset.boxes = boxes.filter(({ box }) => box).map(({ finding }) => finding).join(" ");
    this.root.dataset.contours = boxes.filter(({ box }) => !box).map(({ finding }) => finding).join(" ");
    boxes.filter(({ box }) => !box).forEach(({ finding }) => drawContour(context, this.at, this.heat, finding, "#9bd4f5"));
    drawBoxes(context, this.at, boxes.filter(({ box }) => box));
  }
}

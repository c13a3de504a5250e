// Desk: one study at a time, its film, its prior beside it, and what is said of it.

import { element } from "../element.js";
import { Clock } from "./clock.js";
import { Dictation } from "./dictation.js";
import { film } from "./fetching.js";
import { Keyboard } from "./keyboard.js";
import { Layers } from "./layers.js";
import { Pane } from "./pane.js";
import { Panel } from "./panel.js";
import { Reviews } from "./reviews.js";
import { Sheet } from "./sheet.js";
import { Toolbar } from "./toolbar.js";

const PATIENCE = 5000; // milliseconds that an answer to an older step is held back

export class Desk {
  constructor(root) {
    this.root = root;
    this.priorOn = false;
    this.ruling = false;
    this.spaced = false; // the space bar is down
    this.reviews = new Reviews(this);
    this.layers = new Layers(this);
    this.dictation = new Dictation(this);
    this.pane = new Pane(this, "");
    this.beside = new Pane(this, "Prior");
    this.beside.root.hidden = true;
    this.active = this.pane;
    this.stage = element("div", "stage");
    this.stage.append(this.pane.root, this.beside.root);
    this.toolbar = new Toolbar(this);
    this.panel = new Panel(this);
    this.status = element("div", "status");
    this.status.setAttribute("role", "status");
    this.sheet = new Sheet();
    root.append(this.toolbar.root, this.stage, this.panel.root, this.status, this.sheet.root);
    this.keyboard = new Keyboard(this);
    this.clock = new Clock(this);
  }

  remove() {
    this.reviews.save(this.current, true);
    for (const part of [this.keyboard, this.clock, this.reviews]) part.remove();
  }

  get isListening() {
    return this.root.isConnected && Boolean(this.data) && !this.locked;
  }

  get currentImage() {
    return this.current.images[this.image];
  }

  // ---- from study to study

  // Data from Python.
  update(data, send) {
    this.send = send;
    this.received = data;
    clearTimeout(this.late);
    const ahead = this.pending && data.case.id !== this.pending.id;
    const left = ahead ? this.pending.at + PATIENCE - performance.now() : 0;
    if (left > 0) { // an answer to an older step, unless it stays the last one
      this.late = setTimeout(() => this.update(data, send), left);
      return;
    }
    this.pending = null;
    this.data = data;
    const { current } = this;
    const same = current && current.id === data.case.id && current.version === data.case.version;
    if (same) this.current = data.case;
    else this.open(data.case);
    for (const coming of [data.next, data.next && data.next.prior]) {
      const first = coming && coming.images[0];
      if (first && first.film) film(first.film).catch(() => {});
    }
    this.toolbar.paintWalk(data);
    const { wish } = this;
    this.wish = "";
    if (wish) this.go(wish);
  }

  // A new study, from Python or, before Python answers, from what was prefetched.
  open(study) {
    const same = this.current && this.current.id === study.id;
    this.current = study;
    this.began = performance.now();
    if (!same) {
      this.image = 0;
      this.layers.hide();
      this.priorOn = false;
      this.panel.chosen = study.statements.length ? study.statements[0].finding : "";
    }
    this.reviews.open(study);
    this.root.dataset.case = study.id;
    this.showImage();
    this.panel.paint(study);
    this.toolbar.paintWalk(this.data);
  }

  go(way) {
    const study = this.data[way];
    if (!study) {
      if (this.pending) this.wish = way; // pressed again before Python named the study after
      return;
    }
    if (this.reviews.isUnsaved(this.current)) this.reviews.save(this.current);
    this.pending = { id: study.id, at: performance.now() };
    // Painted from memory at once where it is known; Python follows. It stays silent where its last
    // word was this study: two quick steps, there and back, reach it as none.
    const known = this.received.case.id === study.id;
    if (known) this.data = this.received;
    else this.data = { ...this.data, next: null, previous: study.images ? this.current : null };
    if (known || study.images) this.open(known ? this.received.case : study);
    this.send("go", study.id);
  }

  finish() {
    if (!this.current.can_review) return;
    this.reviews.of(this.current).finished = true;
    this.reviews.save(this.current);
    if (this.data.next || this.pending) this.go("next");
    else this.tell("Finished. There is no further study in this list.");
  }

  leave() {
    if (this.data.listed) this.send("go", "");
  }

  lock() {
    if (this.locked) return;
    this.locked = true;
    this.pane.clear("Locked after a time without use.");
    this.panel.clear();
    this.send("go", "lock");
  }

  // ---- films

  showImage() {
    const { current: study, currentImage: image } = this;
    this.pane.title.textContent = this.priorOn ? `This study ${study.day}` : "";
    this.toolbar.paintWhere(study, image, this.image);
    if (image.film) this.pane.show(image.film, image.heat, `Film of study ${study.name}, ${image.view}`);
    else this.pane.clear(image.sentence || "There is no film to show.");
    this.showPrior();
  }

  showPrior() {
    const { prior } = this.current;
    const on = Boolean(prior && this.priorOn);
    this.beside.root.hidden = !on;
    this.stage.classList.toggle("two", on);
    if (on) {
      this.beside.title.textContent = `Prior ${prior.day}`;
      const first = prior.images[0];
      if (first.film) this.beside.show(first.film, null, `Prior film of ${prior.day}`);
      else this.beside.clear(first.sentence);
    }
    if (!on) this.active = this.pane;
    if (this.pane.film && this.pane.at.fitted) requestAnimationFrame(() => this.pane.fit());
    this.toolbar.paintTools();
  }

  nextImage() {
    if (this.current.images.length < 2) return;
    this.image = (this.image + 1) % this.current.images.length;
    this.showImage();
  }

  togglePrior() {
    if (!this.current.prior) {
      this.tell("There is no earlier study of this patient here.");
      return;
    }
    this.priorOn = !this.priorOn;
    this.showImage();
  }

  // A pane has drawn its film.
  painted(pane) {
    if (pane === this.beside) pane.follow(this.pane);
    else {
      this.root.dataset.paintedMs = (performance.now() - this.began).toFixed(1);
      this.toolbar.paintPresets();
      if (!this.beside.root.hidden) this.beside.follow(this.pane);
    }
    this.toolbar.paintTools();
  }

  // A pane's window has changed; the other one's follows.
  linked(pane) {
    const other = pane === this.pane ? this.beside : this.pane;
    if (!other.root.hidden) other.follow(pane);
    this.toolbar.paintPresets();
    this.toolbar.paintTools();
  }

  activate(pane) {
    this.active = pane;
  }

  repaint() {
    this.pane.decorate();
    this.toolbar.paintTools();
  }

  // ---- small things

  rule(on = !this.ruling) {
    this.ruling = on;
    this.stage.classList.toggle("ruling", on);
    this.toolbar.paintTools();
  }

  escape() {
    this.sheet.close();
    this.active.rulers = [];
    this.active.decorate();
    this.rule(false);
  }

  tell(text) {
    this.status.textContent = text;
    clearTimeout(this.telling);
    this.telling = setTimeout(() => { this.status.textContent = ""; }, 6000);
  }
}

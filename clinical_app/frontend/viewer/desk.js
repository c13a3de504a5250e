// Desk: one study at a time, its film, another of this person beside it, and what is said of it.

import { element } from "../element.js";
import { Ahead } from "./ahead.js";
import { Clock } from "./clock.js";
import { Comparing } from "./comparing.js";
import { Dictation } from "./dictation.js";
import { forgetAll } from "./fetching.js";
import { Finishing } from "./finishing.js";
import { Keyboard } from "./keyboard.js";
import { Layers } from "./layers.js";
import { Marks } from "./marks.js";
import { Memory } from "./memory.js";
import { Pane } from "./pane.js";
import { Panel } from "./panel.js";
import { remind } from "./reminding.js";
import { Reviews } from "./reviews.js";
import { Sheet } from "./sheet.js";
import { Toolbar } from "./toolbar.js";

const PATIENCE = 5000; // milliseconds that an answer to an older step is held back

export class Desk {
  constructor(root, reader) {
    this.root = root;
    this.measuring = ""; // a kind of mark
    this.planesOn = true;
    this.lensOn = false;
    this.spaced = false; // the space bar is down
    this.memory = new Memory(reader);
    this.reviews = new Reviews(this);
    this.layers = new Layers(this);
    this.ahead = new Ahead(this);
    this.dictation = new Dictation(this);
    this.marks = new Marks(this);
    this.pane = new Pane(this);
    this.beside = new Pane(this);
    this.comparing = new Comparing(this);
    this.finishing = new Finishing(this);
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
    this.reviews.saveAll(true);
    for (const part of [this.keyboard, this.clock, this.reviews, this.pane, this.beside]) part.remove();
  }

  get isListening() {
    return this.root.isConnected && Boolean(this.data) && !this.locked;
  }

  get currentImage() {
    return this.current.images[this.image];
  }

  // Whether the film that the header names is on the screen.
  get isPainted() {
    return Boolean(this.pane.film) && this.pane.film.id === this.currentImage.id;
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
    this.root.classList.toggle("upload", !data.listed);
    const { current } = this;
    const same = current && current.id === data.case.id && current.version === data.case.version && !this.locked;
    this.locked = false;
    if (same) {
      this.current = data.case;
      this.reviews.open(data.case);
      this.panel.repaintReview();
    } else this.open(data.case);
    for (const coming of [data.next, data.after]) if (coming) this.reviews.open(coming);
    if (this.isPainted) this.ahead.fetch();
    remind(this, data);
    this.toolbar.paintWalk(data);
    const { wish } = this;
    this.wish = "";
    if (wish) this.go(wish);
  }

  // A new study, from Python or, before Python answers, from what was prefetched.
  open(study) {
    const same = this.current && this.current.id === study.id;
    const shown = same && this.current.images[this.image];
    const place = shown ? study.images.findIndex(({ id }) => id === shown.id) : 0;
    this.image = Math.max(place, 0);
    this.current = study;
    this.began = performance.now();
    if (!same) {
      this.layers.hide();
      this.comparing.close();
      this.finishing.opened();
      this.measure("");
      this.panel.chosen = study.statements.length ? study.statements[0].finding : "";
    }
    this.reviews.open(study);
    this.root.dataset.case = study.id;
    this.root.dataset.hidden = String(study.hidden);
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
    this.reviews.saveAll();
    this.pending = { id: study.id, at: performance.now() };
    // Painted from memory at once where it is known; Python follows. It stays silent where its last
    // word was this study: two quick steps, there and back, reach it as none.
    const known = this.received.case.id === study.id;
    if (known) this.data = this.received;
    else this.data = { ...this.data, next: way === "next" ? this.data.after : null, after: null, previous: study.images ? this.current : null };
    if (known || study.images) this.open(known ? this.received.case : study);
    this.send("go", study.id); // what Python must name first stays away, and this study whole, until then
  }

  finish() {
    this.finishing.finish();
  }

  leave() {
    if (!this.data.listed) return;
    this.reviews.saveAll();
    this.send("go", "");
  }

  // Ask Python for the study anew: links that work, what the server knows now.
  renew() {
    const now = performance.now();
    if (this.renewed && now - this.renewed < 4000) return;
    this.renewed = now;
    this.send("go", `refresh ${Math.round(now)}`);
  }

  lock() {
    if (this.locked) return;
    this.locked = true;
    this.comparing.close();
    this.comparing.show();
    this.pane.clear("Locked after a time without use. What is not saved is kept in this tab.");
    this.panel.clear();
    forgetAll();
    this.send("go", "lock");
  }

  // ---- films

  showImage() {
    const { current: study, currentImage: image } = this;
    this.toolbar.paintWhere(study, image, this.image);
    if (image.film) this.pane.show(image, `Film of study ${study.name}, ${image.view}`);
    else this.pane.clear(image.sentence || "There is no film to show.");
    this.comparing.show();
  }

  nextImage() {
    if (this.current.images.length < 2) return;
    this.image = (this.image + 1) % this.current.images.length;
    this.showImage();
  }

  togglePrior() {
    this.comparing.toggle();
  }

  stepPrior(by) {
    this.comparing.step(by);
  }

  nextPriorImage() {
    this.comparing.nextImage();
  }

  // A pane has drawn its film.
  painted(pane) {
    this.comparing.follow();
    if (pane === this.pane) {
      this.root.dataset.paintedMs = (performance.now() - this.began).toFixed(1);
      this.finishing.seen(pane.film.id);
      this.toolbar.paintPresets();
      this.ahead.fetch();
    }
    this.toolbar.paintTools();
    this.panel.paintReady();
  }

  // A pane's window has changed; the other one's follows.
  linked(pane) {
    const other = pane === this.pane ? this.beside : this.pane;
    if (this.comparing.isOn) other.follow(pane);
    this.toolbar.paintPresets();
    this.toolbar.paintTools();
  }

  // A pane's film was moved; the other one's follows.
  moved(pane) {
    const other = pane === this.pane ? this.beside : this.pane;
    if (this.comparing.isOn && other.film && pane.film) other.move((at) => at.follow(pane.at), false);
    this.toolbar.paintTools();
  }

  activate(pane) {
    this.active = pane;
    for (const one of [this.pane, this.beside]) one.lens.draw();
  }

  repaint() {
    this.pane.decorate();
    this.toolbar.paintTools();
  }

  // ---- small things

  measure(kind) {
    this.measuring = this.measuring === kind ? "" : kind;
    this.marks.drawing = null;
    this.stage.classList.toggle("ruling", Boolean(this.measuring));
    if (this.current) this.toolbar.paintTools();
  }

  toggleLens() {
    this.lensOn = !this.lensOn;
    for (const pane of [this.pane, this.beside]) pane.lens.draw();
    this.toolbar.paintTools();
  }

  togglePlanes() {
    this.planesOn = !this.planesOn;
    for (const pane of [this.pane, this.beside]) pane.decorate();
    this.toolbar.paintTools();
  }

  togglePanel() {
    this.root.classList.toggle("alone");
    this.toolbar.paintTools();
  }

  escape() {
    this.sheet.close();
    this.measure("");
    if (this.lensOn) this.toggleLens();
    this.active.decorate();
  }

  // A word of the reader is stored.
  saved(id, change, when) {
    this.tell(`Saved ${when}`);
    if (change.note !== undefined) this.panel.box.tellNote();
    if (this.current && this.current.id === id) {
      this.panel.repaintReview();
      this.pane.decorate();
      if (change.reveal) this.renew();
    }
  }

  // Who else is at this study now.
  others({ reading, others }) {
    if (this.current) this.panel.paintOthers(reading, others);
  }

  away(isAway) {
    if (isAway) this.tell("The server does not answer. Films that are here stay; your word is kept in this tab.", true);
    else if (this.isAway) this.tell("The server answers again.");
    this.isAway = isAway;
  }

  // stays: until the next word, because it is still true then.
  tell(text, stays = false) {
    this.status.textContent = text;
    clearTimeout(this.telling);
    if (!stays) this.telling = setTimeout(() => { this.status.textContent = ""; }, 6000);
  }
}

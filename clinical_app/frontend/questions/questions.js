// Questions: the film that is asked about, what is asked, and the reader's word on its way to the server.

import { element } from "../element.js";
import { Clock } from "../viewer/clock.js";
import { filmAhead, forgetAll } from "../viewer/fetching.js";
import { Memory } from "../viewer/memory.js";
import { Pane } from "../viewer/pane.js";
import { AnswerKeys } from "./answerkeys.js";
import { Asking } from "./asking.js";
import { Standing } from "./standing.js";

const SETTLES = 350; // milliseconds in which a second press cannot mean the film that has just come
const SILENT = "The server does not answer. Nothing was stored; answer again when it does.";

export class Questions {
  constructor(root, reader) {
    this.root = root;
    this.memory = new Memory(reader);
    this.role = this.memory.get("label role") || "reader";
    this.seconds = 0;
    this.state = null;
    this.busy = false;
    this.pane = new Pane(this);
    this.asking = new Asking(this);
    this.standing = new Standing(this);
    const stage = element("div", "stage");
    stage.append(this.pane.root);
    root.append(stage, this.asking.root, this.standing.root);
    this.keyboard = new AnswerKeys(this);
    this.clock = new Clock(this);
  }

  // What a pane and a clock ask of whoever holds them; nothing lies over these films.
  planesOn = true;

  spaced = false;

  measuring = "";

  layers = { heatOf: () => "", boxesOf: () => [], opacity: 0 };

  marks = { of: () => [] };

  finishing = { cannotShow: () => this.cannotShow() };

  reviews = { spend: (_study, seconds) => { this.seconds += seconds; } };

  linked() {}

  moved() {}

  activate() {}

  others() {}

  remove() {
    for (const part of [this.keyboard, this.clock, this.pane]) part.remove();
  }

  get current() {
    return this.data && { touch_url: this.data.touch_url };
  }

  get question() {
    return this.state && this.state.question;
  }

  get isListening() {
    return this.root.isConnected && Boolean(this.data) && !this.locked;
  }

  // Which answers can be given now: none until the film that is asked about is on the screen.
  may(answer) {
    const { question } = this;
    if (!question || this.busy || this.standing.isOpen) return false;
    if (!question.image) return answer === "unreadable";
    const shown = this.pane.film && this.pane.film.id === question.image.id;
    return Boolean(shown) && performance.now() - this.pane.paintedAt > SETTLES;
  }

  // ---- with the server

  update(data, send) {
    const first = !this.data || this.locked;
    const renewed = this.data && this.data.question_url !== data.question_url;
    Object.assign(this, { data, send, locked: false });
    if (first || renewed) this.load();
  }

  async load() {
    await this.ask(`${this.data.question_url}?role=${this.role}`);
  }

  async answer(word) {
    if (!this.may(word)) return;
    const { item, turn, image } = this.question;
    this.asking.chosen(word);
    await this.say({ item, turn, answer: word, film: image ? image.id : "", seconds: this.seconds });
  }

  async takeBack() {
    if (this.busy || !this.state || !this.state.undo) return;
    await this.say({ item: this.state.undo, undo: true });
  }

  async say(content) {
    const body = JSON.stringify({ ...content, role: this.role });
    const headers = { "Content-Type": "application/json" };
    await this.ask(this.data.answer_url, { method: "POST", body, headers });
  }

  async ask(url, options = {}) {
    this.busy = true;
    this.asking.paintReady();
    let answer;
    let said = {};
    try {
      answer = await fetch(url, { credentials: "same-origin", cache: "no-store", ...options });
      said = await answer.json().catch(() => ({}));
    } catch (error) {
      answer = null;
    }
    this.busy = false;
    this.asking.chosen("");
    if (!answer) this.tell(SILENT, true);
    else if (answer.ok) this.paint(said);
    else if (answer.status === 403) this.renew();
    else await this.refused(answer.status, said.message || `The server answered ${answer.status}.`);
    this.asking.paintReady();
  }

  // Nothing was stored: what is asked now may be another question.
  async refused(status, sentence) {
    if (status === 422 && this.retried !== sentence) {
      this.retried = sentence;
      await this.load();
    }
    this.tell(sentence);
  }

  async decide(role) {
    if (this.busy) return;
    this.role = role;
    this.memory.set("label role", role);
    this.standing.close();
    await this.load();
  }

  // ---- on the screen

  paint(state) {
    const before = this.question;
    this.state = state;
    this.role = state.role;
    const { question } = state;
    this.tell("");
    this.root.classList.toggle("done", !question);
    this.root.dataset.item = question ? question.item : "";
    this.root.dataset.done = state.done;
    this.root.dataset.total = state.total;
    this.asking.paint(state);
    if (!question) {
      this.pane.clear("");
      this.standing.open();
      return;
    }
    if (!before || before.item !== question.item) this.seconds = 0;
    if (question.image) this.pane.show(question.image, "Film of this question");
    else this.pane.clear(question.sentence);
  }

  // The film's own place says why; that it cannot be judged is all there is to say.
  cannotShow() {
    if (!this.question) return;
    this.question.image = null;
    this.question.sentence = "This film cannot be shown.";
    this.asking.paint(this.state);
  }

  painted() {
    this.retried = "";
    this.asking.paintReady();
    setTimeout(() => this.asking.paintReady(), SETTLES + 20);
    for (const coming of this.state.coming) if (coming) filmAhead(coming).catch(() => {});
  }

  tell(text, stays = false) {
    this.asking.tell(text);
    clearTimeout(this.telling);
    if (text && !stays) this.telling = setTimeout(() => this.asking.tell(""), 8000);
  }

  away(isAway) {
    if (isAway) this.tell(SILENT, true);
    else if (this.isAway) this.tell("The server answers again.");
    this.isAway = isAway;
  }

  renew() {
    const now = performance.now();
    if (this.renewed && now - this.renewed < 4000) return;
    this.renewed = now;
    this.send("go", `refresh ${Math.round(now)}`);
  }

  lock() {
    if (this.locked) return;
    this.locked = true;
    this.standing.close();
    this.pane.clear("Locked after a time without use.");
    forgetAll();
    this.send("go", `lock ${Math.round(performance.now())}`);
  }
}

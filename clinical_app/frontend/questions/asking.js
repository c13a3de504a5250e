// Asking: the panel beside the film: the question, its answers on keys, and how far the reader is.

import { button, element } from "../element.js";

export const ANSWERS = [
  ["present", "Present", "P"], ["absent", "Absent", "A"],
  ["uncertain", "Uncertain", "U"], ["unreadable", "Cannot be judged", "X"],
];
const HINTS = [
  ["Drag", "window"], ["Wheel", "zoom"], ["Shift drag", "move"], ["I", "invert"], ["F", "fit"],
  ["O", "1 : 1"], ["1 to 6", "windows"], ["0", "as it opened"],
];
const IN_WORDS = Object.fromEntries(ANSWERS.map(([name, label]) => [name, label.toLowerCase()]));

export class Asking {
  constructor(page) {
    this.page = page;
    this.root = element("aside", "panel asking");
    this.kicker = element("p", "soft kicker");
    this.words = element("h1", "words");
    this.words.setAttribute("aria-live", "polite");
    this.note = element("p", "soft");
    this.answers = element("div", "answers");
    this.buttons = new Map(ANSWERS.map(([name, label, key]) => [
      name, button(`answer ${name}`, label, key, () => page.answer(name)),
    ]));
    this.answers.append(...this.buttons.values());
    this.back = button("back", "Take back the last answer", "←", () => page.takeBack());
    this.said = element("p", "said");
    this.said.setAttribute("role", "status");
    this.decide = button("decide", "Decide", "", () => this.turn());
    this.show = button("show", "How far we are", "S", () => page.standing.open());
    this.far = element("div", "far");
    this.bar = element("div", "scale");
    this.fill = element("div", "fill");
    this.bar.setAttribute("role", "progressbar");
    this.bar.append(this.fill);
    this.count = element("p", "soft count");
    this.far.append(this.bar, this.count);
    const hints = element("dl", "hints");
    for (const [keys, what] of HINTS) hints.append(element("dt", "", keys), element("dd", "", what));
    const more = element("div", "more");
    more.append(this.decide, this.show);
    this.root.append(this.kicker, this.words, this.note, this.answers, this.back, this.said, element("div", "room"), more, hints, this.far);
  }

  turn() {
    this.page.decide(this.page.role === "reader" ? "adjudication" : "reader");
  }

  paint({ role, question, done, total, to_decide: differing, of_finding: [n, of] }) {
    const deciding = role === "adjudication";
    this.kicker.textContent = deciding ? "Readers differ on this film" : "Label audit";
    this.words.textContent = question ? question.words : "";
    this.note.textContent = question ? noteOf(question, deciding) : "";
    this.count.textContent = question ? `${done} of ${total} answered · ${question.finding} ${n} of ${of}` : "";
    this.fill.style.width = total ? `${(100 * done) / total}%` : "0";
    this.bar.setAttribute("aria-valuemax", total);
    this.bar.setAttribute("aria-valuenow", done);
    this.bar.setAttribute("aria-label", "Answered");
    this.decide.hidden = !deciding && !differing;
    this.decide.firstChild.textContent = deciding ? "Back to my own questions"
      : `Decide where readers differ (${differing})`;
    this.paintReady();
  }

  paintReady() {
    const { page } = this;
    for (const [name, one] of this.buttons) one.disabled = !page.may(name);
    this.back.disabled = page.busy || !page.state || !page.state.undo;
    this.root.dataset.ready = String(page.may("unreadable"));
  }

  chosen(word) {
    for (const [name, one] of this.buttons) one.setAttribute("aria-pressed", String(name === word));
  }

  tell(text) {
    this.said.textContent = text;
  }
}

function noteOf({ image, said, sentence }, deciding) {
  if (!image) return sentence;
  if (deciding) return `They said: ${said.map((one) => IN_WORDS[one]).join(", ")}. Your word decides.`;
  return "Say what you see. The label on file and the model's score are not shown.";
}

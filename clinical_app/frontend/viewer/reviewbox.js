// Review box: the buttons and the note by which a reader answers.

import { button, element } from "../element.js";

export class ReviewBox {
  constructor(desk) {
    this.desk = desk;
    this.note = null;
    this.judging = [];
  }

  paint(study) {
    const box = element("div", "review");
    this.note = null;
    this.judging = [];
    this.closed = element("p", "closed");
    this.people = element("p", "soft others", study.others);
    if (!study.can_review) {
      box.append(element("p", "soft", study.review_sentence));
      return box;
    }
    const { desk } = this;
    const { panel } = desk;
    const say = element("div", "buttons say-row");
    const words = study.hidden ? ["Present", "Absent", "Not sure"] : ["Agree", "Disagree", "Not sure"];
    if (study.statements.length) {
      say.append(
        button("say", words[0], "a", () => panel.judge("agree")),
        button("say", words[1], "d", () => panel.judge("disagree")),
        button("say", words[2], "u", () => panel.judge("uncertain")),
      );
      if (!study.hidden) say.append(button("say", "Place", "l", () => panel.judgePlace()));
    }
    this.note = this.paintNote(study);
    const done = element("div", "buttons");
    const finish = study.hidden ? "Store, then show the model" : "Finish, next";
    this.done = button("primary", finish, "Enter", () => desk.finish());
    this.judging = [...say.children, this.done];
    done.append(this.done);
    if (!study.hidden) done.append(button("say", "Copy text", "c", () => desk.dictation.copy(desk.current)));
    box.append(this.closed, say, this.note, done, this.people);
    this.repaint(study);
    return box;
  }

  // Buttons that store something wait for the film.
  paintReady() {
    this.judging.forEach((one) => { one.disabled = !this.desk.isPainted; });
  }

  repaint(study) {
    if (!this.note) return;
    const { finished, finished_at: at, note, since } = this.desk.reviews.of(study);
    this.closed.replaceChildren();
    if (finished) {
      this.closed.append(since ? `You finished this${at ? ` at ${at}` : ""}; ${since}. ` : `Finished${at ? ` ${at}` : ""}. `);
      this.closed.append(button("say", "Open again", "z", () => this.desk.finishing.undo()));
    }
    if (this.note.value !== note && !this.isWriting) this.note.value = note;
    this.paintReady();
  }

  get isWriting() {
    return this.note && this.note.getRootNode().activeElement === this.note;
  }

  // What the server has of the note, where another tab wrote one too.
  tellNote() {
    const { note } = this.desk.reviews.of(this.desk.current);
    if (!this.note || this.note.value === note) return;
    this.note.value = note;
    this.desk.tell("Another tab wrote a note too: both are kept.", true);
  }

  paintOthers(reading, others) {
    if (!this.people) return;
    const now = reading.length ? `Being read by ${reading.join(", ")}. ` : "";
    this.people.textContent = now + others;
    this.people.classList.toggle("now", Boolean(now));
  }

  paintNote(study) {
    const { desk } = this;
    const note = element("textarea", "note");
    note.placeholder = "Note (t)";
    note.setAttribute("aria-label", "Note");
    note.rows = 2;
    note.maxLength = 4000;
    note.value = desk.reviews.of(study).note;
    note.addEventListener("input", () => {
      if (desk.finishing.mayJudge()) desk.reviews.say(study, { note: note.value });
      else note.value = desk.reviews.of(study).note;
    });
    return note;
  }

  focus() {
    if (this.note) this.note.focus();
  }
}

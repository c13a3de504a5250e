// Review box: the buttons and the note by which a reader answers.

import { button, element } from "../element.js";

export class ReviewBox {
  constructor(desk) {
    this.desk = desk;
    this.note = null;
  }

  paint(study) {
    const box = element("div", "review");
    this.note = null;
    if (!study.can_review) {
      box.append(element("p", "soft", study.review_sentence));
      return box;
    }
    const { desk } = this;
    const { panel } = desk;
    const say = element("div", "buttons");
    say.append(
      button("say", "Agree", "a", () => panel.judge("agree")),
      button("say", "Disagree", "d", () => panel.judge("disagree")),
      button("say", "Not sure", "u", () => panel.judge("uncertain")),
      button("say", "Place", "l", () => panel.judgePlace()),
    );
    this.note = this.paintNote(study);
    const done = element("div", "buttons");
    done.append(
      button("primary", "Finish, next", "Enter", () => desk.finish()),
      button("say", "Copy text", "c", () => desk.dictation.copy(desk.current)),
    );
    box.append(say, this.note, done);
    if (study.others) box.append(element("p", "soft others", study.others));
    return box;
  }

  paintNote(study) {
    const { reviews } = this.desk;
    const note = element("textarea", "note");
    note.placeholder = "Note (t)";
    note.setAttribute("aria-label", "Note");
    note.rows = 2;
    note.maxLength = 4000;
    note.value = reviews.of(study).note;
    note.addEventListener("input", () => {
      reviews.of(study).note = note.value;
      reviews.saveSoon(study);
    });
    return note;
  }

  focus() {
    if (this.note) this.note.focus();
  }
}

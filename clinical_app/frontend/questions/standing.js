// Standing: who has answered how much, how readers agree, and the files that follow from it.

import { button, element } from "../element.js";

export class Standing {
  constructor(page) {
    this.page = page;
    this.root = element("section", "standing");
    this.root.hidden = true;
    this.card = element("div", "card");
    this.root.append(this.card);
  }

  get isOpen() {
    return !this.root.hidden;
  }

  async open() {
    const { page } = this;
    this.root.hidden = false;
    this.card.replaceChildren(element("p", "soft", "Counting …"));
    let made = null;
    try {
      const answer = await fetch(page.data.progress_url, { credentials: "same-origin", cache: "no-store" });
      if (answer.status === 403) page.renew();
      made = answer.ok ? await answer.json() : null;
    } catch (error) {
      made = null;
    }
    if (!this.isOpen) return;
    if (made) this.paint(made);
    else this.card.replaceChildren(element("p", "soft", "The server does not answer."), this.buttons(null));
    page.asking.paintReady();
  }

  close() {
    this.root.hidden = true;
    if (this.page.question) this.page.asking.paintReady();
    this.root.dataset.shown = "";
  }

  paint(made) {
    const { state } = this.page;
    const finished = !this.page.question;
    const deciding = this.page.role === "adjudication";
    const title = !finished ? "How far we are" : deciding ? "Nothing is left to decide" : "Every question is answered";
    this.card.replaceChildren(element("h1", "", title));
    if (finished && !deciding) this.card.append(element("p", "soft", thanks(state)));
    this.card.append(readers(made));
    if (made.agreements.length) this.card.append(element("h2", "", "How far two readers agree"), agreement(made));
    this.card.append(element("p", "", differing(made)), this.buttons(made));
    this.root.dataset.shown = "true";
    const first = this.card.querySelector("button, a");
    if (first) first.focus({ preventScroll: true });
  }

  buttons(made) {
    const { page } = this;
    const row = element("div", "buttons");
    if (page.question) row.append(button("primary", "Go on", "Esc", () => this.close()));
    else if (page.role === "adjudication") row.append(button("primary", "Back to my own questions", "", () => page.decide("reader")));
    else if (page.state && page.state.to_decide) {
      row.append(button("primary", `Decide where readers differ (${page.state.to_decide})`, "", () => page.decide("adjudication")));
    }
    if (!page.question && page.state && page.state.undo) row.append(button("back", "Take back the last answer", "←", () => { this.close(); page.takeBack(); }));
    if (made) row.append(link("Answers as CSV", made.answers_url));
    if (made && made.overlay_url) row.append(link("Overlay for labels apply", made.overlay_url));
    return row;
  }
}

function thanks({ to_decide: left }) {
  return left ? "Thank you. Readers differ on some films that you did not judge: your word can decide them." : "Thank you.";
}

function link(words, url) {
  const made = element("a", "file", words);
  made.href = url;
  made.download = "";
  return made;
}

function readers({ total, readers: people }) {
  const list = element("div", "people");
  if (!people.length) list.append(element("p", "soft", `${total} questions; nobody has answered one yet.`));
  for (const [name, n] of people) {
    const bar = element("div", "scale");
    const fill = element("div", "fill");
    fill.style.width = `${(100 * n) / total}%`;
    bar.append(fill);
    list.append(element("span", "", name), bar, element("span", "number", `${n} of ${total}`));
  }
  return list;
}

function agreement({ agreements }) {
  const table = element("table");
  const head = element("tr");
  for (const name of ["Finding", "Judged by both", "Agreed", "Cohen's kappa"]) head.append(element("th", "", name));
  table.append(head);
  for (const [finding, n, agreed, kappa] of agreements) {
    const row = element("tr");
    const numbers = [String(n), agreed === null ? "-" : `${Math.round(agreed * 100)} %`, kappa === null ? "-" : kappa.toFixed(2)];
    row.append(element("td", "", finding), ...numbers.map((text) => element("td", "", text)));
    table.append(row);
  }
  return table;
}

function differing({ differing: left, decided }) {
  const open = left ? `Readers differ on ${left} ${left === 1 ? "question" : "questions"}; a further reader decides.` : "Readers differ on nothing that is open.";
  return decided ? `${open} ${decided} decided so far.` : open;
}

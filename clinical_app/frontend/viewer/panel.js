// Panel: what the model says of a study, by urgency, what it means here, and what the reader says.

import { element } from "../element.js";
import { ReviewBox } from "./reviewbox.js";
import { judged, judgedFirst, placed } from "./verdicts.js";

const MARKS = {
  present: "▲", flagged: "▲", uncertain: "◆", absent: "○", "not flagged": "○", "no rule": "–", hidden: "·",
};

export class Panel {
  constructor(desk) {
    this.desk = desk;
    this.root = element("aside", "panel");
    this.root.setAttribute("aria-label", "Findings");
    this.box = new ReviewBox(desk);
    this.chosen = ""; // a finding
    this.rows = new Map();
    this.numbersOpen = window.innerHeight > 900; // the statistics of a finding
  }

  paint(study) {
    const parts = [this.paintHead(study)];
    if (study.refusal) {
      const box = element("div", "refusal");
      box.append(element("strong", "", study.refusal.title));
      if (study.refusal.sentence) box.append(element("p", "", study.refusal.sentence));
      parts.push(box);
    }
    if (study.flags.length) {
      const list = element("ul", "flags");
      study.flags.forEach((flag) => list.append(element("li", flag.serious ? "serious" : "", unbroken(flag.text))));
      parts.push(list);
    }
    if (study.comparison.length) {
      const since = element("ul", "flags since");
      study.comparison.forEach((line) => since.append(element("li", "", unbroken(line))));
      parts.push(since);
    }
    const list = this.paintFindings(study.statements);
    this.explain = element("div", "explain");
    this.explain.setAttribute("aria-live", "polite");
    if (study.statements.length) parts.push(list, this.explain);
    else parts.push(element("div", "findings"));
    parts.push(this.box.paint(study), this.paintFoot(study));
    this.root.replaceChildren(...parts);
    this.choose(this.chosen, false);
  }

  // The review has changed: in another tab, or by taking a word back.
  repaintReview() {
    this.rows.forEach((_, finding) => this.paintSaid(finding));
    this.paintExplain();
    this.box.repaint(this.desk.current);
  }

  paintReady() {
    this.box.paintReady();
  }

  paintOthers(reading, others) {
    this.box.paintOthers(reading, others);
  }

  clear() {
    this.root.replaceChildren();
  }

  paintHead(study) {
    const head = element("div", "head");
    head.append(element("h2", "", study.headline), element("p", "soft", study.subline));
    return head;
  }

  paintFoot(study) {
    const foot = element("p", "foot", study.foot);
    study.reports.forEach(({ label, url }, i) => {
      const link = element("a", "", label);
      Object.assign(link, { href: url, target: "_blank", rel: "noopener" });
      foot.append(...(i || study.foot ? [" · ", link] : [link]));
    });
    return foot;
  }

  paintFindings(statements) {
    const list = element("div", "findings");
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Findings by urgency");
    this.rows.clear();
    let group = "";
    statements.forEach((statement) => {
      if (statement.group !== group) {
        group = statement.group;
        const title = element("div", "group-title", group);
        title.setAttribute("role", "presentation");
        list.append(title);
      }
      list.append(this.paintFinding(statement));
    });
    return list;
  }

  paintFinding(statement) {
    const row = element("div", `finding ${statement.state.replace(" ", "-")}`);
    row.setAttribute("role", "option");
    row.dataset.finding = statement.finding;
    const mark = element("span", "mark", MARKS[statement.state]);
    mark.setAttribute("aria-hidden", "true");
    const said = element("span", "said");
    row.append(
      mark, element("span", "name", statement.title), scaleOf(statement),
      element("span", "number", statement.text), said,
    );
    row.addEventListener("click", () => this.choose(statement.finding));
    this.rows.set(statement.finding, { row, said, statement, words: "" });
    this.paintSaid(statement.finding);
    return row;
  }

  // What the reader said of a finding, as a sign in its row and in words.
  paintSaid(finding) {
    const entry = this.rows.get(finding);
    const said = this.desk.reviews.of(this.desk.current).findings[finding] || {};
    const opinion = said.opinion || (said.label === "uncertain" ? "uncertain" : "");
    const words = { agree: "agreed", disagree: "disagreed", uncertain: "not sure" }[opinion] || "";
    const place = { agree: "place right", disagree: "place wrong" }[said.location] || "";
    const label = opinion ? "" : { present: "present", absent: "absent" }[said.label] || "";
    const sign = { agree: "✓", disagree: "✗", uncertain: "?", present: "+", absent: "−" }[opinion || label];
    entry.said.textContent = sign || (place ? "·" : "");
    entry.words = [words || label, place].filter(Boolean).join(", ");
    entry.said.title = entry.words;
    const { title, state, text } = entry.statement;
    entry.row.setAttribute("aria-label", [title, state, text, entry.words].filter(Boolean).join(", "));
  }

  choose(finding, reveal = true) {
    this.chosen = finding;
    const entry = this.rows.get(finding);
    this.rows.forEach(({ row }, name) => {
      row.setAttribute("aria-selected", String(name === finding));
      row.tabIndex = name === finding ? 0 : -1;
    });
    if (entry && reveal) entry.row.scrollIntoView({ block: "nearest" });
    this.paintExplain();
    this.desk.pane.decorate();
  }

  step(by) {
    const names = [...this.rows.keys()];
    if (!names.length) return;
    const at = names.indexOf(this.chosen);
    this.choose(names[Math.min(Math.max(at + by, 0), names.length - 1)]);
  }

  paintExplain() {
    const entry = this.rows.get(this.chosen);
    this.explain.replaceChildren();
    if (!entry) return;
    const { films, meaning, state, text, title } = entry.statement;
    const top = element("p", "", title);
    if (state !== "hidden") top.append(element("span", "soft", ` ${state}, ${text}`));
    if (entry.words) top.append(element("strong", "", ` · you: ${entry.words}`));
    this.explain.append(top);
    if (films) this.explain.append(element("p", "soft films", unbroken(films)));
    meaning.slice(0, 1).forEach((line) => this.explain.append(element("p", "soft", unbroken(line))));
    if (meaning.length < 2) return;
    const more = element("details");
    more.open = this.numbersOpen;
    more.addEventListener("toggle", () => { this.numbersOpen = more.open; });
    more.append(element("summary", "soft", "The numbers behind it"));
    meaning.slice(1).forEach((line) => more.append(element("p", "soft", unbroken(line))));
    this.explain.append(more);
  }

  // ---- what the reader says of the chosen finding

  judge(opinion) {
    this.say((said, { state }) => (state === "hidden"
      ? judgedFirst(said, opinion) : judged(said, opinion, ["present", "flagged"].includes(state))));
  }

  judgePlace() {
    this.say((said, { state }) => (state === "hidden" ? null : placed(said)));
  }

  say(how) {
    const { current, finishing, reviews } = this.desk;
    const entry = this.rows.get(this.chosen);
    if (!entry || !finishing.mayJudge()) return;
    const before = reviews.of(current).findings[this.chosen] || { opinion: "", location: "", label: "" };
    const now = how(before, entry.statement);
    if (!now) return;
    finishing.said.push({ finding: this.chosen, before });
    reviews.say(current, { findings: { [this.chosen]: now } });
    this.paintSaid(this.chosen);
    this.paintExplain();
  }
}

// No line ends between a number and its sign.
function unbroken(text) {
  return text.replace(/([<>]=?) (?=\d)|(\d) (?=%)/g, "$1$2\u00a0");
}

function scaleOf({ probability, threshold }) {
  const scale = element("span", probability === null ? "" : "scale");
  scale.setAttribute("aria-hidden", "true");
  if (probability === null) return scale;
  const fill = element("i", "fill");
  fill.style.width = `${probability * 100}%`;
  scale.append(fill);
  if (threshold !== null) {
    const tick = element("i", "tick");
    tick.style.left = `${threshold * 100}%`;
    scale.append(tick);
  }
  return scale;
}

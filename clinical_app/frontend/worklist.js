// Worklist: rows from an HTTP route, kept up to date, drawn only where they are seen, on keys.

import { element } from "./element.js";
import { BY, SORTS, URGENCY, isPinned, rowOf } from "./worklistrow.js";

const STATUSES = [
  ["", "All"], ["new", "New"], ["read", "Read"], ["waiting", "Waiting"],
  ["not analysed", "Not analysed"], ["failed", "Failed"],
];
const ROW = 2.7; // rem
const QUEUE = 400;
class Worklist {
  constructor(root) {
    this.root = root;
    this.rows = [];
    this.shown = [];
    this.status = "";
    this.words = "";
    this.chosen = "";
    this.tag = "";
    this.build();
    this.onKey = (event) => this.key(event);
    window.addEventListener("keydown", this.onKey, true);
    for (const name of ["pointermove", "wheel", "pointerdown"]) {
      root.addEventListener(name, () => this.touch(), { passive: true });
    }
    this.measure();
    this.observer = new ResizeObserver(() => {
      this.measure();
      this.draw();
    });
    this.observer.observe(this.scroller);
  }

  remove() {
    window.removeEventListener("keydown", this.onKey, true);
    this.observer.disconnect();
    clearTimeout(this.timer);
    this.gone = true;
  }

  build() {
    const top = element("div", "top");
    this.chips = element("div", "chips");
    this.chips.setAttribute("role", "group");
    this.chips.setAttribute("aria-label", "Status");
    this.buttons = STATUSES.map(([status, label]) => {
      const made = element("button", "chip");
      made.type = "button";
      made.append(element("span", "", label), element("b"));
      made.addEventListener("click", () => this.filter(status));
      this.chips.append(made);
      return made;
    });
    this.search = element("input", "search");
    this.search.type = "search";
    this.search.placeholder = "Search  /";
    this.search.setAttribute("aria-label", "Search studies");
    this.search.addEventListener("input", () => {
      this.words = this.search.value.toLowerCase();
      this.select();
    });
    this.sort = element("select", "sort");
    this.sort.setAttribute("aria-label", "Order of the list");
    SORTS.forEach(([value, label]) => {
      const option = element("option", "", label);
      option.value = value;
      this.sort.append(option);
    });
    this.sort.addEventListener("change", () => {
      this.sort.blur();
      this.select();
    });
    const find = element("div", "find");
    find.append(this.sort, this.search);
    top.append(this.chips, find);
    this.heads = element("div", "row heads");
    ["", "Urgency", "Study", "Patient", "Flagged, or why not", "Waiting", "Studied", "View", "Status"]
      .forEach((text) => this.heads.append(element("span", "", text)));
    this.heads.setAttribute("aria-hidden", "true");
    this.scroller = element("div", "scroller");
    this.scroller.setAttribute("role", "listbox");
    this.scroller.setAttribute("aria-label", "Studies, the most urgent first");
    this.scroller.tabIndex = 0;
    this.space = element("div", "space");
    this.nothing = element("div", "nothing");
    this.scroller.append(this.heads, this.space, this.nothing);
    this.scroller.addEventListener("scroll", () => this.draw());
    this.foot = element("div", "foot");
    this.foot.setAttribute("role", "status");
    this.root.append(top, this.scroller, this.foot);
  }

  // Rows are placed by script, so their height in pixels must be known: it follows the root's type.
  measure() {
    this.rowHeight = Math.round(ROW * parseFloat(getComputedStyle(document.documentElement).fontSize));
    this.space.style.setProperty("--row", `${this.rowHeight}px`);
    this.space.style.height = `${this.shown.length * this.rowHeight}px`;
  }

  update(data, send) {
    this.send = send;
    this.locked = data.locked;
    if (this.data && this.data.url === data.url) return;
    this.data = data;
    this.chosen = data.chosen || "";
    this.tag = "";
    this.asked = performance.now();
    this.load();
  }

  // A hand on the list is use of the session.
  touch() {
    const now = performance.now();
    const every = Math.min(15, (this.data?.idle_seconds || 1800) / 6) * 1000;
    if (!this.data || !this.data.touch_url || now - (this.touched || -Infinity) < every) return;
    this.touched = now;
    fetch(this.data.touch_url, {
      method: "POST", body: "{}", credentials: "same-origin", headers: { "Content-Type": "application/json" },
    }).catch(() => {});
  }

  async load() {
    clearTimeout(this.timer);
    if (this.gone) return;
    const { url } = this.data;
    try {
      const answer = await fetch(url, {
        credentials: "same-origin", cache: "no-store", headers: this.tag ? { "If-None-Match": this.tag } : {},
      });
      if (answer.status === 200) {
        const said = await answer.json();
        this.tag = answer.headers.get("ETag") || "";
        this.take(said);
      } else if (answer.status !== 304) {
        const said = await answer.json().catch(() => ({}));
        this.tell(said.message || `The server answered ${answer.status}.`);
      }
      if (answer.status === 403) return this.lock();
    } catch (error) {
      this.tell("The server does not answer; the list is as it was.");
    }
    if (!this.gone) this.timer = setTimeout(() => this.load(), 2000);
  }

  // The session is locked or over: nothing stays on the screen, and Python says why.
  lock() {
    this.take({ now: Date.now() / 1000, counts: {}, rows: [] });
    this.send("open", { id: "" });
  }

  take({ now, counts, rows }) {
    this.offset = now - Date.now() / 1000;
    this.counts = counts;
    this.rows = rows;
    rows.forEach((row) => {
      row.text = [row.name, row.person, row.flagged.join(" "), row.why, row.view, row.day, row.status, row.since,
        row.accession, row.reading.join(" "), URGENCY[row.urgency]].join(" ").toLowerCase();
    });
    const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
    this.buttons.forEach((made, i) => {
      const status = STATUSES[i][0];
      made.lastChild.textContent = ((status ? counts[status] : all) || 0).toLocaleString("en");
    });
    this.select(false);
    this.root.dataset.rows = String(rows.length);
    if (this.asked) {
      const now = performance.now();
      this.root.dataset.drawn = `${(now - this.asked).toFixed(1)}/${now.toFixed(1)}`;
      this.asked = 0;
    }
  }

  filter(status) {
    this.status = status;
    this.select();
  }

  select(top = true) {
    const words = this.words.split(/\s+/).filter(Boolean);
    this.shown = this.rows.filter((row) => (!this.status || row.status === this.status)
      && words.every((word) => row.text.includes(word)));
    const by = BY[this.sort.value];
    if (by) this.shown = [...this.shown].sort((a, b) => isPinned(b) - isPinned(a) || by(a, b));
    this.buttons.forEach((made, i) => made.setAttribute("aria-pressed", String(STATUSES[i][0] === this.status)));
    if (!this.shown.some((row) => row.id === this.chosen)) {
      this.chosen = this.shown.length ? this.shown[0].id : "";
    }
    this.space.style.height = `${this.shown.length * this.rowHeight}px`;
    if (top) this.scroller.scrollTop = 0;
    this.draw();
    this.nothing.textContent = this.shown.length ? "" : this.rows.length
      ? "No study matches. Clear the search or choose another status." : this.data.empty;
    this.tell("");
  }

  tell(text) {
    this.foot.textContent = text || `${this.shown.length.toLocaleString("en")} studies · `
      + "↑ ↓ choose · Enter open · / search · 0 to 5 status";
  }

  draw() {
    const { rowHeight, scroller } = this;
    const first = Math.max(Math.floor(scroller.scrollTop / rowHeight) - 4, 0);
    const last = Math.min(first + Math.ceil(scroller.clientHeight / rowHeight) + 8, this.shown.length);
    const now = Date.now() / 1000 + (this.offset || 0);
    const made = [];
    for (let i = first; i < last; i += 1) made.push(this.row(this.shown[i], i, now));
    this.space.replaceChildren(...made);
    if (this.chosen) this.scroller.setAttribute("aria-activedescendant", `row-${this.chosen}`);
  }

  row(study, i, now) {
    const made = rowOf(study, now);
    made.style.top = `${i * this.rowHeight}px`;
    made.setAttribute("aria-selected", String(study.id === this.chosen));
    made.addEventListener("click", () => {
      this.chosen = study.id;
      this.open();
    });
    return made;
  }

  open() {
    const at = this.shown.findIndex((row) => row.id === this.chosen);
    if (at < 0) return;
    const from = Math.max(at - QUEUE / 4, 0);
    const queue = this.shown.slice(from, from + QUEUE).map((row) => row.id);
    keepQueue(this.data.reader, queue);
    this.send("open", { id: this.chosen, queue });
    this.tell("Opening");
  }

  move(by) {
    if (!this.shown.length) return;
    const at = this.shown.findIndex((row) => row.id === this.chosen);
    const to = Math.min(Math.max(at + by, 0), this.shown.length - 1);
    this.chosen = this.shown[to].id;
    const { rowHeight, scroller } = this;
    const [top, bottom] = [to * rowHeight, (to + 1) * rowHeight];
    const seen = scroller.clientHeight - this.heads.offsetHeight;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    if (bottom > scroller.scrollTop + seen) scroller.scrollTop = bottom - seen;
    this.draw();
  }

  key(event) {
    this.touch();
    if (event.repeat && event.key === "Enter") return; // a held key opens nothing
    if (!this.root.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.composedPath()[0];
    if (target === this.search) {
      if (event.key === "Escape" || event.key === "Enter" || event.key === "ArrowDown") {
        target.blur();
        this.scroller.focus();
        event.preventDefault();
      }
      event.stopPropagation();
      return;
    }
    if (target instanceof HTMLElement && target.matches("input, textarea, select")) return;
    if (event.key === "Enter" && target instanceof HTMLElement && target.matches("button, a")) return;
    const page = Math.max(Math.floor(this.scroller.clientHeight / this.rowHeight) - 1, 1);
    const keys = {
      ArrowDown: () => this.move(1), j: () => this.move(1), ArrowUp: () => this.move(-1), k: () => this.move(-1),
      PageDown: () => this.move(page), PageUp: () => this.move(-page),
      Home: () => this.move(-this.shown.length), End: () => this.move(this.shown.length),
      Enter: () => this.open(), "/": () => this.search.focus(),
    };
    STATUSES.forEach(([status], i) => { keys[i] = () => this.filter(status); });
    if (!Object.hasOwn(keys, event.key)) return;
    keys[event.key]();
    event.preventDefault();
    event.stopPropagation();
  }
}

function keepQueue(reader, queue) {
  try {
    sessionStorage.setItem(`cxr ${reader} queue`, JSON.stringify(queue));
  } catch (error) {
    // a browser that keeps nothing
  }
}

const lists = new WeakMap();

export default function worklist({ parentElement, data, setTriggerValue }) {
  let list = lists.get(parentElement);
  if (!list) {
    list = new Worklist(parentElement.querySelector(".worklist"));
    lists.set(parentElement, list);
  }
  list.update(data, setTriggerValue);
  return () => {
    list.remove();
    lists.delete(parentElement);
    list.root.replaceChildren();
  };
}

// Worklist row: one study as a row of the list, and the orders of the list.

import { element } from "./element.js";

export const URGENCY = { 1: "Act now", 2: "Soon", 3: "Routine", 4: "" };
const MARK = { 1: "▲▲", 2: "▲", 3: "▵", 4: "" };
export const SORTS = [
  ["order", "To be read"], ["urgency", "Urgency"], ["waiting", "Longest waiting"], ["newest", "Newest"], ["studied", "Study date"],
];
export const BY = {
  urgency: (a, b) => a.urgency - b.urgency || a.received - b.received,
  waiting: (a, b) => a.received - b.received,
  newest: (a, b) => b.received - a.received,
  studied: (a, b) => (b.day > a.day) - (b.day < a.day),
};

function waited(seconds) {
  const minutes = Math.max(seconds, 0) / 60;
  if (minutes < 1) return "now";
  if (minutes < 60) return `${Math.round(minutes)} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${String(Math.floor(minutes % 60)).padStart(2, "0")}`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function rowOf(study, now) {
  const made = element("div", `row u${study.urgency} ${study.status.replace(" ", "-")}`);
  made.id = `row-${study.id}`;
  made.dataset.id = study.id;
  made.setAttribute("role", "option");
  const mark = element("span", "mark", MARK[study.urgency]);
  mark.setAttribute("aria-hidden", "true");
  made.classList.toggle("pinned", isPinned(study));
  made.title = study.order;
  const scored = study.status === "new" || study.status === "read";
  const nothing = study.hidden ? "Your own reading first" : "Nothing flagged";
  const said = element("span", "flagged", study.flagged.length ? "" : study.why || (scored ? nothing : ""));
  said.append(...named(study));
  const wait = element("span", "wait", study.status === "read" ? "" : waited(now - study.received));
  if (study.overdue) {
    wait.classList.add("overdue");
    wait.textContent += " !";
  }
  const state = element("span", "soft state", statusOf(study));
  state.title = state.textContent; // two lines at most are shown
  const cells = [
    mark,
    element("span", "urgency", scored ? (study.hidden ? "–" : URGENCY[study.urgency]) : ""),
    element("span", "name", study.name),
    element("span", "", study.person),
    said,
    wait,
    element("span", "soft", study.day),
    element("span", "soft", study.images > 1 ? `${study.view} +${study.images - 1}` : study.view),
    state,
  ];
  made.append(...cells);
  return made;
}

// What is claimed, then what is uncertain, as the page of the study says it.
function named(study) {
  const claimed = study.flagged.filter((name) => !study.uncertain.includes(name)).join(", ");
  const open = study.uncertain.length && `${claimed ? " · u" : "U"}ncertain: ${study.uncertain.join(", ")}`;
  const parts = [claimed, open && element("i", "", open)];
  return [study.shared && "Two people in one study · ", ...parts].filter(Boolean);
}

// Acted on now: above all others, whatever the order.
export function isPinned(study) {
  return study.status === "new" && study.urgency === 1 && !study.hidden;
}

function statusOf(study) {
  if (study.reading.length) return `being read by ${study.reading.join(", ")}`;
  if (study.since) return `${study.since} ${study.readers.join(", ")} finished`;
  return study.status === "read" && study.readers.length ? `read by ${study.readers.join(", ")}` : study.status;
}

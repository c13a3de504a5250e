// Verdicts: what a reader says of one finding, {opinion, location, label}, changed step by step.

const NOTHING = { opinion: "", location: "", label: "" };

// The same opinion twice takes it back. The label is what the reader holds true: to agree with a
// flag, or to disagree with its absence, is to say "present".
export function judged(said, opinion, positive) {
  const now = { ...NOTHING, ...said };
  if (opinion === "uncertain") return { ...now, opinion: "", label: "uncertain" };
  if (now.opinion === opinion) return { ...now, opinion: "", label: "" };
  const there = (opinion === "agree") === positive;
  return { ...now, opinion, label: there ? "present" : "absent" };
}

// Before the model's word is known there is nothing to agree with: agree says present, disagree absent.
export function judgedFirst(said, opinion) {
  const label = { agree: "present", disagree: "absent", uncertain: "uncertain" }[opinion];
  const now = { ...NOTHING, ...said };
  return { ...NOTHING, label: now.label === label ? "" : label };
}

export function placed(said) {
  const now = { ...NOTHING, ...said };
  return { ...now, location: { "": "agree", agree: "disagree", disagree: "" }[now.location] };
}

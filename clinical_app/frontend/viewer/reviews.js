// Reviews: what the reader says of each study, kept in this tab until the server has it.
//
// Only what changed is sent, so that two tabs of one reader add up. What is not saved outlives a reload, a
// lock and a restart of the server.

const AGAIN = 3000; // milliseconds

export class Reviews {
  constructor(desk) {
    this.desk = desk;
    this.studies = new Map(); // study id -> its newest data, whose links are the ones that work
    this.kept = new Map(); // study id -> the review as the reader sees it
    this.changes = new Map(); // study id -> what the server does not have yet
    this.sending = new Map(); // study id -> what is on its way
    this.seconds = new Map(); // study id -> time to read
    this.onLeave = (event) => {
      if (this.changes.size) event.preventDefault();
    };
    window.addEventListener("beforeunload", this.onLeave);
  }

  remove() {
    window.removeEventListener("beforeunload", this.onLeave);
    clearTimeout(this.saving);
    clearTimeout(this.retry);
  }

  // A study is known, or known anew: its links, and what the server has of the review.
  open(study) {
    const { id } = study;
    this.studies.set(id, study);
    if (!this.changes.has(id)) {
      const draft = this.desk.memory.get(`draft ${id}`);
      if (draft) this.changes.set(id, draft);
    }
    const known = this.kept.get(id);
    if (!known || (study.review.at || 0) >= (known.at || 0)) this.take(id, study.review);
    this.seconds.set(id, Math.max(this.seconds.get(id) || 0, study.review.seconds));
    if (this.changes.has(id)) this.saveSoon();
  }

  // What the server has, with what it does not have yet on top.
  take(id, review) {
    let now = copied(review);
    for (const change of [this.sending.get(id), this.changes.get(id)]) if (change) now = applied(now, change);
    this.kept.set(id, now);
  }

  of(study) {
    return this.kept.get(study.id);
  }

  isUnsaved(study) {
    return this.changes.has(study.id) || this.sending.has(study.id);
  }

  spend(study, seconds) {
    this.seconds.set(study.id, (this.seconds.get(study.id) || 0) + seconds);
  }

  // change: {findings, marks, note, finished, reopen, reveal}, each as far as it changes.
  say(study, change) {
    const { id } = study;
    const before = this.changes.get(id) || { note_before: this.of(study).saved_note ?? study.review.note };
    const said = { ...joined(before, change), film: this.desk.currentImage.id };
    this.changes.set(id, said);
    this.kept.set(id, applied(this.of(study), change));
    this.desk.memory.set(`draft ${id}`, said);
    this.saveSoon();
  }

  saveSoon() {
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.saveAll(), 250);
  }

  saveAll(last = false) {
    clearTimeout(this.saving);
    return Promise.all([...this.changes.keys()].map((id) => this.save(id, last)));
  }

  // last: the page is going away, so there is one try, which may outlive it.
  async save(id, last = false) {
    const study = this.studies.get(id);
    const change = this.changes.get(id);
    if (!study || !study.can_review || !change || this.sending.has(id)) return;
    if (study.hidden && !change.reveal) return; // the reader's own word is stored as a whole
    this.changes.delete(id);
    this.sending.set(id, change);
    try {
      this.accept(id, change, await this.send(study, change, last));
    } catch (error) {
      this.failed(id, change, error, last);
    }
  }

  accept(id, change, { saved, review }) {
    const { desk } = this;
    this.sending.delete(id);
    this.take(id, { ...review, saved_note: review.note });
    if (this.changes.has(id)) desk.memory.set(`draft ${id}`, this.changes.get(id));
    else desk.memory.remove(`draft ${id}`);
    desk.root.dataset.saved = `${id} ${saved}`;
    desk.saved(id, change, saved);
    if (this.changes.has(id)) this.saveSoon();
  }

  failed(id, change, error, last) {
    const { desk } = this;
    this.sending.delete(id);
    const later = this.changes.get(id);
    this.changes.set(id, later ? joined(change, later) : change);
    const why = error instanceof TypeError ? "The server does not answer." : error.message;
    const refused = error.status >= 400 && error.status < 500 && ![403, 408, 429].includes(error.status);
    desk.tell(`Not saved. ${why} Your word is kept in this tab${refused ? "." : " and sent again."}`, true);
    if (error.status === 403) desk.renew(); // a fresh link: the server was started again, or the session locked
    if (!last && !refused) {
      clearTimeout(this.retry);
      this.retry = setTimeout(() => this.saveAll(), AGAIN);
    }
  }

  // Returns what the server has then.
  async send(study, change, last) {
    const body = JSON.stringify({ ...change, seconds: Math.round((this.seconds.get(study.id) || 0) * 10) / 10 });
    const answer = await fetch(study.review_url, {
      method: "POST", body, credentials: "same-origin", keepalive: last,
      headers: { "Content-Type": "application/json" },
    });
    const said = await answer.json().catch(() => ({ message: `The server answered ${answer.status}.` }));
    if (!answer.ok) throw Object.assign(new Error(said.message), { status: answer.status });
    return said;
  }
}

function copied(review) {
  return { ...review, findings: { ...review.findings }, marks: { ...review.marks } };
}

function joined(one, two) {
  const both = { ...one, ...two };
  for (const part of ["findings", "marks"]) {
    if (one[part] || two[part]) both[part] = { ...one[part], ...two[part] };
  }
  if (two.finished) delete both.reopen;
  if (two.reopen) delete both.finished;
  return both;
}

function applied(review, change) {
  const now = { ...review, ...joined({ findings: review.findings, marks: review.marks }, {
    findings: change.findings || {}, marks: change.marks || {},
  }) };
  for (const part of ["findings", "marks"]) {
    for (const [name, value] of Object.entries(now[part])) if (value === null) delete now[part][name];
  }
  if (change.note !== undefined) now.note = change.note;
  if (change.finished) now.finished = true;
  if (change.reopen) Object.assign(now, { finished: false, finished_at: "", since: "" });
  return now;
}

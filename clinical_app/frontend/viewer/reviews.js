// Reviews: what the reader said of each study, kept here until the server has it.

export class Reviews {
  constructor(desk) {
    this.desk = desk;
    this.kept = new Map(); // study id -> {findings, note, finished}
    this.seconds = new Map(); // study id -> time to read
    this.unsaved = new Set(); // study ids
    this.onLeave = (event) => {
      if (this.unsaved.size) event.preventDefault();
    };
    window.addEventListener("beforeunload", this.onLeave);
  }

  remove() {
    window.removeEventListener("beforeunload", this.onLeave);
  }

  open(study) {
    if (this.kept.has(study.id)) return;
    const { findings, note, seconds, finished } = study.review;
    this.kept.set(study.id, { findings: { ...findings }, note, finished });
    this.seconds.set(study.id, seconds);
  }

  of(study) {
    return this.kept.get(study.id);
  }

  isUnsaved(study) {
    return this.unsaved.has(study.id);
  }

  spend(study, seconds) {
    this.seconds.set(study.id, (this.seconds.get(study.id) || 0) + seconds);
  }

  saveSoon(study) {
    this.unsaved.add(study.id);
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.save(study), 250);
  }

  // last: the page is going away, so there is one try, which may outlive it.
  async save(study, last = false) {
    clearTimeout(this.saving);
    if (!study || !study.can_review) return;
    const wanted = this.isUnsaved(study) || (this.of(study).finished && !last);
    if (!wanted) return;
    this.unsaved.add(study.id);
    const { desk } = this;
    try {
      const saved = await this.send(study, last);
      this.unsaved.delete(study.id);
      desk.root.dataset.saved = `${study.id} ${saved}`;
      desk.tell(`Saved ${saved}`);
    } catch (error) {
      const why = error instanceof TypeError ? "The server does not answer." : error.message;
      desk.tell(`${why} Your review is kept here and sent again.`);
      if (!last) setTimeout(() => this.isUnsaved(study) && this.save(study), 3000);
    }
  }

  // Returns when the server kept it.
  async send(study, last) {
    const { findings, note, finished } = this.of(study);
    const body = JSON.stringify({
      findings, note, finished, seconds: this.seconds.get(study.id) || 0, image: this.desk.image,
    });
    const answer = await fetch(study.review_url, {
      method: "POST", body, credentials: "same-origin", keepalive: last,
      headers: { "Content-Type": "application/json" },
    });
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.message);
    return said.saved;
  }
}

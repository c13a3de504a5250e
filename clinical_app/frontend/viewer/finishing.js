// Finishing: a study is closed by one deliberate key, after its films were seen, and opened again by another.

const SEEN = 1000; // milliseconds that a film is on the screen before a study without a word can be closed

export class Finishing {
  constructor(desk) {
    this.desk = desk;
    this.opened();
  }

  opened() {
    this.films = new Set(); // that were on the screen
    this.said = []; // of this study, to take back
  }

  seen(id) {
    this.films.add(id);
  }

  // Whether a word on this study may be stored now; tells why not.
  mayJudge() {
    const { desk } = this;
    if (!desk.current || !desk.current.can_review) return false;
    if (desk.isPainted) return true;
    desk.tell("Nothing is stored before the film is on the screen.");
    return false;
  }

  finish() {
    const { desk } = this;
    if (!this.mayJudge()) return;
    const study = desk.current;
    if (!study.hidden && desk.reviews.of(study).finished && !desk.reviews.of(study).since) {
      this.next("This study is finished already.");
      return;
    }
    const looked = this.said.length > 0 || performance.now() - desk.pane.paintedAt >= SEEN;
    if (!looked) {
      desk.tell("Not finished: the film was on the screen for less than a second. Press Enter again.");
      return;
    }
    const unseen = study.images.findIndex(({ id, film }) => film && !this.films.has(id) && this.canShow(id));
    if (unseen >= 0) {
      desk.image = unseen;
      desk.showImage();
      desk.tell(`Not finished: film ${unseen + 1} of ${study.images.length} was not shown yet.`);
      return;
    }
    const films = study.images.map(({ id }) => id);
    if (study.hidden) {
      desk.reviews.say(study, { reveal: true });
      desk.reviews.saveAll();
      return;
    }
    desk.reviews.say(study, { finished: true, films });
    desk.reviews.saveAll();
    this.next("Finished. There is no further study in this list.");
  }

  // A film that the server cannot show keeps no study open.
  canShow(id) {
    return !this.unshowable || !this.unshowable.has(id);
  }

  cannotShow(id) {
    this.unshowable = (this.unshowable || new Set()).add(id);
  }

  next(otherwise) {
    const { desk } = this;
    if (desk.data.next || desk.pending) desk.go("next");
    else desk.tell(otherwise);
  }

  // The last opinion, or the closing of a study, is taken back.
  undo() {
    const { desk } = this;
    const study = desk.current;
    if (!study || !study.can_review) return;
    if (desk.reviews.of(study).finished) {
      desk.reviews.say(study, { reopen: true });
      desk.panel.repaintReview();
      return;
    }
    const last = this.said.pop();
    if (!last) {
      desk.tell("There is nothing to take back here.");
      return;
    }
    desk.reviews.say(study, { findings: { [last.finding]: last.before } });
    desk.panel.choose(last.finding);
    desk.panel.repaintReview();
  }
}

// Comparing: other studies of this person beside the one that is read; looked at and moved together.

export class Comparing {
  constructor(desk) {
    this.desk = desk;
    this.close();
  }

  // Which of them, and which of its films, is beside: none where the desk shows one study.
  close() {
    Object.assign(this, { isOn: false, place: 0, image: 0 });
  }

  get study() {
    const { current } = this.desk;
    return current ? current.priors[this.place] : undefined;
  }

  toggle() {
    const { desk } = this;
    if (!this.study) {
      desk.tell("There is no earlier study of this patient here.");
      return;
    }
    this.isOn = !this.isOn;
    desk.showImage();
  }

  step(by) {
    if (!this.isOn) return;
    const { priors } = this.desk.current;
    this.place = Math.min(Math.max(this.place + by, 0), priors.length - 1);
    this.image = 0;
    this.show();
  }

  nextImage() {
    if (!this.isOn) return;
    this.image = (this.image + 1) % this.study.images.length;
    this.show();
  }

  show() {
    const { desk, study } = this;
    const { beside, pane, stage } = desk;
    const on = Boolean(study && this.isOn);
    beside.root.hidden = !on;
    if (stage) stage.classList.toggle("two", on);
    pane.captions.title.textContent = on ? ["This study", desk.current.day, desk.current.person].filter(Boolean).join(" · ") : "";
    if (on) {
      const image = study.images[this.image];
      const films = study.images.length > 1 ? ` · ${image.view}, film ${this.image + 1} of ${study.images.length} (Shift-v)` : "";
      const many = desk.current.priors.length > 1 ? ` · ${this.place + 1} of ${desk.current.priors.length} (, .)` : "";
      beside.captions.title.textContent = `${study.title}${films}${many}`;
      beside.root.classList.toggle("later", study.relation !== "Prior");
      if (image.film) beside.show(image, `${study.relation} film of ${study.when}, ${image.view}`);
      else beside.clear(image.sentence);
      return;
    }
    beside.blank();
    beside.say("");
    desk.active = pane;
    if (pane.film && pane.at.fitted) requestAnimationFrame(() => pane.resized());
    if (desk.toolbar && desk.current) desk.toolbar.paintTools();
  }

  follow() {
    const { beside, pane } = this.desk;
    if (!this.isOn || !beside.film || !pane.film) return;
    beside.follow(pane);
    if (!pane.at.fitted || pane.at.turn || pane.at.flipped) beside.move((at) => at.follow(pane.at), false);
  }
}

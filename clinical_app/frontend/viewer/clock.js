// Clock: how long a study was looked at, and when nobody is there any more.

const AWAY = 60000; // milliseconds without a touch that no longer count as reading

export class Clock {
  constructor(desk) {
    this.desk = desk;
    this.ticked = performance.now();
    this.touched = performance.now();
    for (const name of ["pointermove", "keydown"]) {
      desk.root.addEventListener(name, () => this.touch());
    }
    this.timer = setInterval(() => this.tick(), 1000);
  }

  remove() {
    clearInterval(this.timer);
  }

  touch() {
    this.touched = performance.now();
  }

  tick() {
    const { desk } = this;
    const now = performance.now();
    const shown = document.visibilityState === "visible" && now - this.touched < AWAY;
    if (desk.current && shown) desk.reviews.spend(desk.current, (now - this.ticked) / 1000);
    this.ticked = now;
    const idle = (now - this.touched) / 1000;
    if (desk.data && desk.data.idle_seconds && idle > desk.data.idle_seconds) desk.lock();
  }
}

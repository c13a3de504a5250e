// Clock: how long a study was looked at, that the session is in use, and when nobody is there any more.

const AWAY = 60000; // milliseconds without a touch that no longer count as reading
const TOLD = 15000; // milliseconds from one word to the server to the next

export class Clock {
  constructor(desk) {
    this.desk = desk;
    const now = performance.now();
    Object.assign(this, { ticked: now, touched: now, told: 0, toldOfTouch: 0 });
    for (const name of ["pointermove", "pointerdown", "wheel", "keydown"]) {
      desk.root.addEventListener(name, () => this.touch(), { passive: true });
    }
    this.timer = setInterval(() => this.tick(), 1000);
  }

  remove() {
    clearInterval(this.timer);
  }

  touch() {
    this.touched = performance.now();
  }

  get every() {
    const idle = (this.desk.data && this.desk.data.idle_seconds) || 1800;
    return Math.min(TOLD, (idle * 1000) / 6);
  }

  tick() {
    const { desk } = this;
    const now = performance.now();
    const shown = document.visibilityState === "visible" && now - this.touched < AWAY;
    if (desk.current && shown) desk.reviews.spend(desk.current, (now - this.ticked) / 1000);
    this.ticked = now;
    if (desk.current && !desk.locked && now - this.told > this.every) this.tell(now);
  }

  // A touch renews the session; without one the server is only asked how long it has left: another tab may
  // be in use.
  async tell(now) {
    const { desk } = this;
    this.told = now;
    const used = this.touched > this.toldOfTouch;
    const idle = (now - this.touched) / 1000;
    this.toldOfTouch = now;
    let answer;
    try {
      answer = await fetch(desk.current.touch_url, {
        method: used ? "POST" : "GET", credentials: "same-origin", cache: "no-store",
        ...(used ? { body: "{}", headers: { "Content-Type": "application/json" } } : {}),
      });
    } catch (error) {
      desk.away(true);
      return;
    }
    desk.away(false);
    if (answer.status === 403) {
      if (idle > desk.data.idle_seconds) desk.lock();
      else desk.renew();
    } else if (answer.ok) desk.others(await answer.json());
  }
}

// Ahead: films that are looked at next, fetched one after the other once the one that is read is here.

import { filmAhead } from "./fetching.js";

export class Ahead {
  constructor(desk) {
    this.desk = desk;
    this.run = null;
  }

  // The others of this study, its last prior, and the next two studies; a later call takes the place of this one.
  async fetch() {
    const run = {};
    this.run = run;
    const { current, data: { after, next } } = this.desk;
    const first = (study, n = 1) => (study && study.images ? study.images.slice(0, n) : []);
    const wanted = [
      ...current.images.slice(0, 3), ...first(current.priors[0]), ...first(next, 2),
      ...first(next && next.priors && next.priors[0]), ...first(after),
    ];
    for (const image of wanted) {
      if (this.run !== run || this.desk.locked) return;
      if (image.film) await filmAhead(image).catch(() => {});
    }
  }
}

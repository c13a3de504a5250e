// Marks: lengths, the cardiothoracic ratio and angles, measured on a film and kept with the review.

const LINES = { length: 1, ratio: 2, angle: 2 };
const SHORTEST = 2; // film pixels; a click is no line

export class Marks {
  constructor(desk) {
    this.desk = desk;
    this.loose = new Map(); // film id -> marks that no review keeps: of a prior, of an upload
    this.drawing = null; // {film, kind, points}
  }

  keeps(pane) {
    return pane === this.desk.pane && this.desk.current.can_review;
  }

  // Marks of the film on a pane, the one being drawn last.
  of(pane) {
    if (!pane.film) return [];
    const { id } = pane.film;
    const kept = this.keeps(pane)
      ? Object.values(this.desk.reviews.of(this.desk.current).marks).filter((mark) => mark.film === id)
      : this.loose.get(id) || [];
    const drawing = this.drawing && this.drawing.film === id ? [this.drawing] : [];
    return [...kept, ...drawing];
  }

  begin(pane, at) {
    const { id } = pane.film;
    const kind = this.desk.measuring;
    const same = this.drawing && this.drawing.film === id && this.drawing.kind === kind;
    if (!same) this.drawing = { film: id, kind, points: [] };
    this.drawing.points.push(at, at);
  }

  stretch(pane, at) {
    if (!this.drawing) return; // Esc dropped it meanwhile
    this.drawing.points[this.drawing.points.length - 1] = at;
    pane.decorate();
  }

  end(pane) {
    const mark = this.drawing;
    if (!mark) return;
    const [from, to] = mark.points.slice(-2);
    if (Math.hypot(to[0] - from[0], to[1] - from[1]) < SHORTEST) mark.points.splice(-2);
    if (!mark.points.length) this.drawing = null;
    if (mark.points.length === 2 * LINES[mark.kind]) {
      this.drawing = null;
      this.keep(pane, { ...mark, text: measured(pane.film, mark) });
    } else if (mark.points.length) {
      this.desk.tell(mark.kind === "ratio" ? "Now the width of the chest." : "Now the second line.");
    }
    pane.decorate();
  }

  drop(pane) {
    this.drawing = null;
    pane.decorate();
  }

  keep(pane, mark) {
    if (this.keeps(pane)) {
      this.desk.reviews.say(this.desk.current, { marks: { [crypto.getRandomValues(new Uint32Array(2)).join("-")]: mark } });
    } else {
      this.loose.set(mark.film, [...(this.loose.get(mark.film) || []), mark]);
    }
  }

  removeLast(pane) {
    if (!pane.film) return;
    const { id } = pane.film;
    if (this.drawing) {
      this.drop(pane);
      return;
    }
    if (!this.keeps(pane)) this.loose.set(id, (this.loose.get(id) || []).slice(0, -1));
    else {
      const { marks } = this.desk.reviews.of(this.desk.current);
      const name = Object.keys(marks).filter((one) => marks[one].film === id).at(-1);
      if (name) this.desk.reviews.say(this.desk.current, { marks: { [name]: null } });
    }
    pane.decorate();
  }
}

// What a mark measures, with its unit; "" while it is drawn.
export function measured(film, { kind, points }) {
  if (kind === "length") return inWords(film, lengthOf(film, points[0], points[1]));
  if (points.length < 4) return "";
  if (kind === "ratio") {
    const [heart, chest] = [lengthOf(film, points[0], points[1]), lengthOf(film, points[2], points[3])];
    return `CTR ${(Math.min(heart, chest) / Math.max(heart, chest)).toFixed(2)}`;
  }
  const [one, two] = [0, 2].map((i) => direction(film, points[i], points[i + 1]));
  const turn = Math.abs(one - two) % 180;
  return `${Math.min(turn, 180 - turn).toFixed(1)}°`;
}

function sides(film, from, to) {
  const [high, wide] = film.spacing || [film.aspect, 1];
  return [(to[0] - from[0]) * wide, (to[1] - from[1]) * high];
}

function lengthOf(film, from, to) {
  return Math.hypot(...sides(film, from, to));
}

function direction(film, from, to) {
  const [dx, dy] = sides(film, from, to);
  return (Math.atan2(dy, dx) * 180) / Math.PI;
}

function inWords(film, length) {
  if (!film.spacing) return `${length.toFixed(0)} px`;
  return `${length.toFixed(1)} mm${film.spacing_source === "detector" ? " at the detector" : ""}`;
}

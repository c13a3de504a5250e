// Placement: where a film lies on a canvas of device pixels: scale, centre, quarter turns, mirrored.

export class Placement {
  constructor(film) {
    this.film = film;
    this.width = 1; // of the canvas
    this.height = 1;
    this.unit = 1; // device pixels a fourteenth of the root's type: lines and letters over the film
    this.scale = 1;
    this.center = [film.columns / 2, film.rows / 2];
    this.turn = 0;
    this.flipped = false;
    this.fitted = true;
  }

  // Device pixels a film pixel along columns and rows; pixels need not be square.
  get scales() {
    const spacing = this.film.spacing || [this.film.aspect || 1, 1];
    const least = Math.min(...spacing);
    return [(this.scale * spacing[1]) / least, (this.scale * spacing[0]) / least];
  }

  fit() {
    this.scale = 1;
    const [sx, sy] = this.scales;
    let [width, height] = [this.film.columns * sx, this.film.rows * sy];
    if (this.turn % 2) [width, height] = [height, width];
    this.scale = Math.min(this.width / width, this.height / height);
    this.fitted = true;
    this.center = [this.film.columns / 2, this.film.rows / 2];
  }

  // Whole film pixels under whole device pixels, also on a canvas of an odd size.
  actual() {
    this.scale = 1;
    this.fitted = false;
    const sides = [this.width, this.height];
    if (this.turn % 2) sides.reverse();
    const { columns, rows } = this.film;
    this.center = [columns, rows].map((n, i) => Math.round(n / 2) + (sides[i] % 2) / 2);
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const before = this.toFilm(x, y);
    this.scale = Math.min(Math.max(this.scale * factor, 0.02), 32);
    const after = this.toFilm(x, y);
    this.center = this.center.map((value, i) => value + before[i] - after[i]);
    this.fitted = false;
  }

  pan(dx, dy) {
    const from = this.toFilm(0, 0);
    const to = this.toFilm(dx, dy);
    this.center = this.center.map((value, i) => value + from[i] - to[i]);
    this.fitted = false;
  }

  rotate() {
    this.turn = (this.turn + 1) % 4;
    if (this.fitted) this.fit();
  }

  // Left and right of the screen change places, however the film is turned.
  flip() {
    this.flipped = !this.flipped;
    this.turn = (4 - this.turn) % 4;
  }

  // The same part of another film, as large against the pane.
  follow(other) {
    this.turn = other.turn;
    this.flipped = other.flipped;
    const [mine, theirs] = [this.fitting(), other.fitting()];
    this.fitted = other.fitted;
    this.scale = mine * (other.scale / theirs);
    this.center = [
      (other.center[0] / other.film.columns) * this.film.columns,
      (other.center[1] / other.film.rows) * this.film.rows,
    ];
  }

  // The scale at which the film just fits.
  fitting() {
    const { center, fitted, scale } = this;
    this.fit();
    const fits = this.scale;
    Object.assign(this, { center, fitted, scale });
    return fits;
  }

  copy() {
    const { height, unit, width } = this;
    return Object.assign(new Placement(this.film), { height, unit, width }, this.state);
  }

  get state() {
    const { center, fitted, flipped, scale, turn } = this;
    return { center, fitted, flipped, scale, turn };
  }

  // Columns and rows of the film at a device pixel, and back.
  toFilm(x, y) {
    const [sx, sy] = this.scales;
    let dx = x - this.width / 2;
    let dy = y - this.height / 2;
    for (let i = 0; i < this.turn; i += 1) [dx, dy] = [dy, -dx];
    if (this.flipped) dx = -dx;
    return [this.center[0] + dx / sx, this.center[1] + dy / sy];
  }

  toScreen(u, v) {
    const [sx, sy] = this.scales;
    let dx = (u - this.center[0]) * sx;
    let dy = (v - this.center[1]) * sy;
    if (this.flipped) dx = -dx;
    for (let i = 0; i < this.turn; i += 1) [dx, dy] = [-dy, dx];
    return [dx + this.width / 2, dy + this.height / 2];
  }
}

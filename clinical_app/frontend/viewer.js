// Viewer: films at full bit depth on a canvas, findings beside them, every step on a key.
//
// Streamlit mounts this module and calls it again with new data; numbers and sentences come from
// Python, this file only draws them. Films, heatmaps and reviews travel over HTTP routes.

const films = new Map(); // URL -> promise of a film; the last few stay in memory
const heats = new Map(); // URL -> promise of heatmaps
const KEPT = 8;

function remembered(cache, url, make) {
  if (cache.has(url)) {
    const value = cache.get(url);
    cache.delete(url);
    cache.set(url, value); // most recently used last
    return value;
  }
  const value = make(url);
  cache.set(url, value);
  value.catch(() => cache.delete(url));
  while (cache.size > KEPT) cache.delete(cache.keys().next().value);
  return value;
}

async function fetched(url) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    throw new Error("The server does not answer. Check the connection; your work is kept here.");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.message || `The server answered ${answer.status}.`);
  }
  const buffer = await answer.arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { header, buffer, start: Math.ceil((4 + length) / 8) * 8 };
}

async function loadFilm(url) {
  const { header, buffer, start } = await fetched(url);
  const n = header.rows * header.columns;
  let at = start + 2 * n;
  for (const preset of header.presets) {
    if (preset.function !== "TABLE") continue;
    preset.levels = new Uint8Array(buffer, at, 65536);
    at += 65536;
  }
  const levels = [
    { values: new Uint16Array(buffer, start, n), rows: header.rows, columns: header.columns },
  ];
  return { ...header, url, levels };
}

async function loadHeat(url) {
  const { header, buffer, start } = await fetched(url);
  const n = header.rows * header.columns;
  const maps = new Map();
  const boxes = new Map();
  header.findings.forEach((name, i) => {
    maps.set(name, new Uint8Array(buffer, start + i * n, n));
    if (header.boxes[i]) boxes.set(name, header.boxes[i]);
  });
  return { rows: header.rows, columns: header.columns, maps, boxes, painted: new Map() };
}

// ---- gray levels: PS3.3 C.11.2.1.2 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT)

function level(x, center, width, kind) {
  if (kind === "SIGMOID") return 1 / (1 + Math.exp((-4 * (x - center)) / width));
  if (kind === "LINEAR" && width > 1) return (x - (center - 0.5)) / (width - 1) + 0.5;
  if (kind === "LINEAR") return x > center - 0.5 ? 1 : 0;
  return (x - center) / width + 0.5;
}

function fillTable(table, film, look) {
  const inverse = film.inverse !== look.inverted;
  const { slope, intercept } = film;
  for (let code = 0; code < 65536; code += 1) {
    let gray;
    if (look.levels) gray = look.levels[code];
    else {
      const share = level(code * slope + intercept, look.center, look.width, look.kind);
      gray = Math.round(Math.min(Math.max(share, 0), 1) * 255);
    }
    if (inverse) gray = 255 - gray;
    table[code] = 0xff000000 | (gray << 16) | (gray << 8) | gray;
  }
  if (film.padding) table.fill(0xff000000, film.padding[0], film.padding[1] + 1);
}

// Halved copies, so that a film shown small is averaged and not thinned.
function smaller(film, wanted) {
  while (film.levels.length <= wanted) {
    const { values, rows, columns } = film.levels[film.levels.length - 1];
    const r = rows >> 1;
    const c = columns >> 1;
    if (r < 2 || c < 2) break;
    const half = new Uint16Array(r * c);
    for (let y = 0; y < r; y += 1) {
      let a = 2 * y * columns;
      const o = y * c;
      for (let x = 0; x < c; x += 1, a += 2) {
        const b = a + columns;
        half[o + x] = (values[a] + values[a + 1] + values[b] + values[b + 1] + 2) >> 2;
      }
    }
    film.levels.push({ values: half, rows: r, columns: c });
  }
  return Math.min(wanted, film.levels.length - 1);
}

// viridis at eight stops (van der Walt and Smith, CC0): even in lightness, colour-blind safe
const VIRIDIS = [
  [68, 1, 84], [70, 50, 127], [54, 92, 141], [39, 127, 142],
  [31, 161, 135], [74, 194, 109], [159, 218, 58], [253, 231, 37],
];

function paintedHeat(heat, finding) {
  if (heat.painted.has(finding)) return heat.painted.get(finding);
  const map = heat.maps.get(finding);
  if (!map) return null;
  const picture = new ImageData(heat.columns, heat.rows);
  for (let i = 0; i < map.length; i += 1) {
    const place = (map[i] / 255) * (VIRIDIS.length - 1);
    const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
    for (let k = 0; k < 3; k += 1) {
      const [a, b] = [VIRIDIS[low][k], VIRIDIS[low + 1][k]];
      picture.data[4 * i + k] = a + (b - a) * (place - low);
    }
    picture.data[4 * i + 3] = map[i];
  }
  const canvas = document.createElement("canvas");
  canvas.width = heat.columns;
  canvas.height = heat.rows;
  canvas.getContext("2d").putImageData(picture, 0, 0);
  heat.painted.set(finding, canvas);
  return canvas;
}

// ---- one film on two canvases: gray values below, heat, ruler and letters above

class Pane {
  constructor(desk, title) {
    this.desk = desk;
    this.root = element("div", "pane");
    this.base = element("canvas", "film");
    this.over = element("canvas", "over");
    this.base.setAttribute("role", "img");
    this.over.setAttribute("aria-hidden", "true");
    this.message = element("div", "message");
    this.corner = element("div", "corner");
    this.title = element("div", "title", title);
    this.root.append(this.base, this.over, this.title, this.corner, this.message);
    this.film = null;
    this.heat = null;
    this.table = new Uint32Array(65536);
    this.rulers = [];
    this.url = "";
    this.listen();
  }

  async show(url, heatUrl, label) {
    if (this.url === url) return;
    this.url = url;
    this.label = label;
    this.heat = null;
    this.rulers = [];
    const slow = setTimeout(() => this.say("Loading the film"), 150);
    try {
      const film = await remembered(films, url, loadFilm);
      if (this.url !== url) return;
      this.film = film;
      this.turn = 0;
      this.flipped = false;
      this.say("");
      this.preset(0, false);
      this.fit();
    } catch (error) {
      if (this.url === url) {
        this.film = null;
        this.draw();
        this.say(error.message);
      }
      return;
    } finally {
      clearTimeout(slow);
    }
    this.base.setAttribute("aria-label", label);
    this.root.dataset.painted = url;
    this.desk.painted(this);
    if (!heatUrl) return;
    try {
      const heat = await remembered(heats, heatUrl, loadHeat);
      if (this.url !== url) return;
      this.heat = heat;
      this.root.dataset.heat = "ready";
      this.decorate();
    } catch (error) {
      if (this.url === url) this.desk.tell(error.message);
    }
  }

  clear(sentence) {
    this.url = "";
    this.film = null;
    this.draw();
    this.say(sentence);
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  preset(number, tell = true) {
    const preset = this.film && this.film.presets[number];
    if (!preset) return;
    this.look = {
      center: preset.center,
      width: preset.width,
      kind: preset.function,
      levels: preset.levels || null,
      inverted: false,
      preset: number,
    };
    if (tell) this.desk.linked(this);
    this.redraw();
  }

  window(center, width) {
    const kind = this.look.levels ? "LINEAR_EXACT" : this.look.kind;
    const least = Math.abs(this.film.slope) || 1;
    this.look = { ...this.look, center, width: Math.max(width, least), kind, levels: null };
    this.look.preset = -1;
    this.desk.linked(this);
    this.redraw();
  }

  // Another pane's window, as a share of what this film opened with.
  follow(other) {
    if (!this.film || !other.film) return;
    const [mine, theirs] = [this.film.presets[0], other.film.presets[0]];
    const look = other.look;
    const center = mine.center + ((look.center - theirs.center) / theirs.width) * mine.width;
    const width = (look.width / theirs.width) * mine.width;
    const opened = look.preset === 0;
    this.look = {
      center, width, kind: opened ? mine.function : "LINEAR_EXACT",
      levels: opened ? mine.levels || null : null, inverted: look.inverted, preset: look.preset,
    };
    this.redraw();
  }

  invert() {
    if (!this.film) return;
    this.look = { ...this.look, inverted: !this.look.inverted };
    this.desk.linked(this);
    this.redraw();
  }

  // Device pixels a film pixel along columns and rows; pixels need not be square.
  get scales() {
    const spacing = this.film.spacing || [1, 1];
    const least = Math.min(...spacing);
    return [(this.scale * spacing[1]) / least, (this.scale * spacing[0]) / least];
  }

  size() {
    const ratio = window.devicePixelRatio || 1;
    const box = this.root.getBoundingClientRect();
    const width = Math.max(Math.round(box.width * ratio), 1);
    const height = Math.max(Math.round(box.height * ratio), 1);
    if (this.base.width !== width || this.base.height !== height) {
      for (const canvas of [this.base, this.over]) {
        canvas.width = width;
        canvas.height = height;
      }
      this.context = this.base.getContext("2d", { alpha: false, willReadFrequently: true });
      this.picture = this.context.createImageData(width, height);
      this.view = new Uint16Array(width * height);
    }
  }

  fit() {
    if (!this.film) return;
    this.size();
    this.scale = 1;
    const [sx, sy] = this.scales;
    let [width, height] = [this.film.columns * sx, this.film.rows * sy];
    if (this.turn % 2) [width, height] = [height, width];
    this.scale = Math.min(this.base.width / width, this.base.height / height);
    this.fitted = true;
    this.center = [this.film.columns / 2, this.film.rows / 2];
    this.draw();
  }

  actual() {
    if (!this.film) return;
    this.scale = 1;
    this.fitted = false;
    // whole film pixels under whole screen pixels, also on a canvas of an odd size
    const sides = [this.base.width, this.base.height];
    if (this.turn % 2) sides.reverse();
    const { columns, rows } = this.film;
    this.center = [columns, rows].map((n, i) => Math.round(n / 2) + (sides[i] % 2) / 2);
    this.draw();
  }

  zoom(factor, x = this.base.width / 2, y = this.base.height / 2) {
    if (!this.film) return;
    const before = this.toFilm(x, y);
    this.scale = Math.min(Math.max(this.scale * factor, 0.02), 32);
    const after = this.toFilm(x, y);
    this.center = this.center.map((value, i) => value + before[i] - after[i]);
    this.fitted = false;
    this.draw();
  }

  pan(dx, dy) {
    const from = this.toFilm(0, 0);
    const to = this.toFilm(dx, dy);
    this.center = this.center.map((value, i) => value + from[i] - to[i]);
    this.fitted = false;
    this.draw();
  }

  // Columns and rows of the film at a device pixel, and back.
  toFilm(x, y) {
    const [sx, sy] = this.scales;
    let dx = x - this.base.width / 2;
    let dy = y - this.base.height / 2;
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
    return [dx + this.base.width / 2, dy + this.base.height / 2];
  }

  rotate() {
    if (!this.film) return;
    this.turn = (this.turn + 1) % 4;
    if (this.fitted) this.fit();
    else this.draw();
  }

  flip() {
    if (!this.film) return;
    this.flipped = !this.flipped;
    this.draw();
  }

  draw() {
    this.size();
    if (!this.film) {
      this.context.fillStyle = "#000";
      this.context.fillRect(0, 0, this.base.width, this.base.height);
      this.decorate();
      return;
    }
    this.sample();
    this.redraw();
  }

  // Film values under each device pixel; the window is applied to them afterwards. Turns are
  // multiples of 90 degrees, so the two film coordinates are functions of one axis each.
  sample() {
    const { width, height } = this.base;
    const wanted = Math.max(Math.floor(Math.log2(1 / Math.max(...this.scales))), 0);
    const depth = smaller(this.film, wanted);
    const { values, rows, columns } = this.film.levels[depth];
    const shrink = 2 ** depth;
    const swapped = this.turn % 2 === 1;
    const along = axis(width, (x) => this.toFilm(x + 0.5, 0.5)[swapped ? 1 : 0] / shrink - 0.5,
      swapped ? rows : columns);
    const down = axis(height, (y) => this.toFilm(0.5, y + 0.5)[swapped ? 0 : 1] / shrink - 0.5,
      swapped ? columns : rows);
    const [stepX, stepY] = swapped ? [columns, 1] : [1, columns];
    this.inside = [along.from, along.to, down.from, down.to];
    const view = this.view;
    const exact = along.whole && down.whole;
    for (let y = down.from; y < down.to; y += 1) {
      const top = down.low[y] * stepY;
      const bottom = down.high[y] * stepY;
      const fy = down.part[y];
      let o = y * width + along.from;
      if (exact) {
        for (let x = along.from; x < along.to; x += 1) view[o++] = values[top + along.low[x] * stepX];
        continue;
      }
      for (let x = along.from; x < along.to; x += 1) {
        const l = along.low[x] * stepX;
        const h = along.high[x] * stepX;
        const fx = along.part[x];
        const a = values[top + l] + (values[top + h] - values[top + l]) * fx;
        const b = values[bottom + l] + (values[bottom + h] - values[bottom + l]) * fx;
        view[o++] = a + (b - a) * fy + 0.5;
      }
    }
  }

  redraw() {
    if (!this.film || !this.view) return;
    fillTable(this.table, this.film, this.look);
    const { width, height } = this.base;
    const pixels = new Uint32Array(this.picture.data.buffer);
    const [left, right, top, bottom] = this.inside || [0, 0, 0, 0];
    const { table, view } = this;
    if (left > 0 || right < width || top > 0 || bottom < height) pixels.fill(0xff000000);
    for (let y = top; y < bottom; y += 1) {
      const end = y * width + right;
      for (let i = y * width + left; i < end; i += 1) pixels[i] = table[view[i]];
    }
    this.context.putImageData(this.picture, 0, 0);
    this.root.dataset.window = `${this.look.center.toFixed(3)}/${this.look.width.toFixed(3)}`;
    this.decorate();
  }

  decorate() {
    const context = this.over.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.over.width, this.over.height);
    if (!this.film) {
      this.corner.textContent = "";
      return;
    }
    this.drawHeat(context);
    this.drawBoxes(context);
    this.drawLetters(context);
    this.rulers.forEach((ruler) => this.drawRuler(context, ruler));
    const { look, film } = this;
    const digits = film.unit === "%" || look.width < 10 ? 1 : 0;
    const name = look.preset >= 0 ? film.presets[look.preset].name : "By hand";
    const ratio = (this.scale * 100).toFixed(0);
    this.corner.textContent =
      `${name}${look.inverted ? ", inverted" : ""} · C ${look.center.toFixed(digits)} ` +
      `W ${look.width.toFixed(digits)}${film.unit} · ${ratio} %`;
  }

  drawHeat(context) {
    const finding = this.desk.heatShown(this);
    this.root.dataset.shown = "";
    if (!finding || !this.heat) return;
    const picture = paintedHeat(this.heat, finding);
    if (!picture) return;
    const [ax, ay] = this.toScreen(0, 0);
    const [bx, by] = this.toScreen(this.film.columns, 0);
    const [cx, cy] = this.toScreen(0, this.film.rows);
    const [w, h] = [this.heat.columns, this.heat.rows];
    context.globalAlpha = this.desk.opacity;
    context.imageSmoothingEnabled = true;
    context.setTransform((bx - ax) / w, (by - ay) / w, (cx - ax) / h, (cy - ay) / h, ax, ay);
    context.drawImage(picture, 0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
    this.root.dataset.shown = finding;
  }

  // Boxes of the claimed findings whose maps were shown to localize, the chosen one solid.
  drawBoxes(context) {
    const wanted = this.heat ? this.desk.boxesShown(this) : [];
    this.root.dataset.boxes = wanted.map(({ finding }) => finding).join(" ");
    const ratio = window.devicePixelRatio || 1;
    const { columns, rows } = this.film;
    wanted.forEach(({ finding, title, chosen }) => {
      const [x, y, width, height] = this.heat.boxes.get(finding);
      const [ax, ay] = this.toScreen(x * columns, y * rows);
      const [bx, by] = this.toScreen((x + width) * columns, (y + height) * rows);
      const [left, top] = [Math.min(ax, bx), Math.min(ay, by)];
      context.setLineDash(chosen ? [] : [6 * ratio, 4 * ratio]);
      for (const [color, line] of [["rgba(0,0,0,.75)", 3.5], ["#56b4e9", chosen ? 2 : 1.4]]) {
        context.strokeStyle = color;
        context.lineWidth = line * ratio;
        context.strokeRect(left, top, Math.abs(bx - ax), Math.abs(by - ay));
      }
      context.setLineDash([]);
      context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
      context.textAlign = "left";
      context.textBaseline = "bottom";
      outlined(context, title, left + 2 * ratio, top - 4 * ratio, ratio, "#9bd4f5");
    });
  }

  // Patient directions at the edges of the picture, as far as the file states them.
  drawLetters(context) {
    const [row, column] = this.film.orientation;
    if (!row || !column) return;
    const opposite = { L: "R", R: "L", A: "P", P: "A", H: "F", F: "H" };
    const turned = (word) => [...word].map((letter) => opposite[letter] || "").join("");
    let sides = [turned(column), this.flipped ? turned(row) : row, column, this.flipped ? row : turned(row)];
    for (let i = 0; i < this.turn; i += 1) sides = [sides[3], sides[0], sides[1], sides[2]];
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.over;
    const edge = 18 * ratio;
    const places = [[width / 2, edge], [width - edge, height / 2], [width / 2, height - edge], [edge, height / 2]];
    context.font = `600 ${15 * ratio}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    sides.forEach((word, i) => {
      if (i % 2 === 1) outlined(context, word, ...places[i], ratio);
    });
  }

  drawRuler(context, ruler) {
    const ratio = window.devicePixelRatio || 1;
    const [a, b] = [this.toScreen(...ruler.from), this.toScreen(...ruler.to)];
    context.lineWidth = 3.5 * ratio;
    context.strokeStyle = "rgba(0,0,0,.75)";
    for (let pass = 0; pass < 2; pass += 1) {
      context.beginPath();
      context.moveTo(...a);
      context.lineTo(...b);
      context.stroke();
      context.lineWidth = 1.5 * ratio;
      context.strokeStyle = "#ffd75e";
    }
    context.fillStyle = "#ffd75e";
    for (const [x, y] of [a, b]) {
      context.beginPath();
      context.arc(x, y, 3 * ratio, 0, 2 * Math.PI);
      context.fill();
    }
    context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
    context.textAlign = "left";
    context.textBaseline = "middle";
    outlined(context, this.measured(ruler), b[0] + 9 * ratio, b[1] - 9 * ratio, ratio, "#ffd75e");
  }

  measured({ from, to }) {
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    const { spacing } = this.film;
    if (!spacing) return `${Math.hypot(dx, dy).toFixed(0)} px`;
    const length = Math.hypot(dx * spacing[1], dy * spacing[0]);
    const where = this.film.spacing_source === "detector" ? " at the detector" : "";
    return `${length.toFixed(1)} mm${where}`;
  }

  listen() {
    const ratio = () => window.devicePixelRatio || 1;
    const place = (event) => {
      const box = this.root.getBoundingClientRect();
      return [(event.clientX - box.left) * ratio(), (event.clientY - box.top) * ratio()];
    };
    this.root.addEventListener("contextmenu", (event) => event.preventDefault());
    this.root.addEventListener("pointerdown", (event) => {
      if (!this.film) return;
      event.preventDefault();
      this.root.setPointerCapture(event.pointerId);
      this.desk.activate(this);
      const [x, y] = place(event);
      let kind = "window";
      if (event.button === 1 || event.shiftKey || this.desk.spaced) kind = "pan";
      else if (event.button === 2) kind = "zoom";
      else if (this.desk.ruling) {
        kind = "ruler";
        const at = this.toFilm(x, y);
        this.rulers.push({ from: at, to: at });
      }
      this.drag = { kind, x, y };
    });
    this.root.addEventListener("pointermove", (event) => {
      if (!this.drag || !this.film) return;
      const [x, y] = place(event);
      const [dx, dy] = [x - this.drag.x, y - this.drag.y];
      if (this.drag.kind === "ruler") {
        this.rulers[this.rulers.length - 1].to = this.toFilm(x, y);
        this.decorate();
        return;
      }
      this.drag.x = x;
      this.drag.y = y;
      if (this.drag.kind === "pan") this.pan(dx, dy);
      else if (this.drag.kind === "zoom") this.zoom(2 ** (-dy / (150 * ratio())));
      else {
        const step = this.look.width / (350 * ratio());
        const up = this.film.inverse !== this.look.inverted ? -1 : 1;
        this.window(this.look.center + up * dy * step, this.look.width + 2 * dx * step);
      }
    });
    const end = () => {
      if (this.drag && this.drag.kind === "ruler") {
        const last = this.rulers[this.rulers.length - 1];
        if (Math.hypot(last.to[0] - last.from[0], last.to[1] - last.from[1]) < 2) this.rulers.pop();
        this.decorate();
      }
      this.drag = null;
    };
    this.root.addEventListener("pointerup", end);
    this.root.addEventListener("pointercancel", end);
    this.root.addEventListener("dblclick", () => this.fit());
    this.root.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(2 ** (-event.deltaY / 400), ...place(event));
    }, { passive: false });
    new ResizeObserver(() => {
      if (!this.root.isConnected || !this.film) return;
      if (this.fitted) this.fit();
      else this.draw();
    }).observe(this.root);
  }
}

// Which film cells lie under the device pixels of one axis, and how far between them.
function axis(length, place, limit) {
  const low = new Int32Array(length);
  const high = new Int32Array(length);
  const part = new Float32Array(length);
  let from = length;
  let to = 0;
  let whole = true;
  for (let i = 0; i < length; i += 1) {
    const at = place(i);
    if (at < -0.5 || at >= limit - 0.5) continue;
    from = Math.min(from, i);
    to = i + 1;
    const inside = Math.min(Math.max(at, 0), limit - 1);
    low[i] = Math.floor(inside + 1e-6);
    part[i] = Math.max(inside - low[i], 0);
    if (part[i] > 1e-5) whole = false;
    high[i] = Math.min(low[i] + 1, limit - 1);
  }
  return { low, high, part, from: Math.min(from, to), to, whole };
}

function outlined(context, text, x, y, ratio, color = "#e8edf2") {
  context.lineWidth = 3 * ratio;
  context.lineJoin = "round";
  context.strokeStyle = "rgba(0,0,0,.8)";
  context.strokeText(text, x, y);
  context.fillStyle = color;
  context.fillText(text, x, y);
}

function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

function button(name, label, key, act, sign = label) {
  const made = element("button", name);
  made.type = "button";
  made.append(element("span", "", sign));
  if (sign !== label) made.setAttribute("aria-label", label);
  if (key) made.append(element("kbd", "", key));
  made.title = key ? `${label} (${key})` : label;
  made.addEventListener("click", act);
  return made;
}

// ---- the reading desk

const MARKS = {
  present: "▲", flagged: "▲", uncertain: "◆", absent: "○", "not flagged": "○", "no rule": "–",
};

class Desk {
  constructor(root) {
    this.root = root;
    this.opacity = 0.55;
    this.heatOn = false;
    this.boxesOn = false;
    this.ruling = false;
    this.reviews = new Map(); // case id -> what the reader said, until the server has it
    this.seconds = new Map();
    this.ticked = performance.now();
    this.touched = performance.now();
    this.build();
    this.onKey = (event) => this.key(event);
    this.onUp = (event) => {
      if (event.key === " ") this.spaced = false;
    };
    this.onLeave = (event) => {
      if (this.unsaved.size) event.preventDefault();
    };
    this.unsaved = new Set();
    for (const name of ["pointermove", "keydown"]) {
      root.addEventListener(name, () => { this.touched = performance.now(); });
    }
    window.addEventListener("keydown", this.onKey, true);
    window.addEventListener("keyup", this.onUp, true);
    window.addEventListener("beforeunload", this.onLeave);
    this.clock = setInterval(() => this.tick(), 1000);
  }

  remove() {
    this.save(true);
    window.removeEventListener("keydown", this.onKey, true);
    window.removeEventListener("keyup", this.onUp, true);
    window.removeEventListener("beforeunload", this.onLeave);
    clearInterval(this.clock);
  }

  build() {
    this.bar = element("div", "bar");
    this.stage = element("div", "stage");
    this.panel = element("aside", "panel");
    this.panel.setAttribute("aria-label", "Findings");
    this.pane = new Pane(this, "");
    this.beside = new Pane(this, "Prior");
    this.beside.root.hidden = true;
    this.active = this.pane;
    this.stage.append(this.pane.root, this.beside.root);
    this.status = element("div", "status");
    this.status.setAttribute("role", "status");
    this.sheet = element("div", "sheet");
    this.sheet.hidden = true;
    this.root.append(this.bar, this.stage, this.panel, this.status, this.sheet);
    this.buildBar();
    this.buildSheet();
  }

  buildBar() {
    this.where = element("div", "where");
    this.presets = element("div", "group presets");
    this.presets.setAttribute("role", "group");
    this.presets.setAttribute("aria-label", "Windows");
    const tools = element("div", "group");
    this.tool = {
      invert: button("tool", "Invert", "i", () => this.active.invert()),
      fit: button("tool", "Fit", "f", () => this.active.fit()),
      actual: button("tool", "1:1", "o", () => this.active.actual()),
      rotate: button("tool", "Rotate", "r", () => this.active.rotate()),
      ruler: button("tool", "Ruler", "m", () => this.rule()),
      heat: button("tool", "Heatmap", "h", () => this.toggleHeat()),
      boxes: button("tool", "Boxes", "b", () => this.toggleBoxes()),
      prior: button("tool", "Prior", "s", () => this.togglePrior()),
    };
    tools.append(...Object.values(this.tool));
    this.fader = element("input", "fader");
    Object.assign(this.fader, { type: "range", min: "0.1", max: "1", step: "0.05" });
    this.fader.value = this.opacity;
    this.fader.setAttribute("aria-label", "Heatmap opacity");
    this.fader.addEventListener("input", () => this.fade(Number(this.fader.value)));
    tools.append(this.fader);
    const walk = element("div", "group");
    this.tool.list = button("tool", "List", "w", () => this.send("go", ""));
    this.tool.previous = button("tool", "Previous study", "p", () => this.go("previous"), "‹");
    this.tool.next = button("tool", "Next study", "n", () => this.go("next"), "›");
    this.tool.help = button("tool", "Keys", "?", () => this.help(), "");
    walk.append(this.tool.list, this.tool.previous, this.tool.next, this.tool.help);
    this.bar.append(this.where, this.presets, tools, walk);
  }

  buildSheet() {
    const rows = [
      ["1 to 6", "window presets; the file's own window is 1"],
      ["drag", "window (left-right: width, up-down: centre); arrow keys with Shift"],
      ["wheel, + −", "zoom"], ["Shift-drag", "pan"], ["f, o", "fit, one film pixel a screen pixel"],
      ["i, r, x", "invert, rotate, flip"], ["m, Esc", "ruler in mm, clear rulers"],
      ["h, [ ]", "heatmap of the chosen finding, its opacity"],
      ["b", "boxes of flagged findings, where the model was shown to localize"],
      ["↑ ↓", "choose a finding"], ["a, d, u", "agree, disagree, I am not sure"],
      ["l", "the place is right, wrong, not judged"], ["t", "write a note"],
      ["s", "prior study beside"], ["v", "next film of the study"],
      ["Enter", "finish and open the next study"], ["n, p", "next, previous study"],
      ["c", "copy the text for dictation"], ["w", "worklist"], ["?", "this list"],
    ];
    const table = element("dl");
    rows.forEach(([key, what]) => table.append(element("dt", "", key), element("dd", "", what)));
    this.keySheet = element("div", "keys");
    this.keySheet.append(element("h2", "", "Keys"), table);
    this.sheet.addEventListener("click", () => this.help());
  }

  // ---- data from Python

  update(data, send) {
    this.send = send;
    this.received = data;
    clearTimeout(this.late);
    const ahead = this.pending && data.case.id !== this.pending.id;
    const left = ahead ? this.pending.at + 5000 - performance.now() : 0;
    if (left > 0) { // an answer to an older step, unless it stays the last one
      this.late = setTimeout(() => this.update(data, send), left);
      return;
    }
    this.pending = null;
    this.data = data;
    if (!this.current || this.current.id !== data.case.id) this.open(data.case);
    else if (this.current.version !== data.case.version) this.open(data.case);
    else this.current = data.case;
    for (const coming of [data.next, data.next && data.next.prior]) {
      const first = coming && coming.images[0];
      if (first && first.film) remembered(films, first.film, loadFilm).catch(() => {});
    }
    this.paintWalk();
    const { wish } = this;
    this.wish = "";
    if (wish) this.go(wish);
  }

  // A new study, from Python or, before Python answers, from what was prefetched.
  open(study) {
    const same = this.current && this.current.id === study.id;
    this.current = study;
    this.began = performance.now();
    if (!same) {
      this.image = 0;
      this.heatOn = false;
      this.boxesOn = false;
      this.priorOn = false;
      this.chosen = study.statements.length ? study.statements[0].finding : "";
    }
    if (!this.reviews.has(study.id)) {
      const { findings, note, seconds, finished } = study.review;
      this.reviews.set(study.id, { findings: { ...findings }, note, finished });
      this.seconds.set(study.id, seconds);
    }
    this.root.dataset.case = study.id;
    this.showImage();
    this.paintPanel();
    this.paintWalk();
  }

  showImage() {
    const study = this.current;
    const image = study.images[this.image];
    const many = study.images.length > 1 ? ` · film ${this.image + 1} of ${study.images.length}` : "";
    this.pane.title.textContent = this.priorOn ? `This study ${study.day}` : "";
    this.where.replaceChildren(
      element("strong", "", study.name),
      element("span", "", [study.person, study.day, image.view + many].filter(Boolean).join(" · ")),
    );
    this.pane.root.dataset.heat = "";
    if (image.film) this.pane.show(image.film, image.heat, `Film of study ${study.name}, ${image.view}`);
    else this.pane.clear(image.sentence || "There is no film to show.");
    this.showPrior();
  }

  showPrior() {
    const { prior } = this.current;
    const on = Boolean(prior && this.priorOn);
    this.beside.root.hidden = !on;
    this.stage.classList.toggle("two", on);
    if (on) {
      this.beside.title.textContent = `Prior ${prior.day}`;
      const first = prior.images[0];
      if (first.film) this.beside.show(first.film, null, `Prior film of ${prior.day}`);
      else this.beside.clear(first.sentence);
    }
    if (!on) this.active = this.pane;
    if (this.pane.film && this.pane.fitted) requestAnimationFrame(() => this.pane.fit());
    this.paintTools();
  }

  painted(pane) {
    if (pane === this.beside) pane.follow(this.pane);
    else {
      this.root.dataset.paintedMs = (performance.now() - this.began).toFixed(1);
      this.paintPresets();
      if (!this.beside.root.hidden) this.beside.follow(this.pane);
    }
    this.paintTools();
  }

  linked(pane) {
    const other = pane === this.pane ? this.beside : this.pane;
    if (!other.root.hidden) other.follow(pane);
    this.paintPresets();
    this.paintTools();
  }

  activate(pane) {
    this.active = pane;
  }

  heatShown(pane) {
    return this.heatOn && pane === this.pane ? this.chosen : "";
  }

  boxesShown(pane) {
    if (!this.boxesOn || pane !== this.pane) return [];
    return this.current.statements
      .filter(({ finding, box, claimed }) => box && (claimed || finding === this.chosen) && pane.heat.boxes.has(finding))
      .map(({ finding, title }) => ({ finding, title, chosen: finding === this.chosen }));
  }

  // ---- painting

  paintPresets() {
    const { film, look } = this.pane;
    const key = film ? `${film.url} ${look.preset}` : "";
    if (this.presets.dataset.key === key) return;
    this.presets.dataset.key = key;
    this.presets.replaceChildren();
    if (!film) return;
    film.presets.slice(0, 6).forEach((preset, i) => {
      const made = button("tool", preset.name, String(i + 1), () => this.pane.preset(i));
      made.setAttribute("aria-pressed", String(look.preset === i));
      this.presets.append(made);
    });
  }

  paintTools() {
    const pressed = (name, on) => this.tool[name].setAttribute("aria-pressed", String(Boolean(on)));
    const image = this.current.images[this.image];
    pressed("ruler", this.ruling);
    pressed("heat", this.heatOn);
    pressed("boxes", this.boxesOn);
    pressed("prior", this.priorOn);
    pressed("invert", this.pane.look && this.pane.look.inverted);
    this.tool.heat.disabled = !image.heat;
    this.tool.boxes.disabled = !image.heat || !this.current.statements.some(({ box }) => box);
    this.fader.disabled = !this.heatOn;
    this.tool.prior.disabled = !this.current.prior;
  }

  paintWalk() {
    this.tool.next.disabled = !this.data.next;
    this.tool.previous.disabled = !this.data.previous;
    this.tool.list.hidden = !this.data.listed;
    this.tool.previous.hidden = !this.data.listed;
    this.tool.next.hidden = !this.data.listed;
  }

  paintPanel() {
    const study = this.current;
    const top = element("div", "head");
    top.append(element("h2", "", study.headline));
    top.append(element("p", "soft", study.subline));
    const parts = [top];
    if (study.refusal) {
      const box = element("div", "refusal");
      box.append(element("strong", "", study.refusal.title), element("p", "", study.refusal.sentence));
      parts.push(box);
    }
    if (study.flags.length) {
      const list = element("ul", "flags");
      study.flags.forEach((flag) => list.append(element("li", flag.serious ? "serious" : "", flag.text)));
      parts.push(list);
    }
    this.list = element("div", "findings");
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Findings by urgency");
    this.rows = new Map();
    this.explain = null;
    let group = "";
    study.statements.forEach((statement) => {
      if (statement.group !== group) {
        group = statement.group;
        const title = element("div", "group-title", group);
        title.setAttribute("role", "presentation");
        this.list.append(title);
      }
      this.list.append(this.paintFinding(statement));
    });
    this.explain = element("div", "explain");
    this.explain.setAttribute("aria-live", "polite");
    if (study.statements.length) parts.push(this.list, this.explain);
    else parts.push(element("div", "findings"));
    parts.push(this.paintReview(), this.paintFoot());
    this.panel.replaceChildren(...parts);
    this.choose(this.chosen, false);
  }

  paintFinding(statement) {
    const row = element("div", `finding ${statement.state.replace(" ", "-")}`);
    row.setAttribute("role", "option");
    row.dataset.finding = statement.finding;
    const mark = element("span", "mark", MARKS[statement.state]);
    mark.setAttribute("aria-hidden", "true");
    const scale = element("span", "scale");
    if (statement.probability !== null) {
      const fill = element("i", "fill");
      fill.style.width = `${statement.probability * 100}%`;
      scale.append(fill);
      if (statement.threshold !== null) {
        const tick = element("i", "tick");
        tick.style.left = `${statement.threshold * 100}%`;
        scale.append(tick);
      }
    }
    scale.setAttribute("aria-hidden", "true");
    const said = element("span", "said");
    row.append(
      mark, element("span", "name", statement.title), scale, element("span", "number", statement.text), said,
    );
    row.addEventListener("click", () => this.choose(statement.finding));
    this.rows.set(statement.finding, { row, said, statement });
    this.paintSaid(statement.finding);
    return row;
  }

  paintSaid(finding) {
    const entry = this.rows.get(finding);
    const said = this.review.findings[finding] || {};
    const judged = said.opinion || (said.label === "uncertain" ? "uncertain" : "");
    const words = { agree: "agreed", disagree: "disagreed", uncertain: "not sure" }[judged] || "";
    const place = { agree: "place right", disagree: "place wrong" }[said.location] || "";
    entry.said.textContent = { agree: "✓", disagree: "✗", uncertain: "?" }[judged] || (place ? "·" : "");
    entry.words = [words, place].filter(Boolean).join(", ");
    entry.said.title = entry.words;
    const { title, state, text } = entry.statement;
    entry.row.setAttribute("aria-label", [title, state, text, entry.words].filter(Boolean).join(", "));
    if (finding === this.chosen && this.explain) this.paintExplain();
  }

  choose(finding, reveal = true) {
    this.chosen = finding;
    const entry = this.rows.get(finding);
    this.rows.forEach(({ row }, name) => {
      row.setAttribute("aria-selected", String(name === finding));
      row.tabIndex = name === finding ? 0 : -1;
    });
    if (entry && reveal) entry.row.scrollIntoView({ block: "nearest" });
    this.paintExplain();
    this.pane.decorate();
  }

  paintExplain() {
    const entry = this.rows.get(this.chosen);
    this.explain.replaceChildren();
    if (!entry) return;
    const top = element("p", "", entry.statement.title);
    top.append(element("span", "soft", ` ${entry.statement.state}, ${entry.statement.text}`));
    if (entry.words) top.append(element("strong", "", ` · you: ${entry.words}`));
    this.explain.append(top);
    entry.statement.meaning.forEach((line) => this.explain.append(element("p", "soft", line)));
  }

  paintReview() {
    const box = element("div", "review");
    if (!this.current.can_review) {
      box.append(element("p", "soft", this.current.review_sentence));
      return box;
    }
    const row = element("div", "buttons");
    row.append(
      button("say", "Agree", "a", () => this.judge("agree")),
      button("say", "Disagree", "d", () => this.judge("disagree")),
      button("say", "Not sure", "u", () => this.judge("uncertain")),
      button("say", "Place", "l", () => this.judgePlace()),
    );
    this.note = element("textarea", "note");
    this.note.placeholder = "Note (t)";
    this.note.setAttribute("aria-label", "Note");
    this.note.rows = 2;
    this.note.maxLength = 4000;
    this.note.value = this.review.note;
    this.note.addEventListener("input", () => {
      this.review.note = this.note.value;
      this.saveSoon();
    });
    const done = element("div", "buttons");
    this.finishButton = button("primary", "Finish, next", "Enter", () => this.finish());
    done.append(this.finishButton, button("say", "Copy text", "c", () => this.copy()));
    box.append(row, this.note, done);
    if (this.current.others) box.append(element("p", "soft others", this.current.others));
    return box;
  }

  paintFoot() {
    const foot = element("p", "foot", this.current.foot);
    this.current.reports.forEach(({ label, url }) => {
      const link = element("a", "", label);
      Object.assign(link, { href: url, target: "_blank", rel: "noopener" });
      foot.append(" · ", link);
    });
    return foot;
  }

  // ---- what the reader does

  get review() {
    return this.reviews.get(this.current.id);
  }

  judge(opinion) {
    const entry = this.rows.get(this.chosen);
    if (!entry || !this.current.can_review) return;
    const positive = ["present", "flagged"].includes(entry.statement.state);
    const said = { opinion: "", location: "", label: "", ...this.review.findings[this.chosen] };
    if (opinion === "uncertain") Object.assign(said, { opinion: "", label: "uncertain" });
    else if (said.opinion === opinion) Object.assign(said, { opinion: "", label: "" });
    else {
      const there = (opinion === "agree") === positive;
      Object.assign(said, { opinion, label: there ? "present" : "absent" });
    }
    this.review.findings[this.chosen] = said;
    this.paintSaid(this.chosen);
    this.saveSoon();
  }

  judgePlace() {
    if (!this.rows.has(this.chosen) || !this.current.can_review) return;
    const said = { opinion: "", location: "", label: "", ...this.review.findings[this.chosen] };
    said.location = { "": "agree", agree: "disagree", disagree: "" }[said.location];
    this.review.findings[this.chosen] = said;
    this.paintSaid(this.chosen);
    this.saveSoon();
  }

  finish() {
    if (!this.current.can_review) return;
    this.review.finished = true;
    this.save();
    if (this.data.next || this.pending) this.go("next");
    else this.tell("Finished. There is no further study in this list.");
  }

  saveSoon() {
    this.unsaved.add(this.current.id);
    clearTimeout(this.saving);
    const study = this.current;
    this.saving = setTimeout(() => this.save(false, study), 250);
  }

  async save(last = false, study = this.current) {
    clearTimeout(this.saving);
    if (!study || !study.can_review) return;
    const review = this.reviews.get(study.id);
    if (!this.unsaved.has(study.id) && !review.finished && !last) return;
    if (last && !this.unsaved.has(study.id)) return;
    const body = JSON.stringify({
      findings: review.findings, note: review.note, finished: review.finished,
      seconds: this.seconds.get(study.id) || 0, image: this.image,
    });
    this.unsaved.add(study.id);
    try {
      const answer = await fetch(study.review_url, {
        method: "POST", body, credentials: "same-origin", keepalive: last,
        headers: { "Content-Type": "application/json" },
      });
      const said = await answer.json();
      if (!answer.ok) throw new Error(said.message);
      this.unsaved.delete(study.id);
      this.root.dataset.saved = `${study.id} ${said.saved}`;
      this.tell(`Saved ${said.saved}`);
    } catch (error) {
      const why = error instanceof TypeError ? "The server does not answer." : error.message;
      this.tell(`${why} Your review is kept here and sent again.`);
      if (!last) setTimeout(() => this.unsaved.has(study.id) && this.save(false, study), 3000);
    }
  }

  // The text is made by the server from what it has saved, so the review goes first.
  async copy() {
    const study = this.current;
    let text;
    try {
      if (this.unsaved.has(study.id)) await this.save(false, study);
      const answer = await fetch(study.text_url, { credentials: "same-origin", cache: "no-store" });
      text = await answer.text();
      if (!answer.ok) throw new Error(JSON.parse(text).message);
    } catch (error) {
      this.tell(error instanceof TypeError ? "The server does not answer; nothing was copied." : error.message);
      return;
    }
    this.root.dataset.copied = text;
    try {
      await navigator.clipboard.writeText(text);
      this.tell("Copied for dictation.");
    } catch (error) {
      this.showText(text);
    }
  }

  // Where the browser keeps the clipboard to itself (no HTTPS): the text, selected, to copy by hand.
  showText(text) {
    const area = element("textarea", "copy");
    area.value = text;
    area.readOnly = true;
    area.setAttribute("aria-label", "Text for dictation");
    const box = element("div", "keys");
    box.append(element("h2", "", "Copy with Ctrl-C, close with Esc"), area);
    box.addEventListener("click", (event) => event.stopPropagation());
    this.sheet.replaceChildren(box);
    this.sheet.hidden = false;
    area.select();
  }

  go(way) {
    const study = this.data[way];
    if (!study) {
      if (this.pending) this.wish = way; // pressed again before Python named the study after
      return;
    }
    if (this.unsaved.has(this.current.id)) this.save();
    this.pending = { id: study.id, at: performance.now() };
    // Painted from memory at once where it is known; Python follows. It stays silent where its last
    // word was this study: two quick steps, there and back, reach it as none.
    const known = this.received.case.id === study.id;
    if (known) this.data = this.received;
    else this.data = { ...this.data, next: null, previous: study.images ? this.current : null };
    if (known || study.images) this.open(known ? this.received.case : study);
    this.send("go", study.id);
  }

  toggleHeat() {
    const image = this.current.images[this.image];
    if (!image.heat) return this.tell("There is no heatmap: the model did not read this film.");
    this.heatOn = !this.heatOn;
    this.pane.decorate();
    this.paintTools();
    if (this.heatOn && this.pane.root.dataset.heat !== "ready") this.tell("The heatmap is on its way.");
    else if (this.heatOn) this.tell("What the model used, not an outline of disease.");
    return undefined;
  }

  toggleBoxes() {
    const image = this.current.images[this.image];
    if (!image.heat) return this.tell("There are no boxes: the model did not read this film.");
    if (!this.current.statements.some(({ box }) => box)) {
      return this.tell("No boxes: this model's maps were not shown to point to any finding.");
    }
    this.boxesOn = !this.boxesOn;
    this.pane.decorate();
    this.paintTools();
    if (this.boxesOn) this.tell("Boxes around the hottest place of a map, not outlines of disease.");
    return undefined;
  }

  fade(opacity) {
    this.opacity = Math.min(Math.max(opacity, 0.1), 1);
    this.fader.value = this.opacity;
    this.pane.decorate();
  }

  togglePrior() {
    if (!this.current.prior) return this.tell("There is no earlier study of this patient here.");
    this.priorOn = !this.priorOn;
    return this.showImage();
  }

  rule() {
    this.ruling = !this.ruling;
    this.stage.classList.toggle("ruling", this.ruling);
    this.paintTools();
  }

  help() {
    const open = this.sheet.hidden;
    if (open) this.sheet.replaceChildren(this.keySheet);
    this.sheet.hidden = !open;
  }

  tell(text) {
    this.status.textContent = text;
    clearTimeout(this.telling);
    this.telling = setTimeout(() => { this.status.textContent = ""; }, 6000);
  }

  tick() {
    const now = performance.now();
    const shown = document.visibilityState === "visible" && now - this.touched < 60000;
    if (this.current && shown) {
      const { id } = this.current;
      this.seconds.set(id, (this.seconds.get(id) || 0) + (now - this.ticked) / 1000);
    }
    this.ticked = now;
    const idle = (now - this.touched) / 1000;
    if (this.data && this.data.idle_seconds && idle > this.data.idle_seconds && !this.locked) {
      this.locked = true;
      this.pane.clear("Locked after a time without use.");
      this.panel.replaceChildren();
      this.send("go", "lock");
    }
  }

  key(event) {
    if (!this.root.isConnected || !this.data || this.locked) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.composedPath()[0];
    const typing = target instanceof HTMLElement
      && (target.matches("textarea, select, [contenteditable]")
        || (target.matches("input") && target.type !== "range"));
    if (typing) {
      if (event.key === "Escape") {
        target.blur();
        this.sheet.hidden = true;
      }
      if (this.root.contains(target)) event.stopPropagation();
      return;
    }
    const focused = target instanceof HTMLElement && target.matches("button, a, summary");
    if (focused && (event.key === "Enter" || event.key === " ")) return;
    if (event.key === "Tab") return;
    if (!this.act(event)) return;
    this.touched = performance.now();
    event.preventDefault();
    event.stopPropagation();
  }

  act(event) {
    const { key } = event;
    const pane = this.active;
    if (event.shiftKey && key.startsWith("Arrow")) return this.windowByKey(key);
    if (/^[1-6]$/.test(key)) pane.preset(Number(key) - 1);
    else if (key === "ArrowDown" || key === "ArrowUp") this.step(key === "ArrowDown" ? 1 : -1);
    else if (key === " ") this.spaced = true;
    else if (key === "Escape") {
      if (!this.sheet.hidden) this.help();
      pane.rulers = [];
      this.ruling = false;
      this.stage.classList.remove("ruling");
      pane.decorate();
      this.paintTools();
    } else {
      const keys = {
        i: () => pane.invert(), f: () => pane.fit(), o: () => pane.actual(), 0: () => pane.actual(),
        r: () => pane.rotate(), x: () => pane.flip(), m: () => this.rule(),
        h: () => this.toggleHeat(), b: () => this.toggleBoxes(), "[": () => this.fade(this.opacity - 0.1),
        "]": () => this.fade(this.opacity + 0.1), "+": () => pane.zoom(1.25), "=": () => pane.zoom(1.25),
        "-": () => pane.zoom(0.8), a: () => this.judge("agree"), d: () => this.judge("disagree"),
        u: () => this.judge("uncertain"), l: () => this.judgePlace(),
        t: () => this.note && this.note.focus(), n: () => this.go("next"),
        p: () => this.go("previous"), s: () => this.togglePrior(), v: () => this.nextImage(),
        Enter: () => this.finish(), c: () => this.copy(), "?": () => this.help(),
        w: () => this.data.listed && this.send("go", ""),
      };
      if (!Object.hasOwn(keys, key)) return false;
      keys[key]();
    }
    return true;
  }

  windowByKey(key) {
    const { look, film } = this.active;
    if (!film) return false;
    const step = look.width / 20;
    const up = { ArrowUp: -1, ArrowDown: 1 }[key] || 0;
    const wide = { ArrowLeft: -1, ArrowRight: 1 }[key] || 0;
    this.active.window(look.center + up * step, look.width + wide * step);
    return true;
  }

  step(by) {
    const names = this.current.statements.map(({ finding }) => finding);
    if (!names.length) return;
    const at = names.indexOf(this.chosen);
    this.choose(names[Math.min(Math.max(at + by, 0), names.length - 1)]);
  }

  nextImage() {
    if (this.current.images.length < 2) return;
    this.image = (this.image + 1) % this.current.images.length;
    this.showImage();
  }
}

const desks = new WeakMap();

export default function viewer({ parentElement, data, setTriggerValue }) {
  let desk = desks.get(parentElement);
  if (!desk) {
    const root = parentElement.querySelector(".desk");
    desk = new Desk(root);
    desks.set(parentElement, desk);
  }
  desk.update(data, setTriggerValue);
  return () => {
    desk.remove();
    desks.delete(parentElement);
    desk.root.replaceChildren();
  };
}

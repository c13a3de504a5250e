// Grays: from stored values to gray levels by PS3.3 C.11.2.1.2 (LINEAR), C.11.2.1.3.1 (SIGMOID) and
// C.11.2.1.3.2 (LINEAR_EXACT).
//
// A look is {center, width, kind, levels, opened, inverted, preset, name}: how a film is shown now. levels
// is the table of a file that brings its own, opened the window at which the table is as the file says;
// preset is -1 for a window set by hand.

export const BLACK = 0xff000000;

export function presetLook(film, number, inverted = false) {
  const preset = film.presets[number];
  const { center, width, name } = preset;
  return {
    center, width, name, inverted, preset: number,
    kind: preset.function, levels: preset.levels || null, opened: { center, width },
  };
}

// A table keeps its curve: it is shifted and stretched as the window is.
export function lookByHand(film, look, center, width) {
  const least = Math.abs(film.slope) || 1;
  return { ...look, center, width: Math.max(width, least), preset: -1, name: "By hand" };
}

// Another film's look: its own preset of the same name, else what is as bright in both. An inverse film
// turns the other way.
export function lookAfter(film, other, look) {
  if (look.preset >= 0) {
    const same = film.presets.findIndex(({ name }) => name === look.name);
    if (same >= 0) return presetLook(film, same, look.inverted);
  }
  const [mine, theirs] = anchors(film, other);
  const sign = film.inverse === other.inverse ? 1 : -1;
  const center = mine.center + (sign * (look.center - theirs.center) * mine.width) / theirs.width;
  const width = Math.max((look.width / theirs.width) * mine.width, Math.abs(film.slope) || 1);
  const kind = look.kind === "SIGMOID" ? "SIGMOID" : "LINEAR_EXACT";
  return { center, width, kind, levels: null, opened: null, inverted: look.inverted, preset: -1, name: "As beside" };
}

// Windows at which two films look alike: both by what is in the film, where both have one.
function anchors(film, other) {
  const [mine, theirs] = [film, other].map(({ presets }) => presets.find(({ name }) => name === "Automatic"));
  return mine && theirs ? [mine, theirs] : [film.presets[0], other.presets[0]];
}

export function lookInWords(film, look) {
  const digits = film.unit === "%" || look.width < 10 ? 1 : 0;
  return `${look.name}${look.inverted ? ", inverted" : ""} · C ${look.center.toFixed(digits)} ` +
    `W ${look.width.toFixed(digits)}${film.unit}`;
}

// One 32-bit gray for each of the 65,536 stored values.
export function fillTable(table, film, look) {
  const inverse = film.inverse !== look.inverted;
  const { slope, intercept } = film;
  for (let code = 0; code < 65536; code += 1) {
    let gray;
    if (look.levels) gray = look.levels[codeOfTable(code * slope + intercept, film, look, code)];
    else {
      const share = level(code * slope + intercept, look.center, look.width, look.kind);
      gray = Math.round(Math.min(Math.max(share, 0), 1) * 255);
    }
    if (inverse) gray = 255 - gray;
    table[code] = BLACK | (gray << 16) | (gray << 8) | gray;
  }
  if (film.padding) table.fill(BLACK, film.padding[0], film.padding[1] + 1);
}

function codeOfTable(x, film, look, code) {
  const { center, width } = look.opened;
  if (look.center === center && look.width === width) return code;
  const there = center + ((x - look.center) * width) / look.width;
  return Math.min(Math.max(Math.round((there - film.intercept) / film.slope), 0), 65535);
}

function level(x, center, width, kind) {
  if (kind === "SIGMOID") return 1 / (1 + Math.exp((-4 * (x - center)) / width));
  if (kind === "LINEAR" && width > 1) return (x - (center - 0.5)) / (width - 1) + 0.5;
  if (kind === "LINEAR") return x > center - 0.5 ? 1 : 0;
  return (x - center) / width + 0.5;
}

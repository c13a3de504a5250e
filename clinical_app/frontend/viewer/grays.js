// Grays: from stored values to gray levels by PS3.3 C.11.2.1.2 (LINEAR), C.11.2.1.3.1 (SIGMOID) and
// C.11.2.1.3.2 (LINEAR_EXACT).
//
// A look is {center, width, kind, levels, inverted, preset}: how a film is shown now. levels is the
// table of a file that brings its own, preset -1 a window set by hand.

export const BLACK = 0xff000000;

export function presetLook(film, number) {
  const preset = film.presets[number];
  return {
    center: preset.center,
    width: preset.width,
    kind: preset.function,
    levels: preset.levels || null,
    inverted: false,
    preset: number,
  };
}

export function lookByHand(film, look, center, width) {
  const kind = look.levels ? "LINEAR_EXACT" : look.kind;
  const least = Math.abs(film.slope) || 1;
  return { ...look, center, width: Math.max(width, least), kind, levels: null, preset: -1 };
}

// Another film's look, as a share of what each film opened with.
export function lookAfter(film, other, look) {
  const [mine, theirs] = [film.presets[0], other.presets[0]];
  const opened = look.preset === 0;
  return {
    center: mine.center + ((look.center - theirs.center) / theirs.width) * mine.width,
    width: (look.width / theirs.width) * mine.width,
    kind: opened ? mine.function : "LINEAR_EXACT",
    levels: opened ? mine.levels || null : null,
    inverted: look.inverted,
    preset: look.preset,
  };
}

export function lookInWords(film, look) {
  const digits = film.unit === "%" || look.width < 10 ? 1 : 0;
  const name = look.preset >= 0 ? film.presets[look.preset].name : "By hand";
  return `${name}${look.inverted ? ", inverted" : ""} · C ${look.center.toFixed(digits)} ` +
    `W ${look.width.toFixed(digits)}${film.unit}`;
}

// One 32-bit gray for each of the 65,536 stored values.
export function fillTable(table, film, look) {
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
    table[code] = BLACK | (gray << 16) | (gray << 8) | gray;
  }
  if (film.padding) table.fill(BLACK, film.padding[0], film.padding[1] + 1);
}

function level(x, center, width, kind) {
  if (kind === "SIGMOID") return 1 / (1 + Math.exp((-4 * (x - center)) / width));
  if (kind === "LINEAR" && width > 1) return (x - (center - 0.5)) / (width - 1) + 0.5;
  if (kind === "LINEAR") return x > center - 0.5 ? 1 : 0;
  return (x - center) / width + 0.5;
}

// Toolbar: which study this is, windows, tools, and the way to the next one.

import { button, element } from "../element.js";

export class Toolbar {
  constructor(desk) {
    this.desk = desk;
    this.root = element("div", "bar");
    this.where = element("div", "where");
    this.presets = element("div", "group presets");
    this.presets.setAttribute("role", "group");
    this.presets.setAttribute("aria-label", "Windows");
    this.root.append(this.where, this.presets, this.buildTools(), this.buildWalk());
  }

  buildTools() {
    const { desk } = this;
    const { layers } = desk;
    this.tool = {
      invert: button("tool", "Invert", "i", () => desk.active.invert()),
      fit: button("tool", "Fit", "f", () => desk.active.fit()),
      actual: button("tool", "1:1", "o", () => desk.active.actual()),
      rotate: button("tool", "Rotate", "r", () => desk.active.rotate()),
      flip: button("tool", "Mirror", "x", () => desk.active.flip()),
      reset: button("tool", "Reset", "0", () => desk.active.reset()),
      lens: button("tool", "Lens", "q", () => desk.toggleLens()),
      ruler: button("tool", "Ruler", "m", () => desk.measure("length")),
      ratio: button("tool", "CTR", "k", () => desk.measure("ratio")),
      angle: button("tool", "Angle", "j", () => desk.measure("angle")),
      planes: button("tool", "Overlay", "g", () => desk.togglePlanes()),
      heat: button("tool", "Heatmap", "h", () => layers.toggleHeat()),
      boxes: button("tool", "Boxes", "b", () => layers.toggleBoxes()),
      prior: button("tool", "Prior", "s", () => desk.togglePrior()),
    };
    this.fader = element("input", "fader");
    Object.assign(this.fader, { type: "range", min: "0.1", max: "1", step: "0.05" });
    this.fader.value = layers.opacity;
    this.fader.setAttribute("aria-label", "Heatmap opacity");
    this.fader.addEventListener("input", () => layers.fade(Number(this.fader.value)));
    const tools = element("div", "group");
    tools.append(...Object.values(this.tool), this.fader);
    tools.className = "group tools";
    return tools;
  }

  buildWalk() {
    const { desk } = this;
    const { tool } = this;
    tool.list = button("tool", "List", "w", () => desk.leave());
    tool.previous = button("tool", "Previous study", "p", () => desk.go("previous"), "‹");
    tool.next = button("tool", "Next study", "n", () => desk.go("next"), "›");
    tool.panel = button("tool", "Film alone, without the panel", "e", () => desk.togglePanel(), "⤢");
    tool.help = button("tool", "Keys", "?", () => desk.sheet.help(), "");
    const walk = element("div", "group walk");
    walk.append(tool.list, tool.previous, tool.next, tool.panel, tool.help);
    return walk;
  }

  paintWhere(study, image, number) {
    const many = study.images.length > 1 ? ` · film ${number + 1} of ${study.images.length}` : "";
    this.where.replaceChildren(
      element("strong", "", study.name),
      element("span", "", [study.person, study.day, image.view + many].filter(Boolean).join(" · ")),
    );
  }

  paintPresets() {
    const { pane } = this.desk;
    const { film, look } = pane;
    const key = film ? `${film.id} ${look.preset}` : "";
    if (this.presets.dataset.key === key) return;
    this.presets.dataset.key = key;
    this.presets.replaceChildren();
    if (!film) return;
    film.presets.slice(0, 6).forEach((preset, i) => {
      const made = button("tool", preset.name, String(i + 1), () => pane.preset(i));
      made.setAttribute("aria-pressed", String(look.preset === i));
      this.presets.append(made);
    });
  }

  paintTools() {
    const { desk, tool } = this;
    const { layers, pane } = desk;
    const pressed = (name, on) => tool[name].setAttribute("aria-pressed", String(Boolean(on)));
    for (const [name, kind] of [["ruler", "length"], ["ratio", "ratio"], ["angle", "angle"]]) {
      pressed(name, desk.measuring === kind);
    }
    pressed("heat", layers.heatOn);
    pressed("boxes", layers.boxesOn);
    pressed("prior", desk.comparing.isOn);
    pressed("invert", pane.film && pane.look.inverted);
    pressed("flip", desk.active.film && desk.active.at.flipped);
    pressed("planes", desk.planesOn);
    pressed("lens", desk.lensOn);
    pressed("panel", desk.root.classList.contains("alone"));
    tool.planes.hidden = !(pane.film && (pane.film.overlays.length || pane.film.shutter));
    tool.heat.disabled = !layers.canHeat;
    tool.boxes.disabled = !layers.canBox;
    tool.prior.disabled = !desk.current.priors.length;
    this.fader.disabled = !layers.heatOn;
    this.fader.value = layers.opacity;
  }

  paintWalk({ next, previous, listed }) {
    this.tool.next.disabled = !next;
    this.tool.previous.disabled = !previous;
    for (const name of ["list", "previous", "next"]) this.tool[name].hidden = !listed;
  }
}

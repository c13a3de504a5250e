// Layers: heatmap and boxes of the model over the film, off until asked for.

export class Layers {
  constructor(desk) {
    this.desk = desk;
    this.opacity = 0.55;
    this.hide();
  }

  hide() {
    this.heatOn = false;
    this.boxesOn = false;
  }

  heatOf(pane) {
    return this.heatOn && pane === this.desk.pane ? this.desk.panel.chosen : "";
  }

  // Of the claimed findings whose maps were shown to localize, and of the chosen one. box is missing where
  // the hot place is too large to point to anything: a contour of the map is drawn then.
  boxesOf(pane) {
    if (!this.boxesOn || pane !== this.desk.pane) return [];
    const { chosen } = this.desk.panel;
    return this.desk.current.statements
      .filter(({ finding, box, claimed }) => box && (claimed || finding === chosen) && pane.heat.maps.has(finding))
      .map(({ finding, title }) => ({ finding, title, chosen: finding === chosen, box: pane.heat.boxes.get(finding) }))
      .sort((a, b) => a.chosen - b.chosen); // the chosen one is drawn over the others
  }

  get canHeat() {
    return Boolean(this.desk.currentImage.heat);
  }

  get canBox() {
    return this.canHeat && this.desk.current.statements.some(({ box }) => box);
  }

  toggleHeat() {
    const { desk } = this;
    if (desk.current.hidden) {
      desk.tell("Your own reading first: the map comes after your word is stored.");
      return;
    }
    if (!this.canHeat) {
      desk.tell("There is no heatmap: the model did not read this film.");
      return;
    }
    this.heatOn = !this.heatOn;
    desk.repaint();
    if (!this.heatOn) return;
    const ready = desk.pane.root.dataset.heat === "ready";
    desk.tell(ready ? "What the model used, not an outline of disease." : "The heatmap is on its way.");
  }

  toggleBoxes() {
    const { desk } = this;
    if (!this.canBox) {
      desk.tell(this.canHeat
        ? "No boxes: this model's maps were not shown to point to any finding."
        : "There are no boxes: the model did not read this film.");
      return;
    }
    this.boxesOn = !this.boxesOn;
    desk.repaint();
    if (this.boxesOn) {
      desk.tell("Boxes around the hottest place of a map, its contour at half of its peak where that is large. "
        + "No outlines of disease.");
    }
  }

  fade(opacity) {
    this.opacity = Math.min(Math.max(opacity, 0.1), 1);
    this.desk.repaint();
  }
}

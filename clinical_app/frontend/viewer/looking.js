// Looking: how this tab looked at a film, kept through a reload and a way back to the film.

import { lookByHand, presetLook } from "./grays.js";

// As this tab looked at the pane's film last, or as the file opens.
export function openLook(pane) {
  const kept = pane.desk.memory.get(`look ${pane.id}`);
  pane.look = presetLook(pane.film, 0);
  pane.size();
  if (kept) {
    const { look } = kept;
    const named = look.preset >= 0 && pane.film.presets[look.preset];
    pane.look = named
      ? presetLook(pane.film, look.preset, look.inverted)
      : { ...lookByHand(pane.film, pane.look, look.center, look.width), inverted: look.inverted };
    Object.assign(pane.at, kept.at);
  }
  if (pane.at.fitted) pane.move((at) => at.fit(), false);
  else pane.draw();
}

export function keepLook(pane) {
  if (!pane.film) return;
  const { center, width, inverted, preset } = pane.look;
  pane.desk.memory.setLook(pane.id, { look: { center, width, inverted, preset }, at: pane.at.state });
}

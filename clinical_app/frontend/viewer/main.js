// Viewer: films at full bit depth on a canvas, findings beside them, every step on a key.
//
// Streamlit mounts the default export and calls it again with new data; numbers and sentences come
// from Python, these modules only draw them. Films, heatmaps and reviews travel over HTTP routes.

import { Desk } from "./desk.js";

const desks = new WeakMap();

export default function viewer({ parentElement, data, setTriggerValue }) {
  let desk = desks.get(parentElement);
  if (!desk) {
    desk = new Desk(parentElement.querySelector(".desk"), data.reader);
    desks.set(parentElement, desk);
  }
  desk.update(data, setTriggerValue);
  return () => {
    desk.remove();
    desks.delete(parentElement);
    desk.root.replaceChildren();
  };
}

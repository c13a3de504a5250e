// Questions: one film and one question at a time, answered on a key; nothing of a label or a model is here.
//
// Streamlit mounts the default export and calls it again with new links. What is asked comes over HTTP.

import { Questions } from "./questions.js";

const asked = new WeakMap();

export default function questions({ parentElement, data, setTriggerValue }) {
  let page = asked.get(parentElement);
  if (!page) {
    page = new Questions(parentElement.querySelector(".desk"), data.reader);
    asked.set(parentElement, page);
  }
  page.update(data, setTriggerValue);
  return () => {
    page.remove();
    asked.delete(parentElement);
    page.root.replaceChildren();
  };
}

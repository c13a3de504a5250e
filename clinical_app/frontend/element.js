// Element: HTML made in few words.

export function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

export function button(name, label, key, act, sign = label) {
  const made = element("button", name);
  made.type = "button";
  made.append(element("span", "", sign));
  if (sign !== label) made.setAttribute("aria-label", label);
  if (key) made.append(element("kbd", "", key));
  made.title = key ? `${label} (${key})` : label;
  made.addEventListener("click", (event) => {
    if (event.detail > 0) made.blur(); // after a mouse the keys belong to the desk again
    act(event);
  });
  return made;
}

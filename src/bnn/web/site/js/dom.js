// SPDX-License-Identifier: BSD-3-Clause
// Elements, short. Texts are set as texts, never as HTML: names come from files.

export const $ = (id) => document.getElementById(id);

/** An element with attributes and children; names that begin with "on" are listeners. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "text") made.textContent = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** Shows an error under a place of the page, or nothing. */
export function showError(id, message) {
  const place = $(id);
  place.textContent = message ?? "";
  place.hidden = !message;
}

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

const errors = new Map();

/** Shows an error at a place of the page: `say()` is its text in the present language; null: none. */
export function showError(id, say = null) {
  errors.set(id, say);
  const place = $(id);
  place.textContent = say?.() ?? "";
  place.hidden = say === null;
}

/** What says the error at a place of the page; null where there is none. */
export function saidOf(id) {
  return errors.get(id) ?? null;
}

/** The errors that are shown, in another language. */
export function errorsAgain() {
  for (const [id, say] of errors) showError(id, say);
}

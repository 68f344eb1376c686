// SPDX-License-Identifier: BSD-3-Clause
// Texts of the page in the chosen language. Elements say which they show: data-t (text), data-t-label.
import en from "../words/en.js";
import ja from "../words/ja.js";

const LANGUAGES = { en, ja };
let words = en;

/** The text called `key`; {name} is replaced by `values.name`. */
export function text(key, values = {}) {
  const found = words[key] ?? en[key] ?? key;
  return found.replace(/\{([a-z]+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/** What a user reads of an error. */
export function errorText(error) {
  const key = error?.key ?? "error.model";
  return text(key, { detail: error?.message ?? String(error) });
}

export function language() {
  return words === ja ? "ja" : "en";
}

/** What the address asks for (index.html?show=bits&lang=ja), or "". */
export function fromAddress(name) {
  return new URLSearchParams(location.search).get(name) ?? "";
}

/** The language to begin with: the address's, what was chosen before, else the browser's. */
export function firstLanguage() {
  const chosen = fromAddress("lang") || stored();
  if (chosen in LANGUAGES) return chosen;
  return navigator.language?.startsWith("ja") ? "ja" : "en";
}

export function setLanguage(name) {
  words = LANGUAGES[name] ?? en;
  document.documentElement.lang = language();
  try {
    localStorage.setItem("language", language());
  } catch {
    // The browser keeps nothing; the choice holds until the page is closed.
  }
  translate(document);
}

function stored() {
  try {
    return localStorage.getItem("language") ?? "";
  } catch {
    return "";
  }
}

/** Fills in every element of `root` that names its text. */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = text(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]"))
    element.setAttribute("aria-label", text(element.dataset.tLabel));
}

// SPDX-License-Identifier: BSD-3-Clause
// The models of the page: those of the site, loaded when they are chosen, and the user's files.
import { $, element, showError } from "./dom.js";
import { Engine } from "./engine.js";
import { UserError } from "./errors.js";
import { errorText, text } from "./words.js";

export class Models {
  /** `changed()` is called when another set of models is chosen. */
  constructor(listed, changed) {
    this.changed = changed;
    this.all = new Map(listed.map((each) => [each.name, { ...each, own: false, chosen: false }]));
  }

  get chosen() {
    return [...this.all.values()].filter((model) => model.chosen);
  }

  /** Chooses exactly these. */
  choose(...names) {
    for (const model of this.all.values()) model.chosen = names.includes(model.name);
    this.show();
    this.changed();
  }

  /** The engine of a model; it is loaded once. Throws UserError. */
  engine(model) {
    model.engine ??= this.load(model);
    return model.engine;
  }

  async load(model) {
    try {
      const engine = await Engine.load(model.data ?? (await fetched(model.file)));
      model.data = null;
      return engine;
    } catch (reason) {
      model.engine = null;
      throw reason;
    }
  }

  /** Adds the user's file and chooses it beside the others that are chosen. */
  async open(file) {
    showError("model-error");
    try {
      if (file.size > 2 ** 29) throw new UserError("too large", "error.large-file");
      const data = new Uint8Array(await file.arrayBuffer());
      const engine = await Engine.load(data);
      const name = this.freeName(file.name.replace(/\.bnn$/i, ""));
      const { classes, preparation, digested } = engine.info;
      this.all.set(name, {
        name, own: true, chosen: true, bytes: file.size, classes: classes.length, preparation,
        engine: Promise.resolve(engine),
      });
      if (!digested) showError("model-error", () => text("models.no-digest", { model: name }));
      this.show();
      this.changed();
    } catch (reason) {
      showError("model-error", () => text("error.file", { file: file.name, reason: errorText(reason) }));
    }
  }

  freeName(wanted) {
    let name = wanted.slice(0, 60);
    for (let i = 2; this.all.has(name); ++i) name = `${wanted.slice(0, 60)} (${i})`;
    return name;
  }

  async remove(model) {
    this.all.delete(model.name);
    this.show();
    this.changed();
    (await model.engine)?.close();
  }

  show() {
    const rows = [...this.all.values()].map((model) => this.row(model));
    $("model-list").replaceChildren(...rows);
  }

  row(model) {
    const box = element("input", {
      type: "checkbox",
      onchange: () => {
        model.chosen = box.checked;
        this.changed();
      },
    });
    box.checked = model.chosen;
    const told = [
      text(`models.kind.${model.preparation}`),
      text("models.size", { kb: Math.round(model.bytes / 1000) }),
      model.own ? text("models.own") : null,
    ];
    const label = element(
      "label", {}, box, " ",
      element("b", { text: model.name }), " ",
      element("span", { class: "hint", text: told.filter(Boolean).join(" · ") }),
    );
    const remove =
      model.own &&
      element("button", {
        class: "small", text: "×", "aria-label": text("models.remove", { model: model.name }),
        onclick: () => this.remove(model),
      });
    return element("div", { class: "model" }, label, remove || null);
  }
}

async function fetched(file) {
  let response;
  try {
    response = await fetch(new URL(`../${file}`, import.meta.url));
  } catch {
    throw new UserError(file, "error.offline");
  }
  if (!response.ok) throw new UserError(file, "error.offline");
  return new Uint8Array(await response.arrayBuffer());
}

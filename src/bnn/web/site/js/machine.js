// SPDX-License-Identifier: BSD-3-Clause
// The same image on the machine that serves this page: browser, CPU and accelerator side by side.
// Only `bnn web --runtime ...` answers; a static host has no such machine.
import { element } from "./dom.js";
import { UserError } from "./errors.js";
import { readable } from "./cards.js";
import { errorText, text } from "./words.js";

/** Milliseconds until a machine that is not ready, or busy, is asked again. */
const AGAIN_MS = 1000;
const SVG = "http://www.w3.org/2000/svg";

export class Machine {
  /** `told` is what models.json says of the machine; undefined on a static host. */
  constructor(told) {
    this.runtime = told?.runtime ?? null;
    this.models = new Set(told?.models ?? []);
    this.newest = new Map();
    this.asking = new Set();
  }

  /** Asks for one image of a model, and shows it on the card. One request a model at a time; of the
   * images that come meanwhile the newest one follows. */
  async compare(model, card, result) {
    const { name } = model;
    if (!this.runs(model)) return;
    this.newest.set(name, { card, result });
    if (this.asking.has(name)) return;
    this.asking.add(name);
    while (this.newest.has(name)) {
      const next = this.newest.get(name);
      this.newest.delete(name);
      await this.show(name, next);
    }
    this.asking.delete(name);
  }

  async show(name, { card, result }) {
    try {
      const answer = await this.ask(name, result.bytes, () =>
        card.showMachine(element("p", { class: "hint", text: text("machine.preparing", { runtime: this.runtime }) })),
      );
      card.showMachine(...view(answer, result));
    } catch (reason) {
      card.showMachine(element("p", { class: "error", text: errorText(reason) }));
    }
  }

  /** Whether the machine can run this model: bundled ones only, never the user's files. */
  runs(model) {
    return this.runtime !== null && !model.own && this.models.has(model.name);
  }

  async ask(name, bytes, preparing) {
    for (;;) {
      let response;
      try {
        response = await fetch(`run?model=${encodeURIComponent(name)}`, {
          method: "POST",
          headers: { "Content-Type": "application/octet-stream" },
          body: bytes,
        });
      } catch {
        throw new UserError(name, "error.machine-gone");
      }
      if (response.status === 200) return response.json();
      if (response.status === 202) preparing();
      else if (response.status !== 503) throw new UserError((await response.json()).error, "error.model");
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

/** The times, whether the scores are equal, and what was copied. */
function view(answer, result) {
  const equal = answer.runtimes.every((one) => one.scores.every((score, i) => score === result.scores[i]));
  const row = (name, us, more) =>
    element(
      "div", { class: "one" },
      element("dt", { text: name }),
      element("dd", { text: `${readable(us)}\u00a0µs` }),
      more ? element("dd", { class: "hint", text: more }) : null,
    );
  const rows = [
    row(text("machine.browser"), 1000 * result.ms, ""),
    ...answer.runtimes.map((one) => row(text(`machine.${one.runtime}`), one.us, cycles(one))),
  ];
  const told = element("p", { class: equal ? "hint" : "error", text: text(equal ? "machine.equal" : "machine.unequal") });
  const accelerator = answer.runtimes.find((one) => one.ledger);
  return [element("dl", { class: "machine" }, ...rows), told, ...(accelerator ? ledger(accelerator) : [])];
}

function cycles({ cycles: count, mhz, simulated, simulation_seconds: seconds }) {
  if (count === undefined) return "";
  const told = text("machine.cycles", { cycles: count.toLocaleString("en").replaceAll(",", "\u202f"), mhz });
  return simulated ? `${told} ${text("machine.simulated", { s: seconds.toFixed(2) })}` : told;
}

/** Bytes copied at set-up, at the start and at the end, on a line that a point walks along. */
function ledger({ ledger: copies, copied }) {
  const bytes = (what) => copies.filter((one) => one.what === what).reduce((sum, one) => sum + one.bytes, 0);
  const steps = [
    ["machine.setup", copied.parameters?.bytes ?? 0, 12],
    ["machine.start", bytes("images"), 60],
    ["machine.end", bytes("results"), 288],
  ];
  const drawing = draw("svg", { viewBox: "0 0 300 40", class: "ledger", "aria-hidden": "true" });
  drawing.append(draw("line", { x1: 12, x2: 288, y1: 28, y2: 28, class: "line" }));
  drawing.append(draw("line", { x1: 60, x2: 288, y1: 28, y2: 28, class: "computing" }));
  steps.forEach(([, size, x], i) => {
    const height = 4 + 3 * Math.log2(1 + size / 8);
    drawing.append(draw("rect", { x: x - 5, y: 28 - Math.min(height, 27), width: 10, height: Math.min(height, 27), class: `copy step-${i}` }));
  });
  drawing.append(draw("circle", { cx: 12, cy: 28, r: 5, class: "walker" }));
  const list = element(
    "ol", { class: "copies" },
    ...steps.map(([key, size]) => element("li", { text: text(key, { bytes: size.toLocaleString("en").replaceAll(",", "\u202f") }) })),
  );
  return [drawing, list];
}

function draw(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// SPDX-License-Identifier: BSD-3-Clause
// See the bits: every edge of the program for one picture, and what makes one of its values.
import { $, element, showError } from "./dom.js";
import { UserError } from "./errors.js";
import { histogram } from "./histogram.js";
import { greys, Layout, mark, paint } from "./tiles.js";
import { errorText, text } from "./words.js";

const STEP_MS = 1600;
const POSITION_MS = 450;
const POSITIONS = 5;
const SMALL = 5;

export class Bits {
  constructor(models) {
    this.models = models;
    this.walked = null;
    this.timer = null;
    $("walk").addEventListener("click", () => this.walk());
    $("play").addEventListener("click", () => (this.timer ? this.pause() : this.play()));
    $("bits-model").addEventListener("change", () => this.hide());
  }

  /** The models to choose from. */
  offer(chosen) {
    const choice = $("bits-model");
    const before = choice.value;
    choice.replaceChildren(...chosen.map(({ name }) => element("option", { value: name, text: name })));
    if (chosen.some(({ name }) => name === before)) choice.value = before;
    else this.hide();
  }

  hide() {
    this.pause();
    this.walked = null;
    showError("bits-error");
    $("walked").hidden = true;
    $("play").hidden = true;
  }

  async walk() {
    showError("bits-error");
    this.pause();
    try {
      const model = this.models.all.get($("bits-model").value);
      if (!model?.input) throw new UserError("", "error.nothing-to-walk");
      const engine = await this.models.engine(model);
      const fast = await engine.ask("run", { batch: model.input });
      const { edges } = await engine.ask("walk", { input: model.input });
      const scores = edges.get(engine.info.scores);
      this.walked = {
        engine,
        info: engine.info,
        edges,
        equal: fast.scores.every((score, i) => score === scores[i]),
        at: 0,
        chosen: { row: 0, column: 0, channel: 0 },
        operations: new Map(),
      };
      await this.show();
    } catch (reason) {
      this.hide();
      showError("bits-error", () => errorText(reason));
    }
  }

  /** The same in another language. */
  again() {
    if (this.walked) this.show();
  }

  async show() {
    const { info, equal, at } = this.walked;
    $("walked").hidden = false;
    $("play").hidden = false;
    $("walk-check").textContent = text(equal ? "bits.equal" : "bits.unequal");
    $("steps").replaceChildren(
      ...info.edges.map((edge, i) =>
        element(
          "li", {},
          element("button", {
            class: "step", "aria-current": i === at ? "step" : null,
            onclick: () => this.go(i),
          }, element("b", { text: edge.name }), " ", text(`bits.kind.${edge.kind}`)),
        ),
      ),
    );
    await this.showStep();
  }

  go(at) {
    this.pause();
    return this.turnTo(at);
  }

  turnTo(at) {
    this.walked.at = at;
    this.walked.chosen = { row: 0, column: 0, channel: 0 };
    [...$("steps").children].forEach((item, i) => {
      if (i === at) item.firstChild.setAttribute("aria-current", "step");
      else item.firstChild.removeAttribute("aria-current");
    });
    return this.showStep();
  }

  async showStep() {
    const { info, edges, at, chosen } = this.walked;
    const edge = info.edges[at];
    const parts = [
      element("h3", { text: text("bits.step", { at: at + 1, all: info.edges.length, name: edge.name }) }),
      element("p", { text: this.sentence(edge) }),
    ];
    if (edge.kind !== "window") parts.push(...this.maps(edge, edges.get(edge.name), chosen));
    if (edge.kind === "dot") {
      parts.push(this.choice(edge, chosen));
      parts.push(...this.insides(edge, await this.operation(edge.name)));
    }
    if (this.walked.at === at) $("step").replaceChildren(...parts);
  }

  async operation(name) {
    const { operations, engine } = this.walked;
    if (!operations.has(name)) operations.set(name, await engine.ask("operation", { name }));
    return operations.get(name);
  }

  edge(name) {
    return this.walked.info.edges.find((edge) => edge.name === name);
  }

  sentence(edge) {
    const [height, width, channels] = edge.shape;
    switch (edge.kind) {
      case "input":
        return text("bits.input", { shape: edge.shape.join(" × ") });
      case "window":
        return text("bits.window", { n: height * width, kernel: edge.kernel.join(" × ") });
      case "dot":
        return text("bits.dot", { out: channels, weights: edge.weights });
      case "threshold":
        return text("bits.threshold", { codes: edge.levels + 1 });
      case "pool":
        return text("bits.pool", { kernel: edge.kernel.join(" × ") });
      default:
        return text(`bits.${edge.kind}`);
    }
  }

  /** The edge as tiles; a click chooses a channel and a position. */
  maps(edge, values, chosen) {
    const [height, width, n] = edge.shape;
    const accumulators = edge.bits > 8;
    const low = accumulators ? least(values) : edge.low;
    const high = accumulators ? most(values) : edge.high;
    const layout = new Layout(edge.shape);
    const canvas = element("canvas", {
      class: "tiles", role: "img",
      "aria-label": text("bits.maps.label", { name: edge.name, channel: chosen.channel }),
    });
    paint(canvas, layout, edge.shape, values, greys(low, high));
    if (edge.kind === "dot") {
      mark(canvas, layout, chosen, accent());
      canvas.classList.add("choosable");
      canvas.addEventListener("click", (event) => {
        const box = canvas.getBoundingClientRect();
        const next = layout.at(
          ((event.clientX - box.left) * canvas.width) / box.width,
          ((event.clientY - box.top) * canvas.height) / box.height,
        );
        if (next) this.choose(next);
      });
    }
    const key = layout.vector ? "bits.vector" : "bits.maps";
    return [
      element("p", { class: "hint", text: text(key, { n, height, width, low, high }) }),
      element("div", { class: "scroll", tabindex: layout.width > 300 ? 0 : null }, canvas),
    ];
  }

  choose(next) {
    this.pause();
    this.walked.chosen = next;
    return this.showStep();
  }

  /** The same choice by keyboard. */
  choice(edge, chosen) {
    const field = (name, at, max) => {
      const input = element("input", { type: "number", min: 0, max: max - 1, id: `choice-${name}` });
      input.value = chosen[name];
      input.addEventListener("change", async () => {
        const value = Math.max(0, Math.min(max - 1, Math.trunc(Number(input.value)) || 0));
        await this.choose({ ...this.walked.chosen, [name]: value });
        $(`choice-${name}`)?.focus();
      });
      return max > 1 ? element("label", {}, `${text(`bits.${name}`)} `, input) : null;
    };
    const [height, width, channels] = edge.shape;
    return element(
      "p", { class: "controls" },
      field("channel", 2, channels), field("row", 0, height), field("column", 1, width),
    );
  }

  /** What makes the chosen sum: weights, thresholds, one patch. */
  insides(edge, op) {
    const { chosen, edges } = this.walked;
    const source = this.edge(edge.source);
    const inputs = op.weights.shape[1];
    const weights = op.weights.values.slice(chosen.channel * inputs, (chosen.channel + 1) * inputs);
    const position = chosen.row * edge.shape[1] + chosen.column;
    const patch = edges.get(edge.source).subarray(position * inputs, (position + 1) * inputs);
    const [rows, columns] = source.kind === "window" ? source.kernel : [1, 1];
    const shape = [rows, columns, inputs / (rows * columns)];
    return [
      element(
        "div", { class: "panels" },
        this.weightsPanel(shape, weights, chosen.channel),
        this.sumsPanel(edge, position),
        this.patchPanel(edge, op, shape, patch, weights, position),
      ),
    ];
  }

  weightsPanel(shape, weights, channel) {
    const told = { rows: shape[0], columns: shape[1], inputs: shape[2] };
    return panel(
      "weights",
      text("bits.weights", { channel }),
      small(shape, weights, greys(least(weights), most(weights)), text("bits.weights", { channel })),
      element("p", { class: "hint", text: text("bits.weights.text", told) }),
    );
  }

  /** The threshold that reads a dot's sums, maybe after a pool. */
  threshold(name) {
    const { edges } = this.walked.info;
    const reader = edges.find((edge) => edge.source === name && ["threshold", "pool"].includes(edge.kind));
    if (reader?.kind !== "pool") return { edge: reader, pooled: false };
    return { edge: edges.find((edge) => edge.source === reader.name && edge.kind === "threshold"), pooled: true };
  }

  sumsPanel(edge, position) {
    const { chosen, edges } = this.walked;
    const all = edges.get(edge.name);
    const channels = edge.shape[2];
    const sums = Array.from({ length: all.length / channels }, (_, i) => all[i * channels + chosen.channel]);
    const place = panel("sums", text("bits.sums", { channel: chosen.channel }));
    const { edge: reader, pooled } = this.threshold(edge.name);
    const draw = (lines, falling) => {
      const values = lines.join(", ") || "–";
      const key = reader ? (falling ? "bits.sums.falling" : "bits.sums.text") : "bits.sums.none";
      const label = text("bits.sums.label", { channel: chosen.channel, values });
      place.append(
        histogram(sums, lines, all[position * channels + chosen.channel], label),
        element("p", {
          class: "hint",
          text: [
            text(key, { positions: sums.length }),
            pooled && reader ? text("bits.sums.pooled") : "",
            text("bits.sums.values", { values, low: least(sums), high: most(sums) }),
          ].join(" "),
        }),
      );
    };
    if (reader)
      this.operation(reader.name).then((op) => {
        const { lines, falling } = linesOf(op, chosen.channel);
        draw(lines, falling);
      });
    else draw([], false);
    return place;
  }

  patchPanel(edge, op, shape, patch, weights, position) {
    const { chosen, edges } = this.walked;
    const sum = edges.get(edge.name)[position * edge.shape[2] + chosen.channel];
    const bias = op.bias?.values[chosen.channel] ?? 0;
    const source = this.edge(edge.source);
    const bits = source.precision === "bipolar" && op.precision === "bipolar";
    const place = panel("patch", text(bits ? "bits.xnor" : "bits.product"));
    const triple = element("div", { class: "triple" });
    const figure = (key, values, colours) =>
      triple.append(
        element("figure", {}, small(shape, values, colours, text(key)), element("figcaption", { text: text(key) })),
      );
    figure("bits.xnor.patch", patch, greys(source.low, source.high));
    figure("bits.xnor.weights", weights, greys(least(weights), most(weights)));
    const told = [];
    if (bits) {
      const equal = patch.map((value, i) => (value === weights[i] ? 1 : 0));
      const count = equal.reduce((total, one) => total + one, 0);
      figure("bits.xnor.equal", equal, (one) => (one ? accent() : "transparent"));
      const different = equal.length - count;
      told.push(text("bits.xnor.text", { equal: count, all: equal.length, different, sum: count - different }));
    } else {
      told.push(text("bits.product.text", { all: patch.length, sum: sum - bias }));
    }
    if (bias !== 0) told.push(text("bits.bias", { bias, sum }));
    const words = element("p", { text: told.join(" ") });
    place.append(triple, words);
    const { edge: reader, pooled } = this.threshold(edge.name);
    if (reader && !pooled)
      this.operation(reader.name).then((threshold) => {
        const { count, values } = compared(threshold, chosen.channel, sum);
        const value = threshold.base + threshold.step * count;
        const levels = values.length;
        words.append(" ", text("bits.compare", { sum, count, levels, values: values.join(", "), value }));
      });
    return place;
  }

  // --- the slow walk ------------------------------------------------------------------

  play() {
    $("play").setAttribute("aria-pressed", "true");
    $("play").textContent = text("bits.pause");
    $("play").dataset.t = "bits.pause";
    let moves = 0;
    const next = async () => {
      const { info, at } = this.walked;
      const edge = info.edges[at];
      const [height, width, channels] = edge.shape;
      if (edge.kind === "dot" && moves < POSITIONS) {
        moves += 1;
        const place = Math.trunc((moves * height * width) / (POSITIONS + 1));
        this.walked.chosen = {
          row: Math.trunc(place / width),
          column: place % width,
          channel: Math.trunc((moves * channels) / (POSITIONS + 1)),
        };
        await this.showStep();
        return wait(POSITION_MS);
      }
      moves = 0;
      if (at + 1 >= info.edges.length) return this.pause();
      await this.turnTo(at + 1);
      return wait(STEP_MS);
    };
    const wait = (ms) => {
      if (this.timer) this.timer = setTimeout(next, ms);
    };
    if (this.walked.at + 1 >= this.walked.info.edges.length) this.turnTo(0);
    this.timer = setTimeout(next, STEP_MS);
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = null;
    $("play").setAttribute("aria-pressed", "false");
    $("play").dataset.t = "bits.play";
    $("play").textContent = text("bits.play");
  }
}

function panel(kind, title, ...children) {
  return element("section", { class: `panel ${kind}` }, element("h4", { text: title }), ...children);
}

/** A small picture of weights, or of a patch. */
function small(shape, values, colour, label) {
  const layout = new Layout(shape, shape[0] * shape[1] > 100 ? SMALL : SMALL + 3);
  const canvas = element("canvas", { class: "tiles", role: "img", "aria-label": label });
  paint(canvas, layout, shape, values, colour);
  return canvas;
}

function signOf(op, channel) {
  return op.signs?.values[channel] ?? 1;
}

function levelsOf(op, channel) {
  const levels = op.thresholds.shape[1];
  return Array.from(op.thresholds.values.slice(channel * levels, (channel + 1) * levels));
}

/** Where the thresholds of a channel lie among its sums. */
function linesOf(op, channel) {
  const falling = signOf(op, channel) < 0;
  const levels = levelsOf(op, channel);
  return { falling, lines: falling ? levels.map((level) => -level).reverse() : levels };
}

/** How many thresholds a sum reaches, by the meaning of the operation. */
function compared(op, channel, sum) {
  const signed = sum * signOf(op, channel);
  const { lines } = linesOf(op, channel);
  return { count: levelsOf(op, channel).filter((level) => level <= signed).length, values: lines };
}

function least(values) {
  return values.reduce((low, value) => Math.min(low, value), Infinity);
}

function most(values) {
  return values.reduce((high, value) => Math.max(high, value), -Infinity);
}

function accent() {
  return getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();
}

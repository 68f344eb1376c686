// SPDX-License-Identifier: BSD-3-Clause
// The answer of each model: class, what the network sees, scores as bars, times.
import { $, element } from "./dom.js";
import { drawBytes } from "./pictures.js";
import { errorText, text } from "./words.js";

const MAX_BARS = 10;

export class Cards {
  constructor() {
    this.cards = new Map();
    this.spoken = "";
  }

  /** Cards for exactly these models, in their order. */
  keep(names) {
    const next = new Map(names.map((name) => [name, this.cards.get(name) ?? new Card(name)]));
    this.cards = next;
    $("cards").replaceChildren(...[...next.values()].map((card) => card.root));
  }

  card(name) {
    return this.cards.get(name);
  }

  /** Tells a screen reader what changed; not every frame of a camera. */
  speak() {
    const told = [...this.cards.values()].map((card) => card.told).filter(Boolean).join(", ");
    if (told === this.spoken) return;
    this.spoken = told;
    $("spoken").textContent = told;
  }
}

class Card {
  constructor(name) {
    this.name = name;
    this.told = "";
    this.last = null;
    this.error = null;
    this.canvas = element("canvas", { class: "seen", role: "img", width: 1, height: 1 });
    this.answer = element("p", { class: "answer" });
    this.wrong = element("p", { class: "error", hidden: true });
    this.bars = element("dl", { class: "bars" });
    this.more = element("p", { class: "hint", hidden: true });
    this.kind = element("p", { class: "hint" });
    this.times = element("p", { class: "hint times" });
    this.machine = element("div", { class: "on-machine", hidden: true });
    this.root = element(
      "article", { class: "card", "data-model": name },
      element("h3", { text: name }),
      element("div", { class: "top" }, this.canvas, this.answer),
      this.wrong,
      this.bars,
      this.kind,
      this.more,
      this.times,
      this.machine,
    );
  }

  loading() {
    if (!this.last) this.answer.textContent = text("result.loading", { model: this.name });
  }

  fail(error) {
    this.last = null;
    this.error = error;
    this.canvas.hidden = true;
    this.more.hidden = true;
    this.answer.textContent = errorText(error);
    this.root.classList.add("failed");
    this.told = text("result.spoken", { model: this.name, name: errorText(error) });
    this.bars.replaceChildren();
    this.kind.textContent = "";
    this.wrong.hidden = true;
    this.times.textContent = "";
  }

  /** `result` as js/worker.js gives it; `info` of the model; `truth` of a sample picture. */
  show(info, result, truth = null) {
    this.last = { info, result, truth };
    this.error = null;
    this.root.classList.remove("failed");
    this.canvas.hidden = !result.bytes;
    this.canvas.setAttribute("aria-label", text("result.seen", { model: this.name }));
    if (result.bytes) drawBytes(this.canvas, result.bytes, info.shape);
    const winner = info.classes[result.winners[0]];
    this.answer.textContent = winner;
    // Where the model has no such class, nothing is wrong: a frog before a network of digits.
    this.wrong.hidden = !info.classes.includes(truth) || winner === truth;
    this.wrong.textContent = this.wrong.hidden ? "" : text("result.wrong", { name: truth });
    this.told = text("result.spoken", { model: this.name, name: winner });
    this.showBars(info, result);
    this.times.textContent = [
      text("result.us", { us: readable(1000 * result.ms) }),
      text("result.rate", { rate: readable(1000 / result.ms) }),
      text("result.prepare", { ms: readable(result.preparedMs) }),
    ].join(" · ");
  }

  showBars(info, { logits, scores, winners, probabilities }) {
    const order = info.classes.map((_, i) => i);
    const many = order.length > MAX_BARS;
    if (many) order.sort((a, b) => logits[b] - logits[a] || a - b);
    const shown = order.slice(0, MAX_BARS);
    const low = Math.min(...logits);
    const span = Math.max(...logits) - low || 1;
    this.rows(shown.length);
    this.more.hidden = !many;
    this.more.textContent = text("result.more", { n: shown.length, all: order.length });
    const score = scores[winners[0]];
    this.kind.textContent = text(probabilities ? "result.probabilities" : "result.scores", { score });
    shown.forEach((at, i) => {
      const row = this.bars.children[i];
      row.className = at === winners[0] ? "bar best" : "bar";
      const [name, value] = row.children;
      const [track, score] = value.children;
      name.textContent = info.classes[at];
      // Probabilities where the model has a calibration; else where a score lies between the ends.
      const share = probabilities ? probabilities[at] : (logits[at] - low) / span;
      track.firstChild.style.width = `${100 * share}%`;
      score.textContent = probabilities ? percent(share) : scores[at];
      score.title = text("result.score.value", { score: scores[at] });
    });
  }

  /** What the machine that serves this page made of the same image, see js/machine.js. */
  showMachine(...parts) {
    this.machine.hidden = false;
    this.machine.replaceChildren(...parts);
  }

  /** Rows are used again: a camera shows thirty results a second. */
  rows(count) {
    if (this.bars.children.length === count) return;
    const made = Array.from({ length: count }, () =>
      element(
        "div", { class: "bar" },
        element("dt"),
        element("dd", {}, element("div", { class: "track" }, element("div")), element("span", { class: "number" })),
      ),
    );
    this.bars.replaceChildren(...made);
  }

  /** The same again in another language. */
  again() {
    if (this.last) this.show(this.last.info, this.last.result, this.last.truth);
    else if (this.error) this.fail(this.error);
  }
}

/** Three digits, with a thin space between thousands. */
export function readable(value) {
  if (!Number.isFinite(value)) return "–";
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return Number(value.toFixed(digits)).toLocaleString("en").replaceAll(",", "\u202f");
}

/** A share in percent with one decimal; "< 0.1 %" and "> 99.9 %" near the ends. */
export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

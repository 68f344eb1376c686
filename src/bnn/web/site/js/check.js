// SPDX-License-Identifier: BSD-3-Clause
// What is legal in a program: src/bnn/program/check.py. The core checks again what it is handed.
import { UserError } from "./errors.js";
import { Precision } from "./precision.js";

const MAX_OPS = 4096;
const MAX_LEVELS = 255;
const MAX_EDGE_VALUES = 2 ** 27;
const MAX_PROGRAM_VALUES = 2 ** 29;
const MAX_PARAMETERS = 2 ** 28;
const MAX_WORK = 2 ** 38;
const MAX_VALUE_BITS = 8;
const COMPARISON = 64;
export const RULES = ["first", "first-positive", "highest-positive"];

const volume = (shape) => shape[0] * shape[1] * shape[2];
const isWhole = (value) => Number.isSafeInteger(value);
const isValue = (edge) => edge.precision.bits <= MAX_VALUE_BITS;

function refuse(name, reason) {
  throw new UserError(`${name}: ${reason}`);
}

/** Every edge by name: {shape, precision, low, high}. Throws UserError. */
export function checkProgram(model) {
  const edges = new Map([["input", inputEdge(model.input)]]);
  if (model.ops.length < 1 || model.ops.length > MAX_OPS)
    throw new UserError(`a program has 1 to ${MAX_OPS} operations, not ${model.ops.length}`);
  const total = { values: volume(edges.get("input").shape), parameters: 0, work: 0 };
  for (const op of model.ops) {
    if (!/^[\p{XIDS}_]\p{XIDC}*$/u.test(op.name))
      refuse(op.name.slice(0, 80), "an operation's name must be an identifier");
    if (edges.has(op.name)) refuse(op.name, "two operations have this name");
    total.parameters += (op.weights ?? op.thresholds)?.values.length ?? 0;
    const made = opEdge(op, edges);
    edges.set(op.name, made);
    total.values += volume(made.shape);
    total.work += work(op, made, edges);
    if (total.values > MAX_PROGRAM_VALUES) refuse(op.name, "the program has too many values");
    if (total.parameters > MAX_PARAMETERS) refuse(op.name, "the program has too many weights");
    if (total.work > MAX_WORK) refuse(op.name, "the program takes too many steps for an image");
  }
  checkEnds(model, edges);
  return edges;
}

function inputEdge(input) {
  const { shape, precision } = input;
  if (!Array.isArray(shape) || ![1, 3].includes(shape.length) || !shape.every((n) => isWhole(n) && n >= 1))
    throw new UserError("input shape must be (features,) or (height, width, channels)");
  if (precision.bits > MAX_VALUE_BITS) throw new UserError("input precision exceeds 8 bits");
  if (input.kind === "picture") {
    if (input.table.values.length !== 256) throw new UserError("a picture table has 256 entries");
    if (!precision.allows(input.table.values))
      throw new UserError(`picture table has values outside ${precision.name}`);
  }
  if (input.kind === "real") {
    if (typeof input.multiplied !== "boolean") throw new UserError("multiplied must be true or false");
    if (!["even", "up"].includes(input.rounding)) throw new UserError("no such rounding");
    for (const { values } of [input.scale, input.zero_point])
      if (![1, shape.at(-1)].includes(values.length) || !values.every(Number.isFinite))
        throw new UserError("input scale and zero point must be finite numbers, one or one a channel");
    if (!input.scale.values.every((v) => v > 0)) throw new UserError("input scale must be positive");
  }
  const three = shape.length === 3 ? shape : [1, 1, shape[0]];
  return edge("input", three, precision, precision.low, precision.high);
}

function edge(name, shape, precision, low, high) {
  if (volume(shape) > MAX_EDGE_VALUES) refuse(name, `an edge of ${shape} values is too large`);
  return { shape, precision, low, high };
}

function sourceOf(name, source, edges) {
  if (typeof source !== "string" || !edges.has(source))
    refuse(name, `reads ${String(source).slice(0, 80)}, which no earlier operation makes`);
  return edges.get(source);
}

function opEdge(op, edges) {
  const source = sourceOf(op.name, op.source, edges);
  switch (op.kind) {
    case "window":
      return windowEdge(op, source);
    case "dot":
      return dotEdge(op, source);
    case "threshold":
      return thresholdEdge(op, source);
    case "pool": {
      const shape = slid(op, source.shape);
      const [top, left, bottom, right] = op.padding;
      if (Math.max(top, bottom) >= op.kernel[0] || Math.max(left, right) >= op.kernel[1])
        refuse(op.name, "pool padding must be smaller than its kernel");
      return edge(op.name, shape, source.precision, source.low, source.high);
    }
    case "add": {
      const other = sourceOf(op.name, op.other, edges);
      if (source.shape.some((n, i) => n !== other.shape[i])) refuse(op.name, "cannot add other shapes");
      const low = source.low + other.low;
      const high = source.high + other.high;
      return edge(op.name, source.shape, accumulator(op, low, high), low, high);
    }
    case "arg-max": {
      if (source.shape[0] !== 1 || source.shape[1] !== 1 || !RULES.includes(op.rule))
        refuse(op.name, "arg max needs a vector and a known rule");
      const most = source.shape[2] - 1;
      const bits = Math.max(1, 32 - Math.clz32(most));
      return edge(op.name, [1, 1, 1], new Precision(bits, "unsigned"), 0, most);
    }
    default:
      return refuse(op.name, `unknown kind ${op.kind}`);
  }
}

function wholes(op, field, count, least) {
  const values = op[field];
  const fits =
    Array.isArray(values) &&
    values.length === count &&
    values.every((v) => isWhole(v) && v >= least && v < 65536);
  if (!fits) refuse(op.name, `${field} must be ${count} whole numbers from ${least}`);
}

function slid(op, shape) {
  wholes(op, "kernel", 2, 1);
  wholes(op, "stride", 2, 1);
  wholes(op, "padding", 4, 0);
  const height = shape[0] + op.padding[0] + op.padding[2] - op.kernel[0];
  const width = shape[1] + op.padding[1] + op.padding[3] - op.kernel[1];
  if (height < 0 || width < 0) refuse(op.name, "kernel is larger than the padded map");
  return [Math.floor(height / op.stride[0]) + 1, Math.floor(width / op.stride[1]) + 1, shape[2]];
}

function windowEdge(op, source) {
  const [height, width, channels] = slid(op, source.shape);
  if (!isValue(source)) refuse(op.name, "a window cannot read accumulators");
  let { low, high } = source;
  if (!isWhole(op.pad_value) || Math.abs(op.pad_value) > 255)
    refuse(op.name, "pad value must be a small whole number");
  if (op.padding.some((n) => n > 0)) {
    if (!source.precision.allowsOne(op.pad_value))
      refuse(op.name, `pad value ${op.pad_value} does not fit ${source.precision.name}`);
    low = Math.min(low, op.pad_value);
    high = Math.max(high, op.pad_value);
  }
  const shape = [height, width, op.kernel[0] * op.kernel[1] * channels];
  return edge(op.name, shape, source.precision, low, high);
}

function dotEdge(op, source) {
  if (!isValue(source)) refuse(op.name, "a dot cannot read accumulators");
  if (op.product_shift) refuse(op.name, "the page does not round products");
  if ((op.groups ?? 1) !== 1 || (op.positions ?? 1) !== 1)
    refuse(op.name, "the page does not compute dots in groups yet");
  const [rows, columns] = op.weights.shape;
  const weights = op.weights.values;
  if (columns !== source.shape[2] || rows < 1)
    refuse(op.name, `weights are ${rows} x ${columns}, its source has ${source.shape[2]} channels`);
  if (op.bias !== null && op.bias.values.length !== rows) refuse(op.name, "bias does not fit the rows");
  const inLow = Math.min(source.low, 0);
  const inHigh = Math.max(source.high, 0);
  let low = Infinity;
  let high = -Infinity;
  for (let row = 0; row < rows; ++row) {
    let up = 0;
    let down = 0;
    for (let i = row * columns; i < (row + 1) * columns; ++i)
      if (weights[i] > 0) up += weights[i];
      else down += weights[i];
    const bias = op.bias === null ? 0 : op.bias.values[row];
    low = Math.min(low, up * inLow + down * inHigh + Math.min(bias, 0));
    high = Math.max(high, up * inHigh + down * inLow + Math.max(bias, 0));
  }
  return edge(op.name, [source.shape[0], source.shape[1], rows], accumulator(op, low, high), low, high);
}

function accumulator(op, low, high) {
  const bits = op.accumulator_bits;
  if (!isWhole(bits) || bits < 1 || bits > 32) refuse(op.name, "accumulator width must be 1 to 32 bits");
  const precision = new Precision(bits, "signed");
  if (low < precision.low || high > precision.high)
    refuse(op.name, `sums from ${low} to ${high} do not fit a ${bits}-bit accumulator`);
  return precision;
}

function thresholdEdge(op, source) {
  const [channels, levels] = op.thresholds.shape;
  if (channels !== source.shape[2] || levels < 1 || levels > MAX_LEVELS)
    refuse(op.name, `thresholds are ${channels} x ${levels}, its source has ${source.shape[2]} channels`);
  const values = op.thresholds.values;
  for (let i = 0; i < values.length; ++i)
    if (i % levels > 0 && values[i] < values[i - 1]) refuse(op.name, "thresholds of a channel must ascend");
  if (op.signs !== null) {
    const signs = op.signs.values;
    if (signs.length !== channels || !signs.every((s) => s === 1 || s === -1))
      refuse(op.name, `signs must be ${channels} of +1 and -1`);
  }
  const { base, step } = op;
  if (![base, step].every((v) => isWhole(v) && Math.abs(v) <= 255) || step === 0)
    refuse(op.name, "base and step must be whole numbers, step not zero");
  const last = base + step * levels;
  const outputs = Array.from({ length: levels + 1 }, (_, k) => base + step * k);
  if (op.precision.bits > MAX_VALUE_BITS || !op.precision.allows(outputs))
    refuse(op.name, `outputs ${base}..${last} do not fit ${op.precision.name}`);
  return edge(op.name, source.shape, op.precision, Math.min(base, last), Math.max(base, last));
}

function work(op, made, edges) {
  const values = volume(made.shape);
  if (op.kind === "dot") return values * op.weights.shape[1];
  if (op.kind === "threshold") return COMPARISON * values * op.thresholds.shape[1];
  if (op.kind === "pool") return COMPARISON * values * op.kernel[0] * op.kernel[1];
  if (op.kind === "arg-max") return COMPARISON * volume(edges.get(op.source).shape);
  return COMPARISON * values;
}

function checkEnds(model, edges) {
  const scores = sourceOf("scores", model.scores, edges);
  if (model.scores === "input") throw new UserError("scores must be made by an operation");
  if (scores.shape[0] !== 1 || scores.shape[1] !== 1)
    throw new UserError(`scores must be a vector, they have shape ${scores.shape}`);
  if (model.affine !== null && model.affine.scale.length !== scores.shape[2])
    throw new UserError(`affine is for ${model.affine.scale.length} classes, scores have ${scores.shape[2]}`);
  if (model.decision === null) return;
  if (model.affine !== null)
    throw new UserError("a program decides by an affine or by an arg max, not by both");
  if (model.ops.find((op) => op.name === model.decision)?.kind !== "arg-max")
    throw new UserError("the decision is not an arg max");
}

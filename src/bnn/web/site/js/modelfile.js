// SPDX-License-Identifier: BSD-3-Clause
// The .bnn file, read as src/bnn/model/file.py reads it: nothing in it is trusted.
import { checkProgram } from "./check.js";
import { UserError } from "./errors.js";
import { byCodePoint, dumps, parse, Real } from "./json.js";
import { parsePrecision } from "./precision.js";
import { readPreparation } from "./preparation.js";
import { Sha256 } from "./sha256.js";
import { readTensors } from "./tensors.js";

const FORMAT = 2;
const WITHOUT_DIGEST = 1;
const MAX_PARAMETERS = 2 ** 28;
const MAX_VALUE_BITS = 8;

/** Fields of each kind: required ones are undefined, others have their default. */
const OPS = {
  window: { source: undefined, kernel: undefined, stride: [1, 1], padding: [0, 0, 0, 0], pad_value: 0 },
  dot: { source: undefined, precision: undefined, columns: undefined, accumulator_bits: 32, groups: 1, positions: 1 },
  threshold: { source: undefined, precision: undefined, base: 0, step: 1 },
  pool: { source: undefined, kernel: undefined, stride: undefined, padding: [0, 0, 0, 0] },
  add: { source: undefined, other: undefined, accumulator_bits: 32 },
  "arg-max": { source: undefined, rule: "first" },
};
const INPUTS = {
  picture: { shape: undefined, precision: undefined },
  integer: { shape: undefined, precision: undefined },
  real: { shape: undefined, precision: undefined, rounding: "even", multiplied: false },
};
/** Arrays of each kind: name, dtype, dimensions (null: any), whether it must be there. */
const ARRAYS = {
  dot: [["weights", "uint8", 3, true], ["bias", "int32", 1, false]],
  threshold: [["thresholds", "int32", 2, true], ["signs", "int8", 1, false]],
  picture: [["table", "int16", 1, true]],
  real: [["scale", "float32", null, true], ["zero_point", "float32", null, true]],
};

/** A model from the bytes of a file. Throws UserError, whose message has the reason. */
export function readModel(data) {
  const { metadata, tensors } = readTensors(data);
  if (!metadata.has("bnn"))
    throw new UserError("is a safetensors file, but not a .bnn file (no 'bnn' metadata)");
  let head;
  try {
    head = parse(metadata.get("bnn"));
  } catch (reason) {
    throw new UserError(`metadata is not JSON: ${String(reason.message).slice(0, 120)}`);
  }
  checkFormat(head);
  const digested = head.get("format") > WITHOUT_DIGEST;
  if (digested && head.get("digest") !== digest(head, tensors))
    throw new UserError("is damaged: its contents do not match its digest; get a whole copy of the file");
  const model = build(head, tensors);
  model.digested = digested;
  return model;
}

function checkFormat(head) {
  const given = head instanceof Map ? head.get("format") : undefined;
  if (!Number.isSafeInteger(given) || given < 1)
    throw new UserError("is not a .bnn file: it does not say which format it has");
  if (given > FORMAT)
    throw new UserError(`was made by a newer version (format ${given}, known is ${FORMAT})`);
  if (given > WITHOUT_DIGEST !== head.has("digest"))
    throw new UserError(`is damaged: its digest does not belong to format ${given}`);
}

function digest(head, tensors) {
  const encoder = new TextEncoder();
  const told = new Map(head);
  told.delete("digest");
  const hasher = new Sha256().update(encoder.encode(dumps(told)));
  for (const name of [...tensors.keys()].sort(byCodePoint)) {
    const { dtype, shape, bytes } = tensors.get(name);
    hasher.update(encoder.encode(dumps([name, dtype, shape]))).update(bytes);
  }
  return hasher.hex();
}

function build(head, tensors) {
  const input = part("input", typed(head, "input", isMap, "an object"), INPUTS, tensors);
  const ops = typed(head, "ops", Array.isArray, "a list").map((op) => {
    const name = isMap(op) ? op.get("name") : undefined;
    if (typeof name !== "string") throw new UserError("operations must be objects with a name");
    const plain = new Map(op);
    plain.delete("name");
    return { name, ...part(name, plain, OPS, tensors) };
  });
  const model = {
    name: typed(head, "name", isText, "a text"),
    classes: typed(head, "classes", Array.isArray, "a list"),
    input,
    ops,
    scores: typed(head, "scores", isText, "a text"),
    decision: optional(head, "decision", isText, "a text"),
    affine: affine(tensors),
    preparation: readPreparation(optional(head, "preprocess", isMap, "an object")),
    calibration: calibration(optional(head, "calibration", isMap, "an object")),
  };
  typed(head, "provenance", isMap, "an object");
  if (tensors.size > 0)
    throw new UserError(`has unused tensors: ${[...tensors.keys()].sort(byCodePoint)[0].slice(0, 80)}`);
  model.edges = checkProgram(model);
  if (model.classes.some((name) => typeof name !== "string"))
    throw new UserError("class names must be text");
  const scores = model.edges.get(model.scores).shape[2];
  if (model.classes.length !== scores)
    throw new UserError(`${model.classes.length} class names for ${scores} scores`);
  return model;
}

const isMap = (value) => value instanceof Map;
const isText = (value) => typeof value === "string";

/** How logits become probabilities, as src/bnn/model/calibration.py has it; null where it is not told. */
function calibration(given) {
  if (given === null) return null;
  if ([...given.keys()].sort().join() !== "exponent,temperature")
    throw new UserError("calibration must have a temperature and an exponent");
  const within = (low, high) => (value) => value instanceof Real && value.value >= low && value.value <= high;
  return {
    temperature: typed(given, "temperature", within(1e-6, 1e9), "a real number from 1e-6 to 1e9").value,
    exponent: typed(given, "exponent", within(0.25, 4), "a real number from 0.25 to 4").value,
  };
}

function typed(table, key, fits, what) {
  const value = table.get(key);
  if (!fits(value)) throw new UserError(`'${key}' must be ${what}`);
  return value;
}

function optional(table, key, fits, what) {
  return table.get(key) == null ? null : typed(table, key, fits, what);
}

function part(name, given, kinds, tensors) {
  const kind = given.get("kind");
  if (typeof kind !== "string" || !Object.hasOwn(kinds, kind))
    throw new UserError(`${name}: unknown kind ${String(kind).slice(0, 40)}`);
  const made = { kind };
  const left = new Map(given);
  left.delete("kind");
  for (const [field, standard] of Object.entries(kinds[kind])) {
    const value = left.has(field) ? left.get(field) : standard;
    if (value === undefined) throw new UserError(`${name}: '${field}' is missing`);
    left.delete(field);
    made[field] = field === "precision" ? parsePrecision(value) : value;
  }
  if (left.size > 0)
    throw new UserError(`${name}: unknown field '${[...left.keys()].sort(byCodePoint)[0].slice(0, 80)}' of a ${kind}`);
  for (const [field, dtype, dimensions, required] of ARRAYS[kind] ?? []) {
    const tensor = tensors.get(`${name}.${field}`);
    tensors.delete(`${name}.${field}`);
    if (tensor === undefined) {
      if (required) throw new UserError(`${name}: '${field}' is missing`);
      made[field] = null;
      continue;
    }
    if (tensor.dtype !== dtype) throw new UserError(`${name}: ${field} must be ${dtype}`);
    if (dimensions !== null && tensor.shape.length !== dimensions)
      throw new UserError(`${name}: ${field} must have ${dimensions} dimensions`);
    made[field] = { shape: tensor.shape, values: tensor.values };
  }
  if (kind === "dot") made.weights = unpacked(name, made);
  return made;
}

/** Bit-planes (bits, rows, bytes) to int16 (rows, columns). */
function unpacked(name, { weights, precision, columns }) {
  const [bits, rows, bytes] = weights.shape;
  if (bits !== precision.bits)
    throw new UserError(`${name}: weights of shape ${weights.shape} are not ${precision.bits} bit-planes`);
  if (bits > MAX_VALUE_BITS) throw new UserError(`${name}: weights of ${precision.name} exceed 8 bits`);
  if (!Number.isSafeInteger(columns) || columns < 1 || columns <= 8 * bytes - 8 || columns > 8 * bytes)
    throw new UserError(`${name}: weights of shape ${weights.shape} do not have ${String(columns)} columns`);
  if (rows * columns > MAX_PARAMETERS)
    throw new UserError(`${name}: has ${rows} x ${columns} weights, more than ${MAX_PARAMETERS}`);
  const meaning = Array.from({ length: 2 ** bits }, (_, code) => precision.decode(code));
  const values = new Int16Array(rows * columns);
  const planes = weights.values;
  const plane = rows * bytes;
  for (let row = 0; row < rows; ++row) {
    for (let column = 0; column < columns; ++column) {
      let code = 0;
      const at = row * bytes + (column >> 3);
      for (let bit = 0; bit < bits; ++bit)
        code |= ((planes[bit * plane + at] >> (column & 7)) & 1) << bit;
      const value = meaning[code];
      if (Number.isNaN(value)) throw new UserError(`${name}: a code has no value in ${precision.name}`);
      values[row * columns + column] = value;
    }
    for (let bit = 0; columns % 8 > 0 && bit < bits; ++bit)
      if (planes[bit * plane + row * bytes + bytes - 1] >> columns % 8)
        throw new UserError(`${name}: weights have bits after their last column`);
  }
  return { shape: [rows, columns], values };
}

function affine(tensors) {
  const [scale, offset] = ["affine.scale", "affine.offset"].map((name) => {
    const tensor = tensors.get(name) ?? null;
    tensors.delete(name);
    return tensor;
  });
  if (scale === null && offset === null) return null;
  if (scale?.dtype !== "float64" || offset?.dtype !== "float64")
    throw new UserError("affine must be two float64 tensors");
  for (const tensor of [scale, offset])
    if (tensor.shape.length !== 1 || !tensor.values.every(Number.isFinite))
      throw new UserError("affine scale and offset must be one finite number per score");
  if (scale.shape[0] !== offset.shape[0])
    throw new UserError("affine scale and offset differ in length");
  return { scale: scale.values, offset: offset.values };
}

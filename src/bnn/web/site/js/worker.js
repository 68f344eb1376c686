// SPDX-License-Identifier: BSD-3-Clause
// One model in a thread of its own: a model that never ends can be ended, and the page stays awake.
import { Core } from "./core.js";
import { UserError } from "./errors.js";
import { readModel } from "./modelfile.js";
import { prepared } from "./preparation.js";

let model = null;
let core = null;

const tasks = {
  /** Reads a .bnn file and makes it ready; what the page shows of it. */
  load({ module, data }) {
    model = readModel(data);
    core = new Core(module, model);
    return {
      name: model.name,
      classes: model.classes,
      shape: model.edges.get("input").shape,
      takesPictures: model.input.kind === "picture" && model.preparation !== null,
      preparation: model.preparation?.kind ?? null,
      digested: model.digested,
      scores: model.scores,
      kernel: core.kernel,
      edges: [...model.edges].map(([name, edge]) => describe(name, edge)),
    };
  },

  /** Prepares a picture and classifies it. */
  classify({ picture, atLeast }) {
    const began = performance.now();
    const bytes = prepared(model, picture);
    const preparedMs = performance.now() - began;
    return { ...classified(bytes, atLeast), bytes, preparedMs };
  },

  /** The input's bytes of a picture, for tests. */
  prepare({ picture }) {
    return prepared(model, picture);
  },

  /** Classifies inputs that are prepared already: bytes, or int16. */
  run({ batch, atLeast }) {
    return classified(batch, atLeast);
  },

  /** Every edge of one prepared image. */
  walk({ input }) {
    return { edges: core.walk(input), ...classified(input, 0) };
  },

  /** Weights and thresholds of an operation, as the program has them. */
  operation({ name }) {
    const op = model.ops.find((each) => each.name === name);
    return { ...op, precision: op.precision?.name };
  },
};

function describe(name, { shape, precision, low, high }) {
  const op = model.ops.find((each) => each.name === name);
  const { kind, source, other, kernel, stride, padding, base, step } = op ?? { kind: "input" };
  return {
    name, shape, precision: precision.name, bits: precision.bits, low, high,
    kind, source, other, kernel, stride, padding, base, step,
    levels: op?.thresholds?.shape[1], weights: op?.weights && op.precision.name,
  };
}

function classified(batch, atLeast = 0) {
  const result = core.run(batch, atLeast);
  const classes = model.classes.length;
  const n = result.scores.length / classes;
  const values = logits(result.scores, classes);
  const winners =
    result.decisions ??
    Array.from({ length: n }, (_, i) => firstMaximum(values.subarray(i * classes, (i + 1) * classes)));
  return { ...result, logits: values, winners, probabilities: probabilities(values, classes) };
}

/** What the logits mean by the model's calibration; null where the file has none. */
function probabilities(values, classes) {
  if (model.calibration === null) return null;
  const { temperature, exponent } = model.calibration;
  const found = new Float64Array(values.length);
  for (let first = 0; first < values.length; first += classes) {
    const own = values.subarray(first, first + classes);
    const high = own.reduce((a, b) => Math.max(a, b), -Infinity);
    const powers = own.map((value) => Math.exp(-(((high - value) / temperature) ** exponent)));
    const sum = powers.reduce((a, b) => a + b, 0);
    found.set(powers.map((value) => value / sum), first);
  }
  return found;
}

/** Scores through the model's affine, in float64. */
function logits(scores, classes) {
  const values = Float64Array.from(scores);
  if (model.affine !== null)
    for (let i = 0; i < values.length; ++i)
      values[i] = values[i] * model.affine.scale[i % classes] + model.affine.offset[i % classes];
  return values;
}

function firstMaximum(values) {
  let best = 0;
  for (let i = 1; i < values.length; ++i) if (values[i] > values[best]) best = i;
  return best;
}

onmessage = ({ data: { id, task, given } }) => {
  try {
    postMessage({ id, result: tasks[task](given) });
  } catch (reason) {
    const told = reason instanceof UserError ? reason : new UserError(String(reason?.message ?? reason));
    postMessage({ id, error: { message: told.message, key: told.key } });
  }
};

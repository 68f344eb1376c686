// SPDX-License-Identifier: BSD-3-Clause
// A model on the core of native/, compiled to WebAssembly: one instance each. After an error an
// instance is not used again: exceptions leave its memory as it was.
import { UserError } from "./errors.js";
import { RULES } from "./check.js";

/** The smallest module with an instruction of each file's: i8x16.relaxed_swizzle, i8x16.popcnt. */
const MODULES = [
  ["relaxed", [10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11]],
  ["simd128", [10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]],
];
const HEAD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0];

/** The fastest compiled core that this browser can run: relaxed, simd128 or portable. */
export function bestCore() {
  const found = MODULES.find(([, code]) => WebAssembly.validate(Uint8Array.from([...HEAD, ...code])));
  return found ? found[0] : "portable";
}

export class Core {
  /** Hands `model` over to a new instance of the compiled `module`. Throws UserError. */
  constructor(module, model) {
    this.model = model;
    const instance = new WebAssembly.Instance(module, this.imports(module));
    this.core = instance.exports;
    this.core._initialize();
    this.numbers = new Map([["input", 0]]);
    this.guarded(() => this.handOver());
  }

  imports(module) {
    const imports = {
      bnn: {
        fail: (at, length) => {
          throw new UserError(new TextDecoder().decode(this.bytes(at, length)));
        },
      },
    };
    // The C library can print and exit. Here it does neither.
    for (const { module: room, name } of WebAssembly.Module.imports(module))
      if (room === "wasi_snapshot_preview1")
        (imports[room] ??= {})[name] = () => {
          if (name === "proc_exit") throw new UserError("the core has ended");
          return 52; // not supported
        };
    return imports;
  }

  /** Calls into the core; what stops it (a trap, no memory) is an error of this model. */
  guarded(call) {
    if (this.broken) throw new UserError("this model failed before; load it again");
    try {
      return call();
    } catch (reason) {
      this.broken = true;
      if (reason instanceof UserError) throw reason;
      throw new UserError(`the core stopped: ${String(reason?.message ?? reason).slice(0, 120)}`);
    }
  }

  bytes(at, length) {
    return new Uint8Array(this.core.memory.buffer, at, length);
  }

  /** A copy of an array in the core's memory. */
  put(values) {
    if (values === null) return 0;
    const at = this.core.bnn_allocate(Math.max(values.byteLength, 1));
    this.bytes(at, values.byteLength).set(
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    );
    return at;
  }

  /** Calls `call` with copies of arrays, which are released after it. */
  with(arrays, call) {
    const at = arrays.map((array) => this.put(array));
    const result = call(...at);
    at.forEach((address) => address && this.core.bnn_release(address));
    return result;
  }

  handOver() {
    const { input, ops, edges } = this.model;
    const shape = edges.get("input").shape;
    const table = input.kind === "picture" ? input.table.values : null;
    this.with([table], (at) => this.core.bnn_begin(...shape, ...lattice(input), at));
    for (const op of ops) {
      const made = this.handOverOp(op, this.numbers.get(op.source));
      this.numbers.set(op.name, made);
      const wanted = edges.get(op.name).shape;
      if (this.shape(made).some((n, i) => n !== wanted[i]))
        throw new UserError(`${op.name}: the core makes another shape`);
    }
    const decision = this.model.decision === null ? -1 : this.numbers.get(this.model.decision);
    this.core.bnn_finish(this.numbers.get(this.model.scores), decision);
    this.kernel = this.text(this.core.bnn_kernel());
  }

  handOverOp(op, source) {
    const core = this.core;
    const arrays = (name) => op[name]?.values ?? null;
    switch (op.kind) {
      case "window":
        return this.with([slide(op)], (at) => core.bnn_window(source, at, op.pad_value));
      case "dot":
        return this.with([arrays("weights"), arrays("bias")], (weights, bias) =>
          core.bnn_dot(source, ...op.weights.shape, weights, bias),
        );
      case "threshold":
        return this.with([arrays("thresholds"), arrays("signs")], (thresholds, signs) =>
          core.bnn_threshold(source, ...op.thresholds.shape, thresholds, signs, op.base, op.step),
        );
      case "pool":
        return this.with([slide(op)], (at) => core.bnn_pool(source, at));
      case "add":
        return core.bnn_add(source, this.numbers.get(op.other));
      case "arg-max":
        return core.bnn_arg_max(source, RULES.indexOf(op.rule));
      default:
        throw new UserError(`${op.name}: unknown kind`);
    }
  }

  shape(number) {
    return this.with([new Int32Array(5)], (at) => {
      this.core.bnn_edge(number, at);
      return [...new Int32Array(this.core.memory.buffer, at, 3)];
    });
  }

  text(at) {
    const all = new Uint8Array(this.core.memory.buffer);
    return new TextDecoder().decode(all.slice(at, all.indexOf(0, at)));
  }

  /**
   * Scores (n x classes), decisions (n) or null, and milliseconds of one run.
   * `batch` is what `checkInputs` returned; it is run again until `atLeast` ms are over.
   */
  run(batch, atLeast = 0) {
    return this.guarded(() => {
      const classes = this.model.classes.length;
      const n = this.images(batch);
      const bytes = batch instanceof Uint8Array;
      const decides = this.model.decision !== null;
      const arrays = [batch, new Int32Array(n * classes), decides ? new BigInt64Array(n) : null];
      return this.with(arrays, (input, scores, decisions) => {
        const once = () => this.core.bnn_run(bytes ? input : 0, bytes ? 0 : input, n, scores, decisions);
        if (atLeast > 0) once(); // warm: the browser compiles what runs often again, faster
        const began = performance.now();
        let runs = 0;
        let ms = 0;
        do {
          once();
          runs += 1;
          ms = performance.now() - began;
        } while (ms < atLeast);
        const memory = this.core.memory.buffer;
        return {
          scores: new Int32Array(memory, scores, n * classes).slice(),
          decisions: decides
            ? Array.from(new BigInt64Array(memory, decisions, n), Number)
            : null,
          ms: ms / runs,
          runs,
        };
      });
    });
  }

  images(batch) {
    const size = this.model.input.shape.reduce((product, n) => product * n, 1);
    if (batch.length % size !== 0) throw new UserError("inputs have the wrong size");
    return batch.length / size;
  }

  /** Every edge of one image, by name: Int32Array [height][width][channel]. */
  walk(input) {
    return this.guarded(() => {
      const bytes = input instanceof Uint8Array;
      if (this.images(input) !== 1) throw new UserError("one image is walked at a time");
      this.with([input], (at) => this.core.bnn_walk(bytes ? at : 0, bytes ? 0 : at));
      const edges = new Map();
      for (const [name, number] of this.numbers) {
        const [height, width, channels] = this.model.edges.get(name).shape;
        const at = this.core.bnn_walked(number);
        const values = new Int32Array(this.core.memory.buffer, at, height * width * channels);
        edges.set(name, values.slice());
      }
      return edges;
    });
  }
}

function slide(op) {
  return Int32Array.of(...op.kernel, ...op.stride, ...op.padding);
}

/** Base, step and count of the values that the input can take; as bnn.run.cpu hands them over. */
function lattice(input) {
  if (input.kind === "picture") {
    const values = [...new Set(input.table.values)].sort((a, b) => a - b);
    let step = 0;
    for (let i = 1; i < values.length; ++i) step = divisor(step, values[i] - values[i - 1]);
    step ||= 1;
    return [values[0], step, (values.at(-1) - values[0]) / step + 1];
  }
  const { precision } = input;
  if (precision.kind === "bipolar") return [-1, 2, 2];
  return [precision.low, 1, precision.high - precision.low + 1];
}

function divisor(a, b) {
  return b === 0 ? a : divisor(b, a % b);
}

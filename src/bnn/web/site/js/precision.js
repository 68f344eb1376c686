// SPDX-License-Identifier: BSD-3-Clause
// Which integers a precision means: src/bnn/program/precision.py.
import { UserError } from "./errors.js";

export class Precision {
  constructor(bits, kind) {
    this.bits = bits;
    this.kind = kind;
    const half = 2 ** (bits - 1);
    this.low = { bipolar: -1, unsigned: 0, signed: -half, narrow: 1 - half }[kind];
    this.high = { bipolar: 1, unsigned: 2 ** bits - 1, signed: half - 1, narrow: half - 1 }[kind];
    const suffix = { unsigned: `uint${bits}`, signed: `int${bits}`, narrow: `int${bits}n` };
    this.name = suffix[kind] ?? "bipolar";
  }

  allowsOne(value) {
    if (this.kind === "bipolar") return value === 1 || value === -1;
    return value >= this.low && value <= this.high;
  }

  allows(values) {
    for (const value of values) if (!this.allowsOne(value)) return false;
    return true;
  }

  /** The integer of a code, or NaN where a code has none. */
  decode(code) {
    if (this.kind === "bipolar") return 2 * code - 1;
    if (this.kind === "unsigned") return code;
    const value = code - (code >> (this.bits - 1)) * 2 ** this.bits;
    return value < this.low ? NaN : value;
  }
}

export function parsePrecision(name) {
  if (name === "bipolar") return new Precision(1, "bipolar");
  const found = typeof name === "string" ? /^(u?)int([1-9][0-9]?)(n?)$/.exec(name) : null;
  const bits = found ? Number(found[2]) : 0;
  const narrow = found !== null && found[3] === "n";
  if (!found || (found[1] && narrow) || bits > 32 || (narrow && bits < 2))
    throw new UserError(`no such precision: ${String(name).slice(0, 40)}`);
  return new Precision(bits, found[1] ? "unsigned" : narrow ? "narrow" : "signed");
}

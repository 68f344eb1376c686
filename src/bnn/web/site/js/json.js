// SPDX-License-Identifier: BSD-3-Clause
// JSON as Python reads and writes it: the digest of a .bnn file is over Python's own text, and a
// program must not mistake 3.0 for 3. Work is bounded: nesting and digits are limited.

const MAX_DEPTH = 200;
const MAX_DIGITS = 400; // as bnn.system.files

/** A number with a fraction or an exponent; whole numbers are plain numbers or BigInt. */
export class Real {
  constructor(value) {
    this.value = value;
  }
}

const NUMBER = /(-?(?:0|[1-9]\d*))(\.\d+)?([eE][-+]?\d+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const SPACE = /[ \t\n\r]*/y;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const CONSTANTS = [
  ["true", () => true],
  ["false", () => false],
  ["null", () => null],
  ["NaN", () => new Real(NaN)],
  ["Infinity", () => new Real(Infinity)],
  ["-Infinity", () => new Real(-Infinity)],
];

/** The value of a JSON text: objects are Maps. Throws SyntaxError. */
export function parse(text) {
  let at = 0;

  function fail(reason) {
    throw new SyntaxError(`${reason} at character ${at}`);
  }
  function match(pattern) {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at = pattern.lastIndex;
    return found;
  }
  function skip() {
    match(SPACE);
  }
  function string() {
    at += 1;
    const parts = [];
    for (;;) {
      parts.push(match(PLAIN)[0]);
      const next = text[at];
      if (next === '"') break;
      if (next !== "\\") fail("a text does not end");
      const escape = text[at + 1];
      if (escape in ESCAPES) {
        parts.push(ESCAPES[escape]);
        at += 2;
      } else if (escape === "u" && /^[0-9a-fA-F]{4}$/.test(text.slice(at + 2, at + 6))) {
        parts.push(String.fromCharCode(parseInt(text.slice(at + 2, at + 6), 16)));
        at += 6;
      } else {
        fail("an unknown escape");
      }
    }
    at += 1;
    return parts.join("");
  }
  function number() {
    const found = match(NUMBER);
    if (!found) fail("no value");
    const [all, whole, fraction, exponent] = found;
    if (fraction !== undefined || exponent !== undefined) return new Real(Number(all));
    if (whole.length > MAX_DIGITS) fail(`a number has ${whole.length} digits`);
    const value = Number(whole);
    return Number.isSafeInteger(value) ? value + 0 || 0 : BigInt(whole);
  }
  function object(depth) {
    const values = new Map();
    at += 1;
    skip();
    if (text[at] === "}") {
      at += 1;
      return values;
    }
    for (;;) {
      skip();
      if (text[at] !== '"') fail("a key is missing");
      const key = string();
      if (values.has(key)) fail(`key ${key.slice(0, 80)} stands twice`);
      skip();
      if (text[at] !== ":") fail("a colon is missing");
      at += 1;
      values.set(key, value(depth));
      skip();
      const next = text[at];
      at += 1;
      if (next === "}") return values;
      if (next !== ",") fail("an object does not end");
    }
  }
  function array(depth) {
    const values = [];
    at += 1;
    skip();
    if (text[at] === "]") {
      at += 1;
      return values;
    }
    for (;;) {
      values.push(value(depth));
      skip();
      const next = text[at];
      at += 1;
      if (next === "]") return values;
      if (next !== ",") fail("an array does not end");
    }
  }
  function value(depth) {
    if (depth > MAX_DEPTH) fail("it is nested too deeply");
    skip();
    const next = text[at];
    if (next === '"') return string();
    if (next === "{") return object(depth + 1);
    if (next === "[") return array(depth + 1);
    for (const [name, make] of CONSTANTS)
      if (text.startsWith(name, at)) {
        at += name.length;
        return make();
      }
    return number();
  }

  const result = value(0);
  skip();
  if (at < text.length) fail("something follows the value");
  return result;
}

/** Order of Python's strings: by code point, not by UTF-16 unit. */
export function byCodePoint(a, b) {
  const one = Array.from(a, (c) => c.codePointAt(0));
  const two = Array.from(b, (c) => c.codePointAt(0));
  for (let i = 0; i < Math.min(one.length, two.length); ++i)
    if (one[i] !== two[i]) return one[i] - two[i];
  return one.length - two.length;
}

/** The text that Python's json.dumps(value, sort_keys=True) gives. */
export function dumps(value) {
  if (value === null) return "null";
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return quoted(value);
  if (value instanceof Real) return realText(value.value);
  if (Array.isArray(value)) return `[${value.map(dumps).join(", ")}]`;
  const keys = [...value.keys()].sort(byCodePoint);
  return `{${keys.map((key) => `${quoted(key)}: ${dumps(value.get(key))}`).join(", ")}}`;
}

const SHORT = { '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "\b": "\\b" };

function quoted(text) {
  const escaped = text.replace(
    /["\\]|[^ -~]/g,
    (c) => SHORT[c] ?? Array.from({ length: c.length }, (_, i) => unit(c.charCodeAt(i))).join(""),
  );
  return `"${escaped}"`;
}

function unit(code) {
  return `\\u${code.toString(16).padStart(4, "0")}`;
}

/** As Python's repr of a float: the shortest digits that give the number back. */
export function realText(number) {
  if (Number.isNaN(number)) return "NaN";
  if (!Number.isFinite(number)) return number > 0 ? "Infinity" : "-Infinity";
  const sign = number < 0 || Object.is(number, -0) ? "-" : "";
  const [mantissa, exponentText] = Math.abs(number).toExponential().split("e");
  const digits = mantissa.replace(".", "");
  const point = Number(exponentText) + 1; // digits before the decimal point
  if (number === 0) return `${sign}0.0`;
  if (point > 16 || point < -3) {
    const exponent = point - 1;
    const size = String(Math.abs(exponent)).padStart(2, "0");
    const rest = digits.length > 1 ? `.${digits.slice(1)}` : "";
    return `${sign}${digits[0]}${rest}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  if (point <= 0) return `${sign}0.${"0".repeat(-point)}${digits}`;
  if (digits.length <= point) return `${sign}${digits}${"0".repeat(point - digits.length)}.0`;
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

// SPDX-License-Identifier: BSD-3-Clause
// How a picture becomes a model's input: the rule that the .bnn file stores, to the byte as
// src/bnn/data/pictures does it, from the pixels that the browser decoded.
import { digitPixels } from "./digits.js";
import { UserError } from "./errors.js";
import { onBlack } from "./ground.js";
import { Real } from "./json.js";
import { BILINEAR, fitted, LANCZOS, resized } from "./resize.js";

const MAX_PIXELS = 64_000_000;
const WHITE = [255, 255, 255];

const number = (value) => (value instanceof Real ? value.value : value);
const wholeIn = (low, high) => (value) => Number.isSafeInteger(value) && value >= low && value <= high;
const factor = (value) =>
  (value instanceof Real || Number.isSafeInteger(value)) && number(value) >= 0 && number(value) <= 100;

const legalGap = (value) => value === null || wholeIn(1, 16)(value);

/** Fields of each kind: whether a value is legal, and what it is where the file lacks it. */
const KINDS = {
  thumbnail: {
    background: [(v) => Array.isArray(v) && v.length === 3 && v.every(wholeIn(0, 255))],
    gap: [legalGap, null],
  },
  digit: {
    contrast: [factor],
    brightness: [factor],
    cut: [(v) => v === null || wholeIn(0, 255)(v)],
    border: [wholeIn(0, 1000)],
    adaptive: [(v) => typeof v === "boolean", true],
    like_mnist: [(v) => typeof v === "boolean", false],
  },
  stretch: { gap: [legalGap, null] },
  "on-black": { gap: [legalGap, null] },
};

/** The preparation of a file's JSON, or null. Strict, as Preprocess.from_json. */
export function readPreparation(given) {
  if (given === null) return null;
  const kind = given.get("kind");
  if (typeof kind !== "string" || !Object.hasOwn(KINDS, kind))
    throw new UserError(`preprocess: unknown kind ${String(kind).slice(0, 40)}`);
  const made = { kind };
  const left = new Set(given.keys());
  left.delete("kind");
  for (const [field, [legal, standard]] of Object.entries(KINDS[kind])) {
    const value = given.has(field) ? given.get(field) : standard;
    if (value === undefined || !legal(value))
      throw new UserError(`preprocess: ${kind} lacks ${field}, or it is out of range`);
    left.delete(field);
    made[field] = number(value);
  }
  if (left.size > 0) throw new UserError(`preprocess: ${kind} does not know ${[...left][0].slice(0, 40)}`);
  return made;
}

/**
 * Bytes of a model's input, [height][width][channel], from RGBA pixels (not premultiplied).
 * Throws UserError.
 */
export function prepared(model, picture) {
  const { input, preparation } = model;
  if (input.kind !== "picture" || preparation === null)
    throw new UserError("the model does not take pictures", "error.no-pictures");
  const shape = input.shape.length === 3 ? input.shape : [1, 1, input.shape[0]];
  if (![1, 3].includes(shape[2])) throw new UserError("the input is not a picture", "error.no-pictures");
  if (picture.width < 1 || picture.height < 1)
    throw new UserError("has no pixels", "error.picture");
  if (picture.width * picture.height > MAX_PIXELS)
    throw new UserError("has too many pixels; at most 64 million are read", "error.large-picture");
  switch (preparation.kind) {
    case "thumbnail":
      return thumbnail(picture, shape, preparation);
    case "digit": {
      const grey = digitPixels(onPaper(picture, WHITE), shape, preparation);
      return shape[2] === 1 ? grey : Uint8Array.from({ length: 3 * grey.length }, (_, i) => grey[Math.trunc(i / 3)]);
    }
    case "on-black": {
      const seen = grey(onPaper(picture, WHITE));
      const levels = onBlack(resized(seen, shape[1], shape[0], BILINEAR, preparation.gap).data, shape);
      return shape[2] === 1 ? levels : Uint8Array.from({ length: 3 * levels.length }, (_, i) => levels[Math.trunc(i / 3)]);
    }
    default: {
      const seen = onPaper(picture, WHITE);
      const flat = shape[2] === 1 ? grey(seen) : seen;
      return resized(flat, shape[1], shape[0], BILINEAR, preparation.gap).data;
    }
  }
}

/** RGB as a person sees it: transparent pixels show `paper` (Pillow's paste with a mask). */
export function onPaper({ width, height, data }, paper) {
  const to = new Uint8Array(3 * width * height);
  let least = 255;
  let most = 0;
  for (let i = 0, j = 0; i < data.length; i += 4, j += 3) {
    const alpha = data[i + 3];
    if (alpha < least) least = alpha;
    if (alpha > most) most = alpha;
    if (alpha === 255) {
      to[j] = data[i];
      to[j + 1] = data[i + 1];
      to[j + 2] = data[i + 2];
    } else {
      for (let c = 0; c < 3; ++c) {
        const sum = data[i + c] * alpha + paper[c] * (255 - alpha) + 128;
        to[j + c] = ((sum >> 8) + sum) >> 8;
      }
    }
  }
  if (most === 0)
    throw new UserError("is wholly transparent, there is nothing to see", "error.transparent");
  return { width, height, channels: 3, data: to, transparent: least < 255 };
}

/** Grey levels of RGB as Pillow makes them: weights in 16 bits, rounded. */
function grey({ width, height, data }) {
  const to = new Uint8Array(width * height);
  for (let i = 0, j = 0; j < to.length; i += 3, ++j)
    to[j] = (data[i] * 19595 + data[i + 1] * 38470 + data[i + 2] * 7471 + 0x8000) >> 16;
  return { width, height, channels: 1, data: to };
}

function thumbnail(picture, [height, width, channels], { background, gap }) {
  const seen = onPaper(picture, background);
  const small = resized(seen, ...fitted(seen.width, seen.height, width, height), LANCZOS, gap);
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < data.length; ++i) data[i] = background[i % 3];
  const left = Math.trunc((width - small.width) / 2);
  const top = Math.trunc((height - small.height) / 2);
  const line = 3 * small.width;
  for (let y = 0; y < small.height; ++y)
    data.set(small.data.subarray(y * line, (y + 1) * line), 3 * ((top + y) * width + left));
  return channels === 3 ? data : grey({ width, height, data }).data;
}

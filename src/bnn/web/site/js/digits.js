// SPDX-License-Identifier: BSD-3-Clause
// The preparation of digits: a dark stroke on light paper, found, centred and inverted.
// src/bnn/data/pictures/rules.py and digits.py have the rule.
import { UserError } from "./errors.js";
import { nearest } from "./resize.js";
import { areSeveral, isSolid, isStroke, onEdge, roundedEven, thickened, withinFrame } from "./strokes.js";

/** Bytes [height][width], 255 on 1, of an RGB picture that `onPaper` made. */
export function digitPixels(seen, [height, width], options) {
  const levels = greyLevels(seen);
  if (levels.width === width && levels.height === height && !seen.transparent) return levels.data;
  if (!options.adaptive) return sheetPixels(inkSheet(levels, options), height, width);
  return sheetPixels(oneStroke(levels, [height, width], options, false), height, width);
}

/** Grey levels as Pillow before 7 had them: the weighted sum truncated. */
export function greyLevels({ width, height, data }) {
  const to = new Uint8Array(width * height);
  for (let i = 0, j = 0; j < to.length; i += 3, ++j)
    to[j] = (data[i] * 19595 + data[i + 1] * 38470 + data[i + 2] * 7471) >> 16;
  return { width, height, channels: 1, data: to };
}

/** Pillow's blend of one level with another, in float32, cut to 0..255. */
function blended(level, other, alpha) {
  if (alpha === 0) return level;
  if (alpha === 1) return other;
  const sum = Math.fround(level + Math.fround(Math.fround(alpha) * (other - level)));
  return sum <= 0 ? 0 : sum >= 255 ? 255 : Math.trunc(sum);
}

/** Levels with what is not ink brightened to white, in a white border. */
export function inkSheet(levels, { contrast, brightness, cut, border }) {
  let sum = 0;
  for (const level of levels.data) sum += level;
  const mean = Math.trunc(sum / levels.data.length + 0.5);
  const table = Uint8Array.from({ length: 256 }, (_, level) => {
    const enhanced = blended(0, blended(mean, level, contrast), brightness);
    if (cut === null) return enhanced;
    return enhanced > cut ? 255 : 0;
  });
  const width = levels.width + 2 * border;
  const height = levels.height + 2 * border;
  const data = new Uint8Array(width * height).fill(255);
  for (let y = 0; y < levels.height; ++y)
    for (let x = 0; x < levels.width; ++x)
      data[(y + border) * width + x + border] = table[levels.data[y * levels.width + x]];
  return { width, height, channels: 1, data };
}

/** Cropped to what is not white, fitted, centred and inverted. */
function sheetPixels(sheet, height, width) {
  const stroke = cropped(sheet);
  const across = width / stroke.width;
  const down = height / stroke.height;
  const [w, h] =
    across < down
      ? [width, Math.max(Math.trunc(stroke.height * across), 1)]
      : [Math.max(Math.trunc(stroke.width * down), 1), height];
  const fitting = nearest(stroke, w, h);
  const data = new Uint8Array(width * height).fill(1);
  const left = Math.trunc((width - w) / 2);
  const top = Math.trunc((height - h) / 2);
  for (let y = 0; y < h; ++y)
    for (let x = 0; x < w; ++x)
      if (fitting.data[y * w + x] === 0) data[(top + y) * width + left + x] = 255;
  return data;
}

function cropped(sheet) {
  const { width, height, data } = sheet;
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; ++y)
    for (let x = 0; x < width; ++x)
      if (data[y * width + x] !== 255) {
        if (x < left) left = x;
        if (x >= right) right = x + 1;
        if (y < top) top = y;
        bottom = y + 1;
      }
  if (right === 0) return sheet;
  return part(sheet, left, top, right, bottom);
}

function part({ width, data }, left, top, right, bottom) {
  const to = new Uint8Array((right - left) * (bottom - top));
  for (let y = top; y < bottom; ++y)
    to.set(data.subarray(y * width + left, y * width + right), (y - top) * (right - left));
  return { width: right - left, height: bottom - top, channels: 1, data: to };
}

/**
 * Ink black on white, where the fixed rule finds one whole stroke. What Python does where it finds
 * none (shadows, pencil, chalk, a sheet on a table) is not here: such pictures are refused.
 */
function oneStroke(levels, shape, options, framed) {
  const sheet = inkSheet(levels, options);
  const { border } = options;
  const { width, height } = levels;
  const fixed = part(sheet, border, border, border + width, border + height);
  const ink = { width, height, data: fixed.data.map((level) => level === 0) };
  const dirty = { width, height, data: fixed.data.map((level) => level < 255) };
  if (onEdge(ink)) throw new UserError("the ink touches the border", "error.touches-border");
  if (!isStroke(ink, dirty) || isSolid(ink))
    throw new UserError("no dark stroke on light, even paper found", "error.no-stroke");
  const frame = framed ? null : withinFrame(ink);
  if (frame !== null) {
    const ends = [frame.left, frame.top, frame.right, frame.bottom].map(roundedEven);
    return oneStroke(part(levels, ...ends), shape, options, true);
  }
  if (areSeveral(ink)) throw new UserError("more than one digit", "error.several-digits");
  const thick = thickened(ink, shape);
  if (thick === null) return sheet;
  return { ...thick, channels: 1, data: thick.data.map((set) => (set ? 0 : 255)) };
}

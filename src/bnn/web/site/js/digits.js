// SPDX-License-Identifier: BSD-3-Clause
// The preparation of digits: a dark stroke on light paper, found, centred and inverted.
// src/bnn/data/pictures/rules.py and digits.py have the rule.
import { UserError } from "./errors.js";
import { BILINEAR, nearest, resized } from "./resize.js";
import { areSeveral, isPanel, isRinged, isRuled, isSolid, isStroke, onEdge, pieces, roundedEven, thickened, withinFrame } from "./strokes.js";

const [MAX_GROUND, MIN_STROKE, MIN_APART, GROUND_NOISE, GROUND_TENTHS] = [64, 128, 16, 32, 6];
const [MNIST_SIDE, MNIST_BOX] = [28, 20];

/** Bytes [height][width], light on dark, of an RGB picture that `onPaper` made. */
export function digitPixels(seen, [height, width], options) {
  const levels = greyLevels(seen);
  if (levels.width === width && levels.height === height && !seen.transparent) {
    if (!options.like_mnist) return levels.data;
    const ready = settled(levels.data);
    if (ready !== null || !options.adaptive) return ready ?? levels.data;
  }
  const box = options.like_mnist ? inBox(height, width) : [height, width];
  const sheet = options.adaptive ? oneStroke(levels, box, options, false) : inkSheet(levels, options);
  return options.like_mnist ? mnistPixels(sheet, height, width) : sheetPixels(sheet, height, width);
}

/**
 * Levels of a picture of the input's size as light strokes on black (src/bnn/data/pictures/polarity.py);
 * null if it is unclear what in it is ground.
 */
export function settled(levels) {
  const ordered = Uint8Array.from(levels).sort();
  const ground = ordered[Math.trunc((ordered.length - 1) / 2)];
  const most = ordered.at(-1);
  if (ground <= MAX_GROUND && most >= MIN_STROKE) return levels;
  const darker = ground - ordered[0];
  const lighter = most - ground;
  const apart = Math.max(darker, lighter);
  if (apart < MIN_APART || 2 * Math.min(darker, lighter) > apart) return null;
  let even = 0;
  for (const level of levels) {
    const away = Math.abs(level - ground);
    if (away <= GROUND_NOISE && 4 * away <= apart) even += 1;
  }
  if (10 * even < GROUND_TENTHS * levels.length) return null;
  const sign = darker > lighter ? -1 : 1;
  const half = Math.trunc(apart / 2);
  return Uint8Array.from(levels, (level) => {
    const scaled = Math.floor((sign * (level - ground) * 255 + half) / apart);
    return Math.min(Math.max(scaled, 0), 255);
  });
}

/** Height and width of the box that digits are fitted to, 20 of 28 as in MNIST. */
function inBox(height, width) {
  return [height, width].map((side) =>
    Math.max(Math.floor((side * MNIST_BOX + MNIST_SIDE / 2) / MNIST_SIDE), 1),
  );
}

/** Black ink as MNIST was made: its centre of mass in the middle, light on 0, smoothed. */
function mnistPixels(sheet, height, width) {
  const ink = { ...sheet, data: Uint8Array.from(sheet.data, (level) => (level === 0 ? 0 : 255)) };
  const made = new Uint8Array(width * height);
  if (!ink.data.includes(0)) return made;
  const stroke = cropped(ink);
  stroke.data = stroke.data.map((level) => 255 - level);
  const [across, down] = fit(stroke, ...inBox(height, width));
  const small = resized(stroke, across, down, BILINEAR);
  const rows = new Array(down).fill(0);
  const columns = new Array(across).fill(0);
  for (let y = 0; y < down; ++y)
    for (let x = 0; x < across; ++x) {
      rows[y] += small.data[y * across + x];
      columns[x] += small.data[y * across + x];
    }
  if (rows.every((sum) => sum === 0)) return made;
  const top = start(rows, height);
  const left = start(columns, width);
  for (let y = 0; y < down; ++y)
    made.set(small.data.subarray(y * across, (y + 1) * across), (top + y) * width + left);
  return made;
}

/** Where to put `mass` along a side, so that its centre is in the middle. */
function start(mass, length) {
  const total = mass.reduce((sum, one) => sum + one, 0);
  const twice = mass.reduce((sum, one, i) => sum + one * (2 * i + 1), 0);
  const from = Math.floor((length * total - twice + total) / (2 * total));
  return Math.min(Math.max(from, 0), length - mass.length);
}

/** The largest [width, height] with the same aspect that fits, truncated. */
function fit({ width, height }, intoHeight, intoWidth) {
  const across = intoWidth / width;
  const down = intoHeight / height;
  if (across < down) return [intoWidth, Math.max(Math.trunc(height * across), 1)];
  return [Math.max(Math.trunc(width * down), 1), intoHeight];
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
  const [w, h] = fit(stroke, height, width);
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
  if (!isStroke(ink, dirty) || isSolid(ink) || isPanel(ink))
    throw new UserError("no dark stroke on light, even paper found", "error.no-stroke");
  const found = pieces(ink);
  const frame = framed ? null : withinFrame(found);
  if (frame !== null) {
    const ends = [frame.left, frame.top, frame.right, frame.bottom].map(roundedEven);
    return oneStroke(part(levels, ...ends), shape, options, true);
  }
  if (isRuled(ink)) throw new UserError("a line runs through the digit", "error.ruled");
  if (areSeveral(found)) throw new UserError("more than one digit", "error.several-digits");
  if (isRinged(found)) throw new UserError("a line around the digit", "error.ringed");
  const thick = thickened(ink, shape);
  if (thick === null) return sheet;
  return { ...thick, channels: 1, data: thick.data.map((set) => (set ? 0 : 255)) };
}

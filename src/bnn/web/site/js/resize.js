// SPDX-License-Identifier: BSD-3-Clause
// Pillow's resizing of 8-bit values, to the bit: coefficients in fixed point, one direction at a time,
// 8 bits in between (Pillow, src/libImaging/Resample.c; bnn.data.pictures.rules).

const PRECISION_BITS = 32 - 8 - 2;

function sinc(x) {
  if (x === 0) return 1;
  return Math.sin(x * Math.PI) / (x * Math.PI);
}

export const LANCZOS = {
  support: 3,
  weight: (x) => (-3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0),
};
export const BILINEAR = {
  support: 1,
  weight: (x) => (Math.abs(x) < 1 ? 1 - Math.abs(x) : 0),
};

/**
 * For each output: the first input and the integer weights from there on. The outputs divide the
 * first `length` inputs; the last input may be there in part.
 */
function coefficients(inputs, outputs, filter, length) {
  const scale = Math.fround(length) / outputs;
  const wide = Math.max(scale, 1);
  const support = filter.support * wide;
  return Array.from({ length: outputs }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const last = Math.min(Math.trunc(centre + support + 0.5), inputs);
    const weights = [];
    let sum = 0;
    for (let x = first; x < last; ++x) {
      const weight = filter.weight((x - centre + 0.5) * (1 / wide));
      weights.push(weight);
      sum += weight;
    }
    const whole = weights.map((w) => {
      const part = (sum === 0 ? w : w / sum) * 2 ** PRECISION_BITS;
      return Math.trunc(part < 0 ? part - 0.5 : part + 0.5);
    });
    return [first, Int32Array.from(whole)];
  });
}

function clipped(sum) {
  const level = sum >> PRECISION_BITS;
  return level < 0 ? 0 : level > 255 ? 255 : level;
}

/** A picture {width, height, channels, data} of another width; `length` of its columns count. */
function resizedRows(picture, width, filter, length) {
  const { width: from, height, channels, data } = picture;
  if (from === width && length === width) return picture;
  const to = new Uint8Array(width * height * channels);
  const weights = coefficients(from, width, filter, length);
  const half = 1 << (PRECISION_BITS - 1);
  for (let y = 0, next = 0; y < height; ++y)
    for (let x = 0; x < width; ++x) {
      const [first, factors] = weights[x];
      const start = (y * from + first) * channels;
      if (channels === 3) {
        // Frames of a camera: three sums at once.
        let [red, green, blue] = [half, half, half];
        for (let i = 0, at = start; i < factors.length; ++i, at += 3) {
          const factor = factors[i];
          red += data[at] * factor;
          green += data[at + 1] * factor;
          blue += data[at + 2] * factor;
        }
        to[next++] = clipped(red);
        to[next++] = clipped(green);
        to[next++] = clipped(blue);
        continue;
      }
      for (let c = 0; c < channels; ++c) {
        let sum = half;
        for (let i = 0, at = start + c; i < factors.length; ++i, at += channels)
          sum += data[at] * factors[i];
        to[next++] = clipped(sum);
      }
    }
  return { width, height, channels, data: to };
}

/** A picture of another height; `length` of its rows count. */
function resizedColumns(picture, height, filter, length) {
  const { width, height: from, channels, data } = picture;
  if (from === height && length === height) return picture;
  const line = width * channels;
  const to = new Uint8Array(height * line);
  const weights = coefficients(from, height, filter, length);
  for (let y = 0; y < height; ++y) {
    const [first, factors] = weights[y];
    for (let x = 0; x < line; ++x) {
      let sum = 1 << (PRECISION_BITS - 1);
      for (let i = 0, at = first * line + x; i < factors.length; ++i, at += line)
        sum += data[at] * factors[i];
      to[y * line + x] = clipped(sum);
    }
  }
  return { width, height, channels, data: to };
}

/**
 * A picture of another size: rows first, then columns. With a gap, boxes of pixels are averaged
 * before, so that at least `gap` times the width and the height remain (bnn.data.pictures.shrink).
 */
export function resized(picture, width, height, filter, gap = null) {
  const across = boxSide(picture.width, width, gap);
  const down = boxSide(picture.height, height, gap);
  const small = across * down === 1 ? picture : averages(picture, across, down);
  const rows = resizedRows(small, width, filter, picture.width / across);
  return resizedColumns(rows, height, filter, picture.height / down);
}

function boxSide(from, to, gap) {
  return gap === null ? 1 : Math.min(Math.max(Math.floor(from / (to * gap)), 1), 2048);
}

/** Averages of boxes, rounded as Pillow's Reduce.c does; boxes at the end may be smaller. */
function averages({ width: from, height: lines, channels, data }, across, down) {
  const width = Math.ceil(from / across);
  const height = Math.ceil(lines / down);
  const to = new Uint8Array(width * height * channels);
  const sums = new Float64Array(width * channels); // exact: less than 2 ** 53
  for (let y = 0, next = 0; y < height; ++y) {
    const bottom = Math.min((y + 1) * down, lines);
    sums.fill(0);
    for (let line = y * down; line < bottom; ++line)
      for (let x = 0, at = line * from * channels; x < from; ++x)
        for (let c = 0, place = Math.trunc(x / across) * channels; c < channels; ++c)
          sums[place + c] += data[at++];
    for (let x = 0; x < width; ++x) {
      const area = (Math.min((x + 1) * across, from) - x * across) * (bottom - y * down);
      const inverse = Math.trunc(Math.fround(2 ** 32 / Math.fround(area * 256)));
      for (let c = 0; c < channels; ++c)
        to[next++] = Math.floor(((sums[x * channels + c] + Math.trunc(area / 2)) * inverse) / 2 ** 24);
    }
  }
  return { width, height, channels, data: to };
}

/** Of each output the pixel that is nearest (Pillow's Geometry.c). */
export function nearest(picture, width, height) {
  const column = places(picture.width, width);
  const row = places(picture.height, height);
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; ++y)
    for (let x = 0; x < width; ++x)
      data[y * width + x] = picture.data[row[y] * picture.width + column[x]];
  return { width, height, channels: 1, data };
}

function places(inputs, outputs) {
  const step = inputs / outputs;
  const found = new Int32Array(outputs);
  for (let i = 0, at = step * 0.5; i < outputs; ++i, at += step) found[i] = Math.trunc(at);
  return found;
}

/** The width and height that Pillow before 7 shrank to, to fit; never larger. */
export function fitted(width, height, across, down) {
  if (width > across) [width, height] = [across, Math.trunc(Math.max((height * across) / width, 1))];
  if (height > down) [width, height] = [Math.trunc(Math.max((width * down) / height, 1)), down];
  return [width, height];
}

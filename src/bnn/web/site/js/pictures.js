// SPDX-License-Identifier: BSD-3-Clause
// Pictures of any kind as RGBA pixels: {width, height, data}, not premultiplied.
import { UserError } from "./errors.js";

const MAX_FILE_BYTES = 2 ** 29;
const MAX_PIXELS = 64_000_000;

/** The pixels of a file or blob. Colour profiles are left aside, as in Python. Throws UserError. */
export async function pictureOf(blob) {
  if (blob.size > MAX_FILE_BYTES) throw new UserError("too large", "error.large-file");
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
      imageOrientation: "from-image",
    });
  } catch {
    throw new UserError("cannot be decoded", "error.picture");
  }
  try {
    return pixelsOf(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

/** The pixels of anything that a canvas can draw: all of it, or the square in its middle. */
export function pixelsOf(drawable, width, height, { square = false } = {}) {
  if (width * height > MAX_PIXELS) throw new UserError("too many pixels", "error.large-picture");
  const [w, h] = square ? [Math.min(width, height), Math.min(width, height)] : [width, height];
  const canvas = canvasOf(w, h);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.clearRect(0, 0, w, h);
  context.drawImage(drawable, Math.trunc((width - w) / 2), Math.trunc((height - h) / 2), w, h, 0, 0, w, h);
  const { data } = context.getImageData(0, 0, w, h);
  return { width: w, height: h, data };
}

let kept = null;

/** One canvas is used again and again: frames of a camera come fast. */
function canvasOf(width, height) {
  if (kept?.width !== width || kept?.height !== height) kept = new OffscreenCanvas(width, height);
  return kept;
}

/** Draws bytes [height][width][1 or 3] on a canvas. */
export function drawBytes(canvas, bytes, [height, width, channels]) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; ++i) {
    for (let c = 0; c < 3; ++c) image.data[4 * i + c] = bytes[i * channels + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

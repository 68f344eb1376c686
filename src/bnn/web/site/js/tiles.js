// SPDX-License-Identifier: BSD-3-Clause
// Maps as tiles on a canvas: one square for each value, one grey for each of its values.

const MAX_WIDTH = 1120;
const MAX_SCALE = 14;
const ASPECT = 2.4;
const VECTOR_COLUMNS = 32;

/**
 * Where tiles and their squares lie. `shape` is [height, width, channels]; a vector is one tile of
 * rows of squares, a square for each channel.
 */
export class Layout {
  constructor([height, width, channels], scale = null) {
    this.vector = height * width === 1;
    if (this.vector) {
      this.tile = [Math.ceil(channels / VECTOR_COLUMNS), Math.min(channels, VECTOR_COLUMNS)];
      this.tiles = 1;
    } else {
      this.tile = [height, width];
      this.tiles = channels;
    }
    this.channels = channels;
    const [h, w] = this.tile;
    const square = Math.sqrt((this.tiles * ASPECT * (h + 1)) / (w + 1));
    this.columns = Math.max(1, Math.min(this.tiles, Math.round(square)));
    this.rows = Math.ceil(this.tiles / this.columns);
    const widest = Math.trunc(MAX_WIDTH / (this.columns * w));
    this.scale = scale ?? Math.max(1, Math.min(MAX_SCALE, widest));
    this.gap = this.scale > 2 ? 3 : 2;
    this.width = this.columns * (w * this.scale + this.gap) + this.gap;
    this.height = this.rows * (h * this.scale + this.gap) + this.gap;
  }

  /** Left and top of a value's square. */
  place(row, column, channel) {
    const [h, w] = this.tile;
    if (this.vector) [row, column, channel] = [Math.trunc(channel / w), channel % w, 0];
    const left = (channel % this.columns) * (w * this.scale + this.gap) + this.gap;
    const top = Math.trunc(channel / this.columns) * (h * this.scale + this.gap) + this.gap;
    return [left + column * this.scale, top + row * this.scale];
  }

  /** {row, column, channel} of a point of the canvas, or null between tiles. */
  at(x, y) {
    const [h, w] = this.tile;
    const across = w * this.scale + this.gap;
    const down = h * this.scale + this.gap;
    const tile = [Math.trunc((y - this.gap) / down), Math.trunc((x - this.gap) / across)];
    const column = Math.trunc((x - this.gap - tile[1] * across) / this.scale);
    const row = Math.trunc((y - this.gap - tile[0] * down) / this.scale);
    const channel = this.vector ? row * w + column : tile[0] * this.columns + tile[1];
    if (x < this.gap || y < this.gap || row >= h || column >= w) return null;
    if (tile[1] >= this.columns || channel >= this.channels) return null;
    return this.vector ? { row: 0, column: 0, channel } : { row, column, channel };
  }
}

/** Paints `values` [height][width][channel]; `colour(value)` is a CSS colour. */
export function paint(canvas, layout, shape, values, colour) {
  canvas.width = layout.width;
  canvas.height = layout.height;
  const context = canvas.getContext("2d");
  const [height, width, channels] = shape;
  let i = 0;
  for (let row = 0; row < height; ++row)
    for (let column = 0; column < width; ++column)
      for (let channel = 0; channel < channels; ++channel, ++i) {
        context.fillStyle = colour(values[i]);
        context.fillRect(...layout.place(row, column, channel), layout.scale, layout.scale);
      }
}

/** A frame around a tile (or a square of a vector), and one around a position in it. */
export function mark(canvas, layout, { row, column, channel }, colour) {
  const context = canvas.getContext("2d");
  const [h, w] = layout.vector ? [1, 1] : layout.tile;
  context.strokeStyle = colour;
  context.lineWidth = 2;
  const [left, top] = layout.place(0, 0, channel);
  context.strokeRect(left - 1, top - 1, w * layout.scale + 2, h * layout.scale + 2);
  if (layout.vector) return;
  const [x, y] = layout.place(row, column, channel);
  context.strokeRect(x - 1, y - 1, layout.scale + 2, layout.scale + 2);
}

/** Greys from `low` (black) to `high` (white), kept: there are few. */
export function greys(low, high) {
  const known = new Map();
  const span = Math.max(high - low, 1);
  return (value) => {
    if (!known.has(value)) {
      const level = Math.round((255 * (value - low)) / span);
      known.set(value, `rgb(${level} ${level} ${level})`);
    }
    return known.get(value);
  };
}

// SPDX-License-Identifier: BSD-3-Clause
// Is what the fixed threshold found one stroke? src/bnn/data/pictures/strokes.py and parts.py, for
// pictures whose ink does not reach the edge. What they do about shadows, tables and chalk is not
// here: such pictures are refused.
//
// A mask is {width, height, data}, with a truthy value where ink is.

const GRID = 150;
const [DUST, MOST_PARTS] = [0.05, 12];
const [LEAST_PIXELS, LEAST_SHARE] = [4, 0.02];
const [LEAST_INK, MOST_INK] = [0.5, 0.8];
const [SOLID, NARROW] = [0.8, 2];
const [SIDE, BAND, INNER, FLAT, SPECK] = [0.75, 0.06, 0.25, 0.06, 0.05];
const [GAP, TALL, STACKED, FAR, ALIKE] = [0.08, 0.55, 0.34, 0.5, 0.4];
const [RULE, THICK_RULE, LONG_RULE, BESIDE_RULE, RULES] = [0.9, 0.25, 1.3, 0.75, 4];
const [PANEL, FULL] = [0.7, 0.95];
const [THIN, THICKER, FINE] = [1, 3.5, 4];

class Box {
  constructor(top, bottom, left, right) {
    Object.assign(this, { top, bottom, left, right });
    this.sides = [bottom - top, right - left];
  }
  scaled(by) {
    return new Box(this.top * by, this.bottom * by, this.left * by, this.right * by);
  }
  within(other, margin) {
    return (
      this.top >= other.top - margin &&
      this.left >= other.left - margin &&
      this.bottom <= other.bottom + margin &&
      this.right <= other.right + margin
    );
  }
  get largest() {
    return Math.max(...this.sides);
  }
}

function count({ data }) {
  let sum = 0;
  for (const set of data) sum += set ? 1 : 0;
  return sum;
}

/** The rectangle around ink, or null. */
function boxOf({ width, height, data }) {
  let [top, bottom, left, right] = [height, 0, width, 0];
  for (let y = 0; y < height; ++y)
    for (let x = 0; x < width; ++x)
      if (data[y * width + x]) {
        if (y < top) top = y;
        bottom = y + 1;
        if (x < left) left = x;
        if (x >= right) right = x + 1;
      }
  return bottom === 0 ? null : new Box(top, bottom, left, right);
}

function cut({ width, data }, { top, bottom, left, right }) {
  const to = new Uint8Array((bottom - top) * (right - left));
  for (let y = top; y < bottom; ++y)
    for (let x = left; x < right; ++x) to[(y - top) * (right - left) + x - left] = data[y * width + x];
  return { width: right - left, height: bottom - top, data: to };
}

const cellOf = ({ width, height }) => Math.ceil(Math.max(width, height) / GRID);

/** Pixels of ink in each square of `cell` by `cell`. */
function pooled({ width, height, data }, cell) {
  const across = Math.ceil(width / cell);
  const down = Math.ceil(height / cell);
  const amounts = new Int32Array(across * down);
  for (let y = 0; y < height; ++y)
    for (let x = 0; x < width; ++x)
      if (data[y * width + x]) amounts[Math.trunc(y / cell) * across + Math.trunc(x / cell)] += 1;
  return { width: across, height: down, data: amounts };
}

/** Cells of each part that hangs together, corners included, in the order of their last cells. */
function parts({ width, height, data }) {
  const seen = new Uint8Array(data.length);
  const found = [];
  for (let start = 0; start < data.length; ++start) {
    if (!data[start] || seen[start]) continue;
    const cells = [start];
    seen[start] = 1;
    for (let next = 0; next < cells.length; ++next) {
      const y = Math.trunc(cells[next] / width);
      const x = cells[next] % width;
      for (let row = Math.max(y - 1, 0); row <= Math.min(y + 1, height - 1); ++row)
        for (let column = Math.max(x - 1, 0); column <= Math.min(x + 1, width - 1); ++column) {
          const cell = row * width + column;
          if (data[cell] && !seen[cell]) {
            seen[cell] = 1;
            cells.push(cell);
          }
        }
    }
    found.push(cells);
  }
  const last = (cells) => cells.reduce((most, cell) => Math.max(most, cell), 0);
  return found.map((cells) => [last(cells), cells]).sort((a, b) => a[0] - b[0]).map(([, cells]) => cells);
}

/** Ink without dust, or null if it is not as large and as much in one piece as a stroke. */
function cleaned(ink) {
  const cell = cellOf(ink);
  const amounts = pooled(ink, cell);
  const all = parts(amounts);
  const sizes = all.map((cells) => cells.reduce((sum, at) => sum + amounts.data[at], 0));
  const least = Math.max(DUST * Math.max(...sizes, 0), 1);
  const kept = all.filter((_, i) => sizes[i] >= least);
  if (kept.length === 0 || kept.length > MOST_PARTS) return null;
  const whole = new Uint8Array(amounts.data.length);
  for (const cells of kept) for (const at of cells) whole[at] = 1;
  const data = new Uint8Array(ink.data.length);
  for (let y = 0; y < ink.height; ++y)
    for (let x = 0; x < ink.width; ++x)
      data[y * ink.width + x] =
        ink.data[y * ink.width + x] &&
        whole[Math.trunc(y / cell) * amounts.width + Math.trunc(x / cell)];
  const clean = { width: ink.width, height: ink.height, data };
  const size = Math.max(LEAST_PIXELS, LEAST_SHARE * Math.max(ink.width, ink.height));
  return boxOf(clean).largest >= size ? clean : null;
}

/** Whether ink reaches the edge of the picture. */
export function onEdge({ width, height, data }) {
  for (let x = 0; x < width; ++x) if (data[x] || data[(height - 1) * width + x]) return true;
  for (let y = 0; y < height; ++y) if (data[y * width] || data[y * width + width - 1]) return true;
  return false;
}

/** Whether a threshold found a stroke; `dirty` is where the sheet is not white. */
export function isStroke(ink, dirty) {
  const all = count(dirty);
  if (all / dirty.data.length > MOST_INK || count(ink) < LEAST_INK * all) return false;
  const clean = cleaned(ink);
  if (clean === null) return false;
  const box = boxOf(clean);
  return boxOf(dirty).within(box, 2 + 0.1 * box.largest);
}

/** Whether ink fills an area, as a blot does. */
export function isSolid(ink) {
  const [short, long] = boxOf(ink).sides.sort((a, b) => a - b);
  return count(ink) > SOLID * short * long && long < NARROW * short;
}

/** Whether ink is a dark rectangle with something light in it, and not a digit. */
export function isPanel(ink) {
  const { width, height, data } = cut(ink, boxOf(ink));
  if (count({ data }) <= PANEL * width * height) return false;
  const share = (length, at) => {
    let sum = 0;
    for (let i = 0; i < length; ++i) sum += data[at(i)] ? 1 : 0;
    return sum / length;
  };
  const sides = [
    share(width, (x) => x),
    share(width, (x) => (height - 1) * width + x),
    share(height, (y) => y * width),
    share(height, (y) => y * width + width - 1),
  ];
  return Math.min(...sides) > FULL && Math.max(height, width) < NARROW * Math.min(height, width);
}

/** The parts of the ink on a grid, without dust: what the questions about several parts ask about. */
export function pieces(ink) {
  const cell = cellOf(ink);
  const amounts = pooled(ink, cell);
  const all = parts(amounts);
  const sizes = all.map((cells) => cells.reduce((sum, at) => sum + amounts.data[at], 0));
  const least = Math.max(SPECK * Math.max(...sizes, 0), 1);
  const masks = all
    .filter((_, i) => sizes[i] >= least)
    .map((cells) => {
      const data = new Uint8Array(amounts.data.length);
      for (const at of cells) data[at] = 1;
      return { width: amounts.width, height: amounts.height, data };
    });
  return { cell, masks, boxes: masks.map(boxOf) };
}

/** The inside of a printed frame with ink in it, in pixels; else null. */
export function withinFrame({ cell, masks, boxes }) {
  for (let i = 0; i < boxes.length; ++i) {
    const [lines, room] = linesOf(masks[i], boxes[i]) ?? [null, null];
    if (lines === null) continue;
    const others = boxes.filter((box, place) => place !== i && box.within(room, 0));
    if (others.length === 0) continue;
    const [height, width] = [0, 1].map((axis) => Math.max(...others.map((b) => b.sides[axis])));
    if (height < INNER * boxes[i].sides[0] && width < INNER * boxes[i].sides[1]) continue;
    return new Box(
      Math.max(Math.min(lines.top, ...others.map((b) => b.top - 1)), room.top),
      Math.min(Math.max(lines.bottom, ...others.map((b) => b.bottom + 1)), room.bottom),
      Math.max(Math.min(lines.left, ...others.map((b) => b.left - 1)), room.left),
      Math.min(Math.max(lines.right, ...others.map((b) => b.right + 1)), room.right),
    ).scaled(cell);
  }
  return betweenRules(boxes)?.scaled(cell) ?? null;
}

function betweenRules(boxes) {
  const rules = boxes.filter((b) => b.sides[0] <= Math.max(FLAT * b.sides[1], 2));
  const others = boxes.filter((b) => !rules.includes(b));
  if (rules.length === 0 || others.length === 0) return null;
  const top = Math.min(...others.map((b) => b.top));
  const bottom = Math.max(...others.map((b) => b.bottom));
  const left = Math.min(...others.map((b) => b.left));
  const right = Math.max(...others.map((b) => b.right));
  const longest = Math.max(bottom - top, right - left);
  if (rules.some((b) => b.sides[1] < longest || b.left > left || b.right < right)) return null;
  if (rules.some((b) => b.bottom > top && b.top < bottom)) return null;
  const above = rules.filter((b) => b.bottom <= top).map((b) => b.bottom + 1);
  const below = rules.filter((b) => b.top >= bottom).map((b) => b.top - 1);
  return new Box(
    above.length > 0 ? Math.max(...above) : top,
    below.length > 0 ? Math.min(...below) : bottom,
    Math.min(...rules.map((b) => b.left)),
    Math.min(...rules.map((b) => b.right)),
  );
}

/** What is within the lines of a frame, if a part is one. */
function linesOf(mask, box) {
  const part = cut(mask, box);
  const { width, height, data } = part;
  if (Math.min(height, width) < 8) return null;
  const rows = Math.max(Math.trunc(BAND * height), 1);
  const columns = Math.max(Math.trunc(BAND * width), 1);
  const any = (top, bottom, left, right) => {
    for (let y = top; y < bottom; ++y)
      for (let x = left; x < right; ++x) if (data[y * width + x]) return true;
    return false;
  };
  const share = (length, covered) => {
    let sum = 0;
    for (let i = 0; i < length; ++i) sum += covered(i) ? 1 : 0;
    return sum / length;
  };
  const sides = [
    share(width, (x) => any(0, rows, x, x + 1)),
    share(width, (x) => any(height - rows, height, x, x + 1)),
    share(height, (y) => any(y, y + 1, 0, columns)),
    share(height, (y) => any(y, y + 1, width - columns, width)),
  ];
  if (sides.some((side) => side < SIDE)) return null;
  const down = 2 * rows + 1;
  const across = 2 * columns + 1;
  if (any(down, height - down, across, width - across)) return null;
  return [
    new Box(box.top + down, box.bottom - down, box.left + across, box.right - across),
    new Box(
      box.top + rows + 1, box.bottom - rows - 1, box.left + columns + 1, box.right - columns - 1,
    ),
  ];
}

/** Whether lines of the paper run through the ink: no digit can be told from them. */
export function isRuled(ink) {
  const { width, height, data } = cut(ink, boxOf(ink));
  const rows = new Array(height).fill(0);
  const columns = new Array(width).fill(0);
  for (let y = 0; y < height; ++y)
    for (let x = 0; x < width; ++x)
      if (data[y * width + x]) {
        rows[y] += 1;
        columns[x] += 1;
      }
  const full = rows.map((sum) => sum / width >= RULE);
  const across = columns.map((sum) => sum / height >= RULE);
  const runs = (all) => all.filter((one, i) => one && !all[i - 1]).length;
  if (Math.max(runs(full), runs(across)) >= RULES) return true;
  const thick = full.filter((one) => one).length;
  if (thick === 0 || thick > THICK_RULE * height || width < LONG_RULE * height) return false;
  let [left, right] = [width, 0];
  for (let y = 0; y < height; ++y)
    for (let x = 0; x < width && !full[y]; ++x)
      if (data[y * width + x]) {
        left = Math.min(left, x);
        right = Math.max(right, x + 1);
      }
  return right > left && right - left <= BESIDE_RULE * width;
}

/** Whether ink is of more than one digit or letter. */
export function areSeveral({ boxes }) {
  const height = heightOf(boxes);
  const across = joined(boxes, "left", "right", GAP * height);
  if (across.filter((group) => heightOf(group) >= TALL * height).length > 1) return true;
  const down = joined(boxes, "top", "bottom", 1);
  if (down.filter((group) => heightOf(group) >= STACKED * height).length > 1) return true;
  return areFar(boxes);
}

/** Whether a closed line is drawn around the ink; a zero may have a dot in it. */
export function isRinged({ boxes, masks }) {
  return boxes.some((box, ring) =>
    boxes.some(
      (inner, other) =>
        other !== ring &&
        inner.within(box, 0) &&
        [0, 1].some((axis) => inner.sides[axis] >= INNER * box.sides[axis]) &&
        encloses(masks[ring], masks[other]),
    ),
  );
}

/** Whether no way leads from `other` to the edge that does not cross `ring`. */
function encloses(ring, other) {
  const { width, height } = ring;
  const free = new Uint8Array((width + 2) * (height + 2)).fill(1);
  for (let y = 0; y < height; ++y)
    for (let x = 0; x < width; ++x)
      if (ring.data[y * width + x])
        // A line without gaps at corners; not on the border around the picture.
        for (let row = Math.max(y, 1); row <= Math.min(y + 2, height); ++row)
          for (let column = Math.max(x, 1); column <= Math.min(x + 2, width); ++column)
            free[row * (width + 2) + column] = 0;
  const outside = new Uint8Array(free.length);
  const areas = parts({ width: width + 2, height: height + 2, data: free });
  for (const at of areas.find((cells) => cells.includes(0))) outside[at] = 1;
  const at = (cell) => (Math.trunc(cell / width) + 1) * (width + 2) + (cell % width) + 1;
  const seen = [...other.data.keys()].filter((cell) => other.data[cell] && free[at(cell)]);
  return seen.length > 0 && seen.every((cell) => !outside[at(cell)]);
}

function joined(boxes, start, stop, gap) {
  const groups = [];
  let end = 0;
  const sorted = [...boxes].sort((a, b) => a[start] - b[start] || a[stop] - b[stop]);
  for (const box of sorted) {
    if (groups.length === 0 || box[start] - end >= gap) {
      groups.push([]);
      end = box[stop];
    }
    groups.at(-1).push(box);
    end = Math.max(end, box[stop]);
  }
  return groups;
}

function heightOf(group) {
  return Math.max(...group.map((b) => b.bottom)) - Math.min(...group.map((b) => b.top));
}

function areFar(boxes) {
  const largest = boxes.reduce((most, box) => (box.largest > most.largest ? box : most));
  return boxes.some((box) => {
    const gap = Math.max(
      largest.left - box.right,
      box.left - largest.right,
      largest.top - box.bottom,
      box.top - largest.bottom,
    );
    return gap >= FAR * largest.largest && box.largest >= ALIKE * largest.largest;
  });
}

/** Thin ink as it must be to stay whole when it is shrunk to [height, width]; else null. */
export function thickened(ink, [height, width]) {
  const part = cut(ink, boxOf(ink));
  const step = Math.max(part.height / height, part.width / width);
  if (step <= 1 || strokeWidth(part) >= THIN * step) return null;
  const cell = Math.max(Math.trunc(step / FINE), 1);
  const coarse = pooled(part, cell);
  const wanted = roundedEven((THICKER * step) / cell) - 1;
  const size = Math.max(Math.floor(wanted / 2) * 2 + 1, 3);
  return grown(coarse, size);
}

/** Half to even, as Python rounds. */
export function roundedEven(value) {
  const down = Math.floor(value);
  if (value - down !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}

/** Mean width of strokes in pixels: the area over half the outline. */
function strokeWidth({ width, height, data }) {
  const at = (y, x) => (y >= 0 && x >= 0 && y < height && x < width && data[y * width + x] ? 1 : 0);
  let outline = 0;
  let area = 0;
  for (let y = 0; y <= height; ++y)
    for (let x = 0; x <= width; ++x) {
      area += at(y, x);
      if (x < width && at(y, x) !== at(y - 1, x)) outline += 1;
      if (y < height && at(y, x) !== at(y, x - 1)) outline += 1;
    }
  return (2 * area) / ((outline * Math.PI) / 4);
}

/** A mask with `size` more on every side, grown by a square of `size`. */
function grown({ width, height, data }, size) {
  const across = width + 2 * size;
  const down = height + 2 * size;
  const reach = Math.trunc(size / 2);
  const to = new Uint8Array(across * down);
  for (let y = 0; y < height; ++y)
    for (let x = 0; x < width; ++x)
      if (data[y * width + x])
        for (let row = y + size - reach; row <= y + size + reach; ++row)
          to.fill(1, row * across + x + size - reach, row * across + x + size + reach + 1);
  return { width: across, height: down, data: to };
}

// SPDX-License-Identifier: BSD-3-Clause
// A thing on a plain ground becomes light on black, as src/bnn/data/pictures/ground.py does it.
import { UserError } from "./errors.js";

const MAX_GROUND = 64;
const MIN_THING = 128;
const MIN_APART = 16;

/** Grey levels [height][width] of a thing on black. Throws UserError if nothing is seen. */
export function onBlack(levels, [height, width]) {
  const atEdge = (i) => {
    const x = i % width;
    const y = Math.trunc(i / width);
    return x === 0 || y === 0 || x === width - 1 || y === height - 1;
  };
  const edge = levels.filter((_, i) => atEdge(i)).sort();
  const least = levels.reduce((a, b) => Math.min(a, b), 255);
  const most = levels.reduce((a, b) => Math.max(a, b), 0);
  if (edge[Math.trunc(edge.length / 4)] <= MAX_GROUND && most >= MIN_THING) return levels;
  const ground = edge[Math.trunc((edge.length - 1) / 2)];
  const apart = Math.max(ground - least, most - ground);
  if (apart < MIN_APART) throw new UserError("is blank: nothing is seen on its ground", "error.blank");
  const sign = ground - least > most - ground ? -1 : 1;
  return levels.map((level) => Math.trunc((Math.max(sign * (level - ground), 0) * 255) / apart));
}

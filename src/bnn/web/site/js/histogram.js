// SPDX-License-Identifier: BSD-3-Clause
// Where the sums of a channel lie, and its thresholds as lines; drawn as SVG.

const [WIDTH, HEIGHT, MARGIN] = [360, 150, 22];
const MAX_BINS = 40;

/** An SVG element: bars of `sums`, a line at each of `lines`, one mark at `chosen`. */
export function histogram(sums, lines, chosen, label) {
  const near = lines.filter((line) => Number.isFinite(line));
  const low = Math.min(...sums, ...near);
  const high = Math.max(...sums, ...near);
  const bins = Math.max(1, Math.min(MAX_BINS, high - low + 1));
  const size = (high - low + 1) / bins;
  const counts = new Array(bins).fill(0);
  for (const sum of sums) counts[Math.min(bins - 1, Math.trunc((sum - low) / size))] += 1;
  const most = Math.max(...counts);
  const x = (value) => MARGIN + ((value - low) / (high - low + 1)) * (WIDTH - 2 * MARGIN);
  const base = HEIGHT - MARGIN;

  const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "histogram", role: "img", "aria-label": label });
  counts.forEach((count, i) => {
    const height = (count / most) * (base - 12);
    const left = x(low + i * size);
    const width = Math.max(x(low + (i + 1) * size) - left - 1, 1);
    root.append(svg("rect", { class: "count", x: left, y: base - height, width, height }));
  });
  root.append(svg("line", { class: "axis", x1: MARGIN, x2: WIDTH - MARGIN, y1: base, y2: base }));
  for (const line of near)
    root.append(svg("line", { class: "threshold", x1: x(line), x2: x(line), y1: 6, y2: base + 4 }));
  root.append(svg("circle", { class: "chosen", cx: x(chosen + 0.5), cy: base, r: 4 }));
  root.append(words(MARGIN, "start", low), words(WIDTH - MARGIN, "end", high));
  return root;
}

function words(x, anchor, content) {
  const made = svg("text", { x, y: HEIGHT - 5, "text-anchor": anchor });
  made.textContent = content;
  return made;
}

function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

# SPDX-License-Identifier: BSD-3-Clause
"""Draws the pictures of docs/understand.md: ``python tools/draw_figures.py docs/figures``.

``make docs`` runs it. They have no words but the names of the field, so that one picture serves
both languages, and colours that can be seen on white and on black. ``start`` is on the page that
leads to the languages.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

PLUS, MINUS, LINE, TEXT = "#2f7ed8", "#d9822b", "#7a7f87", "#7a7f87"
GREYS = ("#20242b", "#5d6672", "#9aa3ae", "#dfe4ea")
_FONT = 'font-family="ui-monospace, Menlo, Consolas, monospace"'


def main() -> None:
    """Write every figure into the folder that is given."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (xnor, threshold, planes, straight_through, dataflow, pipeline, folding, start):
        (folder / f"{draw.__name__}.svg").write_text(draw())


def _svg(width: int, height: int, parts: list[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">\n{body}\n</svg>\n'
    )


def _box(x: float, y: float, w: float, h: float, fill: str, stroke: str = LINE) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="3" '
        f'fill="{fill}" stroke="{stroke}"/>'
    )


def _text(x: float, y: float, text: str, fill: str = TEXT, size: int = 14) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="middle" dominant-baseline="central" '
        f'{_FONT} font-size="{size}" fill="{fill}">{text}</text>'
    )


def _arrow(x: float, y: float, to: float) -> str:
    return (
        f'<path d="M{x:g} {y:g} H{to - 6:g} M{to - 10:g} {y - 4:g} L{to - 4:g} {y:g} '
        f'L{to - 10:g} {y + 4:g}" stroke="{LINE}" fill="none" stroke-width="1.5"/>'
    )


def _dashed(path: str) -> str:
    return f'<path d="{path}" stroke="{LINE}" fill="none" stroke-dasharray="4 4"/>'


def _signs(x: float, y: float, values: list[int], size: int = 32) -> list[str]:
    """A 3x3 patch of signs."""
    parts = []
    for index, value in enumerate(values):
        left, top = x + index % 3 * size, y + index // 3 * size
        parts.append(_box(left, top, size - 2, size - 2, PLUS if value > 0 else MINUS))
        parts.append(_text(left + size / 2 - 1, top + size / 2, f"{value:+d}", "#fff"))
    return parts


def xnor() -> str:
    """Nine inputs, nine weights, their products and the sum."""
    inputs = [1, -1, 1, -1, -1, 1, 1, 1, -1]
    weights = [1, 1, 1, -1, 1, -1, -1, 1, -1]
    products = [a * b for a, b in zip(inputs, weights, strict=True)]
    ones = products.count(1)
    parts = [
        *_signs(10, 30, inputs),
        _text(130, 78, "XNOR", size=13),
        *_signs(155, 30, weights),
        _text(272, 78, "="),
        *_signs(290, 30, products),
        _arrow(395, 78, 440),
        _text(505, 62, f"popcount = {ones}"),
        _text(520, 94, f"2 x {ones} - 9 = {2 * ones - 9:+d}", PLUS, 16),
    ]
    return _svg(610, 150, parts)


def threshold() -> str:
    """The sums of one neuron as a histogram, and its threshold."""
    luck, count, width = random.Random(1), [0] * 41, 14
    for _ in range(1500):
        count[min(40, max(0, round(luck.gauss(19, 6))))] += 1
    limit, most = 24, max(count)
    parts = []
    for index, many in enumerate(count):
        height = 120 * many / most
        fill = PLUS if index >= limit else MINUS
        parts.append(
            _box(10 + index * width, 140 - height, width - 2, max(height, 0.5), fill, fill)
        )
    x = 10 + limit * width - 1
    parts.append(f'<path d="M{x} 8 V150" stroke="{LINE}" stroke-width="2" stroke-dasharray="5 3"/>')
    parts += [_text(x + 14, 14, "t", size=16), _text(90, 60, "-1", MINUS, 22)]
    parts += [_text(520, 60, "+1", PLUS, 22), _text(300, 164, "sum")]
    return _svg(600, 178, parts)


def planes() -> str:
    """A map of 2-bit values and its two bit planes."""
    luck = random.Random(3)
    values = [[min(3, max(0, int(luck.gauss(1.6, 1.1)))) for _ in range(6)] for _ in range(6)]
    parts = [*_map(10, 12, values)]
    parts += [_text(198, 90, "= 2 x"), *_map(240, 12, [[v >> 1 for v in row] for row in values], 3)]
    parts += [_text(428, 90, "+"), *_map(455, 12, [[v & 1 for v in row] for row in values], 3)]
    return _svg(620, 180, parts)


def _map(x: float, y: float, values: list[list[int]], step: int = 1, size: int = 26) -> list[str]:
    parts = []
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            grey = GREYS[value * step]
            left, top = x + column * size, y + row * size
            parts.append(_box(left, top, size - 2, size - 2, grey))
            ink = "#fff" if value * step < 2 else "#111"
            parts.append(_text(left + size / 2 - 1, top + size / 2, str(value), ink, 12))
    return parts


def dataflow() -> str:
    """Memory, reader, layers, writer, memory, in a row."""
    names = ["DDR", "reader", "layer 1", "layer 2", "layer 3", "writer", "DDR"]
    parts, x = [], 4.0
    for index, name in enumerate(names):
        inside = 0 < index < 6
        width = 74 if inside else 46
        parts.append(_box(x, 20, width, 46, "none", PLUS if inside else LINE))
        parts.append(_text(x + width / 2, 43, name, size=15))
        x += width
        if index < 6:
            parts.append(_arrow(x, 43, x + 26))
        x += 26
    parts.append(_dashed("M62 6 H564 V80 H62 Z"))
    parts.append(_text(313, 96, "FPGA", size=15))
    return _svg(626, 110, parts)


def pipeline() -> str:
    """What each layer does at which time; the second is the slowest, and the others wait."""
    rows = [("reader", 1), ("layer 1", 2), ("layer 2", 3), ("layer 3", 2), ("writer", 1)]
    left, top, height, tick = 84, 10, 34, 32
    free = [0] * len(rows)  # when each block is free again
    parts, last_of_first, ends = [], 0, []
    for picture in range(5):
        ready = 0
        for row, (_, ticks) in enumerate(rows):
            start = max(ready, free[row])
            if row + 1 < len(rows):  # it hands its picture on when the next block is free
                start = max(start, free[row + 1] - ticks)
            ready = free[row] = start + ticks
            x, y = left + start * tick, top + row * height
            if start + ticks <= 16:
                fill = (PLUS, MINUS)[picture % 2]
                parts.append(_box(x + 1, y, ticks * tick - 2, height - 6, fill, fill))
                parts.append(_text(x + ticks * tick / 2, y + 14, f"{picture + 1}", "#fff", 16))
        ends.append(ready)
        last_of_first = last_of_first or ready
    for row, (name, _) in enumerate(rows):
        parts.append(_text(40, top + row * height + 14, name, size=15))
    bottom = top + len(rows) * height
    first, second = left + ends[0] * tick, left + ends[1] * tick
    parts += _span(left, first, bottom + 12, "latency")
    parts += _span(first, second, bottom + 12, "initiation interval")
    parts += [_text(left + 15.6 * tick, bottom + 34, "time", size=15)]
    return _svg(626, 226, parts)


def _span(x: float, to: float, y: float, name: str) -> list[str]:
    """A measure from ``x`` to ``to`` with its name under it."""
    path = f"M{x + 2:g} {y - 6:g} v12 M{x + 2:g} {y:g} H{to - 2:g} M{to - 2:g} {y - 6:g} v12"
    line = f'<path d="{path}" stroke="{LINE}" fill="none" stroke-width="1.5"/>'
    return [line, _text((x + to) / 2, y + 22, name, size=15)]


def straight_through() -> str:
    """The real weight of one connection during training, and the bit that is used."""
    luck, value, values = random.Random(17), -0.5, []
    for _ in range(75):
        value += luck.gauss(0.014, 0.06)
        values.append(value)
    left, middle, height = 70, 92, 76
    points = " ".join(f"{left + 7 * i:g},{middle - height * v:.1f}" for i, v in enumerate(values))
    parts = [
        _text(34, 16, "+1"),
        _text(34, middle, "0"),
        _text(34, 168, "-1"),
        _dashed(f"M{left} 8 V176 M{left} {middle} H600"),
        f'<polyline points="{points}" fill="none" stroke="{TEXT}" stroke-width="2.5"/>',
        _text(34, 204, "bit", size=15),
    ]
    for index, each in enumerate(values):
        fill = PLUS if each >= 0 else MINUS
        parts.append(_box(left + 7 * index - 3, 192, 6, 24, fill, fill))
    return _svg(610, 226, parts)


def folding() -> str:
    """A weight matrix covered by tiles, numbered by cycle."""
    luck, size, parts, cycle = random.Random(5), 34, [], 0
    left, top = 104, 40
    for row in range(8):
        for column in range(12):
            x, y = left + column * size, top + row * size
            first = row < 2 and column < 4
            sign = luck.choice((1, -1))
            ink = PLUS if sign > 0 else MINUS
            parts.append(_box(x + 2, y + 2, size - 5, size - 5, ink if first else "none", ink))
            parts.append(
                _text(x + size / 2, y + size / 2, f"{sign:+d}", "#fff" if first else ink, 12)
            )
    for row in range(0, 8, 2):
        for column in range(0, 12, 4):
            cycle += 1
            x, y = left + column * size, top + row * size
            parts.append(
                f'<rect x="{x - 1:g}" y="{y - 1:g}" width="{4 * size:g}" height="{2 * size:g}" '
                f'rx="4" fill="none" stroke="{LINE}" stroke-width="2.5"/>'
            )
            middle, centre = x + 2 * size - 1, y + size - 1
            parts.append(
                f'<circle cx="{middle:g}" cy="{centre:g}" r="14" fill="#fff" stroke="{LINE}"/>'
            )
            parts.append(_text(middle, centre, str(cycle), "#222", 15))
    parts += _span(left, left + 4 * size, 32, "")
    parts += [_text(left + 2 * size, 14, "SIMD = 4", size=15)]
    path = f"M92 {top} h12 M98 {top} V{top + 2 * size} M92 {top + 2 * size} h12"
    parts.append(f'<path d="{path}" stroke="{LINE}" fill="none" stroke-width="1.5"/>')
    parts.append(_text(46, top + size, "PE = 2", size=15))
    return _svg(526, 322, parts)


#: A three, as a network of bits reads it.
_THREE = "........ .#####.. .....##. ..####.. .....##. .....##. .#####.. ........"


def start() -> str:
    """A digit as bits, three layers of bits, and the scores of ten classes."""
    luck, size, parts = random.Random(11), 22, []
    for row, line in enumerate(_THREE.split()):
        for column, each in enumerate(line):
            fill = PLUS if each == "#" else "none"
            parts.append(_box(8 + column * size, 22 + row * size, size - 2, size - 2, fill))
    for layer in range(3):
        x = 236 + 104 * layer
        parts.append(_arrow(x - 44, 109, x - 8))
        for row in range(8):
            for column in range(2):
                fill = luck.choice((PLUS, MINUS))
                parts.append(_box(x + column * size, 22 + row * size, size - 2, size - 2, fill))
    parts.append(_arrow(504, 109, 540))
    for digit in range(10):
        y = 18 + 18 * digit
        width, fill = (140, PLUS) if digit == 3 else (luck.randint(8, 64), LINE)
        parts += [_text(556, y + 7, str(digit)), _box(570, y, width, 14, fill, fill)]
    return _svg(720, 220, parts)


if __name__ == "__main__":
    main()

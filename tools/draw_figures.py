# SPDX-License-Identifier: BSD-3-Clause
"""Draws the pictures of docs/understand.md: ``python tools/draw_figures.py docs/figures``.

``make docs`` runs it. They have no words but the names of the field, so that one picture serves
both languages, and colours that can be seen on white and on black.
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
    for draw in (xnor, threshold, planes, dataflow, folding):
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
    """Blocks in a row, and the picture that each works on."""
    names = ["DDR", "reader", "layer 1", "layer 2", "layer 3", "writer", "DDR"]
    parts = []
    for index, name in enumerate(names):
        x = 8 + index * 104
        parts += [
            _box(x, 20, 78, 46, "none", PLUS if 0 < index < 6 else LINE),
            _text(x + 39, 43, name),
        ]
        if index:
            parts.append(_arrow(x - 26, 43, x))
        if 0 < index < 6:
            parts.append(_text(x + 39, 92, f"#{6 - index}", MINUS, 16))
    return _svg(730, 112, parts)


def folding() -> str:
    """A weight matrix covered by tiles, numbered by cycle."""
    size, parts, cycle = 30, [], 0
    for row in range(0, 8, 2):
        for column in range(0, 12, 4):
            cycle += 1
            fill = PLUS if cycle == 1 else "none"
            x, y = 90 + column * size, 12 + row * size
            parts.append(_box(x, y, 4 * size - 3, 2 * size - 3, fill))
            ink = "#fff" if cycle == 1 else TEXT
            parts.append(_text(x + 2 * size, y + size, str(cycle), ink, 18))
    parts += [_text(44, 42, "PE = 2"), _text(150, 268, "SIMD = 4")]
    return _svg(470, 284, parts)


if __name__ == "__main__":
    main()

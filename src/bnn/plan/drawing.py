# SPDX-License-Identifier: BSD-3-Clause
"""Drawings of lines, dots and text, which can be SVG or a picture of pixels."""

from __future__ import annotations

import html
import itertools
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

#: Pixels of a PNG per unit of the drawing.
_SCALE = 2


@dataclass
class Drawing:
    """A drawing of ``width`` x ``height`` units; the origin is at the top left.

    The anchor of a text says which part of the text is at x: ``start``, ``middle`` or ``end``. The
    ``title`` of a dot is its tooltip in the SVG.
    """

    width: int
    height: int
    _svg: list[str] = field(default_factory=list)
    _lines: list[tuple[list[tuple[float, float]], str, bool]] = field(default_factory=list)
    _dots: list[tuple[float, float, float, str, bool]] = field(default_factory=list)
    _texts: list[tuple[float, float, str, str, str, int]] = field(default_factory=list)

    def line(self, points: list[tuple[float, float]], colour: str, *, dashed: bool = False) -> None:
        """Draw a line through ``points``."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        self._svg.append(f'<polyline points="{path}" fill="none" stroke="{colour}"{dash}/>')
        self._lines.append((points, colour, dashed))

    def dot(self, x: float, y: float, colour: str, *, full: bool = True, title: str = "") -> None:
        """Draw a dot at (x, y), or a ring if ``full`` is False."""
        self._svg.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour if full else "#fff"}" '
            f'stroke="{colour}" stroke-width="1.5"><title>{html.escape(title)}</title></circle>'
        )
        self._dots.append((x, y, 4.0, colour, full))

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: str = "start",
        colour: str = "#333",
        size: int = 12,
    ) -> None:
        """Draw text whose baseline is at ``y``; ``anchor`` says which part of it is at ``x``."""
        self._svg.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
            f'font-size="{size}">{html.escape(words)}</text>'
        )
        self._texts.append((x, y, words, anchor, colour, size))

    def svg(self) -> str:
        """Return the drawing as an SVG element for an HTML page."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'font-family="system-ui, sans-serif">{"".join(self._svg)}</svg>'
        )

    def image(self) -> Image.Image:
        """Return the drawing as an RGB picture of 2 pixels per unit."""
        image = Image.new("RGB", (self.width * _SCALE, self.height * _SCALE), "#fff")
        draw = ImageDraw.Draw(image)
        for points, colour, dashed in self._lines:
            for (x0, y0), (x1, y1) in itertools.pairwise(points):
                _stroke(draw, (x0, y0, x1, y1), colour, dashed)
        for x, y, radius, colour, full in self._dots:
            box = [_SCALE * (x - radius), _SCALE * (y - radius)]
            box += [_SCALE * (x + radius), _SCALE * (y + radius)]
            draw.ellipse(box, fill=colour if full else "#fff", outline=colour, width=_SCALE)
        for x, y, words, anchor, colour, size in self._texts:
            place = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
            font = ImageFont.load_default(size * _SCALE)
            if isinstance(font, ImageFont.FreeTypeFont):
                draw.text((x * _SCALE, y * _SCALE), words, colour, font, place)
            else:  # Pillow without FreeType: its bitmap font has no anchors
                draw.text((x * _SCALE, (y - size) * _SCALE), words, colour, font)
        return image


def _stroke(
    draw: ImageDraw.ImageDraw, line: tuple[float, float, float, float], colour: str, dashed: bool
) -> None:
    x0, y0, x1, y1 = (_SCALE * value for value in line)
    length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
    step = 10 * _SCALE if dashed else length
    at = 0.0
    while at < length:
        end = min(at + (0.6 * step if dashed else step), length)
        ends = [(x0 + (x1 - x0) * t / length, y0 + (y1 - y0) * t / length) for t in (at, end)]
        draw.line(ends, fill=colour, width=_SCALE)
        at += step

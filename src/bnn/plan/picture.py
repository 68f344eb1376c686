# SPDX-License-Identifier: BSD-3-Clause
"""The Pareto picture: images per second against LUTs and block RAMs, as HTML or PNG."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from bnn.errors import PlanError
from bnn.hw.parts import Part
from bnn.plan import cost
from bnn.plan.drawing import Drawing
from bnn.plan.pareto import Curve, Point
from bnn.system import page as pages
from bnn.system.files import write_whole

_COLOURS = ("#30638e", "#d1495b", "#3a7d44", "#b7791f", "#6b4e9b", "#00798c")
_WIDTH, _PANEL, _LEFT, _GAP, _TOP = 900, 300, 70, 60, 50
_TICKS = 5


def write(path: Path, curves: Sequence[Curve], part: Part, clock_mhz: float) -> None:
    """Write the picture as HTML or PNG; ``path`` must end in .html or .png.

    Raises:
        PlanError: ``path`` has another ending, or cannot be written.
    """
    if path.suffix not in (".html", ".png"):
        raise PlanError(f"{path}: must end in .html or .png")
    drawing = draw(curves, part, clock_mhz)
    if path.suffix == ".png":
        buffer = io.BytesIO()
        drawing.image().save(buffer, "PNG")
        write_whole(path, buffer.getvalue(), PlanError)
    else:
        write_whole(path, page(drawing, curves, part, clock_mhz).encode(), PlanError)


def draw(curves: Sequence[Curve], part: Part, clock_mhz: float) -> Drawing:
    """Return a drawing with a panel for LUTs and a panel for block RAMs.

    If at least two models have an accuracy and a plan that fits, a panel shows the accuracies.
    """
    rated = [each for each in curves if each.accuracy is not None and each.best is not None]
    with_accuracy = len(rated) > 1
    panels = 3 if with_accuracy else 2
    height = _TOP + panels * (_PANEL + _GAP) + 10
    drawing = Drawing(_WIDTH, height)
    title = f"images/s at {clock_mhz:g} MHz on {part.name}; rings: too large for the part"
    drawing.text(_LEFT, 24, title, size=15)
    if not any(each.points for each in curves):
        drawing.text(_LEFT, _TOP + 20, "no plan of these models fits the part, even nearly")
        return drawing
    _panel(drawing, _TOP, curves, "LUT", lambda point: point.lut, part.luts)
    below = _TOP + _PANEL + _GAP
    _panel(drawing, below, curves, "BRAM36", lambda point: point.bram36, part.bram36)
    if with_accuracy:
        _accuracy(drawing, below + _PANEL + _GAP, rated)
    return drawing


def _scale(curves: Sequence[Curve]) -> Callable[[float], float]:
    """Return a function from images per second to the position x on a logarithmic axis."""
    speeds = [point.fps for each in curves for point in each.points]
    low, high = math.log10(min(speeds)), math.log10(max(speeds))
    span = max(high - low, 0.1)
    return lambda fps: _LEFT + 10 + (math.log10(fps) - low) / span * (_WIDTH - _LEFT - 130)


def _round(value: float) -> float:
    """Return the end of an axis with five steps: a round number of at least ``value``."""
    power: float = 10 ** math.floor(math.log10(value))
    return next(
        power * step for step in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if power * step >= value
    )


class _Labels:
    """Labels beside dots.

    A label is moved until it covers no other label; if there is no room, it is not drawn.
    """

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing
        self._boxes: list[tuple[float, float, float]] = []

    def put(self, x: float, y: float, words: str, colour: str) -> bool:
        """Draw the label ``words`` beside (x, y); return False, and draw nothing, without room."""
        half = 2.6 * len(words)
        x = max(x, _LEFT + half + 4)  # not over the axis
        places = [(x, y + dy) for dy in (-8, 16, -19, 27, -30, 38)]
        free = (p for p in places if not any(self._meets(p, half, box) for box in self._boxes))
        place = next(free, None)
        if place is None:
            return False
        px, py = place
        self._boxes.append((px, py, half))
        self._drawing.text(px, py, words, anchor="middle", colour=colour, size=9)
        return True

    @staticmethod
    def _meets(place: tuple[float, float], half: float, box: tuple[float, float, float]) -> bool:
        return abs(place[0] - box[0]) < half + box[2] and abs(place[1] - box[1]) < 10


def _axes(drawing: Drawing, top: float, name: str, low: float, high: float) -> None:
    bottom = top + _PANEL
    drawing.line([(_LEFT, top), (_LEFT, bottom), (_WIDTH - 20, bottom)], "#444")
    drawing.text(12, top - 8, name, size=13)
    for step in range(_TICKS + 1):
        y = bottom - step * _PANEL / _TICKS
        value = low + step * (high - low) / _TICKS
        drawing.line([(_LEFT, y), (_WIDTH - 20, y)], "#e3e5ec")
        drawing.text(_LEFT - 6, y + 4, f"{value:,.0f}", anchor="end")


def _speeds(drawing: Drawing, bottom: float, curves: Sequence[Curve]) -> None:
    x = _scale(curves)
    speeds = [point.fps for each in curves for point in each.points]
    power = math.floor(math.log10(min(speeds)))
    while 10**power <= max(speeds) * 1.01:
        for factor in (1, 3):
            fps = factor * 10.0**power
            if min(speeds) <= fps <= max(speeds):
                drawing.line([(x(fps), bottom), (x(fps), bottom + 5)], "#444")
                drawing.text(x(fps), bottom + 18, f"{fps:,.0f}", anchor="middle")
        power += 1


def shown_plans(points: Sequence[Point]) -> list[Point]:
    """Return the plans to draw: no other plan is at least as fast with fewer LUTs.

    A plan that is only good in block RAMs is not drawn, because the line would become a zigzag.
    Plans that do not fit the part are compared with each other only, and are drawn only if they are
    faster than all plans that fit.
    """
    fitting = [point for point in points if point.fits]
    fastest = max((point.fps for point in fitting), default=0.0)
    large = [point for point in points if not point.fits and point.fps > fastest]
    return _unbeaten(fitting) + _unbeaten(large)


def _unbeaten(points: Sequence[Point]) -> list[Point]:
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (-one.fps, one.lut)):
        if not front or point.lut < front[-1].lut:
            front.append(point)
    return front[::-1]


def _panel(
    drawing: Drawing,
    top: float,
    curves: Sequence[Curve],
    name: str,
    value: Callable[[Point], float],
    limit: float,
) -> None:
    used = [value(point) for each in curves for point in each.points]
    high = _round(max(1.05 * limit if max(used) > limit / 4 else 1, *used))
    bottom = top + _PANEL
    _axes(drawing, top, name, 0, high)
    _speeds(drawing, bottom, curves)
    x = _scale(curves)
    if limit <= high:
        y = bottom - limit / high * _PANEL
        drawing.line([(_LEFT, y), (_WIDTH - 20, y)], "#888", dashed=True)
        drawing.text(_WIDTH - 22, y - 5, f"all {limit:,.0f}", anchor="end", colour="#666")
    labels = _Labels(drawing)
    for number, each in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        points = shown_plans(each.points)
        places = [(x(p.fps), bottom - value(p) / high * _PANEL) for p in points]
        if places:
            drawing.line(places, colour)
            drawing.text(_LEFT + 14, top + 16 + 16 * number, _label(each), colour=colour, size=13)
        told = ""
        for point, (px, py) in zip(points, places, strict=True):
            text = f"{point.fps:,.0f} images/s, {value(point):,.0f} {name}; slowest: "
            drawing.dot(px, py, colour, full=point.fits, title=text + point.bottleneck)
            if point.bottleneck != told and labels.put(px, py, point.bottleneck, colour):
                told = point.bottleneck


def _accuracy(drawing: Drawing, top: float, curves: Sequence[Curve]) -> None:
    low = 10 * (min(each.accuracy or 0 for each in curves) // 10)
    _axes(drawing, top, "accuracy, % (of the fastest plan that fits)", low, 100)
    _speeds(drawing, top + _PANEL, curves)
    x = _scale(curves)
    for number, each in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        assert each.best is not None
        assert each.accuracy is not None
        height = (each.accuracy - low) / (100 - low) * _PANEL
        px, py = x(each.best.fps), top + _PANEL - height
        drawing.dot(px, py, colour, title=_label(each))
        drawing.text(px - 8, py + 4 + 15 * number, _label(each), anchor="end", colour=colour)


def _label(each: Curve) -> str:
    return each.name if each.accuracy is None else f"{each.name} ({each.accuracy:g} %)"


def page(drawing: Drawing, curves: Sequence[Curve], part: Part, clock_mhz: float) -> str:
    """Return one self-contained HTML page with the picture and a table of all plans."""
    margins = ", ".join(f"{kind} +-{error:.0f} %" for kind, error in cost.errors().items())
    cells = f"{part.luts:,} LUT, {part.bram36:g} BRAM36"
    summary = pages.both(
        f"Cycles are those of the slowest block; cells are estimated ({margins}). {part.name} has "
        f"{cells}. Drawn are the plans that no other beats in speed and LUT; the table has those "
        "that are best for block RAMs, too.",
        f"サイクルは最も遅いブロックの値、セル数は見積もり（{margins}）です。"
        f"{part.name} の資源は {cells}。"
        "図は速度と LUT で最良の構成だけを示し、表にはブロック RAM で最良の構成も含まれます。",
    )
    head = "<tr><th>model</th><th>images/s</th><th>cycles</th><th>LUT</th><th>BRAM36</th>"
    head += "<th>fits</th><th>slowest layer</th></tr>"
    rows = "".join(
        f"<tr><td>{html.escape(each.name)}</td><td>{p.fps:,.0f}</td><td>{p.cycles:,}</td>"
        f"<td>{p.lut:,.0f}</td><td>{p.bram36:g}</td><td>{'yes' if p.fits else 'no'}</td>"
        f"<td>{html.escape(p.bottleneck)}</td></tr>"
        for each in curves
        for p in each.points
    )
    title = " and ".join(html.escape(each.name) for each in curves)
    return pages.page(
        title=f"{title}: speed against size, {clock_mhz:g} MHz",
        body=f"<p>{summary}</p>\n{drawing.svg()}\n"
        f'<div class="wide" tabindex="0" role="group"><table>{head}{rows}</table></div>',
        style=pages.STRIPED,
    )

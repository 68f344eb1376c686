# SPDX-License-Identifier: BSD-3-Clause
"""What each question about ink answers for shapes that are drawn in small steps.

Shapes grow by a pixel or a few, so that the answers change within each row: where they change is
the limit of the question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bnn.data.pictures import parts, polarity, strokes
from support.golden import compare, digest

Mask = NDArray[np.bool_]


def drawn(
    size: tuple[int, int], *shapes: tuple[str, tuple[float, ...], float], turn: float = 0.0
) -> Mask:
    """A mask (width, height) of lines, boxes and ellipses; each has a width (0: filled).

    ``turn``: by how many degrees all shapes are turned around the middle.
    """
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    x, y = across - size[0] / 2, down - size[1] / 2
    sine, cosine = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    x, y = cosine * x + sine * y + size[0] / 2, cosine * y - sine * x + size[1] / 2
    mask = np.zeros(x.shape, np.bool_)
    for kind, place, width in shapes:
        mask |= SHAPES[kind](x, y, place, width)
    return mask


def line(x: Any, y: Any, place: tuple[float, ...], width: float) -> Mask:
    x0, y0, x1, y1 = place
    length = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-9)
    along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length, 0, 1)
    far = np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0))
    return np.asarray(far <= width / 2 + 0.01)


def box(x: Any, y: Any, place: tuple[float, ...], width: float) -> Mask:
    x0, y0, x1, y1 = place
    off = np.minimum.reduce([x - x0, x1 - x, y - y0, y1 - y])
    return np.asarray((off >= -0.01) & ((width == 0) | (off < width - 0.01)))


def ellipse(x: Any, y: Any, place: tuple[float, ...], width: float) -> Mask:
    x0, y0, x1, y1 = place
    middle, half = ((x0 + x1) / 2, (y0 + y1) / 2), (max(x1 - x0, 1) / 2, max(y1 - y0, 1) / 2)

    def inside(less: float) -> Any:
        wide, high = max(half[0] - less, 0.01), max(half[1] - less, 0.01)
        return np.hypot((x - middle[0]) / wide, (y - middle[1]) / high) <= 1.001

    return np.asarray(inside(0) & ~inside(width) if width else inside(0))


SHAPES = {"line": line, "box": box, "ellipse": ellipse}


def masks() -> Iterator[tuple[str, Mask]]:
    yield "all", np.ones((9, 9), np.bool_)
    yield "dot", drawn((9, 9), ("box", (4, 4, 4, 4), 0))
    for n in range(0, 60, 6):
        yield (
            f"two bars, {n} apart",
            drawn((90, 70), ("box", (5, 5, 12, 62), 0), ("box", (14 + n, 5, 21 + n, 62), 0)),
        )
        yield (
            f"bar and {n}",
            drawn((60, 70), ("box", (5, 5, 12, 62), 0), ("box", (30, 62 - n, 37, 62), 0)),
        )
        yield (
            f"above, {n}",
            drawn((60, 140), ("box", (5, 5, 40, 50), 8), ("box", (5, 52 + n, 40, 75 + n), 8)),
        )
        yield (
            f"stacked {n}",
            drawn((60, 90), ("box", (5, 5, 40, 5 + n), 0), ("box", (5, 70, 40, 85), 0)),
        )
        yield (
            f"far {n}",
            drawn(
                (200, 70),
                ("ellipse", (5, 5, 25, 25), 0),
                ("ellipse", (30 + 2 * n, 30, 50 + 2 * n, 50), 0),
            ),
        )
        yield (
            f"frame {n}",
            drawn(
                (100, 100),
                ("box", (10, 10, 90, 90), 2),
                ("box", (50 - n / 2, 50 - n / 2, 50 + n / 2, 50 + n / 2), 0),
            ),
        )
        yield (
            f"rules {n}",
            drawn(
                (100, 100),
                ("line", (5, 20, 5 + 1.5 * n, 20), 2),
                ("line", (5, 80, 95, 80), 2),
                ("box", (40, 35, 60, 65), 5),
            ),
        )
        yield (
            f"panel {n}",
            drawn(
                (100, 100),
                ("box", (10, 30, 40 + n, 60), 0),
                ("ellipse", (20, 40, 20 + n / 3, 40 + n / 3), 1),
            ),
        )
        yield f"ring {n}", drawn((80, 80), ("ellipse", (10, 10, 70, 70), 1 + n // 2))
        yield (
            f"cut {n}",
            drawn((60, 80), ("line", (n - 5, 0, 30, 40), 5), ("line", (30, 40, 30, 60), 5)),
        )
    for n in range(1, 28, 3):
        yield f"thick {n}", drawn((80, 80), ("line", (10, 40, 70, 40), n))
        yield f"turned {n}", drawn((80, 80), ("box", (15, 25, 65, 55), 0), turn=3 * n)
        yield (
            f"paper {n}",
            drawn((80, 80), ("box", (10, 10, 70, 70), 0))
            & ~drawn((80, 80), ("box", (10, 10, 9 + n, 9 + n), 0)),
        )
        yield f"at the side {n}", drawn((60, 60), ("box", (0, 10, n, 10 + 2 * n), 0))
    random = np.random.default_rng(5)
    for n in range(0, 30, 3):
        specks = random.random((80, 80)) < n / 400
        yield f"specks {n}", drawn((80, 80), ("ellipse", (20, 10, 60, 70), 7)) | specks


def told(value: Any) -> str:
    if value is None or isinstance(value, bool | int | np.bool_):
        return str(value)
    if isinstance(value, float | np.floating):
        return f"{value:.9g}"
    if isinstance(value, np.ndarray):
        return f"{value.shape} {digest(np.ascontiguousarray(value).tobytes())}"
    if isinstance(value, tuple | list):
        return " ".join(map(told, value))
    return repr(value)


QUESTIONS: dict[str, Callable[..., Any]] = {
    "within_frame": lambda ink: parts.within_frame(parts.pieces(ink)),
    "is_ruled": parts.is_ruled,
    "are_several": lambda ink: parts.are_several(parts.pieces(ink)),
    "is_ringed": lambda ink: parts.is_ringed(parts.pieces(ink)),
    "marks_beside": lambda ink: parts.marks_beside(parts.pieces(ink)),
    "stroke_width": parts._stroke_width,
    "is_panel": parts.is_panel,
    "is_rectangle": parts.is_rectangle,
    "thickened": lambda ink: parts.thickened(ink, (28, 28)),
    "reaches_out": strokes._reaches_out,
    "is_solid": strokes.is_solid,
    "spans": strokes.spans,
    "clean": strokes._clean,
    "clean edges": lambda ink: strokes._clean(ink, edges=True),
    "parts": strokes.parts,
    "on_edge": strokes.on_edge,
    "is_cut": strokes.is_cut,
    "pooled": lambda ink: strokes.pooled(ink, 7),
    "box": strokes.box_of,
}


def answer(question: Callable[..., Any], *given: Any) -> str:
    try:
        return told(question(*given))
    except (IndexError, ValueError, ZeroDivisionError) as reason:  # of no ink nothing is asked
        return type(reason).__name__


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_about_ink(name: str) -> None:
    found = {shape: answer(QUESTIONS[name], ink.copy()) for shape, ink in masks() if ink.any()}
    assert len({*found.values()}) > 1
    compare(f"masks-{name.replace(' ', '-')}", found)


def shaded(ink: Mask, dark: int, light: int, slope: float, noise: float) -> NDArray[np.uint8]:
    """A picture of dark ink on light paper, which grows darker to one side."""
    random = np.random.default_rng(int(ink.sum()))
    ground = light - slope * np.arange(ink.shape[1])[None, :]
    values = np.where(ink, dark, ground) + noise * random.normal(size=ink.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


GREY: dict[str, Callable[..., Any]] = {
    "find_stroke": lambda grey, _: strokes.find_stroke(grey),
    "darker": lambda grey, _: strokes._darker(grey),
    "darker fading": lambda grey, _: strokes._darker(grey, 1.0, True),
    "is_stroke": lambda grey, ink: strokes.is_stroke(grey, ink, ink),
    "agrees": strokes._agrees,
    "inside": strokes.inside,
    "is_all_light": parts.is_all_light,
    "between": lambda grey, _: parts._between(grey),
    "step": lambda grey, ink: parts._step(grey, ~ink),
    "on_table": lambda grey, _: parts.on_table(grey),
    "settled": lambda grey, _: polarity.settled(grey),
    "skew": lambda grey, _: f"{strokes._skew(Image.fromarray(grey)):.3f}",
    "skew of few pixels": lambda grey, _: f"{strokes._skew(Image.fromarray(grey[:7, :6])):.3f}",
}


@pytest.mark.parametrize("name", GREY)
def test_questions_about_grey_pictures(name: str) -> None:
    found = {}
    for at, (shape, ink) in enumerate(masks()):
        if at % 3 == 0 and 0 < ink.sum() < ink.size:
            for lights in ((20, 230, 0.0, 0.0), (90, 160, 0.6, 3.0), (200, 40, 0.0, 4.0)):
                grey = shaded(ink, *lights)
                found[f"{shape} {lights[:2]}"] = answer(GREY[name], grey, ink.copy())
    assert len({*found.values()}) > 1
    compare(f"grey-{name.replace(' ', '-')}", found)

# SPDX-License-Identifier: BSD-3-Clause
"""A drawing is the same as SVG and as pixels."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from bnn.plan.drawing import Drawing

RED, BLUE = "#ff0000", "#0000ff"


def marks(drawing: Drawing, colour: tuple[int, int, int]) -> np.ndarray:
    """Where the picture has exactly this colour: (rows, columns) in units of half a pixel."""
    return np.all(np.asarray(drawing.image()) == colour, axis=2)


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


@pytest.mark.parametrize("shift", [0.0, 0.5, 7.5])
def test_a_line_is_at_its_place_in_pixels(shift: float) -> None:
    drawing = Drawing(60, 40)
    drawing.line([(10 + shift, 20), (30 + shift, 20)], RED)
    drawing.line([(40, 5 + shift), (40, 25 + shift)], BLUE)
    top, bottom, left, right = box(marks(drawing, (255, 0, 0)))
    assert bottom - top == 1
    assert (left, right) == pytest.approx((2 * (10 + shift), 2 * (30 + shift)), abs=1)
    assert top == pytest.approx(40, abs=1)
    top, bottom, left, right = box(marks(drawing, (0, 0, 255)))
    assert right - left == 1
    assert left == pytest.approx(80, abs=1)
    assert (top, bottom) == pytest.approx((2 * (5 + shift), 2 * (25 + shift)), abs=1)


def test_a_dashed_line_has_six_of_ten() -> None:
    drawing = Drawing(120, 20)
    drawing.line([(10, 10), (110, 10)], RED, dashed=True)
    row = marks(drawing, (255, 0, 0)).any(axis=0)
    starts = np.flatnonzero(row[1:] & ~row[:-1]) + 1
    assert np.diff(starts).tolist() == [20] * 9  # ten dashes
    assert row.sum() == pytest.approx(10 * 12, abs=12)
    assert 'stroke-dasharray="6 4"' in drawing.svg()


def test_dots_are_full_or_rings() -> None:
    drawing = Drawing(60, 30)
    drawing.dot(15, 12, RED, title="a & b")
    drawing.dot(40, 12, BLUE, full=False)
    full, ring = marks(drawing, (255, 0, 0)), marks(drawing, (0, 0, 255))
    assert box(full) == pytest.approx((16, 32, 22, 38), abs=1)
    assert box(ring) == pytest.approx((16, 32, 72, 88), abs=1)
    assert full[24, 30]
    assert not ring[24, 80]
    assert ring.sum() < full.sum() / 2
    circles = ET.fromstring(drawing.svg()).findall(".//{*}circle")
    assert [(each.get("cx"), each.get("cy"), each.get("r")) for each in circles] == [
        ("15.0", "12.0", "4"),
        ("40.0", "12.0", "4"),
    ]
    assert [each.get("fill") for each in circles] == [RED, "#fff"]
    assert circles[0][0].text == "a & b"


@pytest.mark.parametrize("anchor", ["start", "middle", "end"])
def test_text_is_anchored_at_its_place(anchor: str) -> None:
    drawing = Drawing(200, 40)
    drawing.text(100, 25, "HHHH", anchor=anchor, colour=RED, size=12)
    shown = np.asarray(drawing.image())[..., 1] < 128
    _, bottom, left, right = box(shown)
    assert bottom == pytest.approx(50, abs=2)  # its base line
    at = {"start": left, "middle": (left + right) / 2, "end": right}[anchor]
    assert at == pytest.approx(200, abs=4)
    (text,) = ET.fromstring(drawing.svg()).findall(".//{*}text")
    assert (text.get("text-anchor"), text.get("x"), text.get("font-size")) == (
        anchor,
        "100.0",
        "12",
    )
    assert drawing.image().size == (400, 80)

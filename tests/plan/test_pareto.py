# SPDX-License-Identifier: BSD-3-Clause
"""The Pareto picture: honest points, and files that open."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

import bnn
from bnn.errors import PlanError
from bnn.hw.boards import part
from bnn.plan.pareto import Curve, card_accuracy, curve
from bnn.plan.picture import shown_plans, write

PART = part("xc7z020")


@pytest.fixture(scope="module")
def lfc() -> Curve:
    program = bnn.load("lfc-w1a1").program
    return curve("lfc-w1a1", program, PART, 100.0, loadable=False, fill=0.85)


def test_no_point_beats_another(lfc: Curve) -> None:
    assert len(lfc.points) > 8
    for one in lfc.points:
        assert one.fps == 1e8 / one.cycles
        if one.fits:
            assert one.lut <= 0.85 * PART.luts
            assert one.bram36 <= PART.bram36
        for other in lfc.points:
            better = other.fps >= one.fps and other.lut <= one.lut and other.bram36 <= one.bram36
            assert other == one or not better
    assert lfc.best is not None
    assert lfc.accuracy == card_accuracy("lfc-w1a1")
    assert 90 < lfc.accuracy < 100
    assert card_accuracy("no-such-model") is None


def test_the_page_names_the_slowest_layer_at_every_point(lfc: Curve, tmp_path) -> None:
    path = tmp_path / "lfc.html"
    write(path, [lfc], PART, 100.0)
    page = path.read_text()
    svg = re.search(r"<svg.*</svg>", page)
    assert svg is not None
    root = ET.fromstring(svg[0])
    names = {"svg": "http://www.w3.org/2000/svg"}
    titles = [each.text or "" for each in root.findall(".//svg:circle/svg:title", names)]
    for kind in ("LUT", "BRAM36"):
        shown = [title for title in titles if f" {kind};" in title]
        assert len(shown) == len(shown_plans(lfc.points))
    assert len(titles) < 2 * len(lfc.points), "this curve has plans that are best in one of both"
    for point in lfc.points:
        assert f"<td>{point.cycles:,}</td>" in page
        assert point.bottleneck in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # needs no other file


def test_several_models_get_a_panel_for_accuracy(lfc: Curve, tmp_path) -> None:
    other = Curve("another", lfc.points[:5], 80.0)
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    write(one, [lfc], PART, 100.0)
    write(two, [lfc, other], PART, 100.0)
    with Image.open(one) as small, Image.open(two) as large:
        assert large.height > small.height
        assert len(small.convert("RGB").getcolors(1 << 20) or []) > 5


def test_the_axes_tell_the_numbers_of_the_dots(lfc: Curve, tmp_path) -> None:
    """Where a dot is, read off the printed ticks, is the number that it stands for."""
    path = tmp_path / "both.html"
    best = lfc.best
    assert best is not None
    slower = tuple(replace(point, fps=point.fps / 7, lut=3 * point.lut) for point in lfc.points)
    write(path, [lfc, Curve("another", slower, 62.5)], PART, 100.0)
    svg = re.search(r"<svg.*</svg>", path.read_text())
    assert svg is not None
    names = {"svg": "http://www.w3.org/2000/svg"}
    root = ET.fromstring(svg[0])
    texts = [
        (float(t.attrib["x"]), float(t.attrib["y"]), t.text or "", t.attrib["text-anchor"])
        for t in root.findall("svg:text", names)
    ]
    left = min(x for x, _, _, anchor in texts if anchor == "end")
    ticks = [(y, number(text)) for x, y, text, anchor in texts if anchor == "end" and x == left]
    panels = [ticks[at : at + 6] for at in range(0, len(ticks), 6)]
    assert [len(panel) for panel in panels] == [6, 6, 6]
    assert [panel[0][1] for panel in panels] == [0, 0, 60]
    assert panels[2][-1][1] == 100
    speeds = [
        (x, math.log10(number(text)))
        for x, _, text, anchor in texts
        if anchor == "middle" and re.fullmatch(r"[\d,]+", text)
    ]
    assert len(speeds) > 6
    dots = [
        (float(c.attrib["cx"]), float(c.attrib["cy"]), c[0].text or "")
        for c in root.findall("svg:circle", names)
    ]
    shown = 0
    for at, (panel, kind) in enumerate(zip(panels[:2], ("LUT", "BRAM36"), strict=True)):
        (y0, low), (y1, high) = panel[0], panel[-1]
        assert all(abs(at_y(panel, value) - y) < 0.5 for y, value in panel), "evenly spaced"
        for x, y, title in dots:
            said = re.match(rf"([\d,]+) images/s, ([\d,]+) {kind};", title)
            if said is None:
                continue
            shown += 1
            value = low + (y + 4 - y0) / (y1 - y0) * (high - low)
            assert value == pytest.approx(number(said[2]), abs=0.01 * high), (at, title)
            fitted = np.interp(x, *zip(*sorted(set(speeds)), strict=True))
            assert 10**fitted == pytest.approx(number(said[1]), rel=0.02) or not (
                min(speeds)[0] <= x <= max(speeds)[0]
            )
    assert shown == 4 * len(shown_plans(lfc.points))
    (y0, low), (y1, high) = panels[2][0], panels[2][-1]
    found = sorted(
        low + (y + 4 - y0) / (y1 - y0) * (high - low)
        for _, y, title in dots
        if "images/s" not in title
    )
    assert found == pytest.approx([62.5, lfc.accuracy], abs=0.1)


def test_no_plan_is_drawn_that_another_beats(lfc: Curve) -> None:
    shown = shown_plans(lfc.points)
    assert lfc.best is not None
    for one in lfc.points:
        beaten = any(
            (other.fps >= one.fps and other.lut < one.lut)
            or (other.fps > one.fps and other.lut <= one.lut)
            for other in lfc.points
            if other.fits == one.fits
        )
        slow = not one.fits and one.fps <= lfc.best.fps
        assert (one in shown) != (beaten or slow)
    for values in ([point.lut for point in shown], [point.fps for point in shown]):
        assert values == sorted(values), "the line never turns back"
    assert len(shown) < len(lfc.points), "this curve has plans that are best for block RAMs only"


def test_slow_plans_are_drawn_too(lfc: Curve) -> None:
    """A large network makes less than one image a second."""
    point = lfc.points[0]
    slow, large = (
        replace(point, fps=0.25, fits=True, lut=5.0),
        replace(point, fps=0.5, fits=False, lut=9.0),
    )
    assert shown_plans([large]) == [large]
    assert shown_plans([slow, large]) == [slow, large]
    assert shown_plans([slow, replace(large, fps=0.25)]) == [slow]


def test_labels_do_not_cover_each_other(lfc: Curve, tmp_path: Path) -> None:
    path = tmp_path / "many.html"
    shifted = [
        Curve(f"m{n}", tuple(replace(p, fps=p.fps * (1 + n / 50)) for p in lfc.points))
        for n in range(5)
    ]
    write(path, shifted, PART, 100.0)
    small = re.findall(
        r'<text x="([\d.]+)" y="([\d.]+)"[^>]*font-size="9"[^>]*>([^<]+)<', path.read_text()
    )
    assert len(small) > 5
    boxes = [(float(x), float(y), 2.6 * len(text)) for x, y, text in small]
    for at, (x, y, half) in enumerate(boxes):
        for other_x, other_y, other_half in boxes[at + 1 :]:
            assert abs(x - other_x) >= half + other_half or abs(y - other_y) >= 10


def number(text: str) -> float:
    return float(text.replace(",", ""))


def at_y(ticks: list[tuple[float, float]], value: float) -> float:
    (y0, low), (y1, high) = ticks[0], ticks[-1]
    return y0 + (value - low) / (high - low) * (y1 - y0)


def test_bad_files_are_one_line(lfc: Curve, tmp_path) -> None:
    with pytest.raises(PlanError, match=r"must end in \.html or \.png"):
        write(tmp_path / "a.pdf", [lfc], PART, 100.0)
    with pytest.raises(PlanError, match="cannot be written"):
        write(tmp_path / "nowhere" / "a.html", [lfc], PART, 100.0)
    write(tmp_path / "empty.html", [Curve("none", ())], PART, 100.0)

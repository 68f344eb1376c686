# SPDX-License-Identifier: BSD-3-Clause
"""The Pareto picture: honest points, and files that open."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

import bnn
from bnn.errors import PlanError
from bnn.hw.boards import part
from bnn.plan.pareto import Curve, card_accuracy, curve
from bnn.plan.picture import write

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
    assert len(titles) == 2 * len(lfc.points)
    for point in lfc.points:
        assert sum(title.endswith(f"slowest: {point.bottleneck}") for title in titles) >= 2
        assert f"<td>{point.cycles:,}</td>" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # needs no other file


def test_several_models_get_a_panel_for_accuracy(lfc: Curve, tmp_path) -> None:
    other = Curve("another", lfc.points[:5], 80.0)
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    write(one, [lfc], PART, 100.0)
    write(two, [lfc, other], PART, 100.0)
    with Image.open(one) as small, Image.open(two) as large:
        assert large.height > small.height
        assert len(small.convert("RGB").getcolors(1 << 20) or []) > 5


def test_bad_files_are_one_line(lfc: Curve, tmp_path) -> None:
    with pytest.raises(PlanError, match=r"must end in \.html or \.png"):
        write(tmp_path / "a.pdf", [lfc], PART, 100.0)
    with pytest.raises(PlanError, match="cannot be written"):
        write(tmp_path / "nowhere" / "a.html", [lfc], PART, 100.0)
    write(tmp_path / "empty.html", [Curve("none", ())], PART, 100.0)

# SPDX-License-Identifier: BSD-3-Clause
"""The report of a build: figures by hand, and a picture whose arrows join its boxes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bnn.hw import report, report_page
from bnn.hw.boards import board
from bnn.hw.design import build
from bnn.hw.toolchain.route import Routed
from hw.examples import DENSE_FOLDING, RESIDUAL_FOLDING, dense, residual

BOARD = board("pynq-z1")


def test_figures_of_a_small_design() -> None:
    design = build(dense(), DENSE_FOLDING)
    values = report.as_json(design, BOARD)
    slowest = max(block["cycles"] for block in values["blocks"])
    assert (values["board"], values["clock_mhz"]) == ("pynq-z1", 100)
    assert (values["cycles"], values["fps"]) == (slowest, 1e8 / slowest)
    assert values["loadable"]
    assert (values["words_in"], values["words_out"]) == (1, 1)  # 20 bits; a class
    blocks = {block["name"]: block for block in values["blocks"]}
    assert blocks[values["bottleneck"]]["busy"] == 1
    hidden = blocks["hidden"]
    # 20 columns are padded to 24: 3 columns of 8, twice 4 rows.
    assert (hidden["rows"], hidden["columns"], hidden["cycles"]) == (8, 24, 6)
    assert (hidden["pe"], hidden["simd"], hidden["synapses"]) == (4, 8, 32)
    assert (hidden["weight_bits"], hidden["positions"]) == (8 * 24, 1)
    assert (blocks["out"]["rows"], blocks["out"]["columns"]) == (8, 8)
    assert hidden["busy"] == 6 / slowest
    text = report.as_text(values)
    assert f"{slowest} cycles per image, {1e8 / slowest:.0f} images/s" in text
    assert "an image is 8 bytes, a result 8" in text
    assert "parameters: written at run time" in text
    assert re.search(r"hidden +6 +\d+% +\d+  8 x 24: PE 4, SIMD 8; bipolar x bipolar", text)


@pytest.mark.parametrize("count", [1, 2, 6, 7, 12, 13, 19])
def test_arrows_join_each_box_with_the_next(count: int) -> None:
    design = build(residual(), RESIDUAL_FOLDING)
    given: list[dict[str, Any]] = report.as_json(design, BOARD)["blocks"]
    blocks = (given * 3)[:count]
    picture = report_page._picture(blocks)
    number = r'="(-?[\d.]+)"'
    rects = [
        tuple(map(float, each))
        for each in re.findall(rf"<rect x{number} y{number} width{number} height{number}", picture)
    ]
    boxes, bars = rects[::2], rects[1::2]
    assert len(boxes) == len(set(boxes)) == count
    (size,) = re.findall(r'viewBox="0 0 (\d+) (\d+)"', picture)
    for (x, y, width, height), bar, block in zip(boxes, bars, blocks, strict=True):
        assert 0 <= x <= x + width <= int(size[0])
        assert 0 <= y <= y + height <= int(size[1])
        assert bar[:2] == (x + 6, y + height - 14)
        assert bar[2] == pytest.approx((width - 12) * block["busy"], abs=0.06)
    arrows = re.findall(r'points="([\d.]+),([\d.]+) ([\d.]+),([\d.]+)"', picture)
    assert len(arrows) == count - 1

    def at_the_edge_of(box: tuple[float, ...], x: float, y: float) -> bool:
        left, top, width, height = box
        beside = x in (left, left + width) and y == top + height // 2
        return beside or (y in (top, top + height) and x == left + width // 2)

    for place, arrow in enumerate(arrows):
        x0, y0, x1, y1 = map(float, arrow)
        assert at_the_edge_of(boxes[place], x0, y0)
        assert at_the_edge_of(boxes[place + 1], x1, y1)


@pytest.mark.parametrize("route", [False, True])
def test_a_page_begins_with_the_summary(route: bool) -> None:
    routed = Routed(123.4, (), {"SLICE_LUTX": 7}, Path("x"))
    values = report.as_json(build(dense(), DENSE_FOLDING), BOARD, None, routed if route else None)
    lines = report.as_text(values).splitlines()
    told = lines[:4] + ["routed: 123.4 MHz at most; bnn.bit"] * route
    page = report_page.as_html(values)
    assert f'<p lang="en">{"<br>".join(told)}</p>' in page
    # The same figures in Japanese.
    japanese = re.search(r'<p lang="ja">(.*?)</p>', page)
    assert japanese is not None
    assert ("配置配線：最大 123.4 MHz、bnn.bit" in japanese[1]) == route
    figures = r"\d[\d.]*"
    assert sorted(re.findall(figures, "".join(lines[:4]))) == sorted(
        re.findall(figures, "".join(japanese[1].split("<br>")[:4]).replace("1枚", ""))
    )

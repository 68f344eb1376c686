# SPDX-License-Identifier: BSD-3-Clause
"""What a conversion says that it read is what its network has."""

from __future__ import annotations

import re

import pytest

from bnn.formats.convert import convert
from bnn.network.layers import Conv2d, Layer, Linear, MaxPool, MultiThreshold, Quantize
from support.converted import CASES, IDS, Case


def figures(layer: Layer, what: str) -> tuple[list[int], list[int]]:
    """The whole numbers of a line, and those that it should have."""
    said = [int(number) for number in re.findall(r"(?<![\w.])\d+(?![\w.])", what.replace("x", " "))]
    match layer:
        case MaxPool():
            return said, list(layer.kernel)
        case Quantize() | MultiThreshold() if "levels" in what or "values" in what:
            return said, [layer.levels + 1]
        case MultiThreshold() if "thresholds" in what:
            return said, [layer.levels]
        case Conv2d() | Linear() if "weights" in what:
            assert str(layer.precision) in what
    return [], []


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_figures_of_the_report(case: Case) -> None:
    made = convert(case.path, None, case.options)
    assert made.network is not None
    layers = {layer.name: layer for layer in made.network.layers}
    told = [line for line in made.report.layers if line[0] in layers]
    assert len(told) > 1
    for name, what, arrays in made.report.layers:
        assert re.fullmatch(r"(.+ \([\d, ]*\)(, (?=\S)|$))*", arrays)
        if name in layers:
            said, wanted = figures(layers[name], what)
            assert said == wanted, (name, what)
    lines = made.report.lines()
    assert lines[0] == f"read {made.report.format}"
    report = made.report
    parts = (report.layers, report.ignored, report.lost, report.approximate)
    assert len(lines) == 1 + sum(map(len, parts)) + bool(report.rounded)

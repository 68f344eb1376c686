# SPDX-License-Identifier: BSD-3-Clause
"""The choices of a plan: foldings of a layer, bounds and curves, against their definitions."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

import bnn
from bnn.hw.design.needs import Needs
from bnn.hw.folding import LayerFolding, cycles
from bnn.plan import pareto
from bnn.plan.layers import layers
from bnn.plan.pareto import Curve, Point


def divisors(n: int) -> set[int]:
    return {d for d in range(1, n + 1) if n % d == 0}


@pytest.mark.parametrize("name", ["lfc-w1a1", "cnv-w1a1"])
def test_foldings_of_a_layer(name: str) -> None:
    """Rows are divided evenly, and columns too; the first vector is padded to 64 words' bits."""
    program = bnn.load(name).program
    made = layers(Needs.of(program), loadable=False)
    assert [each.name for each in made] == [op.name for op in program.ops if hasattr(op, "weights")]
    for number, layer in enumerate(made):
        rows, columns = layer.dot.weights.shape
        table = layer._table
        assert set(table[:, 0]) == divisors(rows)
        wide = divisors(columns)
        first = number == 0 and name != "cnv-w1a1"
        assert layer.is_first == first
        if first:
            wide |= divisors(64 * math.ceil(columns / 64))
        wide = {d for d in wide if d <= 1152}
        channels = layer.edge.shape[2]
        if not first:
            wide = {d for d in wide if math.lcm(d, channels) <= max(4608, channels)}
        assert set(table[:, 1]) == wide
        height, width, _ = program.edges[layer.name].shape
        groups = {math.ceil(height * width / p) for p in range(1, width + 1)}
        groups = {height * width} if layer.vector else groups
        assert {math.ceil(height * width / p) for p in table[:, 2]} == groups
        for pe, simd, pixels, count, _ in table[:: max(1, len(table) // 50)]:
            fold = LayerFolding(int(pe), int(simd), int(pixels))
            assert count == cycles(program, layer.dot, fold)
        assert layer.fastest == table[:, 3].min()
        assert len(table) == len({tuple(row[:3]) for row in table})


@pytest.mark.parametrize("name", ["lfc-w1a1", "cnv-w1a1"])
@pytest.mark.parametrize("bound", [1, 64, 4096])
def test_options_are_within_the_bound(name: str, bound: int) -> None:
    program = bnn.load(name).program
    for layer in layers(Needs.of(program), loadable=False)[1:4]:
        found = list(itertools.islice(layer.options(bound), 20))
        assert layer.fastest <= bound or not found
        for option in found:
            assert option.cycles <= bound
            blocks = layer.blocks(option.fold)
            assert option.cycles == max(block.cycles for block in blocks)
            assert option.cost.lut > 0
        if found:
            layer.banned.add(found[0].fold)
            left = list(itertools.islice(layer.options(bound), 20))
            assert found[0].fold not in {each.fold for each in left}


@pytest.mark.parametrize(("least", "most"), [(1, 1000), (100, 1000), (7, 7), (0, 8), (9, 8)])
def test_bounds_of_a_curve(least: int, most: int) -> None:
    """Three for each doubling of the speed, from the slowest to the fastest."""
    found = pareto._bounds(least, most)
    count = (
        0 if most < max(least, 1) else 1 + math.floor(3 * math.log2(most / max(least, 1)) + 1e-9)
    )
    assert abs(len(found) - count) <= 1
    assert found[:1] == ([most] if count else [])
    assert all(max(least, 1) <= bound <= most for bound in found)
    for slow, fast in zip(found, found[3:], strict=False):
        assert abs(fast - slow / 2) <= 1


def point(fps: float, lut: float, bram: float, fits: bool = True) -> Point:
    return Point(fps, 1, lut, bram, "l", fits)


@pytest.mark.parametrize("seed", range(10))
def test_points_that_no_other_beats(seed: int) -> None:
    random = np.random.default_rng(seed)
    points = [point(*map(float, row)) for row in random.integers(0, 5, (12, 3))]
    found = pareto._unbeaten(points)
    for one in points:
        beaten = any(
            (o.fps, -o.lut, -o.bram36) != (one.fps, -one.lut, -one.bram36)
            and o.fps >= one.fps
            and o.lut <= one.lut
            and o.bram36 <= one.bram36
            for o in points
        )
        assert (one in found) != beaten


def test_the_best_plan_is_the_fastest_that_fits() -> None:
    curve = Curve("c", (point(1, 1, 1), point(3, 1, 1), point(9, 1, 1, fits=False), point(2, 1, 1)))
    assert curve.best == point(3, 1, 1)
    assert Curve("c", (point(9, 1, 1, fits=False),)).best is None


def test_accuracies_are_those_of_the_cards() -> None:
    folder = Path(bnn.__file__).parent / "models"
    cards = sorted(folder.glob("*.md"))
    assert len(cards) > 5
    for card in cards:
        bold = re.findall(r"\*\*([0-9.]+) %\*\*", card.read_text("utf-8"))
        assert pareto.card_accuracy(card.stem) == (float(bold[0]) if bold else None)
    assert pareto.card_accuracy("no-such-model") is None

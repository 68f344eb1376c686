# SPDX-License-Identifier: BSD-3-Clause
"""Plans keep what they promise: never over the budget, never slower than asked."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnn
from bnn.errors import BuildError, PlanError
from bnn.hw import boards
from bnn.hw import folding as folds
from bnn.hw.design import build
from bnn.hw.folding import LayerFolding
from bnn.plan import cost, plan, planner
from bnn.plan.cost import Cost
from bnn.plan.fit import too_many
from bnn.plan.layers import Option
from bnn.plan.search import Budget, Search, _least_price
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Dot, Threshold
from bnn.program.precision import BIPOLAR
from bnn.program.program import Program
from hw.examples import dense, residual
from support.programs import Limits, networks

LIMITS = Limits(side=6, channels=6, ops=6, levels=4, patch=120)


@settings(max_examples=25, deadline=None)
@given(
    program=networks(LIMITS),
    luts=st.integers(2_000, 30_000),
    brams=st.sampled_from([0, 2, 10, 140]),
    loadable=st.booleans(),
    wish=st.integers(1, 5_000),
)
def test_never_over_the_budget_and_never_slower(program, luts, brams, loadable, wish) -> None:
    budget = Budget(luts, 100_000, brams, 0)
    try:
        search = Search(program, budget, loadable=loadable)
        found = search.within(wish)
        best = search.fastest()
    except BuildError:  # no hardware can be made of this program at all
        return
    if best is not None:
        assert not budget.excess(best.cost)
        again = build(program, best.design.folding)
        assert again.cycles == best.design.cycles
        assert cost.of_design(again) == best.cost
    if found is not None:
        assert found.design.cycles <= wish
        if not budget.excess(found.cost):
            assert best is not None
            assert best.design.cycles <= found.design.cycles


def test_a_plan_is_a_folding_that_build_takes(tmp_path) -> None:
    import json

    program = residual()
    found = plan(program, fps=1e5, clock_mhz=100)
    assert found.cycles <= 1000
    path = tmp_path / "folding.json"
    path.write_text(json.dumps(found.as_json()["folding"]))
    assert build(program, folds.read(path, program)).cycles == found.cycles


@pytest.mark.parametrize("name", ["cnv-w1a1", "lfc-w1a1"])
def test_bundled_models_are_planned_within_seconds(name: str) -> None:
    model = bnn.load(name)
    start = time.process_time()
    found = plan(model)
    assert time.process_time() - start < 5
    for use, have in found.used.values():
        assert use <= have
    assert found.used["LUT"][0] <= 0.85 * found.part.luts
    # What is wished for is not missed, and costs no more than the fastest.
    slower = plan(model, fps=found.fps / 3)
    assert slower.fps >= found.fps / 3
    assert slower.cost.lut < found.cost.lut


def test_fifos_that_do_not_fit_make_a_plan_slower(monkeypatch) -> None:
    """The next plan is another one: asked for a little more time, the search finds the same."""
    program = dense()
    fastest = plan(program)
    asked: list[int] = []

    def sizes(design):
        asked.append(design.cycles)
        return _sized(design)

    def costs(design):
        found = _costs(design)
        return replace(found, lut=1e6) if asked and design.cycles < 3 * fastest.cycles else found

    _sized, _costs = planner.sized, cost.of_design
    monkeypatch.setattr(planner, "sized", sizes)
    monkeypatch.setattr(planner.cost, "of_design", costs)
    slower = plan(program)
    assert slower.cycles >= 3 * fastest.cycles
    assert asked == sorted(set(asked))


def test_the_json_says_what_the_plan_says() -> None:
    made = plan(dense())
    assert made.timing is not None
    said = made.as_json()
    assert said["latency"] == made.timing.latency > 0
    assert said["cycles"] == made.cycles
    assert said["fps"] == pytest.approx(made.clock_mhz * 1e6 / made.cycles)
    assert replace(made, timing=None).as_json()["latency"] is None


def test_another_part_holds_more() -> None:
    small, large = (plan("cnv-w1a1", on=name, clock_mhz=100) for name in ("pynq-z2", "ultra96-v1"))
    assert large.cycles < small.cycles
    assert large.part.name == "xczu3eg"


def test_wishes_that_cannot_be_met() -> None:
    with pytest.raises(PlanError, match=r"too many\); the nearest plan that fits has [\d,]+ fps"):
        plan("lfc-w1a1", fps=1_000_000)
    with pytest.raises(PlanError, match=r"no folding of layer1 and.*nearest plan.* fps"):
        plan("lfc-w1a1", fps=1e9)
    with pytest.raises(PlanError, match="no part or board is called 'xc7'; there are: xc7z007s"):
        plan(dense(), on="xc7")
    with pytest.raises(PlanError, match="positive"):
        plan(dense(), fps=-1)
    with pytest.raises(PlanError, match="positive"):
        plan(dense(), fps=float("nan"))
    with pytest.raises(PlanError, match="clock"):
        plan(dense(), clock_mhz=0)
    with pytest.raises(PlanError, match="100 %"):
        plan(dense(), fill=2)
    with pytest.raises(PlanError, match=r"too small: .* LUT of 53 \([\d,]+ too many\)"):
        plan(dense(), fill=0.001)


@pytest.mark.parametrize("wish", [{}, {"fps": 100.0}])
def test_block_ram_is_named_where_luts_only_stand_in_for_it(wish: dict[str, float]) -> None:
    """2048 x 2048 weights: with LUTs in place of block RAM, FFs and LUTs would be blamed."""
    program = wide(2048)
    with pytest.raises(PlanError) as caught:
        plan(program, **wish)
    text = str(caught.value)
    assert re.search(r"take[s]? \d+ BRAM36 of 140 \(\d+ too many\); the weights of d1 alone", text)
    assert "LUT" not in text


def test_the_nearest_speed_is_that_of_the_nearest_folding() -> None:
    """Of a network that is too large for the part, and at no folding as fast as wanted."""
    with pytest.raises(PlanError, match="its fastest folding takes") as caught:
        plan(wide(2048), fps=1e9, clock_mhz=50)
    said = re.search(r"takes ([\d,]+); the nearest is ([\d,]+) fps", str(caught.value))
    assert said is not None
    cycles, fps = (int(number.replace(",", "")) for number in said.groups())
    assert fps == round(50e6 / cycles)


def wide(rows: int) -> Program:
    """Two dense layers of ``rows`` outputs and ten classes, of random signs."""
    random, ops, source, columns = np.random.default_rng(0), [], "input", 784
    for index, outputs in enumerate((rows, rows, 10)):
        weights = random.choice([-1, 1], (outputs, columns))
        ops.append(Dot(f"d{index}", source, weights, BIPOLAR))
        source, columns = f"d{index}", outputs
        if index < 2:
            zeros = np.zeros((outputs, 1), np.int64)
            ops.append(Threshold(f"t{index}", source, zeros, BIPOLAR, -1, 2))
            source = f"t{index}"
    return Program(IntegerInput((784,), BIPOLAR), tuple(ops), source)


@pytest.mark.parametrize("brams", [0, 1, 2, 4.5, 5, 7, 8, 9, 10, 11])
def test_block_rams_are_spared_where_that_costs_the_fewest_luts(brams: float) -> None:
    """Of all prices of a block RAM, the choice with the fewest LUTs that has few enough of them."""
    sizes = [(0.0, 10.0), (30.0, 8.0), (400.0, 5.0), (9_000.0, 2.0)]  # LUTs, block RAMs
    options = [Option(LayerFolding(1, 1), 1, Cost(lut=luts, bram36=brams)) for luts, brams in sizes]

    def priced(price: float) -> list[Option]:
        return [min(options, key=lambda o: (o.cost.lut + price * o.cost.bram36, o.cost.bram36))]

    (chosen,) = _least_price(priced, brams)
    fitting = [each for each in options if each.cost.bram36 <= brams] or options[-1:]
    assert chosen.cost == min(fitting, key=lambda each: each.cost.lut).cost


def test_a_design_that_no_part_of_this_size_contains_is_named() -> None:
    """Each kind of cell from both sides of its limit: the estimate, less its largest error."""
    design = plan(dense()).design
    used = cost.of_design(design)
    small = boards.find("xc7z020")[0]
    large = replace(small, luts=10**6, ffs=10**6, bram36=10**6, dsps=10**6)
    assert too_many(design, large) == ""
    for kind, name, error in (("LUT", "luts", 0.1), ("FF", "ffs", 0.1), ("BRAM36", "bram36", 0.02)):
        need = getattr(used, kind.lower()) / (1 + error)
        assert too_many(design, replace(large, **{name: need * 1.001})) == ""
        excess = too_many(design, replace(large, **{name: need * 0.999}))
        assert excess.startswith(f"about {getattr(used, kind.lower()):,.0f} {kind} of ")
        assert ("the weights of" in excess) == (kind == "BRAM36")

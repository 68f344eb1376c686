# SPDX-License-Identifier: BSD-3-Clause
"""The event model against the RTL: every cycle that the simulated accelerator reports is equal."""

from __future__ import annotations

from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bnn.errors import BuildError, PlanError
from bnn.hw import folding as folds
from bnn.hw.blocks.plumbing import Fork
from bnn.hw.design import Design, build
from bnn.hw.folding import Folding, LayerFolding
from bnn.plan import Plan, plan
from bnn.plan.events import simulate
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Concat, Dot, Multiply, Pool, Rescale, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, UINT
from bnn.program.program import Program
from bnn.run import prepare
from hw.examples import DENSE_FOLDING, RESIDUAL_FOLDING, dense, residual, signs
from hw.foldings import foldings, thirty_plans
from hw.test_systems import SYSTEMS
from support.programs import HARDWARE, Limits, batches, networks

LIMITS = Limits(side=6, channels=8, ops=6, levels=4, patch=120)


def assert_equal_to_rtl(design: Design, images: int = 5, latency: int = 20) -> None:
    """First result, pace, stalls and fills of FIFOs, as the hardware's own counters say them."""
    program = design.program
    watched = replace(design.folding, probes="all")  # the same circuit, with its counters
    runtime = prepare("sim", program, folding=watched, latency=latency, quick=True)
    inputs = batches(program, images, seed=1)
    outputs = runtime.run(inputs)
    expected = prepare("reference", program).run(inputs)
    np.testing.assert_array_equal(outputs.scores, expected.scores)
    (start,) = outputs.details["starts"]
    timing = simulate(design, images, latency=latency)
    assert timing.latency == start["latency"]
    assert timing.mean_interval == start["interval"]
    fills = {name: start["streams"][name]["fill"] for name in timing.fills}
    assert timing.fills == fills
    counted = start["streams"]
    assert timing.stalls == {name: counts["stalls"] for name, counts in counted.items()}
    for counts in counted.values():  # a cycle is one of these three, or neither end is there
        assert counts["words"] + counts["stalls"] <= start["cycles"] + 2


def kernels() -> Program:
    """A convolution whose window gives whole kernels, of two positions at once."""
    random = np.random.default_rng(3)
    return Program(
        IntegerInput((7, 8, 4), BIPOLAR),
        (
            Window("w0", "input", (3, 3)),
            Dot("d0", "w0", signs(random, 6, 36), BIPOLAR),
            Threshold("t0", "d0", random.integers(-4, 4, (6, 1)), BIPOLAR, -1, 2),
            Window("w1", "t0", (5, 6)),
            Dot("d1", "w1", signs(random, 3, 180), BIPOLAR),
        ),
        "d1",
    )


#: Fields of three places by three, two channels each.
KERNELS_FOLDING = Folding({"d0": LayerFolding(3, 18, 2), "d1": LayerFolding(1, 12)})


def joins() -> Program:
    """Maps that are joined, multiplied and rescaled; a path of them begins with a convolution."""
    random = np.random.default_rng(6)
    gates = np.sort(random.integers(-9, 9, (6, 3)), axis=1)
    return Program(
        IntegerInput((6, 5, 4), INT(4)),
        (
            Window("w0", "input", (3, 3), (1, 1), (1, 1, 1, 1)),
            Dot("d0", "w0", signs(random, 6, 36), BIPOLAR),
            Rescale(
                "r0", "d0", random.integers(1, 90, 6), 8, INT(4), -8, 7, random.integers(0, 99, 6)
            ),
            Concat("c0", "input", "r0", INT(4)),
            Rescale("r1", "d0", np.ones(6), 2, INT(6), -32, 31, None, "zero", "wrap"),
            Threshold("t0", "d0", gates, UINT(2)),
            Multiply("m0", "t0", "r1", 9),
            Rescale("r2", "m0", np.full(6, 3), 4, INT(3), -4, 3),
            Concat("c1", "c0", "r2", INT(4)),
            Pool("p0", "c1", (2, 1), (2, 1)),
            Window("w1", "p0", (3, 5)),
            Dot("d1", "w1", signs(random, 5, 240), BIPOLAR),
        ),
        "d1",
    )


JOINS_FOLDING = Folding({"d0": LayerFolding(3, 12), "d1": LayerFolding(1, 16)})


def test_the_kernels_come_whole() -> None:
    modules = {each.block.module for each in build(kernels(), KERNELS_FOLDING).instances}
    assert "bnn_patches" in modules


@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("latency", [0, 20])
@pytest.mark.parametrize(
    ("program", "folding"),
    [
        (dense(), DENSE_FOLDING),
        (residual(), RESIDUAL_FOLDING),
        (kernels(), KERNELS_FOLDING),
        (joins(), JOINS_FOLDING),
        (joins(), Folding({"d0": LayerFolding(6, 36), "d1": LayerFolding(5, 80)}, loadable=True)),
        *((make(), folding) for make, folding in SYSTEMS.values()),  # every latency of a matrix
    ],
    ids=["dense", "residual", "kernels", "joins", "joins-fast", *SYSTEMS],
)
def test_every_cycle_is_that_of_the_rtl(program: Program, folding: Folding, latency: int) -> None:
    assert_equal_to_rtl(build(program, folding), latency=latency)


@pytest.mark.usefixtures("simulator")
def test_a_planned_residual_network_keeps_its_pace_with_short_fifos() -> None:
    program = residual()
    found = plan(program, fps=1e8 / 150)
    assert found.cycles == found.design.cycles <= 150
    whole = build(program, Folding(found.folding.layers))
    forks = [each for each in whole.instances if isinstance(each.block, Fork)]
    behind = {f"{stream}_fifo" for fork in forks for stream in fork.outputs}
    branches = [each for each in whole.instances if each.name in behind]
    assert branches
    assert all(found.folding.fifos[each.name] < each.block.depth for each in branches)
    assert_equal_to_rtl(found.design)
    runtime = prepare("sim", program, folding=found.folding, stall=40)
    inputs = batches(program, 9, seed=1)
    expected = prepare("reference", program).run(inputs)
    np.testing.assert_array_equal(runtime.run(inputs).scores, expected.scores)


@pytest.mark.usefixtures("simulator")
def test_a_planned_network_of_joins_keeps_its_pace_with_short_fifos() -> None:
    program = joins()
    found = plan(program, fps=1e8 / 1500)
    assert found.cycles <= 1500
    assert found.cost.dsp > 0
    whole = build(program, Folding(found.folding.layers))
    branches = [each for each in whole.instances if each.name in found.folding.fifos]
    assert any(found.folding.fifos[each.name] < each.block.depth for each in branches)
    assert_equal_to_rtl(found.design)


def test_joined_networks_have_no_deadlock() -> None:
    """Whatever the order in which a join reads its branches: each FIFO holds a whole image."""
    tried = 0

    @hypothesis.seed(8)
    @settings(
        max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        nonlocal tried
        program = data.draw(networks(HARDWARE))
        chosen = data.draw(foldings(program))
        try:
            design = build(program, chosen)
        except BuildError as reason:
            if "decision" not in str(reason):
                raise
            return
        simulate(design, 3)
        tried += any(each.block.module in JOINED for each in design.instances)

    run()
    assert tried > 50


JOINED = ("bnn_concat", "bnn_multiply", "bnn_add")


def test_a_fifo_too_short_for_its_branch_is_a_deadlock_that_is_named() -> None:
    folding = Folding(RESIDUAL_FOLDING.layers, fifos={"t0_copy1_fifo": 1})
    with pytest.raises(PlanError, match=r"deadlock: words wait on .*t0_copy1"):
        simulate(build(residual(), folding))


def test_fifos_of_a_folding_are_read_and_refused(tmp_path) -> None:
    import json

    program = residual()
    folding = Folding(RESIDUAL_FOLDING.layers, fifos={"d1": 7, "t0_copy1_fifo": 90})
    path = tmp_path / "folding.json"
    path.write_text(json.dumps(folds.as_json(folding)))
    assert folds.read(path, program) == folding
    design = build(program, folding)
    assert design.instance("d1_buffer").block.depth == 7
    assert design.instance("t0_copy1_fifo").block.depth == 90
    with pytest.raises(BuildError, match=r"fifos\.d9, but the design has no block 'd9'"):
        build(program, Folding(RESIDUAL_FOLDING.layers, fifos={"d9": 7}))
    path.write_text(json.dumps({"fifos": {"d1": 0}}))
    with pytest.raises(BuildError, match=r"fifos\.d1 must be a whole number from 1"):
        folds.read(path, program)


@pytest.mark.hw
@pytest.mark.usefixtures("simulator")
def test_thirty_random_plans_run_as_planned() -> None:
    """Cycles equal, and with random stalls of the memory no deadlock and equal scores."""
    thirty_plans(LIMITS, st.integers(3_000, 50_000), _runs_as_planned)


@pytest.mark.hw
@pytest.mark.usefixtures("simulator")
def test_thirty_random_plans_with_joins_run_as_planned() -> None:
    thirty_plans(HARDWARE, st.integers(3_000, 50_000), _runs_as_planned)


def _runs_as_planned(found: Plan) -> None:
    program, folding = found.design.program, found.folding
    assert found.timing is not None
    assert_equal_to_rtl(found.design)
    inputs = batches(program, 9, seed=1)
    expected = prepare("reference", program).run(inputs)
    outputs = prepare("sim", program, folding=folding, stall=40, quick=True).run(inputs)
    np.testing.assert_array_equal(outputs.scores, expected.scores)

# SPDX-License-Identifier: BSD-3-Clause
"""Whole accelerators of the kinds that no small example is: a few builds, and random programs.

Between them they have ternary weights against ternary and 4-bit inputs, images and results longer
than a burst, batches across lines of 4 KiB, windows without padding, kernels that come whole, a
slow last layer that holds everything before it up, XNORs of any number of columns, and decisions.
"""

from __future__ import annotations

from collections import Counter

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bnn.errors import BuildError
from bnn.hw.design import build
from bnn.hw.folding import Folding, LayerFolding
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Dot, Pool, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT
from bnn.program.program import Program
from bnn.run import prepare
from hw.examples import signs
from hw.foldings import foldings
from support.programs import HARDWARE, Limits, batches, networks, numbers, residuals

pytestmark = pytest.mark.usefixtures("simulator")


def _thresholds(random: np.random.Generator, channels: int, levels: int, reach: int) -> np.ndarray:
    return np.sort(random.integers(-reach, reach + 1, (channels, levels)), axis=1)


def ternaries() -> Program:
    """Images of 24 words, results of 18: ternary weights against 4 bits, then against ternaries."""
    random = np.random.default_rng(1)
    return Program(
        IntegerInput((8, 8, 6), INT(4)),
        (
            Window("w0", "input", (3, 3)),
            Dot("d0", "w0", numbers(random, TERNARY, (10, 54)), TERNARY),
            Threshold("t0", "d0", _thresholds(random, 10, 2, 20), TERNARY, -1, 1),
            Window("w1", "t0", (2, 2), (2, 2)),
            Dot("d1", "w1", numbers(random, TERNARY, (14, 40)), TERNARY, np.arange(14) - 7),
            Threshold("t1", "d1", _thresholds(random, 14, 2, 5), TERNARY, -1, 1),
            Window("w2", "t1", (3, 3)),
            Dot("d2", "w2", numbers(random, TERNARY, (70, 126)), TERNARY, accumulator_bits=12),
        ),
        "d2",
    )


#: The last layer takes 70 * 63 cycles, the others a few hundred: all that is before it waits.
TERNARIES = Folding(
    {"d0": LayerFolding(5, 18, 2), "d1": LayerFolding(7, 20), "d2": LayerFolding(1, 2)}
)


def bits() -> Program:
    """Bipolar throughout, 7, 10 and 21 columns at a time: triples and ninths that are not full."""
    random = np.random.default_rng(2)
    return Program(
        IntegerInput((9, 7, 7), BIPOLAR),
        (
            Window("w0", "input", (2, 3), (1, 1), (1, 1, 0, 1), 1),
            Dot("d0", "w0", signs(random, 10, 42), BIPOLAR),
            Threshold("t0", "d0", _thresholds(random, 10, 1, 6), BIPOLAR, -1, 2, signs(random, 10)),
            Pool("p0", "t0", (3, 2), (2, 2)),
            Window("w1", "p0", (2, 2)),
            Dot("d1", "w1", signs(random, 6, 40), BIPOLAR),
            Threshold("t1", "d1", _thresholds(random, 6, 3, 9), UINT(2)),
            Window("w2", "t1", (3, 2)),
            Dot("d2", "w2", signs(random, 9, 36), BIPOLAR, accumulator_bits=9),
        ),
        "d2",
    )


#: The second and the first window give whole kernels.
BITS = Folding(
    {"d0": LayerFolding(5, 42, 3), "d1": LayerFolding(3, 20), "d2": LayerFolding(3, 18)}, True
)


def deep() -> Program:
    """160 columns at once, bipolar and of two bits: counts in two more steps."""
    random = np.random.default_rng(3)
    return Program(
        IntegerInput((160,), BIPOLAR),
        (
            Dot("d0", "input", signs(random, 160, 160), BIPOLAR),
            Threshold("t0", "d0", _thresholds(random, 160, 3, 14), UINT(2)),
            Dot("d1", "t0", numbers(random, INT(2), (8, 160)), INT(2)),
            Threshold("t1", "d1", _thresholds(random, 8, 1, 20) - 120, BIPOLAR, -1, 2),
            Dot("d2", "t1", numbers(random, UINT(3), (5, 8)), UINT(3), accumulator_bits=9),
        ),
        "d2",
    )


DEEP = Folding({"d0": LayerFolding(2, 160), "d1": LayerFolding(1, 160), "d2": LayerFolding(5, 8)})

SYSTEMS = {"ternaries": (ternaries, TERNARIES), "bits": (bits, BITS), "deep": (deep, DEEP)}


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_equal_the_reference(name: str) -> None:
    make, folding = SYSTEMS[name]
    program = make()
    inputs = batches(program, 25, seed=1)
    expected = prepare("reference", program).run(inputs)
    assert len(np.unique(expected.scores)) > 20
    for stall, latency in [(0, 0), (50, 20), (85, 3)]:
        runtime = prepare("sim", program, folding=folding, stall=stall, latency=latency, quick=True)
        for size in (25, 1, 7):
            outputs = runtime.run(inputs[:size])
            np.testing.assert_array_equal(outputs.scores, expected.scores[:size])


def test_the_systems_have_what_they_are_for() -> None:
    made = {name: build(make(), folding) for name, (make, folding) in SYSTEMS.items()}
    modules = {each.block.module for design in made.values() for each in design.instances}
    assert {
        "bnn_patches",
        "bnn_window",
        "bnn_max",
        "bnn_serialize",
        "bnn_trim",
        "bnn_pad",
    } <= modules
    assert made["ternaries"].source.memory_words == 24
    assert made["ternaries"].target.memory_words == 18
    assert made["ternaries"].bottleneck.name == "d2"
    lanes = {
        each.block.lanes
        for design in made.values()
        for each in design.instances
        if each.unit is not None
    }
    assert {36, 20, 42, 160} & lanes


#: Channels on both sides of what a counter takes, and few precisions, so that ternaries meet.
WIDE = Limits(
    side=5,
    channels=20,
    ops=3,
    levels=3,
    patch=240,
    weights=(BIPOLAR, TERNARY, INT(3)),
    activations=(BIPOLAR, TERNARY, UINT(2), INT(4)),
)
ANY = Limits(side=6, channels=6, ops=6, levels=4, patch=120)
SHORTCUTS = Limits(side=5, channels=4, levels=3)

_SETTINGS = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize(
    ("programs", "count"),
    [
        *((networks(WIDE), 8), (networks(ANY), 6), (residuals(SHORTCUTS), 4)),
        (networks(HARDWARE), 6),
    ],
    ids=["wide", "any", "residual", "joins"],
)
def test_some_random_programs(programs: st.SearchStrategy[Program], count: int) -> None:
    """A few of what ``test_random.py`` does many of."""
    seen: Counter[str] = Counter()

    @hypothesis.seed(5)
    @settings(_SETTINGS, max_examples=4 * count)
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        program = data.draw(programs)
        chosen = data.draw(foldings(program))
        if seen["built"] == count:
            return
        try:
            design = build(program, chosen)
        except BuildError:
            return
        if len(design.instances) < 6:  # too little for a build
            return
        seen["built"] += 1
        inputs = batches(program, 9, seed=1)
        expected = prepare("reference", program).run(inputs)
        for stall in (0, 60):
            outputs = prepare("sim", program, folding=chosen, stall=stall, quick=True).run(inputs)
            np.testing.assert_array_equal(outputs.scores, expected.scores)
            if expected.decisions is not None:
                np.testing.assert_array_equal(outputs.decisions, expected.decisions)

    run()
    assert seen["built"] == count

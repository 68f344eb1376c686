# SPDX-License-Identifier: BSD-3-Clause
"""Random programs in random foldings, each built and simulated: equal to the reference."""

from __future__ import annotations

from collections import Counter

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from bnn.errors import BuildError
from bnn.hw import folding as folds
from bnn.hw.design import Design, build
from bnn.hw.folding import Folding
from bnn.program.operations import Concat, Multiply, Rescale
from bnn.program.program import Program
from bnn.run import prepare
from hw.foldings import foldings
from support.programs import HARDWARE, Limits, batches, networks, residuals

pytestmark = pytest.mark.hw

LIMITS = Limits(side=6, channels=6, ops=6, levels=4, patch=120)
RESIDUAL = Limits(side=5, channels=4, levels=3)

#: Of each test.
EXAMPLES = 20

_SETTINGS = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


#: Seeds of the programs, how many are built, and how many must have what. Several tests, so that
#: several cores share them.
ANY = (networks(LIMITS), {"bnn_window": 4, "bnn_max": 3, "loadable": 2, "stalls": 4})
SHORTCUTS = (residuals(RESIDUAL), {"bnn_fork": 20, "bnn_add": 20, "pixels": 6, "stalls": 4})

JOINS = (
    networks(HARDWARE).filter(
        lambda program: any(isinstance(op, Multiply | Concat | Rescale) for op in program.ops)
    ),
    {"bnn_multiply": 3, "bnn_concat": 3, "bnn_rescale": 3, "stalls": 4},
)


@pytest.mark.parametrize(
    ("seed", "kind"),
    [(1, ANY), (2, ANY), (3, ANY), (4, SHORTCUTS), (5, JOINS), (6, JOINS)],
    ids=["any-1", "any-2", "any-3", "residual", "joins-1", "joins-2"],
)
def test_random_programs_equal_the_reference(
    seed: int, kind: tuple[st.SearchStrategy[Program], dict[str, int]]
) -> None:
    programs, least = kind
    seen: Counter[str] = Counter()

    @hypothesis.seed(seed)
    @settings(_SETTINGS, max_examples=2 * EXAMPLES)
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        program = data.draw(programs)
        chosen = data.draw(foldings(program))
        stall = data.draw(st.sampled_from([0, 40]))
        if seen["built"] == EXAMPLES:
            return
        try:
            seen.update({"built", *_features(build(program, chosen)), *["stalls"] * (stall > 0)})
        except BuildError as reason:
            if "decision" not in str(reason):
                raise
            return
        _equal(program, chosen, stall)

    run()
    assert seen["built"] == EXAMPLES
    short = {what: seen[what] for what, count in least.items() if seen[what] < count}
    assert not short, f"too few programs have these: {short}"


def _features(design: Design) -> set[str]:
    """What a design has, for the count of what was tried."""
    found = {instance.block.module for instance in design.instances}
    if design.folding.loadable:
        found.add("loadable")
    if any(layer.pixels > 1 for layer in design.folding.layers.values()):
        found.add("pixels")
    return found


def _equal(program: Program, chosen: Folding, stall: int) -> None:
    note(f"{folds.as_json(chosen)}")
    for op in program.ops:
        note(f"{type(op).__name__} {op.name} {program.edges[op.name]}")
    inputs = batches(program, 9, seed=1)
    outputs = prepare("sim", program, folding=chosen, stall=stall, quick=True).run(inputs)
    expected = prepare("reference", program).run(inputs)
    np.testing.assert_array_equal(outputs.scores, expected.scores)
    if expected.decisions is not None:
        np.testing.assert_array_equal(outputs.decisions, expected.decisions)

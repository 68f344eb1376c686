# SPDX-License-Identifier: BSD-3-Clause
"""Random programs in random foldings, each built and simulated: equal to the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from bnn.errors import BuildError
from bnn.hw import folding as folds
from bnn.run import prepare
from hw.foldings import foldings
from programs import Limits, batches, networks

pytestmark = pytest.mark.hw

LIMITS = Limits(side=6, channels=6, ops=6, levels=4, patch=120)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_random_programs_equal_the_reference(data: st.DataObject) -> None:
    program = data.draw(networks(LIMITS))
    chosen = data.draw(foldings(program))
    stall = data.draw(st.sampled_from([0, 40]))
    inputs = batches(program, 9, seed=1)
    note(f"{folds.as_json(chosen)}")
    for op in program.ops:
        note(f"{type(op).__name__} {op.name} {program.edges[op.name]}")
    try:
        runtime = prepare("sim", program, folding=chosen, stall=stall)
    except BuildError as reason:
        if "decision" not in str(reason):
            raise
        return
    outputs = runtime.run(inputs)
    expected = prepare("reference", program).run(inputs)
    np.testing.assert_array_equal(outputs.scores, expected.scores)
    if expected.decisions is not None:
        np.testing.assert_array_equal(outputs.decisions, expected.decisions)

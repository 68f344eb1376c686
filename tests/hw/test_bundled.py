# SPDX-License-Identifier: BSD-3-Clause
"""Every bundled model on the simulated accelerator: the reference's scores and classes."""

from __future__ import annotations

import numpy as np
import pytest

import bnn

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("simulator")]


@pytest.mark.parametrize("name", bnn.bundled())
def test_bundled_model(name: str) -> None:
    model = bnn.load(name)
    pictures = np.random.default_rng(2).integers(
        0, 256, (6, *model.program.input.shape), dtype=np.uint8
    )
    inputs = model.program.input.check(pictures)
    outputs, expected = (
        bnn.run.prepare(runtime, model.program).run(inputs) for runtime in ("sim", "reference")
    )
    np.testing.assert_array_equal(outputs.scores, expected.scores)
    np.testing.assert_array_equal(outputs.decisions, expected.decisions)
    assert len(np.unique(expected.scores)) > 10, "inputs that show nothing"

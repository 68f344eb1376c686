# SPDX-License-Identifier: BSD-3-Clause
"""The inputs with which written C is tested: every value that an input may have can occur."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bnn.formats.c.write import TESTED, _sample
from bnn.program.inputs import IntegerInput
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT


@pytest.mark.parametrize(
    ("precision", "values"),
    [
        (BIPOLAR, {-1, 1}),
        (TERNARY, {-1, 0, 1}),
        (UINT(1), {0, 1}),
        (INT(3), set(range(-4, 4))),
        (INT(3, narrow=True), set(range(-3, 4))),
    ],
)
def test_all_values_occur(precision: Any, values: set[int]) -> None:
    program: Any = SimpleNamespace(input=IntegerInput((4, 5, 3), precision))
    made = _sample(program)
    assert made.shape == (TESTED, 4, 5, 3)
    assert set(made.ravel().tolist()) == values
    assert precision.allows(made)
    np.testing.assert_array_equal(made, _sample(program))

# SPDX-License-Identifier: BSD-3-Clause
"""Which layers are trained by tables: those whose largest sum has 16 bits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training is not installed (extra `train`)")

from bnn.program.precision import BIPOLAR, INT, TERNARY, Precision  # noqa: E402
from bnn.train.lut import _suits  # noqa: E402


@pytest.mark.parametrize(
    ("precision", "heaviest"),
    [(BIPOLAR, 1), (TERNARY, 1), (INT(3), 4), (INT(3, narrow=True), 3)],
)
@pytest.mark.parametrize("most", [1, 3])
def test_the_largest_sum(precision: Precision, heaviest: int, most: int) -> None:
    largest = (2**15 - 1) // (most * heaviest)
    for count, fits in ((1, True), (largest, True), (largest + 1, False)):
        weighted: Any = SimpleNamespace(
            bias=None, precision=precision, weight=torch.zeros(2, count), padding=()
        )
        assert _suits(weighted, most) == fits
        weighted.bias = torch.zeros(2)
        assert not _suits(weighted, most)

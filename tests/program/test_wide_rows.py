# SPDX-License-Identifier: BSD-3-Clause
"""Bounds of sums whose rows are longer than what is computed at a time."""

from __future__ import annotations

import numpy as np
import pytest

from bnn.program import check
from bnn.program.check import dot_bounds


@pytest.mark.parametrize("piece", [1, 7, 8, 9, 16, 17, 100])
def test_rows_longer_than_a_piece(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_PIECE", piece)
    weights = np.random.default_rng(piece).integers(-3, 4, (5, 8)).astype(np.int16)
    bias = np.array([-4, 0, 3, -1, 7], np.int32)
    low, high = -2, 5
    ends = np.stack([weights * low, weights * high])
    least, most = np.minimum(ends.min(0), 0).sum(1), np.maximum(ends.max(0), 0).sum(1)
    found = dot_bounds(weights, bias, low, high)
    np.testing.assert_array_equal(found[0], least + np.minimum(bias, 0))
    np.testing.assert_array_equal(found[1], most + np.maximum(bias, 0))
    plain = dot_bounds(weights, None, low, high)
    np.testing.assert_array_equal(plain, (least, most))

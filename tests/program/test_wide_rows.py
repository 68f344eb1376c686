# SPDX-License-Identifier: BSD-3-Clause
"""Bounds of sums whose rows are longer than what is computed at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bnn.program import check
from bnn.program.check import dot_bounds
from bnn.program.operations import Dot
from bnn.program.precision import INT


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


@pytest.mark.parametrize("rounding", ["even", "floor", "zero", "up"])
@pytest.mark.parametrize("bias", [None, [-4, 0, 3, -1, 7]])
def test_bounds_of_rounded_products(rounding: Any, bias: Any) -> None:
    """Of every input between the ends, each product rounded; a partial sum may leave any out."""
    weights = np.random.default_rng(5).integers(-7, 8, (5, 6)).astype(np.int16)
    low, high = -9, 13
    given = None if bias is None else np.array(bias, np.int32)
    op = Dot("d", "x", weights, INT(4), given, product_shift=2, product_rounding=rounding)
    products = np.array([_products(weights, x, rounding) for x in range(low, high + 1)])
    offset = np.zeros(5, np.int64) if bias is None else np.array(bias)
    least = np.minimum(products.min(0), 0).sum(1) + np.minimum(offset, 0)
    most = np.maximum(products.max(0), 0).sum(1) + np.maximum(offset, 0)
    found = check._rounded_bounds(op, low, high)
    np.testing.assert_array_equal(found, (least, most))


def _products(weights: Any, x: int, rounding: str) -> Any:
    exact = weights.astype(np.float64) * x / 4
    made = {
        "even": np.rint,
        "floor": np.floor,
        "up": lambda v: np.floor(v + 0.5),
        "zero": lambda v: np.sign(v) * np.ceil(np.abs(v) - 0.5),
    }
    return made[rounding](exact).astype(np.int64)

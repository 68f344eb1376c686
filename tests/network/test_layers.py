# SPDX-License-Identifier: BSD-3-Clause
"""What a layer refuses when it is made, and the nearest that it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bnn.errors import NetworkError
from bnn.network.layers import (
    Add,
    BatchNorm,
    Clip,
    FixedPoint,
    Lattice,
    Linear,
    MultiThreshold,
    Quantize,
    RealDense,
    Sign,
)
from bnn.program.precision import BIPOLAR, INT, UINT

ONE = np.ones(2, np.int64)
SIGNS = np.ones((2, 3), np.int16)


def norm(order: Any) -> BatchNorm:
    return BatchNorm("n", *np.ones((4, 2), np.float32), order)


def fixed(low: int, high: int, shift: int = 1, scale: float = 1.0) -> FixedPoint:
    return FixedPoint("f", ONE, ONE, shift, low, high, scale)


def linear(weights: Any = SIGNS, scale: Any = 1.0, bias: Any = None) -> Linear:
    return Linear("l", weights, BIPOLAR, np.asarray(scale, np.float32), bias)


def steps(step: Any = 1, base: Any = 0, table: Any = ((0.0, 1.0),)) -> MultiThreshold:
    return MultiThreshold("m", np.asarray(table), 1.0, step, base)


#: What is made, what is refused, and a part of the reason.
CASES: list[tuple[Callable[[], Any], Callable[[], Any], str]] = [
    (
        lambda: norm("folded"),
        lambda: norm("other"),
        "scaled or folded, not 'other'",
    ),
    (lambda: Clip("c", 1, 1), lambda: Clip("c", 1, 0.5), r"cannot clip to 1 \.\. 0.5"),
    (lambda: Clip("c"), lambda: Clip("c", np.nan), "cannot clip"),
    (
        lambda: Sign("s", at_zero=-1),
        lambda: Sign("s", at_zero=2),
        "at_zero must be 1, 0 or -1, not 2",
    ),
    (lambda: Sign("s", 1e-30), lambda: Sign("s", 0.0), "scale must be positive: 0.0"),
    (lambda: Sign("s", 1e30), lambda: Sign("s", np.inf), "scale must be positive: inf"),
    (
        lambda: Quantize("q", UINT(16)),
        lambda: Quantize("q", UINT(17)),
        "it has uint17",
    ),
    (
        lambda: Quantize("q", INT(1)),
        lambda: Quantize("q", BIPOLAR),
        "it has bipolar",
    ),
    (
        lambda: Quantize("q", UINT(2), rounding="ceil"),
        lambda: Quantize("q", UINT(2), rounding="other"),  # type: ignore[arg-type]
        "rounding must be one of even, half-up, floor, ceil, zero, not 'other'",
    ),
    (
        lambda: Quantize("q", UINT(2), zero_point=3),
        lambda: Quantize("q", UINT(2), zero_point=0.5),  # type: ignore[arg-type]
        "zero point must be whole: 0.5",
    ),
    (lambda: steps(1), lambda: steps(0), "step positive"),
    (lambda: steps(base=-3), lambda: steps(base=0.5), "must be whole"),
    (lambda: steps(table=[[0.0]]), lambda: steps(table=[0.0]), r"must be \(channels, 1 to"),
    (lambda: steps(table=[[np.inf]]), lambda: steps(table=[[np.nan]]), "1 to 65535 levels"),
    (lambda: steps(table=[[0.0]]), lambda: steps(table=np.zeros((1, 0))), "1 to 65535 levels"),
    (
        lambda: Add("a", "b", factors=(1.0, -1.0)),
        lambda: Add("a", "b", factors=(1.0, 0.0)),
        "must be finite and not zero",
    ),
    (
        lambda: Add("a", "b", factors=(1.0, 1e30)),
        lambda: Add("a", "b", factors=(np.inf, 1.0)),
        "must be finite and not zero",
    ),
    (
        lambda: fixed(-(1 << 31), 0),
        lambda: fixed(-(1 << 31) - 1, 0),
        "low <= high in 32 bits",
    ),
    (lambda: fixed(0, (1 << 31) - 1), lambda: fixed(0, 1 << 31), "low <= high in 32 bits"),
    (lambda: fixed(1, 1), lambda: fixed(1, 0), "low <= high in 32 bits"),
    (lambda: fixed(0, 1, 0), lambda: fixed(0, 1, -1), "low <= high in 32 bits"),
    (lambda: fixed(0, 1, 62), lambda: fixed(0, 1, 63), "low <= high in 32 bits"),
    (lambda: fixed(0, 1), lambda: fixed(0, 1, scale=-1.0), "scale must be positive"),
    (
        lambda: RealDense("r", np.ones((2, 3)), np.ones(2)),
        lambda: RealDense("r", np.ones((2, 3)), np.ones(3)),
        "bias is for 3 units",
    ),
    (
        lambda: RealDense("r", [[1.5]]),
        lambda: RealDense("r", [[np.inf]]),
        "weights must be .* of finite numbers",
    ),
    (
        lambda: RealDense("r", [[1.5]]),
        lambda: RealDense("r", np.ones(3)),
        "weights must be .* of finite numbers",
    ),
    (lambda: RealDense("r", [[1]]), lambda: RealDense("r", [["1"]]), "must be real numbers, not"),
    (
        linear,
        lambda: linear(SIGNS[0]),
        "array of 2 dimensions of small integers",
    ),
    (
        linear,
        lambda: linear(SIGNS * 1.5),
        "array of 2 dimensions of small integers",
    ),
    (
        linear,
        lambda: linear(SIGNS[:0]),
        "array of 2 dimensions of small integers",
    ),
    (linear, lambda: linear(SIGNS * 2), "weights are outside"),
    (
        lambda: linear(scale=[1, 2]),
        lambda: linear(scale=[1, 2, 3]),
        "has 3 values, but .* 2 rows",
    ),
    (
        lambda: linear(bias=np.ones(2, np.float32)),
        lambda: linear(bias=np.ones(1, np.float32)),
        "bias has 1 values, but the weights have 2 rows",
    ),
    (lambda: Lattice.of(1, 0.001), lambda: Lattice.of(1, 1 / 1500), "is not a simple fraction"),
    (lambda: Lattice.of(1e-9, 0), lambda: Lattice.of(0, 0), "the scale positive"),
    (
        lambda: Lattice.of(1, 1e6),
        lambda: Lattice.of(1, np.inf),
        "the scale positive",
    ),
    (lambda: Lattice(reals=(0, 0, 1)), lambda: Lattice(reals=(0, 1, 0)), "finite and rise"),
]


@pytest.mark.parametrize(("taken", "refused", "reason"), CASES)
def test_both_sides(taken: Callable[[], Any], refused: Callable[[], Any], reason: str) -> None:
    assert taken() is not None
    with pytest.raises(NetworkError, match=reason):
        refused()


@pytest.mark.parametrize(
    ("scale", "offset", "step", "base"),
    [
        (0.5, 0.25, 2, 1),
        (1.0, -3.0, 1, -3),
        (0.25, 0.0, 1, 0),
        (3.0, 1.0, 3, 1),
        (1, 1 / 1024, 1024, 1),
    ],
)
def test_a_lattice_has_the_values_of_its_scale_and_offset(
    scale: float, offset: float, step: int, base: int
) -> None:
    made = Lattice.of(scale, offset)
    assert (made.step, made.base) == (step, base)
    q = np.arange(-3, 9)
    np.testing.assert_allclose(made.real(q, 0, np.float64), scale * q + offset, rtol=1e-12)

# SPDX-License-Identifier: BSD-3-Clause
"""Tensors of a walk through an ONNX graph: what they may be, and what is computed for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bnn.errors import FormatError
from bnn.formats.qonnx.tensor import (
    FIRST,
    LAST,
    ROW_FIRST,
    VECTOR,
    Curve,
    RawInput,
    Tensor,
    done,
    ordered,
    per_channel,
    transposed,
)

NODE: Any = "node 'n' (Add)"
STEPS = ("Add", "Sub", "Mul", "Div")


def tensor(low: float = -1.0, high: float = 1.0, **given: Any) -> Tensor:
    return Tensor("l", (1, 3, 2, 2), FIRST, low, high, **given)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        *((1, 0), (np.nan, 1), (0, np.nan), (-np.inf, 0)),
        *((0, np.inf), (np.inf, np.inf), (-np.inf, np.inf)),
    ],
)
def test_bounds_that_are_none(low: float, high: float) -> None:
    tensor(0, 0)
    tensor(-3e38, 3e38)
    with pytest.raises(ValueError, match="values from"):
        tensor(low, high)


def step(kind: str, value: float, first: bool = False) -> Any:
    return kind, np.full(1, value, np.float32), first


@pytest.mark.parametrize("gain", [1e-29, 1.0, 1e29, 1e-31, 1e31, 0.0, -1.0])
def test_factors_that_can_be_moved_on(gain: float) -> None:
    if 1e-30 < gain < 1e30:
        assert tensor(steps=(step("Mul", gain),)).gain == pytest.approx(gain)
        return
    with pytest.raises(ValueError, match="cannot be moved to the next layer"):
        tensor(steps=(step("Mul", gain),))


def test_steps_together_are_a_factor_and_an_offset() -> None:
    """(x * 4 - 3) / 2 + 0.25, and where the constant comes first."""
    made = tensor(steps=(step("Mul", 4), step("Sub", 3), step("Div", 2), step("Add", 0.25)))
    assert (made.gain, made.shift) == (2.0, -1.25)
    x = np.float32([[-1.5, 0.0, 7.0]])
    found = x
    for each in made.steps:
        found = done(each, found)
    np.testing.assert_array_equal(found, 2 * x - 1.25)


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("first", [False, True])
def test_one_operation_with_a_constant(kind: str, first: bool) -> None:
    x, c = np.float32([[3, -5]]), np.float32([2.0])
    one, two = (c, x) if first else (x, c)
    expected = {"Add": one + two, "Sub": one - two, "Mul": one * two, "Div": one / two}[kind]
    if kind == "Div" and first:
        with pytest.raises(FormatError, match=r"^Div of a constant by a tensor"):
            done((kind, c, first), x)
        return
    made = done((kind, c.astype(np.float64), first), x)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize(
    ("axes", "shape", "size", "channels"),
    [
        (FIRST, (1, 3, 4, 5), (4, 5), 3),
        (LAST, (1, 4, 5, 3), (4, 5), 3),
        (ROW_FIRST, (1, 3, 5), (1, 5), 3),
        (VECTOR, (1, 7), (1, 1), 7),
    ],
)
def test_shapes(axes: Any, shape: Any, size: Any, channels: int) -> None:
    made = Tensor("l", shape, axes, 0, 1)
    assert (made.height_width, made.channels) == (size, channels)
    assert Curve(made, lambda x: x).channels == channels
    if axes == FIRST:
        assert made.slid("m", 2, 3, 9, low=-4.0).shape == (1, 9, 2, 3)
        assert made.slid("m", 2, 3, 9, low=-4.0).low == -4.0
    raw = RawInput(shape, axes, np.ones(1), np.zeros(1))
    given = {FIRST: (4, 5, 3), LAST: (4, 5, 3), ROW_FIRST: (1, 5, 3), VECTOR: (7,)}[axes]
    assert (raw.given_shape, raw.channels) == (given, channels)


def test_the_shape_that_the_user_gives_is_that_of_the_picture() -> None:
    picture = RawInput((1, 3, 4, 5), FIRST, np.ones(1), np.zeros(1))
    row = RawInput((1, 60), VECTOR, np.ones(1), np.zeros(1), map=picture)
    assert row.given_shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((), 1),
        ((1,), 1),
        ((3, 1, 1), 3),
        ((1, 3, 1, 1), 3),
        ((2,), "position to position"),
        ((2, 1), "position to position"),
        ((3,), "does not fit"),
        ((4, 1, 1), "does not fit"),
        ((5, 3, 2, 2), "does not fit"),
        ((1, 1, 1, 1, 1, 1), 1),
    ],
)
def test_constants_of_a_map(shape: tuple[int, ...], found: Any) -> None:
    value = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    if shape == (1,) * 6:
        with pytest.raises(FormatError, match="does not fit"):
            per_channel(NODE, value, tensor())
    elif isinstance(found, int):
        assert per_channel(NODE, value, tensor()).tolist() == list(range(found))
    else:
        with pytest.raises(FormatError, match=found):
            per_channel(NODE, value, tensor())


def test_constants_of_a_flattened_map_are_in_its_order() -> None:
    order = np.array([2, 0, 1])
    flat = Tensor("l", (1, 3), VECTOR, 0, 1, order)
    assert ordered(np.array([5, 6, 7]), flat).tolist() == [6, 7, 5]
    assert ordered(np.array([5]), flat).tolist() == [5]
    assert per_channel(NODE, np.float32([[5, 6, 7]]), flat).tolist() == [6, 7, 5]


def test_transposed() -> None:
    made = transposed(NODE, tensor(), [0, 2, 3, 1])
    assert (made.shape, made.axes) == ((1, 2, 2, 3), LAST)
    assert transposed(NODE, tensor(), None).axes == ("W", "H", "C", "N")
    for perm in ([0, 1, 2], [0, 1, 2, 2], [1, 2, 3, 4]):
        with pytest.raises(FormatError, match="does not fit 4 axes"):
            transposed(NODE, tensor(), perm)


def test_scaled_inputs_go_through_each_step() -> None:
    raw = RawInput((1, 2), VECTOR, np.ones(1), np.zeros(1), (step("Div", 255), step("Sub", 0.5)))
    x = np.float32([[0, 255], [51, 102]])
    np.testing.assert_array_equal(raw.scaled(x), x / np.float32(255) - np.float32(0.5))

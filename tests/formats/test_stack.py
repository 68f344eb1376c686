# SPDX-License-Identifier: BSD-3-Clause
"""Constructions that several readers use, against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bnn.errors import FormatError
from bnn.formats import stack as stacks
from bnn.formats.grids import grid, real_input
from bnn.formats.stack import (
    Stack,
    add_conv,
    append_two_classes,
    average_pool,
    dilated,
    extent,
    grouped,
    same_padding,
    two_classes,
    zeros_fit,
)
from bnn.network.forward import evaluate
from bnn.network.network import Conv2d, Flatten, Lattice, Linear, MaxPool, Network, RealDense, Sign
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT

RNG = np.random.default_rng(3)


def test_names_are_unique() -> None:
    stack = Stack()
    wanted = ["a", "a", "a_2", "a", "input", "", "", "b"]
    found = [stack.name(each) for each in wanted]
    assert found == ["a", "a_2", "a_2_2", "a_3", "input_2", "layer", "layer_2", "b"]


@pytest.mark.parametrize("size", [1, 4, 5, 7])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_gives_a_window_for_each_stride(size: int, kernel: int, stride: int) -> None:
    for low_first in (True, False):
        top, left, bottom, right = same_padding((size, 9), (kernel, 3), (stride, 2), low_first)
        windows = -(-size // stride)
        padded = size + top + bottom
        assert (padded - kernel) // stride + 1 == windows
        if top or bottom:  # as few zeros as do
            assert (windows - 1) * stride + kernel == padded
        assert (bottom - top if low_first else top - bottom) in (0, 1)
        assert (left, right) == (1, 1)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_are_a_kernel_with_zeros(groups: int) -> None:
    each = RNG.integers(-3, 4, (8, 2, 3, 2))
    full = grouped(each, groups)
    assert full.shape == (8, 2, 3, 2 * groups)
    x = RNG.integers(-3, 4, (2, 3, 2 * groups))
    rows = 8 // groups
    for out in range(8):
        group = out // rows
        own = x[..., 2 * group : 2 * group + 2]
        assert (full[out] * x).sum() == (each[out] * own).sum()


@pytest.mark.parametrize("spread", [(1, 1), (2, 1), (1, 3), (2, 3)])
def test_dilation_is_a_kernel_with_zeros(spread: tuple[int, int]) -> None:
    each = RNG.integers(1, 4, (2, 2, 3, 2))
    full = dilated(each, spread)
    size = extent((2, 3), spread)
    assert full.shape == (2, *size, 2)
    assert size == (1 + spread[0], 1 + 2 * spread[1])
    np.testing.assert_array_equal(full[:, :: spread[0], :: spread[1]], each)
    assert full.sum() == each.sum()


def test_the_largest_of_these_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    each = np.ones((4, 1, 2, 2), np.int16)
    monkeypatch.setattr(stacks, "MAX_WEIGHTS", 32)
    grouped(each, 2)
    dilated(each, (1, 3))
    for make in (lambda: grouped(each, 4), lambda: dilated(each, (1, 4))):
        with pytest.raises(FormatError, match="more than 32 weights, zeros included"):
            make()
    monkeypatch.setattr(stacks, "MAX_AVERAGE_WEIGHTS", 54)
    average_pool("p", 3, (2, 3), (1, 1), "x")
    monkeypatch.setattr(stacks, "MAX_AVERAGE_WEIGHTS", 53)
    with pytest.raises(FormatError, match="an average over 6 positions of 3 channels"):
        average_pool("p", 3, (2, 3), (1, 1), "x")


def network(layers: list[Any], shape: tuple[int, ...], lattice: Lattice, values: str) -> Network:
    given = grid(values).input(shape)
    return Network(given, tuple(layers), lattice)


def logits(made: Network, x: Any) -> Any:
    return evaluate(made, made.input.check(np.asarray(x, np.float32))).logits


def test_an_average_pool_is_the_average() -> None:
    pool = average_pool("p", 3, (2, 3), (2, 1), "input")
    ends = [pool, Flatten("f"), Linear("d", np.eye(12, dtype=np.int16)[:, :12], UINT(1))]
    made = network(ends[:1], (2, 3, 3), Lattice(), "int4")
    x = RNG.integers(-8, 8, (5, 2, 3, 3))
    np.testing.assert_allclose(logits(made, x), x.mean(axis=(1, 2)), rtol=1e-6)
    assert pool.stride == (2, 1)


@pytest.mark.parametrize("precision", [BIPOLAR, INT(4), INT(4, narrow=True)])
@pytest.mark.parametrize("bias", [None, np.float32([0.75])])
def test_one_output_becomes_two(precision: Any, bias: Any) -> None:
    low = {str(BIPOLAR): -1, str(INT(4)): -8}.get(str(precision), -7)
    weights = np.array([[low, 1, low, 1, 1]], np.int16)
    x = RNG.integers(-8, 8, (6, 5))
    added = 0.0 if bias is None else float(bias[0])
    for layer, one in (
        (Linear("d", weights, precision, 0.5, bias, "input"), 0.5 * x @ weights[0] + added),
        (RealDense("d", weights * 0.25, bias, "input"), 0.25 * x @ weights[0] + added),
    ):
        stack = Stack()
        stack.add(layer)
        two_classes(stack, layer, "input")
        (made,) = stack.layers
        if isinstance(made, Linear):
            found = logits(network([made], (5,), Lattice(), "int4"), x)
        else:
            assert isinstance(made, RealDense)
            own = 0.0 if made.bias is None else np.asarray(made.bias)
            found = x @ np.asarray(made.weights).T + own
        np.testing.assert_allclose(found, np.stack([-one, one], axis=1), rtol=1e-6)


def test_one_output_that_is_no_dense_layers() -> None:
    stack = Stack()
    with pytest.raises(FormatError, match="an output of one value must be a dense layer's"):
        two_classes(stack, Sign("s"), "input")


def test_two_classes_of_a_sign() -> None:
    stack = Stack()
    stack.add(Sign("s", source="input"))
    assert append_two_classes(stack, "s") == "classes"
    made = network(stack.layers, (1,), Lattice(), "int4")
    assert logits(made, [[3], [-3]]).tolist() == [[-1, 1], [1, -1]]


@pytest.mark.parametrize("values", ["symmetric", "unit", "bytes", "int4", "bipolar"])
@pytest.mark.parametrize("padding", [(1, 0, 0, 2), (0, 0, 0, 0)])
@pytest.mark.parametrize("bias", [None, np.float32([0.5, -0.25])])
@pytest.mark.parametrize("precision", [BIPOLAR, INT(2)])
def test_zeros_around_any_input(values: str, padding: Any, bias: Any, precision: Any) -> None:
    """The framework pads real numbers with 0; each grid of inputs comes to the same sums."""
    chosen = grid(values)
    lattice = chosen.lattice()
    kernel = RNG.choice([-1, 1] if precision == BIPOLAR else [-2, 1], (2, 2, 3, 1)).astype(np.int16)
    stack = Stack()
    conv = Conv2d(stack.name("c"), kernel, precision, 0.5, bias, (1, 1), padding, 0.0, "input")
    shape = (2 - (padding[0] + padding[2]) + 0, 3 - (padding[1] + padding[3]), 1)
    name = add_conv(stack, conv, lattice)
    assert stack.layers[-1].name == name
    given = zeros_fit(chosen.input(shape), stack.layers)
    made = Network(given, tuple(stack.layers), lattice)
    x = RNG.choice(chosen.values(), (8, *shape))
    if values == "bipolar":
        x = RNG.choice([-1.0, 1.0], (8, *shape)).astype(np.float32)
    ends = ((0, 0), (padding[0], padding[2]), (padding[1], padding[3]), (0, 0))
    padded = np.pad(x.astype(np.float64), ends)
    expected = 0.5 * np.einsum("nhwc,ohwc->no", padded, kernel) + (0 if bias is None else bias)
    np.testing.assert_allclose(logits(made, x), expected, atol=2e-6)


def test_a_padding_that_no_integer_stands_for() -> None:
    stack = Stack()
    kernel = np.ones((1, 2, 2, 1), np.int16)
    conv = Conv2d("c", kernel, BIPOLAR, padding=(1, 0, 0, 0), pad_value=0.3, source="input")
    with pytest.raises(FormatError, match=r"c: its input has no integer .* 0\.3"):
        add_conv(stack, conv, grid("symmetric").lattice())


def padded(source: str = "input", padding: Any = (1, 0, 0, 0), pad_value: float = 0.0) -> Conv2d:
    kernel = np.ones((1, 1, 1, 1), np.int16)
    return Conv2d("c", kernel, BIPOLAR, padding=padding, pad_value=pad_value, source=source)


def test_a_bipolar_input_that_is_padded_is_ternary() -> None:
    given = real_input((1, 1, 1), BIPOLAR, 1.0, 0.0)
    for layers, ternary in (
        ([padded()], True),
        ([padded(padding=(0, 0, 0, 0))], False),
        ([padded(pad_value=1.0)], False),
        ([padded(pad_value=-1.0)], False),
        ([MaxPool("p", (1, 1), (1, 1), source="input"), padded("p")], True),
        ([Sign("s", source="input"), padded("s")], False),
    ):
        made = zeros_fit(given, layers)
        assert (made.precision == TERNARY) == ternary
        assert (made is given) != ternary


@pytest.mark.parametrize("zero", [0.0, 0.5, -3.0])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_the_signs_of_that_input_stay(zero: float, scale: float) -> None:
    given = real_input((1, 1, 1), BIPOLAR, scale, zero)
    made = zeros_fit(given, [padded()])
    x = np.float32([-9, -1, -1e-3, 1e-3, 1, 9, 30]).reshape(-1, 1, 1, 1) - np.float32(zero * scale)
    np.testing.assert_array_equal(made.integers(made.check(x)), given.integers(given.check(x)))

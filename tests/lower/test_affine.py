# SPDX-License-Identifier: BSD-3-Clause
"""Layers that read real values: rewritten to read integers, with the same logits.

All numbers are fractions of powers of two, so that float64 rounds nothing, and the plain
evaluation of the layers as they are is exact: the logits must be equal.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bnn.errors import NetworkError, ProgramError
from bnn.lower import affine, lower
from bnn.lower.affine import reading_integers
from bnn.network.network import (
    Add,
    BatchNorm,
    Clip,
    Concat,
    Conv2d,
    Flatten,
    Lattice,
    Layer,
    Leaky,
    Linear,
    MaxPool,
    MultiThreshold,
    Network,
    Quantize,
    RealDense,
    Scale,
    Sign,
)
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Dot, Rescale
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT
from bnn.program.program import Program
from bnn.run import cpu, reference

Array = NDArray[Any]
SHAPE = (6, 5, 3)
GIVEN = IntegerInput(SHAPE, INT(4))
LATTICE = Lattice(0.5)


def plain(layers: list[Layer], inputs: Array) -> dict[str, Array]:
    """Results of ``layers`` in float64, each as its definition says: nothing is rewritten."""
    maps: dict[str, Array] = {"input": 0.5 * inputs.astype(np.float64)}
    for layer in layers:
        x = maps[layer.source]
        match layer:
            case Conv2d():
                x = _conv(x, layer)
            case Linear() | RealDense():
                weights = np.asarray(layer.weights, np.float64)
                weights = weights * np.reshape(getattr(layer, "scale", 1.0), (-1, 1))
                x = x @ weights.T + (0 if layer.bias is None else layer.bias)
            case BatchNorm():
                x = (x - layer.mean) * (np.asarray(layer.gamma) * layer.inv_std) + layer.beta
            case Scale():
                x = x * layer.factor / layer.divisor + layer.offset
            case Clip():
                x = np.clip(x, layer.low, layer.high)
            case Leaky():
                x = np.where(x < 0, x * layer.slope, x)
            case Sign() | Quantize() | MultiThreshold():
                x = layer.scale * (layer.base + layer.step * layer.level(x))
            case MaxPool():
                views = np.lib.stride_tricks.sliding_window_view(x, layer.kernel, axis=(1, 2))
                x = views[:, :: layer.stride[0], :: layer.stride[1]].max(axis=(4, 5))
            case Add():
                x = layer.factors[0] * x + layer.factors[1] * maps[layer.other]
            case Concat():
                x = np.concatenate([x, maps[layer.other]], axis=3)
            case Flatten():
                x = x.reshape(len(x), 1, 1, -1)
        maps[layer.name] = x
    return maps


def _conv(x: Array, layer: Conv2d) -> Array:
    top, left, bottom, right = layer.padding
    sides = ((0, 0), (top, bottom), (left, right), (0, 0))
    x = np.pad(x, sides, constant_values=layer.pad_value)
    kernel = layer.weights.shape[1:3]
    views = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))
    patches = views[:, :: layer.stride[0], :: layer.stride[1]]
    weights = layer.weights * np.reshape(layer.scale, (-1, 1, 1, 1))
    sums = np.einsum("nyxcij,oijc->nyxo", patches, weights)
    return sums + (0 if layer.bias is None else layer.bias)


def dyadic(rng: np.random.Generator, count: int, parts: int = 4) -> Array:
    return rng.integers(-8, 9, count) / parts


def average(name: str, channels: int, size: int) -> Conv2d:
    weights = np.zeros((channels, size, size, channels), np.int16)
    weights[np.arange(channels), :, :, np.arange(channels)] = 1
    return Conv2d(name, weights, UINT(1), 1 / size**2, None, (size, size))


def random_layer(rng: np.random.Generator, name: str, channels: int, other: str) -> Layer:
    out = channels if rng.random() < 0.5 else int(rng.integers(1, 4))
    size = int(rng.integers(1, 4))
    weights = rng.integers(-2, 3, (out, size, size, channels))
    scale = 2.0 ** rng.integers(-2, 2, 1 if rng.random() < 0.5 else out)
    bias = None if rng.random() < 0.4 else dyadic(rng, out)
    around = size // 2
    pads = (around,) * 4 if rng.random() < 0.6 else (0, 0, 0, 0)
    same = 2.0 ** rng.integers(-2, 2, 1 if rng.random() < 0.7 else channels)
    kinds: list[Layer] = [
        Conv2d(name, weights, INT(3), scale, bias, padding=pads),
        Conv2d(name, weights, INT(3), scale, bias, (1, 2)),
        average(name, channels, 2),
        average(name, channels, 2),
        BatchNorm(name, same, dyadic(rng, channels), dyadic(rng, channels), 0.5),
        Scale(name, -same, dyadic(rng, 1 if rng.random() < 0.5 else channels)),
        Sign(name),
        Quantize(name, UINT(3), 0.5),
        Quantize(name, INT(10), 0.25),
        MultiThreshold(name, np.sort(dyadic(rng, 2 * channels).reshape(channels, 2)), 0.5, 2, -3),
        Leaky(name, 2.0 ** -rng.integers(0, 3, channels)),
        Clip(name, -1.0, 2.0),
        MaxPool(name, (2, 2), (1, 1)),
        Add(name, other),
        Add(name, other, (1.0, -1.0)),
        Concat(name, other),
    ]
    return kinds[rng.integers(len(kinds))]


def random_layers(seed: int, real: bool = False) -> tuple[list[Layer], Array]:
    """Layers that fit each other's shapes, whatever kind of values they read, and inputs."""
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    inputs = rng.integers(-8, 8, (3, *SHAPE)).astype(np.int16)
    shapes: dict[str, tuple[int, ...]] = {"input": SHAPE}
    for number in range(int(rng.integers(2, 8))):
        names = list(shapes)
        source = names[-1] if rng.random() < 0.8 else names[rng.integers(len(names))]
        channels = shapes[source][2]
        other = names[rng.integers(len(names))]
        layer = replace(random_layer(rng, f"n{number}", channels, other), source=source)
        if real and isinstance(layer, Sign | Quantize | MultiThreshold | Leaky):
            continue
        if isinstance(layer, Add) and shapes[other] != shapes[source]:
            continue
        if isinstance(layer, Concat) and shapes[other][:2] != shapes[source][:2]:
            continue
        kernel = getattr(layer, "kernel", None) or np.shape(getattr(layer, "weights", 0))[1:3]
        pads = getattr(layer, "padding", (0,) * 4)
        sides = [n + 2 * pads[0] for n in shapes[source][:2]]
        if kernel and (sides[0] < kernel[0] or sides[1] < kernel[1]):
            continue
        layers.append(layer)
        shapes[layer.name] = plain(layers, inputs)[layer.name].shape[1:]
    height, width, channels = shapes[list(shapes)[-1]]
    weights = rng.choice([-1, 1], (2, height * width * channels))
    flat = Flatten("flat", source=list(shapes)[-1])
    return [*layers, flat, Linear("dense", weights, BIPOLAR, 0.5, dyadic(rng, 2), "flat")], inputs


def lowered(layers: list[Layer]) -> tuple[Program, tuple[str, ...]]:
    made = reading_integers(GIVEN, LATTICE, layers, np.float64)
    return lower(Network(GIVEN, made.layers, LATTICE, "float64")), made.approximate


def check(seed: int) -> str:
    """What became of the layers of ``seed``: refused, exact or approximate."""
    layers, inputs = random_layers(seed)
    try:
        program, approximate = lowered(layers)
    except (NetworkError, ProgramError):
        return "refused"
    if approximate:
        return "approximate"
    outputs = reference.prepare(program).run(inputs)
    assert program.affine is not None
    wanted = plain(layers, inputs)["dense"].reshape(len(inputs), -1)
    np.testing.assert_array_equal(program.affine.logits(outputs.scores), wanted)
    np.testing.assert_array_equal(cpu.prepare(program).run(inputs).scores, outputs.scores)
    return "exact"


@settings(max_examples=150)
@given(st.integers(0, 1 << 32))
def test_rewritten_layers_have_the_same_logits(seed: int) -> None:
    check(seed)


@settings(max_examples=150)
@given(st.integers(0, 1 << 32))
def test_fixed_point_is_close(seed: int) -> None:
    close(seed)


def close(seed: int) -> bool | None:
    """Whether layers without activations are approximate, and close; None if they are refused."""
    layers, inputs = random_layers(seed, real=True)
    try:
        program, approximate = lowered(layers)
    except (NetworkError, ProgramError):
        return None
    outputs = reference.prepare(program).run(inputs)
    assert program.affine is not None
    wanted = plain(layers, inputs)["dense"].reshape(len(inputs), -1)
    found = program.affine.logits(outputs.scores)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3 * (1 + np.abs(wanted).max()))
    return bool(approximate)


def test_some_are_approximate_and_few_refused() -> None:
    found = Counter(close(seed) for seed in range(150))
    assert found[True] > 30, found
    assert found[None] < 30, found


def test_most_are_exact() -> None:
    found = Counter(check(seed) for seed in range(150))
    assert found["exact"] > 60, found
    assert found["refused"] < 70, found


def _logits(layers: list[Layer], inputs: Array) -> tuple[Array, Array, Program, tuple[str, ...]]:
    program, approximate = lowered(layers)
    outputs = reference.prepare(program).run(inputs)
    assert program.affine is not None
    wanted = plain(layers, inputs)[layers[-1].name].reshape(len(inputs), -1)
    np.testing.assert_array_equal(cpu.prepare(program).run(inputs).scores, outputs.scores)
    return program.affine.logits(outputs.scores), wanted, program, approximate


INPUTS = np.random.default_rng(3).integers(-8, 8, (40, *SHAPE)).astype(np.int16)


def _kernel(out: int, size: int, channels: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(-1, 2, (out, size, size, channels))


def test_an_average_of_normalized_sums_is_one_convolution() -> None:
    norm = BatchNorm("norm", [0.75, -2.0], [1.0, 0.5], [3.0, -1.25], 0.5, source="conv")
    layers: list[Layer] = [
        Conv2d("conv", _kernel(2, 3, 3), TERNARY, [0.5, 0.25], [1.0, -2.0], source="input"),
        norm,
        replace(average("mean", 2, 2), source="norm"),
        Flatten("flat", source="mean"),
        RealDense("dense", np.random.default_rng(0).normal(size=(4, 4)), source="flat"),
    ]
    # the map after the convolution is 4x3, its means are 2x1
    found, wanted, program, approximate = _logits(layers, INPUTS)
    assert not approximate
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    dots = [op for op in program.ops if isinstance(op, Dot)]
    assert [op.weights.shape for op in dots] == [(2, 4 * 4 * 3)]


def test_a_sum_of_real_values_is_in_fixed_point() -> None:
    layers: list[Layer] = [
        Conv2d("one", _kernel(4, 3, 3), TERNARY, [0.3, 0.7, 0.11, 1.3], source="input"),
        Conv2d("two", _kernel(4, 3, 3, 1), TERNARY, 0.37, [0.1, 0.2, 0.3, 0.4], source="input"),
        Clip("relu", source="two"),
        Add("sum", "relu", "one"),
        Clip("clipped", 0.0, 6.0, "sum"),
        replace(average("mean", 4, 3), source="clipped"),
        RealDense("dense", np.random.default_rng(0).normal(size=(5, 4)), source="mean"),
    ]
    found, wanted, program, approximate = _logits(layers, INPUTS)
    assert [line.split(":")[0] for line in approximate] == ["sum", "mean"]
    assert all("fraction bits" in line for line in approximate)
    assert sum(isinstance(op, Rescale) for op in program.ops) >= 3
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert not np.array_equal(found, wanted)  # said to be approximate, and it is


def test_new_layers_take_no_name_that_comes_later() -> None:
    layers: list[Layer] = [
        Conv2d("a", _kernel(3, 3, 3), TERNARY, [0.5, 0.25, 1.0], [1.0, 2.0, -1.0], source="input"),
        replace(average("b", 3, 2), source="a"),
        Quantize("a_sums", UINT(3), 0.5, source="b"),
        Flatten("a_sums_2", source="a_sums"),
        Linear("dense", np.random.default_rng(0).choice([-1, 1], (2, 6)), BIPOLAR),
    ]
    layers[-1] = replace(layers[-1], source="a_sums_2")
    found, wanted, _, approximate = _logits(layers, INPUTS)
    assert not approximate
    np.testing.assert_array_equal(found, wanted)


def test_what_cannot_be_rewritten_is_refused() -> None:
    conv = Conv2d("conv", _kernel(4, 3, 3), TERNARY, [0.3, 0.7, 0.11, 1.3], source="input")
    layers: list[Layer] = [conv, Flatten("flat", source="conv")]
    layers.append(RealDense("real", np.ones((3, 48)), source="flat"))
    layers.append(Linear("dense", np.ones((2, 3)), BIPOLAR, source="real"))
    with pytest.raises(NetworkError, match=r"real values|quantized to one scale"):
        lowered(layers)


@pytest.mark.parametrize("slope", [0.3, [0.0, 0.25, 1.0, 0.7], [1.5, 2.0, 1.0, 3.0]])
def test_a_sum_of_leaky_values(slope: Any) -> None:
    layers: list[Layer] = [
        Conv2d("conv", _kernel(4, 3, 3), TERNARY, [0.3, 0.7, 0.11, 1.3], source="input"),
        Leaky("leaky", slope, "conv"),
        Add("sum", "leaky", "conv"),
        Flatten("flat", source="sum"),
        Linear("dense", np.ones((2, 48)), BIPOLAR, source="flat"),
    ]
    found, wanted, _, approximate = _logits(layers, INPUTS)
    assert approximate[0].startswith("sum: ")
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6 * np.abs(wanted).max())


def _real(seed: int, *shape: int) -> Array:
    """Weights that are not quantized, as integers of 25 bits."""
    drawn = np.random.default_rng(seed).normal(size=shape)
    return np.rint(drawn / np.abs(drawn).max() * ((1 << 24) - 1)).astype(np.int32)


REAL = INT(25, narrow=True)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("before", ["input", "sums", "clipped", "norm", "joined"])
def test_real_weights(before: str, padding: int) -> None:
    """Of the input, of integer sums, of clipped values, and of channels side by side."""
    scale = np.ldexp(1.0, -24)
    given: dict[str, list[Layer]] = {
        "input": [],
        "sums": [Conv2d("sums", _kernel(4, 3, 3), TERNARY, 0.25, source="input")],
        "clipped": [
            Conv2d("c", _kernel(4, 3, 3), TERNARY, [0.3, 0.7, 0.11, 1.3], source="input"),
            Clip("clipped", 0.0, 6.0, "c"),
        ],
        "norm": [
            Conv2d("c", _kernel(4, 3, 3), TERNARY, source="input"),
            BatchNorm("norm", [0.75] * 4, [1.0, 0.5, -1.0, 0.0], [3.0] * 4, 0.5, source="c"),
        ],
        "joined": [
            Conv2d("c", _kernel(2, 3, 3), TERNARY, [0.3, 0.7], source="input"),
            Conv2d("d", _kernel(2, 3, 3), TERNARY, 0.37, source="input"),
            Concat("cat", "d", "c"),
            Clip("joined", 0.0, 6.0, "cat"),
        ],
    }
    channels = 3 if before == "input" else 4
    weights = _real(1, 5, 3, 3, channels)
    layers: list[Layer] = [
        *given[before],
        Conv2d("real", weights, REAL, [scale] * 5, [0.5, 0.0, -1.0, 2.0, 3.0],
               padding=(padding,) * 4, source=before),
    ]  # fmt: skip
    wanted = plain(layers, INPUTS)["real"]
    features = int(np.prod(wanted.shape[1:]))
    last = np.random.default_rng(2).choice([-1, 1], (2, features))
    layers += [
        Flatten("flat", source="real"),
        Linear("dense", last, BIPOLAR, 0.5, source="flat"),
    ]
    found, wanted, program, approximate = _logits(layers, INPUTS)
    assert "real: real weights, in fixed point" in approximate[0]
    assert all(op.precision.bits <= 16 for op in program.ops if isinstance(op, Dot))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=5e-6 * np.abs(wanted).max())


def test_only_real_weights_are_no_quantized_network() -> None:
    layers: list[Layer] = [
        Conv2d("real", _real(1, 4, 3, 3, 3), REAL, source="input"),
        Clip("relu", source="real"),
        replace(average("mean", 4, 3), source="relu"),
        Flatten("flat", source="mean"),
        Linear("dense", _real(2, 2, 4), REAL, source="flat"),
    ]
    with pytest.raises(NetworkError, match="not quantized"):
        lowered(layers)


@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=5).filter(any),
    st.sampled_from([1.0, 0.125, 3.0, 1e-3, -0.7]),
)
def test_factors_that_are_multiples_of_one_unit(wholes: list[int], unit: float) -> None:
    """The largest unit, and exactly: in fractions of the numbers as they are stored."""
    factor = np.array(wholes, np.float64) * unit
    found = affine._multiples(factor)
    exact = [Fraction(float(value)) for value in factor]
    if found is None:  # rounded products have no small unit
        products = [whole * Fraction(unit) for whole in wholes]
        assert exact != products
        return
    multiples, step = found
    assert math.gcd(*multiples.tolist()) == 1
    assert [Fraction(step) * int(each) for each in multiples] == exact

# SPDX-License-Identifier: BSD-3-Clause
"""Maps, pools on either side, padding, residuals: random networks, equality throughout."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import NetworkError
from bnn.lower import trace
from bnn.network.network import (
    Add,
    BatchNorm,
    Clip,
    Conv2d,
    Flatten,
    Lattice,
    Linear,
    MaxPool,
    MultiThreshold,
    Network,
    Quantize,
    Scale,
    Sign,
)
from bnn.program.inputs import IntegerInput, PictureInput, fixed_point_table, identity_table
from bnn.program.operations import Pool, Threshold
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from support.lowered_exactly import assert_lowered_exactly
from support.stacks import WEIGHTS, random_activation, random_input, random_norm, random_weights


def random_stack(seed: int) -> Network:
    """Two convolutions with everything around them, a dense layer, and a head."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(20, 23)), int(rng.integers(9, 12)), int(rng.integers(1, 4)))
    given, lattice = random_input(rng, shape)
    layers: list = []
    channels = shape[2]
    for number in range(2):
        out = int(rng.integers(1, 5))
        precision = WEIGHTS[rng.integers(len(WEIGHTS))]
        weights = random_weights(rng, (out, *rng.integers(1, 4, 2), channels), precision)
        can_pad = not (number == 0 and lattice.base)  # no byte stands for zero there
        padding = tuple(int(p) for p in rng.integers(0, 2, 4)) if can_pad else (0, 0, 0, 0)
        scale = rng.choice([-0.5, 0.25, 1.0], out if rng.integers(2) else 1)
        bias = rng.integers(-3, 4, out) / 4 if rng.integers(2) else None
        stride = (1 + int(rng.integers(2)) * (number == 0), 1)
        layers.append(Conv2d(f"conv{number}", weights, precision, scale, bias, stride, padding))
        norm = random_norm(rng, f"norm{number}", out, 4.0)
        act = random_activation(rng, f"act{number}", out)
        pool = MaxPool(f"pool{number}", (2, 2), (2, 1), (0, 1, 0, 0))
        relu = Clip(f"relu{number}", 0.0, 3.0)
        orders = [[norm, act], [norm, act, pool], [pool, norm, act], [norm, pool, relu, act]]
        layers += orders[rng.integers(4)]
        channels = out
    probe = Network(given, (*layers, Flatten("flat")), lattice)
    inputs = probe.signals["flat"].shape[2]
    precision = WEIGHTS[rng.integers(len(WEIGHTS))]
    layers += [
        Flatten("flat"),
        Linear("dense", random_weights(rng, (4, inputs), precision), precision, 0.5),
        random_norm(rng, "end", 4, 1.0),
    ]
    return Network(given, tuple(layers), lattice, ["float32", "float64"][rng.integers(2)])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32))
def test_random_stacks(seed: int) -> None:
    network = random_stack(seed)
    images = np.random.default_rng(seed).integers(0, 256, (3, *network.input.shape), np.uint8)
    assert_lowered_exactly(network, images)


IMAGES = np.random.default_rng(1).integers(0, 256, (4, 12, 12, 3), np.uint8)


def pooled(gamma: float, reader_weights: Precision, padding: int = 0, pad: float = 0.0) -> Network:
    """Convolution, pool, batch norm, sign, and a convolution that reads it."""
    rng = np.random.default_rng(5)
    size = 3 + 2 * padding
    ones = np.ones((2, 3, 3, 2))
    layers = (
        Conv2d("conv", rng.choice([-1, 1], (2, 3, 3, 3)), BIPOLAR),
        MaxPool("pool", (2, 2), (2, 2)),
        BatchNorm("norm", [1.0, gamma], [0.0, 0.5], [0.5, 1.0], [0.1, 0.2]),
        Sign("act"),
        Conv2d("next", ones, reader_weights, padding=(padding,) * 4, pad_value=pad),
        Sign("sign"),
        Flatten("flat"),
        Linear("dense", np.ones((3, 2 * size * size)), BIPOLAR),
    )
    picture = PictureInput((12, 12, 3), INT(8), fixed_point_table())
    return Network(picture, layers, Lattice(1 / 128))


@pytest.mark.parametrize(
    ("gamma", "weights", "padding", "pad", "order"),
    [
        (2.0, BIPOLAR, 0, 0.0, "levels"),
        (2.0, UINT(1), 1, 1.0, "levels"),
        (-2.0, BIPOLAR, 0, 0.0, "levels"),  # mirrored, undone by the reader's weights
        (-2.0, BIPOLAR, 1, 0.0, "levels"),
        (-2.0, UINT(1), 0, 0.0, "sums"),  # the reader has no weight -1
        (-2.0, BIPOLAR, 1, -1.0, "sums"),  # the pad would be mirrored too
    ],
)
def test_pool_before_the_norm(gamma, weights, padding, pad, order) -> None:
    program = assert_lowered_exactly(pooled(gamma, weights, padding, pad), IMAGES)
    ops = [type(op) for op in program.ops]
    assert (ops.index(Threshold) < ops.index(Pool)) == (order == "levels")
    mirrored = gamma < 0 and order == "levels"
    assert (program.op("next").weights[:, 1] == (-1 if mirrored else 1)).all()


@pytest.mark.parametrize("weights", [BIPOLAR, UINT(1)])
def test_pools_on_both_sides_of_a_falling_sign(weights: Precision) -> None:
    """The second pool cannot undo a mirrored channel: the first one takes negated sums."""
    network = pooled(-2.0, weights)
    again = MaxPool("again", (2, 2), (1, 1))
    layers = [
        each for old in network.layers for each in ([old, again] if old.name == "act" else [old])
    ]
    smaller = [
        replace(each, weights=np.ones((3, 2 * 2 * 2))) if isinstance(each, Linear) else each
        for each in layers
    ]
    changed = Network(network.input, layers_by_order(tuple(smaller)), network.lattice)
    assert_lowered_exactly(changed, IMAGES)


@pytest.mark.parametrize("gamma", [2.0, -2.0])
def test_levels_stand_for_values_beyond_8_bits(gamma: float) -> None:
    """255 levels two apart are coded by their number; unit and shift go into the next sums."""
    network = pooled(gamma, BIPOLAR)
    fine = MultiThreshold("act", [np.linspace(-30, 30, 255)], 0.5, 2, -255)
    layers = tuple(fine if layer.name == "act" else layer for layer in network.layers)
    changed = Network(network.input, layers_by_order(layers), network.lattice)
    program = assert_lowered_exactly(changed, IMAGES)
    assert program.op("act").precision == UINT(8)


def layers_by_order(layers: tuple) -> tuple:
    """Layers that read what stands before them."""
    return tuple(replace(layer, source="") for layer in layers)


def test_bounds_are_the_input_precisions() -> None:
    """A table that leaves part of its precision unused still gives wide enough accumulators."""
    dim = PictureInput((3,), INT(8), np.arange(256) // 64)
    network = Network(dim, (Linear("dense", np.ones((2, 3)), BIPOLAR),))
    assert_lowered_exactly(network, np.array([[0, 128, 255]], np.uint8))


PICTURE = PictureInput((6, 5, 3), UINT(8), identity_table())


def first_act(*before, act=None) -> Network:
    """An activation of raw bytes, a padded convolution, a dense layer."""
    layers = (
        *before,
        act or Quantize("act", TERNARY, rounding="half-up"),
        Conv2d("conv", np.ones((2, 3, 3, 3)), BIPOLAR, padding=(1, 1, 1, 1)),
        Sign("sign"),
        Flatten("flat"),
        Linear("dense", np.ones((2, 60)), BIPOLAR),
    )
    return Network(PICTURE, layers, Lattice(1 / 255))


def test_first_activation_becomes_the_pictures_table() -> None:
    images = np.arange(270).astype(np.uint8).reshape(3, 6, 5, 3)
    normal = Scale("normal", 2.0, -1.0)
    program = assert_lowered_exactly(first_act(normal), images)
    assert program.ops[0].name == "conv_window"
    assert program.input.precision == TERNARY
    assert program.input.table[[0, 63, 64, 191, 192, 255]].tolist() == [-1, -1, 0, 0, 1, 1]
    program = assert_lowered_exactly(first_act(normal, act=Sign("act")), images)
    assert program.input.precision == TERNARY  # bipolar, and the pad
    by_channel = Scale("normal", [1.0, 2.0, -2.0], [0.0, -1.0, 1.0])
    program = assert_lowered_exactly(first_act(by_channel), images)
    assert (program.ops[0].name, program.input.precision) == ("act", UINT(8))


def test_first_activation_read_beside_the_input_stays() -> None:
    layers = (
        Sign("act", source="input"),
        Linear("a", np.ones((2, 3)), BIPOLAR, source="act"),
        Linear("b", np.ones((2, 3)), BIPOLAR, 255.0, source="input"),
        Add("sum", "a"),
    )
    network = Network(PictureInput((3,), UINT(8), identity_table()), layers, Lattice(1 / 255))
    program = assert_lowered_exactly(network, np.array([[0, 128, 255]], np.uint8))
    assert program.ops[0].name == "act"


def test_zero_padding_widens_bipolar_to_ternary() -> None:
    program = assert_lowered_exactly(pooled(1.0, BIPOLAR, padding=1), IMAGES)
    act = program.op("act")
    assert (act.precision, act.base, act.step) == (TERNARY, -1, 2)
    assert program.op("next_window").pad_value == 0
    assert program.op("sign").precision == BIPOLAR


@pytest.mark.parametrize("seed", range(12))
def test_residual(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def conv(name: str, channels: int, source: str = "") -> Conv2d:
        weights = rng.choice([-1, 1], (4, 3, 3, channels))
        return Conv2d(name, weights, BIPOLAR, 0.5, None, (1, 1), (1, 1, 1, 1), source=source)

    def quantize(name: str, source: str = "") -> Quantize:
        return Quantize(name, INT(3), 0.5, source=source)

    layers = (
        conv("conv.0", 3),
        random_norm(rng, "norm0", 4, 4.0),
        quantize("act0"),
        conv("conv1", 4),
        random_norm(rng, "norm1", 4, 4.0),
        quantize("act1"),
        Add("sum", "act0"),
        random_norm(rng, "norm2", 4, 1.0),
        Sign("left", source="norm2"),
        quantize("right", source="sum"),
        conv("conv2", 4, source="left"),
        quantize("act2"),
        Add("sum2", "right"),
        MaxPool("pool", (12, 12), (12, 12)),
        Sign("last"),
        Linear("dense", rng.choice([-1, 0, 1], (5, 4)), TERNARY, 1.0, rng.normal(size=5)),
    )
    picture = PictureInput((12, 12, 3), INT(8), fixed_point_table())
    program = assert_lowered_exactly(Network(picture, layers, Lattice(1 / 128)), IMAGES)
    assert program.op("conv_0").source == "conv_0_window"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            lambda: [Linear("a", [[1]], BIPOLAR, [1.0], [0.5]), Linear("b", [[1]], BIPOLAR)],
            "b: reads real",
        ),
        (lambda: [Linear("a", [[1, 1]], BIPOLAR)], "a: weights are for 2 inputs"),
        (lambda: [Linear("a", [[2]], BIPOLAR)], "a: weights are outside bipolar"),
        (lambda: [Linear("a", [[1]], BIPOLAR), Clip("b")], "b: what follows the last integer sum"),
        (lambda: [Linear("a", [[1]], BIPOLAR), Scale("a")], "layer names must be unique"),
        (lambda: [Linear("a", [[1]], BIPOLAR, source="z")], "a: reads 'z', which no earlier layer"),
        (lambda: [Linear("a", [[1]], BIPOLAR, np.nan)], "a: scale must be finite"),
        (lambda: [Scale("a", divisor=[1.0, 0.0])], "a: divisor must not be 0"),
        (
            lambda: [Scale("a", divisor=[1.0, 2.0])],
            "a: divisor has 2 values, but .* 1 channels",
        ),
        (
            lambda: [BatchNorm("a", [1, 2], 0, 0, 1)],
            "a: gamma has 2 values, but .* 1 channels",
        ),
        (
            lambda: [Sign("a"), Sign("b", 0.3, source="input"), Add("c", "a")],
            "c: adds maps",
        ),
    ],
)
def test_refusals(layers, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        trace(Network(IntegerInput((1,), UINT(8)), tuple(layers())))

# SPDX-License-Identifier: BSD-3-Clause
"""Quantizers, weights and grids: numbers of any kind come out as the framework has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bnn
from bnn.errors import FormatError, NetworkError
from bnn.formats.convert import Options, byte_values, convert
from bnn.formats.grids import grid
from bnn.formats.keras.host import host_input
from bnn.formats.keras.quantizers import (
    Named,
    activation_of,
    named,
    real_activation,
    unsure,
    weights_of,
)
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.executor import bounds, rounded
from bnn.formats.qonnx.input import thresholded_input
from bnn.formats.qonnx.operators import OPERATORS, Op
from bnn.formats.qonnx.quantizers import activation, quant
from bnn.formats.qonnx.tensor import RawInput
from bnn.formats.weights import from_real
from bnn.lower import lower
from bnn.model.model import Model
from bnn.network import forward
from bnn.network.arithmetic import real_layer
from bnn.network.layers import MultiThreshold
from bnn.network.network import BatchNorm, Flatten, Lattice, Linear, MaxPool, Network, Sign
from bnn.program.inputs import PictureInput, identity_table
from bnn.program.precision import BIPOLAR, UINT
from support.converted import FIXTURES
from support.qonnx_graphs import MODES

SCALES = st.floats(2.0**-12, 2.0**12, width=32)
REALS = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=50)


def node(kind: str, **attributes: Any) -> Op:
    return Op("q", kind, "", (), (), OPERATORS[kind].versions[0], attributes)


@given(
    reals=REALS,
    scale=SCALES,
    zero=st.sampled_from([0.0, 1.0, -3.0]),
    bits=st.integers(2, 8),
    signed=st.booleans(),
    narrow=st.booleans(),
    mode=st.sampled_from(MODES),
)
def test_quant_nodes_and_their_layers(
    reals: list[float],
    scale: float,
    zero: float,
    bits: int,
    signed: bool,
    narrow: bool,
    mode: str,
) -> None:
    attributes = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": mode}
    given_node = node("Quant", **attributes)
    layer = activation(
        "q", quant(given_node, np.float32(scale), np.float32(zero), np.float32(bits)), ""
    )
    low, high = bounds(bits, signed, narrow)
    halves = np.arange(2 * low, 2 * high + 1).astype(np.float32) / 2
    edges = np.float32(scale) * (halves - np.float32(zero))
    near = [np.nextafter(edges, np.float32(way)) for way in (-np.inf, np.inf)]
    x = np.concatenate([np.array(reals, np.float32), edges, *near])[:, None]
    assert x.dtype == np.float32
    wanted = rounded(np.clip(x / np.float32(scale) + np.float32(zero), low, high), mode)
    found = layer.base + layer.step * layer.level(x)
    real = np.float32(layer.scale) * found
    np.testing.assert_allclose(real, (wanted - zero) * np.float32(scale), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "scale", [0.0, -0.0, -1.0, -(2.0**-126), np.nan, np.inf, -np.inf, [1.0, 0.0], [1.0, np.nan]]
)
@pytest.mark.parametrize("bits", [None, 2.0])
def test_scales_that_are_not_positive_are_refused(scale: Any, bits: float | None) -> None:
    kind = "Quant" if bits else "BipolarQuant"
    attributes = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"} if bits else {}
    with pytest.raises(FormatError, match="scale must be positive"):
        quant(node(kind, **attributes), np.float32(scale), np.float32(0), bits and np.float32(bits))


@given(
    integers=st.lists(st.integers(-7, 7), min_size=4, max_size=60),
    scales=st.lists(st.floats(2.0**-10, 2.0**10, width=32), min_size=2, max_size=2),
    one=st.booleans(),
)
def test_quantized_weights_are_found_again(
    integers: list[int], scales: list[float], one: bool
) -> None:
    rows = np.array(integers[: len(integers) // 2 * 2]).reshape(2, -1)
    scale = np.array(scales[:1] * 2 if one else scales, np.float32)[:, None]
    real = (rows * scale).astype(np.float32)
    found = from_real(real, "here")
    np.testing.assert_allclose(
        found.integers * found.scale.reshape(-1, 1), real, rtol=1e-5, atol=1e-30
    )
    assert found.precision.allows(found.integers)
    assert found.precision.bits <= 8


def test_real_weights_are_refused() -> None:
    with pytest.raises(FormatError, match="here: its weights are not quantized"):
        from_real(np.random.default_rng(0).normal(size=(3, 40)), "here")


@pytest.mark.parametrize(
    ("integers", "found"),
    [
        ([16, 17], True),  # the smallest of a row may be 16 times the scale
        ([17, 18], False),
        ([1, 127], True),
        ([1, 128], False),
        ([*range(-127, 0), *range(1, 128)], True),
        ([-16, 17, 127], True),
    ],
)
@pytest.mark.parametrize("scale", [0.3, 1.7])
def test_the_largest_weights_that_are_found(integers: list[int], found: bool, scale: float) -> None:
    real = (np.array([integers, integers[::-1]]) * np.float32(scale)).astype(np.float32)
    if not found:
        with pytest.raises(FormatError, match="not quantized"):
            from_real(real, "here")
        return
    assert from_real(real, "here").integers.tolist() == [integers, integers[::-1]]


@given(reals=REALS, delta=st.floats(2.0**-7, 1, width=32))
def test_larqs_ternary(reals: list[float], delta: float) -> None:
    x = np.array([*reals, delta, -delta, 0], np.float32)[:, None]
    layer = activation_of(
        "here", Named.plain("here", "ste_tern", {"threshold_value": delta}), "q", ""
    )
    value = np.float32(delta)
    wanted = np.sign(np.sign(x + value) + np.sign(x - value))
    np.testing.assert_array_equal(layer.base + layer.step * layer.level(x), wanted)


@given(reals=st.lists(st.floats(-0.5, 1.5, width=32), min_size=1), bits=st.integers(1, 8))
def test_larqs_dorefa(reals: list[float], bits: int) -> None:
    x = np.array(reals, np.float32)[:, None]
    layer = activation_of("here", Named.plain("here", "dorefa_quantizer", {"k_bit": bits}), "q", "")
    steps = np.float32(2**bits - 1)
    wanted = np.rint(np.clip(x, np.float32(0), np.float32(1)) * steps)
    np.testing.assert_array_equal(layer.level(x), wanted)


def test_larqs_scaled_sign() -> None:
    latent = np.array([[0.5, -1.5], [0.0, 0.25]], np.float32)
    found = weights_of("here", Named.plain("here", "magnitude_aware_sign"), latent)
    np.testing.assert_array_equal(found.integers, [[1, -1], [1, 1]])
    np.testing.assert_array_equal(found.scale, [1, 0.125])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("unit", np.arange(256, dtype=np.float32) / np.float32(255)),
        ("symmetric", np.arange(256, dtype=np.float32) / np.float32(127.5) - np.float32(1)),
        ("bytes", np.arange(256, dtype=np.float32)),
        ("int8/16", np.arange(-128, 128, dtype=np.float32) / np.float32(16)),
        ("int4", np.arange(-8, 8, dtype=np.float32)),
        ("int16", np.arange(-(1 << 15), 1 << 15, dtype=np.float32)),
        ("fixed<16,6>", np.arange(-(1 << 15), 1 << 15, dtype=np.float32) / np.float32(1024)),
        ("ufixed<12,0>", np.arange(1 << 12, dtype=np.float32) / np.float32(4096)),
        ("fixed<4,6>", np.arange(-8, 8, dtype=np.float32) * np.float32(4)),
    ],
)
def test_every_value_of_a_grid_is_held(name: str, values: Any) -> None:
    chosen = grid(name)
    lattice = chosen.lattice()
    q = chosen.input((len(values),)).check(values[None])[0].astype(np.int64)
    assert len(set(q)) == len(values)
    held = lattice.scale * (lattice.step * q + lattice.base)
    np.testing.assert_allclose(held, values, rtol=0, atol=2e-6 * chosen.scale * 256)


def test_a_mean_and_a_deviation_are_the_hosts() -> None:
    """What the network is fed is ``(x - mean) / std``, on the grid."""
    chosen = grid("fixed<16,6>,mean=0.5:0.25:-1,std=0.25:2:0.5")
    x = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype(np.float32)
    fed = (x - np.float32([0.5, 0.25, -1])) / np.float32([0.25, 2, 0.5])
    held = chosen.lattice().scale * chosen.input((4, 4, 3)).check(x)
    np.testing.assert_allclose(held, fed, rtol=0, atol=0.5 / 1024 + 1e-4)
    assert grid("mean=0.5,std=0.25").precision == chosen.precision
    ends = chosen.input((4, 4, 3)).check(np.full((1, 4, 4, 3), 1e9, np.float32))
    assert (ends == 32767).all()  # saturated
    with pytest.raises(FormatError, match="3 means and deviations for 4 channels"):
        chosen.input((2, 2, 4))
    with pytest.raises(FormatError, match="outside the range of float32"):
        grid("mean=1e30,std=1e-30").input((4,))


_NO_GRIDS = [
    *["float", "int8/0", "int8/x", "int8/-4", "int99", "/3", "", "fixed<17,6>", "fixed<8,-20>"],
    *["mean=1", "std=1", "mean=1,std=0", "mean=x,std=1", "mean=1,std=1,std=2", "unit,foo=1,std=1"],
    *[
        "symmetric,mean=1,std=1",
        "unit,mean=0.5,std=0.5",
        "bytes,mean=1,std=1",
        "mean=1:2,std=1:2:3",
        "mean=inf,std=1",
        "fixed<16,6>,",
        "mean=,std=",
    ],
]


@pytest.mark.parametrize("name", _NO_GRIDS)
def test_other_grids_are_refused(name: str) -> None:
    with pytest.raises(FormatError, match="no such input"):
        grid(name)


@pytest.mark.parametrize("name", ["unit", "symmetric"])
def test_ties_at_every_byte_are_chainers(name: str) -> None:
    """A batch norm whose mean is a byte / 255 decides a tie there; a product would lose it."""
    folder = FIXTURES / "chainer"
    options = Options(topology=str(folder / "bytes.toml"), input=name)
    model = convert(folder / f"bytes-{name}.npz", None, options).model
    picked = (np.arange(256)[:, None] + np.arange(256)) % 256
    with np.load(folder / f"bytes-{name}.answers.npz") as arrays:
        wanted = arrays["logits"]
    found = bnn.Classifier(model, "reference").logits(byte_values(name)[picked])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ["unit", "symmetric", "bytes", "int8/16", "int5/10", "bipolar"])
@pytest.mark.parametrize("steps", [None, ((1 / 255, 0.0),), ((2.0, -1.0), (0.1, 0.3))])
def test_real_values_of_a_grid_are_computed_as_frameworks_do(name: str, steps: Any) -> None:
    chosen = grid(name)
    low, high = chosen.precision.low, chosen.precision.high
    whole = np.arange(low, high + 1).astype(np.float32)
    divisors = {"unit": 255, "symmetric": 127.5, "int8/16": 16, "int5/10": 10}
    wanted = whole / np.float32(divisors.get(name, 1)) - np.float32(name == "symmetric")
    factor, offset = 1.0, 0.0
    for product, added in steps or ():
        wanted = wanted * np.float32(product) + np.float32(added)
        factor, offset = factor * product, offset * product + added
    lattice = chosen.lattice(factor, offset, steps)
    found = lattice.real(np.arange(low, high + 1), low, np.float32)
    np.testing.assert_array_equal(found, wanted)
    # The sums' formula is the same up to rounding.
    q = np.arange(low, high + 1)
    np.testing.assert_allclose(lattice.scale * (lattice.step * q + lattice.base), wanted, atol=1e-5)


def test_real_values_must_rise_and_fit_the_input() -> None:
    with pytest.raises(NetworkError, match="rise"):
        Lattice(1.0, reals=(0.0, 1.0, 0.5))
    with pytest.raises(NetworkError, match="finite"):
        Lattice(1.0, reals=(0.0, float("inf")))
    last = Linear("l", np.ones((2, 3), np.int16), BIPOLAR)
    with pytest.raises(NetworkError, match="it has 3"):
        Network(grid("int4").input((3,)), (last,), Lattice(reals=(0.0, 1.0, 2.0)))


def test_real_values_of_bytes_survive_pools_and_become_a_pictures_table() -> None:
    table = byte_values("unit")
    lattice = grid("unit").lattice()
    middle = BatchNorm("n", [1.0], [0.0], [float(table[77])], [1.0])
    layers = (
        MaxPool("p", (2, 2), (2, 2)),
        middle,
        Sign("s"),
        Flatten("f"),
        Linear("l", np.ones((2, 1), np.int16), BIPOLAR),
    )
    network = Network(grid("unit").input((2, 2, 1)), layers, lattice)
    maps = np.broadcast_to(table[:, None, None, None], (256, 2, 2, 1))
    wanted = np.where(table >= table[77], 1, -1)
    model = Model(lower(network), ("a", "b"))
    np.testing.assert_array_equal(
        bnn.Classifier(model, "reference").scores(maps), wanted[:, None] * [1, 1]
    )
    np.testing.assert_array_equal(
        forward.evaluate(network, network.input.check(maps)).scores, wanted[:, None] * [1, 1]
    )
    pictures = replace(network, input=PictureInput((2, 2, 1), UINT(8), identity_table()))
    bytes_ = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None, None], (256, 2, 2, 1))
    model = Model(lower(pictures), ("a", "b"))
    np.testing.assert_array_equal(
        bnn.Classifier(model, "reference").scores(bytes_), wanted[:, None] * [1, 1]
    )
    direct = replace(pictures, layers=(middle, *layers[2:3], layers[0], *layers[3:]))
    model = Model(lower(direct), ("a", "b"))
    np.testing.assert_array_equal(
        bnn.Classifier(model, "reference").scores(bytes_), wanted[:, None] * [1, 1]
    )


# --- Larq's quantizers of an input ---------------------------------------------------


def near(*values: float) -> Any:
    """float32 around each value, and its negative."""
    x = np.array([*values, *(-v for v in values)], np.float32)
    around = [np.nextafter(x, np.float32(way)) for way in (-np.inf, np.inf)]
    return np.concatenate([x, *around])


@pytest.mark.parametrize("bits", range(1, 9))
def test_dorefa_of_an_input_is_larqs_for_every_float(bits: int) -> None:
    steps = np.float32(2**bits - 1)
    halves = (np.arange(2 * int(steps)) + 1) / 2
    x = np.concatenate([near(*(halves / float(steps)), 0.5, 1.0, 2.0), [0, -0.0, 1e-30, 3e38]])
    x = x.astype(np.float32)
    held = host_input("here", Named.plain("here", "dorefa_quantizer", {"k_bit": bits}), (1,))
    assert held is not None
    wanted = np.rint(np.clip(x, np.float32(0), np.float32(1)) * steps)
    np.testing.assert_array_equal(held[0].check(x[:, None])[:, 0], wanted)


@given(delta=st.floats(2.0**-20, 100, width=32))
def test_ternary_of_an_input_is_larqs_for_every_float(delta: float) -> None:
    held = host_input("here", Named.plain("here", "ste_tern", {"threshold_value": delta}), (1,))
    assert held is not None
    x = np.concatenate([near(delta), [0, 3e38, -3e38]]).astype(np.float32)
    value = np.float32(delta)
    wanted = np.sign(np.sign(x + value) + np.sign(x - value))
    np.testing.assert_array_equal(held[0].check(x[:, None])[:, 0], wanted)


def test_heaviside_of_an_input_is_larqs() -> None:
    held = host_input("here", Named.plain("here", "ste_heaviside"), (1,))
    assert held is not None
    tiny = np.finfo(np.float32).tiny
    x = np.array([-3e38, -1, -tiny, -0.0, 0, tiny, 1e-30, 1, 3e38], np.float32)
    np.testing.assert_array_equal(held[0].check(x[:, None])[:, 0], x > 0)


def test_quantizers_that_the_host_does_not_have() -> None:
    plain = Named.plain
    for given_one in (
        plain("here", "ste_tern", {"threshold_value": 0.0}),
        plain("here", "ste_tern", {"ternary_weight_networks": True}),
        plain("here", "dorefa_quantizer", {"mode": "weights"}),
        plain("here", "magnitude_aware_sign"),
    ):
        assert host_input("here", given_one, (1,)) is None


@pytest.mark.parametrize("bits", [2, 3])
def test_weights_that_rounding_in_float32_decides_are_counted(bits: int) -> None:
    """Of DoReFa's steps and of a ternary network's threshold; a part in a million off is sure."""
    steps = (1 << bits) - 1
    largest, edges = np.tanh(1.5), (np.arange(steps) + 0.5) / steps
    on_step = np.arctanh((2 * edges - 1) * largest)
    dorefa = Named.plain("here", "dorefa_quantizer", {"mode": "weights", "k_bit": bits})
    assert unsure(dorefa, np.array([*on_step, 1.5, -1.5])) == steps
    assert unsure(dorefa, np.array([*(on_step + 1e-5), 1.5, -1.5])) == 0
    assert unsure(dorefa, np.zeros(4)) == 0
    ternary = Named.plain("here", "ste_tern", {"ternary_weight_networks": True})
    weights = np.array([0.7, -0.7, 2.0, 0.6])  # 0.7 times the mean of their sizes is 0.7
    assert unsure(ternary, weights) == 2
    assert unsure(ternary, weights * [1, -1, 1, -1]) == 2
    assert unsure(ternary, np.array([0.7, -0.7, 2.0, 0.60004])) == 0
    assert unsure(ternary, np.zeros(4)) == 0
    for other in (None, Named.plain("here", "ste_tern"), Named.plain("here", "dorefa_quantizer")):
        assert unsure(other, np.array([0.05, 0.5])) == 0


def test_a_ternary_activation_of_any_threshold_that_is_not_negative() -> None:
    for threshold in (0.0, 0.25):
        given_one = Named.plain("here", "ste_tern", {"threshold_value": threshold})
        made = activation_of("here", given_one, "a", "")
        x = np.array([-1, -0.3, -0.25, -0.1, 0, 0.1, 0.25, 0.3, 1], np.float32)
        wanted = np.sign(np.sign(x + np.float32(threshold)) + np.sign(x - np.float32(threshold)))
        assert isinstance(made, MultiThreshold)
        np.testing.assert_array_equal(made.level(x[:, None])[:, 0] + made.base, wanted)
    with pytest.raises(FormatError, match="threshold_value of ste_tern must not be negative"):
        activation_of("here", Named.plain("here", "ste_tern", {"threshold_value": -0.1}), "a", "")


# --- real-valued activations ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "config", "wanted"),
    [
        ("relu", {}, lambda x: np.maximum(x, 0)),
        ("relu6", {}, lambda x: np.minimum(np.maximum(x, 0), 6)),
        ("hard_tanh", {}, lambda x: np.clip(x, -1, 1)),
        ("ReLU", {"max_value": 2.5}, lambda x: np.minimum(np.maximum(x, 0), 2.5)),
        ("ReLU", {"max_value": None, "negative_slope": 0.0}, lambda x: np.maximum(x, 0)),
    ],
)
def test_real_activations(name: str, config: Any, wanted: Any) -> None:
    made = named("here", {"class_name": name, "config": config})
    assert made is not None
    layer = real_activation(made, "a", "")
    assert layer is not None
    x = near(0.5, 1, 1.5, 2.5, 6, 7)[:, None]
    np.testing.assert_array_equal(real_layer(layer, x), wanted(x))


def test_scales_of_depthwise_kernels_are_means_over_all_channels() -> None:
    """Rows are ordered channel by channel, two multipliers each."""
    latent = np.array([0.5, -1.0, 1.5, 0.0, -2.5, 2.0], np.float32).reshape(6, 1, 1, 1)
    found = weights_of("here", Named.plain("here", "magnitude_aware_sign"), latent, 2)
    np.testing.assert_array_equal(found.scale, [1.5, 1.0] * 3)
    np.testing.assert_array_equal(found.integers.reshape(-1), [1, -1, 1, 1, -1, 1])


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 14, 15, 254, 255])
@pytest.mark.parametrize(("scale", "bias"), [(1, 0), (1, 1), (1, -3), (2, -1), (2, 1), (0.5, 3)])
@pytest.mark.parametrize(("factor", "offset"), [(1.0, 0.0), (0.25, -3.0)])
def test_thresholds_of_the_input(
    count: int, scale: float, bias: float, factor: float, offset: float
) -> None:
    """The host's integers stand for the very values that the graph's thresholds make."""
    table = (np.arange(count)[None, :] * 0.5 - 1.0).astype(np.float32)
    raw = RawInput((1, 3), ("N", "C"), np.array([factor]), np.array([offset]))
    fed = thresholded_input(raw, Constant(table), Lattice.of(scale, bias))
    bits = (count + 1).bit_length()
    if count not in (1, (1 << bits - 1) - 1, (1 << bits - 1) - 2, (1 << bits) - 2):
        assert fed is None
        return
    assert fed is not None
    middles = np.arange(-2, count + 2) * 0.5 - 1.25
    x = ((middles - offset) / factor).astype(np.float32)[:, None].repeat(3, 1)
    reached = (middles[:, None] >= table).sum(axis=1)
    q = fed.input.quantized(x).astype(np.int64)
    real = fed.lattice.scale * (fed.lattice.step * q + fed.lattice.base)
    np.testing.assert_array_equal(real, np.repeat((scale * reached + bias)[:, None], 3, 1))


TINY = float(np.finfo(np.float32).tiny)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("variance", "epsilon", "accepted"),
    [
        ([1, 0.5], 0.0, True),
        ([TINY, 1], 0.0, True),
        ([1e-38, 1], 0.0, False),
        ([1, 1e-45], 0.0, False),
        ([0, 1], 0.0, False),
        ([0, 1], 1e-40, False),
        ([0, 1e-38], 1e-3, True),
        ([1, -1], 0.0, False),
        ([1, np.nan], 1e-3, False),
    ],
)
def test_a_deviation_that_frameworks_take_as_0(
    kind: Any, variance: list[float], epsilon: float, accepted: bool
) -> None:
    # TensorFlow's answers to such networks are NaN; NumPy's are numbers.
    def make() -> BatchNorm:
        numbers = np.array(variance, kind)
        return BatchNorm.from_variance("norm", [1, 1], [0, 1], [0, 0], numbers, epsilon)

    if accepted:
        make()
        return
    with pytest.raises(NetworkError, match=r"norm: variance \+ epsilon is .* in channel [01]"):
        make()


@pytest.mark.parametrize(
    ("gamma", "beta", "mean", "variance", "accepted"),
    [
        (1e-40, 0.0, 0.0, 1.0, False),
        (-1e-40, 1e-30, 0.0, 1.0, False),
        (1e-40, 0.5, 0.0, 1.0, True),
        (1e-40, -0.5, 3.0, 1.0, True),
        (0.0, 0.0, 3.0, 1.0, True),
        (1e-20, 0.0, 0.0, 1e38, False),
        (TINY, 0.0, 3.0, 1.0, True),
    ],
)
def test_a_slope_that_frameworks_take_as_0(
    gamma: float, beta: float, mean: float, variance: float, accepted: bool
) -> None:
    values = [np.array([1, value], np.float32) for value in (gamma, beta, mean, variance)]
    if accepted:
        BatchNorm.from_variance("norm", *values, 0.0)
        return
    with pytest.raises(NetworkError, match="norm: its factor in channel 1 is below"):
        BatchNorm.from_variance("norm", *values, 0.0)

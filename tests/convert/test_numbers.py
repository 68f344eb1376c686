# SPDX-License-Identifier: BSD-3-Clause
"""Quantizers, weights and grids: numbers of any kind come out as the framework has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnn.errors import FormatError
from bnn.formats.grids import grid
from bnn.formats.keras_quantizers import Named, activation_of, weights_of
from bnn.formats.onnx_file import Node
from bnn.formats.qonnx_quant import activation, quant
from bnn.formats.weights import from_real
from qonnx_executor import bounds, rounded
from qonnx_graphs import MODES

SCALES = st.floats(2.0**-12, 2.0**12, width=32)
REALS = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=50)


def node(kind: str, **attributes: Any) -> Node:
    return Node("q", kind, "", (), (), attributes)


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
    ],
)
def test_every_value_of_a_grid_is_held(name: str, values: Any) -> None:
    chosen = grid(name)
    lattice = chosen.lattice()
    q = chosen.input((len(values),)).check(values[None])[0].astype(np.int64)
    assert len(set(q)) == len(values)
    held = lattice.scale * (lattice.step * q + lattice.base)
    np.testing.assert_allclose(held, values, rtol=0, atol=2e-6 * chosen.scale * 256)


@pytest.mark.parametrize("name", ["float", "int8/0", "int8/x", "int8/-4", "int99", "/3", ""])
def test_other_grids_are_refused(name: str) -> None:
    with pytest.raises(FormatError, match="no such input"):
        grid(name)

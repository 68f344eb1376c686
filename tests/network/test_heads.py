# SPDX-License-Identifier: BSD-3-Clause
"""The end of a network as one affine function: the layers one by one, in Python's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import NetworkError
from bnn.network.forward import evaluate, head
from bnn.network.network import BatchNorm, Clip, Layer, Linear, Network, RealDense, Scale
from bnn.program.inputs import RealInput
from bnn.program.precision import INT

INPUTS = 3


def _network(layers: list[Layer]) -> Network:
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    return Network(
        RealInput((1, 1, INPUTS), INT(4), one, zero), tuple(layers), arithmetic="float64"
    )


def _by_hand(layer: Layer, x: list[float]) -> list[float]:
    """One layer, a channel at a time."""

    def of(values: object, channel: int) -> float:
        flat = np.asarray(values, np.float64).reshape(-1)
        return float(flat[channel % len(flat)])

    match layer:
        case Linear() | RealDense():
            rows = np.asarray(layer.weights).tolist()
            scales = [of(layer.scale, c) if isinstance(layer, Linear) else 1.0 for c in range(9)]
            biases = [0.0 if layer.bias is None else of(layer.bias, c) for c in range(len(rows))]
            return [
                scales[c] * sum(w * v for w, v in zip(row, x, strict=True)) + biases[c]
                for c, row in enumerate(rows)
            ]
        case BatchNorm():
            return [
                (v - of(layer.mean, c)) * of(layer.inv_std, c) * of(layer.gamma, c)
                + of(layer.beta, c)
                for c, v in enumerate(x)
            ]
        case Scale():
            return [
                v * of(layer.factor, c) / of(layer.divisor, c) + of(layer.offset, c)
                for c, v in enumerate(x)
            ]
        case Clip():
            return [min(max(v, layer.low), layer.high) for v in x]
    raise AssertionError(layer)


@st.composite
def _tails(draw: st.DrawFn) -> list[Layer]:
    """A dense layer of integers, affine layers, and perhaps clips and a dense layer of reals."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    units = draw(st.integers(1, 4))

    def reals(count: int) -> np.ndarray:
        return random.choice([-1, 1]) * random.uniform(0.5, 2, count)

    def affine(name: str, channels: int) -> Layer:
        many = [1, channels][int(random.integers(2))]
        if random.integers(2):
            order = ["centered", "scaled", "folded"][int(random.integers(3))]
            return BatchNorm(name, *(reals(many) for _ in range(4)), order)  # type: ignore[arg-type]
        return Scale(name, reals(many), reals(many), divisor=reals(many))

    weights = random.integers(-3, 4, (units, INPUTS)).astype(np.int16)
    bias = reals(units) if random.integers(2) else None
    layers: list[Layer] = [Linear("sums", weights, INT(3), reals(units), bias)]
    layers += [affine(f"a{i}", units) for i in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        layers += [
            Clip(f"c{i}", float(random.uniform(-9, 0)), float(random.uniform(1, 9)))
            for i in range(draw(st.integers(0, 2)))
        ]
        layers += [affine(f"b{i}", units) for i in range(draw(st.integers(0, 2)))]
        classes = draw(st.integers(1, 3))
        bias = reals(classes) if random.integers(2) else None
        layers.append(RealDense("last", random.normal(size=(classes, units)), bias))
        layers += [affine(f"e{i}", classes) for i in range(draw(st.integers(0, 2)))]
    return layers


@settings(max_examples=150)
@given(_tails())
def test_logits_are_those_of_the_layers_one_by_one(layers: list[Layer]) -> None:
    inputs = np.array([[-8, 7, 0], [1, -2, 3], [5, 5, -5], [0, 0, 0]])
    found = evaluate(_network(layers), inputs.reshape(4, 1, 1, INPUTS).astype(np.float32))
    expected = []
    for row in inputs.tolist():
        values = [float(v) for v in row]
        for layer in layers:
            values = _by_hand(layer, values)
        expected.append(values)
    np.testing.assert_allclose(found.logits, expected, rtol=1e-9, atol=1e-9)


def test_what_a_head_cannot_be() -> None:
    sums = Linear("sums", np.ones((2, INPUTS), np.int16), INT(3))
    dense = RealDense("last", np.ones((2, 2)))
    with pytest.raises(NetworkError, match="c: what follows the last integer sum must be affine"):
        head(_network([sums, Scale("a"), Clip("b"), Scale("s"), Clip("c"), dense]))
    with pytest.raises(NetworkError, match="no convolution or dense layer"):
        head(_network([Scale("a")]))

# SPDX-License-Identifier: BSD-3-Clause
"""Build a network from a topology and its trained values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnn._typing import assert_never
from bnn.network.network import BatchNorm, Conv2d, Flatten, Linear, MaxPool, Network
from bnn.network.network import Layer as NetworkLayer
from bnn.network.quantizers import activation, encoded_input, quantize_weights, unit_scale
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology

Order = Literal["centered", "scaled", "folded"]


@dataclass(frozen=True, eq=False)
class Weights:
    """Real weights and bias of a layer.

    Attributes:
        weights: (out, kernel height, kernel width, in) or (units, inputs).
        bias: (out,) or (units,); None for zeros.
    """

    weights: NDArray[Any]
    bias: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Statistics:
    """Parameters of a batch norm, each of shape (1,) or (channels,)."""

    gamma: NDArray[Any]
    beta: NDArray[Any]
    mean: NDArray[Any]
    inv_std: NDArray[Any]


Parameters = Weights | Statistics


def assemble(
    topology: Topology,
    parameters: Sequence[Parameters],
    order: Order = "scaled",
    arithmetic: Literal["float32", "float64"] = "float32",
) -> Network:
    """Return the network of ``topology`` with ``parameters``; weights are quantized.

    Layers are called ``conv0``, ``norm0``, ``act0``, ``conv1`` and so on: the number counts layers
    with weights, and the layers after them have the same number. The flattening is ``flatten``.

    Args:
        topology: the layers without values.
        parameters: values of each layer with parameters (conv, dense, norm), in order.
        order: order of the operations of batch norms, see :class:`~bnn.network.layers.BatchNorm`.
        arithmetic: dtype of the real values, see :class:`~bnn.network.network.Network`.

    Raises:
        NetworkError: shapes do not fit, or values are not finite; the message names the layer.
    """
    given, lattice = encoded_input(topology.input, topology.encoding)
    layers = tuple(_layers(topology, iter(parameters), order))
    return Network(given, layers, lattice, arithmetic)


def _layers(topology: Topology, values: Iterator[Any], order: Order) -> Iterator[NetworkLayer]:
    number = -1
    for layer, shape in zip(topology.layers, topology.shapes(), strict=False):
        match layer:
            case Conv():
                number += 1
                yield _conv(f"conv{number}", layer, next(values))
            case Dense():
                number += 1
                if shape[:2] != (1, 1):
                    yield Flatten("flatten")
                yield _dense(f"dense{number}", layer, next(values))
            case Norm():
                yield _norm(f"norm{number}", next(values), order)
            case Pool():
                yield MaxPool(f"pool{number}", layer.kernel, layer.stride)
            case Act():
                yield activation(f"act{number}", layer.precision)
            case _:
                assert_never(layer)


def _conv(name: str, layer: Conv, given: Weights) -> Conv2d:
    weights = quantize_weights(given.weights, layer.weights)
    scale = unit_scale(layer.weights)
    return Conv2d(name, weights, layer.weights, scale, given.bias, layer.stride, layer.padding)


def _dense(name: str, layer: Dense, given: Weights) -> Linear:
    weights = quantize_weights(given.weights, layer.weights)
    return Linear(name, weights, layer.weights, unit_scale(layer.weights), given.bias)


def _norm(name: str, given: Statistics, order: Order) -> BatchNorm:
    return BatchNorm(name, given.gamma, given.beta, given.mean, given.inv_std, order)


def random_parameters(topology: Topology, rng: np.random.Generator) -> list[Parameters]:
    """Return random float32 parameters of ``topology``, for tests, plans and benchmarks.

    Some gammas are negative, and some are 0.
    """
    found: list[Parameters] = []
    spread = 1.0
    for layer, before in zip(topology.layers, topology.shapes(), strict=False):
        match layer:
            case Conv():
                shape = (layer.channels, *layer.kernel, before[2])
                found.append(_random_weights(shape, layer.bias, rng))
                spread = math.sqrt(math.prod(shape[1:]))
            case Dense():
                found.append(_random_weights((layer.units, math.prod(before)), layer.bias, rng))
                spread = math.sqrt(math.prod(before))
            case Norm():
                channels = 1 if layer.scalar else before[2]
                found.append(_random_statistics(channels, spread, rng))
            case Pool() | Act():
                continue
            case _:
                assert_never(layer)
    return found


def _random_weights(shape: tuple[int, ...], bias: bool, rng: np.random.Generator) -> Weights:
    weights = rng.uniform(-1, 1, shape).astype(np.float32)
    return Weights(weights, rng.normal(size=shape[0]).astype(np.float32) if bias else None)


def _random_statistics(channels: int, spread: float, rng: np.random.Generator) -> Statistics:
    gamma = rng.normal(1, 1, channels) * (rng.random(channels) > 0.02)
    beta, mean = rng.normal(0, 0.3, channels), rng.normal(0, 0.5 * spread, channels)
    inv_std = rng.uniform(0.5, 2, channels) / spread
    return Statistics(*(value.astype(np.float32) for value in (gamma, beta, mean, inv_std)))

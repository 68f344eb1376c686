# SPDX-License-Identifier: BSD-3-Clause
"""Forward pass of a trained network in its declared arithmetic; slow and simple.

Lowering must preserve the results of this pass. Both share no code except the arithmetic of single
layers (:mod:`bnn.network.arithmetic`). Whole numbers are multiplied and summed exactly; real values
go through the layers one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn._typing import assert_never
from bnn.errors import NetworkError
from bnn.network.arithmetic import accumulator_scale, real_layer, slope, vector, whole_pad
from bnn.network.network import (
    Add,
    BatchNorm,
    Clip,
    Concat,
    Conv2d,
    FixedPoint,
    Flatten,
    Integers,
    Layer,
    Leaky,
    Linear,
    MaxPool,
    MultiThreshold,
    Network,
    Quantize,
    Real,
    RealDense,
    Scale,
    Sign,
    Weighted,
    common,
)
from bnn.program.operations import INPUT, Affine, Dense, Rescale
from bnn.program.precision import INT
from bnn.program.semantics import rescale


@dataclass(frozen=True, eq=False)
class Value:
    """A layer's result.

    Attributes:
        real: the real values (N, height, width, channels).
        integers: the whole numbers, of the same shape; None if the result is not quantized.
    """

    real: Real
    integers: Integers | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All results of a forward pass.

    Attributes:
        values: the input (name ``"input"``) and the result of every layer, by name.
        scores: int64 (N, scores), the last integer sums.
        logits: float64 (N, classes), the results of the head for the scores.
        classes: int64 (N,), index of the largest logit, the first one if several are equal.
    """

    values: dict[str, Value]
    scores: Integers
    logits: NDArray[np.float64]

    @property
    def classes(self) -> Integers:
        """int64 (N,): index of the largest logit, the first one if several are equal."""
        classes: Integers = self.logits.argmax(axis=1)
        return classes


@dataclass(frozen=True, eq=False)
class Head:
    """The end of a network.

    Attributes:
        layer: name of the layer whose whole numbers are the scores.
        affine: makes the logits of the scores.
    """

    layer: str
    affine: Affine


def evaluate(network: Network, inputs: NDArray[Any]) -> Evaluation:
    """Run a forward pass over a batch and return all results.

    ``inputs`` are what ``network.input.check`` returned.
    """
    lattice, top = network.lattice, network.signals[INPUT].shape
    q = network.input.integers(inputs).astype(np.int64).reshape(len(inputs), *top)
    real = lattice.real(q, network.input.precision.low, network.dtype)
    values = {INPUT: Value(real, lattice.step * q + lattice.base)}
    for layer in network.layers:
        values[layer.name] = _apply(layer, values, network)
    last = head(network)
    scores = sums(network, last.layer, values)[:, 0, 0, :]
    return Evaluation(values, scores, last.affine.logits(scores.astype(np.int32)))


def head(network: Network) -> Head:
    """Return the end of ``network`` after the last integer sum, as one :class:`Affine`.

    It is composed in float64, whatever the network's arithmetic is. If the network ends in a layer
    of real weights, the affine has a dense layer.

    Raises:
        NetworkError: a layer after the last integer sum cannot be in a head.
    """
    by_name = {layer.name: layer for layer in network.layers}
    after: list[BatchNorm | Scale | Clip | RealDense] = []
    layer: Layer = network.layers[-1]
    is_dense = False
    while (
        isinstance(layer, BatchNorm | Scale)
        or (isinstance(layer, RealDense) and not is_dense)
        or (isinstance(layer, Clip) and is_dense)
        or _keeps_shape(layer, network)
    ):
        if isinstance(layer, BatchNorm | Scale | Clip | RealDense):
            after.insert(0, layer)
        is_dense = is_dense or isinstance(layer, RealDense)
        if layer.source == INPUT:
            raise NetworkError("the network has no convolution or dense layer")
        layer = by_name[layer.source]
    return Head(layer.name, _compose(layer, after, network))


def _keeps_shape(layer: Layer, network: Network) -> bool:
    signals = network.signals
    return isinstance(layer, Flatten) and signals[layer.source].shape == signals[layer.name].shape


def _compose(
    layer: Layer, after: list[BatchNorm | Scale | Clip | RealDense], network: Network
) -> Affine:
    signal = network.signals[layer.name]
    scale = np.ones(signal.shape[2])
    offset = np.zeros(signal.shape[2])
    if isinstance(layer, Weighted):
        source_scale = network.source_scale(layer)
        scale = scale * accumulator_scale(layer, source_scale, np.float64)
        offset = offset if layer.bias is None else offset + vector(layer.bias, np.float64)
    elif signal.scale is not None:
        scale = scale * signal.scale
    else:
        raise NetworkError(f"{layer.name}: what follows the last integer sum must be affine")
    # What is clipped, or multiplied by a matrix, is the host's dense layer.
    first = next((i for i, step in enumerate(after) if isinstance(step, Clip | RealDense)), None)
    if first is not None:
        scale, offset = _moved(scale, offset, after[:first])
        return Affine(scale, offset, _dense(after[first:]))
    return Affine(*_moved(scale, offset, after))


def _dense(steps: list[BatchNorm | Scale | Clip | RealDense]) -> Dense:
    """Return ``steps`` as one dense layer: clips, affine layers, a dense layer, affine layers."""
    low, high = -np.inf, np.inf
    while isinstance(step := steps[0], Clip):
        low, high = (float(np.clip(end, step.low, step.high)) for end in (low, high))
        steps = steps[1:]
    at = next(i for i, step in enumerate(steps) if isinstance(step, RealDense))
    dense, before = steps[at], steps[:at]
    assert isinstance(dense, RealDense)
    for step in before:
        if isinstance(step, Clip):
            raise NetworkError(f"{step.name}: what follows the last integer sum must be affine")
    matrix = np.asarray(dense.weights, np.float64)
    factor, added = _moved(np.ones(matrix.shape[1]), np.zeros(matrix.shape[1]), before)
    bias = np.zeros(len(matrix)) if dense.bias is None else vector(dense.bias, np.float64)
    bias = bias + np.einsum("ci,i->c", matrix, added)
    scale, bias = _moved(np.ones(len(matrix)), bias, steps[at + 1 :])
    return Dense(matrix * factor * scale[:, None], bias, low, high)


def _moved(
    scale: Any, offset: Any, steps: list[BatchNorm | Scale | Clip | RealDense]
) -> tuple[Any, Any]:
    """Return scale and offset of the affine function ``scale * x + offset``, then ``steps``."""
    for step in steps:
        assert isinstance(step, BatchNorm | Scale)
        at_zero = real_layer(step, np.zeros(np.size(offset)))
        factor = slope(step)
        scale, offset = scale * factor, offset * factor + at_zero
    return scale, offset


def sums(network: Network, name: str, values: dict[str, Value]) -> Integers:
    """Return the whole numbers of layer ``name``, int64 (N, height, width, channels).

    For a layer with weights, they are its integer sums, without scale and bias.
    """
    layer = next(layer for layer in network.layers if layer.name == name)
    if isinstance(layer, Weighted):
        return _sums(layer, values[layer.source], network)
    integers = values[name].integers
    assert integers is not None
    return integers


def _apply(layer: Layer, values: dict[str, Value], network: Network) -> Value:
    source = values[layer.source]
    match layer:
        case Conv2d() | Linear():
            return _weighted(layer, source, network)
        case BatchNorm() | Scale() | Clip() | Leaky():
            return Value(real_layer(layer, source.real))
        case Sign() | Quantize() | MultiThreshold():
            v = layer.base + layer.step * layer.level(source.real)
            return _quantized(v, layer.scale, network)
        case MaxPool():
            # The largest real value has the smallest whole number where the scale is negative.
            sign = -1 if (network.signals[layer.name].scale or 1) < 0 else 1
            whole = None if source.integers is None else sign * _pool(sign * source.integers, layer)
            return Value(_pool(source.real, layer), whole)
        case Add():
            scales = [network.signals[name].scale for name in (layer.source, layer.other)]
            by = common(layer, *scales)  # type: ignore[arg-type]  # both are quantized
            one, other = source.integers, values[layer.other].integers
            assert one is not None
            assert other is not None
            return _quantized(by.one * one + by.two * other, by.unit, network)
        case Concat():
            one, other = source.integers, values[layer.other].integers
            assert one is not None
            assert other is not None
            scale = network.signals[layer.name].scale
            assert scale is not None
            return _quantized(np.concatenate([one, other], axis=3), scale, network)
        case FixedPoint():
            assert source.integers is not None
            whole = rescale(source.integers, rescaling(layer))
            return _quantized(whole, layer.scale, network)
        case RealDense():
            weights: Any = np.asarray(layer.weights, network.dtype)
            product = source.real @ weights.T
            bias = 0.0 if layer.bias is None else vector(layer.bias, network.dtype)
            return Value(product + bias)
        case Flatten():
            shape = (len(source.real), *network.signals[layer.name].shape)
            whole = None if source.integers is None else source.integers.reshape(shape)
            return Value(source.real.reshape(shape), whole)
    assert_never(layer)


def rescaling(layer: FixedPoint, name: str = "r", source: str = INPUT) -> Rescale:
    """Return the operation that computes the integers of ``layer`` from the source's integers."""
    precision = INT(max(_bits(layer.low), _bits(layer.high)))
    ends = (precision, layer.low, layer.high)
    return Rescale(name, source, layer.multipliers, layer.shift, *ends, layer.offsets)


def _bits(value: int) -> int:
    return (value if value >= 0 else ~value).bit_length() + 1


def _quantized(integers: Integers, scale: float, network: Network) -> Value:
    dtype: Any = network.dtype
    return Value(integers.astype(dtype) * dtype(scale), integers)


def _weighted(layer: Conv2d | Linear, source: Value, network: Network) -> Value:
    total = _sums(layer, source, network)
    dtype: Any = network.dtype
    scale = accumulator_scale(layer, network.source_scale(layer), dtype)
    real = total.astype(dtype) * scale
    if layer.bias is not None:
        return Value(real + vector(layer.bias, dtype))
    return Value(real, total if scale.size == 1 else None)


def _sums(layer: Conv2d | Linear, source: Value, network: Network) -> Integers:
    assert source.integers is not None
    # Sums of whole numbers stay far below 2^53: products in float64 are exact, and fast.
    weights = layer.weights.astype(np.float64)
    match layer:
        case Linear():
            return _whole(source.integers @ weights.T)
        case Conv2d():
            patches = _patches(layer, source.integers, network)
            return _whole(np.einsum("nyxcij,oijc->nyxo", patches, weights, optimize=True))
    assert_never(layer)


def _patches(layer: Conv2d, integers: Integers, network: Network) -> Any:
    top, left, bottom, right = layer.padding
    pad = whole_pad(layer, network.source_scale(layer))
    padded = np.pad(
        integers.astype(np.float64),
        ((0, 0), (top, bottom), (left, right), (0, 0)),
        constant_values=pad,
    )
    views = np.lib.stride_tricks.sliding_window_view(padded, layer.weights.shape[1:3], axis=(1, 2))
    return views[:, :: layer.stride[0], :: layer.stride[1]]


def _whole(total: Any) -> Integers:
    whole: Integers = total.astype(np.int64)
    return whole


def _pool(maps: Any, layer: MaxPool) -> Any:
    lowest = np.iinfo(np.int64).min if maps.dtype == np.int64 else -np.inf
    top, left, bottom, right = layer.padding
    padded = np.pad(maps, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=lowest)
    views = np.lib.stride_tricks.sliding_window_view(padded, layer.kernel, axis=(1, 2))
    return views[:, :: layer.stride[0], :: layer.stride[1]].max(axis=(4, 5))

# SPDX-License-Identifier: BSD-3-Clause
"""Layers collected by a reader of a file, and constructions that several readers use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.network.layers import is_real, with_sources
from bnn.network.network import (
    Activation,
    Add,
    Conv2d,
    Lattice,
    Layer,
    Linear,
    MaxPool,
    MultiThreshold,
    Quantize,
    RealDense,
    Scale,
)
from bnn.program.inputs import Input, RealInput
from bnn.program.operations import Borders, Pair
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT

#: Most weights of an average pool that is written as a convolution.
MAX_AVERAGE_WEIGHTS = 1 << 24
#: Most weights of a layer, with the zeros of groups and dilation.
MAX_WEIGHTS = 1 << 26


class Stack:
    """Layers in order, under unique names."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self._names = {"input", ""}
        self._numbers: dict[str, int] = {}

    def name(self, wanted: str) -> str:
        """Reserve a unique name like ``wanted``, and return it."""
        name = first = wanted or "layer"
        while name in self._names:  # count on, so that many equal names stay fast
            self._numbers[first] = self._numbers.get(first, 1) + 1
            name = f"{first}_{self._numbers[first]}"
        self._names.add(name)
        return name

    def add(self, layer: Layer) -> str:
        """Append ``layer``, whose name came from :meth:`name`, and return its name."""
        self.layers.append(layer)
        return layer.name


def average_pool(name: str, channels: int, kernel: Pair, stride: Pair, source: str) -> Conv2d:
    """Return an average pool as a convolution with weights 1, whose sums are scaled by 1 / taps."""
    taps = kernel[0] * kernel[1]
    if channels * channels * taps > MAX_AVERAGE_WEIGHTS:
        raise FormatError(
            f"{name}: an average over {taps} positions of {channels} channels is too large"
        )
    weights = np.zeros((channels, *kernel, channels), np.int16)
    weights[np.arange(channels), :, :, np.arange(channels)] = 1
    return Conv2d(name, weights, UINT(1), np.float32(1 / taps), None, stride, source=source)


def grouped(weights: NDArray[Any], groups: int) -> NDArray[Any]:
    """Return kernels (out, height, width, in / groups) as kernels (out, height, width, in).

    Weights for the channels of other groups are 0.
    """
    out, height, width, each = weights.shape
    _check_size("a convolution of groups", (out, height, width, each, groups))
    full = np.zeros((out, height, width, each * groups), weights.dtype)
    rows = out // groups
    for group in range(groups):
        mine = slice(group * rows, (group + 1) * rows)
        full[mine, :, :, group * each : (group + 1) * each] = weights[mine]
    return full


def _check_size(what: str, sizes: Sequence[int]) -> None:
    if math.prod(map(int, sizes)) > MAX_WEIGHTS:
        raise FormatError(f"{what} has more than {MAX_WEIGHTS} weights, zeros included")


def extent(size: Pair, dilation: Pair) -> Pair:
    """Return the height and width of a dilated kernel."""
    return (size[0] - 1) * dilation[0] + 1, (size[1] - 1) * dilation[1] + 1


def dilated(weights: NDArray[Any], dilation: Pair) -> NDArray[Any]:
    """Return kernels (out, height, width, in) dilated: zeros are inserted between the positions."""
    out, height, width, channels = weights.shape
    size = extent((height, width), dilation)
    _check_size("a dilated convolution", (out, *size, channels))
    full = np.zeros((out, *size, channels), weights.dtype)
    full[:, :: dilation[0], :: dilation[1]] = weights
    return full


def same_padding(size: Pair, kernel: Pair, stride: Pair, low_first: bool = True) -> Borders:
    """Return the padding ``same`` as (top, left, bottom, right).

    With it there are ceil(size / stride) windows along each axis. ``low_first``: whether the
    smaller half of an odd number comes first (at the top and the left).
    """
    pads = []
    for axis in range(2):
        windows = -(-size[axis] // stride[axis])
        total = max((windows - 1) * stride[axis] + kernel[axis] - size[axis], 0)
        pads.append(
            (total // 2, total - total // 2) if low_first else (total - total // 2, total // 2)
        )
    return (pads[0][0], pads[1][0], pads[0][1], pads[1][1])


def two_classes(stack: Stack, network_output: Activation | Layer, source: str) -> None:
    """Replace the layer that makes the only output x by one that makes two scores, -x and x.

    So class 1 is chosen if x is positive.
    """
    match network_output:
        case Linear():
            doubled = np.concatenate([-network_output.weights, network_output.weights])
            precision = network_output.precision
            if not precision.allows(doubled):
                precision = INT(precision.bits + 1, narrow=True)
            bias = network_output.bias
            both = None if bias is None else np.concatenate([-np.asarray(bias), np.asarray(bias)])
            stack.layers[stack.layers.index(network_output)] = Linear(
                network_output.name, doubled, precision, network_output.scale, both, source
            )
        case RealDense():
            weights = np.asarray(network_output.weights)
            given = network_output.bias
            pair = (
                None if given is None else np.concatenate([-np.asarray(given), np.asarray(given)])
            )
            stack.layers[stack.layers.index(network_output)] = RealDense(
                network_output.name, np.concatenate([-weights, weights]), pair, source
            )
        case _:
            raise FormatError(
                f"{network_output.name}: an output of one value must be a dense layer's"
            )


def append_two_classes(stack: Stack, source: str) -> str:
    """Append a layer that makes two scores, -x and x, of a quantized output x; return its name."""
    weights = np.array([[-1], [1]], np.int16)
    return stack.add(Linear(stack.name("classes"), weights, BIPOLAR, source=source))


def add_conv(stack: Stack, conv: Conv2d, lattice: Lattice, given: Input | None = None) -> str:
    """Append ``conv``, whose name came from ``stack``, and return the name of its result.

    Zero padding needs a code for 0, which bytes scaled to [-1, 1] do not have. The positive part
    x+ and the negative part x- of such values have a code for 0, and conv(x) = conv(x+) - conv(x-)
    is exact: so two convolutions and a difference are appended.

    If these parts do not fit in 8 bits, the integers q of the network's input ``given`` and a map
    of ones are padded with zeros and convolved separately: the sum of ``step * q + base`` over the
    positions inside the map is ``step * conv(q) + base * conv(ones)``, exactly.

    Raises:
        FormatError: the padding value is not 0, or the input is not known.
    """
    pad = conv.pad_value / lattice.scale
    fits = pad == round(pad) and (round(pad) - lattice.base) % lattice.step == 0
    # Real weights are summed in fixed point, which has a 0.
    if conv.source != "input" or not any(conv.padding) or fits or is_real(conv):
        return stack.add(conv)
    if conv.pad_value:
        raise FormatError(
            f"{conv.name}: its input has no integer for the padding value {conv.pad_value:g}"
        )
    if 255 * lattice.step + lattice.base > 255 or lattice.base < -255:
        return _inside(stack, conv, lattice, given)
    positive, negative = _parts(stack, lattice.scale)
    turned = (-conv.weights.astype(np.int32)).astype(np.int16)
    precision = conv.precision
    if not precision.allows(turned):
        precision = INT(precision.bits + 1, narrow=True)
    plain = replace(conv, scale=np.ones(1, np.float32), bias=None)
    one = stack.add(replace(plain, name=stack.name(f"{conv.name}_positive"), source=positive))
    name = stack.name(f"{conv.name}_negative")
    two = stack.add(replace(plain, name=name, weights=turned, precision=precision, source=negative))
    both = stack.add(Add(stack.name(f"{conv.name}_sum"), two, one))
    offset = 0.0 if conv.bias is None else conv.bias
    return stack.add(Scale(conv.name, conv.scale, offset, both))


def _inside(stack: Stack, conv: Conv2d, lattice: Lattice, given: Input | None) -> str:
    if given is None or given.precision == BIPOLAR:
        raise FormatError(
            f"{conv.name}: its input has no integer for the padding value {conv.pad_value:g}"
        )
    low, high = given.precision.low, given.precision.high
    reals = lattice.real(np.arange(low + 1, high + 1), low, np.float32)
    names = {layer.name for layer in stack.layers}
    if "input_whole" not in names:
        stack.add(
            MultiThreshold(stack.name("input_whole"), reals[None, :], 1.0, 1, low, source="input")
        )
        always = np.full((1, 1), -np.inf, np.float32)
        stack.add(MultiThreshold(stack.name("input_ones"), always, 1.0, 1, 0, source="input"))
    plain = replace(conv, scale=np.ones(1, np.float32), bias=None)
    parts = [
        stack.add(replace(plain, name=stack.name(f"{conv.name}_{what}"), source=f"input_{what}"))
        for what in ("whole", "ones")
    ]
    factors = (float(lattice.step), float(lattice.base))
    both = stack.add(Add(stack.name(f"{conv.name}_sum"), parts[1], parts[0], factors))
    scale = np.asarray(conv.scale, np.float64) * lattice.scale
    offset = 0.0 if conv.bias is None else conv.bias
    return stack.add(Scale(conv.name, scale.astype(np.float32), offset, both))


def _parts(stack: Stack, scale: float) -> tuple[str, str]:
    """Return the names of the layers max(x, 0) and max(-x, 0) of the input x.

    They are appended in the first call.
    """
    names = {layer.name for layer in stack.layers}
    if {"positive", "negative"} <= names:
        return "positive", "negative"
    positive = stack.add(Quantize(stack.name("positive"), UINT(8), scale, source="input"))
    turned = stack.add(Scale(stack.name("turned"), factor=-1.0, source="input"))
    return positive, stack.add(Quantize(stack.name("negative"), UINT(8), scale, source=turned))


def zeros_fit(given: Input, layers: Sequence[Layer]) -> Input:
    """Return ``given``, or a ternary input instead of a bipolar one that is padded with zeros.

    The ternary input still has the values -1 and +1: x / scale + zero point is multiplied by a
    factor so large that only the sign is left, clipped to -1 .. 1, and rounded (halves up). Only
    numbers directly below the boundary become 0: numbers within 1.75e-38 of the boundary, or the
    last float32 before it.
    """
    padded = any(
        isinstance(layer, Conv2d) and any(layer.padding) and abs(layer.pad_value) != 1
        for layer in _readers(layers)
    )
    if not padded or not isinstance(given, RealInput) or given.precision != BIPOLAR:
        return given
    if not given.zero_point.any():
        tiny = np.full(given.scale.shape, np.finfo(np.float32).tiny)
        return RealInput(given.shape, TERNARY, tiny, np.full(1, 0.75, np.float32), "up")
    scale = given.scale * np.float32(2.0**-60)
    above = np.nextafter(given.zero_point, np.float32(np.inf)) * np.float32(2.0**60)
    return RealInput(given.shape, TERNARY, scale, above, "up")


def _readers(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers that read the input, directly or after max pools."""
    sources, found = {"input"}, []
    for layer in with_sources(layers):
        if layer.source in sources:
            found.append(layer)
            if isinstance(layer, MaxPool):
                sources.add(layer.name)
    return found

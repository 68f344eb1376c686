# SPDX-License-Identifier: BSD-3-Clause
"""What was trained: frozen layers with integer weights and real-valued parameters.

Every converter and the training make a :class:`Network`; ``bnn.lower`` makes an exactly equal
integer :class:`~bnn.program.program.Program` of it. "Exactly" is defined here: a network declares
its arithmetic, float32 or float64, and each layer declares the order of its operations.
``bnn.network.forward`` evaluates a network in this way.

Maps are channels last, (height, width, channels); a vector is (1, 1, channels). A
layer's ``source`` is the name of the layer that it reads, ``"input"``, or ``""`` for the layer
before it. So a plain stack does not need to state sources.

A *quantized* map has whole numbers v that stand for the real values ``scale * v``. The input and
the results of activations are quantized; pooling, adding, joining and flattening quantized maps
give quantized maps. Convolutions and dense layers read quantized maps only. Their sums of products
with v are exact; the real result is ``(scale of the weights * scale of the source) * sum + bias``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from bnn._checked import Checked
from bnn._typing import assert_never
from bnn.errors import NetworkError
from bnn.network.arithmetic import Units, accumulator_scale, units
from bnn.network.layers import (
    UNIT,
    Activation,
    Add,
    BatchNorm,
    Clip,
    Concat,
    Conv2d,
    FixedPoint,
    Flatten,
    Integers,
    Lattice,
    Layer,
    Leaky,
    Linear,
    Mask,
    MaxPool,
    MultiThreshold,
    Quantize,
    Real,
    RealDense,
    RealLayer,
    Rounding,
    Scale,
    Shape,
    Sign,
    Weighted,
    sources,
    with_sources,
)
from bnn.program.inputs import Input
from bnn.program.operations import INPUT, Borders, Pair

__all__ = [
    "Activation",
    "Add",
    "BatchNorm",
    "Clip",
    "Concat",
    "Conv2d",
    "FixedPoint",
    "Flatten",
    "Integers",
    "Lattice",
    "Layer",
    "Leaky",
    "Linear",
    "Mask",
    "MaxPool",
    "MultiThreshold",
    "Network",
    "Quantize",
    "Real",
    "RealDense",
    "RealLayer",
    "Rounding",
    "Scale",
    "Shape",
    "Sign",
    "Signal",
    "Weighted",
]


@dataclass(frozen=True)
class Signal:
    """Shape and scale of a layer's result.

    Attributes:
        shape: (height, width, channels).
        scale: the real value that the integer 1 stands for; None if the result is not quantized.
    """

    shape: Shape
    scale: float | None


@dataclass(frozen=True, eq=False)
class Network(Checked):
    """A checked stack (or acyclic graph) of layers.

    The last layer gives the class scores. The layers after the last integer sum are the *head*,
    which the host computes in float64. They must be affine (batch norm, :class:`Scale`); one
    :class:`RealDense`, with clips before it, is allowed too.

    Attributes:
        input: how the host makes the integers q of what it is given.
        layers: the layers in order; each reads only the input and earlier layers.
        lattice: the real values that the integers q stand for.
        arithmetic: ``float32`` or ``float64``, for all real values before the head.
        signals: shape and scale of the input (name ``"input"``) and of every layer's result.

    Raises:
        NetworkError: a layer does not fit; the message names the layer.
    """

    input: Input
    layers: tuple[Layer, ...]
    lattice: Lattice = UNIT
    arithmetic: Literal["float32", "float64"] = "float32"
    signals: Mapping[str, Signal] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.arithmetic not in ("float32", "float64"):
            raise NetworkError(f"arithmetic is float32 or float64, not {self.arithmetic!r}")
        if not self.layers:
            raise NetworkError("the network has no layers")
        object.__setattr__(self, "layers", with_sources(self.layers))
        object.__setattr__(self, "signals", MappingProxyType(_infer(self)))

    @property
    def dtype(self) -> type[np.float32 | np.float64]:
        """NumPy type of :attr:`arithmetic`: ``np.float32`` or ``np.float64``."""
        return np.float32 if self.arithmetic == "float32" else np.float64

    def readers(self) -> dict[str, list[Layer]]:
        """Return for the input and each layer, by name, the layers that read it."""
        found: dict[str, list[Layer]] = {INPUT: [], **{layer.name: [] for layer in self.layers}}
        for layer in self.layers:
            for source in sources(layer):
                found[source].append(layer)
        return found

    def source_scale(self, layer: Weighted) -> float:
        """Return the scale of the quantized map that ``layer`` reads."""
        scale = self.signals[layer.source].scale
        assert scale is not None  # checked when the network was made
        return scale


# --- checks --------------------------------------------------------------------------


def _infer(network: Network) -> dict[str, Signal]:
    shape = network.input.shape if len(network.input.shape) == 3 else (1, 1, *network.input.shape)
    height, width, channels = shape
    signals = {INPUT: Signal((height, width, channels), network.lattice.scale)}
    for layer in network.layers:
        if not isinstance(layer.name, str) or not layer.name or layer.name in signals:
            raise NetworkError(f"layer names must be unique and not empty; {layer.name!r} is not")
        signals[layer.name] = signal_of(layer, signals, network.dtype)
    if signals[network.layers[-1].name].shape[:2] != (1, 1):
        raise NetworkError(f"{network.layers[-1].name}: the last layer must give a vector")
    precision, count = network.input.precision, len(network.lattice.reals)
    if count not in (0, precision.high - precision.low + 1):
        raise NetworkError(
            f"the input must have a real value for each integer of {precision}, "
            f"{precision.high - precision.low + 1} in all; it has {count}"
        )
    return signals


def signal_of(layer: Layer, signals: Mapping[str, Signal], dtype: Any) -> Signal:
    """Return the shape and scale of the result of ``layer``.

    ``signals``: shapes and scales of the input and of the results of earlier layers, by name.

    Raises:
        NetworkError: the layer does not fit the results that it reads.
    """
    source = _read(layer.name, layer.source, signals)
    match layer:
        case Conv2d() | Linear():
            return _weighted_signal(layer, source, dtype)
        case BatchNorm() | Scale() | Clip() | Leaky():
            _check_channels(layer, source.shape[2])
            return Signal(source.shape, None)
        case Sign() | Quantize():
            return Signal(source.shape, float(dtype(layer.scale)))
        case MultiThreshold():
            rows = np.asarray(layer.thresholds).shape[0]
            if rows not in (1, source.shape[2]):
                raise NetworkError(
                    f"{layer.name}: has thresholds for {rows} channels, but reads {source.shape[2]}"
                )
            return Signal(source.shape, float(dtype(layer.scale)))
        case MaxPool():
            shape = _slid(layer.name, source.shape, layer.kernel, layer.stride, layer.padding)
            return Signal(shape, source.scale)
        case Add():
            other = _read(layer.name, layer.other, signals)
            if source.shape != other.shape:
                raise NetworkError(f"{layer.name}: cannot add {source.shape} and {other.shape}")
            if source.scale is None or other.scale is None:
                raise NetworkError(f"{layer.name}: adds real values; quantize both maps before it")
            return Signal(source.shape, common(layer, source.scale, other.scale).unit)
        case Concat():
            other = _read(layer.name, layer.other, signals)
            if source.shape[:2] != other.shape[:2]:
                raise NetworkError(f"{layer.name}: cannot join {source.shape} and {other.shape}")
            if source.scale is None or source.scale != other.scale:
                raise NetworkError(
                    f"{layer.name}: joins maps with different scales or real values; quantize "
                    "both to one scale"
                )
            return Signal((*source.shape[:2], source.shape[2] + other.shape[2]), source.scale)
        case FixedPoint():
            if source.scale is None or layer.multipliers.shape != (source.shape[2],):
                raise NetworkError(
                    f"{layer.name}: must read a quantized map of {layer.multipliers.size} channels"
                )
            if layer.offsets.shape != (source.shape[2],):
                raise NetworkError(
                    f"{layer.name}: has {layer.offsets.size} offsets for {source.shape[2]} channels"
                )
            return Signal(source.shape, layer.scale)
        case RealDense():
            units_count, inputs = np.shape(layer.weights)
            if source.shape != (1, 1, inputs):
                raise NetworkError(f"{layer.name}: takes {inputs} inputs, not {source.shape}")
            return Signal((1, 1, units_count), None)
        case Flatten():
            height, width, channels = source.shape
            return Signal((1, 1, height * width * channels), source.scale)
    assert_never(layer)


def common(layer: Add, one: float, two: float) -> Units:
    """Return the scales of both maps of ``layer`` as multiples of one unit.

    ``one`` and ``two`` are the scales of ``source`` and ``other``; they are multiplied by the
    factors of ``layer`` before.

    Raises:
        NetworkError: the products have no common unit.
    """
    found = units(one * layer.factors[0], two * layer.factors[1])
    if found is None:
        raise NetworkError(
            f"{layer.name}: adds maps whose scales {one:g} and {two:g} have no common unit; "
            "quantize both to one scale"
        )
    return found


def _read(name: str, source: str, signals: Mapping[str, Signal]) -> Signal:
    if source not in signals:
        raise NetworkError(f"{name}: reads {source!r}, which no earlier layer makes")
    return signals[source]


def _weighted_signal(layer: Weighted, source: Signal, dtype: Any) -> Signal:
    if source.scale is None:
        raise NetworkError(f"{layer.name}: reads real values; put an activation before it")
    height, width, channels = source.shape
    rows = layer.weights.shape[0]
    match layer:
        case Linear():
            if (height, width) != (1, 1):
                raise NetworkError(
                    f"{layer.name}: a dense layer reads a vector; flatten the map first"
                )
            shape = (1, 1, rows)
        case Conv2d():
            kernel = (int(layer.weights.shape[1]), int(layer.weights.shape[2]))
            slid = _slid(layer.name, source.shape, kernel, layer.stride, layer.padding)
            shape = (*slid[:2], rows)
        case _:
            assert_never(layer)
    if layer.weights.shape[-1] != channels:
        raise NetworkError(
            f"{layer.name}: weights are for {layer.weights.shape[-1]} inputs, "
            f"{layer.source!r} gives {channels}"
        )
    scales = accumulator_scale(layer, source.scale, dtype)
    quantized = scales.size == 1 and layer.bias is None
    return Signal(shape, float(scales[0]) if quantized else None)


def _slid(name: str, shape: Shape, kernel: Pair, stride: Pair, padding: Borders) -> Shape:
    from bnn.errors import ProgramError
    from bnn.program.check import slid_shape

    try:
        return slid_shape(name, shape, kernel, stride, padding)
    except ProgramError as error:
        raise NetworkError(str(error)) from None


def _check_channels(layer: RealLayer, channels: int) -> None:
    for what in ("gamma", "beta", "mean", "inv_std", "factor", "offset", "divisor", "slope"):
        size = np.size(getattr(layer, what, 0.0))
        if size not in (1, channels):
            raise NetworkError(
                f"{layer.name}: {what} has {size} values, but the map has {channels} channels"
            )

# SPDX-License-Identifier: BSD-3-Clause
"""TensorFlow/Keras models, and Larq's on top of them, to a network.

What is read: ``.keras`` and whole-model ``.h5`` files of Sequential and Functional models
(Keras 2 and 3) made of dense, convolution, pool, batch norm and sign layers. Layers that
hold code (Lambda, subclasses) are refused.

Plain Keras layers must have weights that already are small integers times a scale; Larq's
say by their quantizers how their latent weights are to be taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError, NetworkError
from bnn.formats import keras_file
from bnn.formats.grids import Grid, grid, real_input
from bnn.formats.keras_file import KerasLayer
from bnn.formats.keras_quantizers import (
    Named,
    activation_of,
    named,
    real_activation,
    weights_of,
)
from bnn.formats.report import Converted, Report
from bnn.formats.stack import (
    Stack,
    add_conv,
    average_pool,
    dilated,
    grouped,
    same_padding,
    two_classes,
    zeros_fit,
)
from bnn.formats.weights import Weights
from bnn.inputs import Input
from bnn.network import (
    Add,
    BatchNorm,
    Conv2d,
    Flatten,
    Lattice,
    Linear,
    MaxPool,
    Network,
    Scale,
)
from bnn.precision import BIPOLAR, TERNARY, UINT
from bnn.program import Borders, Pair

_NONE: Borders = (0, 0, 0, 0)


def read(path: str | Path, given_input: str | None = None) -> Converted:
    """The network in the Keras model file ``path``.

    Args:
        path: of the file.
        given_input: where nothing quantizes the model's input: the values that occur,
            a name of :func:`bnn.formats.grids.grid`. Bytes if the model rescales them
            itself, else bytes scaled to [-1, 1], unless it is given.

    Raises:
        FormatError: the file is damaged, or a layer cannot be converted; names it.
        NetworkError: what it says makes no network.
    """
    path = Path(path)
    model = keras_file.read(path)
    reader = _Reader(model, None if given_input is None else grid(given_input))
    try:
        return reader.converted()
    except (FormatError, NetworkError) as error:
        raise type(error)(f"{path}: {error}") from None


@dataclass(frozen=True, eq=False)
class _Flow:
    """A layer's result.

    Attributes:
        layer: the network's layer that makes it, or "" for the untouched input.
        shape: (height, width, channels).
        factor, offset: of the untouched input.
        padding: zeros that the next convolution has to add (ZeroPadding2D).
        flat: whether it is a map that stands for a vector: flattening waits until the
            values are quantized.
        is_final: whether only the class matters any more (after a softmax).
    """

    layer: str
    shape: tuple[int, int, int]
    factor: float = 1.0
    offset: float = 0.0
    padding: Borders = _NONE
    flat: bool = False
    is_final: bool = False


class _Reader:
    """Results of Keras layers by name, and the layers made so far."""

    def __init__(self, model: keras_file.KerasModel, chosen: Grid | None) -> None:
        self.model = model
        self.chosen = chosen
        self.stack = Stack()
        self.report = Report("Keras")
        self.report.ignored += model.unused
        self.flows: dict[str, _Flow] = {}
        self.input: Input | None = None
        self.input_shape: tuple[int, ...] = ()
        self.lattice = Lattice()
        self.order: Any = "folded"

    def converted(self) -> Converted:
        for layer in self.model.layers:
            self.flows[layer.name] = self._flow(layer)
        last = self._known(self.flows[self.model.layers[-1].name])
        if self.input is None or not self.stack.layers:
            raise FormatError("its output does not depend on any layer with weights")
        if last.shape[2] == 1:
            self._two_classes()
        given = zeros_fit(self.input, self.stack.layers)
        network = Network(given, tuple(self.stack.layers), self.lattice)
        return Converted(network, self.report)

    def _two_classes(self) -> None:
        last = self.stack.layers[-1]
        if not isinstance(last, Linear):
            raise FormatError("a single output must be that of a dense layer")
        two_classes(self.stack, last, last.source)
        self.report.lost.append("one output became two classes: 1 where it is positive, else 0")

    def _flow(self, layer: KerasLayer) -> _Flow:
        if layer.kind == "InputLayer":
            return self._input(layer, "batch_shape", "batch_input_shape")
        handler = _HANDLERS.get(layer.kind)
        if handler is None:
            why = (
                "holds code, which is not run" if layer.kind == "Lambda" else "cannot be converted"
            )
            raise FormatError(f"{layer}: {why}")
        sources = [self.flows[name] for name in layer.sources]
        if not sources:
            sources = [self._input(layer, "batch_input_shape", "batch_shape")]
        if len(sources) != (2 if layer.kind == "Add" else 1):
            raise FormatError(f"{layer}: reads {len(sources)} tensors")
        if any(flow.is_final for flow in sources) and layer.kind not in ("Activation", "Softmax"):
            raise FormatError(f"{layer}: stands after a softmax; that cannot be converted")
        if any(any(flow.padding) for flow in sources) and layer.kind not in _PADDABLE:
            raise FormatError(f"{layer}: follows zero padding; only a convolution can")
        if layer.config.get("data_format") == "channels_first":
            raise FormatError(f"{layer}: is channels first; only channels last can be converted")
        return handler(self, layer, *sources)

    # --- input -----------------------------------------------------------------------

    def _input(self, layer: KerasLayer, *keys: str) -> _Flow:
        if self.input_shape:
            raise FormatError(f"{layer}: is a second input; one can be read")
        shape = next((layer.config[key] for key in keys if layer.config.get(key)), None)
        if not isinstance(shape, list) or not all(isinstance(n, int) and n > 0 for n in shape[1:]):
            raise FormatError(f"{layer}: its input has no fixed shape: {shape}")
        sizes = tuple(shape[1:])
        if len(sizes) == 2:
            sizes = (*sizes, 1)  # pictures without a channel axis
        if len(sizes) not in (1, 3):
            raise FormatError(f"{layer}: its input of shape {shape} is neither vector nor picture")
        self.input_shape = sizes
        height, width, channels = sizes if len(sizes) == 3 else (1, 1, *sizes)
        return _Flow("", (height, width, channels))

    def _fed(self, flow: _Flow, given: Input, lattice: Lattice) -> _Flow:
        if self.input is not None:
            raise FormatError("the input is read twice, in different ways")
        self.input, self.lattice = given, lattice
        self.report.used("input", f"{given.precision} of shape {given.shape}")
        flat = flow.flat and len(given.shape) == 3
        return replace(flow, layer="input", factor=1.0, offset=0.0, flat=flat)

    def _grid(self, flow: _Flow) -> _Flow:
        """The untouched input on an 8-bit grid."""
        chosen = self.chosen
        if chosen is None:
            chosen = grid("bytes" if (flow.factor, flow.offset) != (1, 0) else "symmetric")
            self.report.lost.append(
                f"the model does not quantize its input; taken as {chosen.name}: {chosen.meaning}"
            )
        self.report.assumed = chosen.name
        lattice = chosen.lattice(flow.factor, flow.offset)
        return self._fed(flow, chosen.input(self.input_shape), lattice)

    def _quantized_input(self, given: Named, flow: _Flow) -> _Flow | None:
        """The input quantized by the host, if it can do what ``given`` does."""
        if self.chosen is not None or flow.factor <= 0:
            return None
        scale, zero, shape = 1 / flow.factor, flow.offset, self.input_shape
        if given.name in ("ste_sign", "approx_sign", "swish_sign"):
            return self._fed(flow, real_input(shape, BIPOLAR, scale, zero), Lattice())
        if given.name == "dorefa_quantizer" and given.config.get("mode") != "weights":
            steps = (1 << int(given.config.get("k_bit", 2))) - 1
            if not 1 <= steps <= 255:
                return None
            bits = UINT(steps.bit_length())
            host = real_input(shape, bits, scale / steps, zero * steps)
            return self._fed(flow, host, Lattice(1 / steps))
        return None

    def _known(self, flow: _Flow) -> _Flow:
        """``flow`` as a layer's result of its own shape."""
        flow = self._map(flow)
        if not flow.flat:
            return flow
        name = self.stack.add(Flatten(self.stack.name("flatten"), flow.layer))
        self.report.used(name, f"flatten to {flow.shape[2]}")
        return replace(flow, layer=name, flat=False)

    def _map(self, flow: _Flow) -> _Flow:
        """The same, but a flattened map may still be a map."""
        return flow if flow.layer else self._grid(flow)

    # --- layers with weights ---------------------------------------------------------

    def _codes(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        """``flow`` after the layer's input quantizer."""
        where = str(layer)
        given = named(where, layer.config.get("input_quantizer"))
        if given is None or given.name == "no_op":
            return self._known(flow)
        if not flow.layer:
            fed = self._quantized_input(given, flow)
            if fed is not None:
                return self._known(fed)
        flow = self._map(flow)
        name = self.stack.name(f"{layer.name}_input")
        self.stack.add(activation_of(where, given, name, flow.layer))
        self.report.used(name, f"quantizer {given.name}")
        return self._known(replace(flow, layer=name))

    def _variables(self, layer: KerasLayer, *wanted: str) -> list[NDArray[Any]]:
        """The layer's arrays called ``wanted``, or in that order; all of them and no others."""
        arrays = layer.arrays
        if not set(wanted) & set(arrays):
            arrays = dict(zip(wanted, arrays.values(), strict=False)) if arrays else {}
            extra = len(layer.arrays) - len(wanted)
        else:
            extra = len(set(layer.arrays) - set(wanted))
        missing = [name for name in wanted if name not in arrays]
        if missing:
            raise FormatError(f"{layer}: its {missing[0]} is missing")
        if extra:
            raise FormatError(f"{layer}: has {extra} arrays too many: {', '.join(layer.arrays)}")
        return [arrays[name] for name in wanted]

    def _kernel(
        self, layer: KerasLayer, kernel: str, move: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> tuple[Weights, NDArray[Any] | None]:
        names = [kernel, "bias"] if layer.config.get("use_bias", True) else [kernel]
        values = self._variables(layer, *names)
        bias = values[1] if len(values) > 1 else None
        quantizer = "depthwise_quantizer" if "depthwise" in kernel else "kernel_quantizer"
        given = named(str(layer), layer.config.get(quantizer))
        try:
            latent = move(values[0])
        except (ValueError, IndexError):
            raise FormatError(f"{layer}: its {kernel} has shape {values[0].shape}") from None
        weights = weights_of(str(layer), given, latent)
        if bias is not None and bias.shape != (len(weights.integers),):
            raise FormatError(f"{layer}: its bias has shape {bias.shape}")
        what = f"{layer.kind}, {weights.precision} weights" + (f" by {given.name}" if given else "")
        self.report.used(layer.name, what, dict(zip(names, values, strict=True)))
        return weights, bias

    def _dense(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        flow = self._codes(layer, flow)
        weights, bias = self._kernel(layer, "kernel", lambda a: _rank(a, 2).T)
        name, shape = self.stack.name(layer.name), flow.shape
        if weights.integers.shape[1] != shape[2]:
            raise FormatError(
                f"{layer}: its kernel takes {weights.integers.shape[1]} inputs, not {shape[2]}"
            )
        if shape[:2] == (1, 1):
            self.stack.add(
                Linear(name, weights.integers, weights.precision, weights.scale, bias, flow.layer)
            )
        else:
            kernel = weights.integers[:, None, None, :]
            self.stack.add(
                Conv2d(name, kernel, weights.precision, weights.scale, bias, source=flow.layer)
            )
        made = replace(flow, layer=name, shape=(*shape[:2], len(weights.integers)))
        return self._activated(layer, made)

    def _conv(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        depthwise = "Depthwise" in layer.kind
        pad_value = float(layer.config.get("pad_values") or 0.0)
        if any(flow.padding) and pad_value:
            raise FormatError(
                f"{layer}: is padded with zeros before it, and with {pad_value} by it"
            )
        flow = self._codes(layer, flow)
        channels = flow.shape[2]
        if depthwise:
            weights, bias = self._kernel(
                layer, "depthwise_kernel", lambda a: _rank(a, 4).transpose(2, 3, 0, 1)
            )
            many = weights.integers.shape
            flat = weights.integers.reshape(-1, *many[2:])[..., None]
            weights = replace(weights, integers=flat)
            groups = many[0]
        else:
            weights, bias = self._kernel(
                layer, "kernel", lambda a: _rank(a, 4).transpose(3, 0, 1, 2)
            )
            groups = int(layer.config.get("groups", 1))
        if groups < 1 or weights.integers.shape[3] * groups != channels:
            raise FormatError(
                f"{layer}: its kernel takes {weights.integers.shape[3] * groups} channels, "
                f"not {channels}"
            )
        spread = _pair(layer, "dilation_rate", (1, 1))
        integers = weights.integers if groups == 1 else grouped(weights.integers, groups)
        integers = integers if spread == (1, 1) else dilated(integers, spread)
        precision = weights.precision
        if integers.size != weights.integers.size and precision == BIPOLAR:
            precision = TERNARY  # for the zeros
        size = (int(integers.shape[1]), int(integers.shape[2]))
        stride = _pair(layer, "strides", (1, 1))
        padding = _padding(layer, flow, size, stride)
        made = Conv2d(
            self.stack.name(layer.name),
            integers,
            precision,
            weights.scale,
            bias,
            stride,
            padding,
            pad_value,
            flow.layer,
        )
        name = add_conv(self.stack, made, self.lattice)
        shape = _slid(layer, flow.shape, size, stride, padding)
        made_flow = replace(flow, layer=name, shape=(*shape, len(integers)), padding=_NONE)
        return self._activated(layer, made_flow)

    # --- batch norm, activations -----------------------------------------------------

    def _batch_norm(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        flow = self._known(flow)
        config = layer.config
        axis = config.get("axis", -1)
        axes = axis if isinstance(axis, list) else [axis]
        rank = 2 if flow.shape[:2] == (1, 1) else 4
        if axes not in ([-1], [rank - 1], [3]):
            raise FormatError(f"{layer}: normalizes axis {axis}; only the last can be converted")
        names = ["gamma"] * bool(config.get("scale", True))
        names += ["beta"] * bool(config.get("center", True))
        names += ["moving_mean", "moving_variance"]
        values = dict(zip(names, self._variables(layer, *names), strict=True))
        channels = flow.shape[2]
        for name, value in values.items():
            if value.shape != (channels,):
                raise FormatError(f"{layer}: its {name} has shape {value.shape}, not ({channels})")
        epsilon = float(config.get("epsilon", 1e-3))
        name = self.stack.name(layer.name)
        # TensorFlow's fused kernel, which Keras 2 uses on maps, centers first.
        fused = self.model.version == 2 and rank == 4
        self.stack.add(
            BatchNorm.from_variance(
                name,
                values.get("gamma", np.ones(1, np.float32)),
                values.get("beta", np.zeros(1, np.float32)),
                values["moving_mean"],
                values["moving_variance"],
                epsilon,
                "scaled" if fused else "folded",
                flow.layer,
            )
        )
        self.report.used(layer.name, f"batch norm, epsilon {epsilon:g}", values)
        return replace(flow, layer=name)

    def _activated(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        """``flow`` after the activation in the layer's own configuration."""
        given = named(str(layer), layer.config.get("activation"))
        return flow if given is None else self._apply(layer, given, flow)

    def _apply(self, layer: KerasLayer, given: Named, flow: _Flow) -> _Flow:
        if given.name in ("softmax", "log_softmax") or (
            given.name == "sigmoid" and layer is self.model.layers[-1]
        ):
            self.report.lost.append(f"{layer}: {given.name}; scores are its inputs, same class")
            return replace(flow, is_final=True)
        flow = self._map(flow)
        name = self.stack.name(f"{layer.name}_act" if layer.kind != "Activation" else layer.name)
        real = real_activation(given, name, flow.layer)
        made = real or activation_of(str(layer), given, name, flow.layer)
        self.stack.add(made)
        self.report.used(name, f"activation {given.name}")
        return replace(flow, layer=name)

    def _activation(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        return self._activated(layer, flow)

    def _activation_layer(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        given = named(str(layer), {"class_name": layer.kind, "config": layer.config})
        assert given is not None
        return self._apply(layer, given, flow)

    # --- pools, shapes ---------------------------------------------------------------

    def _max_pool(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        flow = self._known(flow)
        size, stride = self._pool_size(layer, flow)
        padding = _padding(layer, flow, size, stride)
        name = self.stack.name(layer.name)
        self.stack.add(MaxPool(name, size, stride, padding, flow.layer))
        self.report.used(layer.name, f"max pool {size[0]}x{size[1]}")
        shape = (*_slid(layer, flow.shape, size, stride, padding), flow.shape[2])
        return replace(flow, layer=name, shape=shape)

    def _average_pool(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        flow = self._known(flow)
        size, stride = self._pool_size(layer, flow)
        if any(_padding(layer, flow, size, stride)):
            raise FormatError(f"{layer}: an average pool with padding cannot be converted")
        name = self.stack.name(layer.name)
        self.stack.add(average_pool(name, flow.shape[2], size, stride, flow.layer))
        self.report.used(layer.name, f"average pool {size[0]}x{size[1]}")
        shape = (*_slid(layer, flow.shape, size, stride, _NONE), flow.shape[2])
        return replace(flow, layer=name, shape=shape)

    def _pool_size(self, layer: KerasLayer, flow: _Flow) -> tuple[Pair, Pair]:
        if layer.kind.startswith("Global"):
            return flow.shape[:2], (1, 1)
        size = _pair(layer, "pool_size", (2, 2))
        return size, _pair(layer, "strides", size)

    def _flatten(self, _: KerasLayer, flow: _Flow) -> _Flow:
        height, width, channels = flow.shape
        shape = (1, 1, height * width * channels)
        return replace(flow, shape=shape, flat=flow.flat or (height, width) != (1, 1))

    def _reshape(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        target = layer.config.get("target_shape")
        count = int(np.prod(flow.shape))
        if isinstance(target, list) and target in ([-1], [count]):
            return self._flatten(layer, flow)
        if isinstance(target, list) and all(isinstance(n, int) for n in target):
            sizes = [*target, 1] if len(target) == 2 else target
            if -1 in sizes and sizes.count(-1) == 1:
                rest = -int(np.prod(sizes))
                sizes = [count // rest if n == -1 and rest else n for n in sizes]
            if len(sizes) == 3 and int(np.prod(sizes)) == count:
                shape = (sizes[0], sizes[1], sizes[2])
                if shape == flow.shape and not flow.flat:
                    return flow
                if not flow.layer:
                    self.input_shape = shape
                    self.report.lost.append(f"the input is taken as a map of {shape}")
                    return replace(flow, shape=shape, flat=False)
        raise FormatError(f"{layer}: from {flow.shape} to {target} cannot be converted")

    def _zero_padding(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        given = layer.config.get("padding", 1)
        pairs = given if isinstance(given, list) else [given, given]
        rows = [pair if isinstance(pair, list) else [pair, pair] for pair in pairs]
        if len(rows) != 2 or any(
            len(r) != 2 or not all(isinstance(n, int) for n in r) for r in rows
        ):
            raise FormatError(f"{layer}: padding {given!r} makes no sense")
        top, left, bottom, right = flow.padding
        padding = (top + rows[0][0], left + rows[1][0], bottom + rows[0][1], right + rows[1][1])
        return replace(flow, padding=padding)

    def _rescaling(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        scale, offset = layer.config.get("scale", 1.0), layer.config.get("offset", 0.0)
        if not isinstance(scale, int | float) or not isinstance(offset, int | float):
            raise FormatError(f"{layer}: rescales by channel; only by one number can be converted")
        self.report.used(layer.name, f"x * {scale:g} + {offset:g}")
        if not flow.layer:
            return replace(flow, factor=flow.factor * scale, offset=flow.offset * scale + offset)
        name = self.stack.name(layer.name)
        self.stack.add(Scale(name, np.float32(scale), np.float32(offset), flow.layer))
        return replace(flow, layer=name)

    def _add(self, layer: KerasLayer, one: _Flow, two: _Flow) -> _Flow:
        one, two = self._known(one), self._known(two)
        name = self.stack.add(Add(self.stack.name(layer.name), two.layer, one.layer))
        self.report.used(layer.name, "sum")
        return replace(one, layer=name)

    def _passed(self, _: KerasLayer, flow: _Flow) -> _Flow:
        return flow


def _rank(array: NDArray[Any], rank: int) -> NDArray[Any]:
    if array.ndim != rank:
        raise ValueError
    return array


def _pair(layer: KerasLayer, key: str, default: Pair) -> Pair:
    given = layer.config.get(key)
    if given is None:
        return default
    values = given if isinstance(given, list) else [given, given]
    if len(values) != 2 or any(type(n) is not int or not 1 <= n < 1 << 16 for n in values):
        raise FormatError(f"{layer}: {key} {given!r} makes no sense")
    return (values[0], values[1])


def _padding(layer: KerasLayer, flow: _Flow, size: Pair, stride: Pair) -> Borders:
    how = layer.config.get("padding", "valid")
    if how == "valid":
        return flow.padding
    if how == "same":
        top, left, bottom, right = flow.padding
        whole = (flow.shape[0] + top + bottom, flow.shape[1] + left + right)
        same = same_padding(whole, size, stride)
        return (top + same[0], left + same[1], bottom + same[2], right + same[3])
    raise FormatError(f"{layer}: padding {how!r} cannot be converted")


def _slid(
    layer: KerasLayer, shape: tuple[int, int, int], size: Pair, stride: Pair, padding: Borders
) -> Pair:
    height = shape[0] + padding[0] + padding[2] - size[0]
    width = shape[1] + padding[1] + padding[3] - size[1]
    if min(height, width) < 0:
        raise FormatError(f"{layer}: its window of {size} is larger than the map of {shape}")
    return height // stride[0] + 1, width // stride[1] + 1


_PADDABLE = {
    "Conv2D",
    "QuantConv2D",
    "DepthwiseConv2D",
    "QuantDepthwiseConv2D",
    "ZeroPadding2D",
}
_HANDLERS: dict[str, Callable[..., _Flow]] = {
    **dict.fromkeys(("Dense", "QuantDense"), _Reader._dense),
    **dict.fromkeys(
        ("Conv2D", "QuantConv2D", "DepthwiseConv2D", "QuantDepthwiseConv2D"), _Reader._conv
    ),
    **dict.fromkeys(("BatchNormalization", "BatchNormalizationV1"), _Reader._batch_norm),
    **dict.fromkeys(("MaxPooling2D", "MaxPool2D", "GlobalMaxPooling2D"), _Reader._max_pool),
    **dict.fromkeys(("AveragePooling2D", "GlobalAveragePooling2D"), _Reader._average_pool),
    **dict.fromkeys(
        ("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "Identity"),
        _Reader._passed,
    ),
    **dict.fromkeys(
        (
            "ReLU",
            "Softmax",
            "SteSign",
            "ApproxSign",
            "SwishSign",
            "SteTern",
            "SteHeaviside",
            "DoReFa",
        ),
        _Reader._activation_layer,
    ),
    "Activation": _Reader._activation,
    "Flatten": _Reader._flatten,
    "Reshape": _Reader._reshape,
    "ZeroPadding2D": _Reader._zero_padding,
    "Rescaling": _Reader._rescaling,
    "Add": _Reader._add,
}

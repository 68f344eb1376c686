# SPDX-License-Identifier: BSD-3-Clause
"""TensorFlow/Keras models, and Larq's and QKeras' on top of them, to a network.

What is read: ``.keras`` and whole-model ``.h5`` files of Sequential and Functional models
(Keras 2 and 3) made of dense, convolution, pool, batch norm and sign layers, and weights in
``.h5`` beside the JSON of their architecture. Layers that hold code (Lambda, subclasses) are
refused.

Layers of Larq and QKeras have kernel quantizers, which are applied to the latent weights of the
file. Plain Keras layers have none: their weights should be small integers times a scale already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError, NetworkError
from bnn.formats.grids import Grid, Step, grid, real_input
from bnn.formats.keras import file as keras_file
from bnn.formats.keras import fixed_point, qkeras
from bnn.formats.keras.file import KerasLayer
from bnn.formats.keras.host import MAX_INTEGER, host_input
from bnn.formats.keras.quantizers import (
    Named,
    activation_of,
    named,
    of_zero,
    plain,
    real_activation,
    unsure,
    weights_of,
)
from bnn.formats.qonnx.tensor import Function
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
from bnn.formats.weights import Weights, from_real
from bnn.network.arithmetic import real_layer
from bnn.network.network import (
    Add,
    BatchNorm,
    Clip,
    Concat,
    Conv2d,
    Flatten,
    Lattice,
    Leaky,
    Linear,
    MaxPool,
    RealDense,
    Scale,
)
from bnn.program.inputs import Input
from bnn.program.operations import Borders, Pair
from bnn.program.precision import BIPOLAR, TERNARY

_NONE: Borders = (0, 0, 0, 0)
#: The least epsilon that cuDNN takes; TensorFlow's fused kernel raised smaller ones to it.
_RAISED_EPSILON = 1.001e-5


def read(
    path: str | Path,
    given_input: str | None = None,
    architecture: str | Path | None = None,
    quantizers: Mapping[str, str] | None = None,
) -> Converted:
    """Read the network in the Keras model file ``path``.

    Args:
        path: the file.
        architecture: the JSON file of the model (``model.to_json()``), if the file has
            weights alone.
        quantizers: the user's own functions: name in the file -> name of a known one, such as
            ``{"my>bsign": "ste_sign"}``.
        given_input: the values that occur at an input that the model does not quantize, a name
            of :func:`bnn.formats.grids.grid`. Default: bytes if the model rescales its input
            itself, else bytes scaled to [-1, 1].

    Raises:
        FormatError: the file is damaged, or a layer cannot be converted; the message names it.
        NetworkError: the layers are not a valid network.
    """
    path = Path(path)
    beside = None if architecture is None else Path(architecture)
    model = keras_file.read(path, beside, quantizers)
    reader = _Reader(model, None if given_input is None else grid(given_input))
    for name, known in (quantizers or {}).items():
        reader.report.lost.append(f"{name} is taken as {known}, as --quantizer says")
    try:
        return reader.converted()
    except (FormatError, NetworkError) as error:
        named_already = str(error).startswith(f"{path}: ")
        raise type(error)(str(error) if named_already else f"{path}: {error}") from None


@dataclass(frozen=True, eq=False)
class _Flow:
    """The result of a layer.

    Attributes:
        layer: name of the network's layer that makes this result, or "" for the input itself.
        shape: (height, width, channels).
        rank: number of axes that the result has in Keras, the batch included.
        steps: products and sums applied to the input itself, in order.
        padding: zeros that the next convolution has to add (ZeroPadding2D).
        flat: whether Keras has flattened this map; here it stays a map until its values are
            quantized.
        chain: fixed-point quantizers and the functions between them, which become one
            activation later.
        final: the function at the end of the model that does not change the class (softmax), or "".
    """

    layer: str
    shape: tuple[int, int, int]
    rank: int
    steps: tuple[Step, ...] = ()
    padding: Borders = _NONE
    flat: bool = False
    chain: tuple[Function, ...] = ()
    final: str = ""


class _Reader:
    """State of the reader: results of Keras layers by name, and the layers made so far."""

    def __init__(self, model: keras_file.KerasModel, chosen: Grid | None) -> None:
        self.model = model
        self.chosen = chosen
        #: The reason why the values of the input are taken as those of a grid.
        self.unknown_input = "the model does not quantize its input"
        self.stack = Stack()
        self.report = Report("Keras")
        self.report.ignored += model.unused
        self.flows: dict[str, _Flow] = {}
        self.input: Input | None = None
        #: What is applied to the input before it is read as a grid's values; None if it is not.
        self.steps: tuple[Step, ...] | None = None
        self.input_shape: tuple[int, ...] = ()
        self.lattice = Lattice()
        self.order: Any = "folded"

    def converted(self) -> Converted:
        for layer in self.model.layers:
            self.flows[layer.name] = self._flow(layer)
        last = self._known(self.flows[self.model.layers[-1].name])
        if any(last.padding):
            raise FormatError(f"{self.model.layers[-1]}: no convolution follows this padding")
        if self.input is None or not self.stack.layers:
            raise FormatError("its output does not depend on any layer with weights")
        if last.shape[2] == 1:
            if last.final not in ("", "sigmoid"):
                raise FormatError(f"a single output after {last.final} is always the same")
            self._two_classes()
        given = zeros_fit(self.input, self.stack.layers)
        network = self.report.network(given, self.stack.layers, self.lattice)
        return Converted(network, self.report)

    def _two_classes(self) -> None:
        last = self.stack.layers[-1]
        if not isinstance(last, Linear | RealDense):
            raise FormatError("a single output must be that of a dense layer")
        two_classes(self.stack, last, last.source)
        self.report.lost.append("one output became two classes: 1 where it is positive, else 0")

    def _flow(self, layer: KerasLayer) -> _Flow:
        flow = self._read(layer)
        layer.settings.all_read()
        return flow

    def _read(self, layer: KerasLayer) -> _Flow:
        if layer.kind == "InputLayer":
            if layer.sources:
                raise FormatError(f"{layer}: is an input, but reads another layer")
            return self._input(layer, layer.settings["dtype"])
        sources = [self.flows[name] for name in layer.sources]
        if not sources:
            sources = [self._input(layer, "float32")]
        fits = len(sources) > 1 if layer.kind == "Concatenate" else len(sources) == 1
        if not (len(sources) == 2 if layer.kind == "Add" else fits):
            raise FormatError(
                f"{layer}: reads {len(sources)} tensors; that cannot be converted (Add reads two, "
                "Concatenate two or more, other layers one)"
            )
        if any(flow.final for flow in sources) and layer.kind not in ("Activation", "Softmax"):
            raise FormatError(f"{layer}: follows a softmax; that cannot be converted")
        if any(any(flow.padding) for flow in sources) and layer.kind not in _PADDABLE:
            raise FormatError(f"{layer}: follows zero padding; only a convolution may follow it")
        rank = 3 if layer.kind in _ON_ROWS else 4
        if layer.kind in _ON_MAPS and sources[0].rank != rank:
            raise FormatError(f"{layer}: reads a tensor of {sources[0].rank} axes, not of {rank}")
        return _HANDLERS[layer.kind](self, layer, *sources)

    # --- input -----------------------------------------------------------------------

    def _input(self, layer: KerasLayer, dtype: str) -> _Flow:
        if self.input_shape:
            raise FormatError(f"{layer}: is a second input; one can be read")
        shape = layer.settings.shape
        sizes = tuple(n for n in shape[1:] if n is not None) if shape else ()
        if shape is None or len(sizes) != len(shape) - 1:
            raise FormatError(f"{layer}: its input has no fixed shape: {shape}")
        if dtype == "uint8":
            if self.chosen not in (None, grid("bytes")):
                raise FormatError(f"{layer}: takes bytes; the input cannot be {self.chosen.name}")
            self.chosen = grid("bytes")
        if len(sizes) == 2:
            # A signal, if a layer of one dimension reads it, or a picture without a channel axis.
            rows = any(one.kind in _ON_ROWS for one in self.model.layers)
            sizes = (1, *sizes) if rows else (*sizes, 1)
        if len(sizes) not in (1, 3):
            raise FormatError(f"{layer}: its input of shape {shape} is neither vector nor picture")
        self.input_shape = sizes
        height, width, channels = sizes if len(sizes) == 3 else (1, 1, *sizes)
        return _Flow("", (height, width, channels), len(shape))

    def _fed(self, flow: _Flow, given: Input, lattice: Lattice) -> _Flow:
        if self.input is not None:
            raise FormatError(
                "the input is read twice, with different scales or quantizers; that cannot be "
                "converted"
            )
        self.input, self.lattice = given, lattice
        self.report.used("input", f"{given.precision} of shape {given.shape}")
        return self._from_input(flow, given)

    def _from_input(self, flow: _Flow, given: Input) -> _Flow:
        flat = flow.flat and len(given.shape) == 3
        return replace(flow, layer="input", steps=(), flat=flat)

    def _grid(self, flow: _Flow) -> _Flow:
        """Return the input of a model that does not quantize its input, on a grid.

        The grid is the one that the caller chose. By default the values are bytes if the model
        scales its input itself, else bytes scaled to [-1, 1].
        """
        if self.input is not None and flow.steps == self.steps:  # another layer reads it too
            return self._from_input(flow, self.input)
        chosen = self.chosen
        if chosen is None:
            chosen = grid("bytes" if flow.steps else "symmetric")
            self.report.lost.append(
                f"{self.unknown_input}; taken as {chosen.name}: {chosen.meaning}"
            )
        self.report.assumed = chosen.name
        factor, offset = 1.0, 0.0
        for product, added in flow.steps:
            factor, offset = factor * product, offset * product + added
        lattice = chosen.lattice(factor, offset, flow.steps)
        self.steps = flow.steps
        return self._fed(flow, chosen.input(self.input_shape), lattice)

    def _quantized_input(self, given: Named, flow: _Flow) -> _Flow | None:
        """Return the input, quantized by the host in the same way as by the quantizer ``given``.

        Return None if the host cannot quantize every float32 in this way, if the model scales its
        input first, or if the caller has chosen another grid for the input.
        """
        if self.chosen is not None:
            self.report.lost.append(
                f"the file quantizes its input ({given.name}); as asked, its values are taken as "
                f"{self.chosen.name}, and others are rounded to these first"
            )
        if self.chosen is not None or flow.steps:
            return None
        held = host_input(str(self.model.layers[0]), given, self.input_shape)
        if held is None:
            self.unknown_input = (
                f"the host cannot compute the input's {given.name} for every real number, so its "
                "values must be known (--input)"
            )
            return None
        return self._fed(flow, *held)

    def _known(self, flow: _Flow) -> _Flow:
        """Return ``flow`` as the result of a layer of the network.

        A map that Keras has flattened is flattened here too.
        """
        flow = self._map(flow)
        if not flow.flat:
            return flow
        name = self.stack.add(Flatten(self.stack.name("flatten"), flow.layer))
        self.report.used(name, f"flatten to {flow.shape[2]}")
        return replace(flow, layer=name, flat=False)

    def _map(self, flow: _Flow) -> _Flow:
        """Return ``flow`` as the result of a layer of the network.

        A map that Keras has flattened stays a map.
        """
        flow = flow if flow.layer else self._grid(flow)
        return self._settled(flow) if flow.chain else flow

    def _settled(self, flow: _Flow) -> _Flow:
        """Add the fixed-point quantizers of ``flow`` as an activation, and return its result."""
        assert self.input is not None
        precision, lattice = self.input.precision, self.lattice
        given = tuple(
            np.full(1, lattice.scale * (lattice.step * q + lattice.base))
            for q in (precision.low, precision.high)
        )
        span = fixed_point.span_of(flow.layer, self.stack.layers, (given[0], given[1]))
        chain, source = self._unwrapped(flow, span)
        name = self.stack.name("fixed_point")
        made = fixed_point.activation_of(
            f"quantizer after {flow.layer!r}", name, chain, flow.shape[2], span, source
        )
        self.stack.add(made)
        self.report.used(name, f"fixed point, {made.levels + 1} values")
        return replace(flow, layer=name, chain=())

    def _unwrapped(self, flow: _Flow, span: fixed_point.Span) -> tuple[tuple[Function, ...], str]:
        """Add layers for the quantizers of a chain whose values may wrap around.

        Return the functions of the chain after the last of these quantizers, and the name of the
        layer that these functions read.
        """
        chain, source, channels = flow.chain, flow.layer, flow.shape[2]
        at = 0
        while at < len(chain):
            last, before = chain[at], fixed_point.composed(chain[:at])
            at += 1
            if not isinstance(last, fixed_point.FixedPoint):
                continue
            if not fixed_point.may_wrap(last, before, span, channels):
                continue
            one, two, three = (self.stack.name(f"fixed_point_{what}") for what in _WRAPPED)
            names = (one, two, three)
            made = fixed_point.wrapped(names, before, last, channels, span, source)
            if made is None:
                raise FormatError(
                    f"quantizer after {flow.layer!r}: its values wrap around, and without wrapping "
                    "there are more than 65536 of them; that cannot be converted"
                )
            for layer in made:
                self.stack.add(layer)
            self.report.used(names[2], "fixed point that wraps around")
            # No value is beyond the bits any more.
            chain, source, at = (replace(last, wraps=False), *chain[at:]), names[2], 1
            unit = last.unit
            span = (last.low * unit).astype(np.float64), (last.high * unit).astype(np.float64)
        return chain, source

    def _fixed_point(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        arrays = self._variables(layer, "keep_negative", "bits", "integers")
        settings, where = layer.settings, str(layer)
        given = fixed_point.fixed_point(
            where, arrays, settings["RND"], settings["SAT"], flow.shape[2]
        )
        if flow.flat and given.bits.size > 1:
            flow = self._known(flow)
        if not flow.layer and self.chosen is None and not flow.steps:
            fed = self._host_fixed_point(layer, flow, given)
            if fed is not None:
                return fed
        if not flow.layer:
            flow = self._grid(flow)
        return replace(flow, chain=(*flow.chain, given))

    def _host_fixed_point(
        self, layer: KerasLayer, flow: _Flow, given: fixed_point.FixedPoint
    ) -> _Flow | None:
        """Return the input, rounded by the host in the same way as by the quantizer ``given``.

        If the channels have different bits, the host rounds all of them to the finest unit. Return
        None if the host cannot round in this way.
        """
        precision, rounding = given.precision(), given.rounding
        held = given
        if precision is None and rounding in ("TRN", "RND"):
            # Rounding downwards twice is rounding once; halves are steps of the finer one.
            finest = given.common(halves=rounding == "RND")
            held, rounding = finest or given, "TRN"
            precision = None if finest is None else finest.precision()
        shifts = {"TRN": (-0.5, "up"), "RND": (0.0, "up"), "RND_CONV": (0.0, "even")}
        if precision is None or rounding not in shifts or precision.high > MAX_INTEGER:
            return None
        unit, (zero, mode) = float(held.unit[0]), shifts[rounding]
        host = real_input(
            self.input_shape, precision, unit, zero, "even" if mode == "even" else "up"
        )
        if given.wraps:
            self.report.lost.append(
                f"{layer}: inputs beyond {precision.bits} bits saturate here; in HGQ they wrap"
            )
        if zero and precision.low < 0:
            self.report.lost.append(
                f"{layer}: inputs between {-unit / (1 << 25):g} and 0 are rounded to 0, not down"
            )
        fed = self._fed(flow, host, Lattice(unit))
        return fed if held is given else replace(fed, chain=(given,))

    # --- layers with weights ---------------------------------------------------------

    def _codes(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        """Return ``flow`` after the layer's input quantizer, or unchanged if there is none."""
        where = str(layer)
        given = _input_quantizer(layer)
        if given is None:
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
        """Return the layer's arrays in the order of the names ``wanted``; refuse other arrays.

        If the arrays of the file have numbers as names, their order in the file is this order.
        """
        arrays = layer.arrays
        if "depthwise_kernel" in wanted and "depthwise_kernel" not in arrays and "kernel" in arrays:
            # as Keras 3 calls it in an .h5 file
            arrays = {**arrays, "depthwise_kernel": arrays["kernel"]}
            del arrays["kernel"]
        if not set(wanted) & set(arrays):
            arrays = dict(zip(wanted, arrays.values(), strict=False)) if arrays else {}
            extra = len(layer.arrays) - len(wanted)
        else:
            extra = len(set(arrays) - set(wanted))
        missing = [name for name in wanted if name not in arrays]
        if missing:
            raise FormatError(f"{layer}: its {missing[0]} is missing")
        if extra:
            raise FormatError(f"{layer}: has {extra} arrays too many: {', '.join(layer.arrays)}")
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused as not finite
            return [arrays[name].astype(np.float32) for name in wanted]

    def _kernel(
        self,
        layer: KerasLayer,
        kernel: str,
        move: Callable[[NDArray[Any]], NDArray[Any]],
        multiplier: int = 0,
    ) -> tuple[Weights, NDArray[Any] | None]:
        names = [kernel, "bias"] if layer.settings["use_bias"] else [kernel]
        names += _folded_names(layer)
        values = dict(zip(names, self._variables(layer, *names), strict=True))
        given = named(str(layer), layer.settings.get(_quantizer_of(kernel)))
        try:
            latent = move(values[kernel])
        except (ValueError, IndexError):
            raise FormatError(
                f"{layer}: its {kernel} has shape {values[kernel].shape}, which does not fit the "
                "layer's settings and input"
            ) from None
        if latent.size == 0:
            raise FormatError(
                f"{layer}: its {kernel} has shape {values[kernel].shape}: it is empty"
            )
        bias = values.get("bias")
        if layer.kind.endswith("Batchnorm"):
            latent, bias = _folded(layer, values, latent)
        weights = self._taken(layer, given, latent, multiplier)
        if count := unsure(given, latent):
            self.report.lost.append(
                f"{layer}: {count} weights are between two steps up to float32's rounding; "
                "TensorFlow may take the other one, and not on every machine the same"
            )
        if bias is not None and bias.shape != (len(weights.integers),):
            raise FormatError(
                f"{layer}: its bias has shape {bias.shape}, not ({len(weights.integers)},)"
            )
        rounds_bias = layer.settings.get("bias_quantizer") is not None
        if bias is not None and rounds_bias:
            bias = self._rounded(layer, "bias_quantizer", bias)
        what = f"{layer.kind}, {weights.precision} weights" + (f" by {given.name}" if given else "")
        self.report.used(layer.name, what, values)
        return weights, bias

    def _taken(
        self, layer: KerasLayer, given: Named | None, latent: NDArray[Any], multiplier: int
    ) -> Weights:
        """Return the weights that the layer's quantizer makes from latent weights (out, ...)."""
        where = str(layer)
        if layer.kind.startswith(("Binary", "Ternary")):
            self.report.lost.append(
                f"{layer}: the file has no code of its class; its weights are taken as "
                f"{'BinaryNet' if layer.kind.startswith('Binary') else 'TernaryNet'} for Keras does"
            )
            if not np.isfinite(latent).all():
                raise FormatError(f"{where}: weights are not finite")
            factor = layer.settings["H"]
            if count := qkeras.nearly_zero(layer.kind, factor, latent):
                self.report.lost.append(
                    f"{layer}: {count} weights of less than 1e-7 are taken as +1 (as hls4ml does); "
                    "BinaryNet's own rounding in float32 takes them for -1"
                )
            return qkeras.plain_kernel(where, layer.kind, factor, latent)
        weights = weights_of(where, given, latent, multiplier)
        if given is not None and given.name in qkeras.NAMES:
            count = qkeras.inexact(weights, latent)
            if count:
                self.report.lost.append(
                    f"{layer}: {count} weights are what {given.name} rounds to; QKeras' own sum "
                    "x + (q - x) is another number in its last bits"
                )
        return weights

    def _rounded(self, layer: KerasLayer, key: str, values: NDArray[Any]) -> NDArray[Any]:
        """Return ``values`` after the quantizer in the setting ``key``; unchanged without one."""
        where = str(layer)
        given = named(where, layer.settings.get(key))
        if given is None:
            return values
        if given.name not in qkeras.NAMES:
            raise FormatError(f"{where}: {key} {given.name!r} cannot be converted")
        if not np.isfinite(values).all():
            raise FormatError(f"{where}: the numbers that its {key} rounds are not finite")
        return qkeras.quantized(f"{where}: {key}", given.name, given.settings, values)

    def _dense(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        flow = self._codes(layer, flow)
        if self._is_real_end(layer):
            return self._real_dense(layer, flow)
        weights, bias = self._kernel(layer, "kernel", lambda a: _rank(a, 2).T)
        name, shape = self.stack.name(layer.name), flow.shape
        _told(layer, "units", len(weights.integers))
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

    def _is_real_end(self, layer: KerasLayer) -> bool:
        """Return whether ``layer`` is the last layer with weights, and its weights are real.

        Real weights are not small integers times a scale.
        """
        later = self.model.layers[self.model.layers.index(layer) + 1 :]
        if layer.kind != "Dense" or any(one.kind not in _ENDING for one in later):
            return False
        kernel = layer.arrays.get("kernel", next(iter(layer.arrays.values()), np.zeros(0)))
        if kernel.ndim != 2 or kernel.size == 0 or not np.isfinite(kernel).all():
            return False  # refused below
        try:
            from_real(kernel.T, layer.name)
        except FormatError:
            return True
        return False

    def _real_dense(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        """Add a last layer of real weights, which the host computes."""
        names = ["kernel", "bias"] if layer.settings["use_bias"] else ["kernel"]
        values = dict(zip(names, self._variables(layer, *names), strict=True))
        kernel, bias = values["kernel"], values.get("bias")
        if flow.shape[:2] != (1, 1) or kernel.shape != (flow.shape[2], layer.settings["units"]):
            raise FormatError(
                f"{layer}: its kernel has shape {kernel.shape}, but it has "
                f"{layer.settings['units']} units and reads a tensor of shape {flow.shape}"
            )
        name = self.stack.add(
            RealDense(self.stack.name(layer.name), kernel.T, bias, source=flow.layer)
        )
        self.report.used(layer.name, "dense, real weights: computed by the host", values)
        made = replace(flow, layer=name, shape=(1, 1, kernel.shape[1]))
        return self._activated(layer, made)

    def _weights(self, layer: KerasLayer, channels: int) -> tuple[Weights, Any, int]:
        """Return the weights (out, height, width, in / groups), bias, and the number of groups."""
        if "Depthwise" in layer.kind:
            multiplier = layer.settings["depth_multiplier"]
            weights, bias = self._kernel(
                layer, "depthwise_kernel", lambda a: _depthwise(a, channels, multiplier), multiplier
            )
            groups = channels
        else:
            rank = 3 if layer.kind in _ON_ROWS else 4
            weights, bias = self._kernel(
                layer, "kernel", lambda a: _as_map(_rank(a, rank)).transpose(3, 0, 1, 2)
            )
            groups = layer.settings["groups"]
            _told(layer, "filters", len(weights.integers))
        _told(layer, "kernel_size", weights.integers.shape[1:3])
        each = weights.integers.shape[3]
        if each * groups != channels or len(weights.integers) % groups:
            raise FormatError(
                f"{layer}: its kernel takes {each} channels in each of {groups} groups, "
                f"not {channels}"
            )
        return weights, bias, groups

    def _conv(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        before = flow.padding
        flow = self._codes(layer, flow)
        weights, bias, groups = self._weights(layer, flow.shape[2])
        made = self._slid_over(layer, flow, weights, bias, groups, before)
        return self._activated(layer, made)

    def _separable(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        """Add a separable convolution: a depthwise one, and a 1x1 one that reads its sums."""
        before, multiplier = flow.padding, layer.settings["depth_multiplier"]
        flow = self._codes(layer, flow)
        channels = flow.shape[2]
        names = ["depthwise_kernel", "pointwise_kernel"]
        names += ["bias"] if layer.settings["use_bias"] else []
        values = dict(zip(names, self._variables(layer, *names), strict=True))
        bias = values.get("bias")
        try:
            depthwise = _depthwise(values[names[0]], channels, multiplier)
            pointwise = _rank(values[names[1]], 4).transpose(3, 0, 1, 2)
        except ValueError:
            raise FormatError(
                f"{layer}: the shapes of its kernels do not fit {channels} channels and "
                f"depth_multiplier {multiplier}"
            ) from None
        if pointwise.shape[1:] != (1, 1, channels * multiplier) or not pointwise.size:
            raise FormatError(
                f"{layer}: its pointwise_kernel has shape {values[names[1]].shape}, which does not "
                f"fit {channels * multiplier} channels"
            )
        parts = []
        for latent, key in ((depthwise, "depthwise"), (pointwise, "pointwise")):
            given = named(str(layer), layer.settings.get(f"{key}_quantizer"))
            parts.append(
                self._taken(layer, given, latent, multiplier if latent is depthwise else 0)
            )
        _told(layer, "kernel_size", depthwise.shape[1:3])
        _told(layer, "filters", len(pointwise))
        if bias is not None and bias.shape != (len(pointwise),):
            raise FormatError(f"{layer}: its bias has shape {bias.shape}, not ({len(pointwise)},)")
        if bias is not None and layer.settings.get("bias_quantizer") is not None:
            bias = self._rounded(layer, "bias_quantizer", bias)
        what = f"{layer.kind}, {parts[0].precision} and {parts[1].precision} weights"
        self.report.used(layer.name, what, values)
        first = self._slid_over(layer, flow, parts[0], None, channels, before, "_depthwise")
        name = self.stack.add(
            Conv2d(
                self.stack.name(layer.name),
                parts[1].integers,
                parts[1].precision,
                parts[1].scale,
                bias,
                source=first.layer,
            )
        )
        made = replace(first, layer=name, shape=(*first.shape[:2], len(pointwise)))
        return self._activated(layer, made)

    def _slid_over(
        self,
        layer: KerasLayer,
        flow: _Flow,
        weights: Weights,
        bias: NDArray[Any] | None,
        groups: int,
        before: Borders,
        ending: str = "",
    ) -> _Flow:
        """Add a convolution of ``flow``, and return its result.

        ``before`` is the padding that comes before the layer's input quantizer (ZeroPadding2D).
        """
        spread = layer.settings["dilation_rate"]
        try:
            integers = weights.integers if groups == 1 else grouped(weights.integers, groups)
            integers = integers if spread == (1, 1) else dilated(integers, spread)
        except FormatError as error:
            raise FormatError(f"{layer}: {error}") from None
        precision = weights.precision
        if integers.size != weights.integers.size and precision == BIPOLAR:
            precision = TERNARY  # for the zeros
        size = (int(integers.shape[1]), int(integers.shape[2]))
        stride = layer.settings["strides"]
        padding = _padding(layer, flow, size, stride)
        pad_value = _border(layer, before, padding)
        made = Conv2d(
            self.stack.name(layer.name + ending),
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
        return replace(flow, layer=name, shape=(*shape, len(integers)), padding=_NONE)

    # --- batch norm, activations -----------------------------------------------------

    def _batch_norm(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        flow = self._known(flow)
        settings = layer.settings
        if settings["axis"] not in ([-1], [flow.rank - 1]):
            raise FormatError(
                f"{layer}: normalizes axis {settings['axis']}; only the last can be converted"
            )
        names = ["gamma"] * settings["scale"] + ["beta"] * settings["center"]
        names += ["moving_mean", "moving_variance"]
        values = dict(zip(names, self._variables(layer, *names), strict=True))
        channels = flow.shape[2]
        for name, value in values.items():
            if value.shape != (channels,):
                raise FormatError(f"{layer}: its {name} has shape {value.shape}, not ({channels})")
        if layer.kind == "QBatchNormalization":
            for name, key in _NORM_QUANTIZERS.items():
                if layer.settings[key] is not None and name in values:
                    values[name] = self._rounded(layer, key, values[name])
        epsilon = settings["epsilon"]
        name = self.stack.name(layer.name)
        # TensorFlow's fused kernel, which Keras 2 uses on maps, centers first.
        fused = self.model.version == 2 and flow.rank == 4 and layer.kind != "QBatchNormalization"
        if fused and epsilon < _RAISED_EPSILON:
            self.report.lost.append(
                f"{layer}: epsilon is {epsilon:g}; on GPUs and in older versions "
                f"TensorFlow takes {_RAISED_EPSILON:g}; here as its version 2.16 on a CPU"
            )
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
        """Return ``flow`` after the activation in the layer's configuration."""
        given = named(str(layer), layer.settings["activation"])
        return flow if given is None else self._apply(layer, given, flow)

    def _apply(self, layer: KerasLayer, given: Named, flow: _Flow) -> _Flow:
        if given.name in ("softmax", "log_softmax") or (
            given.name == "sigmoid" and layer is self.model.layers[-1]
        ):
            if given.name == "softmax" and given.settings["axis"] not in ([-1], [flow.rank - 1]):
                raise FormatError(
                    f"{layer}: its softmax is over axis {given.settings['axis']}; only the last "
                    "can be converted"
                )
            self.report.lost.append(f"{layer}: {given.name}; scores are its inputs, same class")
            self.report.final = given.name
            return replace(flow, final=given.name)
        if flow.chain and given.name == "re_lu":
            limit = real_activation(given, "relu", "")
            assert isinstance(limit, Clip)
            return replace(flow, chain=(*flow.chain, lambda x: real_layer(limit, x)))
        if flow.final:
            raise FormatError(f"{layer}: {given.name} after {flow.final} cannot be converted")
        if given.name == "sign":
            self.report.lost.append(f"{layer}: sign is taken as Keras' own, which is 0 at 0")
        if given.name in qkeras.NAMES | qkeras.PLAIN:
            if note := qkeras.remark(given.name, given.settings):
                self.report.lost.append(f"{layer}: {given.name}: {note}")
            fed = None if flow.layer else self._quantized_input(given, flow)
            if fed is not None:
                return fed
        flow = self._map(flow)
        is_own = layer.kind in ("Activation", "QActivation")
        name = self.stack.name(layer.name if is_own else f"{layer.name}_act")
        real = real_activation(given, name, flow.layer)
        made = real or activation_of(str(layer), given, name, flow.layer)
        self.stack.add(made)
        self.report.used(name, f"activation {given.name}")
        return replace(flow, layer=name)

    def _activation(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        return self._activated(layer, flow)

    def _activation_layer(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        return self._apply(layer, Named(plain(str(layer), layer.kind), layer.settings), flow)

    # --- pools, shapes ---------------------------------------------------------------

    def _max_pool(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        flow = self._known(flow)
        size, stride = self._pool_size(layer, flow)
        padding = _padding(layer, flow, size, stride)
        name = self.stack.name(layer.name)
        self.stack.add(MaxPool(name, size, stride, padding, flow.layer))
        self.report.used(layer.name, f"max pool {size[0]}x{size[1]}")
        shape = (*_slid(layer, flow.shape, size, stride, padding), flow.shape[2])
        return replace(flow, layer=name, shape=shape, rank=_pooled_rank(layer))

    def _average_pool(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        flow = self._known(flow)
        size, stride = self._pool_size(layer, flow)
        if any(_padding(layer, flow, size, stride)):
            raise FormatError(f"{layer}: an average pool with padding cannot be converted")
        name = self.stack.name(layer.name)
        made = average_pool(name, flow.shape[2], size, stride, flow.layer)
        if layer.settings.get("average_quantizer") is not None:
            share = np.full(1, np.float32(1 / (size[0] * size[1])))
            made = replace(made, scale=self._rounded(layer, "average_quantizer", share))
        self.stack.add(made)
        self.report.used(layer.name, f"average pool {size[0]}x{size[1]}")
        shape = (*_slid(layer, flow.shape, size, stride, _NONE), flow.shape[2])
        pooled = replace(flow, layer=name, shape=shape, rank=_pooled_rank(layer))
        return self._activated(layer, pooled) if layer.kind.startswith("Q") else pooled

    def _pool_size(self, layer: KerasLayer, flow: _Flow) -> tuple[Pair, Pair]:
        if "Global" in layer.kind:
            return flow.shape[:2], (1, 1)
        size = layer.settings["pool_size"]
        return size, layer.settings["strides"] or size

    def _flatten(self, _: KerasLayer, flow: _Flow) -> _Flow:
        height, width, channels = flow.shape
        shape = (1, 1, height * width * channels)
        return replace(flow, shape=shape, rank=2, flat=flow.flat or (height, width) != (1, 1))

    def _reshape(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        target, count = layer.settings["target_shape"], int(np.prod(flow.shape))
        rank = len(target) + 1
        sizes = [*target, 1] if rank == 3 else list(target)
        if -1 in sizes:
            rest = -int(np.prod(sizes))
            sizes = [count // rest if n == -1 else n for n in sizes]
        if sizes == [count]:
            return self._flatten(layer, flow)
        if len(sizes) == 3 and int(np.prod(sizes)) == count:
            shape = (sizes[0], sizes[1], sizes[2])
            if shape == flow.shape and not flow.flat:
                return replace(flow, rank=rank)
            if not flow.layer:
                self.input_shape = shape
                self.report.lost.append(f"the input is taken as a map of {shape}")
                return replace(flow, shape=shape, rank=rank, flat=False)
        raise FormatError(f"{layer}: from {flow.shape} to {target} cannot be converted")

    def _zero_padding(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        top, left, bottom, right = flow.padding
        given = layer.settings["padding"]
        padding = (top + given[0], left + given[1], bottom + given[2], right + given[3])
        return replace(flow, padding=padding)

    def _rescaling(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        scale, offset = layer.settings["scale"], layer.settings["offset"]
        self.report.used(layer.name, f"x * {scale:g} + {offset:g}")
        if not flow.layer:
            if scale <= 0:
                raise FormatError(
                    f"{layer}: its scale is {scale:g}; that of the model's input must be positive"
                )
            return replace(flow, steps=(*flow.steps, (scale, offset)))
        name = self.stack.name(layer.name)
        self.stack.add(Scale(name, np.float32(scale), np.float32(offset), flow.layer))
        return replace(flow, layer=name)

    def _add(self, layer: KerasLayer, one: _Flow, two: _Flow) -> _Flow:
        one, two = self._known(one), self._known(two)
        name = self.stack.add(Add(self.stack.name(layer.name), two.layer, one.layer))
        self.report.used(layer.name, "sum")
        return replace(one, layer=name)

    def _concatenate(self, layer: KerasLayer, first: _Flow, *others: _Flow) -> _Flow:
        first = self._known(first)
        if layer.settings["axis"] not in ([-1], [first.rank - 1]):
            raise FormatError(
                f"{layer}: joins along axis {layer.settings['axis']}; only the last is converted"
            )
        for other in map(self._known, others):
            if other.rank != first.rank or other.shape[:2] != first.shape[:2]:
                raise FormatError(
                    f"{layer}: joins maps of shapes {first.shape} and {other.shape}, which differ "
                    "in more than the channels"
                )
            name = self.stack.add(Concat(self.stack.name(layer.name), other.layer, first.layer))
            shape = (*first.shape[:2], first.shape[2] + other.shape[2])
            first = replace(first, layer=name, shape=shape)
        self.report.used(layer.name, f"{1 + len(others)} tensors side by side")
        return first

    def _leaky(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        alpha, slope = layer.settings["alpha"], layer.settings["negative_slope"]
        if alpha is not None and slope is not None:
            raise FormatError(f"{layer}: has both alpha and negative_slope; only one is allowed")
        given = [value for value in (alpha, slope) if value is not None]
        return self._sloped(layer, flow, np.float32(given[0] if given else 0.3))

    def _prelu(self, layer: KerasLayer, flow: _Flow) -> _Flow:
        (alpha,) = self._variables(layer, "alpha")
        flow = self._known(flow)
        shared = layer.settings["shared_axes"]
        sizes = [1 if axis + 1 in shared else n for axis, n in enumerate(_sizes(flow))]
        if alpha.shape != tuple(sizes) or not np.isfinite(alpha).all():
            raise FormatError(f"{layer}: its alpha has shape {alpha.shape}, not {tuple(sizes)}")
        rows = alpha.reshape(-1, alpha.shape[-1])
        if (rows != rows[:1]).any():
            raise FormatError(f"{layer}: its slope differs from position to position of the map")
        return self._sloped(layer, flow, rows[0], alpha)

    def _sloped(self, layer: KerasLayer, flow: _Flow, slope: Any, alpha: Any = None) -> _Flow:
        flow = self._map(flow)
        name = self.stack.add(Leaky(self.stack.name(layer.name), slope, flow.layer))
        self.report.used(layer.name, "leaky ReLU", {} if alpha is None else {"alpha": alpha})
        return replace(flow, layer=name)

    def _passed(self, _: KerasLayer, flow: _Flow) -> _Flow:
        return flow


#: The quantizer of each array of a QBatchNormalization.
_NORM_QUANTIZERS = {
    "gamma": "gamma_quantizer",
    "beta": "beta_quantizer",
    "moving_mean": "mean_quantizer",
    "moving_variance": "variance_quantizer",
}


def _quantizer_of(kernel: str) -> str:
    """Return the name of the setting that has a kernel's quantizer."""
    return "depthwise_quantizer" if "depthwise" in kernel else "kernel_quantizer"


def _folded_names(layer: KerasLayer) -> list[str]:
    """Return the names of the batch norm's arrays in a QKeras layer that includes a batch norm.

    They are in the order of the arrays in the file; [] for other layers.
    """
    if not layer.kind.endswith("Batchnorm"):
        return []
    settings = layer.settings
    names = ["gamma"] * settings["scale"] + ["beta"] * settings["center"]
    return [*names, "iteration", "moving_mean", "moving_variance"]


def _folded(
    layer: KerasLayer, values: dict[str, NDArray[Any]], latent: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return kernel (out, ...) and bias with the layer's batch norm folded in, not rounded."""
    settings, count = layer.settings, len(latent)
    rank = 2 if layer.kind == "QDenseBatchnorm" else 4
    if settings["axis"] not in ([-1], [rank - 1]):
        raise FormatError(
            f"{layer}: normalizes axis {settings['axis']}; only the last can be converted"
        )
    for name, value in values.items():
        if name not in ("kernel", "depthwise_kernel", "iteration") and value.shape != (count,):
            raise FormatError(f"{layer}: its {name} has shape {value.shape}, not ({count})")
    variance = values["moving_variance"] + np.float32(settings["epsilon"])
    if not (variance > 0).all():
        raise FormatError(f"{layer}: its moving_variance + epsilon must be positive")
    factor = np.float32(1) / np.sqrt(variance)
    if "gamma" in values:
        factor = factor * values["gamma"]
    zero = np.zeros(count, np.float32)
    bias = factor * (values.get("bias", zero) - values["moving_mean"]) + values.get("beta", zero)
    return latent * factor.reshape(-1, *[1] * (latent.ndim - 1)), bias


def _sizes(flow: _Flow) -> tuple[int, ...]:
    """Return the shape that one sample of this result has in Keras."""
    return flow.shape[4 - flow.rank :]


def _rank(array: NDArray[Any], rank: int) -> NDArray[Any]:
    if array.ndim != rank:
        raise ValueError
    return array


def _as_map(kernel: NDArray[Any]) -> NDArray[Any]:
    """Turn (width, in, out) into (1, width, in, out)."""
    return kernel if kernel.ndim == 4 else kernel[None]


def _depthwise(kernel: NDArray[Any], channels: int, multiplier: int) -> NDArray[Any]:
    """Turn (height, width, channels, multiplier) into (channels * multiplier, height, width, 1)."""
    if kernel.ndim != 4 or kernel.shape[2:] != (channels, multiplier):
        raise ValueError
    rows = kernel.transpose(2, 3, 0, 1)
    return rows.reshape(-1, *rows.shape[2:])[..., None]


def _told(layer: KerasLayer, key: str, found: Any) -> None:
    """Refuse a layer whose setting ``key`` is not the size ``found`` of its arrays."""
    said = layer.settings[key]
    if said is not None and said != found:
        raise FormatError(f"{layer}: {key} is {said}, but its arrays are for {found}")


def _input_quantizer(layer: KerasLayer) -> Named | None:
    given = named(str(layer), layer.settings.get("input_quantizer"))
    return None if given is None or given.name == "no_op" else given


def _padding(layer: KerasLayer, flow: _Flow, size: Pair, stride: Pair) -> Borders:
    if layer.settings.get("padding", "valid") == "valid":
        return flow.padding
    top, left, bottom, right = flow.padding
    whole = (flow.shape[0] + top + bottom, flow.shape[1] + left + right)
    same = same_padding(whole, size, stride)
    return (top + same[0], left + same[1], bottom + same[2], right + same[3])


def _border(layer: KerasLayer, before: Borders, padding: Borders) -> float:
    """Return the real value with which the quantized input of a convolution is padded.

    The zeros of a ZeroPadding2D come before the layer's input quantizer, so they are quantized:
    the sign of 0 is +1. The layer's own padding comes after the quantizer.
    """
    own = float(layer.settings.get("pad_values", 0.0))
    if not any(before):
        return own
    given = _input_quantizer(layer)
    quantized = 0.0 if given is None else of_zero(str(layer), given)
    if padding != before and own != quantized:
        raise FormatError(
            f"{layer}: ZeroPadding2D pads with {quantized:g} (0 after the quantizer), the layer's "
            f"own padding with {own:g}; only one value can be converted"
        )
    return quantized


def _pooled_rank(layer: KerasLayer) -> int:
    if "Global" in layer.kind and not layer.settings["keepdims"]:
        return 2
    return 3 if layer.kind in _ON_ROWS else 4


def _slid(
    layer: KerasLayer, shape: tuple[int, int, int], size: Pair, stride: Pair, padding: Borders
) -> Pair:
    height = shape[0] + padding[0] + padding[2] - size[0]
    width = shape[1] + padding[1] + padding[3] - size[1]
    if min(height, width) < 0:
        raise FormatError(f"{layer}: its window of {size} is larger than the map of {shape}")
    return height // stride[0] + 1, width // stride[1] + 1


#: Ends of names of the layers of a quantizer that wraps around.
_WRAPPED = ("rounded", "wraps", "wrapped")
#: Layers that may follow the last one with weights.
_ENDING = {"Softmax", "Activation", "Dropout", "Identity", "ActivityRegularization"}
_DENSES = ("Dense", "QuantDense", "QDense", "QDenseBatchnorm", "BinaryDense", "TernaryDense")
_CONVS = (
    *("Conv2D", "QuantConv2D", "DepthwiseConv2D", "QuantDepthwiseConv2D"),
    *("QConv2D", "QConv2DBatchnorm", "QDepthwiseConv2D", "QDepthwiseConv2DBatchnorm"),
    *("BinaryConv2D", "TernaryConv2D"),
)
_SEPARABLES = ("SeparableConv2D", "QuantSeparableConv2D", "QSeparableConv2D")
_CONVS_OF_ROWS = ("Conv1D", "QuantConv1D", "QConv1D")
_NORMS = ("BatchNormalization", "BatchNormalizationV1", "QBatchNormalization")
_MAXIMA = (
    *("MaxPooling2D", "MaxPool2D", "GlobalMaxPooling2D"),
    *("MaxPooling1D", "GlobalMaxPooling1D"),
)
_AVERAGES = (
    *("AveragePooling2D", "GlobalAveragePooling2D"),
    *("QAveragePooling2D", "QGlobalAveragePooling2D"),
    *("AveragePooling1D", "GlobalAveragePooling1D"),
)
#: Layers of signals, (samples, width, channels): maps of one row.
_ON_ROWS = {
    *(*_CONVS_OF_ROWS, "ZeroPadding1D", "MaxPooling1D", "AveragePooling1D"),
    *("GlobalMaxPooling1D", "GlobalAveragePooling1D"),
}
_PADDABLE = {*_CONVS, *_SEPARABLES, *_CONVS_OF_ROWS, "ZeroPadding2D", "ZeroPadding1D"}
_ON_MAPS = {*_PADDABLE, *_MAXIMA, *_AVERAGES}
_HANDLERS: dict[str, Callable[..., _Flow]] = {
    **dict.fromkeys(_DENSES, _Reader._dense),
    **dict.fromkeys((*_CONVS, *_CONVS_OF_ROWS), _Reader._conv),
    **dict.fromkeys(_SEPARABLES, _Reader._separable),
    **dict.fromkeys(_NORMS, _Reader._batch_norm),
    **dict.fromkeys(_MAXIMA, _Reader._max_pool),
    "Concatenate": _Reader._concatenate,
    "LeakyReLU": _Reader._leaky,
    "PReLU": _Reader._prelu,
    **dict.fromkeys(_AVERAGES, _Reader._average_pool),
    **dict.fromkeys(
        (
            "Dropout",
            "SpatialDropout2D",
            "SpatialDropout1D",
            "GaussianNoise",
            "GaussianDropout",
            "AlphaDropout",
            "ActivityRegularization",
            "Identity",
        ),
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
    **dict.fromkeys(("Activation", "QActivation"), _Reader._activation),
    "FixedPointQuantizer": _Reader._fixed_point,
    "Flatten": _Reader._flatten,
    "Reshape": _Reader._reshape,
    **dict.fromkeys(("ZeroPadding2D", "ZeroPadding1D"), _Reader._zero_padding),
    "Rescaling": _Reader._rescaling,
    "Add": _Reader._add,
}

# SPDX-License-Identifier: BSD-3-Clause
"""QONNX (and plain ONNX with quantized weights) to a network, by walking its graph.

QONNX is ONNX plus quantizers that compute in real numbers (arXiv 2206.07527). The walk
turns every node into a layer, into a constant, or into nothing but a remembered change
of layout; what it cannot say it refuses, naming the node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError, NetworkError
from bnn.formats import onnx_file
from bnn.formats.grids import Grid, grid
from bnn.formats.onnx_file import Graph, Node
from bnn.formats.onnx_fold import Constant, axes_of, fold, reshaped
from bnn.formats.qonnx_input import quantized_input, thresholded_input, unquantized_input
from bnn.formats.qonnx_quant import Quant, activation, float_thresholds, quant, trunc_levels
from bnn.formats.qonnx_tensor import (
    FIRST,
    LAST,
    VECTOR,
    RawInput,
    Tensor,
    flat_order,
    in_order,
    ordered,
    per_channel,
    transposed,
)
from bnn.formats.qonnx_weights import bias_of, kernel_of, matrix_of
from bnn.formats.report import Converted, Report
from bnn.formats.stack import (
    Stack,
    add_conv,
    append_two_classes,
    average_pool,
    dilated,
    same_padding,
    two_classes,
    zeros_fit,
)
from bnn.formats.weights import Weights
from bnn.inputs import Input
from bnn.network import (
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
    Scale,
    Sign,
)
from bnn.precision import BIPOLAR, TERNARY
from bnn.program import Borders, Pair

Array = NDArray[Any]
Value = Constant | Tensor | RawInput


def read(path: str | Path, given_input: str | None = None) -> Converted:
    """The network in the ONNX file ``path``.

    Args:
        path: of the file.
        given_input: where the graph does not quantize its input: the values that occur,
            a name of :func:`bnn.formats.grids.grid`.

    Raises:
        FormatError: the file is damaged, or a node cannot be converted; names it.
        NetworkError: what it says makes no network.
    """
    path = Path(path)
    graph = onnx_file.read(path)
    reader = _Reader(graph, None if given_input is None else grid(given_input))
    try:
        return reader.converted()
    except (FormatError, NetworkError) as error:
        text = str(error)
        raise type(error)(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _needed(graph: Graph) -> tuple[list[Node], list[Node]]:
    """Nodes that the output depends on, and the others."""
    wanted, needed, idle = {graph.output}, [], []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            needed.append(node)
        else:
            idle.append(node)
    return needed[::-1], idle[::-1]


class _Reader:
    """Values of tensors by name, and the layers made so far."""

    def __init__(self, graph: Graph, chosen: Grid | None) -> None:
        self.graph = graph
        self.chosen = chosen
        self.report = Report("QONNX")
        self.stack = Stack()
        self.values: dict[str, Value] = {k: Constant(v) for k, v in graph.constants.items()}
        self.used: set[str] = set()
        self.origins: dict[str, tuple[str, ...]] = {name: (name,) for name in graph.constants}
        self.input: Input | None = None
        self.lattice = Lattice()
        self.input_tensor: Tensor | None = None
        self.nodes, idle = _needed(graph)
        self.report.ignored += [str(node) for node in idle]
        axes = VECTOR if len(graph.shape) == 2 else _input_axes(graph, self.nodes)
        one, zero = np.ones(1), np.zeros(1)
        self.values[graph.input] = RawInput(graph.shape, axes, one, zero)

    # --- the walk --------------------------------------------------------------------

    def converted(self) -> Converted:
        for node in self.nodes:
            inputs = [self._value(node, name) if name else None for name in node.inputs]
            self._note_constants(node, inputs)
            result = self._result(node, inputs)
            outputs = node.outputs if node.kind in _FINAL else node.outputs[:1]
            self.values.update(dict.fromkeys(outputs, result))
        self._finish(self._value(self.nodes[-1], self.graph.output))
        assert self.input is not None
        given = zeros_fit(self.input, self.stack.layers)
        network = Network(given, tuple(self.stack.layers), self.lattice)
        self.report.ignored += [k for k in self.graph.constants if k not in self.used]
        classes = self.graph.classes
        count = network.signals[network.layers[-1].name].shape[2]
        return Converted(network, self.report, classes if len(classes) == count else None)

    def _value(self, node: Node, name: str) -> Value:
        if name not in self.values:
            raise FormatError(f"{node}: reads {name!r}, a second output that is not kept")
        return self.values[name]

    def _note_constants(self, node: Node, inputs: list[Value | None]) -> None:
        """Which of the file's arrays each constant comes from."""
        origins = [self.origins.get(name, ()) for name in node.inputs if name]
        found = tuple(dict.fromkeys(name for names in origins for name in names))
        self.used.update(found)
        if all(item is None or isinstance(item, Constant) for item in inputs):
            self.origins[node.outputs[0]] = found

    def _arrays(self, node: Node) -> dict[str, Array]:
        """The file's arrays that ``node`` is made of, by name."""
        names = [name for given in node.inputs for name in self.origins.get(given, ())]
        return {name: self.graph.constants[name] for name in dict.fromkeys(names)}

    def _result(self, node: Node, inputs: list[Value | None]) -> Value:
        constants = [item for item in inputs if isinstance(item, Constant)]
        if len(constants) == sum(item is not None for item in inputs):
            result = self._quantized_constant(node, constants) or fold(node, list(constants))
            if result is None:
                raise FormatError(f"{node}: this operation cannot be converted")
            return result
        handler = _HANDLERS.get(node.kind)
        if handler is None:
            raise FormatError(f"{node}: this operation cannot be converted")
        tensors = [item for item in inputs if isinstance(item, Tensor)]
        if any(t.is_final for t in tensors) and node.kind not in _LAYOUT | _FINAL:
            raise FormatError(f"{node}: stands after a softmax; that cannot be converted")
        if any(any(t.padding) for t in tensors) and node.kind not in ("Conv", "MatMul"):
            raise FormatError(f"{node}: follows a Pad; only a convolution can")
        if any(t.patches for t in tensors) and node.kind != "MatMul":
            raise FormatError(f"{node}: follows an Im2Col; only a product can")
        return handler(self, node, inputs)

    def _quantized_constant(self, node: Node, inputs: list[Constant]) -> Constant | None:
        if node.kind not in _QUANTS:
            return None
        given = _quantizer(node, inputs)
        value = inputs[0].value.astype(np.float32)
        with np.errstate(all="ignore"):
            integers = given.integers(value)
        if not np.isfinite(integers).all():
            raise FormatError(f"{node}: what it quantizes is not finite")
        try:
            scale = np.broadcast_to(given.scale, value.shape)
        except ValueError:
            raise FormatError(f"{node}: scale and weights have different shapes") from None
        if not given.whole_zero_point:
            raise FormatError(f"{node}: weights with a fractional zero point cannot be held")
        zero = given.zero_point
        shift = int(zero.min()), int(zero.max())
        return Constant(
            (integers - zero) * scale,
            integers - zero,
            scale,
            given.low - shift[1],
            given.high - shift[0],
        )

    # --- input -----------------------------------------------------------------------

    def _tensor(self, node: Node, value: Value | None) -> Tensor:
        """``value`` as a layer's result of its own shape."""
        tensor = self._on_map(node, value)
        if not tensor.flat:
            return tensor
        name = self.stack.add(Flatten(self.stack.name(tensor.flat), tensor.layer))
        self.report.used(name, f"flatten to {tensor.shape[1]}")
        return replace(tensor, layer=name, flat="")

    def _on_map(self, node: Node, value: Value | None) -> Tensor:
        """The same, but a flattened map may still be a map.

        An input that nothing quantized so far is put on a grid.
        """
        if isinstance(value, Tensor):
            return value
        if not isinstance(value, RawInput):
            raise FormatError(f"{node}: needs a tensor where it has a constant")
        chosen = self.chosen
        if chosen is None:
            chosen = unquantized_input(self.graph, value)
            self.report.lost.append(
                f"the graph does not quantize its input; taken as {chosen.name}: {chosen.meaning}"
            )
        self.report.assumed = chosen.name
        if value.factor.size > 1 or value.offset.size > 1:
            raise FormatError(f"{node}: an input scaled by channel must be quantized by the graph")
        self.lattice = chosen.lattice(float(value.factor[0]), float(value.offset[0]))
        return self._fed(chosen.input(value.given_shape), value)

    def _fed(self, given: Input, raw: RawInput) -> Tensor:
        if self.input is not None:
            raise FormatError("the input is read twice, with different scales")
        self.input = given
        self.report.used("input", f"{given.precision} of shape {given.shape}")
        top = raw.map or raw
        tensor = Tensor("input", top.shape, top.axes, quantized=True)
        return tensor if raw.map is None else self._flat("flatten", tensor)

    def _flat(self, name: str, tensor: Tensor) -> Tensor:
        """The map ``tensor`` as a vector."""
        count, order = int(np.prod(tensor.shape)), flat_order(tensor)
        flat = tensor.flat or ("" if tensor.height_width == (1, 1) else name)
        return replace(tensor, shape=(1, count), axes=VECTOR, order=order, flat=flat)

    # --- quantizers ------------------------------------------------------------------

    def _quantize(self, node: Node, inputs: list[Value | None]) -> Tensor:
        source, *parameters = inputs
        constants = [item for item in parameters if isinstance(item, Constant)]
        if len(constants) != len(parameters):
            raise FormatError(f"{node}: its scale, zero point and bit width must be constants")
        given = _quantizer(node, [Constant(np.zeros(0)), *constants])
        if isinstance(source, RawInput) and self.chosen is None:
            fed = quantized_input(given, source)
            if fed is not None:
                self.lattice = fed.lattice
                made = self._fed(fed.input, source)
                return replace(made, nonnegative=given.low >= 0)
        one = given.scale.size == 1
        tensor = self._real_map(node, source) if one else self._real(node, source)
        if not given.bipolar and given.high - given.low > 255 and self._is_last(node):
            levels = given.high - given.low + 1
            self.report.lost.append(f"{node}: rounding of the scores to {levels} levels")
            return tensor
        channels = replace(given, scale=per_channel(node, given.scale, tensor))
        layer = activation(self.stack.name(node.name), channels, tensor.layer)
        self.stack.add(layer)
        self.report.used(node.name, f"quantizer, {layer.levels + 1} levels")
        nonnegative = given.low >= 0 and not given.zero_point.any()
        return replace(tensor, layer=layer.name, quantized=True, nonnegative=nonnegative)

    def _trunc(self, node: Node, inputs: list[Value | None]) -> Tensor:
        source, *parameters = inputs
        tensor = self._real(node, source)
        values = [item.value for item in parameters if isinstance(item, Constant)]
        if len(values) != len(parameters) or len(values) < 4:
            raise FormatError(f"{node}: its parameters must be constants")
        integers, low, high, scale, offset = trunc_levels(node, values, tensor.nonnegative)
        if high - low > 255:
            raise FormatError(f"{node}: activations have at most 8 bits")
        table = float_thresholds(lambda x: integers(x) - low, high - low)[None, :]
        return self._thresholds(node, tensor, table, scale, scale * low + offset)

    def _multi_threshold(self, node: Node, inputs: list[Value | None]) -> Tensor:
        if isinstance(inputs[0], RawInput) and self.chosen is None and not self.graph.datatype:
            scale, offset = _outputs(node)
            fed = thresholded_input(inputs[0], inputs[1], Lattice.of(scale, offset, node.name))
            if fed is not None:
                self.lattice = fed.lattice
                return replace(self._fed(fed.input, inputs[0]), nonnegative=offset >= 0)
        tensor = self._real(node, inputs[0])
        if len(inputs) < 2 or not isinstance(inputs[1], Constant):
            raise FormatError(f"{node}: its thresholds must be constants")
        table = inputs[1].value
        layout = node.attributes.get("data_layout", "")
        axis = layout.index("C") if "C" in layout else 1
        if axis >= len(tensor.axes) or tensor.axes[axis] != "C":
            raise FormatError(f"{node}: compares along axis {axis}, which is not the channels'")
        if table.ndim != 2 or len(table) not in (1, tensor.channels):
            raise FormatError(f"{node}: thresholds of shape {table.shape} do not fit the tensor")
        rows = np.sort(ordered(table, tensor), axis=1)  # their count has no order
        return self._thresholds(node, tensor, rows, *_outputs(node))

    def _thresholds(
        self, node: Node, tensor: Tensor, table: Array, scale: float, offset: float
    ) -> Tensor:
        turned = -1.0 if scale < 0 else 1.0  # the next layer's weights take the sign in
        lattice = Lattice.of(turned * scale, turned * offset, node.name)
        self.report.used(node.name, f"{table.shape[1]} thresholds", self._arrays(node))
        name = self.stack.name(node.name)
        self.stack.add(
            MultiThreshold(name, table, lattice.scale, lattice.step, lattice.base, tensor.layer)
        )
        most = max(0.0, -scale * table.shape[1])
        return replace(tensor, layer=name, quantized=True, gain=turned, nonnegative=offset >= most)

    def _sign(self, node: Node, inputs: list[Value | None]) -> Tensor:
        tensor = self._real_map(node, inputs[0])
        name = self.stack.add(Sign(self.stack.name(node.name), at_zero=0, source=tensor.layer))
        self.report.used(node.name, "sign, 0 at 0")
        return replace(tensor, layer=name, quantized=True, nonnegative=False)

    def _is_last(self, node: Node) -> bool:
        return node.outputs[0] == self.graph.output

    # --- real-valued layers ----------------------------------------------------------

    def _real(self, node: Node, value: Value | None) -> Tensor:
        """A tensor with nothing waiting: gain and shift become a layer."""
        return self._real_map(node, self._tensor(node, value))

    def _real_map(self, node: Node, value: Value | None) -> Tensor:
        """The same, but a flattened map may still be a map."""
        tensor = self._on_map(node, value)
        if tensor.gain == 1 and tensor.shift == 0:
            return tensor
        return self._scaled(node, tensor, np.float32(tensor.gain), np.float32(tensor.shift))

    def _scaled(self, node: Node, tensor: Tensor, factor: Any, offset: Any) -> Tensor:
        name = self.stack.name(node.name)
        self.stack.add(Scale(name, factor, offset, tensor.layer))
        rises = bool(np.all(factor >= 0) and np.all(offset >= 0))
        return replace(
            tensor,
            layer=name,
            quantized=False,
            gain=1.0,
            shift=0.0,
            nonnegative=tensor.nonnegative and rises,
        )

    def _elementwise(self, node: Node, inputs: list[Value | None]) -> Value:
        if len(inputs) != 2:
            raise FormatError(f"{node}: needs two inputs")
        one, two = inputs
        if not isinstance(one, Constant) and not isinstance(two, Constant):
            return self._add_tensors(node, one, two)
        tensor, constant = (two, one) if isinstance(one, Constant) else (one, two)
        assert isinstance(constant, Constant)
        assert isinstance(tensor, Tensor | RawInput)
        value = constant.value
        if np.broadcast_shapes(value.shape, tensor.shape) != tensor.shape:
            raise FormatError(f"{node}: its constant would make the tensor larger")
        first, rows = isinstance(one, Constant), per_channel(node, value, tensor)
        if isinstance(tensor, RawInput):
            # Composed in float64, so that what was one scale is the same float32 again.
            factor, offset = _affine(node, rows.astype(np.float64), first)
            return self._affine_input(tensor, factor, offset)
        factor, offset = _affine(node, rows.astype(np.float32), first)
        tensor = tensor if factor.size == 1 == offset.size else self._tensor(node, tensor)
        if tensor.quantized and factor.size == 1 == offset.size and factor[0] > 0:
            gain, shift = float(factor[0]), float(offset[0])
            return replace(tensor, gain=tensor.gain * gain, shift=tensor.shift * gain + shift)
        tensor = self._real_map(node, tensor)
        self.report.used(node.name, "scale and offset", self._arrays(node))
        return self._scaled(node, tensor, factor, offset)

    def _add_tensors(self, node: Node, one: Value | None, two: Value | None) -> Tensor:
        if node.kind != "Add":
            raise FormatError(f"{node}: of two tensors only the sum can be converted")
        first, second = self._tensor(node, one), self._tensor(node, two)
        if (first.gain, first.shift) != (second.gain, 0.0) or first.shift:
            first, second = self._real(node, first), self._real(node, second)
        if first.axes != second.axes or first.shape != second.shape:
            raise FormatError(f"{node}: adds tensors of shapes {first.shape} and {second.shape}")
        if not _same_order(first, second):
            raise FormatError(f"{node}: adds maps that were flattened in different orders")
        name = self.stack.add(Add(self.stack.name(node.name), second.layer, first.layer))
        self.report.used(node.name, "sum")
        nonnegative = first.nonnegative and second.nonnegative
        return replace(first, layer=name, quantized=False, nonnegative=nonnegative)

    def _batch_norm(self, node: Node, inputs: list[Value | None]) -> Value:
        first = inputs[0]
        raw = isinstance(first, RawInput) and self.chosen is None
        tensor = first if isinstance(first, RawInput) and raw else self._real(node, first)
        values = [item.value for item in inputs[1:] if isinstance(item, Constant)]
        if len(values) != 4:
            raise FormatError(f"{node}: its parameters must be constants")
        axis = len(tensor.axes) - 1 if node.domain.endswith("channels_last") else 1
        if tensor.axes[axis] != "C" or any(v.shape != (tensor.channels,) for v in values):
            raise FormatError(f"{node}: its parameters do not fit the tensor's channels")
        gamma, beta, mean, variance = (ordered(value, tensor) for value in values)
        epsilon = float(node.attributes.get("epsilon", 1e-5))
        self.report.used(node.name, f"batch norm, epsilon {epsilon:g}", self._arrays(node))
        if isinstance(tensor, RawInput):
            factor = gamma / np.sqrt(variance.astype(np.float64) + epsilon)
            return self._affine_input(tensor, factor, beta - mean * factor)
        name = self.stack.name(node.name)
        self.stack.add(
            BatchNorm.from_variance(
                name, gamma, beta, mean, variance, epsilon, "folded", tensor.layer
            )
        )
        return replace(tensor, layer=name, quantized=False, nonnegative=False)

    def _affine_input(self, raw: RawInput, factor: Array, offset: Array) -> RawInput:
        """``raw`` times ``factor`` plus ``offset``, each (1,) or (channels,), float64."""
        if raw.map is not None and max(factor.size, offset.size) > 1:
            count = raw.channels
            self.report.lost.append(
                f"the input is scaled number by number: it is a row of {count}, flattened as there"
            )
            if raw.order is not None:
                factor, offset = (v if v.size == 1 else v[raw.order] for v in (factor, offset))
            raw = replace(raw, map=None, order=None)
        return replace(raw, factor=raw.factor * factor, offset=raw.offset * factor + offset)

    def _clip(self, node: Node, inputs: list[Value | None]) -> Tensor:
        tensor = self._real_map(node, inputs[0])
        low, high = 0.0, np.inf
        if node.kind == "Clip":
            bounds = [
                item.value.item() if isinstance(item, Constant) else None for item in inputs[1:]
            ]
            bounds += [None] * (2 - len(bounds))
            low = float(node.attributes.get("min", -np.inf) if bounds[0] is None else bounds[0])
            high = float(node.attributes.get("max", np.inf) if bounds[1] is None else bounds[1])
        if tensor.quantized:
            return self._clipped_codes(node, tensor, low, high)
        name = self.stack.add(Clip(self.stack.name(node.name), low, high, tensor.layer))
        self.report.used(node.name, f"clip to {low:g} .. {high:g}")
        return replace(tensor, layer=name, quantized=False, nonnegative=low >= 0)

    def _clipped_codes(self, node: Node, tensor: Tensor, low: float, high: float) -> Tensor:
        """A clipped quantized tensor is quantized still, with fewer levels."""
        made = self._activation_of(tensor)
        scale = float(np.float32(made.scale))
        values = [made.base + made.step * level for level in range(made.levels + 1)]
        kept = [v for v in values if low <= v * scale <= high]
        below = bool(kept) and (low <= values[0] * scale or low == kept[0] * scale)
        above = bool(kept) and (high >= values[-1] * scale or high == kept[-1] * scale)
        name = self.stack.name(node.name)
        if not below or not above:
            # A bound between two values: the tensor is no longer on one scale.
            self.stack.add(Clip(name, low, high, tensor.layer))
            self.report.used(node.name, f"clip to {low:g} .. {high:g}")
            return replace(tensor, layer=name, quantized=False, nonnegative=low >= 0)
        middles = [(v - made.step / 2) * scale for v in kept[1:]] or [np.inf]
        table = np.array(middles, np.float32)[None, :]
        self.stack.add(MultiThreshold(name, table, scale, made.step, kept[0], tensor.layer))
        self.report.used(node.name, f"clip to {low:g} .. {high:g}, {len(kept)} levels")
        return replace(tensor, layer=name, nonnegative=low >= 0)

    def _activation_of(self, tensor: Tensor) -> Any:
        """The activation layer whose values ``tensor`` has, pools and flattening aside."""
        by_name = {layer.name: layer for layer in self.stack.layers}
        layer = by_name.get(tensor.layer)
        while isinstance(layer, MaxPool | Flatten):
            before = layer.source
            layer = by_name.get(before)
        if layer is None:
            return _InputLevels(self.input, self.lattice)
        return layer

    # --- weights ---------------------------------------------------------------------

    def _conv(self, node: Node, inputs: list[Value | None]) -> Tensor:
        tensor = self._codes(node, inputs[0], maps=True)
        last = node.domain.endswith("channels_last")
        if tensor.axes != (LAST if last else FIRST):
            raise FormatError(f"{node}: its input's axes are {''.join(tensor.axes)}")
        weights = kernel_of(node, inputs, tensor.channels, last)
        size = (int(weights.integers.shape[1]), int(weights.integers.shape[2]))
        stride, padding = _slide(node, tensor, size)
        if any(padding) and any(tensor.padding) and tensor.pad_value:
            raise FormatError(f"{node}: pads with zeros what a Pad has padded otherwise")
        top, left, bottom, right = tensor.padding
        padding = (padding[0] + top, padding[1] + left, padding[2] + bottom, padding[3] + right)
        name = self.stack.name(node.name)
        layer = Conv2d(
            name,
            weights.integers,
            weights.precision,
            weights.scale * np.float32(tensor.gain),
            _shifted_bias(weights, bias_of(node, inputs, len(weights.integers)), tensor.shift),
            stride,
            padding,
            (tensor.pad_value - tensor.shift) / tensor.gain,
            tensor.layer,
        )
        name = add_conv(self.stack, layer, self.lattice)
        self.report.used(node.name, f"convolution, {weights.precision} weights", self._arrays(node))
        height, width = _slid(node, tensor.height_width, size, stride, padding)
        return _after_weights(tensor, name, height, width, len(weights.integers))

    def _matmul(self, node: Node, inputs: list[Value | None]) -> Tensor:
        tensor = self._codes(node, inputs[0], maps=False)
        if tensor.axes[-1] != "C":
            raise FormatError(f"{node}: multiplies along axis {tensor.axes[-1]}")
        weights = matrix_of(node, inputs, tensor.channels)
        rows = in_order(weights.integers, tensor)
        bias = _shifted_bias(weights, bias_of(node, inputs, len(rows)), tensor.shift)
        scale = weights.scale * np.float32(tensor.gain)
        if tensor.patches:
            return self._patched(node, tensor, replace(weights, integers=rows), scale, bias)
        if any(tensor.padding):
            raise FormatError(f"{node}: follows a Pad; only a convolution can")
        name = self.stack.name(node.name)
        if len(tensor.axes) == 2:
            self.stack.add(Linear(name, rows, weights.precision, scale, bias, tensor.layer))
        else:
            kernel = rows[:, None, None, :]
            self.stack.add(
                Conv2d(name, kernel, weights.precision, scale, bias, source=tensor.layer)
            )
        self.report.used(node.name, f"dense, {weights.precision} weights", self._arrays(node))
        height, width = tensor.height_width
        return replace(_after_weights(tensor, name, height, width, len(rows)), order=None)

    def _codes(self, node: Node, value: Value | None, *, maps: bool) -> Tensor:
        tensor = self._tensor(node, value)
        if maps and len(tensor.axes) != 4:
            raise FormatError(f"{node}: reads a tensor of shape {tensor.shape}; it must be a map")
        return tensor

    def _im2col(self, node: Node, inputs: list[Value | None]) -> Tensor:
        """Patches of a channels-last map, ordered kernel row, kernel column, channel."""
        tensor = self._map(node, inputs[0])
        attributes = node.attributes
        if tensor.axes != LAST or attributes.get("depthwise", 0) or any(tensor.padding):
            raise FormatError(f"{node}: of patches, those of a channels-last map can be converted")
        size = _pair(node, "kernel_size", (0, 0))
        stride, dilation = _pair(node, "stride", (1, 1)), _pair(node, "dilations", (1, 1))
        pads = [int(n) for n in attributes.get("pad_amount", [0, 0, 0, 0])]
        if len(pads) != 4 or min(pads) < 0 or min(*size, *stride, *dilation) < 1:
            raise FormatError(f"{node}: its sizes make no sense")
        padding: Borders = (pads[0], pads[1], pads[2], pads[3])
        extent = _extent(size, dilation)
        height, width = _slid(node, tensor.height_width, extent, stride, padding)
        made = tensor.slid(tensor.layer, height, width, tensor.channels * size[0] * size[1])
        return replace(
            made,
            padding=padding,
            pad_value=float(attributes.get("pad_value", 0)),
            patches=(size, stride, dilation),
        )

    def _patched(
        self, node: Node, tensor: Tensor, weights: Weights, scale: Array, bias: Any
    ) -> Tensor:
        """The convolution of an Im2Col and a product."""
        size, stride, dilation = tensor.patches
        kernel = weights.integers.reshape(len(weights.integers), *size, -1)
        precision = weights.precision
        if dilation != (1, 1):
            kernel = dilated(kernel, dilation)
            precision = TERNARY if precision == BIPOLAR else precision  # for the zeros
        layer = Conv2d(
            self.stack.name(node.name),
            kernel,
            precision,
            scale,
            bias,
            stride,
            tensor.padding,
            (tensor.pad_value - tensor.shift) / tensor.gain,
            tensor.layer,
        )
        name = add_conv(self.stack, layer, self.lattice)
        self.report.used(node.name, f"convolution, {precision} weights", self._arrays(node))
        height, width = tensor.height_width
        return replace(_after_weights(tensor, name, height, width, len(kernel)), patches=())

    def _pad(self, node: Node, inputs: list[Value | None]) -> Tensor:
        tensor = self._map(node, inputs[0])
        values = [item.value if isinstance(item, Constant) else None for item in inputs[1:3]]
        given = node.attributes.get("pads") if len(inputs) < 2 else values[0]
        filled = float(node.attributes.get("value", 0.0))
        if len(values) > 1 and values[1] is not None:
            filled = float(values[1].reshape(-1)[0])
        pads = [] if given is None else [int(n) for n in np.asarray(given).reshape(-1)]
        if node.attributes.get("mode", "constant") != "constant" or len(pads) != 8 or min(pads) < 0:
            raise FormatError(f"{node}: of pads, those with a constant can be converted")
        sides = {axis: (pads[i], pads[i + 4]) for i, axis in enumerate(tensor.axes)}
        if any(sides["N"]) or any(sides["C"]) or any(tensor.padding):
            raise FormatError(f"{node}: pads more than height and width, or twice")
        (top, bottom), (left, right) = sides["H"], sides["W"]
        return replace(tensor, padding=(top, left, bottom, right), pad_value=filled)

    # --- pools -----------------------------------------------------------------------

    def _max_pool(self, node: Node, inputs: list[Value | None]) -> Tensor:
        tensor = self._map(node, inputs[0])
        size = _pair(node, "kernel_shape", tensor.height_width)
        if node.kind == "GlobalMaxPool":
            size = tensor.height_width
        stride, padding = _slide(node, tensor, size)
        padding = _ceil(node, tensor, size, stride, padding)
        name = self.stack.name(node.name)
        self.stack.add(MaxPool(name, size, stride, padding, tensor.layer))
        self.report.used(node.name, f"max pool {size[0]}x{size[1]}")
        height, width = _slid(node, tensor.height_width, size, stride, padding)
        return tensor.slid(name, height, width, tensor.channels)

    def _average_pool(self, node: Node, inputs: list[Value | None]) -> Tensor:
        tensor = self._map(node, inputs[0])
        size = tensor.height_width
        if node.kind == "AveragePool":
            size = _pair(node, "kernel_shape", size)
        if node.kind == "ReduceMean":
            values = [item.value for item in inputs[1:] if isinstance(item, Constant)]
            axes = axes_of(node, [np.zeros(0), *values]) or []
            if {tensor.axes[axis] for axis in axes} != {"H", "W"}:
                raise FormatError(f"{node}: of means, those over height and width can be converted")
        stride, padding = _slide(node, tensor, size)
        if any(padding) or node.attributes.get("ceil_mode", 0) or tensor.shift:
            raise FormatError(f"{node}: an average pool with padding cannot be converted")
        name = self.stack.name(node.name)
        layer = average_pool(name, tensor.channels, size, stride, tensor.layer)
        scale = np.asarray(layer.scale) * np.float32(tensor.gain)
        self.stack.add(replace(layer, scale=scale))
        self.report.used(node.name, f"average pool {size[0]}x{size[1]}")
        height, width = _slid(node, tensor.height_width, size, stride, padding)
        made = tensor.slid(name, height, width, tensor.channels, quantized=False, gain=1.0)
        if node.kind == "ReduceMean" and not node.attributes.get("keepdims", 1):
            return replace(made, shape=(1, made.channels), axes=VECTOR)
        return made

    def _map(self, node: Node, value: Value | None) -> Tensor:
        tensor = self._tensor(node, value)
        if len(tensor.axes) != 4:
            raise FormatError(f"{node}: reads a tensor of shape {tensor.shape}; it must be a map")
        return tensor

    # --- layout ----------------------------------------------------------------------

    def _transpose(self, node: Node, inputs: list[Value | None]) -> Value:
        return transposed(node, inputs[0], node.attributes.get("perm"))  # type: ignore[no-any-return]

    def _reshape(self, node: Node, inputs: list[Value | None]) -> Value:
        tensor = inputs[0]
        assert isinstance(tensor, Tensor | RawInput)
        wanted = self._target_shape(node, tensor.shape, inputs)
        if wanted == tensor.shape:
            return tensor
        count = int(np.prod(tensor.shape))
        if wanted == (1, count) or (len(wanted) == 2 and wanted[0] == 1):
            return self._flattened(node, tensor, count)
        if len(wanted) == 4 and len(tensor.axes) == 2:
            return self._unflattened(node, tensor, wanted)
        if (
            len(tensor.axes) == 4
            and sorted(wanted) == sorted(tensor.shape)
            and count == tensor.channels
        ):
            axes = FIRST if wanted[1] == count else LAST
            return replace(tensor, shape=wanted, axes=axes)
        raise FormatError(f"{node}: from shape {tensor.shape} to {wanted} cannot be converted")

    def _target_shape(
        self, node: Node, shape: tuple[int, ...], inputs: list[Value | None]
    ) -> tuple[int, ...]:
        values = [item.value for item in inputs[1:] if isinstance(item, Constant)]
        zeros = Constant(np.broadcast_to(np.zeros((), np.int8), shape))
        try:
            if node.kind == "Reshape":
                return reshaped(shape, values[0])
            moved = fold(node, [zeros, *(Constant(value) for value in values)])
        except (ValueError, IndexError):
            raise FormatError(f"{node}: its shape does not fit {shape}") from None
        assert moved is not None
        return moved.value.shape

    def _flattened(self, node: Node, tensor: Tensor | RawInput, count: int) -> Value:
        if isinstance(tensor, Tensor):
            return self._flat(node.name, tensor)
        if tensor.factor.size > 1 or tensor.offset.size > 1:
            raise FormatError(f"{node}: flattens an input that was scaled by channel")
        order = flat_order(tensor)
        return replace(tensor, shape=(1, count), axes=VECTOR, map=tensor.map or tensor, order=order)

    def _unflattened(self, node: Node, tensor: Tensor | RawInput, wanted: tuple[int, ...]) -> Value:
        axes = _axes_of(wanted, self.nodes)
        if isinstance(tensor, RawInput):
            self.report.lost.append(
                f"the input is a row of {tensor.shape[1]}; it is taken as a map of {wanted[1:]}"
            )
            return replace(tensor, shape=wanted, axes=axes, map=None, order=None)
        if wanted[1] == tensor.channels:
            axes = FIRST
        elif wanted[3] == tensor.channels:
            axes = LAST
        else:
            raise FormatError(f"{node}: a vector cannot be made a map of shape {wanted}")
        if tensor.order is not None:
            raise FormatError(f"{node}: a flattened map cannot be made a map again")
        return replace(tensor, shape=wanted, axes=axes)

    def _passed(self, _: Node, inputs: list[Value | None]) -> Value:
        assert inputs[0] is not None
        return inputs[0]

    def _shape(self, _: Node, inputs: list[Value | None]) -> Value:
        assert isinstance(inputs[0], Tensor | RawInput)
        return Constant(np.array(inputs[0].shape, np.int64))

    # --- the end ---------------------------------------------------------------------

    def _final(self, node: Node, inputs: list[Value | None]) -> Tensor:
        tensor = self._tensor(node, inputs[0])
        if node.kind == "TopK" and self.values[node.inputs[1]].value.reshape(-1)[0] != 1:  # type: ignore[union-attr]
            raise FormatError(f"{node}: of the best classes only the first can be kept")
        self.report.lost.append(f"{node}: scores are what it reads; the class is the same")
        return replace(tensor, is_final=True)

    def _finish(self, value: Value) -> None:
        if not isinstance(value, Tensor) or not self.stack.layers:
            raise FormatError("the output does not depend on any layer")
        value = self._tensor(self.nodes[-1], value)
        if value.height_width != (1, 1):
            raise FormatError(
                f"the output is a map of {value.shape}; it must be a vector of scores"
            )
        if value.order is not None and len(value.axes) == 2 and value.channels > 1:
            raise FormatError("the output is a flattened map in another order")
        if not value.is_final and (value.gain != 1 or value.shift != 0):
            value = self._scaled(
                self.nodes[-1], value, np.float32(value.gain), np.float32(value.shift)
            )
        if value.channels == 1:
            self._two_classes(value)

    def _two_classes(self, value: Tensor) -> None:
        self.report.lost.append(
            "one output became two classes: 1 where it is positive, else 0; their scores are "
            "the output and its negative"
        )
        last = self.stack.layers[-1]
        if isinstance(last, Linear):
            two_classes(self.stack, last, last.source)
        elif value.quantized:
            append_two_classes(self.stack, value.layer)
        else:
            raise FormatError("an output of one value must be a dense layer's or a quantizer's")


class _InputLevels:
    """The input's values as an activation has them."""

    def __init__(self, given: Input | None, lattice: Lattice) -> None:
        assert given is not None
        precision = given.precision
        self.scale = lattice.scale
        bipolar = precision.kind == "bipolar"
        self.step = lattice.step * (2 if bipolar else 1)
        self.base = lattice.step * precision.low + lattice.base
        self.levels = 1 if bipolar else precision.high - precision.low


# --- helpers -------------------------------------------------------------------------


def _quantizer(node: Node, inputs: list[Constant]) -> Quant:
    if node.kind == "BipolarQuant":
        if len(inputs) != 2:
            raise FormatError(f"{node}: needs a tensor and a scale")
        return quant(node, inputs[1].value, np.zeros(()), None)
    if len(inputs) != 4:
        raise FormatError(f"{node}: needs a tensor, scale, zero point and bit width")
    return quant(node, inputs[1].value, inputs[2].value, inputs[3].value)


def _affine(node: Node, value: Array, constant_first: bool) -> tuple[Array, Array]:
    one, zero = np.ones(1, value.dtype), np.zeros(1, value.dtype)
    match node.kind:
        case "Add":
            return one, value
        case "Sub":
            return (-one, value) if constant_first else (one, -value)
        case "Mul":
            return value, zero
        case "Div" if not constant_first and (value != 0).all():
            return one / value, zero
    raise FormatError(f"{node}: divides by the tensor, or by zero; that cannot be converted")


def _outputs(node: Node) -> tuple[float, float]:
    """Scale and offset of a MultiThreshold's outputs."""
    attributes = node.attributes
    return float(attributes.get("out_scale", 1.0)), float(attributes.get("out_bias", 0.0))


def _shifted_bias(weights: Weights, bias: Any, shift: float) -> Any:
    """``bias``, and what ``shift`` on every input adds to the sums."""
    if not shift:
        return bias
    sums = weights.integers.reshape(len(weights.integers), -1).sum(axis=1)
    extra = weights.scale * sums.astype(np.float32) * np.float32(shift)
    return extra if bias is None else bias + extra


def _same_order(one: Tensor, two: Tensor) -> bool:
    if one.order is None or two.order is None:
        return one.order is two.order
    return np.array_equal(one.order, two.order)


def _after_weights(tensor: Tensor, name: str, height: int, width: int, channels: int) -> Tensor:
    change = {"quantized": False, "gain": 1.0, "shift": 0.0, "nonnegative": False}
    no_pads = {"padding": (0, 0, 0, 0), "pad_value": 0.0}
    return tensor.slid(name, height, width, channels, **change, **no_pads)


def _pair(node: Node, key: str, default: Pair) -> Pair:
    values = node.attributes.get(key)
    if values is None:
        return default
    if len(values) != 2:
        raise FormatError(f"{node}: {key} must be two numbers, not {values}")
    return (int(values[0]), int(values[1]))


def _slide(node: Node, tensor: Tensor, size: Pair) -> tuple[Pair, Borders]:
    """Stride and padding of a convolution or pool."""
    stride = _pair(node, "strides", (1, 1))
    how = node.attributes.get("auto_pad", "NOTSET")
    if how in ("SAME_UPPER", "SAME_LOWER"):
        return stride, same_padding(tensor.height_width, size, stride, how == "SAME_UPPER")
    pads = node.attributes.get("pads", [0, 0, 0, 0])
    if len(pads) != 4 or min(pads) < 0:
        raise FormatError(f"{node}: pads must be four numbers, none negative: {pads}")
    return stride, (int(pads[0]), int(pads[1]), int(pads[2]), int(pads[3]))


def _slid(node: Node, size: Pair, kernel: Pair, stride: Pair, padding: Borders) -> Pair:
    height = size[0] + padding[0] + padding[2] - kernel[0]
    width = size[1] + padding[1] + padding[3] - kernel[1]
    if min(height, width) < 0 or min(stride) < 1:
        raise FormatError(f"{node}: kernel {kernel} is larger than the padded map of {size}")
    return height // stride[0] + 1, width // stride[1] + 1


def _extent(size: Pair, dilation: Pair) -> Pair:
    return (size[0] - 1) * dilation[0] + 1, (size[1] - 1) * dilation[1] + 1


def _ceil(node: Node, tensor: Tensor, size: Pair, stride: Pair, padding: Borders) -> Borders:
    """More padding at the end where ``ceil_mode`` wants a last, partial window."""
    if any(d != 1 for d in node.attributes.get("dilations", [1, 1])):
        raise FormatError(f"{node}: a dilated pool cannot be converted")
    if not node.attributes.get("ceil_mode", 0):
        return padding
    pads = list(padding)
    for axis in range(2):
        extent = tensor.height_width[axis] + padding[axis] + padding[axis + 2] - size[axis]
        over = -extent % stride[axis]
        # A window that would start in the padding is not made.
        if over and extent + over < tensor.height_width[axis] + padding[axis]:
            pads[axis + 2] += over
    return (pads[0], pads[1], pads[2], pads[3])


def _input_axes(graph: Graph, nodes: list[Node]) -> tuple[str, ...]:
    """Whether a picture input is channels first or last, by what reads it."""
    names, perm = {graph.input}, list(range(4))
    for node in nodes:
        if not node.inputs or node.inputs[0] not in names:
            continue
        if node.kind == "Transpose" and "perm" in node.attributes:
            perm = [perm[int(i)] for i in node.attributes["perm"]]
            names = {node.outputs[0]}
        elif node.kind in _PINNING:
            inner = LAST if _reads_last(node) else FIRST
            axes = [""] * 4
            for axis, source in zip(inner, perm, strict=True):
                axes[source] = axis
            return tuple(axes)
        elif node.kind in ("Reshape", "Flatten"):
            break
        else:
            names.add(node.outputs[0])
    return _axes_of(graph.shape, nodes)


def _reads_last(node: Node) -> bool:
    """Whether ``node`` reads channels last."""
    last = node.domain.endswith("channels_last") or node.kind in ("Im2Col", "MatMul")
    return last or node.attributes.get("data_layout") == "NHWC"


def _axes_of(shape: tuple[int, ...], nodes: list[Node]) -> tuple[str, ...]:
    few = (1, 2, 3, 4)
    if shape[3] in few and shape[1] not in few:
        return LAST
    last = any(node.domain.endswith("channels_last") for node in nodes)
    return LAST if last else FIRST


#: Operations that know which axis of a picture has the channels.
_PINNING = {
    "Conv",
    "MaxPool",
    "AveragePool",
    "BatchNormalization",
    "MultiThreshold",
    "Im2Col",
    "MatMul",
}
_QUANTS = {"BipolarQuant", "Quant", "IntQuant"}
_LAYOUT = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Transpose", "Shape"}
_FINAL = {"Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK", "Hardmax"}
_HANDLERS: dict[str, Callable[[_Reader, Node, list[Value | None]], Value]] = {
    **dict.fromkeys(_QUANTS, _Reader._quantize),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _Reader._elementwise),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _Reader._reshape),
    **dict.fromkeys(("Identity", "Dropout", "Cast"), _Reader._passed),
    **dict.fromkeys(("MaxPool", "GlobalMaxPool", "MaxPoolNHWC"), _Reader._max_pool),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "ReduceMean"), _Reader._average_pool),
    **dict.fromkeys(("Relu", "Clip"), _Reader._clip),
    **dict.fromkeys(("MatMul", "Gemm"), _Reader._matmul),
    **dict.fromkeys(_FINAL, _Reader._final),
    "Trunc": _Reader._trunc,
    "MultiThreshold": _Reader._multi_threshold,
    "Sign": _Reader._sign,
    "BatchNormalization": _Reader._batch_norm,
    "Conv": _Reader._conv,
    "Transpose": _Reader._transpose,
    "Shape": _Reader._shape,
    "Pad": _Reader._pad,
    "Im2Col": _Reader._im2col,
}

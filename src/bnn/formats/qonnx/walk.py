# SPDX-License-Identifier: BSD-3-Clause
"""State of the walk over a QONNX graph: tensors and layers so far.

Rules (:mod:`bnn.formats.qonnx.rules`) ask here for their inputs in the form that they need, for
example as a map, or without pending operations; and they add their layers to the stack.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.grids import Grid
from bnn.formats.qonnx.axes import input_axes
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.input import check_fed, unquantized_input
from bnn.formats.qonnx.onnx_file import Graph, Node
from bnn.formats.qonnx.operators import Op, understood
from bnn.formats.qonnx.tensor import VECTOR, Curve, RawInput, Step, Tensor, done, flattened
from bnn.formats.report import Report
from bnn.formats.stack import Stack
from bnn.network.network import Flatten, Lattice, Scale
from bnn.program.inputs import Input

Array = NDArray[Any]
Value = Constant | Tensor | RawInput | Curve
#: A node's inputs; None for an omitted one.
Inputs = list[Value | None]

#: Operators that turn an input into whole numbers.
_QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant", "MultiThreshold")


class Walk:
    """The walk over a graph: the values of tensors by name, and the layers made so far."""

    def __init__(self, graph: Graph, chosen: Grid | None) -> None:
        self.graph = graph
        self.chosen = chosen
        self.report = Report("QONNX")
        self.stack = Stack()
        self.values: dict[str, Value] = {k: Constant(v) for k, v in graph.constants.items()}
        self.used: set[str] = set()
        self.origins: dict[str, tuple[str, ...]] = {name: (name,) for name in graph.constants}
        self.input: Input | None = None
        self.lattice = self.fed_lattice = Lattice()
        #: Chains that have become layers, by the identity of the chain.
        self.settled: dict[int, tuple[Curve, Tensor]] = {}
        #: Layer -> bounds of its quantized real values, and its channels.
        self.bounds: dict[str, tuple[float, float]] = {}
        self.quantized: set[str] = set()
        self.channels: dict[str, int] = {}
        read, idle = needed(graph)
        self.nodes = [understood(node, graph.opsets) for node in read]
        self.report.ignored += [str(node) for node in idle]
        axes = VECTOR if len(graph.shape) == 2 else input_axes(graph, self.nodes)
        one, zero = np.ones(1), np.zeros(1)
        self.values[graph.input] = RawInput(graph.shape, axes, one, zero, kind=graph.kind)

    def value(self, node: Op, name: str) -> Value:
        """Return the value of the tensor ``name``, which ``node`` reads."""
        if name not in self.values:
            raise FormatError(f"{node}: reads {name!r}, an output that is not converted")
        return self.values[name]

    def note_values(self, value: Value) -> None:
        """Keep the bounds and channels of the layer whose result ``value`` is.

        Values with pending operations, and values that are not the result of a layer, are ignored.
        """
        if isinstance(value, Tensor) and not value.steps and not value.ending:
            self.bounds.setdefault(value.layer, (value.low, value.high))
            if value.quantized:
                self.quantized.add(value.layer)
            if not value.flat:
                self.channels.setdefault(value.layer, value.channels)

    def note_constants(self, node: Op, inputs: Inputs) -> None:
        """Keep the names of the file's arrays from which ``node``, if constant, is computed."""
        origins = [self.origins.get(name, ()) for name in node.inputs if name]
        found = tuple(dict.fromkeys(name for names in origins for name in names))
        self.used.update(found)
        if all(item is None or isinstance(item, Constant) for item in inputs):
            self.origins[node.outputs[0]] = found

    def arrays(self, node: Op) -> dict[str, Array]:
        """Return the arrays of the file from which the constants of ``node`` come, by name."""
        names = [name for given in node.inputs for name in self.origins.get(given, ())]
        return {name: self.graph.constants[name] for name in dict.fromkeys(names)}

    def is_last(self, node: Op) -> bool:
        """Whether ``node`` makes the graph's output."""
        return self.graph.output in node.outputs

    def tensor(self, node: Op, value: Value | None) -> Tensor:
        """Return ``value`` as a tensor; if a flattening is pending, it becomes a layer now."""
        tensor = self.on_map(node, value)
        if not tensor.flat:
            return tensor
        name = self.stack.add(Flatten(self.stack.name(tensor.flat), tensor.layer))
        self.report.used(name, f"flatten to {tensor.shape[1]}")
        return replace(tensor, layer=name, flat="")

    def on_map(self, node: Op, value: Value | None) -> Tensor:
        """Return ``value`` as a tensor; a pending flattening stays pending.

        An input that is not quantized yet gets a grid (:mod:`bnn.formats.grids`).
        """
        if isinstance(value, Tensor):
            return value
        if not isinstance(value, RawInput):
            raise FormatError(f"{node}: has a constant, but needs a tensor")
        chosen = self.chosen
        if chosen is None:
            chosen = unquantized_input(self.graph, value)
            reason = "the graph does not quantize its input"
            if node.kind in _QUANTIZERS:
                reason = f"{node} quantizes the input in a way that the host cannot"
            self.report.lost.append(f"{reason}; taken as {chosen.name}: {chosen.meaning}")
        elif node.kind in _QUANTIZERS:
            self.report.lost.append(
                f"{node} quantizes the input; as asked, its values are taken as {chosen.name}, and "
                "others are rounded to these first"
            )
        check_fed(self.graph, chosen)
        self.report.assumed = chosen.name
        if value.factor.size > 1 or value.offset.size > 1:
            # The input as it is; what is done to its channels becomes layers.
            self.lattice = chosen.lattice()
            plain = replace(value, factor=np.ones(1), offset=np.zeros(1), steps=())
            tensor = self.fed(chosen.input(value.given_shape), plain)
            for step in value.steps:
                tensor = self.scaled(node, tensor, step)
            return tensor
        self.lattice = chosen.lattice(float(value.factor[0]), float(value.offset[0]))
        return self.fed(chosen.input(value.given_shape), value)

    def real(self, node: Op, value: Value | None) -> Tensor:
        """Return ``value`` as a tensor without pending steps; the steps become layers."""
        return self.real_map(node, self.tensor(node, value))

    def real_map(self, node: Op, value: Value | None) -> Tensor:
        """Return ``value`` as a tensor without pending steps; a pending flattening stays pending.

        The steps become layers.
        """
        tensor = self.on_map(node, value)
        for step in tensor.steps:
            tensor = self.scaled(node, replace(tensor, steps=()), step)
        return tensor

    def map_of(self, node: Op, value: Value | None) -> Tensor:
        """Return ``value`` as a tensor; raise FormatError if it is not a map."""
        tensor = self.tensor(node, value)
        if len(tensor.axes) == 2:
            raise FormatError(f"{node}: reads a tensor of shape {tensor.shape}; it must be a map")
        return tensor

    def scaled(self, node: Op, tensor: Tensor, step: Step) -> Tensor:
        """Add a layer for an Add, Sub, Mul or Div with a constant, and return its result."""
        name = self.stack.name(node.name)
        kind, value, first = step
        match kind:
            case "Add":
                layer = Scale(name, offset=value, source=tensor.layer)
            case "Sub":
                turned = (np.float32(-1), value) if first else (np.float32(1), -value)
                layer = Scale(name, *turned, source=tensor.layer)
            case "Mul":
                layer = Scale(name, value, source=tensor.layer)
            case _:
                layer = Scale(name, divisor=value, source=tensor.layer)
        self.stack.add(layer)
        ends = done(step, np.array([[tensor.low], [tensor.high]]))
        low, high = float(ends.min()), float(ends.max())
        return replace(tensor, layer=name, quantized=False, low=low, high=high)

    def fed(self, given: Input, raw: RawInput) -> Tensor:
        """Keep ``given`` as the network's input, and return it as a tensor.

        Raises:
            FormatError: the network has another input already.
        """
        if self.input is None:
            self.input, self.fed_lattice = given, self.lattice
        elif not (_is_same(self.input, given) and self.fed_lattice == self.lattice):
            raise FormatError(
                "the input is read twice, with different scales; that cannot be converted"
            )
        if "input" not in self.bounds:
            self.report.used("input", f"{given.precision} of shape {given.shape}")
        top, lattice = raw.map or raw, self.lattice
        low, high = (
            lattice.scale * (lattice.step * q + lattice.base)
            for q in (given.precision.low, given.precision.high)
        )
        tensor = Tensor("input", top.shape, top.axes, low, high, quantized=True)
        self.note_values(tensor)
        return tensor if raw.map is None else flattened("flatten", tensor)


def _is_same(one: Input, two: Input) -> bool:
    """Return whether both inputs have equal fields, and so make the same integers."""
    if type(one) is not type(two):
        return False
    mine, theirs = vars(one), vars(two)
    return all(np.array_equal(mine[name], theirs[name]) for name in mine)


def needed(graph: Graph) -> tuple[list[Node], list[Node]]:
    """Return the nodes that the output depends on, and the other nodes."""
    wanted, kept, idle = {graph.output}, [], []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
        else:
            idle.append(node)
    return kept[::-1], idle[::-1]

# SPDX-License-Identifier: BSD-3-Clause
"""The end of the graph: softmax and similar operations, and checks of the graph's output."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from bnn.errors import FormatError
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.tensor import Tensor, flattened
from bnn.formats.qonnx.walk import Inputs, Value, Walk
from bnn.formats.stack import append_two_classes, two_classes
from bnn.network.network import Flatten, Linear

#: Operator type -> name of the last function in the report.
_FINAL = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}


def final(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of Softmax, ArgMax, TopK and others: the values before it are the network's scores."""
    tensor = walk.real(node, inputs[0])
    if tensor.ending == "class":
        raise FormatError(f"{node}: reads the number of a class; that cannot be converted")
    if tensor.ending == "squashed":
        raise FormatError(f"{node}: follows a sigmoid, which makes large scores equal")
    if node.kind != "Sigmoid":
        _check_axis(node, tensor)
        if tensor.channels == 1:
            raise FormatError(f"{node}: reads one score; it needs at least two classes")
    if node.kind == "TopK":
        _check_count(node, inputs)
    walk.report.lost.append(f"{node}: left out: scores are its inputs; the class is the same")
    walk.report.final = _FINAL.get(node.kind, walk.report.final)
    ending: Literal["class", "scores", "squashed"] = "scores"
    if node.kind in CHOICES:
        ending = "class"
    elif node.kind == "Sigmoid":
        ending = "squashed"
    return replace(tensor, ending=ending)


#: Operations that give the number of the class.
CHOICES = ("ArgMax", "TopK")


def _check_axis(node: Op, tensor: Tensor) -> None:
    """Refuse a ``node`` that does not work along the classes, or along other axes too.

    Before version 13, Softmax and similar operators take ``axis`` and all axes after it together.
    """
    axis, count = int(node.attribute("axis")), len(tensor.axes)
    if not -count <= axis < count:
        raise FormatError(f"{node}: axis={axis} does not fit a tensor of shape {tensor.shape}")
    axis %= count
    as_rows = node.kind not in CHOICES and node.version < 13
    taken = range(axis, count) if as_rows else [axis]
    sizes = [tensor.shape[i] for i in taken if tensor.axes[i] != "C"]
    if "C" not in [tensor.axes[i] for i in taken] or any(size != 1 for size in sizes):
        raise FormatError(f"{node}: axis={axis} does not compare the classes alone")


def _check_count(node: Op, inputs: Inputs) -> None:
    count = node.attribute("k")
    if len(inputs) > 1 and isinstance(inputs[1], Constant):
        count = inputs[1].value.reshape(-1).tolist()
        count = count[0] if len(count) == 1 else count
    if count != 1:
        raise FormatError(f"{node}: k={count}; only k=1 can be converted")


def finish(walk: Walk, value: Value) -> None:
    """Check the graph's output ``value``, and make it the scores of the network."""
    if not isinstance(value, Tensor) or not walk.stack.layers:
        raise FormatError("the output does not depend on any layer")
    value = walk.real(walk.nodes[-1], value)
    if any(value.padding) or value.patches:
        raise FormatError("the output is padded, or consists of patches; that cannot be converted")
    if value.axes[0] != "N":
        raise FormatError(f"the output's axes are {''.join(value.axes)}; samples must be first")
    if value.height_width != (1, 1):
        value = _flat_map(walk, value)
    if value.order is not None and len(value.axes) == 2 and value.channels > 1:
        raise FormatError("the output is a map that was flattened in another order than its axes")
    if value.ending != "class":
        _check_declared(walk.graph.declared, value.channels)
    if value.channels == 1:
        _two_outputs(walk, value)


def _flat_map(walk: Walk, value: Tensor) -> Tensor:
    """Flatten an output that is a map; its scores are in the order row, column, channel."""
    height, width = value.height_width
    if value.ending == "class":
        raise FormatError("the output is a map of classes; only one class per sample can be given")
    flat = replace(flattened("flatten_output", value), order=None)
    name = walk.stack.add(Flatten(walk.stack.name(flat.flat), flat.layer))
    walk.report.lost.append(
        f"the output is a map; scores are its {flat.channels} values: {height} rows of {width} "
        f"positions of {value.channels} channels each"
    )
    return replace(flat, layer=name, flat="")


def _check_declared(declared: tuple[int, ...], scores: int) -> None:
    """Refuse a file whose stated output shape does not fit the number of ``scores``."""
    if declared and all(declared[1:]) and math.prod(declared[1:]) != scores:
        raise FormatError(
            f"the file states the shape {declared} for its output, but the graph gives "
            f"{scores} values per sample"
        )


def _two_outputs(walk: Walk, value: Tensor) -> None:
    walk.report.lost.append(
        "one output became two classes: 1 where it is positive, else 0; their scores are "
        "the output and its negative"
    )
    last = walk.stack.layers[-1]
    if isinstance(last, Linear):
        two_classes(walk.stack, last, last.source)
    elif value.quantized:
        append_two_classes(walk.stack, value.layer)
    else:
        raise FormatError("an output of one value must be a dense layer's or a quantizer's")

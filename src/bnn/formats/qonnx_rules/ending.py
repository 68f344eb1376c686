# SPDX-License-Identifier: BSD-3-Clause
"""The end of the graph: softmax and its like, and what the output must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnn.errors import FormatError
from bnn.formats.onnx_file import Node
from bnn.formats.qonnx_tensor import Tensor
from bnn.formats.qonnx_walk import Inputs, Value, Walk
from bnn.formats.stack import append_two_classes, two_classes
from bnn.network import Linear


def final(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """Softmax, ArgMax, TopK ...: the scores before it are the network's."""
    tensor = walk.tensor(node, inputs[0])
    if node.kind == "TopK" and walk.values[node.inputs[1]].value.reshape(-1)[0] != 1:  # type: ignore[union-attr]
        raise FormatError(f"{node}: of the best classes only the first can be kept")
    walk.report.lost.append(f"{node}: scores are what it reads; the class is the same")
    return replace(tensor, is_final=True)


def finish(walk: Walk, value: Value) -> None:
    """Check the graph's output, and bring it into the form of a network's."""
    if not isinstance(value, Tensor) or not walk.stack.layers:
        raise FormatError("the output does not depend on any layer")
    value = walk.tensor(walk.nodes[-1], value)
    if value.height_width != (1, 1):
        raise FormatError(f"the output is a map of {value.shape}; it must be a vector of scores")
    if value.order is not None and len(value.axes) == 2 and value.channels > 1:
        raise FormatError("the output is a flattened map in another order")
    if not value.is_final and (value.gain != 1 or value.shift != 0):
        value = walk.scaled(walk.nodes[-1], value, np.float32(value.gain), np.float32(value.shift))
    if value.channels == 1:
        _two_outputs(walk, value)


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

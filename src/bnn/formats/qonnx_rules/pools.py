# SPDX-License-Identifier: BSD-3-Clause
"""Rules of pools over maps: maxima and means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnn.errors import FormatError
from bnn.formats import stack
from bnn.formats.onnx_file import Node
from bnn.formats.onnx_fold import Constant, axes_of
from bnn.formats.qonnx_rules.sliding import ceil_padding, pair, slid, slide
from bnn.formats.qonnx_tensor import VECTOR, Tensor
from bnn.formats.qonnx_walk import Inputs, Walk
from bnn.network import MaxPool


def max_pool(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """MaxPool, GlobalMaxPool, MaxPoolNHWC."""
    tensor = walk.map_of(node, inputs[0])
    size = pair(node, "kernel_shape", tensor.height_width)
    if node.kind == "GlobalMaxPool":
        size = tensor.height_width
    stride, padding = slide(node, tensor, size)
    padding = ceil_padding(node, tensor, size, stride, padding)
    name = walk.stack.name(node.name)
    walk.stack.add(MaxPool(name, size, stride, padding, tensor.layer))
    walk.report.used(node.name, f"max pool {size[0]}x{size[1]}")
    height, width = slid(node, tensor.height_width, size, stride, padding)
    return tensor.slid(name, height, width, tensor.channels)


def average_pool(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """AveragePool, GlobalAveragePool, ReduceMean."""
    tensor = walk.map_of(node, inputs[0])
    size = tensor.height_width
    if node.kind == "AveragePool":
        size = pair(node, "kernel_shape", size)
    if node.kind == "ReduceMean":
        values = [item.value for item in inputs[1:] if isinstance(item, Constant)]
        axes = axes_of(node, [np.zeros(0), *values]) or []
        if {tensor.axes[axis] for axis in axes} != {"H", "W"}:
            raise FormatError(f"{node}: of means, those over height and width can be converted")
    stride, padding = slide(node, tensor, size)
    if any(padding) or node.attributes.get("ceil_mode", 0) or tensor.shift:
        raise FormatError(f"{node}: an average pool with padding cannot be converted")
    name = walk.stack.name(node.name)
    layer = stack.average_pool(name, tensor.channels, size, stride, tensor.layer)
    scale = np.asarray(layer.scale) * np.float32(tensor.gain)
    walk.stack.add(replace(layer, scale=scale))
    walk.report.used(node.name, f"average pool {size[0]}x{size[1]}")
    height, width = slid(node, tensor.height_width, size, stride, padding)
    made = tensor.slid(name, height, width, tensor.channels, quantized=False, gain=1.0)
    if node.kind == "ReduceMean" and not node.attributes.get("keepdims", 1):
        return replace(made, shape=(1, made.channels), axes=VECTOR)
    return made

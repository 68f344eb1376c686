# SPDX-License-Identifier: BSD-3-Clause
"""Rules of max pools and average pools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnn.errors import FormatError
from bnn.formats import stack
from bnn.formats.qonnx.constants import Constant, axes_of
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.rules.sliding import ceil_padding, check_axes, check_pool, pair, slid, slide
from bnn.formats.qonnx.tensor import VECTOR, Tensor
from bnn.formats.qonnx.walk import Inputs, Walk
from bnn.network.network import MaxPool, Scale
from bnn.program.operations import Borders, Pair

_WHOLE = ("GlobalMaxPool", "GlobalAveragePool", "ReduceMean")


def max_pool(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of MaxPool, GlobalMaxPool, MaxPoolNHWC."""
    tensor = walk.map_of(node, inputs[0])
    check_axes(node, tensor)
    size, stride, padding = _windows(node, tensor)
    name = walk.stack.name(node.name)
    walk.stack.add(MaxPool(name, size, stride, padding, tensor.layer))
    walk.report.used(node.name, f"max pool {size[0]}x{size[1]}")
    height, width = slid(node, tensor.height_width, size, stride, padding)
    return tensor.slid(name, height, width, tensor.channels)


def average_pool(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of AveragePool, GlobalAveragePool, ReduceMean."""
    tensor = walk.map_of(node, inputs[0])
    if node.kind == "ReduceMean":
        _check_means(node, tensor, inputs)
    else:
        check_axes(node, tensor)
    size, stride, padding = _windows(node, tensor)
    if any(padding):
        raise FormatError(f"{node}: pads {padding} of an average pool cannot be converted")
    if tensor.shift:
        raise FormatError(
            f"{node}: a constant is added to its input before it; that cannot be converted"
        )
    name, taps = walk.stack.name(node.name), size[0] * size[1]
    layer = stack.average_pool(name, tensor.channels, size, stride, tensor.layer)
    gain = np.float32(tensor.gain)
    if taps & (taps - 1) == 0:
        walk.stack.add(replace(layer, scale=gain * np.float32(1 / taps)))
    else:
        # Frameworks divide the sum; multiplying by a rounded reciprocal would differ.
        walk.stack.add(replace(layer, scale=gain))
        name = walk.stack.add(Scale(walk.stack.name(node.name), divisor=taps, source=name))
    walk.report.used(node.name, f"average pool {size[0]}x{size[1]}")
    height, width = slid(node, tensor.height_width, size, stride, padding)
    made = tensor.slid(name, height, width, tensor.channels, quantized=False, steps=())
    if node.kind == "ReduceMean" and not node.attribute("keepdims"):
        batch = made.shape[made.axes.index("N")]
        return replace(made, shape=(batch, made.channels), axes=VECTOR)
    return made


def _windows(node: Op, tensor: Tensor) -> tuple[Pair, Pair, Borders]:
    """Return size, stride and padding of a pool's windows."""
    if node.kind in _WHOLE:
        return tensor.height_width, (1, 1), (0, 0, 0, 0)
    size = pair(node, "kernel_shape", tensor.height_width, len(tensor.axes) == 3)
    stride, padding = slide(node, tensor, size)
    check_pool(node, size, padding)
    return size, stride, ceil_padding(node, tensor, size, stride, padding)


def _check_means(node: Op, tensor: Tensor, inputs: Inputs) -> None:
    values = [item.value for item in inputs[1:] if isinstance(item, Constant)]
    axes = axes_of(node, [np.zeros(0), *values]) or []
    rank, sides = len(tensor.axes), {"H", "W"} & set(tensor.axes)
    if any(not -rank <= axis < rank for axis in axes) or {tensor.axes[a] for a in axes} != sides:
        raise FormatError(f"{node}: axes={axes}; only means over height and width can be converted")
    if not node.attribute("keepdims") and tensor.axes[0] != "N":
        raise FormatError(
            f"{node}: its input's axes are {''.join(tensor.axes)}; N must be first if keepdims=0"
        )

# SPDX-License-Identifier: BSD-3-Clause
"""Windows that slide over a map: their sizes, strides and padding as ONNX spells them."""

from __future__ import annotations

from bnn.errors import FormatError
from bnn.formats.onnx_file import Node
from bnn.formats.qonnx_tensor import Tensor
from bnn.formats.stack import same_padding
from bnn.program import Borders, Pair


def pair(node: Node, key: str, default: Pair) -> Pair:
    """The two numbers of an attribute."""
    values = node.attributes.get(key)
    if values is None:
        return default
    if len(values) != 2:
        raise FormatError(f"{node}: {key} must be two numbers, not {values}")
    return (int(values[0]), int(values[1]))


def slide(node: Node, tensor: Tensor, size: Pair) -> tuple[Pair, Borders]:
    """Stride and padding of a convolution or pool."""
    stride = pair(node, "strides", (1, 1))
    how = node.attributes.get("auto_pad", "NOTSET")
    if how in ("SAME_UPPER", "SAME_LOWER"):
        return stride, same_padding(tensor.height_width, size, stride, how == "SAME_UPPER")
    pads = node.attributes.get("pads", [0, 0, 0, 0])
    if len(pads) != 4 or min(pads) < 0:
        raise FormatError(f"{node}: pads must be four numbers, none negative: {pads}")
    return stride, (int(pads[0]), int(pads[1]), int(pads[2]), int(pads[3]))


def slid(node: Node, size: Pair, kernel: Pair, stride: Pair, padding: Borders) -> Pair:
    """Height and width of what the windows make of a map of ``size``."""
    height = size[0] + padding[0] + padding[2] - kernel[0]
    width = size[1] + padding[1] + padding[3] - kernel[1]
    if min(height, width) < 0 or min(stride) < 1:
        raise FormatError(f"{node}: kernel {kernel} is larger than the padded map of {size}")
    return height // stride[0] + 1, width // stride[1] + 1


def extent(size: Pair, dilation: Pair) -> Pair:
    """Size of a dilated kernel."""
    return (size[0] - 1) * dilation[0] + 1, (size[1] - 1) * dilation[1] + 1


def ceil_padding(node: Node, tensor: Tensor, size: Pair, stride: Pair, padding: Borders) -> Borders:
    """More padding at the end where ``ceil_mode`` wants a last, partial window."""
    if any(d != 1 for d in node.attributes.get("dilations", [1, 1])):
        raise FormatError(f"{node}: a dilated pool cannot be converted")
    if not node.attributes.get("ceil_mode", 0):
        return padding
    pads = list(padding)
    for axis in range(2):
        span = tensor.height_width[axis] + padding[axis] + padding[axis + 2] - size[axis]
        over = -span % stride[axis]
        # A window that would start in the padding is not made.
        if over and span + over < tensor.height_width[axis] + padding[axis]:
            pads[axis + 2] += over
    return (pads[0], pads[1], pads[2], pads[3])

# SPDX-License-Identifier: BSD-3-Clause
"""Sizes, strides and padding of windows, as ONNX specifies them."""

from __future__ import annotations

from bnn.errors import FormatError
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.tensor import FIRST, LAST, ROW_FIRST, Tensor
from bnn.formats.stack import same_padding
from bnn.program.operations import Borders, Pair


def pair(node: Op, key: str, default: Pair, rows: bool = False) -> Pair:
    """Return the two positive numbers of the attribute ``key``; ``default`` if it is absent.

    ``rows``: whether the node has one dimension. Then the attribute has one number n, and the
    result is (1, n).
    """
    values = node.attribute(key)
    if values is None:
        return default
    if rows:
        values = [1, *values]
    if len(values) != 2 or min(values) < 1:
        raise FormatError(f"{node}: {key} must be two positive numbers, not {values}")
    return (values[0], values[1])


def check_axes(node: Op, tensor: Tensor) -> None:
    """Refuse a tensor whose last two axes are not height and width.

    Raises:
        FormatError: ``node`` would slide over the channels.
    """
    if tensor.axes not in ((LAST,) if node.is_last else (FIRST, ROW_FIRST)):
        raise FormatError(
            f"{node}: its input's axes are {''.join(tensor.axes)}, not "
            f"{'NHWC' if node.is_last else 'NCHW or NCW'}"
        )


def slide(node: Op, tensor: Tensor, size: Pair) -> tuple[Pair, Borders]:
    """Return the stride and the padding of a convolution or pool.

    The padding does not include the padding of a Pad before the node.
    """
    row = len(tensor.axes) == 3
    stride = pair(node, "strides", (1, 1), row)
    how = node.attribute("auto_pad") if node.kind != "MaxPoolNHWC" else None
    pads = node.attribute("pads") or [0, 0, 0, 0]
    if row and len(pads) == 2:
        pads = [0, pads[0], 0, pads[1]]
    if len(pads) != 4 or min(pads) < 0:
        raise FormatError(f"{node}: pads must be four numbers, none negative: {pads}")
    if how in (None, "", "NOTSET"):
        return stride, (pads[0], pads[1], pads[2], pads[3])
    if any(pads) or how not in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        raise FormatError(f"{node}: auto_pad={how} with pads {pads} cannot be converted")
    if how == "VALID":
        return stride, (0, 0, 0, 0)
    height, width = tensor.height_width
    top, left, bottom, right = tensor.padding
    whole = (height + top + bottom, width + left + right)
    return stride, same_padding(whole, size, stride, how == "SAME_UPPER")


def slid(node: Op, size: Pair, kernel: Pair, stride: Pair, padding: Borders) -> Pair:
    """Return the height and width of the result: the number of windows along each axis.

    ``size`` is the height and width of the map that the windows read.
    """
    height = size[0] + padding[0] + padding[2] - kernel[0]
    width = size[1] + padding[1] + padding[3] - kernel[1]
    if min(height, width) < 0 or min(stride) < 1:
        raise FormatError(f"{node}: kernel {kernel} is larger than the padded map of {size}")
    return height // stride[0] + 1, width // stride[1] + 1


def check_pool(node: Op, size: Pair, padding: Borders) -> None:
    """Refuse a dilated pool, and a pool with a window that is completely in the padding.

    Raises:
        FormatError: the pool is dilated, or its padding is not smaller than its kernel.
    """
    dilations = None if node.kind == "MaxPoolNHWC" else node.attribute("dilations")
    if any(d != 1 for d in dilations or []):
        raise FormatError(f"{node}: dilations={dilations} cannot be converted")
    if max(padding[0], padding[2]) >= size[0] or max(padding[1], padding[3]) >= size[1]:
        raise FormatError(f"{node}: pads {padding} are not smaller than its kernel {size}")


def ceil_padding(node: Op, tensor: Tensor, size: Pair, stride: Pair, padding: Borders) -> Borders:
    """Return the padding of a pool with ``ceil_mode``.

    If this mode adds a last, partial window, the padding at the end is larger, so that the window
    is complete. Without this mode the padding is returned unchanged.
    """
    if not node.attribute("ceil_mode"):
        return padding
    pads = list(padding)
    for axis in range(2):
        span = tensor.height_width[axis] + padding[axis] + padding[axis + 2] - size[axis]
        over = -span % stride[axis]
        # A window that would start in the padding is not made.
        if over and span + over < tensor.height_width[axis] + padding[axis]:
            pads[axis + 2] += over
    return (pads[0], pads[1], pads[2], pads[3])

# SPDX-License-Identifier: BSD-3-Clause
"""Rules of Pad and Im2Col: the tensor keeps their settings until the convolution that follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnn.errors import FormatError
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.rules.sliding import pair, slid
from bnn.formats.qonnx.tensor import LAST, Tensor
from bnn.formats.qonnx.walk import Inputs, Value, Walk
from bnn.formats.stack import extent
from bnn.program.operations import Borders


def im2col(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of Im2Col, the patches of a channels-last map.

    The values of a patch are in the order kernel row, kernel column, channel.
    """
    tensor = walk.map_of(node, inputs[0])
    if tensor.axes != LAST:
        raise FormatError(f"{node}: only patches of a channels-last map can be converted")
    size = pair(node, "kernel_size", (1, 1))
    stride, dilation = pair(node, "stride", (1, 1)), pair(node, "dilations", (1, 1))
    pads = node.attribute("pad_amount")
    if len(pads) != 4 or min(pads) < 0:
        raise FormatError(f"{node}: pad_amount must be four numbers, none negative: {pads}")
    padding: Borders = (pads[0], pads[1], pads[2], pads[3])
    spread = extent(size, dilation)
    height, width = slid(node, tensor.height_width, spread, stride, padding)
    made = tensor.slid(tensor.layer, height, width, tensor.channels * size[0] * size[1])
    return replace(
        made,
        padding=padding,
        pad_value=float(node.attribute("pad_value")),
        patches=(size, stride, dilation),
    )


def pad(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of Pad, for height and width."""
    tensor = walk.map_of(node, inputs[0])
    _, amounts, filled, axes = [*inputs, None, None, None][:4]
    given = amounts.value if isinstance(amounts, Constant) else node.attribute("pads")
    value = node.attribute("value") if node.version < 11 else 0.0
    if isinstance(filled, Constant):
        value = filled.value.reshape(-1)[0] if filled.value.size == 1 else np.nan
    if node.attribute("mode") != "constant" or not np.isfinite(value):
        raise FormatError(
            f"{node}: mode={node.attribute('mode')} with {value}: only padding with a "
            "finite constant can be converted"
        )
    sides = _sides(node, tensor, [int(n) for n in np.asarray(given).reshape(-1)], axes)
    if any(sides["N"]) or any(sides["C"]):
        raise FormatError(f"{node}: only padding of height and width can be converted")
    (top, bottom), (left, right) = sides["H"], sides["W"]
    if not any((top, bottom, left, right)):
        return tensor
    return replace(tensor, padding=(top, left, bottom, right), pad_value=float(value))


def _sides(
    node: Op, tensor: Tensor, pads: list[int], axes: Value | None
) -> dict[str, tuple[int, int]]:
    """Return for each axis (N, C, H, W) how many positions are added before and after it."""
    numbers = list(range(4))
    if isinstance(axes, Constant):
        numbers = [int(axis) for axis in axes.value.reshape(-1)]
    if len(pads) != 2 * len(numbers) or min(pads, default=0) < 0:
        raise FormatError(f"{node}: pads={pads} must be {2 * len(numbers)} numbers, none negative")
    if any(not -4 <= axis < 4 for axis in numbers) or len({n % 4 for n in numbers}) < len(numbers):
        raise FormatError(f"{node}: axes={numbers} do not fit a tensor of {tensor.shape}")
    sides = dict.fromkeys("NCHW", (0, 0))
    for index, axis in enumerate(numbers):
        sides[tensor.axes[axis]] = (pads[index], pads[index + len(numbers)])
    return sides

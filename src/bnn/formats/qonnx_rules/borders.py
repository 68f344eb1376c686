# SPDX-License-Identifier: BSD-3-Clause
"""Rules of Pad and Im2Col: remembered, for the convolution that follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnn.errors import FormatError
from bnn.formats.onnx_file import Node
from bnn.formats.onnx_fold import Constant
from bnn.formats.qonnx_rules.sliding import extent, pair, slid
from bnn.formats.qonnx_tensor import LAST, Tensor
from bnn.formats.qonnx_walk import Inputs, Walk
from bnn.program import Borders


def im2col(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """Patches of a channels-last map, ordered kernel row, kernel column, channel."""
    tensor = walk.map_of(node, inputs[0])
    attributes = node.attributes
    if tensor.axes != LAST or attributes.get("depthwise", 0) or any(tensor.padding):
        raise FormatError(f"{node}: of patches, those of a channels-last map can be converted")
    size = pair(node, "kernel_size", (0, 0))
    stride, dilation = pair(node, "stride", (1, 1)), pair(node, "dilations", (1, 1))
    pads = [int(n) for n in attributes.get("pad_amount", [0, 0, 0, 0])]
    if len(pads) != 4 or min(pads) < 0 or min(*size, *stride, *dilation) < 1:
        raise FormatError(f"{node}: its sizes make no sense")
    padding: Borders = (pads[0], pads[1], pads[2], pads[3])
    spread = extent(size, dilation)
    height, width = slid(node, tensor.height_width, spread, stride, padding)
    made = tensor.slid(tensor.layer, height, width, tensor.channels * size[0] * size[1])
    return replace(
        made,
        padding=padding,
        pad_value=float(attributes.get("pad_value", 0)),
        patches=(size, stride, dilation),
    )


def pad(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """Pad, of height and width."""
    tensor = walk.map_of(node, inputs[0])
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

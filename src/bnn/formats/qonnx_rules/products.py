# SPDX-License-Identifier: BSD-3-Clause
"""Rules of convolutions and dense layers: integer weights, scales, biases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.onnx_file import Node
from bnn.formats.qonnx_rules.sliding import slid, slide
from bnn.formats.qonnx_tensor import FIRST, LAST, Tensor, in_order
from bnn.formats.qonnx_walk import Inputs, Walk
from bnn.formats.qonnx_weights import bias_of, kernel_of, matrix_of
from bnn.formats.stack import add_conv, dilated
from bnn.formats.weights import Weights
from bnn.network import Conv2d, Linear
from bnn.precision import BIPOLAR, TERNARY

Array = NDArray[Any]


def conv(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """Conv, channels first or last."""
    tensor = walk.map_of(node, inputs[0])
    last = node.domain.endswith("channels_last")
    if tensor.axes != (LAST if last else FIRST):
        raise FormatError(f"{node}: its input's axes are {''.join(tensor.axes)}")
    weights = kernel_of(node, inputs, tensor.channels, last)
    size = (int(weights.integers.shape[1]), int(weights.integers.shape[2]))
    stride, padding = slide(node, tensor, size)
    if any(padding) and any(tensor.padding) and tensor.pad_value:
        raise FormatError(f"{node}: pads with zeros what a Pad has padded otherwise")
    top, left, bottom, right = tensor.padding
    padding = (padding[0] + top, padding[1] + left, padding[2] + bottom, padding[3] + right)
    name = walk.stack.name(node.name)
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
    name = add_conv(walk.stack, layer, walk.lattice)
    walk.report.used(node.name, f"convolution, {weights.precision} weights", walk.arrays(node))
    height, width = slid(node, tensor.height_width, size, stride, padding)
    return _after_weights(tensor, name, height, width, len(weights.integers))


def matmul(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """MatMul, Gemm: dense, 1x1, or the product after an Im2Col."""
    tensor = walk.tensor(node, inputs[0])
    if tensor.axes[-1] != "C":
        raise FormatError(f"{node}: multiplies along axis {tensor.axes[-1]}")
    weights = matrix_of(node, inputs, tensor.channels)
    rows = in_order(weights.integers, tensor)
    bias = _shifted_bias(weights, bias_of(node, inputs, len(rows)), tensor.shift)
    scale = weights.scale * np.float32(tensor.gain)
    if tensor.patches:
        return _patched(walk, node, tensor, replace(weights, integers=rows), scale, bias)
    if any(tensor.padding):
        raise FormatError(f"{node}: follows a Pad; only a convolution can")
    name = walk.stack.name(node.name)
    if len(tensor.axes) == 2:
        walk.stack.add(Linear(name, rows, weights.precision, scale, bias, tensor.layer))
    else:
        kernel = rows[:, None, None, :]
        walk.stack.add(Conv2d(name, kernel, weights.precision, scale, bias, source=tensor.layer))
    walk.report.used(node.name, f"dense, {weights.precision} weights", walk.arrays(node))
    height, width = tensor.height_width
    return replace(_after_weights(tensor, name, height, width, len(rows)), order=None)


def _patched(
    walk: Walk, node: Node, tensor: Tensor, weights: Weights, scale: Array, bias: Any
) -> Tensor:
    """The convolution of an Im2Col and a product."""
    size, stride, dilation = tensor.patches
    kernel = weights.integers.reshape(len(weights.integers), *size, -1)
    precision = weights.precision
    if dilation != (1, 1):
        kernel = dilated(kernel, dilation)
        precision = TERNARY if precision == BIPOLAR else precision  # for the zeros
    layer = Conv2d(
        walk.stack.name(node.name),
        kernel,
        precision,
        scale,
        bias,
        stride,
        tensor.padding,
        (tensor.pad_value - tensor.shift) / tensor.gain,
        tensor.layer,
    )
    name = add_conv(walk.stack, layer, walk.lattice)
    walk.report.used(node.name, f"convolution, {precision} weights", walk.arrays(node))
    height, width = tensor.height_width
    return replace(_after_weights(tensor, name, height, width, len(kernel)), patches=())


def _shifted_bias(weights: Weights, bias: Any, shift: float) -> Any:
    """``bias``, and what ``shift`` on every input adds to the sums."""
    if not shift:
        return bias
    sums = weights.integers.reshape(len(weights.integers), -1).sum(axis=1)
    extra = weights.scale * sums.astype(np.float32) * np.float32(shift)
    return extra if bias is None else bias + extra


def _after_weights(tensor: Tensor, name: str, height: int, width: int, channels: int) -> Tensor:
    change = {"quantized": False, "gain": 1.0, "shift": 0.0, "nonnegative": False}
    no_pads = {"padding": (0, 0, 0, 0), "pad_value": 0.0}
    return tensor.slid(name, height, width, channels, **change, **no_pads)

# SPDX-License-Identifier: BSD-3-Clause
"""Rules of convolutions and dense layers: integer weights, scales, biases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.rules.clips import activation_of
from bnn.formats.qonnx.rules.sliding import check_axes, slid, slide
from bnn.formats.qonnx.tensor import VECTOR, Tensor, in_order
from bnn.formats.qonnx.walk import Inputs, Walk
from bnn.formats.qonnx.weights import bias_of, check_size, kernel_of, matrix_of
from bnn.formats.stack import add_conv, dilated
from bnn.formats.weights import Weights, from_real
from bnn.network.network import Clip, Conv2d, Linear, RealDense
from bnn.program.precision import BIPOLAR, TERNARY

Array = NDArray[Any]


def conv(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of Conv, channels first or last."""
    tensor = walk.map_of(node, inputs[0])
    check_axes(node, tensor)
    weights = kernel_of(node, inputs, tensor.channels, node.is_last)
    _check_kept(walk, node, tensor, weights)
    size = (int(weights.integers.shape[1]), int(weights.integers.shape[2]))
    stride, padding = slide(node, tensor, size)
    if any(padding) and any(tensor.padding) and tensor.pad_value:
        raise FormatError(f"{node}: pads with zeros, but the Pad before it pads with another value")
    top, left, bottom, right = tensor.padding
    padding = (padding[0] + top, padding[1] + left, padding[2] + bottom, padding[3] + right)
    name = walk.stack.name(node.name)
    bias = bias_of(node, inputs, len(weights.integers), 1)
    layer = Conv2d(
        name,
        weights.integers,
        weights.precision,
        weights.scale * np.float32(tensor.gain),
        _shifted_bias(weights, bias, tensor.shift),
        stride,
        padding,
        (tensor.pad_value - tensor.shift) / tensor.gain,
        tensor.layer,
    )
    name = add_conv(walk.stack, layer, walk.lattice, walk.input)
    walk.report.used(node.name, f"convolution, {weights.precision} weights", walk.arrays(node))
    height, width = slid(node, tensor.height_width, size, stride, padding)
    return _after_weights(tensor, name, height, width, weights, bias)


def matmul(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of MatMul and Gemm: a dense layer, a 1x1 convolution, or the product after an Im2Col."""
    tensor = walk.tensor(node, inputs[0])
    if tensor.axes[-1] != "C":
        raise FormatError(
            f"{node}: multiplies along axis {tensor.axes[-1]}; only the channels' can be converted"
        )
    if node.kind == "Gemm" and len(tensor.axes) != 2:
        raise FormatError(f"{node}: reads a map; it must be a vector")
    real = _real_weights(walk, node, inputs, tensor)
    if real is not None:
        return _real_dense(walk, node, inputs, tensor, real)
    weights = matrix_of(node, inputs, tensor.channels)
    _check_kept(walk, node, tensor, weights)
    rows = in_order(weights.integers, tensor)
    added = bias_of(node, inputs, len(rows), tensor.shape[0]) if node.kind == "Gemm" else None
    bias = _shifted_bias(weights, added, tensor.shift)
    scale = weights.scale * np.float32(tensor.gain)
    if tensor.patches:
        return _patched(walk, node, tensor, replace(weights, integers=rows), scale, bias)
    if any(tensor.padding):
        raise FormatError(f"{node}: follows a Pad; only a convolution may follow it")
    name = walk.stack.name(node.name)
    if len(tensor.axes) == 2:
        walk.stack.add(Linear(name, rows, weights.precision, scale, bias, tensor.layer))
    else:
        kernel = rows[:, None, None, :]
        walk.stack.add(Conv2d(name, kernel, weights.precision, scale, bias, source=tensor.layer))
    walk.report.used(node.name, f"dense, {weights.precision} weights", walk.arrays(node))
    height, width = tensor.height_width
    return replace(_after_weights(tensor, name, height, width, weights, added), order=None)


def xnor_popcount(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of XnorPopcountMatMul: the number of equal bits of two rows of 0 and 1.

    If 0 is replaced by -1, the dot product is the number of equal bits minus the number of unequal
    bits.
    """
    tensor = walk.tensor(node, inputs[0])
    given = inputs[1]
    if not isinstance(given, Constant) or given.value.ndim != 2 or tensor.axes != VECTOR:
        raise FormatError(f"{node}: only a product of a vector and a constant can be converted")
    bits = given.value
    if bits.shape[0] != tensor.channels:
        raise FormatError(
            f"{node}: its constant must have {tensor.channels} rows, not shape {bits.shape}"
        )
    if not np.isin(bits, (0, 1)).all():
        raise FormatError(f"{node}: its constant must hold 0 and 1 only")
    made = activation_of(walk, tensor)
    if not tensor.quantized or (tensor.low, tensor.high, made.levels) != (0, 1, 1):
        raise FormatError(f"{node}: reads other values than 0 and 1; that cannot be converted")
    signs = in_order((2 * bits.T - 1).astype(np.int16), tensor)
    scale = np.full(1, tensor.gain, np.float32)  # (2 * gain) / 2
    shift = (2 * tensor.shift - 1) / 2
    bias = signs.sum(axis=1).astype(np.float32) * np.float32(shift) + np.float32(len(bits) / 2)
    name = walk.stack.name(node.name)
    walk.stack.add(Linear(name, signs, BIPOLAR, scale, bias, tensor.layer))
    walk.report.used(node.name, "dense of equal bits, bipolar weights", walk.arrays(node))
    shape = (tensor.shape[0], bits.shape[1])
    return Tensor(name, shape, VECTOR, 0.0, float(len(bits)))


def _check_kept(walk: Walk, node: Op, tensor: Tensor, weights: Weights) -> None:
    """Refuse a product with binary weights that reads the unquantized result of a hard tanh.

    BinaryNet.pytorch and its many copies take signs by a change of ``.data``, which PyTorch's
    exporters do not see: the file computes something else than the network that was trained.
    """
    layer = next((one for one in walk.stack.layers if one.name == tensor.layer), None)
    is_hard_tanh = isinstance(layer, Clip) and (layer.low, layer.high) == (-1, 1)
    if is_hard_tanh and weights.precision == BIPOLAR and (weights.scale == 1).all():
        raise FormatError(
            f"{node}: its binary weights read a hard tanh that nothing quantizes: networks that "
            "take signs by a change of .data lose them when they are exported; write them as "
            "torch.sign or torch.where, and export again"
        )


#: Operations that may follow the last product, constants and layout aside.
_AFTER = {"Add", "Sub", "Mul", "Div", "Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK"}
_AFTER |= {"Hardmax", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Dropout"}


def _real_weights(walk: Walk, node: Op, inputs: Inputs, tensor: Tensor) -> Array | None:
    """Return the weights (units, inputs) of ``node`` if they are real and ``node`` is the last.

    Return None if the weights are quantized, or other layers follow.
    """
    given = inputs[1] if len(inputs) > 1 else None
    later = walk.nodes[walk.nodes.index(node) + 1 :]
    if not isinstance(given, Constant) or given.integers is not None or len(tensor.axes) != 2:
        return None
    value = given.value
    is_turned = node.kind == "Gemm" and node.attribute("transB")
    rows = value if is_turned else value.T
    if value.ndim != 2 or value.dtype != np.float32 or rows.shape[1] != tensor.channels:
        return None
    if not np.isfinite(rows).all() or any(one.kind not in _AFTER for one in later):
        return None
    if node.kind == "Gemm" and (node.attribute("transA") or node.attribute("alpha") != 1):
        return None
    try:
        from_real(rows, str(node))
    except FormatError:
        return rows
    return None


def _real_dense(walk: Walk, node: Op, inputs: Inputs, tensor: Tensor, real: Array) -> Tensor:
    """Add a last layer of real weights, which the host computes."""
    tensor = walk.real(node, tensor)
    rows = in_order(real, tensor)
    bias = bias_of(node, inputs, len(rows), tensor.shape[0]) if node.kind == "Gemm" else None
    name = walk.stack.add(RealDense(walk.stack.name(node.name), rows, bias, tensor.layer))
    walk.report.used(node.name, "dense, real weights: computed by the host", walk.arrays(node))
    most = np.abs(rows).sum(axis=1).max() * max(abs(tensor.low), abs(tensor.high))
    most = float(most + (0.0 if bias is None else np.abs(bias).max()))
    shape = (tensor.shape[0], len(rows))
    return replace(
        tensor, layer=name, shape=shape, low=-most, high=most, order=None, quantized=False
    )


def _patched(
    walk: Walk, node: Op, tensor: Tensor, weights: Weights, scale: Array, bias: Any
) -> Tensor:
    """Add the convolution that an Im2Col and a matrix product make, and return its result."""
    size, stride, dilation = tensor.patches
    kernel = weights.integers.reshape(len(weights.integers), *size, -1)
    precision = weights.precision
    check_size(node, kernel.shape, kernel.shape[3], dilation)
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
    name = add_conv(walk.stack, layer, walk.lattice, walk.input)
    walk.report.used(node.name, f"convolution, {precision} weights", walk.arrays(node))
    height, width = tensor.height_width
    return replace(_after_weights(tensor, name, height, width, weights, None), patches=())


def _shifted_bias(weights: Weights, bias: Any, shift: float) -> Any:
    """Return ``bias`` plus the change of the sums if ``shift`` is added to every input."""
    if not shift:
        return bias
    sums = weights.integers.reshape(len(weights.integers), -1).sum(axis=1)
    extra = weights.scale * sums.astype(np.float32) * np.float32(shift)
    return extra if bias is None else bias + extra


def _after_weights(
    tensor: Tensor, name: str, height: int, width: int, weights: Weights, bias: Any
) -> Tensor:
    low, high = min(tensor.low, tensor.pad_value, 0.0), max(tensor.high, tensor.pad_value, 0.0)
    rows = weights.integers.reshape(len(weights.integers), -1).astype(np.float64)
    above, below = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    ends = np.stack([above * high + below * low, above * low + below * high]) * weights.scale
    ends = ends if bias is None else ends + bias
    bounds = {"low": float(ends.min()), "high": float(ends.max())}
    no_pads: dict[str, Any] = {"padding": (0, 0, 0, 0), "pad_value": 0.0}
    channels = len(weights.integers)
    return tensor.slid(
        name, height, width, channels, quantized=False, steps=(), **bounds, **no_pads
    )

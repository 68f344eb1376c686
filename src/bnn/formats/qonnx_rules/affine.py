# SPDX-License-Identifier: BSD-3-Clause
"""Rules of scales, offsets, sums and batch norms: waiting gains, or real-valued layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.onnx_file import Node
from bnn.formats.onnx_fold import Constant
from bnn.formats.qonnx_tensor import RawInput, Tensor, ordered, per_channel
from bnn.formats.qonnx_walk import Inputs, Value, Walk
from bnn.network import Add, BatchNorm

Array = NDArray[Any]


def elementwise(walk: Walk, node: Node, inputs: Inputs) -> Value:
    """Add, Sub, Mul, Div: with a constant, or the sum of two tensors."""
    if len(inputs) != 2:
        raise FormatError(f"{node}: needs two inputs")
    one, two = inputs
    if not isinstance(one, Constant) and not isinstance(two, Constant):
        return _add_tensors(walk, node, one, two)
    tensor, constant = (two, one) if isinstance(one, Constant) else (one, two)
    assert isinstance(constant, Constant)
    assert isinstance(tensor, Tensor | RawInput)
    value = constant.value
    if np.broadcast_shapes(value.shape, tensor.shape) != tensor.shape:
        raise FormatError(f"{node}: its constant would make the tensor larger")
    first, rows = isinstance(one, Constant), per_channel(node, value, tensor)
    if isinstance(tensor, RawInput):
        # Composed in float64, so that what was one scale is the same float32 again.
        factor, offset = _affine(node, rows.astype(np.float64), first)
        return _affine_input(walk, tensor, factor, offset)
    factor, offset = _affine(node, rows.astype(np.float32), first)
    tensor = tensor if factor.size == 1 == offset.size else walk.tensor(node, tensor)
    if tensor.quantized and factor.size == 1 == offset.size and factor[0] > 0:
        gain, shift = float(factor[0]), float(offset[0])
        return replace(tensor, gain=tensor.gain * gain, shift=tensor.shift * gain + shift)
    tensor = walk.real_map(node, tensor)
    walk.report.used(node.name, "scale and offset", walk.arrays(node))
    return walk.scaled(node, tensor, factor, offset)


def _add_tensors(walk: Walk, node: Node, one: Value | None, two: Value | None) -> Tensor:
    if node.kind != "Add":
        raise FormatError(f"{node}: of two tensors only the sum can be converted")
    first, second = walk.tensor(node, one), walk.tensor(node, two)
    if (first.gain, first.shift) != (second.gain, 0.0) or first.shift:
        first, second = walk.real(node, first), walk.real(node, second)
    if first.axes != second.axes or first.shape != second.shape:
        raise FormatError(f"{node}: adds tensors of shapes {first.shape} and {second.shape}")
    if not _same_order(first, second):
        raise FormatError(f"{node}: adds maps that were flattened in different orders")
    name = walk.stack.add(Add(walk.stack.name(node.name), second.layer, first.layer))
    walk.report.used(node.name, "sum")
    nonnegative = first.nonnegative and second.nonnegative
    return replace(first, layer=name, quantized=False, nonnegative=nonnegative)


def batch_norm(walk: Walk, node: Node, inputs: Inputs) -> Value:
    """BatchNormalization."""
    first = inputs[0]
    raw = isinstance(first, RawInput) and walk.chosen is None
    tensor = first if isinstance(first, RawInput) and raw else walk.real(node, first)
    values = [item.value for item in inputs[1:] if isinstance(item, Constant)]
    if len(values) != 4:
        raise FormatError(f"{node}: its parameters must be constants")
    axis = len(tensor.axes) - 1 if node.domain.endswith("channels_last") else 1
    if tensor.axes[axis] != "C" or any(v.shape != (tensor.channels,) for v in values):
        raise FormatError(f"{node}: its parameters do not fit the tensor's channels")
    gamma, beta, mean, variance = (ordered(value, tensor) for value in values)
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    walk.report.used(node.name, f"batch norm, epsilon {epsilon:g}", walk.arrays(node))
    if isinstance(tensor, RawInput):
        factor = gamma / np.sqrt(variance.astype(np.float64) + epsilon)
        return _affine_input(walk, tensor, factor, beta - mean * factor)
    name = walk.stack.name(node.name)
    walk.stack.add(
        BatchNorm.from_variance(name, gamma, beta, mean, variance, epsilon, "folded", tensor.layer)
    )
    return replace(tensor, layer=name, quantized=False, nonnegative=False)


def _affine_input(walk: Walk, raw: RawInput, factor: Array, offset: Array) -> RawInput:
    """``raw`` times ``factor`` plus ``offset``, each (1,) or (channels,), float64."""
    if raw.map is not None and max(factor.size, offset.size) > 1:
        count = raw.channels
        walk.report.lost.append(
            f"the input is scaled number by number: it is a row of {count}, flattened as there"
        )
        if raw.order is not None:
            factor, offset = (v if v.size == 1 else v[raw.order] for v in (factor, offset))
        raw = replace(raw, map=None, order=None)
    return replace(raw, factor=raw.factor * factor, offset=raw.offset * factor + offset)


def _affine(node: Node, value: Array, constant_first: bool) -> tuple[Array, Array]:
    one, zero = np.ones(1, value.dtype), np.zeros(1, value.dtype)
    match node.kind:
        case "Add":
            return one, value
        case "Sub":
            return (-one, value) if constant_first else (one, -value)
        case "Mul":
            return value, zero
        case "Div" if not constant_first and (value != 0).all():
            return one / value, zero
    raise FormatError(f"{node}: divides by the tensor, or by zero; that cannot be converted")


def _same_order(one: Tensor, two: Tensor) -> bool:
    if one.order is None or two.order is None:
        return one.order is two.order
    return np.array_equal(one.order, two.order)

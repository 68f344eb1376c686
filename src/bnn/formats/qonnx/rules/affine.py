# SPDX-License-Identifier: BSD-3-Clause
"""Rules of scales, offsets, sums and batch norms.

They become pending operations, which the next layer includes, or layers of real values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.tensor import RawInput, Step, Tensor, done, ordered, per_channel
from bnn.formats.qonnx.walk import Inputs, Value, Walk
from bnn.network.network import Add, BatchNorm

Array = NDArray[Any]


def elementwise(walk: Walk, node: Op, inputs: Inputs) -> Value:
    """Rule of Add, Sub, Mul and Div: of a tensor and a constant, or a sum of two tensors."""
    one, two = inputs
    if not isinstance(one, Constant) and not isinstance(two, Constant):
        return _add_tensors(walk, node, one, two)
    tensor, constant = (two, one) if isinstance(one, Constant) else (one, two)
    assert isinstance(constant, Constant)
    assert isinstance(tensor, Tensor | RawInput)
    if isinstance(tensor, RawInput) and constant.value.size > 1:
        tensor = _as_row(walk, tensor)
    step = _step(node, per_channel(node, constant.value, tensor), tensor is two)
    if isinstance(tensor, RawInput):
        return _scaled_input(tensor, step)
    waits = tensor.quantized and step[1].size == 1 and _rises(step)
    if waits:
        ends = done(step, np.array([tensor.low, tensor.high]))
        low, high = float(ends[0]), float(ends[1])
        return replace(tensor, steps=(*tensor.steps, step), low=low, high=high)
    tensor = walk.real_map(node, tensor if step[1].size == 1 else walk.tensor(node, tensor))
    walk.report.used(node.name, "scale and offset", walk.arrays(node))
    return walk.scaled(node, tensor, step)


def _step(node: Op, value: Array, constant_first: bool) -> Step:
    if value.dtype != np.float32:
        raise FormatError(f"{node}: its constant is {value.dtype}; only float32 can be converted")
    if not np.isfinite(value).all():
        raise FormatError(f"{node}: its constant is not finite")
    if node.kind == "Div" and (constant_first or not value.all()):
        raise FormatError(f"{node}: divides by the tensor, or by zero; that cannot be converted")
    return node.kind, value, constant_first


def _rises(step: Step) -> bool:
    """Return whether the result of ``step`` rises with its input."""
    kind, value, first = step
    return not first if kind == "Sub" else kind == "Add" or bool(value[0] > 0)


def _add_tensors(walk: Walk, node: Op, one: Value | None, two: Value | None) -> Tensor:
    if node.kind not in ("Add", "Sub"):
        raise FormatError(f"{node}: only sums and differences of two tensors can be converted")
    first, second = walk.tensor(node, one), walk.tensor(node, two)
    if (first.gain, first.shift, second.shift) != (second.gain, 0.0, 0.0):
        first, second = walk.real(node, first), walk.real(node, second)
    if first.axes != second.axes or first.shape != second.shape:
        raise FormatError(
            f"{node}: adds tensors of shapes {first.shape} and {second.shape}; they must be equal"
        )
    if not _same_order(first, second):
        raise FormatError(f"{node}: adds maps that were flattened in different orders")
    sign = -1.0 if node.kind == "Sub" else 1.0
    layer = Add(walk.stack.name(node.name), second.layer, first.layer, (1.0, sign))
    name = walk.stack.add(layer)
    walk.report.used(node.name, "sum" if sign > 0 else "difference")
    ends = sorted((sign * second.low, sign * second.high))
    low, high = first.low + ends[0], first.high + ends[1]
    return replace(first, layer=name, quantized=False, low=low, high=high)


def batch_norm(walk: Walk, node: Op, inputs: Inputs) -> Value:
    """Rule of BatchNormalization."""
    first = inputs[0]
    raw = isinstance(first, RawInput) and walk.chosen is None
    tensor = _as_row(walk, first) if raw and isinstance(first, RawInput) else walk.real(node, first)
    values = [item.value for item in inputs[1:] if isinstance(item, Constant)]
    axis = len(tensor.axes) - 1 if node.is_last else 1
    if tensor.axes[axis] != "C" or any(v.shape != (tensor.channels,) for v in values):
        raise FormatError(f"{node}: its parameters do not fit the tensor's channels")
    if any(v.dtype != np.float32 or not np.isfinite(v).all() for v in values):
        raise FormatError(f"{node}: its parameters must be finite float32 numbers")
    gamma, beta, mean, variance = (ordered(value, tensor) for value in values)
    epsilon = float(node.attribute("epsilon"))
    if not (np.isfinite(epsilon) and (variance + np.float32(epsilon) > 0).all()):
        raise FormatError(f"{node}: variance + epsilon ({epsilon}) must be positive")
    walk.report.used(node.name, f"batch norm, epsilon {epsilon:g}", walk.arrays(node))
    made = BatchNorm.from_variance(
        walk.stack.name(node.name), gamma, beta, mean, variance, epsilon, "folded"
    )
    with np.errstate(all="ignore"):
        factor = np.asarray(made.gamma * np.asarray(made.inv_std))
        offset = np.asarray(beta - mean * factor)
    if not (np.isfinite(factor).all() and np.isfinite(offset).all()):
        raise FormatError(f"{node}: its parameters give a factor or an offset that is not finite")
    if isinstance(tensor, RawInput):
        scaled = _scaled_input(tensor, ("Mul", factor, False))
        return _scaled_input(scaled, ("Add", offset, False))
    walk.stack.add(replace(made, source=tensor.layer))
    low, high = np.float64(tensor.low), np.float64(tensor.high)
    ends = np.stack([low * factor + offset, high * factor + offset])
    return replace(
        tensor,
        layer=made.name,
        quantized=False,
        low=float(ends.min()),
        high=float(ends.max()),
    )


def _as_row(walk: Walk, raw: RawInput) -> RawInput:
    """Return the flattened input as a vector: then each of its numbers can have its own scale."""
    if raw.map is None:
        return raw
    walk.report.lost.append(
        f"the input is scaled number by number: it becomes a vector of {raw.channels}"
    )
    return replace(raw, map=None, order=None)


def _scaled_input(raw: RawInput, step: Step) -> RawInput:
    """Return the input after one more operation with a constant, ``step``."""
    # In float64, so that a scale that was split is the same float32 again.
    kind, value, first = step
    factor = done((kind, value, False), raw.factor) if kind in ("Mul", "Div") else raw.factor
    factor = -factor if kind == "Sub" and first else factor
    return replace(raw, factor=factor, offset=done(step, raw.offset), steps=(*raw.steps, step))


def _same_order(one: Tensor, two: Tensor) -> bool:
    if one.order is None or two.order is None:
        return one.order is two.order
    return np.array_equal(one.order, two.order)

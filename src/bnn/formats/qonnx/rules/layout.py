# SPDX-License-Identifier: BSD-3-Clause
"""Rules of layout: no data are moved; a tensor keeps the order that its elements have in ONNX."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.qonnx.axes import picture_axes
from bnn.formats.qonnx.constants import Constant, fold, kind_of, reshaped, shape_of
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.rules import curves
from bnn.formats.qonnx.rules.clips import activation_of
from bnn.formats.qonnx.tensor import (
    FIRST,
    LAST,
    VECTOR,
    RawInput,
    Tensor,
    done,
    flat_order,
    flattened,
    transposed,
)
from bnn.formats.qonnx.walk import Inputs, Value, Walk

Array = NDArray[Any]


def transpose(_: Walk, node: Op, inputs: Inputs) -> Value:
    """Rule of Transpose."""
    return transposed(node, inputs[0], node.attribute("perm"))  # type: ignore[no-any-return]


def reshape(walk: Walk, node: Op, inputs: Inputs) -> Value:
    """Rule of Reshape, Flatten, Squeeze, Unsqueeze."""
    tensor = inputs[0]
    assert isinstance(tensor, Tensor | RawInput)
    wanted = _target_shape(node, tensor.shape, inputs)
    if wanted == tensor.shape:
        return tensor
    batch = tensor.shape[tensor.axes.index("N")]
    count = int(np.prod(tensor.shape)) // batch
    # Rows of a batch stay whole: the samples are the first axis before and after.
    whole = wanted[:1] == (batch,) and (batch == 1 or tensor.axes[0] == "N")
    if whole and len(wanted) == 2:
        return _as_vector(node, tensor, batch, count)
    if whole and len(wanted) == 4 and len(tensor.axes) == 2:
        return _as_map(walk, node, tensor, wanted)
    if whole and count == tensor.channels and wanted[1:] in ((count, 1, 1), (1, 1, count)):
        axes = FIRST if wanted[1] == count else LAST
        return replace(tensor, shape=wanted, axes=axes)
    # One position, as PyTorch has it around a batch norm of vectors.
    if whole and count == tensor.channels and wanted[1:] in ((count, 1), (1, count)):
        axes = ("N", "C", "W") if wanted[1] == count else ("N", "W", "C")
        return replace(tensor, shape=wanted, axes=axes)
    raise FormatError(f"{node}: from shape {tensor.shape} to {wanted} cannot be converted")


def _target_shape(node: Op, shape: tuple[int, ...], inputs: Inputs) -> tuple[int, ...]:
    values = [item.value for item in inputs[1:] if isinstance(item, Constant)]
    zeros = Constant(np.broadcast_to(np.zeros((), np.int8), shape))
    try:
        if node.kind == "Reshape":
            return reshaped(node, shape, values[0])
        moved = fold(node, [zeros, *(Constant(value) for value in values)])
    except (ValueError, IndexError):
        raise FormatError(f"{node}: its shape does not fit {shape}") from None
    assert moved is not None
    return moved.value.shape


def _as_vector(node: Op, tensor: Tensor | RawInput, batch: int, count: int) -> Value:
    if isinstance(tensor, Tensor):
        return flattened(node.name, tensor)
    if tensor.factor.size > 1 or tensor.offset.size > 1:
        raise FormatError(f"{node}: flattens an input that was scaled by channel")
    order = flat_order(tensor)
    return replace(tensor, shape=(batch, count), axes=VECTOR, map=tensor.map or tensor, order=order)


def _as_map(walk: Walk, node: Op, tensor: Tensor | RawInput, wanted: tuple[int, ...]) -> Value:
    axes = picture_axes(wanted, walk.nodes)
    if isinstance(tensor, RawInput):
        walk.report.lost.append(
            f"the input is a row of {tensor.shape[1]}; it is taken as a map of {wanted[1:]}"
        )
        return replace(tensor, shape=wanted, axes=axes, map=None, order=None)
    if wanted[1] == tensor.channels:
        axes = FIRST
    elif wanted[3] == tensor.channels:
        axes = LAST
    else:
        raise FormatError(f"{node}: a vector cannot be made a map of shape {wanted}")
    if tensor.order is not None:
        raise FormatError(f"{node}: a flattened map cannot be made a map again")
    return replace(tensor, shape=wanted, axes=axes)


def passed(_walk: Walk, _node: Op, inputs: Inputs) -> Value:
    """Rule of Identity."""
    assert inputs[0] is not None
    return inputs[0]


def dropout(_walk: Walk, node: Op, inputs: Inputs) -> Value:
    """Rule of Dropout, which does nothing outside training."""
    training = inputs[2] if len(inputs) > 2 else None
    if isinstance(training, Constant) and training.value.any():
        raise FormatError(f"{node}: training_mode=1 cannot be converted")
    assert inputs[0] is not None
    return inputs[0]


def cast(walk: Walk, node: Op, inputs: Inputs) -> Value:
    """Rule of Cast: it may change the dtype, but no value.

    The graph's input may be cast to float32, which the host does too. A tensor of whole numbers
    may be cast to an integer type if all its values are in the range of the type. A cast of real
    numbers truncates them: it begins a chain (:mod:`bnn.formats.qonnx.rules.curves`).
    """
    kind = kind_of(node)
    tensor = inputs[0]
    assert isinstance(tensor, Tensor | RawInput)
    if tensor.kind == kind.name:
        return tensor
    if isinstance(tensor, RawInput):
        if kind != np.float32 or tensor.kind not in _EXACT_INPUTS:
            raise FormatError(f"{node}: casts the input from {tensor.kind} to {kind.name}")
        return replace(tensor, kind=kind.name)
    values = _values(walk, tensor)
    if values is None:
        return curves.start(walk, node, inputs)
    with np.errstate(all="ignore"):
        kept = values.astype(kind)
    if (kept.astype(np.float64) != values).any():
        raise FormatError(
            f"{node}: casts to {kind.name}, which does not hold values such as "
            f"{values[kept.astype(np.float64) != values][0]:g}"
        )
    return replace(tensor, kind=kind.name)


#: Dtypes of inputs that float32 holds exactly, or that the host casts to float32.
_EXACT_INPUTS = ("float32", "float64", "float16", "uint8", "int8", "uint16", "int16")


def _values(walk: Walk, tensor: Tensor) -> Array | None:
    """Return all values that the tensor can have, float64.

    Return None if the tensor is not quantized, or comes after a softmax or sigmoid.
    """
    if tensor.ending == "class":
        return np.arange(tensor.channels, dtype=np.float64)
    if not tensor.quantized or tensor.ending:
        return None
    made = activation_of(walk, tensor)
    levels = np.arange(made.levels + 1)
    x = (made.base + made.step * levels).astype(np.float32) * np.float32(made.scale)
    for step in tensor.steps:
        x = done(step, x)
    return np.asarray(x, np.float64)


def shape(_walk: Walk, node: Op, inputs: Inputs) -> Value:
    """Rule of Shape: a constant, since every shape is known."""
    assert isinstance(inputs[0], Tensor | RawInput)
    return Constant(shape_of(node, inputs[0].shape))

# SPDX-License-Identifier: BSD-3-Clause
"""Rules of layout: nothing moves, a tensor only remembers how it was reshaped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnn.errors import FormatError
from bnn.formats.onnx_file import Node
from bnn.formats.onnx_fold import Constant, fold, reshaped
from bnn.formats.qonnx_axes import picture_axes
from bnn.formats.qonnx_tensor import (
    FIRST,
    LAST,
    VECTOR,
    RawInput,
    Tensor,
    flat_order,
    flattened,
    transposed,
)
from bnn.formats.qonnx_walk import Inputs, Value, Walk


def transpose(_: Walk, node: Node, inputs: Inputs) -> Value:
    """Transpose."""
    return transposed(node, inputs[0], node.attributes.get("perm"))  # type: ignore[no-any-return]


def reshape(walk: Walk, node: Node, inputs: Inputs) -> Value:
    """Reshape, Flatten, Squeeze, Unsqueeze."""
    tensor = inputs[0]
    assert isinstance(tensor, Tensor | RawInput)
    wanted = _target_shape(node, tensor.shape, inputs)
    if wanted == tensor.shape:
        return tensor
    count = int(np.prod(tensor.shape))
    if wanted == (1, count) or (len(wanted) == 2 and wanted[0] == 1):
        return _as_vector(node, tensor, count)
    if len(wanted) == 4 and len(tensor.axes) == 2:
        return _as_map(walk, node, tensor, wanted)
    if (
        len(tensor.axes) == 4
        and sorted(wanted) == sorted(tensor.shape)
        and count == tensor.channels
    ):
        axes = FIRST if wanted[1] == count else LAST
        return replace(tensor, shape=wanted, axes=axes)
    raise FormatError(f"{node}: from shape {tensor.shape} to {wanted} cannot be converted")


def _target_shape(node: Node, shape: tuple[int, ...], inputs: Inputs) -> tuple[int, ...]:
    values = [item.value for item in inputs[1:] if isinstance(item, Constant)]
    zeros = Constant(np.broadcast_to(np.zeros((), np.int8), shape))
    try:
        if node.kind == "Reshape":
            return reshaped(shape, values[0])
        moved = fold(node, [zeros, *(Constant(value) for value in values)])
    except (ValueError, IndexError):
        raise FormatError(f"{node}: its shape does not fit {shape}") from None
    assert moved is not None
    return moved.value.shape


def _as_vector(node: Node, tensor: Tensor | RawInput, count: int) -> Value:
    if isinstance(tensor, Tensor):
        return flattened(node.name, tensor)
    if tensor.factor.size > 1 or tensor.offset.size > 1:
        raise FormatError(f"{node}: flattens an input that was scaled by channel")
    order = flat_order(tensor)
    return replace(tensor, shape=(1, count), axes=VECTOR, map=tensor.map or tensor, order=order)


def _as_map(walk: Walk, node: Node, tensor: Tensor | RawInput, wanted: tuple[int, ...]) -> Value:
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


def passed(_walk: Walk, _node: Node, inputs: Inputs) -> Value:
    """Identity, Dropout, Cast."""
    assert inputs[0] is not None
    return inputs[0]


def shape(_walk: Walk, _node: Node, inputs: Inputs) -> Value:
    """Shape: a constant, since every shape is known."""
    assert isinstance(inputs[0], Tensor | RawInput)
    return Constant(np.array(inputs[0].shape, np.int64))

# SPDX-License-Identifier: BSD-3-Clause
"""The rule of Concat: channels of several tensors side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.tensor import Tensor
from bnn.formats.qonnx.walk import Inputs, Walk
from bnn.network.network import Concat


def concat(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of Concat along the channels."""
    if any(item is None or isinstance(item, Constant) for item in inputs):
        raise FormatError(f"{node}: joins a constant to a tensor; that cannot be converted")
    first, *others = (walk.real(node, item) for item in inputs)
    axis = int(node.attribute("axis"))
    rank = len(first.axes)
    if not -rank <= axis < rank or first.axes[axis] != "C":
        raise FormatError(f"{node}: joins along axis {axis}, which is not the channels'")
    for other in others:
        first = _joined(walk, node, first, other, axis % rank)
    walk.report.used(node.name, f"{len(inputs)} tensors side by side")
    return first


def _joined(walk: Walk, node: Op, one: Tensor, two: Tensor, axis: int) -> Tensor:
    shapes = [(*t.shape[:axis], *t.shape[axis + 1 :]) for t in (one, two)]
    if one.axes != two.axes or shapes[0] != shapes[1]:
        raise FormatError(f"{node}: joins tensors of shapes {one.shape} and {two.shape}")
    name = walk.stack.add(Concat(walk.stack.name(node.name), two.layer, one.layer))
    shape = list(one.shape)
    shape[axis] += two.shape[axis]
    order = None
    if one.order is not None or two.order is not None:
        order = np.concatenate([_order(one), one.channels + _order(two)])
    return replace(
        one,
        layer=name,
        shape=tuple(shape),
        low=min(one.low, two.low),
        high=max(one.high, two.high),
        order=order,
        quantized=False,
    )


def _order(tensor: Tensor) -> NDArray[np.int64]:
    return np.arange(tensor.channels) if tensor.order is None else tensor.order

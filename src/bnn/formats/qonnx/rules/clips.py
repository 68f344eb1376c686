# SPDX-License-Identifier: BSD-3-Clause
"""Rules of Relu, Clip and similar operations.

On real values they become a layer that clips. On quantized values they become an activation that
has only the levels between the bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bnn.errors import FormatError
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.tensor import Tensor, per_channel
from bnn.formats.qonnx.walk import Inputs, Walk
from bnn.network.network import Clip, Flatten, Lattice, Leaky, MaxPool, MultiThreshold, Scale
from bnn.program.inputs import Input


def clip(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of Relu and Clip."""
    tensor = walk.real_map(node, inputs[0])
    low, high = _bounds(node, inputs) if node.kind == "Clip" else (0.0, np.inf)
    ends = min(max(tensor.low, low), high), min(max(tensor.high, low), high)
    if tensor.quantized:
        return _clipped_codes(walk, node, tensor, low, high, ends)
    return _clipped(walk, node, tensor, low, high, ends)


def leaky(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of LeakyRelu and PRelu."""
    tensor = walk.real_map(node, inputs[0])
    slope = np.array([node.attribute("alpha")], np.float32) if node.kind == "LeakyRelu" else None
    if slope is None:
        tensor, given = walk.tensor(node, tensor), inputs[1]
        assert isinstance(given, Constant)
        if given.value.dtype != np.float32 or not np.isfinite(given.value).all():
            raise FormatError(f"{node}: its slopes must be finite float32 numbers")
        slope = per_channel(node, given.value, tensor)
    name = walk.stack.add(Leaky(walk.stack.name(node.name), slope, tensor.layer))
    walk.report.used(node.name, "leaky ReLU", walk.arrays(node))
    low = min(tensor.low, 0.0) * float(slope.max())
    return replace(tensor, layer=name, quantized=False, low=low, high=max(tensor.high, 0.0))


def hard_sigmoid(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of HardSigmoid: ``max(0, min(1, alpha * x + beta))``."""
    tensor = walk.real_map(node, inputs[0])
    alpha, beta = (np.float32(node.attribute(name)) for name in ("alpha", "beta"))
    if not np.isfinite([alpha, beta]).all():
        raise FormatError(f"{node}: alpha={alpha}, beta={beta} cannot be converted")
    scaled = Scale(walk.stack.name(f"{node.name}_scaled"), alpha, beta, tensor.layer)
    walk.stack.add(scaled)
    name = walk.stack.add(Clip(walk.stack.name(node.name), 0.0, 1.0, scaled.name))
    walk.report.used(node.name, "hard sigmoid")
    return replace(tensor, layer=name, quantized=False, low=0.0, high=1.0)


def _clipped(
    walk: Walk, node: Op, tensor: Tensor, low: float, high: float, ends: tuple[float, float]
) -> Tensor:
    name = walk.stack.add(Clip(walk.stack.name(node.name), low, high, tensor.layer))
    walk.report.used(node.name, f"clip to {low:g} .. {high:g}")
    return replace(tensor, layer=name, quantized=False, low=ends[0], high=ends[1])


def _bounds(node: Op, inputs: Inputs) -> tuple[float, float]:
    """Return the lower and the upper bound of a Clip; an omitted bound is infinite.

    They are attributes in version 6 of Clip, and inputs in later versions.
    """
    given = [node.attribute("min"), node.attribute("max")]
    for index, item in enumerate(inputs[1:3]):
        if isinstance(item, Constant):
            if item.value.size != 1 or item.value.ndim > 1 or item.value.dtype != np.float32:
                raise FormatError(f"{node}: its bounds must be single float32 numbers")
            given[index] = item.value.item()
    low = -np.inf if given[0] is None else float(given[0])
    high = np.inf if given[1] is None else float(given[1])
    if not low <= high:
        raise FormatError(f"{node}: its lower bound {low} must not exceed its upper bound {high}")
    return low, high


def _clipped_codes(
    walk: Walk, node: Op, tensor: Tensor, low: float, high: float, ends: tuple[float, float]
) -> Tensor:
    """Return the quantized tensor, clipped: an activation with the levels between the bounds.

    If a bound is between two levels, return the result of a layer for real values.
    """
    made = activation_of(walk, tensor)
    levels = np.arange(made.levels + 1)
    values = (made.base + made.step * levels).astype(np.float32) * np.float32(made.scale)
    kept = np.flatnonzero((np.float32(low) <= values) & (values <= np.float32(high)))
    below = kept.size > 0 and (kept[0] == 0 or np.float32(low) == values[kept[0]])
    above = kept.size > 0 and (kept[-1] == made.levels or np.float32(high) == values[kept[-1]])
    if not below or not above:
        # The bound is between two values: the result has no common scale.
        return _clipped(walk, node, tensor, low, high, ends)
    base = made.base + made.step * int(kept[0])
    middles = [(base + made.step * (i - 0.5)) * made.scale for i in range(1, kept.size)]
    table = np.array(middles or [np.inf], np.float32)[None, :]
    name = walk.stack.name(node.name)
    walk.stack.add(MultiThreshold(name, table, made.scale, made.step, base, tensor.layer))
    walk.report.used(node.name, f"clip to {low:g} .. {high:g}, {kept.size} levels")
    return replace(tensor, layer=name, low=ends[0], high=ends[1])


def activation_of(walk: Walk, tensor: Tensor) -> Any:
    """Return the activation layer that makes the values of ``tensor``.

    Max pools and flattening after this layer do not change the values. If no layer makes them,
    return the values of the network's input.
    """
    by_name = {layer.name: layer for layer in walk.stack.layers}
    layer = by_name.get(tensor.layer)
    while isinstance(layer, MaxPool | Flatten):
        before = layer.source
        layer = by_name.get(before)
    if layer is None:
        return _InputLevels(walk.input, walk.lattice)
    return layer


class _InputLevels:
    """The values of the network's input, with the attributes that an activation layer has."""

    def __init__(self, given: Input | None, lattice: Lattice) -> None:
        assert given is not None
        precision = given.precision
        self.scale = lattice.scale
        bipolar = precision.kind == "bipolar"
        self.step = lattice.step * (2 if bipolar else 1)
        self.base = lattice.step * precision.low + lattice.base
        self.levels = 1 if bipolar else precision.high - precision.low

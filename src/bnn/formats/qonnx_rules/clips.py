# SPDX-License-Identifier: BSD-3-Clause
"""Rules of Relu and Clip: on real values a layer, on quantized ones fewer levels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bnn.formats.onnx_file import Node
from bnn.formats.onnx_fold import Constant
from bnn.formats.qonnx_tensor import Tensor
from bnn.formats.qonnx_walk import Inputs, Walk
from bnn.inputs import Input
from bnn.network import Clip, Flatten, Lattice, MaxPool, MultiThreshold


def clip(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """Relu, Clip."""
    tensor = walk.real_map(node, inputs[0])
    low, high = 0.0, np.inf
    if node.kind == "Clip":
        bounds = [item.value.item() if isinstance(item, Constant) else None for item in inputs[1:]]
        bounds += [None] * (2 - len(bounds))
        low = float(node.attributes.get("min", -np.inf) if bounds[0] is None else bounds[0])
        high = float(node.attributes.get("max", np.inf) if bounds[1] is None else bounds[1])
    if tensor.quantized:
        return _clipped_codes(walk, node, tensor, low, high)
    name = walk.stack.add(Clip(walk.stack.name(node.name), low, high, tensor.layer))
    walk.report.used(node.name, f"clip to {low:g} .. {high:g}")
    return replace(tensor, layer=name, quantized=False, nonnegative=low >= 0)


def _clipped_codes(walk: Walk, node: Node, tensor: Tensor, low: float, high: float) -> Tensor:
    """A clipped quantized tensor is quantized still, with fewer levels."""
    made = _activation_of(walk, tensor)
    scale = float(np.float32(made.scale))
    values = [made.base + made.step * level for level in range(made.levels + 1)]
    kept = [v for v in values if low <= v * scale <= high]
    below = bool(kept) and (low <= values[0] * scale or low == kept[0] * scale)
    above = bool(kept) and (high >= values[-1] * scale or high == kept[-1] * scale)
    name = walk.stack.name(node.name)
    if not below or not above:
        # A bound between two values: the tensor is no longer on one scale.
        walk.stack.add(Clip(name, low, high, tensor.layer))
        walk.report.used(node.name, f"clip to {low:g} .. {high:g}")
        return replace(tensor, layer=name, quantized=False, nonnegative=low >= 0)
    middles = [(v - made.step / 2) * scale for v in kept[1:]] or [np.inf]
    table = np.array(middles, np.float32)[None, :]
    walk.stack.add(MultiThreshold(name, table, scale, made.step, kept[0], tensor.layer))
    walk.report.used(node.name, f"clip to {low:g} .. {high:g}, {len(kept)} levels")
    return replace(tensor, layer=name, nonnegative=low >= 0)


def _activation_of(walk: Walk, tensor: Tensor) -> Any:
    """The activation layer whose values ``tensor`` has, pools and flattening aside."""
    by_name = {layer.name: layer for layer in walk.stack.layers}
    layer = by_name.get(tensor.layer)
    while isinstance(layer, MaxPool | Flatten):
        before = layer.source
        layer = by_name.get(before)
    if layer is None:
        return _InputLevels(walk.input, walk.lattice)
    return layer


class _InputLevels:
    """The input's values as an activation has them."""

    def __init__(self, given: Input | None, lattice: Lattice) -> None:
        assert given is not None
        precision = given.precision
        self.scale = lattice.scale
        bipolar = precision.kind == "bipolar"
        self.step = lattice.step * (2 if bipolar else 1)
        self.base = lattice.step * precision.low + lattice.base
        self.levels = 1 if bipolar else precision.high - precision.low

# SPDX-License-Identifier: BSD-3-Clause
"""Rules of quantizers and thresholds: real values become integers on a lattice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.onnx_file import Node
from bnn.formats.onnx_fold import Constant
from bnn.formats.qonnx_input import quantized_input, thresholded_input
from bnn.formats.qonnx_quant import activation, float_thresholds, quantizer, trunc_levels
from bnn.formats.qonnx_tensor import RawInput, Tensor, ordered, per_channel
from bnn.formats.qonnx_walk import Inputs, Walk
from bnn.network import Lattice, MultiThreshold, Sign

Array = NDArray[Any]


def quantize(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """Quant, IntQuant, BipolarQuant: an activation, or the input's own quantizer."""
    source, *parameters = inputs
    constants = [item for item in parameters if isinstance(item, Constant)]
    if len(constants) != len(parameters):
        raise FormatError(f"{node}: its scale, zero point and bit width must be constants")
    given = quantizer(node, [Constant(np.zeros(0)), *constants])
    if isinstance(source, RawInput) and walk.chosen is None:
        fed = quantized_input(given, source)
        if fed is not None:
            walk.lattice = fed.lattice
            made = walk.fed(fed.input, source)
            return replace(made, nonnegative=given.low >= 0)
    one = given.scale.size == 1
    tensor = walk.real_map(node, source) if one else walk.real(node, source)
    if not given.bipolar and given.high - given.low > 255 and walk.is_last(node):
        levels = given.high - given.low + 1
        walk.report.lost.append(f"{node}: rounding of the scores to {levels} levels")
        return tensor
    channels = replace(given, scale=per_channel(node, given.scale, tensor))
    layer = activation(walk.stack.name(node.name), channels, tensor.layer)
    walk.stack.add(layer)
    walk.report.used(node.name, f"quantizer, {layer.levels + 1} levels")
    nonnegative = given.low >= 0 and not given.zero_point.any()
    return replace(tensor, layer=layer.name, quantized=True, nonnegative=nonnegative)


def trunc(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """Trunc: low bits dropped, as thresholds."""
    source, *parameters = inputs
    tensor = walk.real(node, source)
    values = [item.value for item in parameters if isinstance(item, Constant)]
    if len(values) != len(parameters) or len(values) < 4:
        raise FormatError(f"{node}: its parameters must be constants")
    integers, low, high, scale, offset = trunc_levels(node, values, tensor.nonnegative)
    if high - low > 255:
        raise FormatError(f"{node}: activations have at most 8 bits")
    table = float_thresholds(lambda x: integers(x) - low, high - low)[None, :]
    return _thresholds(walk, node, tensor, table, scale, scale * low + offset)


def multi_threshold(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """MultiThreshold: as it is, or the input's own quantizer."""
    if isinstance(inputs[0], RawInput) and walk.chosen is None and not walk.graph.datatype:
        scale, offset = _outputs(node)
        fed = thresholded_input(inputs[0], inputs[1], Lattice.of(scale, offset, node.name))
        if fed is not None:
            walk.lattice = fed.lattice
            return replace(walk.fed(fed.input, inputs[0]), nonnegative=offset >= 0)
    tensor = walk.real(node, inputs[0])
    if len(inputs) < 2 or not isinstance(inputs[1], Constant):
        raise FormatError(f"{node}: its thresholds must be constants")
    table = inputs[1].value
    layout = node.attributes.get("data_layout", "")
    axis = layout.index("C") if "C" in layout else 1
    if axis >= len(tensor.axes) or tensor.axes[axis] != "C":
        raise FormatError(f"{node}: compares along axis {axis}, which is not the channels'")
    if table.ndim != 2 or len(table) not in (1, tensor.channels):
        raise FormatError(f"{node}: thresholds of shape {table.shape} do not fit the tensor")
    rows = np.sort(ordered(table, tensor), axis=1)  # their count has no order
    return _thresholds(walk, node, tensor, rows, *_outputs(node))


def sign(walk: Walk, node: Node, inputs: Inputs) -> Tensor:
    """Sign."""
    tensor = walk.real_map(node, inputs[0])
    name = walk.stack.add(Sign(walk.stack.name(node.name), at_zero=0, source=tensor.layer))
    walk.report.used(node.name, "sign, 0 at 0")
    return replace(tensor, layer=name, quantized=True, nonnegative=False)


def _thresholds(
    walk: Walk, node: Node, tensor: Tensor, table: Array, scale: float, offset: float
) -> Tensor:
    turned = -1.0 if scale < 0 else 1.0  # the next layer's weights take the sign in
    lattice = Lattice.of(turned * scale, turned * offset, node.name)
    walk.report.used(node.name, f"{table.shape[1]} thresholds", walk.arrays(node))
    name = walk.stack.name(node.name)
    walk.stack.add(
        MultiThreshold(name, table, lattice.scale, lattice.step, lattice.base, tensor.layer)
    )
    most = max(0.0, -scale * table.shape[1])
    return replace(tensor, layer=name, quantized=True, gain=turned, nonnegative=offset >= most)


def _outputs(node: Node) -> tuple[float, float]:
    """Scale and offset of a MultiThreshold's outputs."""
    attributes = node.attributes
    return float(attributes.get("out_scale", 1.0)), float(attributes.get("out_bias", 0.0))

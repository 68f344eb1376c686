# SPDX-License-Identifier: BSD-3-Clause
"""Rules of quantizers and thresholds: real values become evenly spaced integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.qonnx import quantizers as qonnx_quant
from bnn.formats.qonnx.axes import threshold_axis
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.input import Fed, is_exact, quantized_input, thresholded_input
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.quantizers import activation, float_thresholds, quantizer
from bnn.formats.qonnx.tensor import RawInput, Tensor, ordered, per_channel
from bnn.formats.qonnx.walk import Inputs, Walk
from bnn.network.network import Activation, Lattice, MultiThreshold, Scale, Sign

Array = NDArray[Any]


def quantize(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of Quant, IntQuant and BipolarQuant.

    The node becomes an activation, or the quantizer of the input.
    """
    source, *parameters = inputs
    constants = [item for item in parameters if isinstance(item, Constant)]
    if len(constants) != len(parameters):
        raise FormatError(f"{node}: its scale, zero point and bit width must be constants")
    _check_ranks(node, source, constants)
    given = quantizer(node, [Constant(np.zeros(0)), *constants])
    if isinstance(source, RawInput) and walk.chosen is None:
        fed = quantized_input(given, source)
        if fed is not None:
            step = 2 if given.bipolar else 1
            levels = (given.high - given.low) // step
            return _fed(
                walk, node, fed, source, lambda x: (given.integers(x) - given.low) / step, levels
            )
    one = given.scale.size == 1
    tensor = walk.real_map(node, source) if one else walk.real(node, source)
    if not given.bipolar and given.high - given.low > 255 and walk.is_last(node):
        levels = given.high - given.low + 1
        walk.report.lost.append(f"{node}: rounding of the scores to {levels} levels")
        return tensor
    channels = replace(
        given,
        scale=per_channel(node, given.scale, tensor),
        zero_point=per_channel(node, given.zero_point, tensor),
    )
    if np.unique(channels.scale).size > 1:
        return _by_channel(walk, node, tensor, channels)
    layer = activation(walk.stack.name(node.name), channels, tensor.layer)
    walk.report.used(node.name, f"quantizer, {layer.levels + 1} levels")
    return _quantized(walk, tensor, layer)


def _by_channel(walk: Walk, node: Op, tensor: Tensor, given: qonnx_quant.Quant) -> Tensor:
    """Add a quantizer with a scale per channel as three layers: divide, quantize, multiply."""
    scale = given.scale
    divided = walk.stack.add(
        Scale(walk.stack.name(f"{node.name}_divided"), divisor=scale, source=tensor.layer)
    )
    plain = replace(given, scale=np.ones(1, np.float32))
    layer = activation(walk.stack.name(f"{node.name}_whole"), plain, divided)
    walk.report.used(node.name, f"quantizer by channel, {layer.levels + 1} levels")
    whole = _quantized(walk, tensor, layer)
    return walk.scaled(node, whole, ("Mul", scale, False))


def trunc(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of Trunc, which drops low bits: it becomes thresholds."""
    source, *parameters = inputs
    _check_ranks(node, source, parameters)
    tensor = walk.real(node, source)
    values = [item.value for item in parameters if isinstance(item, Constant)]
    given = qonnx_quant.trunc(node, values, tensor.low, tensor.high)
    levels = given.high - given.low
    table = float_thresholds(lambda x: given.integers(x) - given.low, levels)[None, :]
    return _thresholds(
        walk, node, tensor, table, given.scale, given.scale * given.low + given.offset
    )


def multi_threshold(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of MultiThreshold: an activation, or the input's quantizer."""
    source, thresholds = inputs
    assert isinstance(thresholds, Constant)
    scale, offset = float(node.attribute("out_scale")), float(node.attribute("out_bias"))
    if scale == 0 or not np.isfinite([scale, offset]).all():
        raise FormatError(f"{node}: out_scale={scale}, out_bias={offset} cannot be converted")
    if np.isnan(thresholds.value).any():
        raise FormatError(f"{node}: a threshold is not a number")
    fresh = isinstance(source, RawInput) and walk.chosen is None and not walk.graph.datatype
    if isinstance(source, RawInput) and fresh and scale > 0:
        fed = thresholded_input(source, thresholds, Lattice.of(scale, offset, node.name))
        if fed is not None:
            row = _at_least(thresholds.value[0])
            return _fed(walk, node, fed, source, lambda x: (x[..., None] >= row).sum(-1), row.size)
    tensor = walk.real(node, source)
    table = thresholds.value
    axis = threshold_axis(node, len(tensor.axes))
    if axis >= len(tensor.axes) or tensor.axes[axis] != "C":
        raise FormatError(f"{node}: compares along axis {axis}, which is not the channels'")
    if table.ndim != 2 or len(table) not in (1, tensor.channels):
        raise FormatError(f"{node}: thresholds of shape {table.shape} do not fit the tensor")
    rows = np.sort(_at_least(ordered(table, tensor)), axis=1)  # the count is the same
    return _thresholds(walk, node, tensor, rows, scale, offset)


def sign(walk: Walk, node: Op, inputs: Inputs) -> Tensor:
    """Rule of Sign."""
    tensor = walk.real_map(node, inputs[0])
    layer = Sign(walk.stack.name(node.name), at_zero=0, source=tensor.layer)
    walk.report.used(node.name, "sign, 0 at 0")
    return _quantized(walk, tensor, layer)


def _check_ranks(node: Op, source: Any, parameters: Any) -> None:
    """Refuse parameters with more axes than the tensor: the result would have more axes too."""
    for item in parameters:
        if isinstance(item, Constant) and item.value.ndim > len(source.axes):
            raise FormatError(
                f"{node}: a parameter of shape {item.value.shape} has more axes than its input"
            )


def _at_least(table: Array) -> Array:
    """Return for each threshold T the smallest float32 that is at least T.

    A float32 x reaches this number if and only if it reaches T.
    """
    near = table.astype(np.float32)
    return np.where(near < table, np.nextafter(near, np.float32(np.inf)), near)


def _fed(walk: Walk, node: Op, fed: Fed, raw: RawInput, level: Any, levels: int) -> Tensor:
    """Return the network's input, quantized by the host in the same way as by ``node``.

    If rounding in float32 can make a difference, the report says so.
    """
    if not is_exact(fed.input, raw, level, levels):
        walk.report.lost.append(
            f"{node}: the input's scaling and this quantizer are done in one; inputs within "
            "float32's rounding of a step may fall on its other side"
        )
    walk.lattice = fed.lattice
    return walk.fed(fed.input, raw)


def _quantized(walk: Walk, tensor: Tensor, layer: Activation) -> Tensor:
    """Add the activation ``layer``, which reads ``tensor``, and return its result."""
    name = walk.stack.add(layer)
    ends = [layer.scale * (layer.base + layer.step * level) for level in (0, layer.levels)]
    return replace(tensor, layer=name, quantized=True, steps=(), low=ends[0], high=ends[1])


def _thresholds(
    walk: Walk, node: Op, tensor: Tensor, table: Array, scale: float, offset: float
) -> Tensor:
    """Add a layer of thresholds, and return its result: ``scale * count + offset``.

    ``count`` is the number of thresholds reached. If ``scale`` is negative, the input is negated
    first, so that the layer rises.
    """
    walk.report.used(node.name, f"{table.shape[1]} thresholds", walk.arrays(node))
    source = tensor.layer
    if scale < 0:
        # x < T is -x >= (the next float32 after -T): thresholds that are not reached are counted.
        source = walk.stack.add(
            Scale(walk.stack.name(f"{node.name}_turned"), np.float32(-1), source=source)
        )
        table = np.nextafter(-table, np.float32(np.inf))[:, ::-1]
        offset, scale = offset + scale * table.shape[1], -scale
    lattice = Lattice.of(scale, offset, node.name)
    name = walk.stack.name(node.name)
    layer = MultiThreshold(name, table, lattice.scale, lattice.step, lattice.base, source)
    return _quantized(walk, tensor, layer)

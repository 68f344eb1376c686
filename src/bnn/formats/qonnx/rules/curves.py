# SPDX-License-Identifier: BSD-3-Clause
"""Chains of operations on each value alone, as one function that must have few values.

Exporters write a quantizer as several operations: comparisons, Where, casts, rounding, and the
straight-through ``x + (q - x)``. Here such a chain is one function of the layer whose values it
reads. When an operation outside the chain reads the result, the function is evaluated in float32,
in the graph's order of operations, and becomes thresholds. The function must only rise or only
fall, and have at most 256 values.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from bnn.errors import FormatError, NetworkError
from bnn.formats.grids import real_input
from bnn.formats.qonnx.constants import COMPARED, Constant, along_axis, elementwise, kind_of
from bnn.formats.qonnx.input import Fed, is_exact, thresholded_input
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.quantizers import QUANTS, quantizer
from bnn.formats.qonnx.steps import Staircase, StepsError, explored
from bnn.formats.qonnx.tensor import Array, Curve, Function, RawInput, Tensor, done, per_channel
from bnn.formats.qonnx.walk import Inputs, Value, Walk
from bnn.network.arithmetic import real_layer
from bnn.network.network import (
    BatchNorm,
    Clip,
    Lattice,
    Layer,
    MultiThreshold,
    Quantize,
    Scale,
    Sign,
)
from bnn.program.precision import INT, UINT

_LINEAR = ("QuantizeLinear", "DequantizeLinear")
#: Comparisons and choices, which are understood as parts of such a chain only.
STARTING = (
    *("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Not", "And", "Or", "Xor"),
    *("Where", "Floor", "Ceil", "Round", "Neg", "Abs", "Max", "Min", "Tanh", "HardSwish"),
    *_LINEAR,
)
#: What may follow a sigmoid at the end.
_UNCHANGED = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Transpose")
#: Most turning points of a chain, see :func:`_turns`.
MAX_POINTS = 256
#: Operators that may continue a chain.
CURVED = {
    *STARTING,
    *("Add", "Sub", "Mul", "Div", "Clip", "Relu", "Sign", "Cast", "Identity"),
    *QUANTS,
    "Sigmoid",
}


def goes_on(walk: Walk, node: Op, inputs: Inputs) -> bool:
    """Return whether ``node`` begins or continues a chain."""
    if node.kind == "Sigmoid":
        return not _ends(walk, node)
    if node.kind in STARTING:
        return True
    tensors = [item for item in inputs if isinstance(item, Tensor | RawInput | Curve)]
    if node.kind not in CURVED:
        return False
    if len(tensors) > 1 and node.kind in ("Add", "Sub", "Mul", "Div"):
        # A chain with another beginning is another layer; so is the sum of two layers.
        is_plain = node.kind == "Add" and not any(isinstance(item, Curve) for item in tensors)
        return not is_plain and _joined(walk, [as_curve(node, item) for item in tensors]) != []
    return any(isinstance(item, Curve) for item in inputs)


def _ends(walk: Walk, node: Op) -> bool:
    """Return whether ``node`` is the end of the network: only reshapes and casts follow."""
    readers = [later for later in walk.nodes if set(node.outputs) & set(later.inputs)]
    return all(later.kind in _UNCHANGED and _ends(walk, later) for later in readers)


def start(walk: Walk, node: Op, inputs: Inputs) -> Curve:
    """Return what ``node`` computes, as a function of the one tensor that all its inputs depend on.

    Raises:
        FormatError: the inputs depend on several tensors, or a constant differs between positions.
    """
    places = [
        index
        for index, item in enumerate(inputs)
        if item is not None and not isinstance(item, Constant)
    ]
    joined = _joined(walk, [as_curve(node, inputs[index]) for index in places])
    if not joined:
        raise FormatError(
            f"{node}: of two tensors only the sum can be converted; other operations only if both "
            "are functions of the same tensor, value by value"
        )
    first = joined[0]
    parts: list[Function | None] = []
    for index, item in enumerate(inputs):
        if isinstance(item, Constant):
            parts.append(_constant(node, item.value, first))
        else:
            parts.append(joined[places.index(index)].function if index in places else None)
    made = _function(node, parts, inputs)
    points = tuple(point for curve in joined for point in curve.points)
    points = (*points, *_turns(node, parts))
    if len(points) > MAX_POINTS:
        raise FormatError(
            f"{node}: ends a chain of operations with more than {MAX_POINTS} comparisons; that "
            "cannot be converted"
        )
    return replace(first, function=made, made=str(node), points=points)


def as_curve(node: Op, value: Value | None) -> Curve:
    """Return ``value`` as a curve.

    A tensor becomes the function that its pending operations compute of its layer's values.
    """
    if isinstance(value, Curve):
        return value
    if isinstance(value, RawInput):
        plain = replace(value, factor=np.ones(1), offset=np.zeros(1), steps=())
        return Curve(plain, value.scaled)
    assert isinstance(value, Tensor)
    if value.ending or any(value.padding) or value.patches:
        raise FormatError(f"{node}: follows a softmax, Pad or the like; that cannot be converted")
    steps = value.steps
    low, high = value.low, value.high
    if steps:
        at_zero, slope = value.shift, value.gain
        low, high = (low - at_zero) / slope, (high - at_zero) / slope
    base = replace(value, steps=(), low=low, high=high)
    return Curve(base, lambda x: _all_done(steps, x))


def _joined(walk: Walk, curves: list[Curve]) -> list[Curve]:
    """Return the curves as functions of the same layer; [] if they do not depend on a common one.

    It is the last layer on which all of them depend.
    """
    first = curves[0]
    if isinstance(first.base, RawInput):
        return curves if all(_is_alike(curve.base, first.base) for curve in curves) else []
    if not all(_is_alike(curve.base, first.base) for curve in curves):
        return []
    beginnings = [_beginnings(walk, curve) for curve in curves]
    name = next((one for one in beginnings[0] if all(one in rest for rest in beginnings)), None)
    return [] if name is None else [known[name] for known in beginnings]


def _is_alike(one: Tensor | RawInput, two: Tensor | RawInput) -> bool:
    """Return whether both tensors have the same shape, and their elements in the same order."""
    if isinstance(one, Tensor) != isinstance(two, Tensor):
        return False
    same_order = one.order is two.order or (
        one.order is not None and two.order is not None and np.array_equal(one.order, two.order)
    )
    flat = [item.flat != "" for item in (one, two) if isinstance(item, Tensor)]
    return (one.shape, one.axes, flat[:1]) == (two.shape, two.axes, flat[1:]) and same_order


def _beginnings(walk: Walk, curve: Curve) -> dict[str, Curve]:
    """Return the curve as a function of its base, and of each layer before the base.

    The result has the name of the layer -> the curve as a function of this layer. It begins with
    the base, and ends before the first layer that is not a function of each value alone.
    """
    by_name = {layer.name: layer for layer in walk.stack.layers}
    base = curve.base
    assert isinstance(base, Tensor)
    found = {base.layer: curve}
    while (layer := by_name.get(base.layer)) is not None:
        of_each = _of_each(layer)
        name = _source(walk, layer)
        if of_each is None or name not in walk.bounds:
            break
        low, high = walk.bounds[name]
        base = replace(base, layer=name, low=low, high=high, quantized=name in walk.quantized)
        points = tuple(_after(of_each, point) for point in curve.points)
        function = _after(of_each, curve.function)
        curve = replace(curve, base=base, function=function, points=points)
        found[name] = curve
    return found


def _after(first: Function, then: Function) -> Function:
    return lambda x: then(first(x))


def _source(walk: Walk, layer: Layer) -> str:
    if layer.source:
        return layer.source
    place = walk.stack.layers.index(layer)
    return walk.stack.layers[place - 1].name if place else "input"


def width(walk: Walk, curve: Curve) -> int:
    """Return the number of channels of the curve's function.

    If the base is a flattened map, it is the number of channels of the map.
    """
    base = curve.base
    if isinstance(base, Tensor) and base.flat:
        return walk.channels.get(base.layer, base.channels)
    return base.channels


def _all_done(steps: Any, x: Array) -> Array:
    for step in steps:
        x = done(step, x)
    return x


def _of_each(layer: Layer) -> Function | None:
    """Return the function that ``layer`` computes of each value; it takes (n, channels).

    Return None if a result of the layer depends on several values.
    """
    match layer:
        case BatchNorm() | Scale() | Clip():
            return lambda x: real_layer(layer, x)
        case Sign() | Quantize() | MultiThreshold():
            return lambda x: (
                (layer.base + layer.step * layer.level(x)).astype(x.dtype)
                * (x.dtype.type(layer.scale))
            )
    return None


def _constant(node: Op, value: Array, first: Curve) -> Function:
    """Return a constant as a function of values (n, channels), whose result is always the constant.

    ``first`` is the curve with which the constant is combined.
    """
    if node.kind in _LINEAR:
        value = along_axis(node, value, len(first.axes))
    value = per_channel(node, value, first)
    if value.size == 1:
        return lambda _: value.reshape(())
    if node.kind == "Clip":
        raise FormatError(f"{node}: its bounds must be single numbers")
    if isinstance(first.base, Tensor) and first.base.flat:
        raise FormatError(f"{node}: a constant differs from element to element of a flattened map")
    return lambda x: np.broadcast_to(value, x.shape)


def _function(node: Op, parts: list[Function | None], inputs: Inputs) -> Function:
    """Return the function of ``x`` that ``node`` computes, from the functions of its inputs."""
    if node.kind in QUANTS:
        constants = [item for item in inputs[1:] if isinstance(item, Constant)]
        given = quantizer(node, [Constant(np.zeros(0)), *constants])
        if given.scale.size > 1 or given.zero_point.size > 1:
            raise FormatError(
                f"{node}: a scale or zero point per channel cannot be converted inside a chain of "
                "operations"
            )
        scale, zero = given.scale.reshape(()), given.zero_point.reshape(())
        return lambda x: (given.integers(_of(parts[0], x)) - zero) * scale
    if node.kind == "Cast":
        kind = kind_of(node, with_bool=True)
        return lambda x: _cast(node, _of(parts[0], x), kind)
    return lambda x: elementwise(node, [None if one is None else one(x) for one in parts])


def _of(part: Function | None, x: Array) -> Array:
    assert part is not None
    return part(x)


def _cast(node: Op, x: Array, kind: np.dtype[Any]) -> Array:
    if kind.kind in "iu":
        info = np.iinfo(kind)
        whole = np.trunc(x.astype(np.float64))
        if whole.size and (whole.min() < info.min or whole.max() > info.max):
            raise FormatError(f"{node}: casts values to {kind.name} that may be outside its range")
    return x.astype(kind)


def _turns(node: Op, parts: list[Function | None]) -> list[Function]:
    """Return a function for each turning point of ``node``: -1 below, 0 at and 1 above the point.

    Between two neighbouring turning points ``node`` only rises or only falls. Therefore samples at
    these points show whether the whole chain only rises or only falls.
    """
    given = [part for part in parts if part is not None]
    if node.kind == "HardSwish":  # it falls from -3 to -1.5
        ends = (-3.0, -1.5, 3.0)
        return [_side(given[0], lambda x, end=end: np.full((), end, x.dtype)) for end in ends]  # type: ignore[misc]
    if node.kind in ("Abs", "Sign", "Relu"):
        return [_side(given[0], lambda x: np.zeros((), x.dtype))]
    if node.kind in COMPARED or node.kind in ("Clip", "Max", "Min"):
        return [_side(given[0], other) for other in given[1:]]
    return []


def _side(one: Function, two: Function) -> Function:
    return lambda x: np.sign(one(x).astype(np.float64) - two(x).astype(np.float64))


# --- the end of a chain --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Held:
    """A staircase with evenly spaced values: ``scale * (base + step * level)``."""

    table: Array
    lattice: Lattice


def settled(walk: Walk, node: Op, curve: Curve) -> Tensor:
    """Return the result of the chain, which becomes an activation; ``node`` reads the result.

    Raises:
        FormatError: the chain rises in some places and falls in others, has more than 256 values,
            or its values are not evenly spaced.
    """
    _, known = walk.settled.get(id(curve), (curve, None))
    if known is None:
        known = _settled(walk, node, curve)
        walk.settled[id(curve)] = curve, known
    return known


def _settled(walk: Walk, node: Op, curve: Curve) -> Tensor:
    base = curve.base
    if isinstance(base, RawInput):
        if walk.chosen is None:
            fed = _host(walk, node, curve, base)
            if fed is not None:
                return fed
        tensor = walk.on_map(node, base)
    else:
        tensor = base
    span = (tensor.low, tensor.high)
    try:
        stairs = explored(curve.function, width(walk, curve), span, curve.points)
    except StepsError as error:
        raise FormatError(f"{curve.made}: its result {error}; put a quantizer after it") from None
    _note(walk, node, stairs)
    source = tensor.layer
    if stairs.falls.any():
        signs = np.where(stairs.falls, -1, 1).astype(np.float32)
        signs = signs[:1] if (signs == signs[0]).all() else signs
        turned = Scale(walk.stack.name(f"{node.name}_turned"), signs, source=source)
        source = walk.stack.add(turned)
    held = _held(node, stairs)
    made = MultiThreshold(
        walk.stack.name(f"{node.name}_steps"),
        held.table,
        held.lattice.scale,
        held.lattice.step,
        held.lattice.base,
        source,
    )
    walk.report.used(made.name, f"{made.levels + 1} values of a chain of operations")
    ends = [made.scale * (made.base + made.step * level) for level in (0, made.levels)]
    name = walk.stack.add(made)
    return replace(
        tensor, layer=name, quantized=True, steps=(), low=ends[0], high=ends[1], kind="float32"
    )


def _note(walk: Walk, node: Op, stairs: Staircase) -> None:
    if stairs.noise:
        walk.report.lost.append(
            f"{node}: what it reads is a quantized value up to {stairs.noise:.1g} by which "
            "float32 rounds a sum such as x + (q - x); taken as that value"
        )


def _held(node: Op, stairs: Staircase) -> _Held:
    values = stairs.values
    # The smallest step is rounded most; the whole span says how long the steps are.
    span = float(values[-1] - values[0])
    unit = span / max(1.0, float(np.rint(span / np.diff(values).min())))
    places = (values - values[0]) / unit
    whole = np.rint(places)
    if np.abs(places - whole).max() > 1e-3 or whole[-1] > 255:
        raise FormatError(f"{node}: reads values that are not evenly spaced: {values[:4].tolist()}")
    # A step over several values at once is as many thresholds.
    table = np.repeat(stairs.table, np.diff(whole).astype(int), axis=1)
    table = table[:1] if (table == table[:1]).all() else table
    try:
        lattice = Lattice.of(unit, float(values[0]), node.name)
    except NetworkError as error:
        raise FormatError(f"{node}: {error}") from None
    return _Held(table.astype(np.float32), lattice)


def _host(walk: Walk, node: Op, curve: Curve, raw: RawInput) -> Tensor | None:
    """Return the input, quantized by the host in the same way as by the chain ``curve``.

    Return None if the host cannot compute this chain exactly.
    """
    largest = float(np.finfo(np.float32).max)
    span = (-largest, largest)
    try:
        stairs = explored(curve.function, raw.channels, span, curve.points, is_rounded=False)
        held = _held(node, stairs)
    except (StepsError, FormatError):
        return None
    if stairs.falls.any() or len(held.table) > 1 or not np.isfinite(held.table).all():
        return None
    count = held.table.shape[1]
    for fed in _hosts(raw, held):
        if is_exact(fed.input, raw, lambda x: _levels(x, held.table), count):
            walk.lattice = fed.lattice
            return walk.fed(fed.input, raw)
    return None


def _hosts(raw: RawInput, held: _Held) -> Iterator[Fed]:
    """Yield input quantizers of the host that may equal ``held``; the caller compares them."""
    count, lattice, row = held.table.shape[1], held.lattice, held.table[0].astype(np.float64)
    if count == 1:
        fed = thresholded_input(raw, Constant(held.table), lattice)
        if fed is not None:
            yield fed
        return
    kinds = [UINT(bits) for bits in range(1, 9)] + [INT(bits) for bits in range(2, 9)]
    kinds += [INT(bits, narrow=True) for bits in range(2, 9)]
    scales = (lattice.scale * lattice.step, float(np.diff(row).mean()))
    for precision, scale in itertools.product(kinds, scales):
        if precision.high - precision.low != count or scale <= 0:
            continue
        zero = round(precision.low + 0.5 - row[0] / scale)
        roundings: tuple[Literal["even", "up"], ...] = ("even", "up")
        for rounding in roundings:
            host = real_input(raw.given_shape, precision, scale, zero, rounding)
            base = lattice.base - lattice.step * precision.low
            yield Fed(host, Lattice(lattice.scale, lattice.step, base))


def _levels(x: Array, table: Array) -> Array:
    return np.asarray((x[..., None] >= table).sum(-1))

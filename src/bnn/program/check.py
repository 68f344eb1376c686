# SPDX-License-Identifier: BSD-3-Clause
"""What is legal in a program, and the proof that no accumulator overflows.

Bounds are an interval of integers for each edge, computed from the intervals of the edges before.
The interval of a dot is exact for all inputs in the interval of its source, row by row, and
contains every partial sum in any order: its ends are the sum of the negative products and the sum
of the positive products, with or without the bias.

A vector that a scan carries has the bounds of its declared precision. The check proves that the
vector that the body makes for the next column has values of this precision again. So the bounds are
true for any number of columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bnn._typing import assert_never
from bnn.errors import ProgramError
from bnn.program.operations import (
    INPUT,
    MAX_COUNTED_LEVELS,
    MAX_EDGE_VALUES,
    MAX_PARAMETERS,
    MAX_PROGRAM_VALUES,
    MAX_VALUE_BITS,
    MAX_WORK,
    OVERFLOWS,
    ROUNDINGS,
    RULES,
    Add,
    ArgMax,
    Borders,
    Carried,
    Concat,
    Dot,
    Edge,
    Multiply,
    Op,
    Pair,
    Pool,
    Rescale,
    Scan,
    Threshold,
    Window,
    each_op,
)
from bnn.program.precision import BIPOLAR, INT, MAX_BITS, UINT, Precision
from bnn.program.semantics import known_in, rescale, shifted

if TYPE_CHECKING:
    from bnn.program.program import Program

MAX_OPS = 4096
MAX_LEVELS = (1 << MAX_VALUE_BITS) - 1
#: Limits of a rescale: with them its product and its sum fit 64 bits.
MAX_SHIFT = 62
MAX_OFFSET = (1 << 62) - 1
#: A product of two values of 16 bits has no more bits to shift away.
MAX_PRODUCT_SHIFT = 30
#: Largest magnitude of base, step and pad values.
MAX_CONSTANT = (1 << MAX_VALUE_BITS) - 1
#: Products of one matrix that are computed at a time, to bound memory.
_PIECE = 1 << 20
#: Multiplications of a matrix product that take as long as one comparison of a threshold or pool.
_COMPARISON = 64


def infer(program: Program) -> dict[str, Edge]:
    """Return every edge of ``program``, by name.

    The name of an edge in the body of a scan begins with the scan's name and a point.

    Raises:
        ProgramError: the program is not legal.
    """
    edges = {INPUT: _input_edge(program)}
    count = sum(1 for _ in each_op(program.ops))
    if not 1 <= count <= MAX_OPS or not program.ops:
        raise ProgramError(f"a program has 1 to {MAX_OPS} operations, not {count}")
    total = _Total(_count(edges[INPUT].shape))
    for op in program.ops:
        _add_op(op, edges, total)
    _check_ends(program, edges)
    return edges


def _add_op(op: Op, edges: dict[str, Edge], total: _Total) -> None:
    """Add the edge of ``op`` to ``edges``; for a scan, also the edges of its body."""
    _check_name(op.name, edges)
    total.parameters += _parameters(op)
    total.check(op.name)
    if isinstance(op, Scan):
        edges |= _scan_edges(op, _source(op.name, op.source, edges), total)
    else:
        edges[op.name] = _op_edge(op, edges)
        total.work += work(op, edges)
    total.values += _count(edges[op.name].shape)
    total.check(op.name)


def _check_name(name: Any, edges: Mapping[str, Edge]) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise ProgramError(f"an operation's name must be an identifier: {name!r}")
    if name in edges:
        raise ProgramError(f"{name}: two operations have this name")


@dataclass
class _Total:
    """Values, parameters and steps (:func:`work`) for one image, of the operations so far."""

    values: int
    parameters: int = 0
    work: int = 0

    def check(self, name: str) -> None:
        for what, used, limit in (
            ("values between operations", self.values, MAX_PROGRAM_VALUES),
            ("weights and thresholds", self.parameters, MAX_PARAMETERS),
            ("steps for an image", self.work, MAX_WORK),
        ):
            if used > limit:
                raise ProgramError(
                    f"{name}: the program up to here has {used} {what}, the most is {limit}"
                )


def _count(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]


def _parameters(op: Op) -> int:
    match op:
        case Dot():
            return int(op.weights.size)
        case Threshold():
            return int(op.thresholds.size)
        case Rescale():
            return int(op.multipliers.size)
        case Window() | Pool() | Add() | Multiply() | Concat() | ArgMax() | Scan():
            return 0  # those of a scan's body are counted with the body
    assert_never(op)


def work(op: Op, edges: Mapping[str, Edge]) -> int:
    """Return the number of steps that ``op`` takes for one image, a measure of its time.

    A multiplication in a dot takes 1 step. A comparison in a threshold, a pool or an arg max takes
    64 steps; each value that another operation makes takes 64 steps too. For more than 255
    thresholds of a channel, 255 comparisons are counted, because a runtime then searches.
    """
    made = _count(edges[op.name].shape)
    match op:
        case Dot():
            return made * int(op.weights.shape[1])
        case Threshold():
            return _COMPARISON * made * min(int(op.thresholds.shape[1]), MAX_COUNTED_LEVELS)
        case Pool():
            return _COMPARISON * made * op.kernel[0] * op.kernel[1]
        case Window() | Add() | Multiply() | Concat() | Rescale():
            return _COMPARISON * made
        case ArgMax():
            return _COMPARISON * _count(edges[op.source].shape)
        case Scan():
            own = known_in(op, edges)
            return sum(work(each, own) for each in op.body)
    assert_never(op)


def _input_edge(program: Program) -> Edge:
    given = program.input
    if given.precision.bits > MAX_VALUE_BITS:
        raise ProgramError(f"input precision {given.precision} exceeds {MAX_VALUE_BITS} bits")
    if given.precision.high > np.iinfo(np.int16).max:
        raise ProgramError(f"inputs are at most {np.iinfo(np.int16).max}, not {given.precision}")
    shape = given.shape if len(given.shape) == 3 else (1, 1, *given.shape)
    height, width, channels = shape
    return _edge(INPUT, (height, width, channels), given.precision)


def _edge(
    name: str,
    shape: tuple[int, int, int],
    precision: Precision,
    low: int | None = None,
    high: int | None = None,
) -> Edge:
    if shape[0] * shape[1] * shape[2] > MAX_EDGE_VALUES:
        raise ProgramError(f"{name}: an edge of {shape} values is too large")
    least = precision.low if low is None else low
    most = precision.high if high is None else high
    return Edge(shape, precision, least, most)


def _op_edge(op: Op, edges: dict[str, Edge]) -> Edge:
    source = _source(op.name, op.source, edges)
    match op:
        case Window():
            return _window_edge(op, source)
        case Dot():
            return _dot_edge(op, source)
        case Threshold():
            return _threshold_edge(op, source)
        case Pool():
            out = slid_shape(op.name, source.shape, op.kernel, op.stride, op.padding)
            _check_pool_padding(op)
            return _edge(op.name, out, source.precision, source.low, source.high)
        case Add():
            return _add_edge(op, source, _source(op.name, op.other, edges))
        case Multiply():
            return _multiply_edge(op, source, _source(op.name, op.other, edges))
        case Concat():
            return _concat_edge(op, source, _source(op.name, op.other, edges))
        case Rescale():
            return _rescale_edge(op, source)
        case ArgMax():
            if source.shape[:2] != (1, 1) or op.rule not in RULES:
                raise ProgramError(f"{op.name}: arg max needs a vector and a rule of {RULES}")
            most = source.shape[2] - 1
            return _edge(op.name, (1, 1, 1), UINT(max(1, most.bit_length())), 0, most)
        case Scan():
            raise ProgramError(
                f"{op.name}: is a scan in the body of a scan; scans cannot be nested"
            )
    assert_never(op)


def _scan_edges(op: Scan, source: Edge, total: _Total) -> dict[str, Edge]:
    """Return the edge that the scan makes, and the edges of its body, by name.

    The name of an edge of the body begins with the scan's name and a point.
    """
    if source.shape[:2] != (1, 1):
        raise ProgramError(f"{op.name}: a scan reads vectors, {op.source!r} is {source.shape}")
    if type(op.reverse) is not bool:
        raise ProgramError(f"{op.name}: reverse must be true or false: {op.reverse!r}")
    if not op.body:
        raise ProgramError(f"{op.name}: the body of a scan has at least one operation")
    own = {INPUT: source}
    try:
        for each in op.carried:
            _check_name(each.name, own)
            own[each.name] = _carried_edge(each)
        for inner in op.body:
            if isinstance(inner, Window | Pool | ArgMax | Scan):
                kind = type(inner).__name__.lower()
                raise ProgramError(
                    f"{inner.name}: {kind} is not possible in the body of a scan; use dot, "
                    "threshold, add, multiply, concat or rescale"
                )
            _add_op(inner, own, total)
        for each in op.carried:
            _check_invariant(each, _source(each.name, each.next, own))
        result = _source("result", op.result, own)
    except ProgramError as reason:
        raise ProgramError(f"{op.name}.{reason}") from reason
    inside = {f"{op.name}.{name}": edge for name, edge in own.items() if name != INPUT}
    return {op.name: result, **inside}


def _carried_edge(carried: Carried) -> Edge:
    name, channels = carried.name, carried.channels
    if type(channels) is not int or channels < 1:
        raise ProgramError(
            f"{name}: channels must be a whole number of at least 1, not {channels!r}"
        )
    if carried.precision.bits > MAX_VALUE_BITS:
        raise ProgramError(f"{name}: {carried.precision} exceeds {MAX_VALUE_BITS} bits")
    if type(carried.start) is not int or not carried.precision.allows(carried.start):
        raise ProgramError(
            f"{name}: start {carried.start!r} is outside {carried.precision.range_text}"
        )
    return _edge(name, (1, 1, channels), carried.precision)


def _check_invariant(carried: Carried, made: Edge) -> None:
    """Refuse a body that makes a vector of another length or precision than it carries.

    ``made``: the edge of the body that becomes the carried vector of the next column.
    """
    if made.shape != (1, 1, carried.channels):
        raise ProgramError(
            f"{carried.name}: {carried.next!r} has {made.shape[2]} channels, not {carried.channels}"
        )
    if not _holds(carried.precision, made):
        raise ProgramError(
            f"{carried.name}: {carried.next!r} has values from {made.low} to {made.high}, "
            f"which {carried.precision.range_text} cannot carry to the next column"
        )


def _source(name: str, source: str, edges: dict[str, Edge]) -> Edge:
    if not isinstance(source, str) or source not in edges:
        raise ProgramError(f"{name}: reads {source!r}, which no earlier operation makes")
    return edges[source]


def _whole(name: str, what: str, values: Any, count: int, least: int) -> None:
    if (
        not isinstance(values, tuple)
        or len(values) != count
        or any(type(v) is not int or not least <= v < 1 << 16 for v in values)
    ):
        raise ProgramError(f"{name}: {what} must be {count} whole numbers from {least}: {values!r}")


def slid_shape(
    name: str, shape: tuple[int, int, int], kernel: Pair, stride: Pair, padding: Borders
) -> tuple[int, int, int]:
    """Return the (height, width, channels) of the map that a sliding window makes.

    Args:
        name: name of the operation, for messages.
        shape: shape of the map that the window slides over; the result has the same channels.
        kernel, stride: (vertical, horizontal).
        padding: (top, left, bottom, right).

    Raises:
        ProgramError: a number is not allowed, or the kernel is larger than the padded map.
    """
    _whole(name, "kernel", kernel, 2, 1)
    _whole(name, "stride", stride, 2, 1)
    _whole(name, "padding", padding, 4, 0)
    height = shape[0] + padding[0] + padding[2] - kernel[0]
    width = shape[1] + padding[1] + padding[3] - kernel[1]
    if height < 0 or width < 0:
        raise ProgramError(f"{name}: kernel {kernel} is larger than the padded map of {shape}")
    return height // stride[0] + 1, width // stride[1] + 1, shape[2]


def _check_pool_padding(op: Pool) -> None:
    top, left, bottom, right = op.padding
    if max(top, bottom) >= op.kernel[0] or max(left, right) >= op.kernel[1]:
        raise ProgramError(f"{op.name}: pool padding must be smaller than its kernel")


def _window_edge(op: Window, source: Edge) -> Edge:
    height, width, channels = slid_shape(op.name, source.shape, op.kernel, op.stride, op.padding)
    low, high = source.low, source.high
    if type(op.pad_value) is not int or abs(op.pad_value) > MAX_CONSTANT:
        raise ProgramError(f"{op.name}: pad value must be a small whole number")
    if any(op.padding):
        if not source.precision.allows(op.pad_value):
            raise ProgramError(
                f"{op.name}: pad value {op.pad_value!r} does not fit {source.precision}"
            )
        low, high = min(low, op.pad_value), max(high, op.pad_value)
    shape = (height, width, op.kernel[0] * op.kernel[1] * channels)
    return _edge(op.name, shape, source.precision, low, high)


def dot_bounds(weights: Any, bias: Any, low: int, high: int) -> tuple[Any, Any]:
    """Return the least and the largest sum of each row, two int64 arrays (out,).

    They are exact bounds of the final sum and of all partial sums, in any order.

    Args:
        weights: integers (out, in).
        bias: int32 (out,), or None for zeros.
        low, high: bounds of the inputs.
    """
    step = max(1, _PIECE // max(1, weights.shape[1]))
    pieces = [_row_bounds(weights[i : i + step], low, high) for i in range(0, len(weights), step)]
    least, most = (np.concatenate(part) for part in zip(*pieces, strict=True))
    offset = np.zeros(len(weights), np.int64) if bias is None else bias.astype(np.int64)
    return least + np.minimum(offset, 0), most + np.maximum(offset, 0)


def _rounded_bounds(op: Dot, low: int, high: int) -> tuple[Any, Any]:
    """Return the least and the largest sum of each row of a dot that rounds its products.

    They are bounds as in :func:`dot_bounds`. A rounded product only rises or only falls with its
    input, so the bounds of the input give the bounds of the product.
    """
    weights = op.weights.astype(np.int64)
    ends = [shifted(weights * end, op.product_shift, op.product_rounding) for end in (low, high)]
    least = np.minimum(np.minimum(*ends), 0).sum(axis=1)
    most = np.maximum(np.maximum(*ends), 0).sum(axis=1)
    offset = np.zeros(len(weights), np.int64) if op.bias is None else op.bias.astype(np.int64)
    return least + np.minimum(offset, 0), most + np.maximum(offset, 0)


def _row_bounds(weights: Any, low: int, high: int) -> tuple[Any, Any]:
    """Return for each row the lowest sum of negative products, the highest of positive ones."""
    up = _row_sums(np.maximum(weights, 0))
    down = _row_sums(weights) - up
    low, high = min(low, 0), max(high, 0)
    return up * low + down * high, up * high + down * low


def _row_sums(values: Any) -> Any:
    """Return the sum of each row, int64; computed in a narrow type if all sums fit into it."""
    columns = values.shape[1]
    largest = columns * max(int(values.max(initial=0)), -int(values.min(initial=0)))
    narrow = (each for each in (np.int16, np.int32) if largest <= np.iinfo(each).max)
    return values.sum(axis=1, dtype=next(narrow, np.int64)).astype(np.int64)


def _dot_edge(op: Dot, source: Edge) -> Edge:
    if op.precision.bits > MAX_VALUE_BITS:
        raise ProgramError(f"{op.name}: weights of {op.precision} exceed {MAX_VALUE_BITS} bits")
    if not op.precision.allows(op.weights):
        raise ProgramError(f"{op.name}: weights are outside {op.precision.range_text}")
    rows, columns = op.weights.shape
    _check_groups(op, source)
    if columns * op.groups != source.shape[2] or rows < 1:
        raise ProgramError(
            f"{op.name}: weights are {op.weights.shape}"
            f"{f' in {op.groups} groups' if op.groups > 1 else ''}, "
            f"{op.source!r} has {source.shape[2]} channels"
        )
    if op.bias is not None and op.bias.shape != (rows,):
        raise ProgramError(f"{op.name}: {rows} rows, but bias has shape {op.bias.shape}")
    if type(op.product_shift) is not int or not 0 <= op.product_shift <= MAX_PRODUCT_SHIFT:
        raise ProgramError(
            f"{op.name}: product shift must be 0 to {MAX_PRODUCT_SHIFT}: {op.product_shift!r}"
        )
    if op.product_rounding not in ROUNDINGS:
        raise ProgramError(
            f"{op.name}: rounding must be one of {ROUNDINGS}: {op.product_rounding!r}"
        )
    if op.product_shift:
        if source.precision.bits > MAX_VALUE_BITS:
            raise ProgramError(
                f"{op.name}: products of {source.precision} are not rounded; at most "
                f"{MAX_VALUE_BITS} bits"
            )
        least, most = _rounded_bounds(op, source.low, source.high)
    else:
        least, most = dot_bounds(op.weights, op.bias, source.low, source.high)
    low, high = int(least.min()), int(most.max())
    precision = _accumulator(op.name, op.accumulator_bits, low, high)
    return _edge(op.name, (source.shape[0], source.shape[1], rows), precision, low, high)


def _check_groups(op: Dot, source: Edge) -> None:
    """Refuse groups that do not divide the rows of a dot and the channels that it reads."""
    for what, value in (("groups", op.groups), ("positions", op.positions)):
        if type(value) is not int or value < 1:
            raise ProgramError(f"{op.name}: {what} must be a whole number from 1: {value!r}")
    if op.groups == 1 and op.positions != 1:
        raise ProgramError(f"{op.name}: positions are 1 without groups, not {op.positions}")
    if len(op.weights) % op.groups or source.shape[2] % (op.groups * op.positions):
        raise ProgramError(
            f"{op.name}: {op.groups} groups at {op.positions} positions do not divide "
            f"{len(op.weights)} rows and {source.shape[2]} channels"
        )


def _accumulator(name: str, bits: int, low: int, high: int) -> Precision:
    if type(bits) is not int or not 1 <= bits <= MAX_BITS:
        raise ProgramError(f"{name}: accumulator width must be 1 to {MAX_BITS} bits: {bits!r}")
    precision = INT(bits)
    if not precision.covers(low, high):
        raise ProgramError(f"{name}: sums from {low} to {high} do not fit a {bits}-bit accumulator")
    return precision


def _threshold_edge(op: Threshold, source: Edge) -> Edge:
    channels, levels = op.thresholds.shape
    if channels != source.shape[2] or not 1 <= levels <= MAX_LEVELS:
        raise ProgramError(
            f"{op.name}: thresholds must be ({source.shape[2]} channels of {op.source!r}, 1 to "
            f"{MAX_LEVELS} levels), not {op.thresholds.shape}"
        )
    if (op.thresholds[:, 1:] < op.thresholds[:, :-1]).any():
        raise ProgramError(f"{op.name}: thresholds of a channel must ascend")
    if op.signs is not None and (op.signs.shape != (channels,) or not BIPOLAR.allows(op.signs)):
        raise ProgramError(f"{op.name}: signs must be {channels} of +1 and -1")
    if any(type(v) is not int or abs(v) > MAX_CONSTANT for v in (op.base, op.step)) or op.step == 0:
        raise ProgramError(f"{op.name}: base and step must be whole numbers, step not zero")
    values = op.base + op.step * np.arange(levels + 1)
    if op.precision.bits > MAX_VALUE_BITS or not op.precision.allows(values):
        raise ProgramError(
            f"{op.name}: outputs {values[0]}..{values[-1]} do not fit {op.precision}"
        )
    return _edge(op.name, source.shape, op.precision, int(values.min()), int(values.max()))


def _add_edge(op: Add, source: Edge, other: Edge) -> Edge:
    if source.shape != other.shape:
        raise ProgramError(f"{op.name}: cannot add {source.shape} and {other.shape}")
    low, high = source.low + other.low, source.high + other.high
    return _edge(
        op.name, source.shape, _accumulator(op.name, op.accumulator_bits, low, high), low, high
    )


def _multiply_edge(op: Multiply, source: Edge, other: Edge) -> Edge:
    if source.shape != other.shape:
        raise ProgramError(f"{op.name}: cannot multiply {source.shape} by {other.shape}")
    ends = [one * two for one in (source.low, source.high) for two in (other.low, other.high)]
    low, high = min(ends), max(ends)
    return _edge(
        op.name, source.shape, _accumulator(op.name, op.accumulator_bits, low, high), low, high
    )


def _concat_edge(op: Concat, source: Edge, other: Edge) -> Edge:
    if source.shape[:2] != other.shape[:2]:
        raise ProgramError(f"{op.name}: cannot join {source.shape} and {other.shape}")
    for name, edge in ((op.source, source), (op.other, other)):
        if not _holds(op.precision, edge):
            raise ProgramError(f"{op.name}: {op.precision.range_text} cannot hold {name!r}")
    shape = (*source.shape[:2], source.shape[2] + other.shape[2])
    low, high = min(source.low, other.low), max(source.high, other.high)
    return _edge(op.name, shape, op.precision, low, high)


def _holds(precision: Precision, edge: Edge) -> bool:
    """Return whether ``precision`` has a code for every value that ``edge`` may have."""
    if precision == BIPOLAR:
        return edge.precision == BIPOLAR
    return precision.covers(edge.low, edge.high)


def rescale_bounds(op: Rescale, low: int, high: int) -> tuple[int, int]:
    """Return bounds of the results of ``op`` for inputs from ``low`` to ``high``.

    The result of a channel only rises or only falls with the input, so the results for ``low`` and
    ``high`` are enough. With the overflow ``wrap``, if a result wraps around, the bounds are
    ``op.low`` and ``op.high``.
    """
    ends = np.repeat(np.array([[low], [high]], np.int64), op.multipliers.size, axis=1)
    if op.overflow == "wrap":
        exact = ends * op.multipliers.astype(np.int64)
        exact = exact if op.offsets is None else exact + op.offsets
        ends = shifted(exact, op.shift, op.rounding)
        if ends.min() < op.low or ends.max() > op.high:
            return op.low, op.high
        return int(ends.min()), int(ends.max())
    made = rescale(ends, op)
    return int(made.min()), int(made.max())


def _rescale_edge(op: Rescale, source: Edge) -> Edge:
    channels = source.shape[2]
    if op.multipliers.shape != (channels,):
        raise ProgramError(
            f"{op.name}: {op.multipliers.size} multipliers, {op.source!r} has {channels} channels"
        )
    if op.offsets is not None:
        if op.offsets.shape != (channels,):
            raise ProgramError(f"{op.name}: offsets have shape {op.offsets.shape}, not {channels}")
        if op.offsets.min() < -MAX_OFFSET or op.offsets.max() > MAX_OFFSET:
            raise ProgramError(f"{op.name}: offsets must be smaller than 2**62")
    if type(op.shift) is not int or not 0 <= op.shift <= MAX_SHIFT:
        raise ProgramError(f"{op.name}: shift must be 0 to {MAX_SHIFT}: {op.shift!r}")
    if op.rounding not in ROUNDINGS:
        raise ProgramError(f"{op.name}: rounding must be one of {ROUNDINGS}: {op.rounding!r}")
    if type(op.low) is not int or type(op.high) is not int or op.low > op.high:
        raise ProgramError(f"{op.name}: cannot saturate at {op.low!r} and {op.high!r}")
    if op.overflow not in OVERFLOWS:
        raise ProgramError(f"{op.name}: overflow must be one of {OVERFLOWS}: {op.overflow!r}")
    size = op.high - op.low + 1
    if op.overflow == "wrap" and size & (size - 1):
        raise ProgramError(
            f"{op.name}: wraps {op.low} to {op.high}, which is not a power of two of values"
        )
    if op.precision == BIPOLAR or not op.precision.covers(op.low, op.high):
        raise ProgramError(f"{op.name}: {op.low} to {op.high} do not fit {op.precision}")
    if op.precision.high > np.iinfo(np.int32).max:
        raise ProgramError(f"{op.name}: {op.precision} exceeds 32 bits with a sign")
    return _edge(op.name, source.shape, op.precision, *rescale_bounds(op, source.low, source.high))


def _check_ends(program: Program, edges: dict[str, Edge]) -> None:
    if _source("scores", program.scores, edges) is edges[INPUT]:
        raise ProgramError("scores must be made by an operation")
    shape = edges[program.scores].shape
    if shape[:2] != (1, 1):
        raise ProgramError(f"scores must be a vector, {program.scores!r} has shape {shape}")
    if program.affine is not None and program.affine.scale.shape != (shape[2],):
        raise ProgramError(
            f"affine is for {program.affine.scale.size} scores, the program has {shape[2]}"
        )
    if program.decision is None:
        return
    if program.affine is not None:
        raise ProgramError("a program decides by an affine or by an arg max, not by both")
    if not isinstance(program.op(program.decision), ArgMax):
        raise ProgramError(f"decision {program.decision!r} is not an arg max")

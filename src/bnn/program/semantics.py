# SPDX-License-Identifier: BSD-3-Clause
"""The meaning of each operation; results of all runtimes and hardware must equal it.

It is plain NumPy, simple and slow, so that it can be checked by reading. The reference runtime
calls :func:`evaluate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnn._typing import assert_never
from bnn.program.operations import (
    INPUT,
    MAX_COUNTED_LEVELS,
    Add,
    ArgMax,
    Borders,
    Concat,
    Dot,
    Edge,
    Multiply,
    Op,
    Pair,
    Pool,
    Rescale,
    Rounding,
    Scan,
    Threshold,
    Window,
    sources,
)

if TYPE_CHECKING:
    from bnn.program.program import Program

Array = NDArray[Any]

#: Products or comparisons that are computed at a time, to bound memory.
_PIECE = 1 << 20


def evaluate(
    program: Program, inputs: Array, done: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Array]:
    """Return every edge of ``program`` for a batch: int64 (N, height, width, channels), by name.

    Args:
        program: the program.
        inputs: what ``program.input.check`` returned; for a program with a scan, the columns of one
            sequence, in order.
        done: what :func:`last_readers` returned, to save memory: edges that no further operation
            needs are removed. None: all edges are returned.
    """
    integers = program.input.integers(inputs).astype(np.int64)
    edges = {INPUT: integers.reshape(len(inputs), *program.edges[INPUT].shape)}
    for op in program.ops:
        edges[op.name] = apply(op, edges, program.edges)
        for name in () if done is None else done.get(op.name, ()):
            del edges[name]
    return edges


def last_readers(program: Program) -> dict[str, list[str]]:
    """Return for each operation, by name, the edges that no later operation needs.

    The edges of the scores and the decision are in no list: they are needed at the end.
    """
    last = {INPUT: program.ops[0].name}
    for op in program.ops:
        last[op.name] = op.name
        last.update(dict.fromkeys(sources(op), op.name))
    found: dict[str, list[str]] = {}
    for edge, reader in last.items():
        if edge not in (program.scores, program.decision):
            found.setdefault(reader, []).append(edge)
    return found


def apply(op: Op, edges: Mapping[str, Array], known: Mapping[str, Edge]) -> Array:
    """Return the result of ``op``, int64 (N, height, width, channels).

    Args:
        op: the operation.
        edges: the input and the results of earlier operations, by name.
        known: shapes and bounds of the program's edges, by name.
    """
    source = edges[op.source]
    match op:
        case Window():
            return window(source, op)
        case Dot():
            bounds = known[op.source]
            return dot(source, op, max(abs(bounds.low), abs(bounds.high)))
        case Threshold():
            return threshold(source, op)
        case Pool():
            return pool(source, op)
        case Add():
            return source + edges[op.other]
        case Multiply():
            return source * edges[op.other]
        case Concat():
            return np.concatenate([source, edges[op.other]], axis=3)
        case Rescale():
            return rescale(source, op)
        case ArgMax():
            return arg_max(source[:, 0, 0, :], op.rule).reshape(-1, 1, 1, 1)
        case Scan():
            return scan(source, op, known)
    assert_never(op)


def scan(columns: Array, op: Scan, known: Mapping[str, Edge]) -> Array:
    """Return the results of a scan for ``columns`` (N, 1, 1, channels of the source).

    The body is computed for one column after the other, from the last to the first if
    ``op.reverse``. The body of a column reads the vectors that the body made for the column before.
    """
    own = known_in(op, known)
    carried = {
        each.name: np.full((1, 1, 1, each.channels), each.start, np.int64) for each in op.carried
    }
    results = np.empty((len(columns), *known[op.name].shape), np.int64)
    visited = range(len(columns))
    for column in reversed(visited) if op.reverse else visited:
        edges = {INPUT: columns[column : column + 1], **carried}
        for each in op.body:
            edges[each.name] = apply(each, edges, own)
        results[column] = edges[op.result][0]
        carried = {each.name: edges[each.next] for each in op.carried}
    return results


def known_in(op: Scan, known: Mapping[str, Edge]) -> dict[str, Edge]:
    """Return the edges of the body of ``op``, by their names in the body.

    In ``known``, the edges of the program, their names begin with the scan's name and a point.
    """
    names = [each.name for each in (*op.carried, *op.body)]
    return {INPUT: known[op.source], **{name: known[f"{op.name}.{name}"] for name in names}}


def _patches(maps: Array, kernel: Pair, stride: Pair, padding: Borders, fill: int) -> Array:
    """Return patches as views: (N, out height, out width, channels, kernel height, kernel width).

    ``fill``: value of the padding.
    """
    top, left, bottom, right = padding
    count, height, width, channels = maps.shape
    shape = (count, top + height + bottom, left + width + right, channels)
    # Not np.pad, which takes no fill of 64 bits on a 32-bit processor.
    padded = np.full(shape, np.int64(fill), np.int64)
    padded[:, top : top + height, left : left + width] = maps
    views = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))
    patches: Array = views[:, :: stride[0], :: stride[1]]
    return patches


def window(maps: Array, op: Window) -> Array:
    """Return the patches of ``maps`` (N, height, width, channels), each as a vector.

    The values of a vector are in the order kernel row, kernel column, channel.
    """
    views = _patches(maps, op.kernel, op.stride, op.padding, op.pad_value)
    height, width = views.shape[1:3]
    columns = maps.shape[3] * op.kernel[0] * op.kernel[1]
    return views.transpose(0, 1, 2, 4, 5, 3).reshape(len(maps), height, width, columns)


def dot(maps: Array, op: Dot, largest: int) -> Array:
    """Return the sums of a dot for ``maps``: exact integers.

    They are computed in floating point, because NumPy's matrix products are fast in it. ``largest``
    is a bound of the magnitudes in ``maps``: it decides whether float32 has every sum exactly. Else
    float64 is used, which has them: sums of a checked program have at most 32 bits.
    """
    magnitude = int(np.abs(op.weights.astype(np.int64)).sum(axis=1).max()) * largest
    dtype: Any = np.float32 if magnitude < 1 << 24 else np.float64
    # In each group a dense dot: the vector is (positions, groups, channels of a group).
    parts = maps.reshape(*maps.shape[:3], op.positions, op.groups, -1)
    each = len(op.weights) // op.groups
    sums = np.empty((*maps.shape[:3], len(op.weights)), np.int64)
    for group in range(op.groups):
        rows = slice(group * each, (group + 1) * each)
        own = parts[..., group, :].reshape(*maps.shape[:3], -1)
        if op.product_shift:
            sums[..., rows] = _rounded_sums(own, op.weights[rows], op)
        else:
            sums[..., rows] = _sums(own, op.weights[rows], dtype)
    return sums if op.bias is None else sums + op.bias


def _sums(maps: Array, weights: Array, dtype: Any) -> Array:
    """Return the sums of products, computed in ``dtype``, which has them exactly."""
    # One large product: NumPy multiplies a stack of small ones much more slowly.
    product = maps.reshape(-1, maps.shape[3]).astype(dtype) @ weights.astype(dtype).T
    sums: Array = product.astype(np.int64).reshape(*maps.shape[:3], len(weights))
    return sums


def _rounded_sums(maps: Array, given: Array, op: Dot) -> Array:
    """Return the sums of rounded products; they are computed some rows at a time."""
    weights = given.astype(np.int64)
    sums = np.empty((*maps.shape[:3], len(weights)), np.int64)
    step = max(1, _PIECE // max(1, maps.size))
    for first in range(0, len(weights), step):
        rows = slice(first, first + step)
        products = maps[..., np.newaxis, :] * weights[rows]
        sums[..., rows] = shifted(products, op.product_shift, op.product_rounding).sum(axis=-1)
    return sums


def threshold(maps: Array, op: Threshold) -> Array:
    """Return ``base + step * count``, where count is the number of thresholds reached."""
    signed = maps if op.signs is None else maps * op.signs
    count = np.zeros_like(signed)
    if signed.size * op.thresholds.shape[1] <= _PIECE:
        count = (op.thresholds <= signed[..., np.newaxis]).sum(axis=-1, dtype=np.int64)
    elif op.thresholds.shape[1] <= MAX_COUNTED_LEVELS:
        for level in op.thresholds.T.astype(np.int64):
            count += level <= signed
    else:  # they ascend: the count is a position among them
        for channel, table in enumerate(op.thresholds.astype(np.int64)):
            count[..., channel] = np.searchsorted(table, signed[..., channel], side="right")
    return op.base + op.step * count


def rescale(maps: Array, op: Rescale) -> Array:
    """Return the results of a rescale for ``maps``, int64 of the same shape."""
    exact = maps * op.multipliers.astype(np.int64)
    if op.offsets is not None:
        exact = exact + op.offsets
    rounded = shifted(exact, op.shift, op.rounding)
    if op.overflow == "wrap":
        wrapped: Array = (rounded - op.low) % (op.high - op.low + 1) + op.low
        return wrapped
    saturated: Array = np.clip(rounded, op.low, op.high)
    return saturated


def shifted(exact: Array, shift: int, rounding: Rounding) -> Array:
    """Return ``exact / 2**shift``, rounded to an integer, int64.

    ``rounding``: see :class:`bnn.program.operations.Rescale`.
    """
    if shift == 0:  # nothing to round
        return exact
    whole = exact >> shift  # rounded down
    rest = exact - (whole << shift)
    half = np.int64(1 << shift) >> 1
    match rounding:
        case "floor":
            return whole
        case "up":
            up = rest >= half
        case "even":
            up = (rest > half) | ((rest == half) & (whole % 2 == 1))
        case "zero":
            up = (rest > half) | ((rest == half) & (whole < 0))
    rounded: Array = whole + up
    return rounded


def pool(maps: Array, op: Pool) -> Array:
    """Return the maximum over each window of ``maps``; padding is never the maximum."""
    lowest = np.iinfo(np.int64).min
    views = _patches(maps, op.kernel, op.stride, op.padding, lowest)
    largest: Array = views.max(axis=(4, 5))
    return largest


def arg_max(values: Array, rule: str) -> NDArray[np.int64]:
    """Return the class (N,) of each row of ``values`` (N, n).

    ``rule``: see :class:`bnn.program.operations.ArgMax`.
    """
    fired: NDArray[np.bool_] = values > 0
    classes: NDArray[np.int64] = values.argmax(axis=1).astype(np.int64)
    match rule:
        case "first":
            return classes
        case "first-positive":
            classes[~fired.any(axis=1)] = 0
            return classes
        case "highest-positive":
            classes = values.shape[1] - 1 - fired[:, ::-1].argmax(axis=1).astype(np.int64)
            classes[~fired.any(axis=1)] = 0
            return classes
    raise ValueError(rule)

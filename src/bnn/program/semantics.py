# SPDX-License-Identifier: BSD-3-Clause
"""The meaning of each operation: what every runtime and all hardware must equal bit for bit.

Plain NumPy, slow and short on purpose. The reference runtime is a thin user of it.
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
    Op,
    Pair,
    Pool,
    Rescale,
    Threshold,
    Window,
    sources,
)

if TYPE_CHECKING:
    from bnn.program.program import Program

Array = NDArray[Any]


def evaluate(
    program: Program, inputs: Array, done: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Array]:
    """Return every edge of ``program`` by name, int64 (N, height, width, channels), for a batch.

    ``inputs`` are what ``program.input.check`` returned. ``done``: what :func:`last_readers`
    returns; then edges that are not needed any more are dropped, to need less memory.
    """
    integers = program.input.integers(inputs).astype(np.int64)
    edges = {INPUT: integers.reshape(len(inputs), *program.edges[INPUT].shape)}
    for op in program.ops:
        edges[op.name] = apply(op, edges, program)
        for name in () if done is None else done.get(op.name, ()):
            del edges[name]
    return edges


def last_readers(program: Program) -> dict[str, list[str]]:
    """Return name of an operation -> names of the edges that are not needed after it.

    The scores and the decision are always needed.
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


def apply(op: Op, edges: dict[str, Array], program: Program) -> Array:
    """Return the result of ``op``, int64 (N, height, width, channels).

    Args:
        op: the operation.
        edges: results of the operations before it, and the input, by name.
        program: the program that ``op`` belongs to, for bounds.
    """
    source = edges[op.source]
    match op:
        case Window():
            return window(source, op)
        case Dot():
            bounds = program.edges[op.source]
            return dot(source, op, max(abs(bounds.low), abs(bounds.high)))
        case Threshold():
            return threshold(source, op)
        case Pool():
            return pool(source, op)
        case Add():
            return source + edges[op.other]
        case Concat():
            return np.concatenate([source, edges[op.other]], axis=3)
        case Rescale():
            return rescale(source, op)
        case ArgMax():
            return arg_max(source[:, 0, 0, :], op.rule).reshape(-1, 1, 1, 1)
    assert_never(op)


def _patches(maps: Array, kernel: Pair, stride: Pair, padding: Borders, fill: int) -> Array:
    """Return views (N, out height, out width, channels, kernel height, kernel width)."""
    top, left, bottom, right = padding
    padded = np.pad(maps, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))
    patches: Array = views[:, :: stride[0], :: stride[1]]
    return patches


def window(maps: Array, op: Window) -> Array:
    """Return patches of ``maps`` (N, height, width, channels), each a vector: kernel row,
    kernel column, channel.
    """
    views = _patches(maps, op.kernel, op.stride, op.padding, op.pad_value)
    height, width = views.shape[1:3]
    columns = maps.shape[3] * op.kernel[0] * op.kernel[1]
    return views.transpose(0, 1, 2, 4, 5, 3).reshape(len(maps), height, width, columns)


def dot(maps: Array, op: Dot, largest: int) -> Array:
    """Return the exact integer matrix product.

    It is computed in floating point, because matrix products are fast there. ``largest`` is the
    largest magnitude in ``maps``; it shows that the type holds every sum exactly.
    """
    magnitude = int(np.abs(op.weights.astype(np.int64)).sum(axis=1).max()) * largest
    dtype: Any = np.float32 if magnitude < 1 << 24 else np.float64
    # One large product: NumPy multiplies a stack of small ones much more slowly.
    product = maps.reshape(-1, maps.shape[3]).astype(dtype) @ op.weights.astype(dtype).T
    sums: Array = product.astype(np.int64).reshape(*maps.shape[:3], len(op.weights))
    return sums if op.bias is None else sums + op.bias


def threshold(maps: Array, op: Threshold) -> Array:
    """Return the number of thresholds reached, times the step, plus the base."""
    signed = maps if op.signs is None else maps * op.signs
    count = np.zeros_like(signed)
    if op.thresholds.shape[1] <= MAX_COUNTED_LEVELS:
        for level in op.thresholds.T.astype(np.int64):
            count += level <= signed
    else:  # they ascend: the count is a position among them
        for channel, table in enumerate(op.thresholds.astype(np.int64)):
            count[..., channel] = np.searchsorted(table, signed[..., channel], side="right")
    return op.base + op.step * count


def rescale(maps: Array, op: Rescale) -> Array:
    """Return ``(multiplier * x + offset) / 2**shift``, rounded as ``op`` says, saturated."""
    exact = maps * op.multipliers.astype(np.int64)
    if op.offsets is not None:
        exact = exact + op.offsets
    whole = exact >> op.shift  # rounded down
    rest = exact - (whole << op.shift)
    half = np.int64(1 << op.shift) >> 1
    match op.rounding:
        case "floor":
            up = np.zeros(maps.shape, np.bool_)
        case "up":
            up = rest >= half
        case "even":
            up = (rest > half) | ((rest == half) & (whole % 2 == 1))
        case "zero":
            up = (rest > half) | ((rest == half) & (whole < 0))
    if op.shift == 0:  # nothing to round
        up = np.zeros(maps.shape, np.bool_)
    rounded: Array = np.clip(whole + up, op.low, op.high)
    return rounded


def pool(maps: Array, op: Pool) -> Array:
    """Return the maximum over each window; padding is below every value."""
    lowest = np.iinfo(np.int64).min
    views = _patches(maps, op.kernel, op.stride, op.padding, lowest)
    largest: Array = views.max(axis=(4, 5))
    return largest


def arg_max(values: Array, rule: str) -> NDArray[np.int64]:
    """Return the class of each row of ``values`` (N, n), by a rule of `operations.RULES`."""
    fired: NDArray[np.bool_] = values > 0
    classes: NDArray[np.int64] = values.argmax(axis=1)
    match rule:
        case "first":
            return classes
        case "first-positive":
            classes[~fired.any(axis=1)] = 0
            return classes
        case "highest-positive":
            classes = values.shape[1] - 1 - fired[:, ::-1].argmax(axis=1)
            classes[~fired.any(axis=1)] = 0
            return classes
    raise ValueError(rule)

# SPDX-License-Identifier: BSD-3-Clause
"""Cutting a program at an edge: each part is a program, and one after the other equals the whole.

At a cut the integers of one edge leave the part before it as scores, and enter the part after it
as its input. Scores are a vector, so a map is flattened by a window of its own size: row, column,
channel. A cut is possible where only one edge crosses it. In a residual branch two edges cross.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from bnn.errors import ProgramError
from bnn.program.inputs import Input, IntegerInput
from bnn.program.operations import (
    INPUT,
    MAX_VALUE_BITS,
    Add,
    Affine,
    ArgMax,
    Concat,
    Dot,
    Edge,
    Multiply,
    Op,
    Threshold,
    Window,
    sources,
)
from bnn.program.precision import BIPOLAR, INT, MAX_BITS, UINT, Precision
from bnn.program.program import Program


@dataclass(frozen=True)
class Layer:
    """Operations that one layer of a network became: a dot, its window and its threshold.

    Attributes:
        name: name of the dot; of a layer without a dot, name of its first operation.
        ops: names of its operations, in the order of the program.
    """

    name: str
    ops: tuple[str, ...]


def layers(program: Program) -> tuple[Layer, ...]:
    """Return the layers of a program in order; together they have every operation once.

    A window belongs to the dot after it, a threshold to the dot before it, if no other operation
    reads what is between. An arg max belongs to the layer that it reads.
    """
    readers = _readers(program)
    groups: list[list[Op]] = []
    for op in program.ops:
        before = groups[-1][-1] if groups else None
        joined = before is not None and before.name == op.source and _joins(before, op)
        alone = before is not None and len(readers[before.name]) == 1
        if groups and joined and (alone or isinstance(op, ArgMax)):
            groups[-1].append(op)
        else:
            groups.append([op])
    return tuple(Layer(_name(group), tuple(op.name for op in group)) for group in groups)


def by_operation(found: Iterable[Layer]) -> dict[str, Layer]:
    """Return name of each operation -> the layer that it is of. A layer has the name of one."""
    return {op: layer for layer in found for op in layer.ops}


def _joins(before: Op, op: Op) -> bool:
    match op:
        case Dot():
            return isinstance(before, Window)
        case Threshold():
            return isinstance(before, Dot)
        case ArgMax():
            return True
        case _:
            return False


def _name(group: list[Op]) -> str:
    return next((op.name for op in group if isinstance(op, Dot)), group[0].name)


def _readers(program: Program) -> dict[str, list[str]]:
    """Return edge -> the operations that read it, once for each reading."""
    readers: dict[str, list[str]] = {INPUT: [], **{op.name: [] for op in program.ops}}
    for op in program.ops:
        for name in sources(op):
            readers[name].append(op.name)
    return readers


def cut_edge(program: Program, count: int) -> str:
    """Return the edge that alone crosses a cut after the first ``count`` operations.

    Args:
        program: what is cut.
        count: 1 to the number of operations - 1.

    Raises:
        ProgramError: there is no such cut, or several edges cross it, as in a residual branch.
    """
    if not 1 <= count < len(program.ops):
        raise ProgramError(
            f"a cut is after 1 to {len(program.ops) - 1} operations, not after {count!r}"
        )
    made = {INPUT, *(op.name for op in program.ops[:count])}
    crossing: dict[str, str] = {}
    for op in program.ops[count:]:
        for name in sources(op):
            if name in made:
                crossing.setdefault(name, op.name)
    for result in (program.scores, program.decision):
        if result is not None and result in made:
            crossing.setdefault(result, "the result of the program")
    if len(crossing) == 1:
        return next(iter(crossing))
    told = " and ".join(f"{edge!r} (read by {by})" for edge, by in crossing.items())
    raise ProgramError(
        f"cannot cut after {program.ops[count - 1].name}: {len(crossing)} edges cross there, "
        f"{told}, as in a residual branch; put the whole branch on one side"
    )


def part(program: Program, start: str = INPUT, end: str | None = None) -> Program:
    """Return the operations from the edge ``start`` to the edge ``end`` as a program.

    Its input has the values of ``start``, its scores are the values of ``end``, flattened in the
    order row, column, channel. So ``part(program, end=edge)`` and then ``part(program, edge)``
    give the scores, logits and decisions of ``program``.

    Args:
        program: the program; it is not changed.
        start: name of an edge; ``input`` for the program's own input.
        end: name of an edge; None: the part ends as the program does, with its scores, decision
            and affine.

    Returns:
        a program. The names of its operations are those of ``program``; a flattening window is
        new. Accumulators are wider where the values that the input's precision allows need it.

    Raises:
        ProgramError: there is no such edge; an operation between them reads another edge from
            before ``start``, as in a residual branch; or the values at ``start`` cannot be an
            input, which has at most 16 bits.
    """
    known = {INPUT, *(op.name for op in program.ops)}
    for what, name in (("start", start), ("end", end)):
        if name is not None and name not in known:
            raise ProgramError(f"{what}: no edge is called {name!r}")
    if end in (INPUT, start):
        raise ProgramError(f"a part from {start!r} to {end!r} has no operation")
    wanted = [end] if end is not None else [program.scores, program.decision]
    ops = _between(program, start, [name for name in wanted if name is not None])
    if end is None:
        made = _Part(ops, program.scores, program.decision, program.affine)
    elif program.edges[end].shape[:2] == (1, 1):
        made = _Part(ops, end)
    else:
        window = _flattening(program, end)
        made = _Part((*ops, window), window.name)
    if start == INPUT:
        return made.program(program.input)
    return _first_legal(made, start, program.edges[start])


def passed_on(program: Program, edge: str) -> Program:
    """Return a program whose input has the values of ``edge``, and whose scores are the same.

    Raises:
        ProgramError: there is no such edge, or its values cannot be an input.
    """
    if edge not in program.edges:
        raise ProgramError(f"no edge is called {edge!r}")
    window = _flattening(program, edge)
    precision = _precisions(edge, program.edges[edge])[0]
    given = _input(program.edges[edge], precision)
    return Program(given, (replace(window, source=INPUT),), window.name)


def _between(program: Program, start: str, wanted: Iterable[str]) -> tuple[Op, ...]:
    """Return the operations that make the edges ``wanted`` of ``start`` alone, in order."""
    needed = dict.fromkeys(wanted, "the result of the part")
    kept: list[Op] = []
    for op in reversed(program.ops):
        if op.name not in needed or op.name == start:
            continue
        kept.append(op)
        for name in sources(op):
            needed.setdefault(name, op.name)
    if start != INPUT and INPUT in needed:
        path = [name for name in needed if name != INPUT]
        raise ProgramError(_crossing(program, start, path, needed))
    if start not in needed:
        raise ProgramError(f"a part from {start!r}: nothing in it reads {start!r}")
    if start in wanted:
        raise ProgramError(f"a part from {start!r}: it is a result of the program itself")
    return tuple(_reading(op, start) for op in reversed(kept))


def _reading(op: Op, start: str) -> Op:
    """Return the operation with the part's input where it read ``start``."""
    source = INPUT if op.source == start else op.source
    if isinstance(op, Add | Multiply | Concat):
        return replace(op, source=source, other=INPUT if op.other == start else op.other)
    return replace(op, source=source)


def _crossing(program: Program, start: str, path: list[str], needed: dict[str, str]) -> str:
    """Return the message for a part that needs an edge from before its start."""
    order = [op.name for op in program.ops]
    at = order.index(start)
    early = [name for name in path if name != start and name in order[:at]]
    edge = max(early, key=order.index) if early else INPUT
    return (
        f"cannot cut at {start!r}: {needed[edge]} after it also needs {edge!r}, which is made "
        "without it, as in a residual branch; put the whole branch on one side"
    )


def _flattening(program: Program, edge: str) -> Window:
    """Return a window as large as the map: its one patch is the map as a vector."""
    height, width, _ = program.edges[edge].shape
    name = f"{edge}_flat"
    while name in program.edges:
        name += "_"
    # The pad value is not used: there is no padding.
    return Window(name, edge, (height, width))


@dataclass(frozen=True)
class _Part:
    """A part without its input."""

    ops: tuple[Op, ...]
    scores: str
    decision: str | None = None
    affine: Affine | None = None

    def program(self, given: Input) -> Program:
        return Program(given, self.ops, self.scores, self.decision, self.affine)

    def widened(self, given: Input) -> Program:
        """Return the program with accumulators as wide as its input's precision needs."""
        wide = replace(self, ops=tuple(_with_bits(op, MAX_BITS) for op in self.ops)).program(given)
        ops = tuple(_with_bits(op, _needed(op, wide.edges[op.name])) for op in self.ops)
        return replace(self, ops=ops).program(given)


def _first_legal(made: _Part, start: str, edge: Edge) -> Program:
    """Return the part with an input of the first precision with which it is legal."""
    first: ProgramError | None = None
    for precision in _precisions(start, edge):
        for build in (made.program, made.widened):
            try:
                return build(_input(edge, precision))
            except ProgramError as reason:  # noqa: PERF203
                first = first or reason
    raise ProgramError(f"cannot cut at {start!r}: {first}") from first


def _precisions(start: str, edge: Edge) -> list[Precision]:
    """Return the precisions that an input with the values of ``edge`` may have, best first.

    The tightest one fits wherever the edge's own fits, except where an operation pads with a value
    that does not occur.
    """
    most = np.iinfo(np.int16).max
    found = [_tightest(edge), edge.precision]
    usable = [each for each in found if each.bits <= MAX_VALUE_BITS and each.high <= most]
    if not usable:
        raise ProgramError(
            f"cannot cut at {start!r}: its values from {edge.low} to {edge.high} need more than "
            f"the {MAX_VALUE_BITS} bits of an input; cut after its threshold"
        )
    return usable


def _tightest(edge: Edge) -> Precision:
    """Return the precision of fewest bits for all values of ``edge``; bipolar stays bipolar."""
    if edge.precision == BIPOLAR:
        return BIPOLAR
    low, high = edge.low, edge.high
    if low >= 0:
        return UINT(max(1, high.bit_length()))
    bits = max((-low - 1).bit_length(), max(0, high).bit_length()) + 1
    narrow = bits > 1 and low >= 1 - (1 << (bits - 1))
    return INT(bits, narrow=narrow)


def _input(edge: Edge, precision: Precision) -> IntegerInput:
    return IntegerInput(edge.shape if edge.shape[:2] != (1, 1) else edge.shape[2:], precision)


def _with_bits(op: Op, bits: int) -> Op:
    return replace(op, accumulator_bits=bits) if isinstance(op, Dot | Add | Multiply) else op


def _needed(op: Op, edge: Edge) -> int:
    """Return the bits that an accumulator needs, at least those it has; 0 for other operations."""
    if not isinstance(op, Dot | Add | Multiply):
        return 0
    return max(op.accumulator_bits, _signed_bits(edge.low, edge.high))


def _signed_bits(low: int, high: int) -> int:
    return max((-low - 1).bit_length() if low < 0 else 0, max(0, high).bit_length()) + 1

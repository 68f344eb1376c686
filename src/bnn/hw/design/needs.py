# SPDX-License-Identifier: BSD-3-Clause
"""Which operations run on the accelerator, and which operations read each edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bnn.hw.design import limits
from bnn.hw.flat import Circuit, State, flat
from bnn.hw.host_tail import device_edge
from bnn.program.operations import INPUT, Dot, Op, Threshold, Window, sources
from bnn.program.program import Program


@dataclass(frozen=True)
class Needs:
    """The operations that run on the accelerator.

    Attributes:
        program: the program, or the circuit of a program with scans.
        target: name of the edge that the accelerator delivers.
        ops: the operations, in the program's order.
        readers: name of an edge -> operations that read the edge; an operation that reads the edge
            twice is in the tuple twice.
        merged: name of a threshold that a matrix unit computes -> the dot of this matrix unit.
        states: vectors that are carried from column to column.
    """

    program: Program | Circuit
    target: str
    ops: tuple[Op, ...]
    readers: Mapping[str, tuple[Op, ...]]
    merged: Mapping[str, Dot]
    states: tuple[State, ...] = ()

    @classmethod
    def of(cls, program: Program) -> Needs:
        """Return the part of ``program`` that runs on the accelerator.

        Raises:
            BuildError: the hardware has no block for one of the operations.
        """
        whole = flat(program)
        if isinstance(whole, Circuit):
            return cls._of_circuit(whole)
        program = whole
        target = device_edge(program)
        wanted = {target}
        kept: list[Op] = []
        for op in reversed(program.ops):
            if op.name in wanted:
                kept.append(op)
                wanted |= set(sources(op))
        ops = tuple(reversed(kept))
        limits.check(program, ops)
        readers = _readers([INPUT], ops)
        return cls(program, target, ops, readers, _merged(ops, readers, {target}))

    @classmethod
    def _of_circuit(cls, circuit: Circuit) -> Needs:
        """Return the operations of a program with scans that run on the accelerator."""
        limits.check(circuit, circuit.ops)
        given = [*(side.input for side in circuit.sides), *(each.name for each in circuit.states)]
        readers = _readers(given, circuit.ops)
        kept = {circuit.target, *(state.next for state in circuit.states)}
        merged = _merged(circuit.ops, readers, kept)
        return cls(circuit, circuit.target, circuit.ops, readers, merged, circuit.states)

    def copies(self, edge: str) -> int:
        """Return how many streams of ``edge`` are read: by operations, states and the output."""
        states = sum(state.next == edge for state in self.states)
        return len(self.readers[edge]) + states + (edge == self.target)

    @property
    def dots(self) -> tuple[Dot, ...]:
        """The dots in order; each becomes a matrix unit."""
        return tuple(op for op in self.ops if isinstance(op, Dot))

    def only_reader(self, edge: str) -> Op | None:
        """Return the only operation that reads ``edge``; None if there are several or none."""
        readers = self.readers.get(edge, ())
        if any(state.next == edge for state in self.states):
            return None
        return readers[0] if len({id(op) for op in readers}) == 1 else None

    def reading_dot(self, op: Op) -> Dot | None:
        """Return the dot that is the only reader of the edge of ``op``, else None."""
        reader = self.only_reader(op.name)
        return reader if isinstance(reader, Dot) and op.name != self.target else None

    def threshold_of(self, dot: Dot) -> Threshold | None:
        """Return the threshold that the matrix unit of ``dot`` computes; None if there is none."""
        name = next((name for name, each in self.merged.items() if each is dot), None)
        op = None if name is None else self.program.op(name)
        assert op is None or isinstance(op, Threshold)
        return op

    def flattens(self, window: Window) -> bool:
        """Return whether the window covers the whole map, so that it needs no block."""
        shape = self.program.edges[window.source].shape
        return window.kernel == shape[:2] and not any(window.padding)


def _readers(given: list[str], ops: tuple[Op, ...]) -> dict[str, tuple[Op, ...]]:
    """Return for each edge the operations that read it; ``given``: edges without an operation."""
    readers: dict[str, tuple[Op, ...]] = dict.fromkeys((*given, *(op.name for op in ops)), ())
    for op in ops:
        for name in sources(op):
            readers[name] += (op,)
    return readers


def _merged(
    ops: tuple[Op, ...], readers: Mapping[str, tuple[Op, ...]], kept: set[str]
) -> dict[str, Dot]:
    """Return the thresholds in matrix units; ``kept``: edges that others than operations read."""
    merged = {}
    for op in ops:
        after = readers[op.name]
        alone = op.name not in kept and len(after) == 1
        if isinstance(op, Dot) and alone and isinstance(after[0], Threshold):
            merged[after[0].name] = op
    return merged

# SPDX-License-Identifier: BSD-3-Clause
"""Which operations run on the accelerator, and which operations read each edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bnn.hw.design import limits
from bnn.hw.host_tail import device_edge
from bnn.program.operations import INPUT, Dot, Op, Threshold, Window, sources
from bnn.program.program import Program


@dataclass(frozen=True)
class Needs:
    """The operations that run on the accelerator.

    Attributes:
        program: the program.
        target: name of the edge that the accelerator delivers.
        ops: the operations, in the program's order.
        readers: name of an edge -> operations that read the edge; an operation that reads the edge
            twice is in the tuple twice.
        merged: name of a threshold that a matrix unit computes -> the dot of this matrix unit.
    """

    program: Program
    target: str
    ops: tuple[Op, ...]
    readers: Mapping[str, tuple[Op, ...]]
    merged: Mapping[str, Dot]

    @classmethod
    def of(cls, program: Program) -> Needs:
        """Return the part of ``program`` that runs on the accelerator.

        Raises:
            BuildError: the hardware has no block for one of the operations.
        """
        target = device_edge(program)
        wanted = {target}
        kept: list[Op] = []
        for op in reversed(program.ops):
            if op.name in wanted:
                kept.append(op)
                wanted |= set(sources(op))
        ops = tuple(reversed(kept))
        limits.check(program, ops)
        readers: dict[str, tuple[Op, ...]] = {INPUT: (), **{op.name: () for op in ops}}
        for op in ops:
            for name in sources(op):
                readers[name] += (op,)
        merged = {}
        for op in ops:
            after = readers[op.name]
            alone = op.name != target and len(after) == 1
            if isinstance(op, Dot) and alone and isinstance(after[0], Threshold):
                merged[after[0].name] = op
        return cls(program, target, ops, readers, merged)

    @property
    def dots(self) -> tuple[Dot, ...]:
        """The dots in order; each becomes a matrix unit."""
        return tuple(op for op in self.ops if isinstance(op, Dot))

    def only_reader(self, edge: str) -> Op | None:
        """Return the only operation that reads ``edge``; None if there are several or none."""
        readers = self.readers.get(edge, ())
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

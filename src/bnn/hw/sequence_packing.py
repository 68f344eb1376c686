# SPDX-License-Identifier: BSD-3-Clause
"""What the host does for a program with scans: it orders columns, packs them, unpacks results."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.hw.design import Design
from bnn.hw.host_packing import Accelerated
from bnn.program import semantics
from bnn.program.operations import sources
from bnn.program.program import Program


class AcceleratedSequence(Accelerated):
    """Packing and unpacking for the design of a program with scans.

    An image of the accelerator has a column for each direction: if there are two, image n has
    column n from the front and column n from the back. The scores of a column join both directions,
    so they are computed after the whole sequence; the host does it.
    """

    def pack(self, inputs: NDArray[Any]) -> NDArray[np.uint64]:
        """Return the memory words uint64 (columns, words_in) of one whole sequence.

        ``inputs``: its columns, as ``input.check`` returned them.
        """
        integers = self.design.program.input.integers(inputs)
        flat = integers.reshape(len(integers), int(np.prod(integers.shape[1:])))
        sides = [flat[::-1] if side.reverse else flat for side in self.design.sides]
        return self.design.source.pack(np.concatenate(sides, axis=1))

    def finish(
        self, words: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64] | None]:
        """Compute scores (columns, classes) and decisions (columns,) of one whole sequence.

        ``words``: the result words (columns, words_out). The decisions are None if the program has
        no arg max that decides.
        """
        program = self.design.program
        values = self.design.target.unpack(words).astype(np.int64)
        edges: dict[str, NDArray[Any]] = {}
        first = 0
        for side in self.design.sides:
            count = program.edges[side.edge].shape[2]
            part = values[:, first : first + count]
            edges[side.edge] = (part[::-1] if side.reverse else part)[:, None, None, :]
            first += count
        scores = _evaluated(program, program.scores, edges)[:, 0, 0, :].astype(np.int32)
        if program.decision is None:
            return scores, None
        return scores, _evaluated(program, program.decision, edges)[:, 0, 0, 0]


def _evaluated(program: Program, wanted: str, edges: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Return the edge ``wanted`` of ``program``; add it, and what it needs, to ``edges``."""
    if wanted not in edges:
        op = program.op(wanted)
        for name in sources(op):
            _evaluated(program, name, edges)
        edges[wanted] = semantics.apply(op, edges, program.edges)
    return edges[wanted]


def accelerated(design: Design) -> Accelerated:
    """Return packing and unpacking for ``design``."""
    return AcceleratedSequence(design) if design.sides else Accelerated(design)

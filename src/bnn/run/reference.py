# SPDX-License-Identifier: BSD-3-Clause
"""The reference runtime: computes what :mod:`bnn.program.semantics` defines, with NumPy.

It is simple, not fast. The results of every other runtime must equal its results bit for bit.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from bnn.program.inputs import ready
from bnn.program.program import Program
from bnn.program.semantics import Array, evaluate, last_readers
from bnn.run import Outputs

#: Values that one chunk of images may hold in its largest edge, to bound memory.
CHUNK_VALUES = 1 << 22
#: Values that one chunk of images may hold in all edges together.
KEPT_VALUES = 1 << 26


def prepare(program: Program) -> ReferenceRuntime:
    """Return a reference runtime for ``program``; it has no options."""
    return ReferenceRuntime(program)


class ReferenceRuntime:
    """A program whose operations are evaluated in order, for a few images at a time."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._done = last_readers(program)
        sizes = [int(np.prod(edge.shape)) for edge in program.edges.values()]
        self._chunk = max(1, min(CHUNK_VALUES // max(sizes), KEPT_VALUES // sum(sizes)))
        if program.is_sequence:
            self._chunk = sys.maxsize  # a batch is one sequence

    def run(self, inputs: Array) -> Outputs:
        """Run a batch, see :meth:`bnn.run.Runtime.run`."""
        start = time.perf_counter()
        program = self.program
        inputs = ready(program.input, inputs)
        scores = np.empty((len(inputs), program.score_count), np.int32)
        decisions = None if program.decision is None else np.empty(len(inputs), np.int64)
        for first in range(0, len(inputs), self._chunk):
            chunk = slice(first, first + self._chunk)
            edges = evaluate(program, inputs[chunk], self._done)
            scores[chunk] = edges[program.scores][:, 0, 0, :]
            if decisions is not None and program.decision is not None:
                decisions[chunk] = edges[program.decision][:, 0, 0, 0]
        return Outputs(scores, decisions, time.perf_counter() - start)

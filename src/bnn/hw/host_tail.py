# SPDX-License-Identifier: BSD-3-Clause
"""Operations that the host computes after the accelerator: the arg max, and others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import BuildError
from bnn.program import semantics
from bnn.program.operations import ArgMax, Op, sources
from bnn.program.program import Program


def device_edge(program: Program) -> str:
    """Return the name of the edge that the accelerator delivers.

    It is the edge of the scores; if an arg max makes the scores, the edge that the arg max reads.

    Raises:
        BuildError: the host cannot compute the scores or the decision from this edge.
    """
    name = program.scores
    while isinstance(op := program.op(name), ArgMax):
        name = op.source
        if name not in {each.name for each in program.ops}:
            raise BuildError(
                f"{op.name}: nothing is computed before this arg max; run it on the cpu runtime"
            )
    tail(program, name)
    return name


def tail(program: Program, device: str) -> list[Op]:
    """Return the operations that make scores and decision from the edge ``device``, in order.

    Raises:
        BuildError: an operation reads an edge that is computed before ``device``.
    """
    wanted = {program.scores} | ({program.decision} if program.decision else set())
    kept: list[Op] = []
    for op in reversed(program.ops):
        if op.name == device or op.name not in wanted:
            continue
        kept.append(op)
        wanted.update(sources(op))
    known = {device}
    for op in reversed(kept):
        if not known.issuperset(sources(op)):
            raise BuildError(
                f"{op.name}: the scores or the decision need this operation, but the accelerator "
                f"only gives {device!r}; run the model on the cpu runtime"
            )
        known.add(op.name)
    return kept[::-1]


def finish(
    program: Program, device: str, values: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int64] | None]:
    """Compute scores (N, classes) and decisions (N,) from the values (N, n) of ``device``.

    The decisions are None if the program has no arg max that decides.
    """
    if program.decision is None and program.scores == device:
        return values, None
    edges: dict[str, Any] = {device: values.astype(np.int64)[:, None, None, :]}
    for op in tail(program, device):
        edges[op.name] = semantics.apply(op, edges, program.edges)
    scores = edges[program.scores][:, 0, 0, :].astype(np.int32)
    if program.decision is None:
        return scores, None
    return scores, edges[program.decision][:, 0, 0, 0]

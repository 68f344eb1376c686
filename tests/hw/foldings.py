# SPDX-License-Identifier: BSD-3-Clause
"""Random foldings for random programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from bnn.hw.block import divisors
from bnn.hw.folding import Folding, LayerFolding, dots
from bnn.program import Program, Window

#: The same thirty draws in every run; each is simulated or synthesised, so none is shrunk.
THIRTY_DRAWS = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@st.composite
def foldings(draw: Callable[..., Any], program: Program) -> Folding:
    """A folding that fits ``program``: any divisors, and pixels up to a row of positions."""
    layers = {}
    for dot in dots(program):
        rows, columns = dot.weights.shape
        width = program.edges[dot.name].shape[1]
        layers[dot.name] = LayerFolding(
            pe=draw(st.sampled_from(divisors(rows))),
            simd=draw(st.sampled_from(divisors(columns))),
            pixels=draw(st.integers(1, width)) if _free(program, dot.source) else 1,
        )
    return Folding(layers, loadable=draw(st.booleans()))


def _free(program: Program, edge: str) -> bool:
    """Whether the dot may take several positions: always, but for whole-map windows."""
    op = next((op for op in program.ops if op.name == edge), None)
    return not isinstance(op, Window) or program.edges[edge].shape[:2] != (1, 1)

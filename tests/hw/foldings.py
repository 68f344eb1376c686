# SPDX-License-Identifier: BSD-3-Clause
"""Random foldings for random programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from bnn.errors import BuildError, PlanError
from bnn.hw import folding as folds
from bnn.hw.blocks.block import divisors
from bnn.hw.flat import Circuit, flat
from bnn.hw.folding import Folding, LayerFolding, dots
from bnn.plan import Part, Plan, plan
from bnn.program.operations import Window
from bnn.program.program import Program
from support.programs import Limits, networks

#: The same draws in every run; each plan is simulated or synthesised, so none is shrunk.
_DRAWS = settings(
    max_examples=1000,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
_PLANS = 30


def thirty_plans(
    limits: Limits, luts: st.SearchStrategy[int], check: Callable[[Plan], None]
) -> None:
    """Plans of random networks for random parts, no two of one circuit, each given to ``check``."""
    seen: set[str] = set()

    @hypothesis.seed(7)
    @_DRAWS
    @given(program=networks(limits), size=luts, data=st.data())
    def run(program: Program, size: int, data: st.DataObject) -> None:
        if len(seen) == _PLANS:
            return
        part = Part("small", size, 4 * size, data.draw(st.sampled_from([2, 10, 140])), 220, 100)
        try:
            found = _planned(program, part, data)
        except (BuildError, PlanError):
            return
        circuit = _circuit(found)
        if "bnn_matrix" in circuit and circuit not in seen:
            note(f"{folds.as_json(found.folding)}")
            seen.add(circuit)
            check(found)

    run()
    assert len(seen) == _PLANS


def _circuit(found: Plan) -> str:
    """Its blocks with their parameters, whatever their constants."""
    return " ".join(
        f"{each.block.module} {[v for k, v in each.block.generics().items() if 'FILE' not in k]}"
        for each in found.design.instances
    )


def _planned(program: Program, part: Part, data: st.DataObject) -> Plan:
    loadable = data.draw(st.booleans())
    best = plan(program, on=part, loadable=loadable)
    slower = data.draw(st.integers(1, 30))
    if slower == 1:
        return best
    cycles = best.cycles * slower
    found = plan(program, fps=1e8 / (cycles + 0.5), on=part, loadable=loadable)
    assert found.cycles <= cycles
    return found


@st.composite
def foldings(draw: Callable[..., Any], program: Program) -> Folding:
    """A folding that fits ``program``: any divisors, and pixels up to a row of positions."""
    layers = {}
    whole = flat(program)
    for dot in dots(program):
        rows, columns = dot.weights.shape
        width = whole.edges[dot.name].shape[1]
        layers[dot.name] = LayerFolding(
            pe=draw(st.sampled_from(divisors(rows))),
            simd=draw(st.sampled_from(divisors(columns))),
            pixels=draw(st.integers(1, width)) if _free(whole, dot.source) else 1,
        )
    return Folding(layers, loadable=draw(st.booleans()))


def _free(program: Program | Circuit, edge: str) -> bool:
    """Whether the dot may take several positions: always, but for whole-map windows."""
    op = next((op for op in program.ops if op.name == edge), None)
    return not isinstance(op, Window) or program.edges[edge].shape[:2] != (1, 1)

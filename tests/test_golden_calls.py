# SPDX-License-Identifier: BSD-3-Clause
"""What the functions of hardware, plans, pictures and models return for small examples."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from bnn.errors import BnnError
from bnn.hw import export
from bnn.hw import folding as folds
from bnn.hw.boards import board
from bnn.hw.design import build
from bnn.hw.folding import Folding
from bnn.plan import arm, cost, plan
from bnn.plan.events import simulate
from bnn.program import cut
from bnn.program.program import Program
from data.pictures.test_golden_pictures import KINDS, plain, sheets
from hw.examples import DENSE_FOLDING, RESIDUAL_FOLDING, dense, residual
from support import drawn
from support.calls import returned
from support.golden import compare

#: The rounding of NumPy's functions, and what they are called, are those of its second version.
pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="other numbers with NumPy 1")

PROGRAMS: dict[str, Callable[[], tuple[Program, Folding]]] = {
    "dense": lambda: (dense(), DENSE_FOLDING),
    "residual": lambda: (residual(), RESIDUAL_FOLDING),
    "drawn 1": lambda: (drawn.program(1), folds.balanced(drawn.program(1), 150)),
    "drawn 4": lambda: (drawn.program(4), folds.balanced(drawn.program(4), 40, loadable=True)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_hardware_and_plans(name: str, tmp_path: Path) -> None:
    program, folding = PROGRAMS[name]()

    def work() -> None:
        design = build(program, folding)
        export.write(design, board("pynq-z2"), tmp_path / "build")
        cost.of_design(design)
        simulate(design, 3, latency=7)
        plan(program, on="xc7z007s", fill=0.3, loadable=folding.loadable)
        arm.features(program)
        for count in range(1, len(program.ops)):
            with suppress(BnnError):
                edge = cut.cut_edge(program, count)
                cut.part(program, end=edge)
                cut.part(program, edge)
                cut.passed_on(program, edge)

    rooms = ("hw/", "plan/", "program/cut")
    compare(f"calls-hw-{name.replace(' ', '-')}", returned(work, rooms))


@pytest.mark.parametrize("kind", KINDS)
def test_pictures(kind: str) -> None:
    rule, shape = KINDS[kind]

    def work() -> None:
        some = [*plain()][::7] if kind != "digit" else [*sheets()][::3]
        for name, image in some:
            if kind == "digit fixed" and name.startswith("P "):
                continue
            with suppress(BnnError), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rule.to_array(image, shape)

    found = returned(work, ("data/pictures/",))
    compare(f"calls-pictures-{kind.replace(' ', '-')}", found)

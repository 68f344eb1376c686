# SPDX-License-Identifier: BSD-3-Clause
"""What the planner says fits, fits: Yosys counts no more than the part has."""

from __future__ import annotations

import pytest
from hypothesis import note
from hypothesis import strategies as st

from bnn.hw.render import sources
from bnn.hw.toolchain import synth
from bnn.plan import Plan
from hw.foldings import thirty_plans
from support.programs import Limits

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("yosys")]

LIMITS = Limits(side=6, channels=8, ops=5, levels=3, patch=100)


def test_thirty_random_plans_fit() -> None:
    """Random networks as fast as random small parts hold them, or as fast as was wished."""
    thirty_plans(LIMITS, st.integers(2_500, 6_000), _fits)


def _fits(found: Plan) -> None:
    modules = {instance.name: instance.block.module for instance in found.design.instances}
    total = synth.cells(sources(found.design), modules)["total"]
    note(f"{total}, estimated {found.cost}")
    assert total["LUT"] <= found.part.luts
    assert total["FF"] <= found.part.ffs
    assert total["BRAM36"] <= found.part.bram36

# SPDX-License-Identifier: BSD-3-Clause
"""What the planner says fits, fits: Yosys counts no more than the part has."""

from __future__ import annotations

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from bnn.errors import BuildError, PlanError
from bnn.hw import synth
from bnn.hw.render import sources
from bnn.plan import Part, plan
from hw.foldings import THIRTY_DRAWS
from programs import Limits, networks

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("yosys")]

LIMITS = Limits(side=6, channels=8, ops=5, levels=3, patch=100)


@THIRTY_DRAWS
@given(
    program=networks(LIMITS),
    luts=st.integers(2_500, 6_000),
    brams=st.sampled_from([2, 10, 140]),
    loadable=st.booleans(),
)
def test_thirty_random_plans_fit(program, luts: int, brams: int, loadable: bool) -> None:
    """Random networks as fast as random small parts hold them."""
    part = Part("small", luts, 4 * luts, brams, 220, 100.0, ())
    try:
        found = plan(program, on=part, loadable=loadable)
    except (BuildError, PlanError):
        return
    note(f"{found.folding}")
    modules = {instance.name: instance.block.module for instance in found.design.instances}
    total = synth.cells(sources(found.design, probes=False), modules)["total"]
    note(f"{total}, estimated {found.cost}")
    assert total["LUT"] <= luts
    assert total["FF"] <= 4 * luts
    assert total["BRAM36"] <= brams

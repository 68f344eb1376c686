# SPDX-License-Identifier: BSD-3-Clause
"""Synthesis: every block is counted, and the parts make the whole."""

from __future__ import annotations

import pytest

from bnn.hw.design import build
from bnn.hw.render import sources
from bnn.hw.toolchain import synth
from hw.examples import DENSE_FOLDING, dense

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("yosys")]


def test_every_block_is_counted() -> None:
    design = build(dense(), DENSE_FOLDING)
    modules = {instance.name: instance.block.module for instance in design.instances}
    cells = synth.cells(sources(design, probes=False), modules)
    assert set(cells) == {*modules, "control", "reader", "writer", "total"}
    total = cells.pop("total")
    for kind in ("LUT", "FF", "BRAM36", "DSP"):
        parts = sum(counts[kind] for counts in cells.values())
        # Outside the blocks is the parameter bus's decoding, and the reset.
        assert parts <= total[kind] <= parts + 64
    assert cells["hidden"]["FF"] > 50
    assert 1000 < total["LUT"] < 2000

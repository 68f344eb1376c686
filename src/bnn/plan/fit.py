# SPDX-License-Identifier: BSD-3-Clause
"""Whether a design fits a part, by the estimate of :mod:`bnn.plan.cost`."""

from __future__ import annotations

from bnn.hw.blocks.matrix import Matrix
from bnn.hw.design import Design
from bnn.hw.parts import Part
from bnn.plan import cost
from bnn.plan.search import Budget

#: Largest error of the estimate on whole designs (docs/hardware.md), and of block RAMs.
LUT_ERROR, BRAM_ERROR = 0.10, 0.02


def too_many(design: Design, part: Part) -> str:
    """Return which cells of ``part`` a design exceeds, even if the estimate is too high by its
    largest error; "" if it may fit.
    """
    most, memories = 1 + LUT_ERROR, 1 + BRAM_ERROR
    budget = Budget(most * part.luts, most * part.ffs, memories * part.bram36, most * part.dsps)
    excess = budget.excess(cost.of_design(design))
    text = " and ".join(
        f"about {used:,.0f} {kind} of {part.cells[kind]:,g}" for kind, (used, _) in excess.items()
    )
    if "BRAM36" in excess:
        name, bram36 = largest_memory(design)
        text += f"; the weights of {name} alone take {bram36:,.4g} BRAM36"
    return text


def largest_memory(design: Design) -> tuple[str, float]:
    """Return the matrix whose memories use most block RAM, and how many BRAM36 they use."""
    uses = {
        each.block.name: cost.of_block(each.block).bram36
        for each in design.instances
        if isinstance(each.block, Matrix)
    }
    name = max(uses, key=lambda each: uses[each])
    return name, uses[name]

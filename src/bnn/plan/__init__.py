# SPDX-License-Identifier: BSD-3-Clause
"""Will a network fit a part, and how fast: foldings chosen and costed in seconds.

from bnn.plan import plan

found = plan("cnv-w1a1", fps=12_000)         # or: no fps, for the most that the part holds
found.fps, found.cost.lut, found.folding     # a folding for bnn build and the runtime sim
"""

from bnn.hw.boards import part
from bnn.hw.parts import Part, parts
from bnn.plan.planner import LayerPlan, Plan, plan

__all__ = ["LayerPlan", "Part", "Plan", "part", "parts", "plan"]

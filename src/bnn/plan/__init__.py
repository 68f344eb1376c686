# SPDX-License-Identifier: BSD-3-Clause
"""Choose foldings in seconds, and estimate whether a network fits a part and how fast it is.

from bnn.plan import plan

found = plan("cnv-w1a1", fps=12_000)         # without fps: the fastest that fits the part
found.fps, found.cost.lut, found.folding     # a folding for bnn build and the runtime sim
"""

from bnn.hw.boards import part
from bnn.hw.parts import Part, parts
from bnn.plan.planner import LayerPlan, Plan, plan

__all__ = ["LayerPlan", "Part", "Plan", "part", "parts", "plan"]

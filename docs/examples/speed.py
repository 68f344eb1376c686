# SPDX-License-Identifier: BSD-3-Clause
"""Cycles and images per second of the bundled networks' circuits: docs/faq.md shows it."""

import bnn
from bnn.hw import folding
from bnn.hw.design import build
from bnn.plan import plan

print(f"{'network':10} {'folding':12} {'cycles/image':>12} {'images/s':>10} {'LUT':>8}")
for name in ("lfc-w1a1", "cnv-w1a1"):
    program = bnn.load(name).program
    design = build(program, folding.original(program))
    print(f"{name:10} {'original':12} {design.cycles:12,} {1e8 / design.cycles:10,.0f}")
    best = plan(program)
    print(f"{name:10} {'fastest':12} {best.cycles:12,} {best.fps:10,.0f} {best.cost.lut:8,.0f}")

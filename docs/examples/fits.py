# SPDX-License-Identifier: BSD-3-Clause
"""Whether three dense layers of 64 neurons fit a PYNQ-Z2: docs/faq.md shows it.

A plan depends on shapes and bits, hardly on values: random signs stand in for trained weights.
"""

import numpy as np

from bnn.plan import plan
from bnn.program.inputs import PictureInput, sign_table
from bnn.program.operations import Dot, Threshold, Window
from bnn.program.precision import BIPOLAR
from bnn.program.program import Program


def network(side: int) -> Program:
    """Three layers of 64 neurons and ten classes, for pictures of side x side, one bit each."""
    signs = np.random.default_rng(1)
    whole = (side, side)
    ops = [Window("patch", "input", kernel=whole, stride=(1, 1), padding=(0, 0, 0, 0), pad_value=0)]
    source, inputs = "patch", side * side
    for number, rows in enumerate((64, 64, 64, 10)):
        weights = signs.choice(np.array([-1, 1], np.int8), (rows, inputs))
        ops.append(Dot(f"dot{number}", source, weights, BIPOLAR, accumulator_bits=16))
        source, inputs = f"dot{number}", rows
        if rows == 64:
            zeros = np.zeros((rows, 1), np.int32)
            ops.append(Threshold(f"bits{number}", source, zeros, BIPOLAR, base=-1, step=2))
            source = f"bits{number}"
    return Program(PictureInput((side, side, 1), BIPOLAR, sign_table()), tuple(ops), source)


print(f"{'pictures':8} {'LUT':>7} {'of 53,200':>10} {'BRAM36 of 140':>14} {'images/s':>10}")
for side in (28, 64):
    found = plan(network(side), on="pynq-z2", fps=100_000)
    lut, bram = found.cost.lut, found.cost.bram36
    print(f"{side}x{side:<5} {lut:7,.0f} {lut / 532:8.0f} % {bram:14.1f} {found.fps:10,.0f}")

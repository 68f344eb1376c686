# SPDX-License-Identifier: BSD-3-Clause
"""Random programs run by each kernel of this machine, compared with the reference."""

from __future__ import annotations

import numpy as np

from bnn.program.precision import BIPOLAR, TERNARY, UINT
from bnn.program.program import Program
from bnn.run import cpu, reference
from support.programs import Limits, batches

KERNELS = [kernel.name for kernel in cpu.kernels() if kernel.available]

#: Channels on both sides of a byte, a vector and a word; deep sums; few odd operations.
WIDE = Limits(side=5, channels=140, ops=3, extremes=False, patch=1300)

#: Only what the look-up tables and the tiles are for: bits and ternaries, many images.
FEW_BITS = Limits(
    side=6,
    channels=130,
    ops=4,
    weights=(BIPOLAR, TERNARY),
    activations=(BIPOLAR, UINT(1), TERNARY),
    patch=1300,
)


def assert_equal(program: Program, size: int, threads: int = 1) -> None:
    inputs = batches(program, size, seed=size)
    wanted = reference.prepare(program).run(inputs)
    for kernel in KERNELS:
        got = cpu.prepare(program, kernel=kernel, threads=threads).run(inputs)
        np.testing.assert_array_equal(got.scores, wanted.scores, err_msg=kernel)
        assert got.scores.dtype == np.int32
        if wanted.decisions is None:
            assert got.decisions is None
        else:
            np.testing.assert_array_equal(got.decisions, wanted.decisions, err_msg=kernel)
            assert got.decisions is not None
            assert got.decisions.dtype == np.int64

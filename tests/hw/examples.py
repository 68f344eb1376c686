# SPDX-License-Identifier: BSD-3-Clause
"""Small programs that together use every block."""

from __future__ import annotations

import numpy as np

from bnn.hw.folding import Folding, LayerFolding
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Add, ArgMax, Dot, Pool, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT
from bnn.program.program import Program


def signs(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Random -1 and +1."""
    return 2 * random.integers(0, 2, shape) - 1


def dense(seed: int = 0) -> Program:
    """20 bipolar inputs, 8 hidden units, 5 scores, decided by the highest positive one."""
    random = np.random.default_rng(seed)
    return Program(
        IntegerInput((20,), BIPOLAR),
        (
            Dot("hidden", "input", signs(random, 8, 20), BIPOLAR),
            Threshold("act", "hidden", random.integers(-4, 4, (8, 1)), BIPOLAR, -1, 2),
            Dot("out", "act", signs(random, 5, 8), BIPOLAR, accumulator_bits=8),
            ArgMax("class", "out", "highest-positive"),
        ),
        "out",
        decision="class",
    )


#: Column padding (20 to 24), two rows at once, run-time parameters.
DENSE_FOLDING = Folding({"hidden": LayerFolding(4, 8), "out": LayerFolding(2, 4, rows=8)}, True)


def residual(seed: int = 0) -> Program:
    """A padded convolution beside a shortcut, pools, mixed precisions, falling thresholds."""
    random = np.random.default_rng(seed)
    levels = np.sort(random.integers(-30, 30, (6, 3)), axis=1)
    return Program(
        IntegerInput((7, 6, 3), INT(4)),
        (
            Window("w0", "input", (3, 3), (1, 1), (1, 1, 1, 1), pad_value=-3),
            Dot("d0", "w0", random.integers(-2, 2, (6, 27)), INT(2)),
            Threshold("t0", "d0", levels, UINT(2), signs=signs(random, 6)),
            Window("w1", "t0", (3, 2), (1, 1), (1, 0, 1, 1)),
            Dot("d1", "w1", random.integers(-1, 2, (6, 36)), TERNARY, bias=np.arange(6)),
            Add("sum", "d1", "t0"),
            Threshold("t1", "sum", np.sort(random.integers(-9, 9, (6, 2)), 1), TERNARY, -1, 1),
            Pool("p1", "t1", (2, 3), (2, 1), (0, 1, 1, 1)),
            Window("w2", "p1", (4, 6)),
            Dot("d2", "w2", signs(random, 5, 144), BIPOLAR, accumulator_bits=12),
        ),
        "d2",
    )


#: Groups of positions that cross rows, widening and narrowing, constants.
RESIDUAL_FOLDING = Folding(
    {"d0": LayerFolding(1, 9, 4), "d1": LayerFolding(2, 12, 5), "d2": LayerFolding(1, 16)}
)


def tfc(seed: int = 0) -> Program:
    """As large as FINN's TFC: 784 bipolar inputs, three layers of 64, ten scores."""
    random = np.random.default_rng(seed)
    operations: list[Dot | Threshold] = []
    source, columns = "input", 784
    for name in ("fc0", "fc1", "fc2"):
        levels = random.integers(-9, 10, (64, 1))
        operations += [
            Dot(name, source, signs(random, 64, columns), BIPOLAR),
            Threshold(f"{name}_act", name, levels, BIPOLAR, -1, 2),
        ]
        source, columns = f"{name}_act", 64
    operations.append(Dot("scores", source, signs(random, 10, 64), BIPOLAR, accumulator_bits=8))
    return Program(IntegerInput((784,), BIPOLAR), tuple(operations), "scores")


#: 196 cycles per image, run-time parameters.
TFC_FOLDING = Folding(
    {
        "fc0": LayerFolding(16, 16),
        "fc1": LayerFolding(4, 16),
        "fc2": LayerFolding(4, 16),
        "scores": LayerFolding(2, 8),
    },
    True,
)


def words() -> Program:
    """A word in and a word out at a time, many of them: the buses are what limits."""
    random = np.random.default_rng(0)
    levels = np.sort(random.integers(-40, 40, (8, 15)), axis=1)
    ops = (
        Dot("d", "input", signs(random, 8, 64), BIPOLAR),
        Threshold("t", "d", levels, UINT(8), 3, 16),
        Window("w", "t", (3, 21)),
    )
    return Program(IntegerInput((3, 21, 64), BIPOLAR), ops, "w")


#: Parameters come through the bus as well.
WORDS_FOLDING = Folding({"d": LayerFolding(8, 64)}, loadable=True)

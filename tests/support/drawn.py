# SPDX-License-Identifier: BSD-3-Clause
"""Programs that are the same in every run and with every version of hypothesis."""

from __future__ import annotations

import numpy as np

from bnn.program.inputs import IntegerInput
from bnn.program.operations import INPUT, Add, Dot, Op, Pool, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from bnn.program.program import Program

WEIGHTS = (BIPOLAR, TERNARY, INT(2), INT(4))
VALUES = (BIPOLAR, TERNARY, UINT(1), UINT(2), INT(3), UINT(4))


def values(random: np.random.Generator, precision: Precision, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a precision."""
    if precision == BIPOLAR:
        return 2 * random.integers(0, 2, shape) - 1
    return random.integers(precision.low, precision.high + 1, shape)


def program(seed: int) -> Program:
    """A convolution or two, perhaps a pool and a shortcut, and dense layers."""
    random = np.random.default_rng(seed)

    def one_of(choices: tuple[Precision, ...]) -> Precision:
        return choices[random.integers(len(choices))]

    side, channels = int(random.integers(5, 9)), int(random.integers(1, 5))
    given = one_of(VALUES)
    shape = [side, side + int(random.integers(0, 3)), channels]
    first = (shape[0], shape[1], shape[2])
    ops: list[Op] = []
    at, held = INPUT, given
    for layer in range(int(random.integers(1, 3))):
        kernel = min(int(random.integers(1, 4)), *shape[:2])
        outputs = int(random.choice([2, 4, 6]))
        padded = bool(random.integers(2)) and held.low <= 0 <= held.high and held != BIPOLAR
        near, far = (kernel // 2, (kernel - 1) // 2) if padded else (0, 0)
        stride = (1, int(random.integers(1, 3)))
        ops.append(Window(f"w{layer}", at, (kernel, kernel), stride, (near, near, far, far)))
        shape[0] = (shape[0] + near + far - kernel) // stride[0] + 1
        shape[1] = (shape[1] + near + far - kernel) // stride[1] + 1
        weights = one_of(WEIGHTS)
        rows = values(random, weights, (outputs, kernel * kernel * shape[2]))
        ops.append(Dot(f"d{layer}", f"w{layer}", rows, weights))
        shape[2] = outputs
        held = one_of(VALUES)
        at = _threshold(random, ops, f"t{layer}", f"d{layer}", outputs, held)
        if layer == 0 and min(shape[:2]) >= 4 and random.integers(2):
            ops.append(Pool("p", at, (2, 2), (2, 2)))
            shape[:2] = [shape[0] // 2, shape[1] // 2]
            at = "p"
        if random.integers(2):
            same = values(random, BIPOLAR, (outputs, outputs))
            ops.append(Window(f"v{layer}", at, (1, 1)))
            ops.append(Dot(f"e{layer}", f"v{layer}", same, BIPOLAR))
            ops.append(Add(f"a{layer}", f"e{layer}", at))
            held = one_of(VALUES)
            at = _threshold(random, ops, f"u{layer}", f"a{layer}", outputs, held)
    ops.append(Window("flat", at, (shape[0], shape[1])))
    count = shape[0] * shape[1] * shape[2]
    weights = one_of(WEIGHTS)
    ops.append(Dot("last", "flat", values(random, weights, (3, count)), weights))
    return Program(IntegerInput(first, given), tuple(ops), "last")


def _threshold(
    random: np.random.Generator,
    ops: list[Op],
    name: str,
    source: str,
    channels: int,
    precision: Precision,
) -> str:
    """Add a threshold, of falling channels too; return its name."""
    steps = 1 if precision == BIPOLAR else precision.high - precision.low
    levels = np.sort(random.integers(-12, 13, (channels, steps)), axis=1)
    signs = 2 * random.integers(0, 2, channels) - 1 if random.integers(2) else None
    step = 2 if precision == BIPOLAR else 1
    ops.append(Threshold(name, source, levels, precision, precision.low, step, signs=signs))
    return name

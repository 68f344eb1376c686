# SPDX-License-Identifier: BSD-3-Clause
"""The networks that are measured: the original's topologies with random weights, and dense ones.

Speed does not depend on the weights, so none need be loaded.
"""

from __future__ import annotations

import numpy as np

from bnn.program.inputs import PictureInput, fixed_point_table, sign_table
from bnn.program.operations import Dot, Op, Pool, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from bnn.program.program import Program

NAMES = ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2", "lfc-w1a1", "lfc-w1a2", "dense-w3a3", "dense-w4a4")


class _Builder:
    """Adds layers to a list of operations."""

    def __init__(self, weights: Precision, activations: Precision) -> None:
        self.weights, self.activations = weights, activations
        self.random = np.random.default_rng(0)
        self.ops: list[Op] = []
        self.last, self.channels = "input", 0

    def add(self, op: Op) -> None:
        self.ops.append(op)
        self.last = op.name

    def layer(self, rows: int, columns: int, window: Window | None, activate: bool = True) -> None:
        number = len(self.ops)
        if window is not None:
            self.add(window)
        values = np.arange(self.weights.low, self.weights.high + 1)
        if self.weights == BIPOLAR:
            values = np.array([-1, 1])
        weights = self.random.choice(values, (rows, columns))
        self.add(Dot(f"dot{number}", self.last, weights, self.weights))
        if activate:
            self.threshold(f"act{number}", rows, columns)
        self.channels = rows

    def threshold(self, name: str, rows: int, columns: int) -> None:
        precision = self.activations
        bipolar = precision == BIPOLAR
        levels = 1 if bipolar else precision.high - precision.low
        middle = self.random.integers(-9, 10, (rows, 1))
        spread = max(1, int(columns**0.5) // levels) * (np.arange(levels) - levels // 2)
        self.add(Threshold(name, self.last, middle + spread, precision, precision.low, 1 + bipolar))


def cnv(weights: Precision, activations: Precision) -> Program:
    """Return CNV: six 3x3 convolutions, two pools and three dense layers (section 1)."""
    build = _Builder(weights, activations)
    build.channels = 3
    for number, (rows, pool) in enumerate(
        [(64, False), (64, True), (128, False), (128, True), (256, False), (256, False)]
    ):
        window = Window(f"window{number}", build.last, (3, 3))
        build.layer(rows, 9 * build.channels, window)
        if pool:
            build.add(Pool(f"pool{number}", build.last, (2, 2), (2, 2)))
    for rows in (512, 512):
        build.layer(rows, build.channels, None)
    build.layer(10, build.channels, None, activate=False)
    pictures = PictureInput((32, 32, 3), INT(8), fixed_point_table())
    return Program(pictures, tuple(build.ops), build.last)


def lfc(activations: Precision) -> Program:
    """Return LFC: dense layers of 1024, 1024, 1024 and the classes (section 1)."""
    build = _Builder(BIPOLAR, activations)
    build.channels = 784
    for number, rows in enumerate((1024, 1024, 1024)):
        window = Window("flat", "input", (28, 28)) if number == 0 else None
        build.layer(rows, build.channels, window)
    build.layer(10, build.channels, None, activate=False)
    pictures = PictureInput((28, 28, 1), BIPOLAR, sign_table())
    return Program(pictures, tuple(build.ops), build.last)


def dense(bits: int) -> Program:
    """Return three dense layers of 1024, and ten classes, on 28x28; weights and activations of
    ``bits`` bits: the generic path."""
    build = _Builder(INT(bits), UINT(bits))
    build.channels = 784
    for number, rows in enumerate((1024, 1024, 1024)):
        window = Window("flat", "input", (28, 28)) if number == 0 else None
        build.layer(rows, build.channels, window)
    build.layer(10, build.channels, None, activate=False)
    table = np.arange(256) >> (8 - bits)
    return Program(PictureInput((28, 28, 1), UINT(bits), table), tuple(build.ops), build.last)


def network(name: str) -> Program:
    """Return the network called ``name``, one of :data:`NAMES`."""
    match name.split("-"):
        case ["cnv", "w1a1"]:
            return cnv(BIPOLAR, BIPOLAR)
        case ["cnv", "w1a2"]:
            return cnv(BIPOLAR, TERNARY)
        case ["cnv", "w2a2"]:
            return cnv(TERNARY, TERNARY)
        case ["lfc", "w1a1"]:
            return lfc(BIPOLAR)
        case ["lfc", "w1a2"]:
            return lfc(TERNARY)
        case ["dense", bits]:
            return dense(int(bits[1]))
    raise ValueError(name)

# SPDX-License-Identifier: BSD-3-Clause
"""Measure layers off the beaten path, each kernel set in turn: ``bench/shapes.py``.

1x1 convolutions, channels that are no whole word of 64 bits, a large kernel with stride 2 on a
large picture, and dense layers whose weights no cache holds. T are 10^12 multiply-adds a second of
the slowest of a network's equal dots, with the steps that prepare them; one thread, the best of
all rounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import networks

from bnn.measure.layers import Limits, layers
from bnn.measure.speed import machine
from bnn.program.inputs import IntegerInput, PictureInput, fixed_point_table, sign_table
from bnn.program.operations import Pool, Window
from bnn.program.precision import BIPOLAR, INT
from bnn.program.program import Program
from bnn.run import cpu


def convolutions(channels: int, kernel: int, side: int = 16) -> Program:
    """Return three equal convolutions of signs, and ten scores."""
    build = networks._Builder(BIPOLAR, BIPOLAR)
    build.channels = channels
    for number in range(3):
        pads = (kernel // 2,) * 4
        window = Window(f"w{number}", build.last, (kernel, kernel), (1, 1), pads, -1)
        build.layer(channels, kernel * kernel * channels, window if kernel > 1 else None)
    build.add(Window("flat", build.last, (side, side)))
    build.layer(10, side * side * channels, None, activate=False)
    return Program(IntegerInput((side, side, channels), BIPOLAR), tuple(build.ops), build.last)


def first_of_a_large_picture() -> Program:
    """Return 7x7 with stride 2 on 224x224 pictures, 64 channels."""
    build = networks._Builder(BIPOLAR, BIPOLAR)
    build.layer(64, 147, Window("w", "input", (7, 7), (2, 2), (3, 3, 3, 3)))
    build.add(Pool("pool", build.last, (8, 8), (8, 8)))
    build.add(Window("flat", build.last, (14, 14)))
    build.layer(10, 14 * 14 * 64, None, activate=False)
    pictures = PictureInput((224, 224, 3), INT(8), fixed_point_table())
    return Program(pictures, tuple(build.ops), build.last)


def wide_dense() -> Program:
    """Return three dense layers of 4096 on 28x28, and ten scores."""
    build = networks._Builder(BIPOLAR, BIPOLAR)
    build.channels = 784
    for number in range(3):
        window = Window("flat", "input", (28, 28)) if number == 0 else None
        build.layer(4096, build.channels, window)
    build.layer(10, build.channels, None, activate=False)
    return Program(PictureInput((28, 28, 1), BIPOLAR, sign_table()), tuple(build.ops), build.last)


#: Name, network, batch, and how many multiply-adds its dots have at least.
SHAPES: list[tuple[str, Callable[[], Program], int]] = [
    ("1x1, 64 channels", lambda: convolutions(64, 1), 16),
    ("3x3, 64 channels", lambda: convolutions(64, 3), 16),
    ("3x3, 20 channels", lambda: convolutions(20, 3), 16),
    ("3x3, 48 channels", lambda: convolutions(48, 3), 16),
    ("3x3, 96 channels", lambda: convolutions(96, 3), 16),
    ("7x7 stride 2 on 224x224", first_of_a_large_picture, 1),
    ("dense of 4096, batch 1", wide_dense, 1),
]


def rate(program: Program, batch: int, kernel: str, rounds: int) -> float:
    """Return the least multiply-adds per second of the large dots, with what prepares them."""
    found = layers(program, batch, Limits({}, 1e10), kernel=kernel, rounds=rounds)
    most = max(each.multiply_adds for each in found)
    rates = []
    for name in {each.operation for each in found if each.multiply_adds == most}:
        own = [each for each in found if each.operation == name and each.bound != "input"]
        rates.append(most / sum(each.seconds for each in own))
    return min(rates)


def main() -> None:
    """Print a line for each shape and kernel set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    print(f"{machine()}; one thread, T = 10^12 multiply-adds a second")
    for name, make, batch in SHAPES:
        program = make()
        for kernel in (each.name for each in cpu.kernels() if each.available):
            if kernel != "portable":
                print(f"{name:24} {kernel:8} {rate(program, batch, kernel, rounds) / 1e12:5.2f} T")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-3-Clause
"""Time depthwise 3x3 convolutions on the cpu runtime: in groups, and with zeros instead.

    .venv/bin/python bench/depthwise.py

Both programs are equal. A line has microseconds for an image (one thread) that the convolution with
its border and its threshold takes: the best of several rounds in which both take turns.
"""

from __future__ import annotations

import numpy as np

from bnn.program.grouping import without_groups
from bnn.program.inputs import IntegerInput
from bnn.program.operations import INPUT, Dot, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, UINT, Precision
from bnn.program.program import Program
from bnn.run import cpu

IMAGES = 16
ROUNDS = 15
#: Steps that are not of the convolution.
OTHERS = ("input", "patches", "scores")


def layer(side: int, channels: int, activations: Precision, weights: Precision) -> Program:
    """A depthwise convolution of 3x3 with a threshold, and a look at one corner of its map."""
    random = np.random.default_rng(channels)
    ends = (-1, 2) if weights == BIPOLAR else (weights.low, weights.high + 1)
    values = random.integers(*ends, (channels, 9))
    values = np.where(values >= 0, 1, -1) if weights == BIPOLAR else values
    levels = 1 if activations == BIPOLAR else activations.high
    steps = np.sort(random.integers(-9, 10, (channels, levels)), axis=1)
    base, step = (-1, 2) if activations == BIPOLAR else (0, 1)
    pad = -1 if activations == BIPOLAR else 0
    return Program(
        IntegerInput((side, side, channels), activations),
        (
            Window("w", INPUT, (3, 3), (1, 1), (1, 1, 1, 1), pad),
            Dot("d", "w", values, weights, groups=channels, positions=9),
            Threshold("t", "d", steps, activations, base, step),
            Window("corner", "t", (1, 1), (side, side)),
        ),
        "corner",
    )


def best(programs: list[Program]) -> list[float]:
    """Return the microseconds that an image takes in each program."""
    given = programs[0].input
    assert isinstance(given, IntegerInput)
    precision = given.precision
    random = np.random.default_rng(1)
    values = random.integers(0, 2, (IMAGES, *given.shape)) * (precision.high - precision.low)
    batch = (values + precision.low).astype(np.int16)
    runtimes = [cpu.prepare(program, threads=1) for program in programs]
    results = [runtime.run(batch).scores for runtime in runtimes]
    assert np.array_equal(*results)
    times = [1e9] * len(runtimes)
    for _ in range(ROUNDS):
        for index, runtime in enumerate(runtimes):
            steps = runtime.plan.time_steps(batch)
            parts = zip(runtime.plan.steps(), steps, strict=True)
            spent = sum(seconds for (_, what, *_), seconds in parts if what not in OTHERS)
            times[index] = min(times[index], spent)
    return [seconds / IMAGES * 1e6 for seconds in times]


def main() -> None:
    """Print a line for each layer."""
    print(f"kernel {cpu.describe().kernel}, one thread, microseconds of an image")
    print(f"{'layer':28}{'zeros':>10}{'groups':>10}{'faster':>9}")
    for weights, activations in ((BIPOLAR, BIPOLAR), (INT(4), UINT(4)), (INT(8), UINT(4))):
        for side, channels in ((28, 32), (14, 128), (14, 256), (7, 512)):
            program = layer(side, channels, activations, weights)
            zeros, groups = best([without_groups(program), program])
            name = f"{side}x{side}x{channels} {weights} x {activations}"
            print(f"{name:28}{zeros:10.0f}{groups:10.0f}{zeros / groups:8.1f}x", flush=True)


if __name__ == "__main__":
    main()

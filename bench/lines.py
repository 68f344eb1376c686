# SPDX-License-Identifier: BSD-3-Clause
"""Speed of LSTM-PYNQ's networks on one core: milliseconds of processor time per line.

    BNN_PARAMS=FOLDER python bench/lines.py --columns 520

The least of many runs counts, and processor time is measured, so that other work on the machine
changes little. The columns are random: the time does not depend on their values.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import bnn
from bnn.formats import lstm_pynq
from bnn.library import line_sets
from bnn.run import prepare_sequence


def milliseconds(name: str, columns: int, runs: int) -> float:
    """Return the least processor time of a run, from prepared columns to class sums."""
    program = bnn.load(name).program
    runtime = prepare_sequence("cpu", program, threads=1)
    random = np.random.default_rng(1)
    precision = program.input.precision
    size = (columns, *program.input.shape)
    batch = random.integers(precision.low, precision.high, size, np.int16, endpoint=True)
    best = float("inf")
    for _ in range(runs):
        start = time.process_time()
        runtime.run(batch)
        best = min(best, time.process_time() - start)
    return 1e3 * best


def main() -> None:
    """Print a line for each network whose parameter files are found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--columns", type=int, default=520)
    parser.add_argument("--runs", type=int, default=50)
    given = parser.parse_args()
    for set_name, network, _ in line_sets():
        name = f"{set_name}-{network.lower()}"
        took = milliseconds(name, given.columns, given.runs)
        print(f"{name:14} {took:8.2f} ms for {given.columns} columns")
    if not list(line_sets()):
        print(f"no network of {lstm_pynq.NETWORKS} under BNN_PARAMS")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-3-Clause
"""Compare random programs on every kernel set of this machine with the reference.

    make differential RUNS=10000 SEED=1

Five kinds of programs in turn (``tests/support/programs.py``): small ones of every operation and
precision, wide ones, bits and ternaries, large windows with borders, and ones with everything
that a program can say (sums of sums, rescales, joins, up to 16 bits). Each is run as a batch of
one to five inputs on one or two threads. A difference ends the run with the program, made as small
as can be.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import hypothesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bnn.program.operations import (
    MAX_COUNTED_LEVELS,
    Concat,
    Dot,
    Pool,
    Rescale,
    Threshold,
    Window,
)
from bnn.program.precision import TERNARY
from bnn.program.program import Program
from bnn.run import cpu
from support.kernels import FEW_BITS, KERNELS, WIDE, assert_equal
from support.programs import FULL, MAPS, SMALL, networks

#: Programs of one process' task.
CHUNK = 250
KINDS = {"small": SMALL, "wide": WIDE, "few bits": FEW_BITS, "borders": MAPS, "full": FULL}


def features(program: Program) -> set[str]:
    """Return the features that a program has, for the count of what was tried."""
    found = set()
    for op in program.ops:
        if isinstance(op, Window | Pool):
            found |= {"border"} if any(op.padding) else set()
            found |= (
                {"stride above the kernel"} if any(map(int.__gt__, op.stride, op.kernel)) else set()
            )
            found |= {"kernel above 4"} if max(op.kernel) > 4 and isinstance(op, Window) else set()
        found |= {"rescale"} if isinstance(op, Rescale) else set()
        found |= {"concat"} if isinstance(op, Concat) else set()
        if isinstance(op, Threshold) and op.thresholds.shape[1] > MAX_COUNTED_LEVELS:
            found |= {"more than 255 thresholds"}
        if isinstance(op, Dot):
            source = program.edges[op.source].precision
            found |= {"ternary x ternary"} if op.precision == source == TERNARY else set()
            found |= {"8-bit weights"} if op.precision.bits == 8 else set()
            found |= {"8-bit inputs of a dot"} if source.bits == 8 else set()
            found |= {"dot over more than 8 bits"} if source.bits > 8 else set()
    return found


def chunk(kind: str, seed: int) -> Counter[str]:
    """Run a chunk of programs of one kind; return the count of their features."""
    seen: Counter[str] = Counter()

    @hypothesis.seed(seed)
    @settings(
        max_examples=CHUNK, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(networks(KINDS[kind]), st.integers(1, 5), st.integers(1, 2))
    def run(program: Program, size: int, threads: int) -> None:
        assert_equal(program, size, threads)
        seen.update(features(program))
        seen["programs"] += 1
        seen[f"{kind} programs"] += 1

    run()
    return seen


def main() -> None:
    """Run the programs in several processes, and print the counts; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000, help="programs, at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    kinds = [*KINDS]
    tasks = [(kinds[n % len(kinds)], 1000 * given.seed + n) for n in range(-(-given.runs // CHUNK))]
    seen: Counter[str] = Counter()
    began = time.monotonic()
    with ProcessPoolExecutor(given.jobs) as pool:
        for found in pool.map(chunk, *zip(*tasks, strict=True)):
            seen += found
            print(f"{seen['programs']} programs, {time.monotonic() - began:.0f} s", flush=True)
    for name, count in sorted(seen.items(), key=lambda each: -each[1]):
        print(f"{count:8}  {name}")
    others = [kernel.name for kernel in cpu.kernels() if not kernel.available]
    sets = f"{len(KERNELS)} kernel sets ({', '.join(KERNELS)})"
    print(f"{seen['programs']} programs x {sets}: 0 differences")
    print(f"not on this machine: {', '.join(others) or 'none'}")


if __name__ == "__main__":
    main()

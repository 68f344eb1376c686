# SPDX-License-Identifier: BSD-3-Clause
"""One thread and two beside other work: ``python bench/busy.py [processes]``.

Starts processes that do nothing but use a core (as many as there are cores, unless told), then
times one thread and two in turn. Threads take blocks of images one after the other without
waiting, so that the second one is never a loss.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys

import networks

from bnn.measure import speed as bench
from bnn.run import prepare


def spin() -> None:
    """Use a core for ever."""
    while True:
        pass


def measure(name: str, rounds: int = 15) -> str:
    """Return a line with the images per second of one thread and of two, by wall time."""
    program = networks.network(name)
    inputs = bench.random_inputs(program, 1000)
    subjects = []
    for threads in (1, 2):
        runtime = prepare("cpu", program, threads=threads)
        timing = bench.Timing(name, 1000, threads)
        subjects.append(bench.Subject(lambda r=runtime: r.run(inputs), timing))
    one, two = bench.measure(subjects, rounds)
    pairs = [a / b for a, b in zip(one.wall, two.wall, strict=True)]
    return (
        f"{name:9}  1 thread {one.images_per_second:9,.0f}  2 threads {two.images_per_second:9,.0f}"
        f"  ratio: median of rounds {statistics.median(pairs):.2f}, worst {min(pairs):.2f}"
    )


def main() -> None:
    """Print a line for each network, on the machine as it is and with load."""
    processes = int(sys.argv[1]) if len(sys.argv) > 1 else len(os.sched_getaffinity(0))
    print(f"{bench.machine()}, batch 1000, images/s by wall time")
    for count in (0, processes):
        load = [multiprocessing.Process(target=spin, daemon=True) for _ in range(count)]
        for process in load:
            process.start()
        print(f"beside {count} busy processes (others may run, too: {os.getloadavg()[0]:.1f})")
        for name in ("cnv-w1a1", "lfc-w1a1"):
            print(measure(name))
        for process in load:
            process.kill()


if __name__ == "__main__":
    main()

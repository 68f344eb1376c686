# SPDX-License-Identifier: BSD-3-Clause
"""Measure the most that one core of this machine can do, and our share: ``bench/limit.py``.

The core times the bare instructions (``native/src/limits.cpp``). The best of our rounds by CPU
time is compared with them, by the multiply-adds that a network really has: those of idle rows of
tiles, of the edges of maps and all other work count as lost.
"""

from __future__ import annotations

import argparse

import networks

from bnn.measure import speed as bench
from bnn.run import cpu, prepare


def main() -> None:
    """Print the limits, our share of them, and the share that given speeds would need."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--at-least", help="NETWORK=IMAGES: the multiply-adds that so many images/s would need"
    )
    arguments = parser.parse_args()
    print(f"{bench.machine()}; one thread, T = 10^12 multiply-adds a second")
    measured = cpu.native().limits()
    most = {name: rate for name, _, rate in measured}
    for name, instructions, rate in measured:
        print(f"{name:8} {rate / 1e12:5.2f} T  {instructions}")
    subjects = []
    for network in ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2", "lfc-w1a1", "lfc-w1a2"):
        program = networks.network(network)
        inputs = bench.random_inputs(program, 1000)
        for kernel in (k.name for k in cpu.kernels() if k.available and k.name in most):
            runtime = prepare("cpu", program, threads=1, kernel=kernel)
            timing = bench.Timing(f"{network} {kernel}", 1000, 1, bench.operations(program))
            subjects.append(bench.Subject(lambda r=runtime, x=inputs: r.run(x), timing))
    for timing in bench.measure(subjects, arguments.rounds):
        network, kernel = timing.label.split()
        done = timing.images_per_cpu_second * timing.operations / 2
        print(
            f"{network:9} {kernel:7} {timing.images_per_cpu_second:9,.0f} images/s "
            f"{done / 1e12:5.2f} T  {done / most[kernel]:4.0%} of {kernel}"
        )
    if arguments.at_least:
        network, _, images = arguments.at_least.partition("=")
        need = float(images) * bench.operations(networks.network(network)) / 2
        best = max(most.values())
        print(
            f"{float(images):,.0f} images/s of {network} are {need / 1e12:.2f} T, "
            f"{need / best:.0%} of the best limit"
        )


if __name__ == "__main__":
    main()

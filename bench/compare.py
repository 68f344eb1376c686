# SPDX-License-Identifier: BSD-3-Clause
"""Ours beside other engines, interleaved: ``make bench``, or ``python bench/compare.py``.

Engines that are not installed are left out by name. Everything of one topology and batch size is
timed in turn, round by round, so that what else the machine does hits all of them alike.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import networks
import peers

from bnn import bench
from bnn.run import cpu, prepare

TOPOLOGIES = {
    "cnv": ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2"),
    "lfc": ("lfc-w1a1", "lfc-w1a2", "dense-w3a3", "dense-w4a4"),
}


def subjects(topology: str, batch: int, threads: int) -> list[bench.Subject]:
    """Our networks of a topology, and every engine that is installed."""
    made = []
    for name in TOPOLOGIES[topology]:
        program = networks.network(name)
        runtime = prepare("cpu", program, threads=threads)
        inputs = bench.random_inputs(program, batch)
        timing = bench.Timing(f"bnn {name}", batch, threads, bench.operations(program))
        made.append(bench.Subject(lambda r=runtime, x=inputs: r.run(x), timing))
    for engine in filter(peers.available, peers.ENGINES):
        run, inputs = peers.runner(engine, topology, batch, threads)
        made.append(
            bench.Subject(lambda r=run, x=inputs: r(x), bench.Timing(engine, batch, threads))
        )
    return made


def table(topology: str, batches: list[int], threads: int, rounds: int) -> list[str]:
    """Markdown rows: images/s by CPU time (best round), and by wall time (median round)."""
    columns = [bench.measure(subjects(topology, batch, threads), rounds) for batch in batches]
    lines = [
        f"| {topology.upper()}, {threads} thread | "
        + " | ".join(f"batch {b}" for b in batches)
        + " |",
        "|---|" + "---:|" * len(batches),
    ]
    for row in zip(*columns, strict=True):
        cells = [f"{t.images_per_cpu_second:,.0f} ({t.images_per_second:,.0f})" for t in row]
        lines.append(f"| {row[0].label} | " + " | ".join(cells) + " |")
    return lines


def report(batches: list[int], threads: int, rounds: int) -> str:
    """The whole page."""
    chosen = cpu.describe()
    missing = [engine for engine in peers.ENGINES if not peers.available(engine)]
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench` (`bench/compare.py`); do not edit. Images a second, NumPy arrays",
        "in, NumPy scores out: by CPU time of the best round, and in brackets by wall time of the",
        "median round; where the two differ much, the machine was busy with other things. The",
        "weights are random: speed does not depend on them.",
        "",
        f"Machine: {bench.machine()}; {rounds} rounds, interleaved.",
        f"Kernel `{chosen.kernel}`: {chosen.reason}.",
    ]
    if missing:
        lines.append(f"Not installed, hence not measured: {', '.join(missing)}.")
    for topology in TOPOLOGIES:
        lines += ["", *table(topology, batches, threads, rounds)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the page, and write it where ``--write`` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", default="1,64,1000")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))
    batches = [int(batch) for batch in arguments.batch.split(",")]
    page = report(batches, arguments.threads, arguments.rounds)
    sys.stdout.write(page)
    if arguments.write:
        arguments.write.write_text(page)


if __name__ == "__main__":
    main()

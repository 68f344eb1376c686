# SPDX-License-Identifier: BSD-3-Clause
"""Compare our speed with other engines', interleaved: ``make bench``.

Engines that are not installed are named and skipped. All engines of one topology and batch size are
timed in turn, round by round, so that other work of the machine disturbs all of them alike. Each
instruction set (``isa.py``) has a process of its own, and a section of the page.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import isa
import networks
import peers

from bnn.measure import speed as bench
from bnn.run import cpu, prepare

TOPOLOGIES = {
    "cnv": ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2"),
    "lfc": ("lfc-w1a1", "lfc-w1a2", "dense-w3a3", "dense-w4a4"),
}


def subjects(topology: str, batch: int, threads: int) -> list[bench.Subject]:
    """Return our networks of a topology, and every engine that is installed."""
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


#: Ours beside the fastest of the others when the targets were set: rows of ratios.
RIVALS = {"cnv": ("bnn cnv-w1a1", "openvino-int8"), "lfc": ("bnn lfc-w1a1", "ort-int8")}

INTRODUCTION = """\
# Benchmarks

The tables are written by `make bench` (`bench/compare.py`); other sections stay as they
are. Images per second, NumPy arrays in, NumPy scores out: by CPU time of the best round, and
in brackets by wall time of the median round; where the two differ much, the machine was
busy with other work. The weights are random: speed does not depend on them. The last row
of a table is the first of ours divided by the engine that it names, by CPU time.

"""


def table(topology: str, batches: list[int], threads: int, rounds: int) -> list[str]:
    """Return Markdown rows: images/s by CPU time (best round) and by wall time (median round)."""
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
    ours, rival = RIVALS[topology]
    if peers.available(rival):
        speeds = [{t.label: t.images_per_cpu_second for t in column} for column in columns]
        cells = [f"**{speed[ours] / speed[rival]:.1f}**" for speed in speeds]
        lines.append(f"| {ours.removeprefix('bnn ')} : {rival} | " + " | ".join(cells) + " |")
    return lines


def section(name: str, batches: list[int], threads: int, rounds: int) -> str:
    """Measure in this process; return the tables under the title of its instruction set."""
    chosen = cpu.describe()
    missing = [engine for engine in peers.ENGINES if not peers.available(engine)]
    lines = [
        f"## {isa.TITLES[name]}",
        "",
        f"`make bench ISA={name}` on {bench.machine()}; {rounds} rounds, interleaved.",
        f"Kernel `{chosen.kernel}`: {chosen.reason}.",
    ]
    if name == "avx2":
        lines.append(
            "Newer instructions were hidden from all engines, ours as the others (`bench/isa.py`)."
        )
    if missing:
        lines.append(f"Not installed, hence not measured: {', '.join(missing)}.")
    for topology in TOPOLOGIES:
        lines += ["", *table(topology, batches, threads, rounds)]
    return "\n".join(lines) + "\n"


def replaced(page: str, text: str) -> str:
    """Return the page with ``text`` instead of the section of that title, or after the others."""
    _, *old = page.split("\n## ")
    sections = {part.partition("\n")[0]: "## " + part.rstrip() + "\n" for part in old}
    # Sections of other commands keep their place, and their text.
    sections[text.partition("\n")[0].removeprefix("## ")] = text
    return INTRODUCTION + "\n".join(sections.values())


def run_section(name: str) -> str:
    """Return the section of ``name``, measured in a process that sees these instructions only."""
    with tempfile.TemporaryDirectory() as folder:
        environment = isa.environment(name, Path(folder))
        command = [sys.executable, *sys.argv, "--here", name]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    return done.stdout


def main() -> None:
    """Print the sections, and write them into the page that ``--write`` names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", default="1,64,1000")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--isa", default="native,avx2", help="of: " + ", ".join(isa.TITLES))
    parser.add_argument("--here", choices=isa.TITLES, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))
    batches = [int(batch) for batch in arguments.batch.split(",")]
    if arguments.here:
        sys.stdout.write(section(arguments.here, batches, arguments.threads, arguments.rounds))
        return
    for name in arguments.isa.split(","):
        text = run_section(name)
        sys.stdout.write(text + "\n")
        if arguments.write:
            page = arguments.write.read_text() if arguments.write.exists() else ""
            arguments.write.write_text(replaced(page, text))


if __name__ == "__main__":
    main()

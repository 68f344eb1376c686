#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compare the planner's estimates with Yosys on whole designs that no fit has seen.

    nice python tools/check_costs.py [--minutes 60] [--only lfc]
    python tools/check_costs.py --take "cnv-w1a2 cnv-w1-small" DIR

Synthesizes the designs below that ``tools/designs.json`` does not have (a CNV takes ten minutes of
one core), or takes the cells from where ``bnn build ... --synth -o DIR`` has left them, and
writes that file after each; stop it at any time. Prints estimate, count and error of each, and
writes the largest errors of LUT, FF and BRAM36 to the planner's ``coefficients.json``, which
``bnn plan`` shows beside its figures, and the table to ``docs/planning.md``. ``--again`` counts
anew what was counted on other RTL.

The originals' networks are found as ``bnn build`` finds them (``BNN_PARAMS``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bnn
from bnn.hw import folding as folds
from bnn.hw.design import Design, build
from bnn.hw.render import library, sources
from bnn.hw.toolchain import synth
from bnn.plan import cost, plan

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tools" / "designs.json"
COEFFICIENTS = ROOT / "src" / "bnn" / "plan" / "coefficients.json"
PAGE = ROOT / "docs" / "planning.md"
BEGIN, END = "<!-- designs -->\n", "<!-- end of designs -->\n"
KINDS = ("LUT", "FF", "BRAM36", "DSP")
#: Model, and the name of a folding, or a speed for which the planner finds a folding.
DESIGNS = (
    *(("lfc-w1a1", "5000"), ("lfc-w1a2", "2000"), ("cnv-w1a1", "300"), ("cnv-w2a2", "500")),
    *(("mnist-lfcW1A1", "original"), ("mnist-lfcW1A2", "original")),
    *(("cifar10-cnvW1A1", "original"), ("cifar10-cnvW1A2", "original")),
    *(("cifar10-cnvW2A2", "original"), ("lfc-w1a1", "lfc-w1-fast")),
    *(("cnv-w1a1", "cnv-w1-fast"), ("cnv-w1a1", "cnv-w1-small"), ("cnv-w1a2", "cnv-w1-small")),
    ("cnv-w2a2", "cnv-w2a2-fast"),
)


def design_of(name: str, known: dict[str, Any]) -> Design:
    """Return the design; a planned one keeps the folding that was synthesized.

    One that was synthesized before foldings had the choice ``input`` has packed images.
    """
    model, wish = name.split()
    program = bnn.load(model).program
    if not wish.isdigit():
        folding = folds.choose(program, wish)
        if name in known:
            stored = known[name]["folding"].get("input", "packed")
            fifos = known[name]["folding"].get("fifos", {})
            results = known[name]["folding"].get("output", "packed")
            folding = replace(folding, input=stored, output=results, fifos=fifos)
        return build(program, folding)
    if name in known:
        path = DATA.with_suffix(".tmp")
        saved = {"input": "packed", "output": "packed", **known[name]["folding"]}
        path.write_text(json.dumps(saved), encoding="utf-8")
        folding = folds.read(path, program)
        path.unlink()
        return build(program, folding)
    return plan(program, fps=float(wish), clock_mhz=100).design


def rtl(files: dict[str, str]) -> str:
    """Return a fingerprint of the blocks."""
    blocks = (text for name, text in sorted(files.items()) if name in library())
    return hashlib.sha256("".join(blocks).encode()).hexdigest()[:12]


def entry(design: Design, cells: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
    """Return the entry of a design in the file: its folding, and its cells in all and by block."""
    values = {
        name: {kind: round(each[kind], 1) for kind in KINDS if each.get(kind)}
        for name, each in cells.items()
    }
    return {"rtl": rtl(files), "folding": folds.as_json(design.folding), "cells": values}


def synthesized(design: Design) -> dict[str, Any]:
    """Count the cells of ``design`` with Yosys; return its entry."""
    modules = {instance.name: instance.block.module for instance in design.instances}
    return entry(design, synth.cells(sources(design), modules), library())


def taken(name: str, folder: Path) -> dict[str, Any]:
    """Return the entry of a design from the cells that ``bnn build --synth`` counted."""
    design = design_of(name, {})
    cells = json.loads((folder / "report.json").read_text(encoding="utf-8"))["cells"]
    files = {each.name: each.read_text(encoding="utf-8") for each in (folder / "rtl").iterdir()}
    missing = {instance.name for instance in design.instances} - cells.keys()
    if missing:
        raise SystemExit(f"{folder} is another design: it has no {', '.join(sorted(missing))}")
    return entry(design, cells, files)


def save(known: dict[str, Any]) -> None:
    """Write all that is known."""
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(known[k])}" for k in sorted(known))
    DATA.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


def wanted(known: dict[str, Any], only: str, *, again: bool) -> Iterator[str]:
    """Yield the names of the designs to synthesize."""
    for name in map(" ".join, DESIGNS):
        old = name not in known or (again and known[name]["rtl"] != rtl(library()))
        if old and re.search(only, name):
            yield name


def main() -> None:
    """Synthesize the missing designs, and print the errors; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--take", nargs=2, metavar=("DESIGN", "DIR"))
    asked = parser.parse_args()
    known: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    if asked.take:
        known[asked.take[0]] = taken(asked.take[0], Path(asked.take[1]))
        save(known)
    end = time.monotonic() + 60 * asked.minutes
    for name in wanted(known, asked.only, again=asked.again):
        if time.monotonic() > end:
            break
        known[name] = synthesized(design_of(name, known))
        save(known)
    report(known)


def report(known: dict[str, Any]) -> None:
    """Print the errors, hand the largest to the planner, and write the table of the page."""
    missed: dict[str, list[float]] = {kind: [] for kind in KINDS[:3]}
    now = rtl(library())
    rows = []
    for name, values in known.items():
        guess = cost.of_design(design_of(name, known))
        total = values["cells"]["total"]
        text = f"{name:28}"
        cells = [", ".join(f"`{word}`" for word in name.split())]
        for kind, guessed in zip(KINDS, (guess.lut, guess.ff, guess.bram36), strict=False):
            real = total.get(kind, 0.0)
            error = 100 * (guessed - real) / max(real, 1)
            missed[kind].append(error)
            text += f"  {kind} {guessed:.0f} for {real:g} ({error:+.1f} %)"
            cells.append(f"{_spaced(guessed)} / {_spaced(real)} ({error:+.1f} %)")
        print(text + ("" if values["rtl"] == now else "  [older RTL]"))
        rows.append(f"| {' | '.join(cells)} |\n")
    page = PAGE.read_text(encoding="utf-8")
    before, _, after = page.partition(BEGIN)
    head = "".join(after.splitlines(keepends=True)[:2])
    PAGE.write_text(before + BEGIN + head + "".join(rows) + END + after.partition(END)[2], "utf-8")
    values = json.loads(COEFFICIENTS.read_text())
    values["errors"] = {kind: round(worst(each), 1) for kind, each in missed.items() if each}
    values["measured"] = f"{len(known)} whole designs that no fit has seen"
    print("largest errors in per cent:", values["errors"])
    COEFFICIENTS.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _spaced(value: float) -> str:
    """Return a count of cells: 12 345, or 63.5."""
    return f"{value:,.0f}".replace(",", " ") if value >= 1000 else f"{round(value, 1):g}"


def worst(errors: Iterable[float]) -> float:
    """Return the largest error, above or below."""
    return max(map(abs, errors))


if __name__ == "__main__":
    main()

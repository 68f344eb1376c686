#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compare the planner's estimates with Yosys on whole designs that no fit has seen.

    nice python tools/check_costs.py [--minutes 60] [--only lfc]

Synthesizes the designs below that ``tools/designs.json`` does not have of this RTL (a CNV takes an
hour of one core), and writes it after each; stop it at any time. Prints estimate, count and error
of each, and writes the largest errors of LUT, FF and BRAM36 to the planner's ``coefficients.json``,
which ``bnn plan`` shows beside its figures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bnn
from bnn.hw import folding as folds
from bnn.hw import synth
from bnn.hw.design import Design, build
from bnn.hw.render import library, sources
from bnn.plan import cost, plan

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tools" / "designs.json"
COEFFICIENTS = ROOT / "src" / "bnn" / "plan" / "coefficients.json"


def wanted() -> Iterator[tuple[str, Any]]:
    """Names of designs and their foldings: a speed, or ``original``."""
    for model, wish in (
        *(("lfc-w1a1", 5_000), ("lfc-w1a1", "original"), ("lfc-w1a2", 2_000)),
        *(("lfc-w1a1", 60_000), ("cnv-w1a1", 300), ("cnv-w1a1", "original")),
        *(("lfc-w1a2", "original"), ("cnv-w1a1", 3_000), ("cnv-w1a1", 12_000)),
    ):
        yield f"{model} {wish}", wish


def design_of(name: str, wish: Any, known: dict[str, Any]) -> Design:
    """The design; a planned one keeps the folding that was synthesized."""
    program = bnn.load(name.split()[0]).program
    if wish == "original":
        return build(program, folds.original(program))
    if name in known:
        path = DATA.with_suffix(".tmp")
        path.write_text(json.dumps(known[name]["folding"]), encoding="utf-8")
        folding = folds.read(path, program)
        path.unlink()
        return build(program, folding)
    return plan(program, fps=wish, clock_mhz=100).design


def rtl() -> str:
    """A fingerprint of all blocks."""
    return hashlib.sha256("".join(library().values()).encode()).hexdigest()[:12]


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    known: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    end = time.monotonic() + 60 * asked.minutes
    for name, wish in wanted():
        fresh = known.get(name, {}).get("rtl") == rtl()
        if fresh or time.monotonic() > end or not re.search(asked.only, name):
            continue
        known.pop(name, None)
        made = design_of(name, wish, known)
        modules = {instance.name: instance.block.module for instance in made.instances}
        cells = synth.cells(sources(made, probes=False), modules)
        known[name] = {"rtl": rtl(), "folding": folds.as_json(made.folding), "cells": cells}
        lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(e)}" for k, e in known.items())
        DATA.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    report(known)


def report(known: dict[str, Any]) -> None:
    """Print the errors and hand the largest to the planner."""
    missed: dict[str, list[float]] = {"LUT": [], "FF": [], "BRAM36": []}
    for name, entry in known.items():
        guess = cost.of_design(design_of(name, name.split()[1], known))
        total = entry["cells"]["total"]
        text = f"{name:24}"
        for kind, guessed in (("LUT", guess.lut), ("FF", guess.ff), ("BRAM36", guess.bram36)):
            real = total[kind]
            error = 100 * (guessed - real) / max(real, 1)
            missed[kind].append(abs(error))
            text += f"  {kind} {guessed:.0f} for {real:g} ({error:+.1f} %)"
        print(text)
    values = json.loads(COEFFICIENTS.read_text())
    values["errors"] = {kind: round(max(each), 1) for kind, each in missed.items() if each}
    values["measured"] = "whole designs that were not fitted"
    print("largest errors in per cent:", values["errors"])
    COEFFICIENTS.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-3-Clause
"""Builds, costs, plans and the event model of fixed programs, as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bnn
from bnn.errors import BuildError, PlanError
from bnn.hw import export, render
from bnn.hw import folding as folds
from bnn.hw.boards import board
from bnn.hw.design import Design, build
from bnn.hw.folding import Folding, LayerFolding
from bnn.plan import cost, plan
from bnn.plan.events import simulate
from bnn.program.program import Program
from hw.examples import DENSE_FOLDING, RESIDUAL_FOLDING, dense, residual, tfc
from support import drawn
from support.golden import compare, digest

DRAWN = range(9)


def programs() -> dict[str, tuple[Program, Folding]]:
    """Small programs that use every block, each in one or several foldings."""
    found = {
        "dense": (dense(), DENSE_FOLDING),
        "dense fixed": (dense(), replace(DENSE_FOLDING, loadable=False)),
        "residual": (residual(), RESIDUAL_FOLDING),
        "residual loadable": (residual(), replace(RESIDUAL_FOLDING, loadable=True)),
        "tfc": (tfc(), folds.balanced(tfc(), 100)),
    }
    for seed in DRAWN:
        made = drawn.program(seed)
        target = (40, 150, 600, 4000)[seed % 4]
        found[f"drawn {seed}"] = made, folds.balanced(made, target, loadable=seed % 3 == 0)
    return found


def blocks(design: Design) -> list[str]:
    """A line for each block: its module, parameters, figures and estimated cells."""
    lines = []
    for each in design.instances:
        block, price = each.block, cost.of_block(each.block)
        generics = {k: v for k, v in block.generics().items() if "FILE" not in k}
        cells = f"{price.lut:.3f} LUT {price.ff:.3f} FF {price.bram36:g} BRAM36 {price.dsp:g} DSP"
        lines.append(
            f"{each.name} {block.module} {generics} in {each.inputs} out {each.outputs} "
            f"{block.cycles} cycles {block.output_words} words; {cells}"
        )
    around = cost.around(design)
    return [*lines, f"around: {around.lut:.3f} LUT {around.ff:.3f} FF {around.bram36:g} BRAM36"]


def test_blocks_and_their_costs() -> None:
    designs = {name: build(*given) for name, given in programs().items()}
    compare("hw-blocks", {name: blocks(design) for name, design in designs.items()})


def test_files_of_builds(tmp_path: Path) -> None:
    """Of each file its digest; whole are the report, the constraints and the script."""
    places = ["pynq-z2", "zedboard", "cora-z7", "pynq-z1"]
    found: dict[str, str] = {}
    fixed = {path.name for path in (Path(render.__file__).parent / "rtl").glob("*.sv")}
    for index, (name, given) in enumerate(programs().items()):
        folder = tmp_path / str(index)
        export.write(build(*given), board(places[index % len(places)]), folder)
        for path in sorted(folder.rglob("*")):
            if path.is_dir() or path.suffix == ".npz" or path.name in fixed:
                continue
            text = path.read_text()
            if path.name == "manifest.json":  # has digests of all files, the fixed ones too
                continue
            whole = index < 3 and path.name in ("report.txt", "bnn.xdc", "build.tcl", "driver.json")
            found[f"{name}: {path.relative_to(folder)}"] = text if whole else digest(text)
    compare("hw-builds", found)


def test_events() -> None:
    """Latency, pace, fills and stalls; tests with a simulator compare them with the circuit."""
    found: dict[str, Any] = {}
    for name, given in programs().items():
        design = build(*given)
        for images, latency in ((1, 20), (4, 3), (6, 60)):
            timing = simulate(design, images, latency=latency)
            found[f"{name}, {images} images, latency {latency}"] = [
                list(timing.finished),
                timing.interval,
                round(timing.mean_interval, 3),
                digest(repr(sorted(timing.fills.items()))),
                digest(repr(sorted(timing.stalls.items()))),
            ]
    compare("hw-events", found)


def rounded(values: Any) -> Any:
    """JSON with numbers of six digits."""
    if isinstance(values, dict):
        return {key: rounded(value) for key, value in values.items()}
    if isinstance(values, list):
        return [rounded(value) for value in values]
    return float(f"{values:.6g}") if isinstance(values, float) else values


PLANS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("lfc-w1a1", {}),
    ("lfc-w1a2", {"fps": 20_000, "loadable": True}),
    ("lfc-w1a1", {"fps": 5_000, "on": "xc7z007s", "clock_mhz": 50}),
    ("cnv-w1a1", {"fps": 300}),
    ("lfc-w1a1", {"fps": 1e9}),
)


@pytest.mark.parametrize("index", range(len(PLANS)))
def test_plans_of_bundled_models(index: int) -> None:
    name, wish = PLANS[index]
    try:
        found = rounded(plan(bnn.load(name), **wish).as_json())
    except PlanError as error:
        found = {"refused": str(error)}
    compare(f"plan-{index}", found)


def test_plans_of_small_programs() -> None:
    found: dict[str, Any] = {}
    for name, (program, folding) in programs().items():
        for part, fill in (("xc7z020", 0.85), ("xc7z007s", 0.02)):
            wishes = {"on": part, "fill": fill, "loadable": folding.loadable}
            try:
                made = plan(program, **wishes)
                slow = plan(program, fps=made.fps / 7, **wishes)
            except (PlanError, BuildError) as error:
                found[f"{name} {part} {fill}"] = str(error)
                continue
            found[f"{name} {part} {fill}"] = [
                [
                    one.cycles, one.bottleneck, one.timing.latency if one.timing else None,
                    f"{one.cost.lut:.2f} {one.cost.bram36:g}", digest(repr(one.folding)),
                ]
                for one in (made, slow)
            ]  # fmt: skip
    compare("plan-small", found)


def test_foldings() -> None:
    """Balanced ones for many targets, and why others are refused."""
    found: dict[str, Any] = {}
    for name, (program, _) in programs().items():
        for target in (1, 9, 64, 1024):
            folding = folds.balanced(program, target)
            found[f"{name}, {target} cycles"] = folds.as_json(folding)
        first = folds.dots(program)[0]
        for fold in (
            LayerFolding(1, 1, 3),
            LayerFolding(5, 1),
            LayerFolding(1, 7),
            LayerFolding(0, 1),
        ):
            given = Folding({**folds.balanced(program).layers, first.name: fold})
            try:
                text = (
                    f"{max(each.block.cycles for each in build(program, given).instances)} cycles"
                )
            except BuildError as error:
                text = str(error)
            found[f"{name}, {fold}"] = text
    compare("hw-foldings", found)

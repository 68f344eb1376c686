# SPDX-License-Identifier: BSD-3-Clause
"""Which streams have a probe: what they count, what they cost, and that they change nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn.errors import BuildError, PlanError
from bnn.hw import export
from bnn.hw import folding as folds
from bnn.hw.boards import board
from bnn.hw.design import build
from bnn.hw.loading import Metadata, metadata
from bnn.hw.render import sources
from bnn.hw.toolchain import synth
from bnn.plan import cost, plan
from bnn.run import prepare
from hw.examples import DENSE_FOLDING, RESIDUAL_FOLDING, dense, residual
from support.programs import batches

ENDS = ["memory_in", "memory_out"]


def _folding(probes: str) -> folds.Folding:
    return replace(RESIDUAL_FOLDING, probes=probes)


@pytest.mark.usefixtures("simulator")
def test_scores_and_cycles_do_not_depend_on_them() -> None:
    program = residual()
    inputs = batches(program, 5, seed=3)
    wanted = prepare("reference", program).run(inputs).scores
    seen = {}
    for probes in folds.PROBES:
        done = prepare("sim", program, folding=_folding(probes)).run(inputs)
        np.testing.assert_array_equal(done.scores, wanted)
        (start,) = done.details["starts"]
        seen[probes] = start.pop("streams"), start
    assert seen["none"][1] == seen["ends"][1] == seen["all"][1]
    assert seen["none"][0] == {}
    every = seen["all"][0]
    ends = seen["ends"][0]
    assert list(ends) == ENDS
    for name, counts in ends.items():  # starved cycles are also counted while counts are read
        assert {**every[name], "starves": 0} == {**counts, "starves": 0}
    design = build(program, _folding("all"))
    assert list(every) == list(design.streams)
    assert every["memory_in"]["words"] == 5 * design.source.memory_words
    assert every["memory_out"]["words"] == 5 * design.target.memory_words
    for name in design.fills:
        assert every[name]["fill"] > 0


def test_each_choice_is_other_hardware() -> None:
    texts = {probes: sources(build(residual(), _folding(probes))) for probes in folds.PROBES}
    assert len({text.design_id for text in texts.values()}) == 3
    counted = {
        probes: text.files["bnn_core.sv"].count("bnn_probe #") for probes, text in texts.items()
    }
    assert counted == {"none": 0, "ends": 2, "all": len(build(residual(), _folding("all")).streams)}


def test_the_folding_file_keeps_the_choice(tmp_path: Path) -> None:
    for probes in folds.PROBES:
        path = tmp_path / f"{probes}.json"
        path.write_text(json.dumps(folds.as_json(_folding(probes))))
        assert folds.read(path, residual()).probes == probes
    older = folds.as_json(_folding("none"))
    del older["probes"]
    path.write_text(json.dumps(older))
    assert folds.read(path, residual()).probes == "none"
    for wrong in ("some", True, None, ["all"], ""):
        path.write_text(json.dumps({**older, "probes": wrong}))
        with pytest.raises(BuildError, match="key 'probes' must be one of none, ends, all, not"):
            folds.read(path, residual())


def test_a_build_says_which_it_has(tmp_path: Path) -> None:
    for probes, names in (("none", []), ("ends", ENDS)):
        design = build(dense(), replace(DENSE_FOLDING, probes=probes))
        values = export.write(design, board("pynq-z1"), tmp_path / probes)
        assert values["probes"] == probes
        assert f"probes: {probes};" in (tmp_path / probes / "report.txt").read_text()
        kept = json.loads((tmp_path / probes / "driver.json").read_text())
        assert kept["probes"] == names
        assert Metadata.from_json(kept) == metadata(design, sources(design))


def test_they_are_in_the_plan() -> None:
    costs = {probes: plan(residual(), fps=1000, probes=probes) for probes in folds.PROBES}
    assert [each.folding.probes for each in costs.values()] == list(folds.PROBES)
    none, ends, every = (each.cost for each in costs.values())
    counted = len(costs["all"].design.streams)
    # A probe has three counters of 32 bits, its output, and the highest fill: of one bit before
    # the pipeline, of two after the FIFO at its end.
    assert ends.ff - none.ff == pytest.approx(129 + 130 + 32)
    assert every.ff - none.ff >= 129 * counted + 32
    assert none.lut < ends.lut < every.lut
    assert costs["ends"].as_json()["probes"] == "ends"
    # What chooses a count was not routed alone, so no clock with probes is more than hoped for.
    assert [each.clock_is for each in costs.values()] == ["estimated", "hoped for", "hoped for"]
    assert costs["ends"].routed is None
    with pytest.raises(BuildError, match="probes must be one of none, ends, all, not 'both'"):
        plan(residual(), probes="both")


def test_a_plan_that_fits_without_them_may_not_fit_with_them() -> None:
    wanted = plan(dense(), fps=1000)
    room = (wanted.cost.lut + 50) / wanted.part.luts
    assert plan(dense(), fps=1000, fill=room).cost == wanted.cost
    with pytest.raises(PlanError, match="LUT"):
        plan(dense(), fps=1000, fill=room, probes="all")


@pytest.mark.hw
@pytest.mark.usefixtures("yosys")
def test_the_count_has_them_and_the_estimate_is_near() -> None:
    counted, estimated = {}, {}
    for probes in ("none", "all"):
        design = build(residual(), _folding(probes))
        modules = {instance.name: instance.block.module for instance in design.instances}
        cells = synth.cells(sources(design), modules)
        assert ("probes" in cells) == (probes == "all")
        counted[probes] = cells["total"]
        estimated[probes] = cost.of_design(design)
    for kind, share in (("LUT", 0.15), ("FF", 0.05)):
        more = counted["all"][kind] - counted["none"][kind]
        guess = getattr(estimated["all"], kind.lower()) - getattr(estimated["none"], kind.lower())
        assert abs(guess - more) <= share * more, (kind, guess, more)

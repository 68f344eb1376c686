# SPDX-License-Identifier: BSD-3-Clause
"""Layers on the host between simulated circuits: equal scores, and a ledger of every crossing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.driver import chip as chips
from bnn.errors import BuildError
from bnn.hw import export
from bnn.hw.boards import board
from bnn.hw.design import build
from bnn.hw.folding import Folding, LayerFolding, original, restricted
from bnn.model.file import save
from bnn.plan.events import simulate
from bnn.plan.split import Circuit
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Dot, Pool, Rescale, Threshold, Window
from bnn.program.precision import INT, TERNARY, UINT
from bnn.program.program import Program
from bnn.run import Outputs, prepare
from bnn.run.split import SplitRuntime, prepare_split
from bnn.run.stages import as_host_layers
from hw.examples import RESIDUAL_FOLDING, TFC_FOLDING, residual, tfc
from hw.pynq_stand_in import StandIn
from support.programs import batches

pytestmark = pytest.mark.usefixtures("simulator")


def simulated(program: Program, folding: Folding, *names: str, **options: Any) -> SplitRuntime:
    host = as_host_layers(list(names))
    return prepare_split("sim", program, host, folding=folding, quick=True, **options)


def check(runtime: SplitRuntime, count: int) -> dict[str, Any]:
    """Compare scores with the reference, and every part's cycles with the event model."""
    inputs = batches(runtime.program, count, seed=3)
    outputs = runtime.run(inputs)
    wanted = prepare("reference", runtime.program).run(inputs)
    np.testing.assert_array_equal(outputs.scores, wanted.scores)
    for stage, each in zip(runtime.stages, runtime.runtimes, strict=True):
        if stage.is_host:
            continue
        design = each.accelerated.design  # type: ignore[attr-defined]
        report = each.driver.last_report  # type: ignore[attr-defined]
        timing = simulate(design, count)
        assert report.latency == timing.latency
        assert report.interval == timing.mean_interval
        assert report.cycles - timing.finished[-1] == END
        # What bnn split prints: from four images to any batch.
        circuit = Circuit.of(str(stage), design)
        assert circuit.exact
        assert circuit.bytes_in * count == outputs_bytes(outputs, stage.start)
        assert circuit.us(count, 1.0) == timing.finished[-1]
    return outputs.details


def outputs_bytes(outputs: Outputs, edge: str) -> int:
    """The bytes of an edge that crossed to the accelerator."""
    to_chip = [each for each in outputs.details["crossings"] if each["to"] == "accelerator"]
    return next(int(each["bytes"]) for each in to_chip if each["edge"] == edge)


#: Cycles from the last result word to "done": the memory's answer and the registers.
END = 23


@pytest.mark.parametrize("name", ["fc0", "fc1", "fc2", "scores"])
def test_each_layer_of_a_dense_network(name: str) -> None:
    runtime = simulated(tfc(), TFC_FOLDING, name)
    details = check(runtime, 9)
    assert sum(each["cycles"] for each in details["parts"]) == details["cycles"]


@pytest.mark.parametrize("names", [("d0",), ("d1", "sum"), ("p1",), ("d2",)])
def test_layers_of_a_residual_network(names: tuple[str, ...]) -> None:
    check(simulated(residual(), RESIDUAL_FOLDING, *names), 6)


def test_the_ledger_of_a_run() -> None:
    runtime = simulated(tfc(), TFC_FOLDING, "fc1")
    details = check(runtime, 5)
    crossings = details["crossings"]
    assert [(each["edge"], each["to"], each["bytes"]) for each in crossings] == [
        ("input", "accelerator", 5 * 13 * 8),
        ("fc0_act", "host", 5 * 8),
        ("fc1_act", "accelerator", 5 * 8),
        ("scores", "host", 5 * 2 * 8),
    ]
    first, last = details["parts"][0], details["parts"][2]
    assert [each["cycles"] for each in crossings] == [0, first["cycles"], 0, last["cycles"]]
    host = details["parts"][1]
    assert crossings[2]["host_seconds"] >= host["seconds"] > 0
    assert crossings[2]["waited_seconds"] == crossings[2]["host_seconds"]
    assert crossings[1]["waited_seconds"] == first["cycles"] / 100e6
    assert [(each["part"], each["what"]) for each in details["ledger"]] == [
        (1, "parameters"),
        (1, "images"),
        (1, "results"),
        (3, "parameters"),
        (3, "images"),
        (3, "results"),
    ]
    assert [(each["part"], each["images"]) for each in details["starts"]] == [(1, 5), (3, 5)]
    again = check(runtime, 5)
    assert [each["what"] for each in again["ledger"]] == ["images", "results"] * 2
    assert again["copied"]["images"] == {"copies": 4, "bytes": 2 * (5 * 13 * 8 + 5 * 8)}
    assert again["simulated"] is True
    assert again["simulation_seconds"] > 0


def test_a_classifier_with_a_function() -> None:
    model = bnn.Model(tfc(), tuple("0123456789"))
    batch = batches(model.program, 4, seed=1)
    kept: list[tuple[int, ...]] = []

    def same(values: NDArray[np.int32]) -> NDArray[np.int32]:
        kept.append(values.shape)
        weights, levels = model.program.op("fc1"), model.program.op("fc1_act")
        return np.where(values @ weights.weights.T >= levels.thresholds[:, 0], 1, -1)  # type: ignore[union-attr]

    options: dict[str, Any] = {"folding": TFC_FOLDING, "quick": True}
    clf = bnn.Classifier(model, "sim", host_layers={"fc1": same}, **options)
    np.testing.assert_array_equal(clf.scores(batch), bnn.Classifier(model).scores(batch))
    assert kept == [(4, 64)]
    assert clf.last_run.simulated
    assert clf.last_run.details["mhz"] == 100.0


def test_an_added_layer_between_circuits() -> None:
    model = bnn.Model(tfc(), tuple("0123456789"))
    batch = batches(model.program, 4, seed=1)
    added = {"fc0": bnn.AddedLayer(lambda values: values)}
    clf = bnn.Classifier(model, "sim", host_layers=added, folding=TFC_FOLDING, quick=True)
    np.testing.assert_array_equal(clf.scores(batch), bnn.Classifier(model).scores(batch))
    assert [each["where"] for each in clf.last_run.details["parts"]] == [
        *("accelerator", "function", "accelerator")
    ]
    assert [each["bytes"] for each in clf.last_run.details["crossings"]] == [416, 32, 32, 64]


def test_a_part_that_cannot_be_built_is_named() -> None:
    """The hardware does not read sums of 32 bits in a dot, and gives no maps of sums."""
    with pytest.raises(BuildError, match="the part d0 to d1: d1: reads int9 values"):
        prepare_split("sim", _wide(), as_host_layers(["last"]))
    with pytest.raises(BuildError, match="the part d0 to sum: sum_flat: reads int32 values"):
        simulated(residual(), RESIDUAL_FOLDING, "t1", "p1")


def _wide() -> Program:
    ops = (
        Rescale("d0", "input", [3] * 4, 1, INT(9), -100, 100),
        Dot("d1", "d0", np.ones((4, 4), int), TERNARY),
        Dot("last", "d1", np.ones((2, 4), int), TERNARY),
    )
    return Program(IntegerInput((4,), INT(4)), ops, "last")


def test_the_folding_of_a_part() -> None:
    runtime = simulated(tfc(), TFC_FOLDING, "fc1")
    made = restricted(TFC_FOLDING, runtime.stages[2].program)
    assert list(made.layers) == ["fc2", "scores"]
    assert made.loadable
    built = build(runtime.stages[2].program, made).folding
    assert built == replace(made, input="packed", output="packed")


@pytest.mark.hw
@pytest.mark.parametrize(
    ("model", "layer"),
    [
        *(("lfc-w1a1", name) for name in ("layer1", "layer5", "layer9", "layer13")),
        *(("cnv-w1a1", name) for name in ("layer3", "layer4", "layer10", "layer17", "layer25")),
    ],
)
def test_cuts_of_bundled_models(model: str, layer: str) -> None:
    program = bnn.load(model).program
    check(simulated(program, original(program), layer), 5)


def test_two_designs_on_one_chip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_chip: StandIn
) -> None:
    """On a board each part has its own bitstream, of the file that bnn split --parts wrote."""
    monkeypatch.setattr(chips, "LOCK", f"board-{os.getpid()}.lock")
    own_chip.install(monkeypatch)
    program = tfc()
    save(bnn.Model(program, tuple("0123456789")), tmp_path / "whole.bnn")
    words = ["split", str(tmp_path / "whole.bnn"), "--layer", "fc1", "--parts", str(tmp_path)]
    assert CliRunner().invoke(app, words).exit_code == 0
    folders = [tmp_path / f"built{number}" for number in (1, 3)]
    for folder, number in zip(folders, (1, 3), strict=True):
        made = bnn.load(tmp_path / f"part{number}.bnn").program
        design = build(made, restricted(TFC_FOLDING, made))
        export.write(design, board("pynq-z2"), folder)
        (folder / "bnn.bit").write_bytes(b"")
        own_chip.knows(folder, made)
    clf = bnn.Classifier(tmp_path / "whole.bnn", "board", host_layers=["fc1"], build=folders)
    batch = batches(program, 6, seed=1)
    for _ in range(2):
        np.testing.assert_array_equal(clf.scores(batch), bnn.Classifier(clf.model).scores(batch))
    # One for each part when it is prepared, and in each run: the chip has one design at a time.
    assert own_chip.events.count("download") == 2 + 2 * 2
    assert not clf.last_run.simulated
    assert [each["to"] for each in clf.last_run.details["crossings"]] == 2 * [
        "accelerator",
        "host",
    ]


@pytest.fixture
def own_chip() -> StandIn:
    return StandIn()


def test_a_part_without_a_matrix() -> None:
    """A pool alone on the accelerator, between two layers of the host."""
    random = np.random.default_rng(5)
    program = Program(
        IntegerInput((6, 6, 3), INT(4)),
        (
            Threshold("t", "input", np.sort(random.integers(-7, 8, (3, 3)), 1), UINT(2)),
            Pool("pooled", "t", (2, 2), (2, 2)),
            Window("w", "pooled", (3, 3)),
            Dot("d", "w", random.integers(-1, 2, (4, 27)), TERNARY),
        ),
        "d",
    )
    check(simulated(program, Folding({"d": LayerFolding(1, 9)}), "t", "d"), 4)

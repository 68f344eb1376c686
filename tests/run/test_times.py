# SPDX-License-Identifier: BSD-3-Clause
"""Times that are reported: preparation and computing apart, an accelerator's from its cycles."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bnn
from bnn import classifier, original
from bnn.commands.main import main
from bnn.data import idx
from bnn.run import Outputs
from bnn.run.reference import ReferenceRuntime
from support.param_sets import made, write

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
DETAILS = {"cycles": 1860, "mhz": 100.0, "simulated": True, "simulation_seconds": 7.5, "starts": []}


class Slow:
    """As a simulated accelerator: 6.2 us an image, whatever the simulation takes."""

    def __init__(self, program: Any) -> None:
        self._runtime = ReferenceRuntime(program)

    def run(self, inputs: Any) -> Outputs:
        outputs = self._runtime.run(inputs)
        return Outputs(outputs.scores, outputs.decisions, 1860 / 100e6, DETAILS, 0.25)


def _prepare(_: str, program: Any, progress: Any = None, **__: Any) -> Slow:
    if progress is not None:
        progress("translating the design", 0.0)
        progress("compiling the simulator", 1.0)
    return Slow(program)


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set parameters of LFC and no board; RUNTIME_HW and the runtime sim become :class:`Slow`."""
    monkeypatch.delenv("BNN_ACCELERATOR", raising=False)
    monkeypatch.setenv("BNN_PARAMS", str(tmp_path))
    monkeypatch.setattr(original, "prepare", _prepare)
    monkeypatch.setattr(original, "check_hardware", lambda: None)
    monkeypatch.setattr(classifier, "prepare", _prepare)
    (tmp_path / "digits").mkdir()
    write(tmp_path / "digits" / "lfcW1A1", made("lfcW1A1"))
    idx.write_images(tmp_path / "three.idx", IMAGES)
    return tmp_path


def test_runtime_hw_without_a_board(simulated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = bnn.LfcClassifier("lfcW1A1", "digits", bnn.RUNTIME_HW)
    told = capsys.readouterr()
    assert told.out == ""
    first, *rest = told.err.splitlines()
    assert "BNN_ACCELERATOR names no accelerator, so a simulated one computes" in first
    assert rest == [
        "bnn: building the simulator: translating the design, 0 %",
        "bnn: building the simulator: compiling the simulator, 100 %",
    ]
    net.classify_mnists(simulated / "three.idx")
    assert net.usecPerImage == pytest.approx(6.2)
    assert net.bnn.usecPerImage == net.usecPerImage
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Inference took 18.60 microseconds, 6.20 usec per image"
    assert lines[1] == "Classification rate: 161290.32 images per second"
    net.classify_mnist(simulated / "three.idx")
    assert capsys.readouterr().out.startswith("Inference took 18.60 microseconds\n")


def test_runtime_sw_says_nothing(simulated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bnn.LfcClassifier("lfcW1A1", "digits", bnn.RUNTIME_SW)
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "")
    assert simulated.exists()


def _bnn(monkeypatch: pytest.MonkeyPatch, *args: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["bnn", *map(str, args)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code


def test_classify_simulated(
    simulated: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("classify", simulated / "digits" / "lfcW1A1", simulated / "three.idx", "-r", "sim")
    _bnn(monkeypatch, *call)
    text = " ".join(capsys.readouterr().out.split())  # lines are wrapped
    assert (
        "1,860 cycles at 100 MHz = 18.60 us (simulated; the simulation itself took 7.50 s)" in text
    )
    assert "computing 6.20 us/image" in text
    _bnn(monkeypatch, *call, "--json")
    for line in capsys.readouterr().out.splitlines():
        values = json.loads(line)
        assert values["us"] == pytest.approx(6.2)
        assert values["prepare_us"] > 0.25e6 / 3
        assert (values["cycles"], values["mhz"], values["simulated"]) == (1860, 100.0, True)
        assert values["simulation_seconds"] == 7.5


@pytest.mark.parametrize("runtime", ["cpu", "reference"])
def test_preparation_and_computing_are_apart(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(np.zeros((300, 300), np.uint8)).save(path)
    clf = bnn.Classifier("lfc-w1a1", runtime)
    clf.scores(IMAGES)
    arrays = clf.last_run
    assert arrays.seconds > 0
    real = classifier.as_batch

    def slow(model: Any, images: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return real(model, images, **options)

    monkeypatch.setattr(classifier, "as_batch", slow)
    clf.scores(IMAGES)
    assert clf.last_run.prepare_seconds >= 0.05
    assert clf.last_run.prepare_us_per_image == pytest.approx(
        1e6 * clf.last_run.prepare_seconds / 3
    )
    assert clf.last_run.us_per_image == pytest.approx(1e6 * clf.last_run.seconds / 3)


def test_what_the_cache_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BNN_CACHE", str(tmp_path / "cache"))
    _bnn(monkeypatch, "info", "--cache", "--json")
    expected = {"folder": str(tmp_path / "cache"), "bytes": 0, "parts": {}}
    assert json.loads(capsys.readouterr().out) == expected
    (tmp_path / "cache" / "sim").mkdir(parents=True)
    (tmp_path / "cache" / "sim" / "x").write_bytes(bytes(1234))
    _bnn(monkeypatch, "info", "--cache")
    text = capsys.readouterr().out
    assert "1,234" in text
    assert "BNN_CACHE" in text

# SPDX-License-Identifier: BSD-3-Clause
"""Probabilities, the most likely classes and unknown pictures on the command line."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.commands.tables import scores_table
from bnn.model.calibration import Calibration
from bnn.model.model import Model
from support.models import small

SAMPLES = Path(bnn.__file__).parent / "samples"
CAT = str(SAMPLES / "cifar10" / "Cat.png")


def _lines(*arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_most_likely_classes() -> None:
    (found,) = _lines("classify", "cnv-w1a1", CAT, "--top", "3")
    expected = bnn.Classifier("cnv-w1a1").probabilities(CAT)[0]
    best = np.argsort(-expected)[:3]
    assert [one["class_index"] for one in found["top"]] == best.tolist()
    assert [one["probability"] for one in found["top"]] == expected[best].tolist()
    assert found["probability"] == expected.max()
    assert found["class_name"] == found["top"][0]["class_name"] == "Cat"


def test_a_known_picture_that_is_taken_for_another_is_shown_as_wrong() -> None:
    model = bnn.load("cnv-w1a1")
    scores, classes = bnn.Classifier(model).run(CAT)
    for truth, wrong in (("Cat", False), ("Dog", True)):
        text = io.StringIO()
        table = scores_table(model, ["x"], scores, classes, {}, truth=[truth])
        Console(file=text, width=100).print(table)
        assert ("wrong: it is Dog" in text.getvalue()) is wrong


def test_more_classes_than_there_are() -> None:
    (found,) = _lines("classify", "cnv-w1a1", CAT, "--top", "99")
    assert len(found["top"]) == 10


def test_an_unlikely_answer_is_unknown() -> None:
    (sure,) = _lines("classify", "cnv-w1a1", CAT, "--reject", "0.5")
    (unknown,) = _lines("classify", "cnv-w1a1", CAT, "--reject", "1")
    assert (sure["class_index"], sure["class_name"]) == (3, "Cat")
    assert (unknown["class_index"], unknown["class_name"]) == (None, "unknown")
    assert unknown["probability"] == sure["probability"]
    assert unknown["scores"] == sure["scores"]
    shown = CliRunner().invoke(app, ["classify", "cnv-w1a1", CAT, "--reject", "1"]).stdout
    assert "unknown" in shown
    assert "92.3 %" in shown


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures in folders "no" and "yes", and models of them with and without a calibration."""
    random = np.random.default_rng(3)
    for name in ("no", "yes"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for at in range(8):
            pixels = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{at}.png")
    bnn.save(small(), tmp_path / "plain.bnn")
    bnn.save(_with(small()), tmp_path / "sure.bnn")
    return tmp_path


def _with(model: Model) -> Model:
    return replace(model, calibration=Calibration(3.0))


def test_a_model_without_a_calibration(folder: Path) -> None:
    picture, model = str(folder / "set" / "no" / "0.png"), str(folder / "plain.bnn")
    refused = CliRunner().invoke(app, ["classify", model, picture, "--reject", "0.5"])
    assert refused.exit_code == 1
    assert "has no calibration" in str(refused.exception)
    (found,) = _lines("classify", model, picture, "--top", "2")
    assert "probability" not in found
    assert [one["probability"] for one in found["top"]] == [None, None]
    shown = CliRunner().invoke(app, ["classify", model, picture, "--top", "2"]).stdout
    assert "no probabilities: the model file has no calibration" in shown
    assert "%" not in shown
    data = str(folder / "set")
    shown = CliRunner().invoke(app, ["evaluate", model, "--data", data]).stdout
    assert "no probabilities: the model file has no calibration" in shown
    refused = CliRunner().invoke(app, ["evaluate", model, "--data", data, "--reject", "0.5"])
    assert "has no calibration" in str(refused.exception)


def test_what_rejecting_costs_is_measured(folder: Path) -> None:
    model, data = str(folder / "sure.bnn"), str(folder / "set")
    (found,) = _lines("evaluate", model, "--data", data, "--reject", "0.7", "--against", data)
    clf = bnn.Classifier(model)
    files = sorted((folder / "set").rglob("*.png"))
    sure = clf.probabilities(files).max(axis=1)
    right = clf.classify(files) == np.array([path.parent.name == "yes" for path in files])
    (trade,) = found["rejecting"]
    assert trade["right_kept"] == pytest.approx((sure[right] >= 0.7).mean())
    assert trade["wrong_refused"] == pytest.approx((sure[~right] < 0.7).mean())
    assert trade["refused"][data] == pytest.approx((sure < 0.7).mean())
    assert 0 < trade["refused"]["noise"] < 1
    assert 0 <= found["calibration_error"] <= 1
    shown = CliRunner().invoke(app, ["evaluate", model, "--data", data, "--reject", "0.7"]).stdout
    assert "expected calibration error" in shown
    assert "below 70 %:" in shown
    refused = CliRunner().invoke(app, ["evaluate", model, "--data", data, "--against", data])
    assert "--against is for --reject" in str(refused.exception)

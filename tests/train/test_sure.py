# SPDX-License-Identifier: BSD-3-Clause
"""A training's model gets a calibration from its validation part, and the report measures it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs bnn-pynq[train]")

from bnn.data.report import DataReport
from bnn.measure.calibration import find_calibration
from bnn.model.model import Model
from bnn.train.certificate import LIMITS, Certificate, _judged, with_calibration
from bnn.train.page import _calibration, _sureness
from support.models import small


def _scores(count: int) -> tuple[Model, np.ndarray, np.ndarray]:
    model = small()
    random = np.random.default_rng(2)
    scores = random.integers(-5, 6, (count, 2)).astype(np.int32)
    assert model.program.affine is not None
    values = model.program.affine.logits(scores)
    labels = (values + random.gumbel(0, 1.5, values.shape)).argmax(axis=1)
    return model, scores, labels


def test_it_is_found_on_the_validation_part() -> None:
    model, scores, labels = _scores(3000)
    found, missing = with_calibration(model, scores, labels, whole=False)
    assert missing == ""
    assert found.calibration is not None
    assert found.calibration.temperature == pytest.approx(1.5, rel=0.15)
    assert replace(found, calibration=None) == model
    assert model.program.affine is not None
    assert found.calibration == find_calibration(model.program.affine.logits(scores), labels)


def test_not_on_pictures_that_were_trained_on() -> None:
    model, scores, labels = _scores(3000)
    found, missing = with_calibration(model, scores, labels, whole=True)
    assert found is model
    assert "--whole" in missing


def test_the_report_measures_it() -> None:
    model, scores, labels = _scores(3000)
    sure, _ = with_calibration(model, scores, labels, whole=False)
    assert model.program.affine is not None
    predicted = model.program.affine.logits(scores).argmax(axis=1)
    data = DataReport.__new__(DataReport)
    found = Certificate(
        *("net", "set", model.classes, "0", {}, {}, labels, predicted, scores, [], {}, ""), data
    )
    judged = _judged(found, sure)
    assert judged.error is not None
    assert judged.error < 0.05
    assert [one.reject for one in judged.trades] == list(LIMITS)
    assert all("noise" in one.refused for one in judged.trades)
    assert f"{100 * judged.error:.2f} %" in _sureness(judged)
    assert f"temperature {sure.calibration.temperature:.4f}" in _calibration(judged)  # type: ignore[union-attr]
    unknown = replace(found, no_calibration="for a reason")
    assert _judged(unknown, model) is unknown
    assert "for a reason" in _sureness(unknown)

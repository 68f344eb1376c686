# SPDX-License-Identifier: BSD-3-Clause
"""The class for batches of other programs' data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bnn
from bnn.errors import InputError
from bnn.scale import Classify

SAMPLES = Path(bnn.__file__).parent / "samples"


def test_arrays_and_files() -> None:
    images = np.random.default_rng(1).integers(0, 256, (20, 28, 28), np.uint8)
    reference = bnn.Classifier("lfc-w1a1", "reference")
    found = Classify("lfc-w1a1")({"image": images, "id": np.arange(20)})
    np.testing.assert_array_equal(found["scores"], reference.scores(images))
    np.testing.assert_array_equal(found["class_index"], reference.classify(images))
    assert found["class_name"].tolist() == [reference.classes[i] for i in found["class_index"]]
    assert found["error"].tolist() == [""] * 20
    assert found["id"] is not None
    data = [(SAMPLES / "mnist" / "3.png").read_bytes(), b"no picture"]
    for column in (data, np.array(data, np.object_)):
        found = Classify(bnn.load("lfc-w1a1"), "png")({"png": column})
        assert found["class_index"].tolist() == [3, -1]
        assert found["scores"][1].tolist() == [0] * 10
        assert "png[1]" in found["error"][1]


def test_what_it_does_not_take() -> None:
    classify = Classify("lfc-w1a1")
    with pytest.raises(InputError, match="no column 'image'"):
        classify({"x": np.zeros((1, 28, 28), np.uint8)})
    with pytest.raises(InputError, match=r"\[5, 5\]"):
        classify({"image": np.zeros((1, 5, 5), np.uint8)})

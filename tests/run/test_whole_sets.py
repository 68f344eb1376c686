# SPDX-License-Identifier: BSD-3-Clause
"""cpu equals reference, score by score, on the original's networks and real test sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnn.classifier import Classifier
from bnn.data.sets import DataSet, load_test
from bnn.formats.bnn_pynq import load

SETS = {
    "cifar10-cnvW1A1": "cifar10",
    "cifar10-cnvW1A2": "cifar10",
    "cifar10-cnvW2A2": "cifar10",
    "mnist-lfcW1A1": "mnist",
    "mnist-lfcW1A2": "mnist",
}
#: Images of the quick test: the reference takes about 30 ms for each of CIFAR-10.
SOME = {"cifar10": 60, "mnist": 1000}


def _equal(name: str, params: Path, count: int | None) -> None:
    model = load(params / f"{name}.tar.xz")
    test = load_test(SETS[name])
    assert isinstance(test, DataSet)
    images = test.images[-count:] if count else test.images
    scores, classes = Classifier(model, "cpu").run(images)
    expected, decided = Classifier(model, "reference").run(images)
    assert len(scores) == (count or 10_000)
    assert (scores == expected).all()
    assert (classes == decided).all()


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize("name", SETS)
def test_some_of_each_set(name: str, params_dir: Path) -> None:
    _equal(name, params_dir, SOME[SETS[name]])


@pytest.mark.slow
@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize("name", SETS)
def test_whole_sets(name: str, params_dir: Path) -> None:
    _equal(name, params_dir, None)

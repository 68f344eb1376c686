# SPDX-License-Identifier: BSD-3-Clause
"""Every bundled model has a card, and the card speaks of this very file."""

import hashlib
import re

import numpy as np
import pytest

import bnn
from bnn.library import MODELS

NAMES = bnn.bundled()


def test_there_are_some():
    assert {"lfc-w1a1", "lfc-w1a2"} <= set(NAMES)


def test_every_card_has_a_model():
    assert {path.stem for path in MODELS.glob("*.md")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_of_this_file(name):
    card = (MODELS / f"{name}.md").read_text()
    digest = hashlib.sha256((MODELS / f"{name}.bnn").read_bytes()).hexdigest()
    assert digest in card
    assert re.search(r"\*\*\d\d\.\d\d %\*\*", card), "its accuracy, measured"
    for what in ("Data", "Recipe", "seed", "epochs", "Compute"):
        assert what in card


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_were_measured(name):
    """At most 2 % apart on pictures that the calibration was not found on."""
    card = " ".join((MODELS / f"{name}.md").read_text().split())
    found = re.search(
        r"Calibration: temperature ([\d.]+), exponent ([\d.]+), .* calibration error on the "
        r"others: \*\*([\d.]+) %\*\*",
        card,
    )
    assert found, "the card says how it was found"
    calibration = bnn.load(name).calibration
    assert f"{calibration.temperature:.4f}" == found[1]
    assert f"{calibration.exponent:g}" == found[2]
    assert float(found[3]) <= 2


@pytest.mark.parametrize("name", NAMES)
def test_runtimes_agree_on_it(name):
    model = bnn.load(name)
    shape = model.program.input.shape
    pictures = np.random.default_rng(1).integers(0, 256, (8, *shape), dtype=np.uint8)
    one, other = (
        bnn.Classifier(model, runtime).scores(pictures) for runtime in ("cpu", "reference")
    )
    assert np.array_equal(one, other)
    assert len(np.unique(one)) > 10

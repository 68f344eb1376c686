# SPDX-License-Identifier: BSD-3-Clause
"""Every fixture of a real framework gives that framework's own answers, all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnn
from bnn.formats.convert import convert, recognise
from bnn.model import file as modelfile
from bnn.model.model import Model
from bnn.run import RUNTIMES
from support.converted import CASES, FIXTURES, IDS, Case, mnist


@pytest.fixture(scope="module")
def pictures(data_dir: Path) -> Any:
    return mnist(data_dir)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_answers_of_the_framework(case: Case, pictures: Any) -> None:
    model = convert(case.path, None, case.options).model
    inputs, wanted = case.prepare(pictures), case.logits()
    scores, classes = bnn.Classifier(model, "reference").run(inputs)
    np.testing.assert_array_equal(classes, wanted.argmax(axis=1))
    affine = model.program.affine
    assert affine is not None
    # The framework's logits are these very integers, up to the affine.
    np.testing.assert_array_equal(np.rint((wanted - affine.offset) / affine.scale), scores)


@pytest.mark.hw
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_simulated_accelerator_gives_the_same_scores(case: Case, pictures: Any) -> None:
    model = convert(case.path, None, case.options).model
    inputs = case.prepare(pictures)[:2]
    scores, classes = bnn.Classifier(model, "sim").run(inputs)
    expected, decided = bnn.Classifier(model, "reference").run(inputs)
    np.testing.assert_array_equal(scores, expected)
    np.testing.assert_array_equal(classes, decided)


RUN = ["larq-quantizers.h5", "larq-padded.keras", "guinness.model", "mixed.onnx"]


def _runs() -> list[Any]:
    """Every model on every runtime but the board, which has to be there; it runs what sim does."""
    return [
        # Simulators of convolutions take a minute to build.
        pytest.param(
            name, runtime, marks=[pytest.mark.hw] if runtime == "sim" and name != RUN[0] else []
        )
        for name in RUN
        for runtime in sorted(set(RUNTIMES) - {"board"})
    ]


@pytest.mark.parametrize(("name", "runtime"), _runs())
def test_every_runtime_after_saving(name: str, runtime: str, pictures: Any, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.path.name == name)
    converted = convert(case.path, None, case.options).model
    modelfile.save(converted, tmp_path / "x.bnn")
    classifier = bnn.Classifier(bnn.load(tmp_path / "x.bnn"), runtime)
    few = 1000 if runtime in ("cpu", "reference") else 3
    inputs = case.prepare(pictures[:few])
    np.testing.assert_array_equal(classifier.classify(inputs), case.logits()[:few].argmax(axis=1))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_recognised(case: Case) -> None:
    assert recognise(case.path) == case.format


THIRD_PARTY = {"TFC_1W1A": "unit", "unsw_nb15-mlp-w2a2": "bits"}


@pytest.mark.parametrize("name", THIRD_PARTY)
def test_third_party_models_against_qonnx(name: str, data_dir: Path, pictures: Any) -> None:
    model = convert(data_dir / "qonnx" / f"{name}.onnx").model
    with np.load(FIXTURES / "qonnx" / f"{name}.answers.npz") as arrays:
        wanted = arrays["logits"]
    assert len(wanted) == 1000
    if name == "TFC_1W1A":
        classes = bnn.Classifier(model, "reference").classify(pictures[..., None] / np.float32(255))
        np.testing.assert_array_equal(classes, wanted.argmax(axis=1))
        return
    logits = _binary_logits(model)
    assert set(np.unique(wanted)) == {-1, 1}
    np.testing.assert_array_equal(logits[:, 1], wanted[:, 0])
    np.testing.assert_array_equal(logits.argmax(axis=1), wanted[:, 0] > 0)


def _binary_logits(model: Model) -> Any:
    with np.load(FIXTURES / "qonnx" / "unsw_nb15-mlp-w2a2.inputs.npz") as arrays:
        bits = np.unpackbits(arrays["bits"], axis=1)[:, :600]
    return bnn.Classifier(model, "reference").logits(2 * bits.astype(np.float32) - 1)

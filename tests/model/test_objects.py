# SPDX-License-Identifier: BSD-3-Clause
"""Models and classifiers as Python objects: copied, compared, pickled, sent away, shown."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnn
from bnn.classifier import Run
from bnn.model.html import model_html
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Dot
from bnn.program.precision import BIPOLAR
from bnn.program.program import Program

SAMPLES = Path(bnn.__file__).parent / "samples"
COPIES = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}
copies = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


def digits() -> list[str]:
    return sorted(str(path) for path in (SAMPLES / "mnist").glob("*.png"))


@pytest.fixture(scope="module")
def lfc() -> bnn.Model:
    return bnn.load("lfc-w1a1")


def renamed(model: bnn.Model, **values: Any) -> bnn.Model:
    return dataclasses.replace(model, **values)


@copies
def test_copies_of_a_model(copied: Any, lfc: bnn.Model) -> None:
    other = copied(lfc)
    assert other == lfc
    assert hash(other) == hash(lfc)
    assert other.program == lfc.program
    assert other.provenance == lfc.provenance


def test_models_that_differ(lfc: bnn.Model) -> None:
    weights = next(op for op in lfc.program.ops if hasattr(op, "weights"))
    turned = dataclasses.replace(weights, weights=-weights.weights)
    ops = tuple(turned if op is weights else op for op in lfc.program.ops)
    program = dataclasses.replace(lfc.program, ops=ops)
    others = [
        renamed(lfc, name="other"),
        renamed(lfc, classes=lfc.classes[::-1]),
        renamed(lfc, preprocess=None),
        renamed(lfc, provenance={}),
        renamed(lfc, program=program),
        bnn.load("lfc-w1a2"),
    ]
    assert all(other != lfc for other in others)
    assert program != lfc.program
    assert lfc != "lfc-w1a1"
    assert lfc.program != lfc.program.digest()


@copies
@pytest.mark.parametrize("runtime", ["cpu", "reference"])
def test_copies_of_a_classifier(copied: Any, runtime: str, lfc: bnn.Model) -> None:
    options = {"threads": 1} if runtime == "cpu" else {}
    first = bnn.Classifier(lfc, runtime, **options)
    scores = first.scores(digits()[:3])
    other = copied(first)
    assert other == first
    assert hash(other) == hash(first)
    assert other.last_run == first.last_run
    assert other.runtime == runtime
    assert other.options == options
    np.testing.assert_array_equal(other.scores(digits()[:3]), scores)


def test_classifiers_that_differ(lfc: bnn.Model) -> None:
    first = bnn.Classifier(lfc)
    assert first == bnn.Classifier(lfc)
    assert first != bnn.Classifier(lfc, "reference")
    assert first != bnn.Classifier(lfc, threads=1)
    assert first != bnn.Classifier(lfc, bgr=True)
    assert copy.deepcopy(bnn.Classifier(lfc, bgr=True)).bgr
    assert repr(bnn.Classifier(lfc, bgr=True)) == "Classifier('lfc-w1a1', runtime='cpu', bgr=True)"
    assert first != bnn.Classifier("lfc-w1a2")
    assert first != lfc


@copies
@pytest.mark.parametrize(
    "made", [lambda: bnn.LfcClassifier(bnn.NETWORK_LFCW1A1, "mnist", bnn.RUNTIME_SW)], ids=["lfc"]
)
def test_copies_of_the_original_classifiers(
    copied: Any, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bnn.data import idx

    monkeypatch.delenv("BNN_PARAMS", raising=False)
    file = tmp_path / "digits.idx"
    image = bnn.load("lfc-w1a1").preprocess.to_array(digits()[3], (28, 28, 1))  # type: ignore[union-attr]
    idx.write_images(file, image[None, :, :, 0])
    first = made()
    expected = first.classify_mnist(str(file))
    other = copied(first)
    assert other == first
    assert other.classes == first.classes
    assert other.usecPerImage == first.usecPerImage
    assert other.classify_mnist(str(file)) == expected
    assert first != made().bnn


def test_copies_of_the_original_cnv(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.delenv("BNN_PARAMS", raising=False)
    first = bnn.CnvClassifier(bnn.NETWORK_CNVW1A1, "cifar10", bnn.RUNTIME_SW)
    path = next((SAMPLES / "cifar10").glob("*.png"))
    other = COPIES["pickle"](first)
    assert other == first
    with Image.open(path) as one, Image.open(path) as two:
        assert other.classify_image(one) == first.classify_image(two)
    assert first != bnn.CnvClassifier(bnn.NETWORK_CNVW1A2, "cifar10", bnn.RUNTIME_SW)
    unloaded = bnn.PynqBNN(bnn.RUNTIME_SW, bnn.NETWORK_CNVW1A1)
    assert copy.deepcopy(unloaded) == unloaded != first.bnn


def classified(work: tuple[Any, list[str]]) -> list[int]:
    classifier, paths = work
    return classifier.classify(paths).tolist()  # type: ignore[no-any-return]


def test_a_classifier_in_spawned_processes(lfc: bnn.Model) -> None:
    classifier = bnn.Classifier(lfc, threads=1)
    expected = classified((classifier, digits()))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        parts = list(pool.map(classified, [(classifier, [path]) for path in digits()]))
    assert [number for part in parts for number in part] == expected


def test_a_classifier_in_joblib(lfc: bnn.Model) -> None:
    joblib = pytest.importorskip("joblib")
    classifier = bnn.Classifier(lfc, threads=1)
    jobs = [joblib.delayed(classified)((classifier, [path])) for path in digits()]
    parts = joblib.Parallel(n_jobs=2)(jobs)
    assert [number for part in parts for number in part] == classified((classifier, digits()))


def test_reprs_are_short(lfc: bnn.Model) -> None:
    original = bnn.CnvClassifier(bnn.NETWORK_CNVW1A1, "cifar10", bnn.RUNTIME_SW)
    classifier = bnn.Classifier(lfc, threads=2)
    assert repr(classifier) == "Classifier('lfc-w1a1', runtime='cpu', threads=2)"
    assert repr(original) == "CnvClassifier('cnvW1A1', 'cifar10', 'python_sw')"
    assert repr(lfc).startswith("Model('lfc-w1a1', 10 classes, Program(input 28x28x1")
    for value in (lfc, lfc.program, bnn.load("cnv-w2a2"), classifier, original, Run(1, 0.1)):
        assert "\n" not in repr(value)
        assert len(repr(value)) < 200


def test_notebooks_show_tables_with_names_escaped(lfc: bnn.Model) -> None:
    classes = ("<script>alert(1)</script>", *lfc.classes[1:])
    model = renamed(lfc, classes=classes, name="<b>&")
    classifier = bnn.Classifier(model)
    original = bnn.LfcClassifier(bnn.NETWORK_LFCW1A1, "mnist", bnn.RUNTIME_SW)
    assert "not run yet" in classifier._repr_html_()
    classifier.classify(digits())
    for text in (model._repr_html_(), classifier._repr_html_(), original._repr_html_()):
        assert "<script" not in text
        assert ">1x1x1024</td>" in text
    assert "&lt;script&gt;" in model._repr_html_()
    assert f"{len(digits())} images" in classifier._repr_html_()


def test_html_counts_bytes() -> None:
    """Bits are rounded up to bytes: 24 bits are 3 bytes, 9 are 2."""
    ops = (
        Dot("d", "input", np.ones((3, 8), int), BIPOLAR),
        Dot("e", "d", np.ones((3, 3)), BIPOLAR),
    )
    text = model_html(bnn.Model(Program(IntegerInput((8,), BIPOLAR), ops, "e"), ("a", "b", "c")))
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in text.split("<tr>")[2:]]
    assert [row[-2:] for row in rows] == [["48", "3"], ["18", "2"], ["66", "5"]]


def test_html_names_not_every_class(lfc: bnn.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "more" not in lfc._repr_html_()
    monkeypatch.setattr("bnn.model.html.MAX_NAMES", 3)
    assert "10 classes: 0, 1, 2 and 7 more" in lfc._repr_html_()


def test_html_of_names_that_turn_text(lfc: bnn.Model) -> None:
    model = renamed(lfc, name="a\u202e\x1b[31m\nb", classes=("\u2066", *lfc.classes[1:]))
    assert not set(model._repr_html_()) & set("\u202e\x1b\n\u2066")


def test_runs_are_values() -> None:
    one, other = (Run(1, 0.5, {"starts": [{}] * many}) for many in (1, 1000))
    assert one != other
    assert hash(one) == hash(copy.deepcopy(one))
    assert len(repr(other)) < 200
    assert not one.simulated


def test_simulated_time_is_called_so(lfc: bnn.Model) -> None:
    classifier = bnn.Classifier(lfc)
    classifier.last_run = Run(1, 1e-5, {"simulated": True, "mhz": 100.0})
    assert "10.0 us per image at 100 MHz (simulated)" in classifier._repr_html_()
    classifier.last_run = Run(1, 1e-5)
    assert "simulated" not in classifier._repr_html_()


def test_every_error_can_be_sent_to_another_process() -> None:
    def below(kind: type) -> list[type]:
        return [kind, *(one for child in kind.__subclasses__() for one in below(child))]

    for kind in (*below(bnn.BnnError), bnn.errors.UnreadableError):
        error = kind("what is wrong")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert (str(again), vars(again)) == (str(error), vars(error))
    told = bnn.errors.UnreadableError("two", ("a", "b"))
    assert pickle.loads(pickle.dumps(told)).lines == ("a", "b")

# SPDX-License-Identifier: BSD-3-Clause
"""The original's Python interface (specification, section 5)."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bnn
from bnn.data import cifar, idx
from bnn.errors import (
    BnnError,
    DataError,
    InputError,
    ParameterError,
    RuntimeUnavailableError,
)
from bnn.original import _fit_lfc
from bnn.program.semantics import arg_max
from bnn.run import Outputs
from bnn.run.reference import ReferenceRuntime
from support.param_sets import CLASSES, archive, made, write

#: What scripts written for the original call, by class (section 5).
METHODS = {
    "PynqBNN": "load_parameters inference detailed_inference inference_multiple "
    "inference_multiple_detail class_name",
    "CnvClassifier": "image_to_cifar classify_image classify_cifar classify_path "
    "classify_image_details classify_cifar_details classify_images classify_cifars "
    "classify_paths classify_images_details classify_cifars_details class_name",
    "LfcClassifier": "classify_mnist classify_mnists class_name",
}
LINES = re.compile(
    r"Inference took [0-9.]+ microseconds(, [0-9.]+ usec per image)?\n"
    r"Classification rate: [0-9]+\.[0-9]{2} images per second\n"
)


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two roots: folders in one, archives in the other."""
    write_to = tmp_path / "folders" / "signs" / "cnvW1A2"
    write_to.parent.mkdir(parents=True)
    write(write_to, made("cnvW1A2"))
    archives = tmp_path / "archives"
    archives.mkdir()
    archive(archives / "digits-lfcW1A1.tar.xz", made("lfcW1A1"), "w:xz")
    archive(archives / "signs-cnvW1A2.tar.xz", made("cnvW1A2", 1), "w:xz")
    archive(archives / "other-cnvW1A2.tar.xz", made("cnvW1A2", 2), "w:xz")
    monkeypatch.setenv("BNN_PARAMS", f"{tmp_path / 'folders'}:{archives}:{tmp_path / 'none'}")
    return tmp_path


def _pictures(count: int) -> Any:
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_there(name: str) -> None:
    for method in METHODS[name].split():
        assert inspect.isfunction(getattr(getattr(bnn, name), method))


def test_constants() -> None:
    assert (bnn.RUNTIME_HW, bnn.RUNTIME_SW) == ("python_hw", "python_sw")
    assert bnn.NETWORK_CNVW1A1 == "cnvW1A1"
    assert bnn.NETWORK_CNVW1A2 == "cnvW1A2"
    assert bnn.NETWORK_CNVW2A2 == "cnvW2A2"
    assert bnn.NETWORK_LFCW1A1 == "lfcW1A1"
    assert bnn.NETWORK_LFCW1A2 == "lfcW1A2"


@pytest.mark.usefixtures("roots")
def test_available_params() -> None:
    assert bnn.available_params(bnn.NETWORK_CNVW1A2)[:2] == ["signs", "other"]
    assert "digits" in bnn.available_params(bnn.NETWORK_LFCW1A1)
    assert bnn.available_params("nonsense") == []


@pytest.mark.usefixtures("roots")
def test_a_root_that_cannot_be_read_has_no_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    before = bnn.available_params("cnvW1A2")
    monkeypatch.setenv("BNN_PARAMS", f"{'x' * 5000}:{__file__}:{os.environ['BNN_PARAMS']}")
    assert bnn.available_params("cnvW1A2") == before
    with pytest.raises(BnnError, match="cannot be read"):
        bnn.load("x" * 5000)


def test_the_first_root_wins(roots: Path) -> None:
    first = bnn.CnvClassifier("cnvW1A2", "signs", bnn.RUNTIME_SW)
    path = roots / "one.bin"
    cifar.write_records(path, _pictures(1))
    expected = bnn.Classifier(roots / "folders" / "signs" / "cnvW1A2", "reference")
    assert (first.classify_cifar_details(path) == expected.scores(_pictures(1))[0]).all()


def test_cnv_calls_agree(roots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clf = bnn.CnvClassifier(bnn.NETWORK_CNVW1A2, "other", bnn.RUNTIME_SW)
    arrays = _pictures(3)
    path, pictures = roots / "three.bin", [roots / f"{i}.png" for i in range(3)]
    cifar.write_records(path, arrays)
    for array, name in zip(arrays, pictures, strict=True):
        Image.fromarray(array).save(name)
    images = [Image.fromarray(array) for array in arrays]
    scores = bnn.Classifier(clf.bnn._model, "reference").scores(arrays)  # type: ignore[arg-type]

    details = clf.classify_cifars_details(path)
    assert details.dtype == np.int32
    assert details.tolist() == scores.ravel().tolist()
    assert clf.classify_images_details(images).tolist() == details.tolist()
    assert clf.classify_cifar_details(path).tolist() == scores[0].tolist()
    assert clf.classify_image_details(images[1]).tolist() == scores[1].tolist()

    many = arg_max(scores, "first-positive").tolist()
    assert clf.classify_cifars(path).tolist() == many
    assert clf.classify_images(images).tolist() == many
    assert clf.classify_paths(pictures).tolist() == many
    assert clf.classify_images([]).tolist() == []

    single = scores.argmax(axis=1).tolist()
    assert clf.classify_cifar(path) == single[0]
    assert [clf.classify_image(image) for image in images] == single
    assert [clf.classify_path(name) for name in pictures] == single
    assert type(clf.classify_path(pictures[0])) is int

    assert clf.class_name(3) == "class 3"
    assert clf.usecPerImage > 0
    assert (clf.net, clf.params, clf.runtime) == ("cnvW1A2", "other", bnn.RUNTIME_SW)
    out = capsys.readouterr().out
    assert LINES.sub("", out) == ""
    assert len(LINES.findall(out)) == 15


def test_incomplete_record_is_dropped(roots: Path) -> None:
    clf = bnn.CnvClassifier("cnvW1A2", "signs", bnn.RUNTIME_SW)
    path = roots / "cut.bin"
    path.write_bytes(cifar.to_records(_pictures(3))[:-1])
    assert len(clf.classify_cifars(path)) == 2
    for content in (b"", b"x" * 3072):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"cut\.bin"):
            clf.classify_cifars(path)


def test_image_to_cifar_writes_a_record_and_shrinks(roots: Path) -> None:
    clf = bnn.CnvClassifier("cnvW1A2", "signs", bnn.RUNTIME_SW)
    image = Image.new("RGB", (64, 32), (1, 2, 3))
    with (roots / "r.bin").open("wb") as file:
        clf.image_to_cifar(image, file)
    record = (roots / "r.bin").read_bytes()
    assert len(record) == 3073
    assert record[0] == 1
    assert set(record[1:1025]) == {255, 1}
    assert image.size == (32, 16)


class _Fixed:
    """A runtime that gives the scores it was made with."""

    def __init__(self, scores: Any) -> None:
        self.scores = np.array(scores, np.int32)

    def run(self, inputs: Any) -> Outputs:
        return Outputs(np.tile(self.scores, (len(inputs), 1)), None, 1e-6)


@pytest.mark.usefixtures("roots")
def test_single_and_many_differ_when_all_scores_are_negative() -> None:
    clf = bnn.CnvClassifier("cnvW1A2", "signs", bnn.RUNTIME_SW)
    clf.bnn._runtime = _Fixed([-5, -4, -1, -1, -9, -9, -9, -9, -9, -9])
    image = Image.new("RGB", (32, 32))
    assert clf.classify_image(image) == 2
    assert clf.classify_images([image]).tolist() == [0]


@pytest.mark.parametrize(
    ("fired", "single", "multiple"),
    [([], 0, 0), ([0], 0, 0), ([3], 3, 3), ([1, 2, 3], 4, 3), ([0, 3], 3, 3), ([8, 9], 10, 9)],
)
def test_lfc_decision_rules(roots: Path, fired: Any, single: int, multiple: int) -> None:
    """round(log2(word)) against its highest bit: 0b1110 is 4 alone and 3 among many."""
    clf = bnn.LfcClassifier("lfcW1A1", "digits", bnn.RUNTIME_SW)
    program = clf.bnn._model.program  # type: ignore[union-attr]
    limits: Any = program.op("fired")
    scores = limits.thresholds.ravel() - 1
    scores[fired] += 1
    bits = (np.isin(np.arange(CLASSES), fired))[None]
    outputs = Outputs(scores[None].astype(np.int32), arg_max(bits, "highest-positive"), 1e-6)
    clf.bnn._runtime = type("_", (), {"run": lambda _self, _inputs: outputs})()
    path = roots / "one.idx"
    idx.write_images(path, np.zeros((1, 28, 28), np.uint8))
    assert clf.classify_mnist(path) == single
    assert clf.classify_mnists(path).tolist() == [multiple]
    one_hot = clf.bnn.detailed_inference(path)
    assert one_hot.tolist() == [int(c == single) for c in range(CLASSES)]
    if single == CLASSES:
        with pytest.raises(BnnError):
            clf.class_name(single)


def test_lfc_reads_pixels_in_order(roots: Path) -> None:
    """Nothing checks that images are 28x28; missing pixels at the end read as 0."""
    images = np.arange(2 * 6, dtype=np.uint8).reshape(2, 2, 3)
    padded = _fit_lfc(images)
    assert padded.shape == (2, 28, 28, 1)
    assert padded[1].ravel()[:7].tolist() == [6, 7, 8, 9, 10, 11, 0]
    with pytest.raises(DataError):
        _fit_lfc(np.zeros((1, 29, 28), np.uint8))
    clf = bnn.LfcClassifier("lfcW1A1", "digits", bnn.RUNTIME_SW)
    path = roots / "short.idx"
    idx.write_images(path, np.full((2, 28, 28), 255, np.uint8))
    path.write_bytes(path.read_bytes()[:-100])
    assert len(clf.classify_mnists(path)) == 2


def test_load_parameters_takes_absolute_and_relative_paths(roots: Path) -> None:
    net = bnn.PynqBNN(bnn.RUNTIME_SW, "cnvW1A2")
    cifar.write_records(roots / "x.bin", _pictures(1))
    with pytest.raises(ParameterError, match="before"):
        net.inference(roots / "x.bin")
    for place in (roots / "folders/signs/cnvW1A2", "signs/cnvW1A2", "other/cnvW1A2"):
        net.load_parameters(str(place))
        assert net.class_name(0) == "class 0"
    assert net.inference_multiple(roots / "x.bin").shape == (1,)
    assert net.inference_multiple_detail(roots / "x.bin").shape == (CLASSES,)


@pytest.mark.usefixtures("roots")
def test_no_accelerator_and_no_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BNN_ACCELERATOR", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(RuntimeUnavailableError, match=r"simulator.*pip install"):
        bnn.CnvClassifier("cnvW1A2", "signs")


def test_errors_are_raised(roots: Path) -> None:
    with pytest.raises(ParameterError, match=r"nothing.*cnvW1A2"):
        bnn.CnvClassifier("cnvW1A2", "nothing", bnn.RUNTIME_SW)
    with pytest.raises(ParameterError, match="missing"):
        bnn.PynqBNN(bnn.RUNTIME_SW, "cnvW1A2").load_parameters("/missing")
    for wrong in ("cnvW3A3", "lfcW1A1"):
        with pytest.raises(BnnError, match=wrong):
            bnn.CnvClassifier(wrong, "signs", bnn.RUNTIME_SW)
    with pytest.raises(BnnError, match="python_xx"):
        bnn.PynqBNN("python_xx", "cnvW1A2")
    with pytest.raises(InputError, match="not a str"):
        bnn.CnvClassifier("cnvW1A2", "signs", bnn.RUNTIME_SW).classify_image("deer.jpg")  # type: ignore[arg-type]
    clf = bnn.LfcClassifier("lfcW1A1", "digits", bnn.RUNTIME_SW)
    with pytest.raises(DataError, match=r"gone\.idx"):
        clf.classify_mnist(roots / "gone.idx")
    for index in (1.5, "1", None, 99, -99):
        with pytest.raises(BnnError, match=f"no class {index}"):
            clf.class_name(index)  # type: ignore[arg-type]


@pytest.mark.parametrize("one", ["deer.jpg", b"deer.jpg", Path("deer.jpg"), Image.new("L", (9, 9))])
@pytest.mark.parametrize("call", ["classify_paths", "classify_images", "classify_images_details"])
@pytest.mark.usefixtures("roots")
def test_one_where_several_belong_is_refused(call: str, one: Any) -> None:
    clf = bnn.CnvClassifier("cnvW1A2", "signs", bnn.RUNTIME_SW)
    with pytest.raises(InputError, match=f"a list of .* not one {type(one).__name__}"):
        getattr(clf, call)(one)


def test_too_many_images_are_refused(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnn.original.MAX_CNV_IMAGES", 2)
    clf = bnn.CnvClassifier("cnvW1A2", "signs", bnn.RUNTIME_SW)
    cifar.write_records(roots / "x.bin", _pictures(3))
    with pytest.raises(DataError, match="3 images"):
        clf.classify_cifars(roots / "x.bin")


def test_whole_mnist_by_both_rules(data_dir: Path, params_dir: Path) -> None:
    """98.40 and 98.49 % with the rule for many images, 98.37 and 98.49 % with the single one."""
    images = idx.read_images(data_dir / "mnist" / "t10k-images-idx3-ubyte.gz")
    labels = idx.read_labels(data_dir / "mnist" / "t10k-labels-idx1-ubyte.gz")
    for network, many, single in (("lfcW1A1", 9840, 9837), ("lfcW1A2", 9849, 9849)):
        net = bnn.PynqBNN(bnn.RUNTIME_SW, network)
        net.load_parameters(params_dir / f"mnist-{network}.tar.xz")
        classes, _ = net._multiple(images[..., None])
        assert (classes == labels).sum() == many
        outputs = net._run(images[..., None])
        alone = [
            net._lfc_single(Outputs(outputs.scores[i : i + 1], None, 0)) for i in range(len(images))
        ]
        assert (np.array(alone) == labels).sum() == single


@pytest.mark.parametrize(
    ("network", "right"), [("cnvW1A1", 7922), ("cnvW1A2", 8266), ("cnvW2A2", 8429)]
)
def test_whole_cifar10(network: str, right: int, data_dir: Path, params_dir: Path) -> None:
    images, labels = cifar.read_records(data_dir / "cifar10" / "test_batch.bin.xz")
    net = bnn.PynqBNN(bnn.RUNTIME_SW, network)
    net.load_parameters(params_dir / f"cifar10-{network}.tar.xz")
    classes, _ = net._multiple(images)
    assert (classes == labels).sum() == right


def test_reference_runs_the_single_rule_too(roots: Path) -> None:
    """The rule needs only scores: any runtime gives the same class."""
    net = bnn.PynqBNN(bnn.RUNTIME_SW, "lfcW1A1")
    net.load_parameters("digits/lfcW1A1")
    path = roots / "r.idx"
    idx.write_images(path, np.random.default_rng(0).integers(0, 256, (1, 28, 28), dtype=np.uint8))
    first = net.inference(path)
    net._runtime = ReferenceRuntime(net._model.program)  # type: ignore[union-attr]
    assert net.inference(path) == first

# SPDX-License-Identifier: BSD-3-Clause
"""Original parameter sets: written again byte for byte, re-folded, and made from trained ones."""

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn.errors import ParameterError
from bnn.formats import bnn_pynq
from bnn.formats.bnn_pynq.extracting import firing_level, parameters_of
from bnn.formats.bnn_pynq.writing import LayerParameters, Parameters, encode, header
from bnn.lower import lower
from bnn.model import file as modelfile
from bnn.model.model import Model
from bnn.network import zoo
from bnn.network.assemble import assemble, random_parameters
from bnn.network.topology import Topology
from bnn.program import semantics
from bnn.program.operations import Affine
from bnn.run import reference

SETS = [
    "cifar10-cnvW1A1",
    "cifar10-cnvW1A2",
    "cifar10-cnvW2A2",
    "mnist-lfcW1A1",
    "mnist-lfcW1A2",
    "road-signs-cnvW1A1",
]


@pytest.fixture(params=SETS)
def original(request, params_dir: Path) -> Path:
    path = params_dir / f"{request.param}.tar.xz"
    if not path.is_file():
        pytest.skip(f"no {path.name} in BNN_PARAMS")
    return path


def test_written_again_byte_for_byte(original: Path, tmp_path: Path) -> None:
    modelfile.save(bnn_pynq.load(original), tmp_path / "set.bnn")
    assert bnn_pynq.save(modelfile.load(tmp_path / "set.bnn"), tmp_path / "set") == ()
    with tarfile.open(original) as archive:
        expected = {
            Path(member.name).name: archive.extractfile(member).read()
            for member in archive
            if member.isreg()
        }
    written = {path.name: path.read_bytes() for path in (tmp_path / "set").glob("*.*")}
    assert written.keys() == expected.keys()
    assert [name for name in expected if written[name] != expected[name]] == []


def test_refolded_computes_the_same(original: Path, tmp_path: Path) -> None:
    model = bnn_pynq.load(original)
    network = bnn_pynq.NETWORKS[model.name]
    folding = [
        (2 * layer.pe if index % 2 else 1, layer.simd if index % 2 else 1)
        for index, layer in enumerate(network.layers)
    ]
    bnn_pynq.save(model, tmp_path / "other", folding)
    assert (tmp_path / "other" / "0-0-weights.bin").stat().st_size > 4096
    again = bnn_pynq.load(tmp_path / "other")
    assert again.name == model.name
    assert again.program.digest() == model.program.digest()
    bnn_pynq.save(again, tmp_path / "back")
    with tarfile.open(tmp_path / "back.tar", "w") as archive:
        archive.add(tmp_path / "other", "set")
    assert bnn_pynq.load(tmp_path / "back.tar").program.digest() == model.program.digest()
    assert bnn_pynq.load(tmp_path / "back").program.digest() == model.program.digest()


@pytest.mark.parametrize("name", bnn_pynq.NETWORKS)
def test_any_values_survive(name: str) -> None:
    """Random weights and raw thresholds of the whole range: files, program, files again."""
    network, rng = bnn_pynq.NETWORKS[name], np.random.default_rng(len(name))
    layers = []
    for index, layer in enumerate(network.layers):
        shape = (10 if layer.last else layer.rows, layer.used_columns)
        weights = rng.choice([-1, 1] if network.weight_bits == 1 else [-1, 0, 1], shape)
        reach = 8 << rng.integers(0, 21 if network.is_cnv and index == 0 else 13, shape[0])
        raw = rng.integers(-reach, reach, (network.levels(index), shape[0]))
        layers.append(LayerParameters(weights, np.sort(raw.T.astype(np.int64), axis=1)))
    given = Parameters(network, tuple(layers), "\n".join("abcdefghij"))
    model = bnn_pynq.from_files(Path("set"), encode(given), network)
    found, _ = parameters_of(model)
    assert found.network == network
    assert found.classes_text == given.classes_text
    for index, (one, two) in enumerate(zip(given.layers, found.layers, strict=True)):
        np.testing.assert_array_equal(one.weights, two.weights, err_msg=str(index))
        np.testing.assert_array_equal(one.thresholds, two.thresholds, err_msg=str(index))


def trained(name: str, seed: int = 0, classes: int = 12) -> Model:
    """A network of random values, lowered exactly."""
    stack = zoo.topology(name, classes)
    network = assemble(stack, random_parameters(stack, np.random.default_rng(seed)))
    return Model(lower(network), tuple(f"class {n}" for n in range(classes)))


@pytest.mark.parametrize("name", ["cnv-w1a1", "cnv-w1a2", "cnv-w2a2"])
def test_a_trained_cnv_keeps_its_activations_and_order(name: str, tmp_path: Path) -> None:
    model = trained(name, seed=sum(map(ord, name)))
    assert model.program.op("act1").signs is None
    bnn_pynq.save(model, tmp_path / "set")
    written = bnn_pynq.load(tmp_path / "set")
    assert written.name == name.replace("-w", "W").replace("a", "A")
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), np.uint8)
    ours = semantics.evaluate(model.program, images)
    theirs = semantics.evaluate(written.program, images)
    for index in range(7):
        np.testing.assert_array_equal(ours[f"act{index}"], theirs[f"act{index}"])
    logits = model.program.affine.logits(ours[model.program.scores][:, 0, 0])
    found = theirs[written.program.scores][:, 0, 0]
    for row in range(2):
        assert np.array_equal(
            np.unique(logits[row], return_inverse=True)[1],
            np.unique(found[row], return_inverse=True)[1],
        )


@pytest.mark.parametrize("name", ["lfc-w1a1", "lfc-w1a2"])
def test_a_trained_lfc_fires_where_logits_are_not_negative(name: str, tmp_path: Path) -> None:
    model = trained(name, seed=5)
    notes = bnn_pynq.save(model, tmp_path / "set")
    assert len(notes) == 1
    assert "here 1 for a logit of at least 0, and takes the last class with a 1" in notes[0]
    written = bnn_pynq.load(tmp_path / "set")
    images = np.random.default_rng(1).integers(0, 256, (40, 28, 28, 1), np.uint8)
    ours = reference.prepare(model.program).run(images).scores
    fired = semantics.evaluate(written.program, images)["fired"][:, 0, 0]
    expected = model.program.affine.logits(ours) >= 0
    np.testing.assert_array_equal(fired, expected)
    assert 0.1 < expected.mean() < 0.9


def test_lfc_fires_at_a_level_that_fits(tmp_path: Path) -> None:
    model = trained("lfc-w1a1", seed=6)
    images = np.random.default_rng(1).integers(0, 256, (200, 28, 28, 1), np.uint8)
    logits = model.program.affine.logits(reference.prepare(model.program).run(images).scores)
    level = firing_level(logits)
    agreed = []
    for folder, fires_at in (("zero", None), ("fits", level)):
        bnn_pynq.save(model, tmp_path / folder, fires_at=fires_at)
        written = bnn_pynq.load(tmp_path / folder).program
        decided = reference.prepare(written).run(images).decisions
        agreed.append((decided == logits.argmax(axis=1)).sum())
    assert agreed[0] < agreed[1]
    keeping = replace(model, provenance={"fires at": level})
    bnn_pynq.save(keeping, tmp_path / "kept")
    assert bnn_pynq.load(tmp_path / "kept").program.digest() == written.digest()


def test_a_level_is_for_classes_without_thresholds_of_their_own(tmp_path: Path) -> None:
    model = trained("lfc-w1a1", seed=6)
    scores = replace(model, program=replace(model.program, affine=None))
    with pytest.raises(ParameterError, match="needs a threshold or logits for each class"):
        bnn_pynq.save(scores, tmp_path / "x", fires_at=3)
    bnn_pynq.save(model, tmp_path / "set", fires_at=3)
    with pytest.raises(ParameterError, match="its classes have thresholds"):
        bnn_pynq.save(bnn_pynq.load(tmp_path / "set"), tmp_path / "x", fires_at=3)
    with pytest.raises(ParameterError, match="must be a finite number"):
        bnn_pynq.save(model, tmp_path / "x", fires_at=float("nan"))
    with pytest.raises(ParameterError, match="has scores"):
        bnn_pynq.save(trained("cnv-w1a1", seed=6), tmp_path / "x", fires_at=3)


def test_the_header_is_sections_1s_table() -> None:
    text = header(bnn_pynq.NETWORKS["cnvW2A2"]).splitlines()
    for line in (
        "#define L0_K 3",
        "#define L1_IFM_DIM 30",
        "#define L1_OFM_DIM 28",
        "#define L2_IFM_DIM 14",
        "#define L3_WMEM 1152",
        "#define L5_OFM_DIM 1",
        "#define L6_MW 256",
        "#define L7_PE 2",
        "#define L8_MH 64",
        "#define L8_SIMD 1",
        "#define L8_TMEM 16",
        "#define L0_WPI 2",
    ):
        assert line in text
    assert "#define L0_MW 832" in header(bnn_pynq.NETWORKS["lfcW1A2"])


def change(model: Model, **changes) -> Model:
    return replace(model, program=replace(model.program, **changes))


def refusals():
    lfc, cnv = trained("lfc-w1a1"), trained("cnv-w1a1")
    yield trained("tfc-w1a1"), "is not one of the original networks"
    yield trained("lfc-w2a2"), "is not one of the original networks"
    yield change(lfc, affine=None), "LFC needs a threshold or logits"
    yield (
        change(cnv, affine=Affine(np.arange(1.0, 13.0), np.zeros(12))),
        "dense8: scale or offset differ by class",
    )
    yield replace(lfc, classes=("a\nb", *lfc.classes[1:])), "it cannot be a line of classes"
    bytes_ = Topology("b", (32, 32, 3), zoo.topology("cnv-w1a1").layers, "bytes")
    network = assemble(bytes_, random_parameters(bytes_, np.random.default_rng(0)))
    yield Model(lower(network), tuple("0123456789")), "input is not quantized as in cnvW1A1"


def test_refusals(tmp_path: Path) -> None:
    for model, message in refusals():
        with pytest.raises(ParameterError, match=message):
            bnn_pynq.save(model, tmp_path / "set")
        assert list(tmp_path.iterdir()) == []


def test_refused_foldings_and_folders(tmp_path: Path) -> None:
    model = trained("lfc-w1a1")
    fold = [(32, 64), (64, 32), (32, 64), (16, 8)]
    for index, pair, message in (
        (0, (3, 64), "layer 0: PE 3 and SIMD 64 do not divide 1024 rows and 832 columns"),
        (1, (1, 128), "layer 1: 128 weights of 1 bits exceed a word of 64"),
        (2, (0, 1), "layer 2: PE 0"),
    ):
        with pytest.raises(ParameterError, match=message):
            bnn_pynq.save(model, tmp_path / "set", [*fold[:index], pair, *fold[index + 1 :]])
    with pytest.raises(ParameterError, match="has 4 layers, the folding 3"):
        bnn_pynq.save(model, tmp_path / "set", fold[:3])
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").touch()
    with pytest.raises(ParameterError, match="exists already and is not empty"):
        bnn_pynq.save(model, tmp_path / "set")


def test_a_lying_header_is_refused(tmp_path: Path) -> None:
    bnn_pynq.save(trained("lfc-w1a1"), tmp_path / "set")
    config = tmp_path / "set" / "hw" / "config.h"
    text = config.read_text()
    for old, new, message in (
        ("L0_PE 32", "L0_PE 33", "PE 33 and SIMD 64 do not divide"),
        ("L0_PE 32", "L0_PE 16", "0-0-weights.bin has 3328 bytes, 6656 are expected"),
    ):
        config.write_text(text.replace(old, new))
        with pytest.raises(ParameterError, match=message):
            bnn_pynq.load(tmp_path / "set")
    for old, new in (("L0_WPI 1", "L0_WPI 3"), ("L3_", "L9_"), ("#define", "//")):
        config.write_text(text.replace(old, new))  # tells no network: sizes do
        assert bnn_pynq.load(tmp_path / "set").name == "lfcW1A1"

# SPDX-License-Identifier: BSD-3-Clause
"""``bnn convert`` from end to end."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnn
from bnn.commands.main import main
from support.converted import CASES, FIXTURES, mnist


@pytest.fixture
def convert(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command; all that it prints. In ``errors``: what it printed on standard error."""

    errors: list[str] = []

    def run(*arguments: Any) -> str:
        monkeypatch.setattr("sys.argv", ["bnn", "convert", *map(str, arguments)])
        with contextlib.suppress(SystemExit):
            main()
        printed = capsys.readouterr()
        errors.append(printed.err)
        return printed.out + printed.err

    run.errors = errors  # type: ignore[attr-defined]
    return run


def test_report_verification_and_pictures(convert: Any, tmp_path: Path, data_dir: Path) -> None:
    (tmp_path / "names.txt").write_text(
        "zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine"
    )
    out = convert(
        FIXTURES / "brevitas" / "tfc-w1a1.tar",
        *("-o", tmp_path / "x.bnn", "--classes", tmp_path / "names.txt"),
        *("--pictures", "unit", "--verify", "mnist"),
    )
    assert "features.2: dense, bipolar weights; features.2.weight (40, 784)" in out
    assert "not used: features.3.num_batches_tracked" in out
    assert "accuracy: 82.39 %" in out
    assert "in real numbers: 0 of 1000 predictions differ" in out
    assert "no independent answers" in out
    model = bnn.load(tmp_path / "x.bnn")
    assert model.classes[3] == "three"
    pictures = mnist(data_dir)[:50]
    case = next(case for case in CASES if case.file == "brevitas/tfc-w1a1.tar")
    np.testing.assert_array_equal(
        bnn.Classifier(model).classify(pictures), case.logits()[:50].argmax(axis=1)
    )


def test_verification_against_stored_answers(convert: Any, tmp_path: Path, data_dir: Path) -> None:
    case = next(case for case in CASES if case.file == "keras/larq-tutorial.h5")
    inputs, logits = case.prepare(mnist(data_dir)[:100]), case.logits()[:100]
    logits[:3] = logits[:3, ::-1]
    np.savez(tmp_path / "known.npz", inputs=inputs, logits=logits)
    out = convert(case.path, "-o", tmp_path / "x.bnn", "--verify", tmp_path / "known.npz")
    assert "compared with the stored answers: 3 of 100 predictions differ" in out
    assert "was written, but its predictions differ" in out
    assert "taken as symmetric" in out
    assert "off the assumed grid: 0 of 100" in out
    inputs[:7, 0, 0, 0] += np.float32(0.003)
    np.savez(tmp_path / "known.npz", inputs=inputs)
    out = convert(case.path, "-o", tmp_path / "x.bnn", "--verify", tmp_path / "known.npz")
    assert "off the assumed grid: 7 of 100" in out
    assert "no independent answers" in out
    np.savez(tmp_path / "known.npz", inputs=inputs, logits=logits[:50])
    assert "100 inputs need logits of shape (100, classes), not (50, 10)" in convert(
        case.path, "-o", tmp_path / "z.bnn", "--verify", tmp_path / "known.npz"
    )


def test_verification_of_onnx_by_an_independent_executor(
    convert: Any, tmp_path: Path, data_dir: Path
) -> None:
    case = next(case for case in CASES if case.file == "qonnx/cnv-w2a2.channels-last.onnx")
    inputs, logits = case.prepare(mnist(data_dir)[:20]), case.logits()[:20]
    np.savez(tmp_path / "known.npz", inputs=inputs, logits=logits)
    out = convert(case.path, "-o", tmp_path / "x.bnn", "--verify", tmp_path / "known.npz")
    for source in ("the stored answers", "onnx.reference, an independent executor"):
        assert f"compared with {source}: 0 of 20 predictions differ; logits by at most" in out
    assert "no independent answers" not in out
    assert "predictions differ; see above" not in out


def test_a_mistake_of_the_reader_is_found(
    convert: Any, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that takes every threshold for one more: its own evaluation agrees with it."""
    from bnn.formats.qonnx import quantizers as qonnx_quant

    real = qonnx_quant.ROUND["ROUND"]
    monkeypatch.setitem(qonnx_quant.ROUND, "ROUND", lambda x: real(x + x.dtype.type(0.4)))
    monkeypatch.setattr(qonnx_quant, "_PLAIN", {})
    case = next(case for case in CASES if case.file == "brevitas/mixed.onnx")
    np.savez(tmp_path / "known.npz", inputs=case.prepare(mnist(data_dir)[:60]))
    out = convert(case.path, "-o", tmp_path / "x.bnn", "--verify", tmp_path / "known.npz")
    assert "in real numbers: 0 of 60 predictions differ" in out
    assert "independent executor: 0 of 60 predictions differ" not in out
    assert "was written, but its predictions differ; see above" in out


def test_to_qonnx_and_back(convert: Any, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.path.name == "mixed.onnx")
    convert(case.path, "-o", tmp_path / "x.bnn")
    assert convert(tmp_path / "x.bnn", "--to", "qonnx", "-o", tmp_path / "x.onnx").endswith(
        "x.onnx\n"
    )
    convert(tmp_path / "x.onnx", "-o", tmp_path / "y.bnn")
    one, two = bnn.load(tmp_path / "x.bnn"), bnn.load(tmp_path / "y.bnn")
    inputs = np.random.default_rng(0).uniform(0, 1, (5, *one.program.input.shape))
    wanted = bnn.Classifier(one).logits(inputs.astype(np.float32))
    np.testing.assert_allclose(bnn.Classifier(two).logits(inputs.astype(np.float32)), wanted, 1e-5)


def test_refolding_keeps_the_scores(convert: Any, tmp_path: Path) -> None:
    convert("lfc-w1a1", "--to", "bnn-pynq", "-o", tmp_path / "one")
    out = convert(
        tmp_path / "one",
        *("--to", "bnn-pynq", "-o", tmp_path / "two", "--folding", "64x16,32x32,16x64,8x8"),
    )
    assert "wrote" in out
    convert(
        tmp_path / "two",
        "--to",
        "bnn-pynq",
        "-o",
        tmp_path / "three",
        "--folding",
        "32x64,64x32,32x64,16x8",
    )
    first = {path.name: path.read_bytes() for path in (tmp_path / "one").glob("*.bin")}
    third = {path.name: path.read_bytes() for path in (tmp_path / "three").glob("*.bin")}
    assert first == third
    assert "do not divide" in convert(
        "lfc-w1a1", "--to", "bnn-pynq", "-o", tmp_path / "x", "--folding", "3x2,1x1,1x1,1x1"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["keras/larq-tutorial.h5", "-o", "x.onnx"], ".bnn"),
        (["keras/larq-tutorial.h5", "-o", "x.bnn", "--from", "caffe"], "caffe"),
        (["keras/larq-tutorial.h5", "-o", "x.bnn", "--to", "caffe"], "caffe"),
        (["keras/larq-tutorial.h5", "-o", "x.bnn", "--input", "float"], "float"),
        (["keras/larq-tutorial.h5", "-o", "x.bnn", "--topology", "lfc"], "architecture"),
        (["keras/larq-tutorial.h5", "-o", "x.bnn", "--from", "qonnx"], "remove --from qonnx"),
        (["keras/larq-tutorial.h5", "-o", "x.bnn", "--rounding", "twice"], "twice"),
        (
            ["keras/larq-tutorial.h5", "-o", "x.bnn", "--fold", "original"],
            "use --rounding original",
        ),
        (["keras/larq-tutorial.h5", "-o", "x", "--to", "bnn-pynq"], "original"),
        (["keras/missing.h5", "-o", "x.bnn"], "missing.h5"),
        (["mnist.py", "-o", "x.bnn"], "formats"),
        (["chainer/mlp.npz", "-o", "x.bnn", "--classes", "mnist.py"], "line 3 has no class name"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_mistakes_are_one_line(
    arguments: list[str], words: str, convert: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    absolute = [str(FIXTURES / a) if "/" in a or a == "mnist.py" else a for a in arguments]
    convert(*absolute)
    (line,) = convert.errors
    assert line.count("\n") == 1
    assert words in line
    assert not list(tmp_path.iterdir())


KERAS, LFC = "keras/larq-tutorial.h5", "lfc-w1a1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([KERAS, "-o", "x.bnn", "--rounding", "original"], "--rounding is for theano"),
        ([KERAS, "-o", "x.bnn", "--flipped"], "--flipped is for theano"),
        ([KERAS, "-o", "x.bnn", "--fires-at", "2"], "--fires-at is for --to bnn-pynq"),
        ([KERAS, "-o", "x.bnn", "--folding", "1x1"], "--folding is for --to bnn-pynq"),
        ([KERAS, "-o", "x.bnn", "--topology", "lfc"], "not the architecture of a Keras"),
        (["qonnx/mixed.scales.onnx", "-o", "x.bnn", "--flipped"], "--flipped is for theano"),
        ([KERAS, "-o", "x.bnn", "--input", "unit", "--pictures", "symmetric"], "contradict"),
        ([KERAS, "-o", "x.bnn", "--quantizer", "f="], "--quantizer is NAME=KNOWN"),
        ([KERAS, "-o", "x.bnn", "--quantizer", "ste_sign=sign"], "is known already"),
        (["missing.h5", "--to", "caffe", "-o", "x"], "no such format to write"),
        (["missing.h5", "--pictures", "int8/16", "-o", "x.bnn"], "--pictures is unit, symmetric"),
        (["missing.h5", "-o", "folder/x.bnn"], "folder is not a folder"),
        (["brevitas/tfc-w1a1.tar", "-o", "x.bnn", "--input", "unit"], "remove --input"),
        (["theano/tfc-1w-1a.npz", "-o", "x.bnn", "--input", "unit"], "--input is for"),
        (["chainer/mlp.npz", "-o", "x.bnn", "--rounding", "original"], "--rounding is for theano"),
        ([LFC, "--to", "bnn-pynq", "-o", "y", "--rounding", "original"], "is a model already"),
        ([LFC, "--to", "bnn-pynq", "-o", "y", "--topology", "lfc"], "is a model already"),
        ([LFC, "--to", "bnn-pynq", "-o", "y", "--pictures", "unit"], "takes pictures already"),
        (
            [LFC, "--to", "qonnx", "-o", "y.onnx", "--fires-at", "1"],
            "takes no --fires-at",
        ),
        ([LFC, "--to", "qonnx", "-o", "y.onnx", "--folding", "1x1"], "takes no folding"),
        (["cnv-w1a1", "--to", "bnn-pynq", "-o", "y", "--fires-at", "1"], "remove fires_at"),
        ([LFC, "--to", "bnn-pynq", "-o", "y", "--fires-at", "nan"], "finite"),
        ([LFC, "--to", "qonnx", "-o", "y.bnn"], "is for models of this package"),
        (["theano/tfc-1w-2a.npz", "-o", "x.bnn", "--pictures", "uni"], "symmetric or bytes"),
        (["/proc/self/mem", "-o", "x.bnn"], "/proc/self/mem: cannot be read: "),
        (["theano/tfc-1w-2a.npz", "-o", "x.bnn", "--flipped"], "has no convolutions"),
        (["theano/tfc-1w-2a.npz", "-o", "x.bnn", "--topology", "lfc"], "of tfc-w1a2, not of lfc"),
        (["theano/tfc-1w-2a.npz", "-o", "x.bnn", "--topology", "cnv"], "of tfc-w1a2, not of cnv"),
    ],
)
def test_options_that_decide_nothing_are_refused(
    arguments: list[str], words: str, convert: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    *told, line = convert(*[str(FIXTURES / a) if "/" in a else a for a in arguments]).splitlines()
    assert line.startswith("bnn: ")
    assert words in line
    assert not any(text.startswith("bnn: ") for text in told)
    assert not list(tmp_path.iterdir())


def test_more_classes_than_the_original_holds_is_said(convert: Any, tmp_path: Path) -> None:
    import dataclasses

    model = bnn.load("lfc-w1a1")
    *ops, last = model.program.ops
    assert model.program.scores == last.name
    rows = np.repeat(last.weights, 7, axis=0)[:65]
    affine = model.program.affine
    assert affine is not None
    program = dataclasses.replace(
        model.program,
        ops=(*ops, dataclasses.replace(last, weights=rows, bias=None)),
        affine=dataclasses.replace(
            affine, scale=np.resize(affine.scale, 65), offset=np.resize(affine.offset, 65)
        ),
    )
    many = dataclasses.replace(model, program=program, classes=tuple(map(str, range(65))))
    bnn.save(many, tmp_path / "many.bnn")
    line = convert(tmp_path / "many.bnn", "--to", "bnn-pynq", "-o", tmp_path / "set")
    assert "has 65 classes; lfcW1A1 of the original holds at most 64" in line


CNN = "keras/keras3-cnn.keras"


def test_pictures_decide_an_input_that_nothing_quantizes(convert: Any, tmp_path: Path) -> None:
    """Bytes of unit are not rounded to the steps of symmetric, which would be the guess."""
    one, two = tmp_path / "one.bnn", tmp_path / "two.bnn"
    out = convert(FIXTURES / CNN, "--pictures", "unit", "-o", one)
    assert "taken as unit" in out or "takes: " in out
    assert "rounded" not in out
    convert(FIXTURES / CNN, "--pictures", "unit", "--input", "unit", "-o", two)
    assert bnn.load(one).program.digest() == bnn.load(two).program.digest()
    assert (bnn.load(one).program.input.table == np.arange(256)).all()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("int8/16", "are rounded to the steps of --input, by up to 0.0311"),
        ("mean=0.5,std=0.25", "are rounded to the steps of --input, by up to 0.000122"),
        ("bipolar", "the sign alone is used"),
    ],
)
def test_bytes_that_are_rounded_are_said(
    convert: Any, tmp_path: Path, given: str, line: str
) -> None:
    out = convert(FIXTURES / CNN, "--pictures", "unit", "--input", given, "-o", tmp_path / "x.bnn")
    assert line in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "784 real values, from -1 to 1 in steps of 0.00784314, quantized to uint8"),
        (["--input", "bipolar"], "+1 from 0 upwards, quantized to bipolar"),
        (["--input", "mean=0.13,std=0.31"], "from -9.79 to 10.0497 in steps of 0.000302734"),
    ],
)
def test_what_the_model_takes_is_said(
    convert: Any, tmp_path: Path, arguments: list[str], line: str
) -> None:
    path = tmp_path / "x.bnn"
    out = convert(FIXTURES / "chainer" / "mlp.npz", *arguments, "-o", path)
    assert f"takes: {'' if '784' in line else '784 real values, '}{line}" in out
    told = bnn.load(path).provenance["input"]
    assert f"({told})" in out


def test_a_model_without_pictures_says_how_it_would_take_them(convert: Any, tmp_path: Path) -> None:
    from bnn.errors import InputError
    from bnn.model.batch import as_batch

    convert(FIXTURES / CNN, "-o", tmp_path / "maps.bnn")
    convert(FIXTURES / "chainer" / "mlp.npz", "-o", tmp_path / "rows.bnn")
    said = "does not take pictures but 28x28x1 real values, .* bnn convert --pictures unit"
    with pytest.raises(InputError, match=said):
        as_batch(bnn.load(tmp_path / "maps.bnn"), [], bgr=True)
    with pytest.raises(InputError, match=r"take pictures but 784 real .* bnn\.Classifier$"):
        as_batch(bnn.load(tmp_path / "rows.bnn"), [], bgr=True)

# SPDX-License-Identifier: BSD-3-Clause
"""``bnn convert`` with Lasagne archives and the original's folders, from file to file."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bnn.commands.main import main
from bnn.formats import bnn_pynq
from bnn.formats.theano import archive as theano_npz
from bnn.formats.theano import rounded as theano_rounded
from bnn.model import file as modelfile
from bnn.network import zoo
from bnn.network.assemble import Statistics, Weights, random_parameters
from bnn.network.topology import load as load_topology

FIXTURES = Path(__file__).parents[2] / "fixtures" / "theano"
CLASSES = tuple("abcdefghij")


@pytest.fixture
def bnn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Runs the command line; what it printed (and the error if ``fails``)."""

    def run(*words: object, fails: bool = False) -> str:
        monkeypatch.setattr(sys, "argv", ["bnn", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            sys.exit(main())
        printed = capsys.readouterr()
        assert bool(ended.value.code) == fails, printed.err
        return printed.err if fails else printed.out

    return run


@pytest.fixture
def lfc(tmp_path: Path) -> Path:
    """``mnist-1w-2a.npz`` of random values, and a file of class names beside it."""
    (tmp_path / "names.txt").write_text("\n".join(CLASSES))
    arrays = []
    stack = zoo.topology("lfc-w1a2")
    for one in random_parameters(stack, np.random.default_rng(4)):
        match one:
            case Weights():
                arrays += [one.weights.T, one.bias]
            case Statistics():
                gamma = np.where(one.gamma == 0, np.float32(0.5), one.gamma)
                arrays += [one.beta, gamma, one.mean, one.inv_std]
    np.savez(tmp_path / "mnist-1w-2a.npz", *arrays)
    return tmp_path / "mnist-1w-2a.npz"


def test_to_a_model_with_either_folding(bnn, lfc: Path, tmp_path: Path) -> None:
    names = ("--classes", tmp_path / "names.txt")
    for rounding in ("exact", "original"):
        out = tmp_path / f"{rounding}.bnn"
        printed = bnn("convert", lfc, "--rounding", rounding, *names, "-o", out)
        assert "arr_23: inv_std of layer 3" in printed
        assert ("not exactly what was trained" in printed) == (rounding == "original")
        made = theano_npz.load(lfc, classes=CLASSES, rounding=rounding)
        assert modelfile.load(out).program.digest() == made.program.digest()
        assert modelfile.load(out).classes == CLASSES


def test_to_the_originals_files_as_its_tool_did(bnn, lfc: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    names = ("--classes", tmp_path / "names.txt")
    bnn("convert", lfc, "--rounding", "original", "--to", "bnn-pynq", *names, "-o", out)
    theano_rounded.save(lfc, theano_npz.open_archive(lfc), CLASSES, tmp_path / "tools")
    written = {p.name: p.read_bytes() for p in out.rglob("*.*")}
    assert len(written) == 289 + 1
    assert written == {p.name: p.read_bytes() for p in (tmp_path / "tools").rglob("*.*")}


def test_the_level_at_which_classes_fire(bnn, lfc: Path, tmp_path: Path) -> None:
    printed = bnn("convert", lfc, "--to", "bnn-pynq", "--fires-at", "0.75", "-o", tmp_path / "a")
    assert "here 1 for a logit of at least 0.75, and takes the last class with a 1" in printed
    bnn_pynq.save(theano_npz.load(lfc), tmp_path / "b", fires_at=0.75)
    assert bnn_pynq.load(tmp_path / "a").program.digest() == (
        bnn_pynq.load(tmp_path / "b").program.digest()
    )


def test_turned_kernels(bnn, tmp_path: Path) -> None:
    source, out = FIXTURES / "flipped.npz", tmp_path / "flipped.bnn"
    topology = FIXTURES / "flipped.toml"
    bnn("convert", source, "--topology", topology, "--flipped", "-o", out)
    turned = theano_npz.load(source, load_topology(topology), flipped=True)
    assert modelfile.load(out).program.digest() == turned.program.digest()
    bnn("convert", source, "--topology", topology, "-o", tmp_path / "straight.bnn")
    assert modelfile.load(tmp_path / "straight.bnn").program.digest() != turned.program.digest()


def test_nothing_is_written_on_errors(bnn, lfc: Path, tmp_path: Path) -> None:
    lfc.rename(tmp_path / "unnamed.npz")
    before = sorted(tmp_path.iterdir())
    for words, message in (
        ((tmp_path / "unnamed.npz",), "give --topology"),
        ((tmp_path / "unnamed.npz", "--topology", "cnv-w1a1"), "arr_0 (weights of layer 0) has"),
        ((tmp_path / "none.npz",), "none.npz"),
    ):
        error = bnn("convert", *words, "-o", tmp_path / "out.bnn", fails=True)
        assert message in error
        assert error.count("\n") == 1
        assert sorted(tmp_path.iterdir()) == before

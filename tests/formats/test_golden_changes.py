# SPDX-License-Identifier: BSD-3-Clause
"""Valid files with one well-formed change each: taken as something else, or refused, as before.

What is kept is the refusal, or a digest of the program and of the report.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bnn.data import cifar, idx
from bnn.driver.recorded import Replay
from bnn.formats.convert import Options
from bnn.hw import folding
from bnn.model import file as modelfile
from bnn.network import topology
from hw.examples import residual
from support import changes
from support.converted import FIXTURES
from support.golden import compare
from support.outcomes import all_of, converted

SEEDS = Path(__file__).parents[1] / "fuzz" / "seeds"


ONNX = {
    "mixed": (FIXTURES / "brevitas" / "mixed.onnx", None, 60),
    "qcdq": (FIXTURES / "brevitas" / "qcdq.onnx", None, 50),
    "scales": (FIXTURES / "qonnx" / "mixed.scales.onnx", None, 50),
    "torch": (FIXTURES / "pytorch" / "cnn.onnx", "unit", 50),
    "channels-last": (FIXTURES / "qonnx" / "cnv-w2a2.channels-last.onnx", None, 15),
    "chains": (SEEDS / "qonnx" / "chains.onnx", None, 60),
}


@pytest.mark.parametrize("name", ONNX)
def test_onnx(name: str, tmp_path: Path) -> None:
    source, given, count = ONNX[name]
    made = changes.some(changes.onnx_changes(source), count)
    options = Options(input=given)
    found = all_of(made, tmp_path / "x.onnx", lambda path: converted(path, options))
    compare(f"changed-onnx-{name}", found)


KERAS = {
    "cnn": (FIXTURES / "keras" / "keras3-cnn.keras", 40),
    "mlp": (FIXTURES / "keras" / "keras3-mlp.keras", 20),
    "larq": (FIXTURES / "keras" / "larq-padded.keras", 40),
    "quantizers": (FIXTURES / "keras" / "larq-quantizers.keras", 20),
}


@pytest.mark.parametrize("name", KERAS)
def test_keras(name: str, tmp_path: Path) -> None:
    source, count = KERAS[name]
    inner: Any = {"config.json": changes.as_json, "metadata.json": changes.as_json}
    made = changes.some(changes.zip_changes(source.read_bytes(), inner), count)
    arrays: Any = {"model.weights.h5": changes.h5_arrays}
    made += changes.some(changes.zip_changes(source.read_bytes(), arrays), 10)
    found = all_of(made, tmp_path / "x.keras", converted)
    compare(f"changed-keras-{name}", found)


def test_keras_matrices(tmp_path: Path) -> None:
    """Some networks of each matrix, with some changes of each."""
    found: dict[str, str] = {}
    for framework in ("keras3", "larq", "qkeras"):
        folder = tmp_path / framework
        with tarfile.open(FIXTURES / "keras" / f"matrix-{framework}.tar.xz") as packed:
            packed.extractall(folder, filter="data")
        names = sorted(path for path in folder.iterdir() if path.suffix in (".keras", ".h5"))
        for path in names[::8]:
            data = path.read_bytes()
            if path.suffix == ".keras":
                made = changes.zip_changes(data, {"config.json": changes.as_json})
            else:
                made = changes.h5_config(data)
            target = tmp_path / f"x{path.suffix}"
            for what, text in all_of(changes.some(made, 5), target, converted).items():
                found[f"{framework} {path.stem}: {what}"] = text
    compare("changed-keras-matrices", found)


ARRAYS: dict[str, tuple[Path, Options, int]] = {
    "chainer": (SEEDS / "chainer" / "mlp.npz", Options(input="bipolar"), 60),
    "chainer-conv": (
        FIXTURES / "chainer" / "cnn.npz",
        Options(topology=str(FIXTURES / "chainer" / "cnn.toml"), input="symmetric"),
        60,
    ),
    "chainer-bytes": (
        FIXTURES / "chainer" / "bytes-unit.npz",
        Options(topology=str(FIXTURES / "chainer" / "bytes.toml"), input="unit"),
        40,
    ),
    "theano": (
        FIXTURES / "theano" / "small.npz",
        Options(topology=str(FIXTURES / "theano" / "small.toml")),
        60,
    ),
    "theano-original": (
        FIXTURES / "theano" / "flipped.npz",
        Options(topology=str(FIXTURES / "theano" / "flipped.toml"), flipped=True),
        30,
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name: str, tmp_path: Path) -> None:
    source, options, count = ARRAYS[name]
    made = changes.some(changes.npz_changes(source.read_bytes()), count)
    path = tmp_path / "x.npz"
    compare(f"changed-{name}", all_of(made, path, lambda path: converted(path, options)))


@pytest.mark.parametrize(
    ("name", "weights", "options"),
    [
        ("chainer/cnn", "chainer/cnn.npz", Options(input="symmetric")),
        ("chainer/guinness", "chainer/guinness.model", Options()),
        ("theano/small", "theano/small.npz", Options()),
        ("pytorch/mlp", "pytorch/mlp.pt", Options(input="unit")),
        ("pytorch/cnn", "pytorch/cnn.pt", Options(input="unit")),
    ],
)
def test_other_topologies(name: str, weights: str, options: Options, tmp_path: Path) -> None:
    """A changed topology with the same weights."""
    path = tmp_path / "x.toml"

    def read(path: Path) -> Any:
        return converted(FIXTURES / weights, replace(options, topology=str(path)))

    text = (FIXTURES / f"{name}.toml").read_bytes()
    found = all_of(changes.some(changes.text_changes(text), 40), path, read)
    told = {key: value.replace(str(FIXTURES), "FIXTURES") for key, value in found.items()}
    compare(f"changed-topology-{name.replace('/', '-')}", told)


def played(path: Path) -> Any:
    """What a recorded session answers to the calls that were recorded."""
    session = Replay(path)
    found = [session.largest, session.read(0)]
    session.write(4, 2)
    return [*found, session.allocate(2).address, session.wait(), session.finished()]


def test_texts(tmp_path: Path) -> None:
    """Topologies, foldings, sessions and heads of models."""
    program = residual()
    fold = folding.balanced(program, 600)
    texts: dict[str, tuple[bytes, Any]] = {
        path.name: (path.read_bytes(), topology.load)
        for path in sorted((SEEDS / "topology").iterdir())
    }
    given = json.dumps({**folding.as_json(fold), "fifos": {"d0": 4}}).encode()
    texts["folding"] = given, lambda path: folding.read(path, program)
    session = (SEEDS / "session" / "small.jsonl").read_bytes()
    texts["session"] = session, played
    found: dict[str, str] = {}
    for name, (data, read) in texts.items():
        made = changes.some(changes.text_changes(data), 60)
        told = all_of(made, tmp_path / "x", read)
        found |= {f"{name} {what}": text for what, text in told.items()}
    compare("changed-texts", found)


def test_models(tmp_path: Path) -> None:
    found: dict[str, str] = {}

    def read(path: Path) -> Any:
        model = modelfile.load(path)
        return model.program.digest(), model.classes, model.preprocess, dict(model.provenance)

    for source in sorted((SEEDS / "bnn").iterdir()):
        made = changes.some(changes.bnn_changes(source.read_bytes()), 50)
        told = all_of(made, tmp_path / "x.bnn", read)
        found |= {f"{source.stem} {what}": text for what, text in told.items()}
    compare("changed-models", found)


def test_data_files(tmp_path: Path) -> None:
    """IDX and CIFAR files with each byte of their heads changed, and cut at each place."""
    found: dict[str, str] = {}
    reads: dict[str, Any] = {
        "idx": lambda path: idx.read_images(path).tobytes(),
        "labels": lambda path: idx.read_labels(path).tobytes(),
        "lenient": lambda path: idx.read_images(path, lenient=True).tobytes(),
        "cifar": lambda path: [one.tobytes() for one in cifar.read_records(path)],
    }
    for kind in ("idx", "cifar"):
        for source in sorted((SEEDS / kind).iterdir()):
            data = source.read_bytes()
            files = {"whole": data, "nothing": b"", "more": data + b"\1"}
            files |= {f"cut at {at}": data[:at] for at in (1, 3, 4, 7, 8, 15, 16, len(data) - 1)}
            for at in range(min(16, len(data))):
                changed = bytearray(data)
                changed[at] ^= 1
                files[f"byte {at}"] = bytes(changed)
            made = [(what, lambda file=file: file) for what, file in files.items()]
            for name, read in reads.items():
                told = all_of(made, tmp_path / "x", read)
                found |= {f"{name} {source.name} {what}": text for what, text in told.items()}
    compare("changed-data", found)

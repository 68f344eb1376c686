# SPDX-License-Identifier: BSD-3-Clause
"""Networks of which one layer is missing, comes twice or comes later: the outcome, as before."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import onnx
import pytest

from bnn.formats.convert import Options
from formats.test_qonnx_sums import GRAPHS
from support import changes
from support.converted import FIXTURES
from support.golden import compare
from support.outcomes import all_of, converted


@pytest.mark.parametrize(
    ("name", "given"),
    [("brevitas/mixed", None), ("brevitas/qcdq", None), ("pytorch/cnn", "unit")],
)
def test_onnx(name: str, given: str | None, tmp_path: Path) -> None:
    made = changes.some(changes.onnx_layers(FIXTURES / f"{name}.onnx"), 30)
    options = Options(input=given)
    found = all_of(made, tmp_path / "x.onnx", lambda path: converted(path, options))
    compare(f"layers-onnx-{name.replace('/', '-')}", found)


@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make.__name__)
def test_small_onnx_graphs(make: Any, tmp_path: Path) -> None:
    """Of graphs of few nodes, also other attributes, constants, types and versions."""
    path = tmp_path / "x.onnx"
    onnx.save(make(), path)
    made = [
        *changes.some(changes.onnx_layers(path), 12),
        *changes.some(changes.onnx_changes(path), 30),
    ]
    compare(f"layers-onnx-small-{make.__name__}", all_of(made, path, converted))


@pytest.mark.parametrize("name", ["keras3-cnn.keras", "larq-padded.keras", "larq-bordered.h5"])
def test_keras(name: str, tmp_path: Path) -> None:
    path = FIXTURES / "keras" / name
    made = changes.some(changes.keras_layers(path.read_bytes(), path.suffix), 40)
    found = all_of(made, tmp_path / f"x{path.suffix}", converted)
    compare(f"layers-keras-{path.stem}", found)


@pytest.mark.parametrize("framework", ["keras3", "larq", "qkeras"])
def test_keras_matrices(framework: str, tmp_path: Path) -> None:
    with tarfile.open(FIXTURES / "keras" / f"matrix-{framework}.tar.xz") as packed:
        packed.extractall(tmp_path / "all", filter="data")
    found: dict[str, str] = {}
    names = sorted(one for one in (tmp_path / "all").iterdir() if one.suffix in (".keras", ".h5"))
    for path in names[2::9]:
        made = changes.some(changes.keras_layers(path.read_bytes(), path.suffix), 6)
        told = all_of(made, tmp_path / f"x{path.suffix}", converted)
        found |= {f"{path.stem} {what}": text for what, text in told.items()}
    compare(f"layers-keras-matrix-{framework}", found)

# SPDX-License-Identifier: BSD-3-Clause
"""A package that an extra brings is missing: one line says which, and how to get it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.errors import BnnError
from support.converted import FIXTURES
from support.models import small

#: The package, modules of ours that import it at once, a command, and what the line says.
CASES: list[tuple[str, list[str], str, str]] = [
    ("onnx", [], "convert qcdq.onnx -o x.bnn", "qcdq.onnx: reading ONNX needs the onnx package: "),
    ("onnx", [], "convert small.bnn --to qonnx -o x.onnx", "writing ONNX needs the onnx package: "),
    ("h5py", [], "convert cnn.h5 -o x.bnn", "cnn.h5: reading HDF5 needs the h5py package: "),
    ("pyarrow", [], "bulk small.bnn . -o out", "bnn bulk needs the extra bulk"),
    ("uvicorn", ["bnn.serve.server", "bnn.serve.gate"], "serve small.bnn", "needs the extra serve"),
    ("ray", [], "bulk small.bnn pictures -o out --engine ray", "--engine ray needs the extra ray"),
]


@pytest.mark.parametrize(
    ("package", "modules", "command", "line"), CASES, ids=[case[2] for case in CASES]
)
def test_what_is_missing_is_named(
    package: str,
    modules: list[str],
    command: str,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from PIL import Image

    if package == "ray":
        pytest.importorskip("pyarrow", reason="needs bnn-pynq[bulk]")
    monkeypatch.chdir(tmp_path)
    bnn.save(small(), tmp_path / "small.bnn")
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "pictures" / "one.png")
    for name, source in (("qcdq.onnx", "brevitas/qcdq.onnx"), ("cnn.h5", "keras/keras3-cnn.h5")):
        (tmp_path / name).write_bytes((FIXTURES / source).read_bytes())
    for module in modules:
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    done = CliRunner().invoke(app, command.split())
    assert isinstance(done.exception, BnnError), done.output
    assert line in str(done.exception)
    assert "pip install" in str(done.exception)
    assert "\n" not in str(done.exception)

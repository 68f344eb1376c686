# SPDX-License-Identifier: BSD-3-Clause
"""Every fixture and every case of the matrices: its report and program, or the refusal."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bnn.errors import BnnError
from bnn.formats.convert import Conversion, Options, convert
from support.converted import CASES, FIXTURES
from support.golden import compare, digest
from support.qonnx_matrix import GROUPS, MATRIX, features


def told(made: Conversion) -> str:
    """Everything that decides an answer, as a digest, and the report."""
    model = made.model
    origin = json.dumps(dict(model.provenance), sort_keys=True, default=repr)
    decided = f"{model.program.digest()} {model.classes} {model.preprocess!r} {origin}"
    return "\n".join([digest(decided), *made.report.lines()])


def outcome(path: Path, options: Options | None = None, source: str | None = None) -> str:
    """What :func:`told` says, or the refusal, without the path."""
    try:
        text = told(convert(path, source, options))
    except BnnError as error:
        text = f"{type(error).__name__}: {error}"
    return text.replace(str(path), "FILE").replace(str(FIXTURES), "FIXTURES")


def short(text: str) -> str:
    """A refusal as it is; of what is converted, a digest."""
    return text if "\n" not in text else digest(text)


def test_fixtures() -> None:
    compare("fixtures", {case.file: outcome(case.path, case.options) for case in CASES})


@pytest.mark.parametrize("group", GROUPS)
def test_onnx_matrix(group: str, tmp_path: Path) -> None:
    path, found = tmp_path / "x.onnx", {}
    for name, make, _ in MATRIX.cases(group):
        onnx.save(make(features), path)
        found[name] = short(outcome(path))
    compare(f"onnx-{group}", found)


@pytest.mark.parametrize("framework", ["keras3", "larq", "qkeras"])
def test_keras_matrix(framework: str, tmp_path: Path) -> None:
    found: dict[str, Any] = {}
    with tarfile.open(FIXTURES / "keras" / f"matrix-{framework}.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    for path in sorted(tmp_path.iterdir()):
        if path.suffix in (".npz", ".json"):
            continue
        beside = path.with_suffix(".json")
        with np.load(io.BytesIO(path.with_suffix(".npz").read_bytes())) as arrays:
            given = bytes(arrays["given"]).decode() if "given" in arrays else None
        architecture = str(beside) if beside.exists() else None
        text = outcome(path, Options(topology=architecture, input=given))
        found[path.name] = short(text.replace(str(tmp_path), "FOLDER"))
    compare(f"keras-{framework}", found)

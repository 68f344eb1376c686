# SPDX-License-Identifier: BSD-3-Clause
"""What the functions of readers and of lowering return for small networks of every format."""

from __future__ import annotations

import tarfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest

from bnn.errors import BnnError
from bnn.formats.convert import Options, convert
from support.calls import returned
from support.converted import CASES, FIXTURES
from support.golden import compare
from support.qonnx_matrix import GROUPS, MATRIX, features

ROOMS = ("formats/", "lower/", "network/", "program/precision", "program/check")
#: The rounding of NumPy's functions, and what they are called, are those of its second version.
pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="other numbers with NumPy 1")


def each(paths: list[tuple[Path, Options | None]]) -> Callable[[], None]:
    def work() -> None:
        for path, options in paths:
            with suppress(BnnError), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                convert(path, None, options)

    return work


@pytest.mark.parametrize("group", GROUPS)
def test_onnx(group: str, tmp_path: Path) -> None:
    paths: list[tuple[Path, Options | None]] = []
    for index, (_, make, _) in enumerate(list(MATRIX.cases(group))[::12]):
        path = tmp_path / f"{index}.onnx"
        onnx.save(make(features), path)
        paths.append((path, None))
    compare(f"calls-onnx-{group}", returned(each(paths), ROOMS))


@pytest.mark.parametrize("framework", ["keras3", "larq", "qkeras"])
def test_keras(framework: str, tmp_path: Path) -> None:
    with tarfile.open(FIXTURES / "keras" / f"matrix-{framework}.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    files = sorted(path for path in tmp_path.iterdir() if path.suffix in (".keras", ".h5"))
    compare(f"calls-keras-{framework}", returned(each([(one, None) for one in files[::9]]), ROOMS))


def test_fixtures() -> None:
    """The small ones."""
    files = [case for case in CASES if case.path.stat().st_size < 60_000]
    work = each([(case.path, case.options) for case in files])
    compare("calls-fixtures", returned(work, ROOMS))

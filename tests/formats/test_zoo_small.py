# SPDX-License-Identifier: BSD-3-Clause
"""The small networks of other people in ``BNN_ZOO``, converted in this process (seconds).

``tests/test_zoo.py`` converts all of them with the command line, which takes minutes.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from bnn.commands.main import app
from bnn.errors import BnnError

ZOO = Path(os.environ.get("BNN_ZOO") or "no zoo") / "handed"
#: Most bytes of all files of a network.
SMALL = 500_000
#: May be refused; all others give their framework's answers.
REFUSED = {
    *("torch-gtsrb", "hgq-jet", "cern-init", "separable-conv", "espcn-resize"),
    *("keras3-registered-sign", "torch-binarynet", "onnx-fractional-bits"),
}

pytestmark = pytest.mark.skipif(
    not (ZOO / "manifest.json").is_file(), reason="BNN_ZOO names no zoo"
)


def entries() -> list[Any]:
    """Those with small files."""
    if not (ZOO / "manifest.json").is_file():
        return []
    manifest = json.loads((ZOO / "manifest.json").read_text())
    return [
        one
        for one in [*manifest["real"], *manifest["own"]]
        if sum(path.stat().st_size for path in (ZOO / one["id"]).rglob("*")) <= SMALL
    ]


@pytest.fixture(scope="module")
def run() -> Any:
    """The zoo's own ``run.py``, whose command is this process."""
    spec = importlib.util.spec_from_file_location("zoo_run", ZOO.parent / "run.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)

    def called(command: list[str], **_: Any) -> Any:
        result = CliRunner().invoke(app, command[1:])
        if isinstance(result.exception, BnnError):  # `main` makes one line of it
            return SimpleNamespace(stderr=str(result.exception), stdout="", returncode=1)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return SimpleNamespace(stderr="", stdout=result.output, returncode=result.exit_code)

    made.subprocess = SimpleNamespace(run=called, TimeoutExpired=TimeoutError)
    return made


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["id"])
def test_the_answers_of_its_own_framework(entry: dict[str, Any], run: Any) -> None:
    found = run.one(["bnn"], ZOO, entry, 600)
    may = {"exact", "refused"} if entry["id"] in REFUSED else {"exact"}
    assert found["verdict"] in may, found

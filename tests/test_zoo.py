# SPDX-License-Identifier: BSD-3-Clause
"""Networks of other people, in the folder that ``BNN_ZOO`` names: no wrong answer, none lost again.

Each entry of ``handed/manifest.json`` is converted in one of its ways and compared with the stored
answers of its own framework. The folder's own ``run.py`` prints the same as a table.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ZOO = Path(os.environ.get("BNN_ZOO", "")) / "handed"
pytestmark = [
    pytest.mark.skipif(not (ZOO / "manifest.json").is_file(), reason="BNN_ZOO names no zoo"),
    pytest.mark.slow,
]

#: Entries that are not converted exactly, and why.
NOT_YET = {
    "radioml-vgg10-onnx": "rows at ties of 8-bit activations, where its framework rounds otherwise",
    "separable-conv": "its output is a map",
    "espcn-resize": "its output is a map",
    "cern-init": "ends in a product of two tensors",
}


def _entries() -> list[dict[str, Any]]:
    path = ZOO / "manifest.json"
    if not path.is_file():
        return []
    manifest = json.loads(path.read_text())
    return [entry for part in ("real", "own") for entry in manifest.get(part, [])]


@pytest.mark.parametrize("entry", _entries(), ids=lambda entry: entry["id"])
def test_the_answers_of_its_own_framework(entry: dict[str, Any]) -> None:
    spec = importlib.util.spec_from_file_location("zoo_run", ZOO.parent / "run.py")
    assert spec is not None
    assert spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    found = run.one([sys.executable, "-m", "bnn"], ZOO, entry, 600)
    assert found["verdict"] != "traceback", found
    known = entry["id"] in NOT_YET
    assert known or found["verdict"] != "wrong", found
    if entry.get("goal", "exact") == "exact" and not known and found["verdict"] != "exact":
        pytest.xfail(found["line"])

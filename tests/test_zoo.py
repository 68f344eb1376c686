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

#: States without bits, signs that are not in the file, a product of two tensors, upsampling.
NOT_YET = {"torch-gtsrb", "torch-cybsec", "torch-binarynet", "cern-init", "espcn-resize"}
#: Rows that differ because float32 sums of the source framework round to the other side of a tie
#: of 8-bit activations. (Its own exporter and its own training framework differ on as many.)
AT_TIES = {"radioml-vgg10-onnx": 1}


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
    found = run.one([str(Path(sys.executable).with_name("bnn"))], ZOO, entry, 600)
    assert found["verdict"] != "traceback", found
    if found["verdict"] == "wrong":
        assert found["differ"] <= AT_TIES.get(entry["id"], 0), found
        return
    is_able = entry.get("goal", "exact") == "exact" and entry["id"] not in NOT_YET
    assert not is_able or found["verdict"] == "exact", found

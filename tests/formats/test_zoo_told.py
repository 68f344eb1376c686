# SPDX-License-Identifier: BSD-3-Clause
"""A network from ``BNN_ZOO`` with a function of the user's own, which only ``--quantizer`` tells.

The zoo is not part of this repository. ``run.py`` beside it says what equal means.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bnn.formats.convert import Options, convert
from bnn.model import file as modelfile

ZOO = Path(os.environ.get("BNN_ZOO", ""))
MANIFEST = ZOO / "handed" / "manifest.json"


def _entries() -> list[Any]:
    if not os.environ.get("BNN_ZOO") or not MANIFEST.exists():
        return []
    manifest = json.loads(MANIFEST.read_text())
    return [*manifest["real"], *manifest["own"]]


def _run() -> Any:
    spec = importlib.util.spec_from_file_location("zoo_run", ZOO / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not _entries(), reason="BNN_ZOO names no zoo")
@pytest.mark.parametrize("known", ["sign", "ste_sign"])
def test_a_function_of_the_users_own_that_is_told(known: str, tmp_path: Path) -> None:
    home = ZOO / "handed" / "keras3-registered-sign"
    options = Options(input="symmetric", quantizers=(("my>bsign", known),))
    model = convert(home / "k_bsign.keras", None, options).model
    modelfile.save(model, tmp_path / "x.bnn")
    entry = next(one for one in _entries() if one["id"] == home.name)
    found = _run().compare(tmp_path / "x.bnn", home, ZOO / "handed", entry)
    assert found["verdict"] == "exact", found["line"]

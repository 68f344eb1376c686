# SPDX-License-Identifier: BSD-3-Clause
"""Networks that people trained, from ``BNN_ZOO``: equal to their own frameworks, or refused.

The zoo is not part of this repository. ``run.py`` beside it says what equal means.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bnn.errors import BnnError
from bnn.formats.convert import Options, convert
from bnn.model import file as modelfile

ZOO = Path(os.environ.get("BNN_ZOO", ""))
MANIFEST = ZOO / "handed" / "manifest.json"

#: Not converted yet, or nothing right can be made of them. The rest must be equal.
REFUSED = {
    "torch-gtsrb",  # learned scales: their bits are not in the file
    "torch-cybsec",
    "mlperf-ad08",  # more than 8 bits
    "hgq-jet",
    "hgq-mnist-homogeneous",
    "cern-init",
    "cern-fragment",
    "separable-conv",
    "radioml-vgg10-onnx",
    "espcn-resize",
    "brevitas-res-adapt",
    "brevitas-mean",
    "brevitas-perchannel-act",
    "brevitas-conv1d",
    "brevitas-qcdq-avgpool4",
    "larq-xnornet",
    "larq-quicknet",
    "larq-concat",
    "larq-prelu",
    "larq-relu-sign",
    "keras3-registered-sign",  # says what its function is by no name; see --quantizer
    "torch-binarynet",
    "onnx-fractional-bits",
    "onnx-norm-noquant",
    "onnx-hard-sigmoid",
}


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


def _options(args: list[str], home: Path) -> Options:
    given = {args[i].removeprefix("--"): args[i + 1] for i in range(0, len(args), 2)}
    topology = given.get("topology")
    return Options(
        topology=None if topology is None else topology.replace("{dir}", str(home)),
        input=given.get("input"),
    )


@pytest.mark.slow
@pytest.mark.skipif(not _entries(), reason="BNN_ZOO names no zoo")
@pytest.mark.parametrize("entry", _entries(), ids=lambda entry: entry["id"])
def test_handed_network(entry: Any, tmp_path: Path) -> None:
    home = ZOO / "handed" / entry["id"]
    refusals = []
    for way in entry.get("ways") or [{"model": entry["model"], "args": []}]:
        try:
            model = convert(home / way["model"], None, _options(way["args"], home)).model
        except BnnError as error:
            refusals.append(str(error))
            continue
        modelfile.save(model, tmp_path / "x.bnn")
        found = _run().compare(tmp_path / "x.bnn", home, ZOO / "handed", entry)
        assert found["verdict"] in ("exact", "unchecked"), found["line"]
        return
    assert entry["id"] in REFUSED, refusals
    assert not any("\n" in line for line in refusals)


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

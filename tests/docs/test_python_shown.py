# SPDX-License-Identifier: BSD-3-Clause
"""The Python of README and the pages runs, block by block, in one namespace per page (sybil)."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

import bnn
from bnn.library import parameter_sets

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.ja.md", *sorted((ROOT / "docs").glob("*.md"))]
SYBIL = Sybil(parsers=[PythonCodeBlockParser()])
#: Lines and blocks (by a part of them) that need what a test has not; these are read only: their
#: syntax, their names.
NOT_RUN = {
    'runtime="board"': "a board",
    'build="/home/xilinx': "a board",
    "convert_module(net": "PyTorch, and a module of the reader's own",
    "tritonclient": "a server",
    "cv2.VideoCapture": "a camera",
    "ray.data": "a cluster",
    'runtime="sim", folding=found.folding': "a simulator of CNV, which takes minutes to compile",
}
#: Of these no statement is run.
WHOLE = (
    "convert_module(net",
    "tritonclient",
    "cv2.VideoCapture",
    "ray.data",
    'build="/home/xilinx',
)


def with_python(page: Path) -> bool:
    return "```python" in page.read_text()


SHOWN = {str(page.relative_to(ROOT)): page for page in PAGES if with_python(page)}


def made(name: str, folder: Path) -> dict[str, Any]:
    """What the blocks of a page take from the reader: pictures, and files in ``folder``."""
    three = Image.open(ROOT / "src" / "bnn" / "samples" / "mnist" / "3.png").convert("L")
    frog = Image.open(ROOT / "src" / "bnn" / "samples" / "cifar10" / "Frog.png").convert("RGB")
    if name == "docs/hardware.md":
        return {"bnn": bnn, "images": [three]}
    if name == "docs/probabilities.md":
        return {"bnn": bnn, "images": [frog], "frame": frog.resize((128, 128))}
    if name == "docs/serving.md":
        rows = pytest.importorskip("pyarrow", reason="needs: pip install '.[bulk]'")
        parquet = pytest.importorskip("pyarrow.parquet")
        (folder / "results").mkdir()
        parquet.write_table(rows.table({"class_index": [3]}), folder / "results" / "0.parquet")
        return {"images": [frog] * 64}
    if name == "docs/original-api.md":
        return {"img": three, "size": (32, 32), "Image": Image}
    return {}


def files_of_others(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Link files of BNN-PYNQ and LSTM-PYNQ in ``folder``; skip by name where they are not here."""
    data = Path(os.environ.get("BNN_DATA", "/nowhere"))
    if name == "docs/original-api.md":
        if not {"cifar10-cnvW1A1"} & {f"{data}-{network}" for data, network, _ in parameter_sets()}:
            pytest.skip("needs the parameter set cifar10-cnvW1A1 under BNN_PARAMS")
        if not (data / "images" / "deer.jpg").is_file():
            pytest.skip("needs images/deer.jpg under BNN_DATA")
        (folder / "deer.jpg").symlink_to(data / "images" / "deer.jpg")
    if name == "docs/lines.md":
        lines = sorted((data / "lstm-pynq" / "plain").rglob("*.png"))
        if not lines:
            pytest.skip("needs lstm-pynq under BNN_DATA")
        (folder / "line.png").symlink_to(lines[0])
        monkeypatch.setenv("BNN_PARAMS", str(data / "lstm-pynq"))


def parts(block: str) -> Iterator[str]:
    """The statements of a block, one by one, without those that need what a test has not."""
    for statement in ast.parse(block).body:
        text = ast.unparse(statement)
        shown = ast.get_source_segment(block, statement) or text
        if not any(need in shown for need in NOT_RUN):
            yield text


@pytest.mark.parametrize("name", SHOWN)
def test_the_blocks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files_of_others(name, tmp_path, monkeypatch)
    values = made(name, tmp_path)
    monkeypatch.chdir(tmp_path if values or (tmp_path / "line.png").exists() else ROOT)
    document = SYBIL.parse(SHOWN[name])
    document.namespace.update(values)
    examples = list(document.examples())
    assert examples
    for example in examples:
        block = str(example.parsed)
        if not any(need in block for need in NOT_RUN):
            example.evaluate()
        elif not any(need in block for need in WHOLE):
            for part in parts(block):
                exec(part, document.namespace)  # noqa: S102 (our own pages)
    if {"clf", "images"} <= document.namespace.keys() and not values:
        assert document.namespace["clf"].classify(document.namespace["images"]).tolist() == [3]


@pytest.mark.parametrize("need", NOT_RUN)
def test_each_is_shown(need: str) -> None:
    assert any(need in page.read_text() for page in SHOWN.values())


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_not_run_names_what_exists(name: str) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", SHOWN[name].read_text(), re.DOTALL | re.MULTILINE)
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                is_there = hasattr(bnn, node.attr) or find_spec(f"bnn.{node.attr}") is not None
                assert node.value.id != "bnn" or is_there, node.attr
            if isinstance(node, ast.ImportFrom):
                module = __import__(str(node.module), fromlist=["_"])
                assert all(hasattr(module, each.name) for each in node.names), ast.unparse(node)

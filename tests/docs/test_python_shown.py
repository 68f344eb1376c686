# SPDX-License-Identifier: BSD-3-Clause
"""The Python of README and the pages runs, block by block, in one namespace per page (sybil)."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.ja.md", *sorted((ROOT / "docs").glob("*.md"))]
SYBIL = Sybil(parsers=[PythonCodeBlockParser()])
#: Pages whose blocks need what a test has not; these are read only: their syntax, their names.
NOT_RUN = {
    "docs/boards.md": "a board",
    "docs/converting.md": "a module of PyTorch of the reader's own",
    "docs/hardware.md": "a board",
    "docs/lines.md": "LSTM-PYNQ's parameter files",
    "docs/original-api.md": "the original's parameter sets",
    "docs/probabilities.md": "a picture of the reader's own",
    "docs/serving.md": "a server, a camera, a cluster",
    "docs/planning.md": "a simulator of CNV, which takes minutes to compile",
}


def with_python(page: Path) -> bool:
    return "```python" in page.read_text()


SHOWN = {str(page.relative_to(ROOT)): page for page in PAGES if with_python(page)}


@pytest.mark.parametrize("name", [name for name in SHOWN if name not in NOT_RUN])
def test_the_blocks_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    document = SYBIL.parse(SHOWN[name])
    examples = list(document.examples())
    assert examples
    for example in examples:
        example.evaluate()
    if "clf = " in SHOWN[name].read_text():
        assert document.namespace["clf"].classify(document.namespace["images"]).tolist() == [3]


@pytest.mark.parametrize("name", NOT_RUN)
def test_what_is_not_run_names_what_exists(name: str) -> None:
    import bnn

    blocks = re.findall(r"^```python\n(.*?)^```", SHOWN[name].read_text(), re.DOTALL | re.MULTILINE)
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                is_there = hasattr(bnn, node.attr) or find_spec(f"bnn.{node.attr}") is not None
                assert node.value.id != "bnn" or is_there, node.attr
            if isinstance(node, ast.ImportFrom):
                module = __import__(str(node.module), fromlist=["_"])
                assert all(hasattr(module, each.name) for each in node.names), ast.unparse(node)

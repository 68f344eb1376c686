# SPDX-License-Identifier: BSD-3-Clause
"""Each message that docs/troubleshooting.md quotes is one that the package prints."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
#: Of a shell, a compiler, CMake.
FOREIGN = {"pip install ...", "bnn: command not found", "error: command 'g++' failed"}
FOREIGN |= {"CMake Error: No CMAKE_CXX_COMPILER"}


def quoted() -> list[str]:
    rows = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    found = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    assert len(found) > 15
    return [text for text in found if text not in FOREIGN and not text.startswith("--")]


def printed() -> str:
    """All texts of the package, with a hole where a value is put in."""
    texts = []
    for path in sorted((ROOT / "src" / "bnn").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (str(p.value) if isinstance(p, ast.Constant) else "\0" for p in node.values)
                texts.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


@pytest.fixture(scope="module")
def everything() -> str:
    return printed()


@pytest.mark.parametrize("message", quoted())
def test_the_package_prints_it(message: str, everything: str) -> None:
    for part in (part.strip(" ;") for part in message.split("...")):
        assert part in everything, part

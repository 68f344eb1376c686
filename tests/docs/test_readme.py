# SPDX-License-Identifier: BSD-3-Clause
"""README.ja.md has the commands, the code and the links of README.md, in the same order."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH, JAPANESE = (ROOT / name for name in ("README.md", "README.ja.md"))


def code(page: Path) -> list[str]:
    """Each line of each block, without its comment."""
    blocks = re.findall(r"^```\w+\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [re.sub(r"\s+# .*", "", line).rstrip() for line in lines]


def links(page: Path) -> set[str]:
    found = set(re.findall(r"\]\(([^)\s]+)\)", page.read_text()))
    return {link.replace(".ja.", ".") for link in found}


def test_code() -> None:
    assert len(code(ENGLISH)) > 20
    assert code(JAPANESE) == code(ENGLISH)


def test_links() -> None:
    assert len(links(ENGLISH)) > 20
    assert links(JAPANESE) == links(ENGLISH)


def test_as_many_sections() -> None:
    heads = [re.findall(r"^#+ ", page.read_text(), re.MULTILINE) for page in (ENGLISH, JAPANESE)]
    assert heads[0] == heads[1]

# SPDX-License-Identifier: BSD-3-Clause
"""Comments in code of the Japanese pages: found, replaced, and missed where they are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.scripts_loaded import load

module = load("tools", "japanese_comments.py")
CODE = "bnn plan x.toml   # fits?\n# all of it\nx = '#no'\ny = 1#neither\n"


def test_comments_are_found_and_only_they_are_replaced() -> None:
    assert module.comments(CODE) == ["fits?", "all of it"]
    japanese = {"fits?": "収まるか", "no": "!", "neither": "!"}
    assert module.translate(CODE, japanese) == CODE.replace("fits?", "収まるか")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.py").write_text("# before\nstart()  # shown\n")
    (tmp_path / "x.md").write_text(
        "```sh\nls  # lists\n```\n```\n# output\n```\n```python\n1 + 1  # 2\n```\n"
        "```{literalinclude} x.py\n:language: python\n:start-at: start\n```\n"
    )
    monkeypatch.setattr(module, "DOCS", tmp_path)


@pytest.mark.usefixtures("page")
def test_comments_of_a_page() -> None:
    assert list(module.of_page("x")) == ["lists", "2", "shown"]


@pytest.mark.usefixtures("page")
def test_what_is_missing_and_what_is_stale() -> None:
    assert list(module.faults(("x",), {"lists": "一覧", "shown": "表示"})) == []
    missing, stale = module.faults(("x",), {"lists": "一覧", "gone": "-"})
    assert missing.startswith("docs/x.md: a comment is not in")
    assert missing.endswith("shown")
    assert "stale" in stale
    assert stale.endswith("gone")

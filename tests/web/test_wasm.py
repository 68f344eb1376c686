# SPDX-License-Identifier: BSD-3-Clause
"""The compiled core in the tree is the one that its sources give."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not (ROOT / "tools/build_wasm.py").is_file():
        pytest.skip("no tools/ here")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import build_wasm

    return build_wasm


def test_the_compiled_files_belong_to_the_sources(tool: ModuleType) -> None:
    assert tool.stale() == ""


def test_a_changed_source_is_noticed(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "FLAGS", (*tool.FLAGS, "-DOTHER"))
    assert "make wasm" in tool.stale()


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["relaxed", "simd128", "portable"])
def test_compiling_again_gives_the_same_bytes(
    tool: ModuleType, variant: str, tmp_path: Path
) -> None:
    wanted = json.loads(tool.RECORD.read_text())["ziglang"]
    if tool.compiler() != wanted:
        pytest.skip(f"ziglang {wanted} made the file, here is {tool.compiler() or 'none'}")
    assert tool.build(tmp_path, variant) == (tool.SITE / tool.name_of(variant)).read_bytes()

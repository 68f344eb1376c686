# SPDX-License-Identifier: BSD-3-Clause
"""The layout of the package, and that a planted circle or a room too many is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from support.scripts_loaded import ROOT, load

pytest.importorskip("grimp", reason="needs import-linter, an extra for development")


@pytest.fixture(scope="module")
def check() -> ModuleType:
    return load("tools", "check_rooms.py")


#: import-linter on the package in the working folder, not on the one that is installed.
_LINT = """
import sys
editable = [each for each in sys.meta_path if type(each).__module__.startswith("_editable")]
sys.meta_path = [each for each in sys.meta_path if each not in editable]
sys.path.insert(0, ".")
from importlinter.cli import lint_imports_command
lint_imports_command()
"""
LAID_OUT = {
    "bnn": set(),
    "bnn.errors": set(),
    "bnn.low": set(),
    "bnn.low.a": {"bnn.errors"},
    "bnn.low.b": {"bnn.low.a"},
    "bnn.high": set(),
    "bnn.high.c": {"bnn.low.b", "bnn.errors"},
}


def test_a_layout_without_faults(check: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.problems(LAID_OUT) == []
    assert "layers of rooms: 3 (at most 10)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "imports", "said"),
    [
        ("bnn.low.a", "bnn.high.c", "circle: high -> low"),
        ("bnn.low.a", "bnn.low.b", "circle: bnn.low.a -> bnn.low.b"),
    ],
)
def test_a_planted_circle_is_found(check: ModuleType, module: str, imports: str, said: str) -> None:
    planted = {**LAID_OUT, module: LAID_OUT[module] | {imports}}
    assert said in check.problems(planted)


def test_a_flat_top_is_found(check: ModuleType) -> None:
    flat = {**LAID_OUT, **{f"bnn.m{number}": set() for number in range(30)}}
    found = check.problems(flat)
    assert "32 modules at the top, at most 10 are wanted" in found
    assert "33 rooms, at most 25 are wanted" in found


def test_a_planted_import_that_runs_upward_breaks_the_contract(tmp_path: Path) -> None:
    """The contract of pyproject.toml, held against a copy of the sources with one import more."""
    shutil.copytree(
        ROOT / "src" / "bnn", tmp_path / "bnn", ignore=shutil.ignore_patterns("*.bnn", "*.so")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "bnn" / "program" / "precision.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n\nimport bnn.commands.main\n")
    run = subprocess.run(
        [sys.executable, "-c", _LINT, "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    assert "bnn.program is not allowed to import bnn.commands" in run.stdout

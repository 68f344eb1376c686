# SPDX-License-Identifier: BSD-3-Clause
"""What ``make dist-check`` refuses in a release file, tried without building one."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from support.scripts_loaded import ROOT, load

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs a git checkout"
)


@pytest.fixture(scope="module")
def check() -> ModuleType:
    return load("tools", "check_release.py")


def _listed() -> list[str]:
    command = ["git", "ls-files", "src/bnn"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()


def _wheel(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return path


def test_a_whole_wheel_and_archive_pass(check: ModuleType, tmp_path: Path) -> None:
    names = [name.removeprefix("src/") for name in _listed()]
    check.check_members(_wheel(tmp_path / "x.whl", [*names, "bnn_pynq-0.1.0.dist-info/METADATA"]))
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        for name in _listed():
            archive.addfile(tarfile.TarInfo(f"bnn_pynq-0.1.0/{name}"), io.BytesIO())
    check.check_members(tmp_path / "x.tar.gz")


@pytest.mark.parametrize(
    ("more", "fewer", "said"),
    [
        ([], "bnn/py.typed", "x.whl: lacks bnn/py.typed"),
        (["tests/test_x.py"], "", "x.whl: holds tests/test_x.py"),
        (["bnn/__pycache__/x.pyc"], "", "x.whl: holds bnn/__pycache__/x.pyc"),
    ],
)
def test_a_planted_fault_is_refused(
    check: ModuleType, tmp_path: Path, more: list[str], fewer: str, said: str
) -> None:
    names = [name.removeprefix("src/") for name in _listed()]
    path = _wheel(tmp_path / "x.whl", [name for name in names if name != fewer] + more)
    with pytest.raises(SystemExit, match=said):
        check.check_members(path)


def test_a_command_that_fails_says_what_it_printed(check: ModuleType) -> None:
    with pytest.raises(SystemExit, match="what went wrong"):
        check.run(sys.executable, "-c", "import sys; sys.exit('what went wrong')")

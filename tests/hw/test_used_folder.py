# SPDX-License-Identifier: BSD-3-Clause
"""A folder that is built into again holds the new build alone, and never loses a user's file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bnn.commands.main import app
from bnn.errors import BuildError
from bnn.hw import export, used
from bnn.hw.boards import board
from bnn.hw.design import build
from bnn.hw.folding import Folding
from bnn.system import files
from hw.examples import DENSE_FOLDING, RESIDUAL_FOLDING, dense, residual

BOARD = board("pynq-z2")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def write(folder: Path, name: str) -> dict[str, bytes]:
    """Build one of two designs that have different files: with constants, or loadable."""
    folding = Folding(RESIDUAL_FOLDING.layers, loadable=False)
    design = build(residual(), folding) if name == "large" else build(dense(), DENSE_FOLDING)
    export.write(design, BOARD, folder)
    return contents(folder)


@pytest.mark.parametrize(("first", "second"), [("large", "small"), ("small", "large")])
def test_nothing_stays_of_the_model_before(first: str, second: str, tmp_path: Path) -> None:
    wanted = write(tmp_path / "new", second)
    before = write(tmp_path / "used", first)
    after = write(tmp_path / "used", second)
    assert after == wanted
    assert set(before) - set(after), "the test needs files that only one of the two has"
    listed = json.loads(after["manifest.json"])["files"]
    assert sorted([*listed, "manifest.json"]) == sorted(after)


def test_the_same_build_again_changes_nothing(tmp_path: Path) -> None:
    assert write(tmp_path / "a", "small") == write(tmp_path / "a", "small")


@pytest.mark.parametrize(
    "name", ["notes.txt", "rtl/mine.sv", "rtl/d9_weights.mem", ".hidden", "x/y"]
)
@pytest.mark.parametrize("is_used", [True, False])
def test_a_users_file_is_refused_by_name_and_kept(is_used: bool, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "build"
    if is_used:
        write(folder, "large")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine")
    before = contents(folder)
    with pytest.raises(BuildError, match=f"build: holds {name}, which no build wrote"):
        write(folder, "small")
    assert contents(folder) == before


def test_a_folder_of_an_older_version_is_refused(tmp_path: Path) -> None:
    before = write(tmp_path, "large")
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(BuildError, match=r"holds .*, which no build wrote; use a new folder"):
        write(tmp_path, "small")
    assert contents(tmp_path) == {k: v for k, v in before.items() if k != "manifest.json"}


def test_a_bitstream_stays_beside_its_own_sources_only(tmp_path: Path) -> None:
    write(tmp_path, "small")
    (tmp_path / "bnn.bit").write_bytes(b"bits")
    (tmp_path / ".Xil").mkdir()
    (tmp_path / ".Xil" / "x").write_bytes(b"")
    assert write(tmp_path, "small")["bnn.bit"] == b"bits"
    after = write(tmp_path, "large")
    assert "bnn.bit" not in after
    assert not (tmp_path / ".Xil").exists()


@pytest.mark.parametrize("names", [["../kept"], ["/etc/hostname", "rtl/../../kept"]])
def test_a_manifest_names_nothing_outside(names: list[str], tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "manifest.json").write_text(json.dumps({"files": names}))
    write(tmp_path / "build", "small")
    assert (tmp_path / "kept").read_text() == "mine"
    assert Path("/etc/hostname").exists() or not os.path.lexists("/etc/hostname")


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 3}', '{"files": [1]}', "[" * 99_999])
def test_a_damaged_manifest_is_refused(text: str, tmp_path: Path) -> None:
    write(tmp_path, "small")
    (tmp_path / "manifest.json").write_text(text)
    before = contents(tmp_path)
    with pytest.raises(BuildError, match=r"manifest\.json"):
        write(tmp_path, "large")
    assert contents(tmp_path) == before


def test_a_full_disk_keeps_the_former_build(tmp_path: Path, monkeypatch: Any) -> None:
    before = write(tmp_path, "large")
    calls = 0

    def full(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BuildError, match="cannot be written: No space left"):
        write(tmp_path, "small")
    monkeypatch.undo()
    assert contents(tmp_path) == before


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    write(tmp_path, "large")
    left = files.new_folder(tmp_path)
    (left / "rtl").mkdir()
    (left / "rtl" / "half.sv").write_text("half")
    write(tmp_path, "small")
    assert not left.exists()


@pytest.mark.parametrize("step", range(1, 30, 4))
def test_killed_while_files_are_swapped(step: int, tmp_path: Path, monkeypatch: Any) -> None:
    """The folder then holds no complete build, and the next one is as in a new folder."""
    wanted = write(tmp_path / "new", "small")
    write(tmp_path / "used", "large")
    real, calls = Path.replace, 0

    class Killed(BaseException):
        pass

    def replace(path: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == step:
            raise Killed
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    try:
        write(tmp_path / "used", "small")
    except Killed:
        after = contents(tmp_path / "used")
        assert (
            step == 1 or "driver.json" not in after or after["driver.json"] == wanted["driver.json"]
        )
    monkeypatch.undo()
    assert write(tmp_path / "used", "small") == wanted


def test_the_log_of_a_failed_build_is_kept(tmp_path: Path) -> None:
    def failing() -> None:
        with used.replaced(tmp_path / "build") as fresh:
            (fresh / "route.log").write_text("so far")
            raise BuildError("no route")

    with pytest.raises(BuildError, match="no route"):
        failing()
    assert (tmp_path / "build" / "route.log").read_text() == "so far"
    write(tmp_path / "build", "small")
    assert not (tmp_path / "build" / "route.log").exists()


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = CliRunner().invoke(app, ["build", "lfc-w1a1", "-o", str(tmp_path)])
    assert result.exit_code == 1
    assert isinstance(result.exception, BuildError)
    assert "holds notes.txt" in str(result.exception)


def test_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", "small")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "driver.json").is_file()


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(BuildError, match="x: is a file; name a new folder"):
        write(tmp_path / "x", "small")
    assert (tmp_path / "x").read_text() == "mine"


def test_an_unknown_folding_is_told_the_known_ones(tmp_path: Path) -> None:
    given = ["build", "lfc-w1a1", "--folding", "lfc", "-o", str(tmp_path / "x")]
    reason = str(CliRunner().invoke(app, given).exception)
    assert reason.startswith("lfc: no such folding; there are original, cnv-w1-fast, ")

# SPDX-License-Identifier: BSD-3-Clause
"""``bnn doctor``, ``python -m bnn`` and shell completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bnn.commands import doctor
from bnn.commands.main import app
from bnn.errors import RuntimeUnavailableError


def _checked() -> dict[str, dict[str, str]]:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    broken = any(row["state"] == "broken" for row in rows)
    assert result.exit_code == int(broken), result.output
    return {row["name"]: row for row in rows}


def test_what_is_here() -> None:
    found = _checked()
    assert found["core"]["state"] == "ok"
    assert "kernel" in found["core"]["found"]
    assert "cnv-w1a1" in found["models"]["found"]
    assert found["Python"]["found"].startswith("3.")
    for row in found.values():
        assert row["state"] in ("ok", "missing"), row
        assert bool(row["remedy"]) == (row["state"] == "missing"), row


def test_what_is_missing_has_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    monkeypatch.setenv("BNN_DATA", str(tmp_path / "gone"))
    monkeypatch.setattr("bnn.hw.toolchain.verilator.verilator_root", _unavailable)
    found = _checked()
    for name in ("training", "conversion", "downloads", "cameras", "simulator", "board"):
        assert found[name]["state"] == "missing"
        assert found[name]["remedy"]
    for name in ("bnn serve", "bnn bulk", "Ray"):
        assert found[name]["state"] == "missing"
        assert "install" in found[name]["remedy"]
    assert "reads folders and animations" in found["cameras"]["found"]
    assert str(tmp_path / "gone") in found["data sets"]["found"]
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 0
    assert "get it: " in shown.stdout


def test_folders_of_data_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def data(*folders: Path) -> tuple[str, str]:
        monkeypatch.setenv("BNN_DATA", os.pathsep.join(map(str, folders)))
        found = doctor._data()
        return found.state, found.found

    gone, other = tmp_path / "gone", tmp_path / "other"
    (tmp_path / "file").touch()
    assert data(tmp_path) == ("ok", str(tmp_path))
    assert data(tmp_path, gone, other) == ("missing", f"no folder {gone}, {other}")
    assert data(tmp_path / "file") == ("missing", f"no folder {tmp_path / 'file'}")
    state, found = data()
    assert (state, "is not set" in found) == ("ok", True)


def test_tools_of_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("bnn.hw.toolchain.synth.command", _unavailable)
    monkeypatch.setattr("bnn.hw.toolchain.locate.command", lambda _: _unavailable())
    found = _checked()
    assert {found[name]["state"] for name in ("Yosys", "nextpnr")} == {"missing"}
    monkeypatch.setattr("bnn.hw.toolchain.synth.command", lambda: ["/somewhere/yosys"])
    monkeypatch.setattr("bnn.hw.toolchain.locate.command", lambda name: [f"/somewhere/{name}"])
    found = _checked()
    assert found["Yosys"]["found"].endswith("yosys")
    assert found["nextpnr"]["found"].endswith("/somewhere/nextpnr-xilinx")


def test_what_every_use_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnn.run.cpu.describe", _unavailable)
    found = _checked()
    assert found["core"]["state"] == "broken"
    assert found["core"]["found"] == "is not here"


def _unavailable() -> None:
    raise RuntimeUnavailableError("is not here")


def test_as_a_module() -> None:
    command = [sys.executable, "-m", "bnn", "models"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "lfc-w1a1" in found.stdout


def test_completion_knows_the_commands() -> None:
    environment = {"_BNN_COMPLETE": "complete_bash", "COMP_WORDS": "bnn eva", "COMP_CWORD": "1"}
    result = CliRunner().invoke(app, [], prog_name="bnn", env=environment)
    assert "evaluate" in result.stdout

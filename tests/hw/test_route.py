# SPDX-License-Identifier: BSD-3-Clause
"""Finding the tools of place and route, saying which is missing, and reading their report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bnn.commands.main import main
from bnn.errors import BuildError, RuntimeUnavailableError
from bnn.hw.boards import board
from bnn.hw.bus import Port
from bnn.hw.parts import parts
from bnn.hw.toolchain import locate as tools
from bnn.hw.toolchain import out_of_context as alone
from bnn.hw.toolchain import route, synth

#: As Yosys reads them from the header: ``tests/hw/test_synth.py``.
FIFO_PORTS = [
    *(Port("input", 1, "clk"), Port("input", 1, "rst"), Port("input", 1, "i_valid")),
    *(Port("output", 1, "i_ready"), Port("input", 5, "i_data"), Port("output", 1, "o_valid")),
    *(Port("input", 1, "o_ready"), Port("output", 5, "o_data"), Port("output", 2, "level")),
]


@pytest.fixture(autouse=True)
def _no_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (tools.ROOT, tools.DATABASE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def test_a_missing_tool_is_named_with_the_way_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(synth, "command", lambda: ["yosys"])
    made = tmp_path / "made"
    monkeypatch.setattr(sys, "argv", ["bnn", "build", "lfc-w1a1", "--pnr", "-o", str(made)])
    with pytest.raises(SystemExit):
        main()
    error = capsys.readouterr().err
    assert "nextpnr-himbaechel-xilinx is not installed: apt install" in error
    assert len(error.strip().splitlines()) == 1
    assert not made.exists()


def test_programs_of_another_root_run_through_its_own_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("usr/bin/tool", "lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/libc.so"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv(tools.ROOT, str(tmp_path))
    loader, *arguments = tools.command("tool")
    assert loader == str(tmp_path / "lib64/ld-linux-x86-64.so.2")
    libraries = str(tmp_path / "usr/lib/x86_64-linux-gnu")
    assert arguments == ["--library-path", libraries, str(tmp_path / "usr/bin/tool")]
    with pytest.raises(RuntimeUnavailableError, match=r"^other is not installed"):
        tools.command("other")
    with pytest.raises(RuntimeUnavailableError, match=r"^prjxray-database is not installed"):
        tools.database(parts()["xc7z020"])
    (tmp_path / "usr/share/prjxray/database/zynq7").mkdir(parents=True)
    assert tools.database(parts()["xc7z020"]) == tmp_path / "usr/share/prjxray/database/zynq7"


REPORT: dict[str, Any] = {
    "fmax": {"fast": {"achieved": 200.5}, "slow": {"achieved": 101.25}},
    "critical_paths": [
        {"from": "posedge fast", "to": "posedge fast", "path": []},
        {
            "from": "posedge slow",
            "to": "posedge slow",
            "path": [
                {
                    "type": "clk-to-q",
                    "delay": 0.35,
                    "from": {"cell": "a", "port": "Q"},
                    "to": {"cell": "b", "port": "D"},
                }
            ],
        },
        {"from": "async", "to": "posedge slow", "path": []},
    ],
    "utilization": {"SLICE_LUTX": {"used": 7}, "PAD": {"used": 0}},
}


def test_the_slowest_clock_counts() -> None:
    routed = route.read(REPORT, Path("d.fasm"))
    assert routed.fmax_mhz == 101.25
    assert routed.path == (route.Step("clk-to-q", 0.35, "a.Q", "b.D"),)
    assert routed.used == {"SLICE_LUTX": 7}
    with pytest.raises(BuildError, match="no clock"):
        route.read({**json.loads(json.dumps(REPORT)), "fmax": {}}, Path("d.fasm"))


def test_a_block_is_wrapped_with_all_its_ports() -> None:
    text = alone.wrapper("bnn_fifo", {"BITS": 5, "STYLE": "block"}, FIFO_PORTS)
    assert '#(.BITS(5), .STYLE("block")) block' in text
    assert "wire [4:0] i_data;" in text
    assert "wire [1:0] level;" in text
    for port in ("i_valid", "i_data", "o_ready", "i_ready", "o_valid", "o_data", "level"):
        assert f".{port}({port})" in text
    assert ".rst(reset)" in text
    assert ".rst(" not in alone.wrapper(
        "bnn_probe", {}, [Port("input", 1, "valid")]
    )  # it has no such port
    with pytest.raises(BuildError, match="no block is called 'bnn_other'"):
        alone.fmax(Path(), "bnn_other", {}, board("pynq-z1"))

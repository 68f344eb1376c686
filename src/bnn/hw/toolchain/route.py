# SPDX-License-Identifier: BSD-3-Clause
"""Place and route with nextpnr: the highest clock of a netlist, and the router's features.

nextpnr's frequencies are good for comparing designs; they were not compared with the vendor's
timing analysis.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnn.errors import BuildError
from bnn.hw.boards import Board
from bnn.hw.toolchain import locate as tools

PROGRAM = "nextpnr-himbaechel-xilinx"


@dataclass(frozen=True)
class Step:
    """A step of a timing path.

    Attributes:
        kind: clk-to-q, logic, routing or setup.
        delay_ns: delay in nanoseconds.
        source, sink: where the step begins and ends, as ``CELL.PORT``.
    """

    kind: str
    delay_ns: float
    source: str
    sink: str


@dataclass(frozen=True)
class Routed:
    """Result of place and route.

    Attributes:
        fmax_mhz: highest frequency in MHz that the slowest clock of the design reaches.
        path: critical path of this clock; empty if nextpnr reports none.
        used: kind of site -> number of sites used.
        fasm: file with the features of the routed design (FASM).
    """

    fmax_mhz: float
    path: tuple[Step, ...]
    used: dict[str, int]
    fasm: Path


def route(
    folder: Path,
    netlist: str,
    board: Board,
    *,
    constraints: str = "",
    mhz: float = 100.0,
    seed: int = 1,
    seconds: float | None = None,
) -> Routed:
    """Place and route the file ``netlist`` (JSON of Yosys) in ``folder``; return the result.

    Other files are written into ``folder``, such as ``route.log`` and ``routed.fasm``.

    Args:
        board: board whose chip the design is for.
        constraints: XDC constraints of the pins; "" if there are no pins.
        mhz: required frequency in MHz; a lower result is not an error.
        seed: seed of the placer.
        seconds: time limit in seconds; None: no limit.

    Raises:
        RuntimeUnavailableError: nextpnr is not installed.
        BuildError: the netlist does not fit the chip, or cannot be routed within the time limit.
    """
    command = tools.command(PROGRAM)
    (folder / "pins.xdc").write_text(constraints, encoding="utf-8")
    file = f"nextpnr/himbaechel/xilinx/chipdb-{board.part.name}.bin"
    database = tools.shared(file, f"{PROGRAM}-chipdb")
    options = {
        "--device": board.device,
        "--chipdb": str(database),
        "--json": netlist,
        "--freq": f"{mhz:g}",
        "--seed": str(seed),
        "--report": "timing.json",
        "--log": "route.log",
    }
    arguments = [word for pair in options.items() for word in pair]
    arguments += ["-o", "xdc=pins.xdc", "-o", "fasm=routed.fasm", "--timing-allow-fail", "-q"]
    try:
        done = subprocess.run(
            [*command, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"nextpnr did not finish within {seconds:g} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line]
        reason = errors[0] if errors else f"ended with exit status {done.returncode}"
        raise BuildError(f"nextpnr: {reason}")
    report = json.loads((folder / "timing.json").read_text(encoding="utf-8"))
    return read(report, folder / "routed.fasm")


def read(report: dict[str, Any], fasm: Path) -> Routed:
    """Return the result of place and route from nextpnr's report ``timing.json``.

    Args:
        report: contents of ``timing.json``.
        fasm: file with the features, for the result.
    """
    if not report["fmax"]:
        raise BuildError("nextpnr reports no clock in the design")
    clock, values = min(report["fmax"].items(), key=lambda item: item[1]["achieved"])
    inside = f"posedge {clock}"
    path: tuple[Step, ...] = ()
    for found in report["critical_paths"]:
        if found["from"] == found["to"] == inside:
            path = tuple(
                Step(step["type"], step["delay"], _end(step["from"]), _end(step["to"]))
                for step in found["path"]
            )
    used = {kind: values["used"] for kind, values in report["utilization"].items()}
    return Routed(values["achieved"], path, {k: n for k, n in used.items() if n}, fasm)


def _end(place: dict[str, str]) -> str:
    return f"{place['cell']}.{place.get('port', '')}"

# SPDX-License-Identifier: BSD-3-Clause
"""One block alone on a chip: a wrapper with four pins, so that it can be placed and routed.

Every input of the block comes from a shift register and every output goes into registers that a
chain of exclusive ors carries out. Nothing can be optimised away, and all paths
that are measured are the block's own, from register to register.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bnn.errors import BuildError
from bnn.hw.blocks.block import Generic
from bnn.hw.boards import Board
from bnn.hw.render import library, value
from bnn.hw.toolchain import route, synth

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_PARAMETER = re.compile(r"parameter\s+(?:(?:int|logic\s*\[[^]]*\])\s+)?(\w+)\s*=")
_PORT = re.compile(r"(input|output)\s+(?:wire|logic)\s*((?:\[.*\])?)\s*(\w+)")  # one a line

_ENDS = """
module alone_in #(parameter int W = 1) (
    input wire clk, input wire into, output wire out, output logic [W-1:0] data
);
    always_ff @(posedge clk) data <= data << 1 | W'(into);
    assign out = data[W-1];
endmodule
module alone_out #(parameter int W = 1) (
    input wire clk, input wire into, output wire out, input wire [W-1:0] data
);
    logic [W-1:0] kept, chain;
    always_ff @(posedge clk) begin
        kept  <= data;
        chain <= (chain << 1 | W'(into)) ^ kept;
    end
    assign out = chain[W-1];
endmodule
"""


def constraints(board: Board) -> str:
    """XDC of the wrapper's pins; :class:`BuildError` for a board that names none."""
    if not board.pins:
        raise BuildError(f"{board.name}: its TOML file has no table [pins] for a single block")
    return "".join(
        f"set_property PACKAGE_PIN {pin} [get_ports {port}]\n"
        f"set_property IOSTANDARD LVCMOS33 [get_ports {port}]\n"
        for port, pin in board.pins.items()
    )


def wrapper(module: str, generics: Mapping[str, Generic]) -> str:
    """``alone.sv`` around ``module`` of the library, with these parameters."""
    text = _COMMENT.sub("", library()[f"{module}.sv"])
    head = text[text.index(f"module {module}") : text.index(");\n")]
    parameters, _, ports = head.rpartition("\n) (") if "#(" in head else ("", "", head)
    values = _defaults(parameters)
    values |= {name: value(generic) for name, generic in generics.items()}
    lines = ["module alone (input wire clk, rst, into, output wire out);"]
    lines += [f"    localparam {name} = {text};" for name, text in values.items()]
    lines += ["    logic reset;", "    always_ff @(posedge clk) reset <= rst;"]
    own = {"clk": "clk", "rst": "reset"}
    joined = []
    before = "into"
    for way, width, name in _PORT.findall(ports):
        joined.append(f".{name}({own.get(name, name)})")
        if name in own:
            continue
        lines.append(f"    wire {width} {name};\n    wire {name}_chain;")
        kind = "in" if way == "input" else "out"
        lines.append(
            f"    alone_{kind} #($bits({name})) {name}_end (clk, {before}, {name}_chain, {name});"
        )
        before = f"{name}_chain"
    set_to = ", ".join(f".{name}({name})" for name in values)
    lines.append(f"    assign out = {before};")
    lines.append(f"    {module} #({set_to}) block ({', '.join(joined)});\nendmodule\n")
    return "\n".join(lines) + _ENDS


def _defaults(parameters: str) -> dict[str, str]:
    """What the parameters of a module are without being told."""
    pieces = _PARAMETER.split(parameters)
    return {
        name: text.strip().rstrip(",").strip()
        for name, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def fmax(
    folder: Path,
    module: str,
    generics: Mapping[str, Generic],
    board: Board,
    *,
    images: Mapping[str, str] | None = None,
    mhz: float = 150.0,
    seed: int = 1,
) -> route.Routed:
    """Synthesise, place and route ``module`` alone in ``folder``.

    Args:
        board: whose chip and pins are used.
        images: memory images that the parameters name.
        mhz: frequency aimed at.

    Raises:
        RuntimeUnavailableError: Yosys or nextpnr is missing.
        BuildError: they refuse the block.
    """
    if f"{module}.sv" not in library():
        raise BuildError(f"no block is called {module!r}")
    files = {**library(), **(images or {}), "alone.sv": wrapper(module, generics)}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    names = [name for name in files if name.endswith(".sv")]
    synth.run(folder, synth.routable(names, "alone", board.part, pins=True))
    return route.route(
        folder, synth.NETLIST, board, constraints=constraints(board), mhz=mhz, seed=seed
    )

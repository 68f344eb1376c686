# SPDX-License-Identifier: BSD-3-Clause
"""One block out of context: a wrapper with four pins, so that it can be placed and routed.

A shift register drives every input of the block. Every output goes into registers, which a chain of
XORs combines to one output pin. So no logic can be optimised away, and the measured paths are those
of the block, from register to register.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bnn.errors import BuildError
from bnn.hw.blocks.block import Generic
from bnn.hw.boards import Board
from bnn.hw.bus import Port
from bnn.hw.render import library, value
from bnn.hw.toolchain import route, synth

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
    """Return XDC constraints for the wrapper's pins; BuildError if the board has no pins."""
    if not board.pins:
        raise BuildError(
            f"{board.name}: its TOML file has no table [pins], which a single block needs"
        )
    return "".join(
        f"set_property PACKAGE_PIN {pin} [get_ports {port}]\n"
        f"set_property IOSTANDARD LVCMOS33 [get_ports {port}]\n"
        for port, pin in board.pins.items()
    )


def wrapper(module: str, generics: Mapping[str, Generic], ports: Sequence[Port]) -> str:
    """Return the text of ``alone.sv``: the wrapper of a block, and the modules at its ports.

    Args:
        module: name of the block's module.
        generics: parameters of the module, by name.
        ports: ports of the module with these parameters.
    """
    lines = ["module alone (input wire clk, rst, into, output wire out);"]
    lines += ["    logic reset;", "    always_ff @(posedge clk) reset <= rst;"]
    own = {"clk": "clk", "rst": "reset"}
    joined = []
    before = "into"
    for port in ports:
        name = port.name
        joined.append(f".{name}({own.get(name, name)})")
        if name in own:
            continue
        lines.append(f"    wire [{port.bits - 1}:0] {name};\n    wire {name}_chain;")
        kind = "in" if port.direction == "input" else "out"
        lines.append(
            f"    alone_{kind} #({port.bits}) {name}_end (clk, {before}, {name}_chain, {name});"
        )
        before = f"{name}_chain"
    set_to = ", ".join(f".{name}({value(generic)})" for name, generic in generics.items())
    lines.append(f"    assign out = {before};")
    lines.append(f"    {module} #({set_to}) block ({', '.join(joined)});\nendmodule\n")
    return "\n".join(lines) + _ENDS


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
    """Synthesise, place and route ``module`` out of context; return the result.

    Args:
        folder: where the files are written.
        generics: parameters of the module, by name.
        board: board whose chip and pins are used.
        images: memory images that the parameters name: file name -> text.
        mhz: required frequency in MHz; a lower result is not an error.
        seed: seed of the placer.

    Raises:
        RuntimeUnavailableError: Yosys or nextpnr is missing.
        BuildError: there is no such block, or Yosys or nextpnr refuses it.
    """
    if f"{module}.sv" not in library():
        raise BuildError(f"no block is called {module!r}")
    files = {**library(), **(images or {})}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    names = [name for name in files if name.endswith(".sv")]
    (ports,) = synth.ports(folder, names, [(module, generics)])
    (folder / "alone.sv").write_text(wrapper(module, generics, ports), encoding="utf-8")
    names.append("alone.sv")
    synth.run(folder, synth.routable(names, "alone", board.part, pins=True))
    return route.route(
        folder, synth.NETLIST, board, constraints=constraints(board), mhz=mhz, seed=seed
    )

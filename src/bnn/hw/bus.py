# SPDX-License-Identifier: BSD-3-Clause
"""The ports of ``bnn_top`` on the processor's two buses, declared once.

``s_axi`` is an AXI4-Lite slave: the processor reads and writes the registers. ``m_axi`` is a 64-bit
AXI4 master: the accelerator reads and writes the memory.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """A port of ``bnn_top``.

    Attributes:
        direction: ``input`` or ``output``, seen from ``bnn_top``.
        bits: width in bits.
        name: name of the port.
        fixed: SystemVerilog value of an output that never changes; "" for other ports.
    """

    direction: str
    bits: int
    name: str
    fixed: str = ""

    @property
    def channel(self) -> str:
        """``read`` for the master's ports of channels ``ar`` and ``r``, else ``write``."""
        name = self.name.removeprefix("m_axi_")
        return "read" if name.startswith(("ar", "r")) else "write"


def _ports(prefix: str, *ports: tuple[str, int, str] | tuple[str, int, str, str]) -> list[Port]:
    return [Port(side, bits, prefix + name, *fixed) for side, bits, name, *fixed in ports]


SLAVE = _ports(
    "s_axi_",
    ("input", 8, "awaddr"),
    ("input", 1, "awvalid"),
    ("output", 1, "awready"),
    ("input", 32, "wdata"),
    ("input", 4, "wstrb"),
    ("input", 1, "wvalid"),
    ("output", 1, "wready"),
    ("output", 2, "bresp"),
    ("output", 1, "bvalid"),
    ("input", 1, "bready"),
    ("input", 8, "araddr"),
    ("input", 1, "arvalid"),
    ("output", 1, "arready"),
    ("output", 32, "rdata"),
    ("output", 2, "rresp"),
    ("output", 1, "rvalid"),
    ("input", 1, "rready"),
)
MASTER = _ports(
    "m_axi_",
    ("output", 64, "araddr"),
    ("output", 8, "arlen"),
    ("output", 3, "arsize", "3'd3"),
    ("output", 2, "arburst", "2'd1"),
    ("output", 4, "arcache", "4'd3"),
    ("output", 3, "arprot", "3'd0"),
    ("output", 1, "arvalid"),
    ("input", 1, "arready"),
    ("input", 64, "rdata"),
    ("input", 2, "rresp"),
    ("input", 1, "rlast"),
    ("input", 1, "rvalid"),
    ("output", 1, "rready"),
    ("output", 64, "awaddr"),
    ("output", 8, "awlen"),
    ("output", 3, "awsize", "3'd3"),
    ("output", 2, "awburst", "2'd1"),
    ("output", 4, "awcache", "4'd3"),
    ("output", 3, "awprot", "3'd0"),
    ("output", 1, "awvalid"),
    ("input", 1, "awready"),
    ("output", 64, "wdata"),
    ("output", 8, "wstrb", "'1"),
    ("output", 1, "wlast"),
    ("output", 1, "wvalid"),
    ("input", 1, "wready"),
    ("input", 2, "bresp"),
    ("input", 1, "bvalid"),
    ("output", 1, "bready"),
)
#: Port that no block reads: ``bnn_reader`` counts words instead.
UNREAD = "m_axi_rlast"


def declared(ports: Iterable[Port]) -> str:
    """Return the lines of a module's port list; each line ends with a comma."""
    return "\n".join(
        f"    {port.direction:6} wire {_range(port.bits):6} {port.name}," for port in ports
    )


def _range(bits: int) -> str:
    return f"[{bits - 1}:0]" if bits > 1 else ""


def constants() -> str:
    """Return the SystemVerilog assignments to the ports whose value never changes."""
    fixed = [port for port in MASTER if port.fixed]
    return "\n".join(f"    assign {port.name} = {port.fixed};" for port in fixed)


def joined(ports: Iterable[Port]) -> str:
    """Return the SystemVerilog text that connects a block to the top's ports of the same names.

    Ports with a fixed value and the port :data:`UNREAD` are left unconnected.
    """
    names = [port.name for port in ports if not port.fixed and port.name != UNREAD]
    text = ", ".join(f".{name}({name})" for name in names)
    return textwrap.fill(text, 100, initial_indent=" " * 8, subsequent_indent=" " * 8)


def channel(name: str) -> list[Port]:
    """Return the master's ports for reading or for writing; ``name`` is ``read`` or ``write``."""
    return [port for port in MASTER if port.channel == name]

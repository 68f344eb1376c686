# SPDX-License-Identifier: BSD-3-Clause
"""``bnn.hwh``: the description of a Zynq-7000 design that ``pynq.Overlay("bnn.bit")`` needs.

Vivado writes a ``.hwh`` file for block designs only; a design of this package is not a block
design. PYNQ reads from the file the address, names and flags of the registers, and the dividers of
the clock, which PYNQ sets before it loads the bitstream. Source: pynq 3.0.1,
``pynq/pl_server/hwh_parser.py``, and the package pynqmetadata.
"""

from __future__ import annotations

import itertools
import math
from xml.etree import ElementTree as ET

from bnn.hw import bus, registers
from bnn.hw.boards import Board
from bnn.hw.registers import Register

#: Clock in MHz before the dividers (the IO PLL) of PYNQ's images for Zynq-7000 boards.
SOURCE_MHZ = 1000.0
#: Largest value of each of the two dividers (UG585, register FPGA0_CLK_CTRL: 6 bits).
MAX_DIVIDER = 63
#: Name of the accelerator in ``Overlay.ip_dict``.
NAME = "accelerator"
_PROCESSOR = "processing_system7"
_ACCESS = {"r": "read-only", "w": "write-only", "rw": "read-write"}


def dividers(mhz: float) -> tuple[int, int]:
    """Return the two dividers that make the highest clock of at most ``mhz``.

    The clock is ``SOURCE_MHZ / (first * second)``; both dividers are from 1 to 63.

    Args:
        mhz: clock in MHz, at least 1.
    """
    least = math.ceil(round(SOURCE_MHZ / mhz, 6))
    return next(
        (total // second, second)
        for total in itertools.count(least)
        for second in range(1, math.isqrt(total) + 1)
        if total % second == 0 and total // second <= MAX_DIVIDER
    )


def description(board: Board) -> str:
    """Return the XML text of ``bnn.hwh`` for a design on ``board``.

    Raises:
        BuildError: the board has no connection.
    """
    system = ET.Element("EDKSYSTEM", EDWVERSION="1.2", VIVADOVERSION="2022.1")
    ET.SubElement(system, "SYSTEMINFO", ARCH="zynq", DEVICE=board.device, NAME="bnn")
    ET.SubElement(system, "EXTERNALPORTS")
    ET.SubElement(system, "EXTERNALINTERFACES")
    modules = ET.SubElement(system, "MODULES")
    _processor(modules, board)
    _accelerator(modules, board)
    ET.indent(system, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(system, "unicode") + "\n"


def _module(modules: ET.Element, name: str, kind: str, vlnv: str) -> ET.Element:
    return ET.SubElement(
        modules, "MODULE", FULLNAME=f"/{name}", INSTANCE=name, MODTYPE=kind, VLNV=vlnv
    )


def _processor(modules: ET.Element, board: Board) -> None:
    """Add the processing system: its clocks, and where it finds the accelerator's registers."""
    where = board.built
    module = _module(modules, _PROCESSOR, _PROCESSOR, "xilinx.com:ip:processing_system7:5.5")
    parameters = ET.SubElement(module, "PARAMETERS")
    first, second = dividers(board.clock_mhz)
    values = {"C_S_AXI_HP0_DATA_WIDTH": 64, "PCW_FPGA_FCLK0_ENABLE": 1}
    values |= {f"PCW_FPGA_FCLK{clock}_ENABLE": 0 for clock in (1, 2, 3)}
    for clock in range(4):
        values[f"PCW_FCLK{clock}_PERIPHERAL_DIVISOR0"] = first
        values[f"PCW_FCLK{clock}_PERIPHERAL_DIVISOR1"] = second
    for name, value in values.items():
        ET.SubElement(parameters, "PARAMETER", NAME=name, VALUE=str(value))
    ET.SubElement(module, "PORTS")
    buses = ET.SubElement(module, "BUSINTERFACES")
    _bus(buses, "M_AXI_GP0", "MASTER")
    _bus(buses, "S_AXI_HP0", "SLAVE")
    ET.SubElement(
        ET.SubElement(module, "MEMORYMAP"),
        "MEMRANGE",
        ADDRESSBLOCK="Reg",
        BASEVALUE=f"0x{where.base:08X}",
        HIGHVALUE=f"0x{where.base + where.span - 1:08X}",
        INSTANCE=NAME,
        MASTERBUSINTERFACE="M_AXI_GP0",
        MEMTYPE="REGISTER",
        SLAVEBUSINTERFACE="s_axi",
    )


def _accelerator(modules: ET.Element, board: Board) -> None:
    """Add ``bnn_top``, the accelerator: its ports and its registers."""
    module = _module(modules, NAME, "bnn_top", "bnn:bnn:bnn_top:1.0")
    blocks = ET.SubElement(module, "ADDRESSBLOCKS")
    block = ET.SubElement(
        blocks,
        "ADDRESSBLOCK",
        INTERFACE="s_axi",
        NAME="Reg",
        RANGE=str(board.built.span),
        USAGE="register",
    )
    held = ET.SubElement(block, "REGISTERS")
    for register in registers.REGISTERS:
        _register(held, register)
    ET.SubElement(module, "PARAMETERS")
    ports = ET.SubElement(module, "PORTS")
    for port in (*bus.SLAVE, *bus.MASTER):
        side = "I" if port.direction == "input" else "O"
        made = ET.SubElement(ports, "PORT", DIR=side, NAME=port.name)
        if port.bits > 1:
            made.attrib |= {"LEFT": str(port.bits - 1), "RIGHT": "0"}
    ET.SubElement(ports, "PORT", DIR="O", NAME="irq", SIGIS="INTERRUPT")
    buses = ET.SubElement(module, "BUSINTERFACES")
    _bus(buses, "s_axi", "SLAVE", [port.name for port in bus.SLAVE])
    _bus(buses, "m_axi", "MASTER", [port.name for port in bus.MASTER])


def _bus(buses: ET.Element, name: str, kind: str, ports: list[str] | None = None) -> None:
    interface = ET.SubElement(
        buses, "BUSINTERFACE", NAME=name, TYPE=kind, VLNV="xilinx.com:interface:aximm:1.0"
    )
    maps = ET.SubElement(interface, "PORTMAPS")
    for port in ports or ():
        logical = port.removeprefix(f"{name}_").upper()
        ET.SubElement(maps, "PORTMAP", LOGICAL=logical, PHYSICAL=port)


def _register(held: ET.Element, register: Register) -> None:
    access = _ACCESS[register.access]
    made = ET.SubElement(held, "REGISTER", NAME=register.name)
    _properties(
        made,
        DESCRIPTION=register.text,
        ADDRESS_OFFSET=f"0x{register.offset:02X}",
        SIZE="32",
        ACCESS=access,
        IS_ENABLED="true",
    )
    fields = ET.SubElement(made, "FIELDS")
    for name, place, text in register.bits:
        field = ET.SubElement(fields, "FIELD", NAME=name)
        _properties(field, DESCRIPTION=text, BIT_OFFSET=str(place), BIT_WIDTH="1", ACCESS=access)


def _properties(element: ET.Element, **values: str) -> None:
    for name, value in values.items():
        ET.SubElement(element, "PROPERTY", NAME=name, VALUE=value)

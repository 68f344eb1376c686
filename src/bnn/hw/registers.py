# SPDX-License-Identifier: BSD-3-Clause
"""The register map, declared only here: hardware, driver and documentation use it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Register:
    """One 32-bit register.

    Attributes:
        name: name of the register.
        offset: bytes from the base address.
        access: ``r`` (read), ``w`` (write) or ``rw``, for the processor.
        text: description of its contents.
        bits: (name, bit number, description) of each flag in the register.
    """

    name: str
    offset: int
    access: str
    text: str
    bits: tuple[tuple[str, int, str], ...] = ()


#: Value of the identity register: "BNN1" in ASCII.
IDENTITY = 0x424E4E31

CONTROL = Register(
    "CONTROL",
    0x00,
    "rw",
    "start and state",
    (
        ("START", 0, "write 1 to start; reads 1 while running"),
        ("DONE", 1, "a start has ended, well or with an error; cleared by reading"),
        ("IDLE", 2, "nothing runs"),
        ("ERROR", 3, "ERROR is not zero"),
    ),
)
INTERRUPT_ENABLE = Register("INTERRUPT_ENABLE", 0x04, "rw", "bit 0: drive the interrupt line")
INTERRUPT_STATUS = Register("INTERRUPT_STATUS", 0x08, "rw", "bit 0: done; write 1 to clear")
ERROR = Register(
    "ERROR",
    0x0C,
    "r",
    "why the last start failed; cleared by a start that is accepted",
    (
        ("SOURCE", 0, "the input address is null"),
        ("TARGET", 1, "the output address is null"),
        ("IMAGES", 2, "the number of images is zero"),
        ("UNLOADED", 3, "the parameters are not (or not exactly once) loaded"),
        ("BUSY", 4, "a start or a parameter came while running; it was ignored"),
        ("ALIGNMENT", 5, "an address is not a multiple of 8"),
        ("BUS", 6, "the memory answered with an error"),
    ),
)
IDENTITY_REGISTER = Register("IDENTITY", 0x10, "r", f"always 0x{IDENTITY:08X}")
DESIGN_ID = Register("DESIGN_ID", 0x14, "r", "first 32 bits of the design's digest")
SOURCE_LOW = Register("SOURCE_LOW", 0x18, "rw", "input buffer's physical address, low half")
SOURCE_HIGH = Register("SOURCE_HIGH", 0x1C, "rw", "high half")
TARGET_LOW = Register("TARGET_LOW", 0x20, "rw", "output buffer's physical address, low half")
TARGET_HIGH = Register("TARGET_HIGH", 0x24, "rw", "high half")
IMAGES = Register("IMAGES", 0x28, "rw", "number of images of a start")
PARAMETER_COUNT = Register(
    "PARAMETER_COUNT", 0x30, "rw", "parameter writes since it was written (any value clears it)"
)
PARAMETER_TARGET = Register(
    "PARAMETER_TARGET",
    0x34,
    "w",
    "bits 31:24 unit, bit 16 thresholds (else weights), bits 15:0 item; the index restarts at 0",
)
PARAMETER_DATA = Register("PARAMETER_DATA", 0x38, "w", "32 bits; the index advances by one")
PARAMETER_ID = Register(
    "PARAMETER_ID",
    0x3C,
    "rw",
    "fingerprint of the loaded parameters, which the driver writes after them; 0 after a reset "
    "and after any write to PARAMETER_COUNT or PARAMETER_DATA; always 0 where they are constants",
)
CYCLES_LOW = Register("CYCLES_LOW", 0x40, "r", "cycles from start to done, low half")
CYCLES_HIGH = Register("CYCLES_HIGH", 0x44, "r", "high half")
FIRST_LOW = Register("FIRST_LOW", 0x48, "r", "cycles from start to the first result, low half")
FIRST_HIGH = Register("FIRST_HIGH", 0x4C, "r", "high half")
LAST_LOW = Register("LAST_LOW", 0x50, "r", "cycles from start to the last result, low half")
LAST_HIGH = Register("LAST_HIGH", 0x54, "r", "high half")
PROBE = Register(
    "PROBE", 0x60, "rw", "bits 15:2 stream, bits 1:0 what: words, stalls, starves, fill"
)
PROBE_VALUE = Register("PROBE_VALUE", 0x64, "r", "the chosen count of the last start")

REGISTERS = (
    CONTROL,
    INTERRUPT_ENABLE,
    INTERRUPT_STATUS,
    ERROR,
    IDENTITY_REGISTER,
    DESIGN_ID,
    SOURCE_LOW,
    SOURCE_HIGH,
    TARGET_LOW,
    TARGET_HIGH,
    IMAGES,
    PARAMETER_COUNT,
    PARAMETER_TARGET,
    PARAMETER_DATA,
    PARAMETER_ID,
    CYCLES_LOW,
    CYCLES_HIGH,
    FIRST_LOW,
    FIRST_HIGH,
    LAST_LOW,
    LAST_HIGH,
    PROBE,
    PROBE_VALUE,
)

#: Bits of CONTROL and ERROR by name.
CONTROL_BITS = {name: 1 << bit for name, bit, _ in CONTROL.bits}
ERROR_TEXTS = {1 << bit: text for _, bit, text in ERROR.bits}


def parameter_target(unit: int, thresholds: bool, item: int) -> int:
    """Return the value of the register PARAMETER_TARGET that selects what is written next.

    Args:
        unit: number of the unit on the parameter bus.
        thresholds: True for the unit's memory of thresholds, False for its memory of weights.
        item: number of the 32-bit chunk in a row of the memory: PE number * chunks per word +
            number of the chunk in the word.
    """
    return unit << 24 | int(thresholds) << 16 | item


def header() -> str:
    """Return the text of ``bnn_registers.svh``: the register map as SystemVerilog constants."""
    lines = ["// SPDX-License-Identifier: BSD-3-Clause", "// Rendered from bnn.hw.registers."]
    lines.append("/* verilator lint_off UNUSEDPARAM */")
    for register in REGISTERS:
        lines.append(f"localparam logic [7:0] {register.name} = 8'h{register.offset:02X};")
        for name, bit, text in register.bits:
            lines.append(f"localparam int {register.name}_{name} = {bit};  // {text}")
    lines.append(f"localparam int ERROR_BITS = {len(ERROR.bits)};")
    lines.append(f"localparam logic [31:0] IDENTITY_VALUE = 32'h{IDENTITY:08X};")
    lines.append("/* verilator lint_on UNUSEDPARAM */")
    return "\n".join(lines) + "\n"


def table() -> str:
    """Return the register map as a Markdown table."""
    lines = ["| offset | register | access | holds |", "|---|---|---|---|"]
    for register in REGISTERS:
        flags = "; ".join(f"bit {bit} {name}: {text}" for name, bit, text in register.bits)
        text = f"{register.text}: {flags}" if flags else register.text
        lines.append(f"| 0x{register.offset:02X} | {register.name} | {register.access} | {text} |")
    return "\n".join(lines) + "\n"

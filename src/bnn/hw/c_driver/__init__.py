# SPDX-License-Identifier: BSD-3-Clause
"""The folder ``c`` of ``bnn build``: a driver in C99 with the design's constants.

``bnn_driver.h`` and ``bnn_driver.c`` are the same for every design; ``bnn_design.h`` and
``bnn_parameters.c`` are rendered. The driver writes and reads the same registers in the same order
as :class:`bnn.driver.driver.Driver`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.hw import registers as reg
from bnn.hw.boards import Board
from bnn.hw.design import Design
from bnn.hw.host_tail import device_edge
from bnn.hw.loading import Metadata, loads, parameter_fingerprint
from bnn.hw.memory_layout import ByteLayout, InputLayout
from bnn.hw.patience import image_cycles, max_cycles
from bnn.program.inputs import PictureInput
from bnn.program.operations import ArgMax
from bnn.program.precision import BIPOLAR
from bnn.program.program import Program

#: Files that are copied as they are.
COPIED = ("bnn_driver.h", "bnn_driver.c", "example_linux.c", "example_bare_metal.c")
#: How ``bnn_class`` finds the class. 0: there is no such function.
RULES = {"first": 1, "first-positive": 2, "highest-positive": 3, "logits": 4}
#: The top modules connect 32 bits of the memory's addresses.
_LAST_ADDRESS = (1 << 32) - 1
_LICENCE = "/* SPDX-License-Identifier: BSD-3-Clause */\n/* Made by bnn build. */\n"


def is_possible(design: Design) -> bool:
    """Return whether there is a C driver for ``design``: not if it reads sequences of columns."""
    return not (design.sides or design.program.is_sequence)


def files(design: Design, known: Metadata, board: Board) -> dict[str, str]:
    """Return the files of the C driver: name -> text; none if there is no C driver.

    Args:
        design: the design.
        known: the metadata of ``design``.
        board: the board; it must have a connection.
    """
    if not is_possible(design):
        return {}
    folder = resources.files(__name__)
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in COPIED}
    words = _parameter_words(design)
    texts["bnn_design.h"] = _design(design, known, board, words)
    if words.size:
        texts["bnn_parameters.c"] = (
            f'{_LICENCE}#include "bnn_design.h"\n\n'
            "/* Target, number of words, words; and so on: see bnn_load. */\n"
            f"const uint32_t bnn_parameters[BNN_PARAMETER_WORDS] = {{\n{_rows(words)}}};\n"
        )
    return texts


def _parameter_words(design: Design) -> NDArray[np.uint32]:
    """Return all parameters: for each memory its target, the number of words, and the words."""
    parts = [
        part
        for target, data in loads(design)
        for part in (np.array([target, len(data)], np.uint32), data)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint32)


def _rows(values: NDArray[np.uint32], end: str = "") -> str:
    """Return rows of constants; ``end``: what comes at the end of each row."""
    texts = [f"0x{value:x}u" for value in values.tolist()]
    rows = (", ".join(texts[at : at + 8]) for at in range(0, len(texts), 8))
    return "".join(f"    {row},{end}\n" for row in rows)


def _design(design: Design, known: Metadata, board: Board, words: NDArray[np.uint32]) -> str:
    """Return the text of ``bnn_design.h``."""
    fingerprint = parameter_fingerprint(loads(design)) if words.size else 0
    defined: dict[str, Any] = {
        "BNN_DESIGN_ID": _hex(known.design_id),
        "BNN_PARAMETER_ID": _hex(fingerprint),
        "BNN_PARAMETER_WRITES": f"{known.parameter_writes}u",
        "BNN_PARAMETER_WORDS": f"{words.size}u",
        "BNN_PARAMETER_CRC": _hex(zlib.crc32(words.astype("<u4").tobytes())),
        "BNN_BASE": _hex(board.built.base),
        "BNN_SPAN": f"{board.built.span}u",
        "BNN_LAST_ADDRESS": f"UINT64_C(0x{_LAST_ADDRESS:x})",
        "BNN_CLOCK_KHZ": f"{max(1, math.floor(1000 * board.clock_mhz))}u",
        "BNN_START_CYCLES": f"UINT64_C({max_cycles(design, 0)})",
        "BNN_IMAGE_CYCLES": f"UINT64_C({image_cycles(design)})",
    }
    program = design.program
    comment = (
        f"/* The design, board {_safe(board.name)}. A start is stuck after BNN_START_CYCLES,\n"
        " * and BNN_IMAGE_CYCLES for each image. */"
    )
    declared = "" if not words.size else "extern const uint32_t bnn_parameters[];\n"
    return "\n".join(
        [
            f"{_LICENCE}#ifndef BNN_DESIGN_H\n#define BNN_DESIGN_H\n#include <stdint.h>\n",
            comment,
            _defines(defined),
            _input(program, known, design.source),
            _results(design, known),
            _class(program),
            _registers(),
            f"{declared}\n#endif\n",
        ]
    )


def _hex(value: int) -> str:
    return f"0x{value:08x}u"


def _safe(text: str) -> str:
    return "".join(each if each.isalnum() or each in "._-" else "_" for each in text)[:80]


def _defines(values: dict[str, Any]) -> str:
    return "".join(f"#define {name} {value}\n" for name, value in values.items())


def _input(program: Program, known: Metadata, source: ByteLayout | InputLayout) -> str:
    """Return the text on an image: its values, and how they are stored."""
    given, precision = program.input, program.input.precision
    picture, octets = isinstance(given, PictureInput), isinstance(source, ByteLayout)
    kind = "int32_t"
    if picture:
        kind = "uint8_t"
    elif isinstance(source, ByteLayout):
        kind = f"{source.dtype.name}_t"
    shape = "x".join(map(str, given.shape))
    values = "bytes of a picture" if picture else f"integers, {precision.range_text}"
    lines: dict[str, Any] = {
        "BNN_INPUTS": f"{math.prod(given.shape)}u",
        "BNN_IMAGE_BYTES": f"{known.image_bytes}u",
        "BNN_INPUT_IS_BYTES": int(octets),
        "BNN_IS_PICTURE": int(picture),
        "BNN_INPUT_IS_BIPOLAR": int(precision == BIPOLAR),
        "BNN_INPUT_LOW": f"INT64_C({precision.low})",
        "BNN_INPUT_HIGH": f"INT64_C({precision.high})",
    }
    if isinstance(source, InputLayout):
        lines["BNN_INPUT_BITS"] = f"{precision.bits}u"
        lines["BNN_INPUT_LANES"] = f"{source.lanes}u"
        lines["BNN_INPUT_SLOT_BITS"] = f"{source.slot_bits}u"
    text = f"/* An image: {shape} {values}; the channels of a pixel are together. */\n"
    text += f"typedef {kind} bnn_value;\n" + _defines(lines)
    if isinstance(given, PictureInput) and isinstance(source, InputLayout):
        codes = precision.encode(given.table)
        text += "#define BNN_CODES { \\\n" + _rows(codes, " \\") + "}\n"
    return text


def _results(design: Design, known: Metadata) -> str:
    target = design.target
    lines = {
        "BNN_SCORES": f"{target.values}u",
        "BNN_RESULT_WORDS": f"{known.words_out}u",
        "BNN_RESULT_ELEMENT_BITS": f"{target.element_bits}u",
        "BNN_RESULT_BITS": f"{32 if target.is_int32 else target.bits}u",
        "BNN_RESULT_MASK": _hex(0xFFFFFFFF if target.is_int32 else (1 << target.bits) - 1),
        "BNN_RESULT_IS_BIPOLAR": int(target.precision == BIPOLAR),
        "BNN_RESULT_IS_SIGNED": int(
            target.is_int32 or target.precision.kind in ("signed", "narrow")
        ),
    }
    return f"/* A result: the numbers of {_safe(device_edge(design.program))}. */\n" + _defines(
        lines
    )


def class_rule(program: Program) -> str:
    """Return how the class is found: a key of :data:`RULES`, or "" if not from the scores alone."""
    device = device_edge(program)
    decided = program.decision or (program.scores if program.scores != device else None)
    if decided is not None:
        op = program.op(decided)
        return op.rule if isinstance(op, ArgMax) and op.source == device else ""
    if program.affine is None:
        return "first"
    return "logits" if program.affine.dense is None else ""


def _class(program: Program) -> str:
    rule = class_rule(program)
    names = {f"BNN_RULE_{name.upper().replace('-', '_')}": str(n) for name, n in RULES.items()}
    # What an arg max reads has as many values as there are classes.
    text = _defines({**names, "BNN_RULE": RULES.get(rule, 0)})
    if not rule:
        return "/* The class is not found from these numbers alone. */\n" + text
    text += "#define BNN_CLASSES ((int32_t)BNN_SCORES)\n"
    if rule == "logits" and program.affine is not None:
        text += _doubles("BNN_LOGIT_SCALE", program.affine.scale)
        text += _doubles("BNN_LOGIT_OFFSET", program.affine.offset)
    return "/* How bnn_class finds the class; 0: there is no bnn_class. */\n" + text


def _doubles(name: str, values: Iterable[float]) -> str:
    """Return a macro with C constants, hexadecimal so that they are exact."""
    return f"#define {name} {{{', '.join(float(value).hex() for value in values)}}}\n"


def _registers() -> str:
    lines: dict[str, Any] = {
        f"BNN_R_{register.name}": f"0x{register.offset:02x}u" for register in reg.REGISTERS
    }
    lines["BNN_IDENTITY"] = _hex(reg.IDENTITY)
    lines |= {f"BNN_CONTROL_{name}": f"{bit}u" for name, bit in reg.CONTROL_BITS.items()}
    rows = "".join(
        f'    {{"BNN_E_REPORTED_{name}", "the accelerator reports: {text}"}}, \\\n'
        for name, _, text in sorted(reg.ERROR.bits, key=lambda each: each[1])
    )
    assert sorted(bit for _, bit, _ in reg.ERROR.bits) == list(range(len(reg.ERROR.bits)))
    return (
        "/* Registers: bytes from the first one; registers.md describes them. */\n"
        + _defines(lines)
        + f"#define BNN_ERROR_BITS {{ \\\n{rows}}}\n"
    )

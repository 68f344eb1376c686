# SPDX-License-Identifier: BSD-3-Clause
"""Write a folder with a model as C99."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError, ProgramError
from bnn.formats.c import texts
from bnn.formats.c.constants import array, is_counted
from bnn.formats.c.functions import Context, function
from bnn.formats.c.memory import BYTES, Place, array_name, c_type, places, totals
from bnn.model.model import Model
from bnn.program.grouping import without_groups
from bnn.program.inputs import PictureInput, RealInput
from bnn.program.operations import INPUT, Dot, Threshold, Window, sources
from bnn.program.program import Program
from bnn.program.semantics import evaluate
from bnn.system.files import write_new_folder

#: Most weights and thresholds; the text of more would have gigabytes.
MAX_CONSTANTS = 1 << 25
#: Inputs of the test that is written beside the model.
TESTED = 8
#: Letters of a name, at most.
MAX_NAME = 41
_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_NAME - 1}}}")
#: Words that C and C++ reserve, and names of their standard headers, which a folder might have.
_WORDS = """
    auto break case char const continue default do double else enum extern float for goto if
    inline int long main register restrict return short signed sizeof static struct switch
    typedef union unsigned void volatile while
    alignas alignof and and_eq asm bitand bitor bool catch char8_t char16_t char32_t class co_await
    co_return co_yield compl concept const_cast consteval constexpr constinit decltype delete
    dynamic_cast explicit export false friend mutable namespace new noexcept not not_eq nullptr
    operator or or_eq private protected public reinterpret_cast requires static_assert static_cast
    template this thread_local throw true try typeid typename typeof typeof_unqual using virtual
    wchar_t xor xor_eq
"""
_HEADERS = """
    assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign
    stdarg stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string tgmath
    threads time uchar unistd wchar wctype
"""
_RESERVED = frozenset(_WORDS.split())
_STANDARD = frozenset(_HEADERS.split())


def save(model: Model, folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """Write ``model`` as C99 into the new folder ``folder``.

    The functions are called after the folder: ``digits_run`` for a folder ``digits``.

    Returns:
        A note on what the code does not do. ``NAME.h`` says how much memory it takes.

    Raises:
        FormatError: the folder exists, its name is not a C identifier, or the model is too large,
            ends in a layer of real weights, or has an operation that cannot be written in C yet.
    """
    target = check_folder(folder)
    name = target.name
    model = _without_groups(model)
    _check(model)
    source, sizes = _source(model, name)
    files = {
        f"{name}.h": _header(model, name, sizes),
        f"{name}.c": source,
        f"{name}_test.c": _test(model, name),
        "Makefile": texts.MAKEFILE.replace("@NAME@", name),
    }
    write_new_folder(target, {path: text.encode() for path, text in files.items()}, FormatError)
    if model.preprocess is None:
        return ()
    return ("the preparation of pictures: the code takes the bytes that it makes",)


def check_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the path of a folder that :func:`save` can write.

    Raises:
        FormatError: the folder exists, its name is not a C identifier, or the folder that would
            contain it does not exist.
    """
    target = Path(folder)
    if reason := _unusable(target.name):
        raise FormatError(
            f"{target}: {reason}; functions and files are called after the folder: give another "
            "name, such as digits"
        )
    if target.exists() or target.is_symlink():
        raise FormatError(f"{target}: exists already; give a new folder")
    if not target.parent.is_dir():
        raise FormatError(
            f"{target}: cannot be written: {target.parent} is not a folder; make it first"
        )
    return target


def _unusable(name: str) -> str:
    """Return why functions and files cannot be called after ``name``; "" if they can."""
    if name in _RESERVED:
        return f"{name!r} is a word of C or C++"
    if name in _STANDARD:
        return f"{name}.h is a header of C"
    if _NAME.fullmatch(name):
        return ""
    if len(name) > MAX_NAME:
        return f"its name has more than {MAX_NAME} letters"
    if name[:1].isascii() and name[:1].isdigit():
        return f"{name!r} begins with a digit"
    wrong = next(
        (each for each in name if not (each.isascii() and each.isalnum()) and each != "_"), ""
    )
    return (
        f"{name!r} contains {wrong!r}, not only letters, digits and _" if wrong else "has no name"
    )


def _without_groups(model: Model) -> Model:
    """Return the model with dots that have zeros for groups, which the C code does not have."""
    try:
        return replace(model, program=without_groups(model.program))
    except ProgramError as reason:
        raise FormatError(f"{model.name}: {reason}, with the zeros of its groups") from reason


def _check(model: Model) -> None:
    program = model.program
    if program.affine is not None and program.affine.dense is not None:
        raise FormatError(f"{model.name}: its last layer has real weights; --to c writes integers")
    constants = sum(
        op.weights.size if isinstance(op, Dot) else op.thresholds.size
        for op in program.ops
        if isinstance(op, Dot | Threshold)
    )
    if constants > MAX_CONSTANTS:
        raise FormatError(
            f"{model.name}: has {constants:,} weights and thresholds; --to c writes at most "
            f"{MAX_CONSTANTS:,}"
        )


def fused_windows(program: Program) -> dict[str, Window]:
    """Return the windows that only dots read: they are gathered patch by patch, never stored."""
    windows = {op.name: op for op in program.ops if isinstance(op, Window)}
    for op in program.ops:
        for source in sources(op):
            if not isinstance(op, Dot):
                windows.pop(source, None)
    windows.pop(program.scores, None)
    return windows


def _source(model: Model, name: str) -> tuple[str, tuple[int, int]]:
    """Return the text of ``NAME.c``, and how many bytes its constants and its memory take."""
    program = model.program
    fused = fused_windows(program)
    found = places(program, fused)
    functions, calls = [], []
    for number, op in enumerate(program.ops):
        if op.name in fused:
            continue
        context = Context(program, number, found, fused)
        functions.append(f"/* {_comment(op.name)} */\n{function(op, context)}")
        calls.append(_call(program, number, found, fused))
    lengths = totals(found)
    memory = "".join(
        f"static {c} {array_name(c)}[{length}];\n" for c, length in sorted(lengths.items())
    )
    scratch, scratch_bytes = _scratch(program, fused)
    code = "\n".join(
        [
            texts.HEAD.replace("@NAME@", name),
            memory + scratch,
            _packs(program),
            *functions,
            _input(program, name),
            _end(program, name, found, calls),
            _classes(model, name),
        ]
    )
    stored = sum(BYTES[c] * length for c, length in lengths.items()) + scratch_bytes
    return code, (_constant_bytes(code), stored)


def _constant_bytes(code: str) -> int:
    widths = {**BYTES, "uint32_t": 4, "int64_t": 8, "double": 8, "float": 4}
    arrays = re.findall(r"^static const (\w+) \w+\[(\d+)\]", code, re.MULTILINE)
    return sum(widths[c] * int(length) for c, length in arrays)


def _call(program: Program, number: int, found: dict[str, Place], fused: dict[str, Window]) -> str:
    op = program.ops[number]
    read = [fused[each].source if each in fused else each for each in sources(op)]
    arguments = ", ".join(found[each].text for each in (*read, op.name))
    return f"    op{number}({arguments});"


def _scratch(program: Program, fused: dict[str, Window]) -> tuple[str, int]:
    """Return C arrays for one patch and for its bit planes, and how many bytes they take."""
    patches: dict[str, int] = {}
    planes = words = 0
    for op in program.ops:
        if not isinstance(op, Dot):
            continue
        edge, columns = program.edges[op.source], op.weights.shape[1]
        if op.source in fused:
            c = c_type(edge.low, edge.high)
            patches[c] = max(patches.get(c, 0), columns)
        if is_counted(op, edge.precision):
            planes = max(planes, edge.precision.bits)
            words = max(words, -(-columns // 32))
    text = "".join(f"static {c} patch_{c}[{size}];\n" for c, size in sorted(patches.items()))
    size = sum(BYTES[c] * length for c, length in patches.items())
    if planes:
        text += f"#ifndef BNN_PLAIN\nstatic uint32_t planes[{planes}][{words}];\n#endif\n"
    return text, size + 4 * planes * words


def _packs(program: Program) -> str:
    """Return C functions: popcount, and a function that packs bit planes for each input type.

    Return "" if no dot counts bits.
    """
    edges = [
        program.edges[op.source]
        for op in program.ops
        if isinstance(op, Dot) and is_counted(op, program.edges[op.source].precision)
    ]
    types = sorted({c_type(edge.low, edge.high) for edge in edges})
    if not types:
        return ""
    made = [texts.PACK.replace("@NAME@", c.removesuffix("_t")).replace("@TYPE@", c) for c in types]
    return "#ifndef BNN_PLAIN\n" + texts.POPCOUNT + "".join(made) + "#endif\n"


def _input(program: Program, name: str) -> str:
    """Return C text: the constants of the input, and ``NAME_quantize`` for real values."""
    given = program.input
    if isinstance(given, PictureInput):
        c = c_type(int(given.table.min()), int(given.table.max()))
        return array(c, "table", given.table)
    if not isinstance(given, RealInput):
        return ""
    return (
        _floats("scale", given.scale)
        + _floats("zero_point", given.zero_point)
        + texts.quantize(given, name, int(np.prod(given.shape)))
    )


def _floats(name: str, values: NDArray[Any]) -> str:
    """Return an array of C constants, hexadecimal so that they are exact."""
    c = "float" if values.dtype == np.float32 else "double"
    end = "f" if c == "float" else ""
    texts_ = ", ".join(float(value).hex() + end for value in values)
    return f"static const {c} {name}[{values.size}] = {{{texts_}}};\n"


def _end(program: Program, name: str, found: dict[str, Place], calls: list[str]) -> str:
    """Return C text: ``NAME_run``, and ``NAME_class`` if the program has no arg max."""
    given, place = program.input, found[INPUT]
    value = "table[input[i]]" if isinstance(given, PictureInput) else f"({place.array})input[i]"
    scores = found[program.scores]
    lines = [
        f"int32_t {name}_run(const {_taken(program)} *input, int32_t *scores)",
        "{",
        f"    for (int32_t i = 0; i < {place.size}; i++)",
        f"        ({place.text})[i] = {value};",
        *calls,
        f"    for (int32_t i = 0; i < {scores.size}; i++)",
        f"        scores[i] = ({scores.text})[i];",
    ]
    if program.decision is not None:
        lines += [f"    return ({found[program.decision].text})[0];", "}", ""]
        return "\n".join(lines)
    lines += [f"    return {name}_class(scores);", "}", ""]
    return _class(program, name) + "\n".join(lines)


def _class(program: Program, name: str) -> str:
    """Return the function ``NAME_class``: the first maximum of the logits.

    If the model has no logits, it is the first maximum of the scores.
    """
    if program.affine is None:
        return texts.CLASS_OF_SCORES.replace("@NAME@", name).replace("@N@", str(program.classes))
    scale, offset = program.affine.scale, program.affine.offset
    return (
        _floats("logit_scale", scale)
        + _floats("logit_offset", offset)
        + texts.CLASS_OF_LOGITS.replace("@NAME@", name).replace("@N@", str(program.classes))
    )


def _classes(model: Model, name: str) -> str:
    quoted = ",\n    ".join(_string(each) for each in model.classes)
    return f"const char *const {name}_classes[{len(model.classes)}] = {{\n    {quoted}\n}};\n"


def _string(text: str) -> str:
    """Return a C string literal with the UTF-8 bytes of ``text``.

    Other bytes than plain letters are octal escapes: these end after three digits, while a
    hexadecimal escape would continue into the next letters.
    """
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def _comment(text: str) -> str:
    return "".join(each if each.isalnum() or each in "._-" else "_" for each in text)[:80]


def _taken(program: Program) -> str:
    """Return the C type of the inputs of ``NAME_run``."""
    return "uint8_t" if isinstance(program.input, PictureInput) else "int16_t"


def _header(model: Model, name: str, sizes: tuple[int, int]) -> str:
    program = model.program
    size = int(np.prod(program.input.shape))
    quantize = ""
    if isinstance(program.input, RealInput):
        quantize = texts.QUANTIZE_DECLARED.replace("@NAME@", name)
    decided = "" if program.decision is not None else texts.CLASS_DECLARED.replace("@NAME@", name)
    shape = "x".join(map(str, program.input.shape))
    values = (
        "bytes of a picture, row by row, the channels of a pixel together"
        if isinstance(program.input, PictureInput)
        else f"integers {program.input.precision.range_text}"
    )
    return (
        texts.HEADER.replace("@NAME@", name)
        .replace("@UPPER@", name.upper())
        .replace("@MODEL@", _comment(model.name))
        .replace("@INPUTS@", str(size))
        .replace("@SCORES@", str(program.score_count))
        .replace("@CLASSES@", str(program.classes))
        .replace("@SHAPE@", shape)
        .replace("@SIZES@", f"{sizes[0]:,} bytes of constants, {sizes[1]:,} bytes of memory")
        .replace("@VALUES@", values)
        .replace("@TYPE@", _taken(program))
        .replace("@QUANTIZE@", quantize)
        .replace("@CLASS@", decided)
    )


def _test(model: Model, name: str) -> str:
    """Return a C program that compares a few answers with those of the reference runtime."""
    program = model.program
    inputs = _sample(program)
    edges = evaluate(program, inputs)
    scores = edges[program.scores].reshape(TESTED, -1)
    if program.decision is not None:
        classes = edges[program.decision].reshape(-1)
    elif program.affine is not None:
        classes = program.affine.logits(scores.astype(np.int32)).argmax(axis=1)
    else:
        classes = scores.argmax(axis=1)
    return (
        texts.TEST.replace("@NAME@", name)
        .replace("@UPPER@", name.upper())
        .replace("@N@", str(TESTED))
        .replace("@INPUTS@", array(_taken(program), "inputs", inputs))
        .replace("@SCORES@", array("int32_t", "expected", scores))
        .replace("@CLASSES@", array("int32_t", "classes", classes))
    )


def _sample(program: Program) -> NDArray[Any]:
    """Return random inputs (TESTED, *shape): uint8 pictures, or int16 integers of the input."""
    random = np.random.default_rng(0)
    shape = (TESTED, *program.input.shape)
    if isinstance(program.input, PictureInput):
        return random.integers(0, 256, shape, dtype=np.uint8)
    precision = program.input.precision
    values = random.integers(precision.low, precision.high, shape, endpoint=True)
    if precision.kind == "bipolar":
        values = np.where(values > 0, 1, -1)
    return values.astype(np.int16)

# SPDX-License-Identifier: BSD-3-Clause
"""Read the parameter files of LSTM-PYNQ to numbers.

The plain networks' numbers are in a C++ header, ``r_model_fw_bw.hpp``: lines ``#define NAME value``
and arrays ``const ap_uint<BITS> NAME [d1][d2].. = { .. };``. Nothing is compiled: the header is
matched against exactly this grammar, and everything else is refused. The Fraktur network's
numbers are in an ``.npz`` file of the arrays that the original's library makes when it is loaded.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnn.data.files import open_unpacked
from bnn.errors import DataError, ParameterError
from bnn.formats.lstm_pynq.tables import TABLE, sigmoid_table, tanh_table
from bnn.system import npz
from bnn.system.files import read_file

#: Most bytes of a header, unpacked; the largest original one has 1.2 MB.
MAX_HEADER_BYTES = 1 << 25
MAX_TEXT_BYTES = 1 << 20
#: Most numbers of an array, and most classes.
MAX_VALUES, MAX_CLASSES = 1 << 20, 4096

HEADER = "r_model_fw_bw.hpp"
#: Order of the gates everywhere: input, forget, output, candidate.
GATES = ("i", "f", "o", "c")

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Plain:
    """Parameters of a plain network, whole numbers as in the file.

    Attributes:
        weight_bits: number of bits of the gates' weights; 1 bit is before the point.
        bits: number of bits of pixels and hidden values; 1 bit is before the point.
        weights: int64 (direction, gate, unit, input); the inputs are the pixels, and after them
            the hidden values.
        biases: int64 (direction, gate, unit), sums of the two biases of a gate, with 7 bits after
            the point.
        out_weights: int64 (direction, class, unit), 7 bits after the point.
        out_biases: int64 (direction, class), 7 bits after the point.
    """

    weight_bits: int
    bits: int
    weights: Integers
    biases: Integers
    out_weights: Integers
    out_biases: Integers

    @property
    def rows(self) -> int:
        """Number of pixels in a column."""
        return int(self.weights.shape[3] - self.weights.shape[2])


@dataclass(frozen=True, eq=False)
class Fraktur:
    """Parameters of the Fraktur network W5A5, whole numbers as in the file.

    Attributes:
        weights, biases, out_weights, out_biases: as in :class:`Plain`, but all have 5 bits.
        peepholes: int64 (direction, gate, unit) of 8 bits; the gates are input, forget and output.
        exponentials: int64 (256,): the table of the soft-max.
    """

    weights: Integers
    biases: Integers
    peepholes: Integers
    out_weights: Integers
    out_biases: Integers
    exponentials: Integers


# --- plain ------------------------------------------------------------------------------------

_DEFINE = re.compile(r"#define[ \t]+(\w+)[ \t]+([0-9]{1,9}(?:\+[0-9]{1,9})?)[ \t]*$", re.MULTILINE)
_TYPE = re.compile(
    r"typedef[ \t]+ap_fixed<[ \t]*([0-9]{1,3})[ \t]*,[ \t]*([0-9]{1,3})[ \t]*,"
    r"[ \t]*AP_RND_ZERO[ \t]*,[ \t]*AP_WRAP[ \t]*>[ \t]*t_fixed_(\w+)[ \t]*;"
)
_ARRAY = re.compile(
    r"const[ \t]+ap_uint<([0-9]{1,3})>[ \t]+(\w+)[ \t]*((?:\[[0-9]{1,7}\])+)[ \t]*=[ \t]*"
    r"([{}0-9a-fA-Fx,\s]*);"
)
_PRAGMA = re.compile(r"#pragma[ \t]+once[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_NUMBER = re.compile(r"0x([0-9a-fA-F]{1,8})")

#: Most characters of an array per number; the original has at most 15.
_CHARACTERS = 64
#: Bits of the gates' biases, and of the last layer's weights and biases.
_OTHER_BITS = 8


def read_plain(path: Path) -> Plain:
    """Return the parameters in a header of a plain network; it may be packed (xz, gz, bz2).

    Raises:
        ParameterError: the header is missing, too large or damaged, or something in the header is
            not understood.
    """
    header = _Header(path, _text(path))
    units, rows = header.number("NUMBER_OF_NEURONS"), header.number("HEIGHT_IN_PIX")
    classes = header.number("NUMBER_OF_CLASSES")
    bits, weight_bits = header.number("PIXELWIDTH"), header.number("WEIGHTWIDTH")
    if not (1 <= units <= 1024 and 1 <= rows <= 1024 and 2 <= classes <= MAX_CLASSES):
        raise ParameterError(
            f"{path}: has {rows} rows, {units} units and {classes} classes; rows and units must be "
            f"1 to 1024, classes 2 to {MAX_CLASSES}"
        )
    if not (2 <= bits <= 8 and 2 <= weight_bits <= 8):
        raise ParameterError(
            f"{path}: has pixels of {bits} bits and weights of {weight_bits} bits; both must have "
            "2 to 8 bits"
        )
    header.expect("OUTPUTACTIVATIONHIDDENLAYERWIDTH", bits)
    header.expect("OUTPUTACTIVATIONOUTPUTLAYERWIDTH", 16)
    for name in ("BIASWIDTH", "FCWEIGHTWIDTH", "FCBIASWIDTH"):
        header.expect(name, _OTHER_BITS)
    found = Plain(
        weight_bits=weight_bits,
        bits=bits,
        weights=np.concatenate(
            [
                np.stack(
                    [header.weights(gate, part, count, units, weight_bits) for gate in GATES], 1
                )
                for part, count in (("ih", rows), ("hh", units))
            ],
            axis=3,
        ),
        biases=np.stack([header.biases(gate, units) for gate in GATES], axis=1),
        out_weights=header.array("wfc", _OTHER_BITS, (units, 2 * classes))
        .reshape(units, 2, classes)
        .transpose(1, 2, 0),
        out_biases=header.array("bfc", _OTHER_BITS, (1, 2 * classes)).reshape(2, classes),
    )
    header.finish()
    return found


def _text(path: Path) -> str:
    try:
        with open_unpacked(path, MAX_HEADER_BYTES) as stream:
            data = stream.read(MAX_HEADER_BYTES + 1)
    except DataError as reason:
        raise ParameterError(str(reason)) from reason
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise ParameterError(f"{path}: is not a C++ header of LSTM-PYNQ") from None


class _Header:
    """The definitions, types and arrays of a header. The caller takes every array once."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._numbers: dict[str, int] = {}
        self._types: dict[str, tuple[int, int]] = {}
        self._arrays: dict[str, tuple[int, tuple[int, ...], str]] = {}
        at, text = 0, text.replace("\r\n", "\n")
        while (at := _after_space(text, at)) < len(text):
            for pattern, keep in (
                (_ARRAY, self._keep_array),
                (_DEFINE, self._keep_number),
                (_TYPE, self._keep_type),
                (_PRAGMA, None),
                (_COMMENT, None),
            ):
                match = pattern.match(text, at)
                if match is not None:
                    if keep is not None:
                        keep(match)
                    at = match.end()
                    break
            else:
                line, shown = text.count("\n", 0, at) + 1, text[at : at + 40].split("\n")[0]
                raise ParameterError(f"{path}: line {line} is not understood: {shown!r}")

    def _keep_number(self, match: re.Match[str]) -> None:
        self._once(self._numbers, match[1])
        self._numbers[match[1]] = sum(int(each) for each in match[2].split("+"))

    def _keep_type(self, match: re.Match[str]) -> None:
        self._once(self._types, match[3])
        self._types[match[3]] = int(match[1]), int(match[2])

    def _keep_array(self, match: re.Match[str]) -> None:
        self._once(self._arrays, match[2])
        sizes = tuple(int(each) for each in match[3][1:-1].split("]["))
        self._arrays[match[2]] = int(match[1]), sizes, match[4]

    def _once(self, known: dict[str, object] | dict[str, int] | object, name: str) -> None:
        if isinstance(known, dict) and name in known:
            raise ParameterError(f"{self.path}: {name} is defined twice")

    def number(self, name: str) -> int:
        """Return the defined number called ``name``."""
        if name not in self._numbers:
            raise ParameterError(f"{self.path}: does not define {name}")
        return self._numbers[name]

    def expect(self, name: str, wanted: int) -> None:
        """Refuse the header if the value of ``name`` is not ``wanted``."""
        if self.number(name) != wanted:
            raise ParameterError(f"{self.path}: {name} is {self.number(name)}, not {wanted}")

    def array(self, name: str, bits: int, shape: tuple[int, ...]) -> Integers:
        """Return the array called ``name``, int64 of ``shape``.

        Its numbers in the header are codes of ``bits`` bits in two's complement.
        """
        if name not in self._arrays:
            raise ParameterError(f"{self.path}: has no array {name}")
        given_bits, sizes, text = self._arrays.pop(name)
        if sizes != shape:
            raise ParameterError(f"{self.path}: {name} has sizes {sizes}, not {shape}")
        if given_bits != bits or self._types.pop(name, None) != (bits, 1):
            raise ParameterError(
                f"{self.path}: {name} is not of {bits} bits with one before the point"
            )
        count = math.prod(shape)
        if count > MAX_VALUES or len(text) > _CHARACTERS * count:
            raise ParameterError(f"{self.path}: {name} is too large")
        codes = [int(each, 16) for each in _NUMBER.findall(text)]
        groups = sum(math.prod(shape[:axis]) for axis in range(len(shape)))
        plain = _NUMBER.sub("n", text)
        if len(codes) != count or plain.count("n") != count or not _is_nested(plain, groups):
            raise ParameterError(f"{self.path}: {name} does not contain {count} numbers in groups")
        values = np.array(codes, np.int64)
        if values.max(initial=0) >= 1 << bits:
            raise ParameterError(f"{self.path}: {name} has numbers of more than {bits} bits")
        return (values - ((values >> (bits - 1)) << bits)).reshape(shape)

    def weights(self, gate: str, part: str, inputs: int, units: int, bits: int) -> Integers:
        """Return weights of a gate, int64 (direction, unit, input).

        ``part`` says which: ``ih`` for the weights of the pixels, ``hh`` for those of the hidden
        values.
        """
        pe, simd = self._folding(part, inputs, units)
        name = f"{_kind('w', gate)}_{part}"
        given = self.array(name, bits, (simd, inputs // simd, pe, 2 * units // pe))
        # [s][f][p][q]: input f * SIMD + s; unit (q mod (units / PE)) * PE + p of direction q div ..
        folded = given.reshape(simd, inputs // simd, pe, 2, units // pe)
        return folded.transpose(3, 4, 2, 1, 0).reshape(2, units, inputs)

    def biases(self, gate: str, units: int) -> Integers:
        """Return the sums of a gate's two biases, int64 (direction, unit)."""
        pe, _ = self._folding("ih", 1, units)
        both = [
            self.array(f"{_kind('b', gate)}_{part}", _OTHER_BITS, (pe, 2 * units // pe))
            for part in ("ih", "hh")
        ]
        return (both[0] + both[1]).reshape(pe, 2, units // pe).transpose(1, 2, 0).reshape(2, units)

    def _folding(self, part: str, inputs: int, units: int) -> tuple[int, int]:
        pe = self.number("PE")
        simd = 1 if inputs == 1 else self.number(_SIMD[part])
        if pe < 1 or units % pe or simd < 1 or inputs % simd:
            raise ParameterError(
                f"{self.path}: PE {pe} must divide {units} units, and {_SIMD[part]} {simd} must "
                f"divide {inputs} inputs"
            )
        return pe, simd

    def finish(self) -> None:
        """Refuse a header with arrays that the caller did not take."""
        if self._arrays:
            raise ParameterError(f"{self.path}: has an unknown array {min(self._arrays)}")


_SIMD = {"ih": "SIMD_INPUT", "hh": "SIMD_RECURRENT"}
_SPACE = re.compile(r"\s*")


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _kind(what: str, gate: str) -> str:
    """Return the name that an array of a gate has in the file.

    Examples: ``wgi`` for the weights of the input gate, ``wci`` for those of the candidate.
    """
    return f"{what}ci" if gate == "c" else f"{what}g{gate}"


def _is_nested(text: str, groups: int) -> bool:
    """Return whether the braces of ``text`` are balanced, and one pair is around all the others.

    There must be exactly ``groups`` pairs, and no other characters than those of a list.
    """
    depth = 0
    marks = re.sub(r"[^{}]", "", text)
    for place, mark in enumerate(marks, 1):
        depth += 1 if mark == "{" else -1
        if depth < 0 or (depth == 0 and place < len(marks)):
            return False
    return depth == 0 and marks.count("{") == groups and set(text) <= set("{},n \t\n")


# --- Fraktur ----------------------------------------------------------------------------------

_INPUTS, _UNITS, _CLASSES = 25, 100, 110
_FRAKTUR_BITS, _PEEPHOLE_BITS = 5, 8


def read_fraktur(path: Path) -> Fraktur:
    """Return the parameters in an archive of the Fraktur network W5A5.

    Raises:
        ParameterError: the archive is missing, too large or damaged; an array is missing, unknown,
            has the wrong size or has values with too many bits; or the archive's tables of sigmoid
            and tanh are not those of :mod:`bnn.formats.lstm_pynq.tables`.
    """
    arrays = dict(npz.read(path))

    def take(name: str, shape: tuple[int, ...], bits: int, signed: bool = True) -> Integers:
        array = arrays.pop(name, None)
        count = math.prod(shape)
        if array is None or array.dtype != np.uint8 or array.size != count:
            raise ParameterError(f"{path}: {name} must be {count} bytes")
        values = array.reshape(shape).astype(np.int64)
        if values.max() >= 1 << bits:
            raise ParameterError(f"{path}: {name} has numbers of more than {bits} bits")
        return values - ((values >> (bits - 1)) << bits) if signed else values

    def gate(name: str) -> Integers:
        given = take(name, (_INPUTS + _UNITS, 2, _UNITS), _FRAKTUR_BITS)
        return given.transpose(1, 2, 0)

    found = Fraktur(
        weights=np.stack([gate(_kind("w", each)) for each in GATES], axis=1),
        biases=np.stack(
            [take(_kind("b", each), (2, _UNITS), _FRAKTUR_BITS) for each in GATES], axis=1
        ),
        peepholes=np.stack(
            [take(f"w{each}p", (2, _UNITS), _PEEPHOLE_BITS) for each in GATES[:3]], axis=1
        ),
        out_weights=take("wfc", (_UNITS, 2, _CLASSES), _FRAKTUR_BITS).transpose(1, 2, 0),
        out_biases=take("bfc", (2, _CLASSES), _FRAKTUR_BITS),
        exponentials=_exponentials(path, take("lut_exp_a", (TABLE, 4), 8, signed=False)),
    )
    _check_tables(path, take)
    if arrays:
        raise ParameterError(f"{path}: has an unknown array {min(arrays)}")
    return found


def _exponentials(path: Path, octets: Integers) -> Integers:
    values: Integers = octets @ (1 << 8 * np.arange(4))
    if (np.diff(values) < 0).any() or values.max() >= 1 << 24 or not values[-1]:
        raise ParameterError(f"{path}: lut_exp_a does not ascend within 24 bits")
    return values


def _check_tables(path: Path, take: object) -> None:
    """Refuse an archive whose tables of sigmoid and tanh are not those of the formulas.

    The archive has two copies of each table, and both are checked.
    """
    assert callable(take)
    for suffix in ("", "_a"):
        same = np.array_equal(take(f"lut_sigmoid{suffix}", (TABLE,), 8, False), sigmoid_table())
        if not same or not np.array_equal(take(f"lut_tanh{suffix}", (TABLE,), 8), tanh_table()):
            raise ParameterError(f"{path}: its tables are not LSTM-PYNQ's sigmoid and tanh")
    take("lut_exp_b", (TABLE, 4), 8, False)  # the second copy, which is not used


# --- text files -------------------------------------------------------------------------------


def read_alphabet(path: Path, classes: int) -> tuple[str, ...]:
    """Return the characters of an alphabet file, one per line.

    The first line stands for blank, and is empty.

    Raises:
        ParameterError: the file is missing, is not UTF-8, does not have as many lines as the
            network has classes, or has a line that is not one character.
    """
    lines = _utf8(path).split("\n")
    if lines and lines[-1] == "":
        del lines[-1]
    lines = [line.removesuffix("\r") for line in lines]
    if len(lines) != classes:
        raise ParameterError(f"{path}: has {len(lines)} lines, the network has {classes} classes")
    if lines[0] != "":
        raise ParameterError(f"{path}: its first line must be empty: it stands for no character")
    if any(len(line) != 1 or not (line.isprintable()) for line in lines[1:]):
        raise ParameterError(f"{path}: a line must be one character")
    return tuple(lines)


def read_numbers(path: Path, count: int) -> tuple[float, ...]:
    """Return the ``count`` finite numbers of a text file, separated by white space.

    Raises:
        ParameterError: the file is missing, or contains anything else than ``count`` numbers.
    """
    words = _utf8(path).split()
    try:
        numbers = tuple(float(word) for word in words[: count + 1])
    except ValueError:
        raise ParameterError(f"{path}: does not contain numbers only") from None
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ParameterError(f"{path}: must contain {count} finite numbers")
    return numbers


def _utf8(path: Path) -> str:
    try:
        return read_file(path, MAX_TEXT_BYTES, ParameterError).decode("utf-8")
    except UnicodeDecodeError:
        raise ParameterError(f"{path}: is not UTF-8 text") from None

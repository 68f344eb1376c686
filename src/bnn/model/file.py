# SPDX-License-Identifier: BSD-3-Clause
"""The ``.bnn`` file: one safetensors file with a whole model.

The metadata entry ``bnn`` is a JSON text with the program (without its arrays), the class names,
the preparation and the provenance. If a model has very many classes and their names are only the
numbers from 0, the number of classes is stored instead of the names. The arrays are tensors:

======================  =======  ==============================================
tensor                  dtype    shape
======================  =======  ==============================================
``<op>.weights``        uint8    (bits, out, ceil(in / 8)): bit-planes of the
                                 weight codes, lowest bit first; column 0 in bit 0
``<op>.bias``           int32    (out,), may be absent
``<op>.thresholds``     int32    (channels, levels)
``<op>.signs``          int8     (channels,), may be absent
``<op>.multipliers``    int32    (channels,), of a rescale
``<op>.offsets``        int64    (channels,), may be absent
``input.table``         int16    (256,), pictures only
``input.scale``, ``input.zero_point``    float32, real inputs only
``affine.scale``, ``affine.offset``      float64 (scores,), may be absent
``dense.matrix``        float64  (classes, scores), may be absent; with it
``dense.bias``          float64  (classes,)
``dense.ends``          float64  (2,): lowest and highest input of the matrix
======================  =======  ==============================================

In the names of tensors an operation in the body of a scan is called ``<scan>.<op>``.

Loading executes nothing from the file, and everything in it goes through the same
checks as a program made in Python.

Since format 2 the JSON text has a ``digest``: the SHA-256 of all its other entries (as JSON
with sorted keys) and of every tensor's name, dtype, shape and bytes, in the order of names. A
file whose contents do not match its digest is refused, so a flipped bit cannot change an answer
unnoticed. Files of format 1 have no digest; they are loaded with an
:class:`~bnn.errors.OldFormatWarning`.

The entry ``calibration`` may be absent. It makes probabilities of logits, and changes no score
and no class. Therefore files with it have the same format number as files without it: earlier
versions of this package read them, and ignore the entry. The entry ``lines`` may be absent too.
Models with this entry also have a scan, which earlier versions refuse.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.data.pictures.preprocess import Preprocess
from bnn.errors import BnnError, InputError, ModelFileError, OldFormatWarning
from bnn.model.calibration import Calibration
from bnn.model.lines import lines_from_json
from bnn.model.model import Model
from bnn.program import precision as precisions
from bnn.program.check import MAX_OPS
from bnn.program.inputs import Input, IntegerInput, PictureInput, RealInput
from bnn.program.operations import (
    ADDED,
    MAX_PARAMETERS,
    MAX_VALUE_BITS,
    Add,
    Affine,
    ArgMax,
    Carried,
    Concat,
    Dense,
    Dot,
    Multiply,
    Op,
    Pool,
    Rescale,
    Scan,
    Threshold,
    Window,
    weight_type,
)
from bnn.program.precision import Precision
from bnn.program.program import Program
from bnn.system.files import open_file, parse_json
from bnn.system.files import write_whole as write_whole

FORMAT = 2
#: The last format without a digest.
WITHOUT_DIGEST = 1
SUFFIX = ".bnn"
MAX_FILE_BYTES = 1 << 29
#: Bytes of the header of a file, and its tensors.
MAX_HEAD_BYTES = 1 << 24
MAX_TENSORS = 4 * MAX_OPS
#: More classes than these are not named one by one, if their names are their numbers.
MAX_NAMES = 1 << 16
#: Weights that are unpacked at a time, to bound memory.
_PIECE = 1 << 20

Tensors = dict[str, NDArray[Any]]

OPS: dict[str, type[Op]] = {
    "window": Window,
    "dot": Dot,
    "threshold": Threshold,
    "pool": Pool,
    "add": Add,
    "multiply": Multiply,
    "concat": Concat,
    "rescale": Rescale,
    "arg-max": ArgMax,
    "scan": Scan,
}
INPUTS: dict[str, type[Input]] = {
    "picture": PictureInput,
    "integer": IntegerInput,
    "real": RealInput,
}
#: dtype of each array attribute in the file (weights are packed, see above).
ARRAYS = {
    "weights": np.uint8,
    "bias": np.int32,
    "thresholds": np.int32,
    "signs": np.int8,
    "multipliers": np.int32,
    "offsets": np.int64,
    "table": np.int16,
    "scale": np.float32,
    "zero_point": np.float32,
}


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write ``model`` to ``path``, whole or not at all.

    Raises:
        InputError: ``model`` is not a :class:`Model`, or ``path`` is not the path of a file.
        ModelFileError: the file cannot be written.
    """
    from safetensors.numpy import save as serialize

    if not isinstance(model, Model):
        raise InputError(f"a Model is needed, not {type(model).__name__}; bnn.load makes one")
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise InputError(f"a file's path is needed, not {path!r:.40}")
    if os.fspath(path)[-1] in "/\\":
        raise InputError(f"{path}: is the name of a folder; name a file in it")

    tensors: Tensors = {}
    program = model.program
    head: dict[str, Any] = {
        "format": FORMAT,
        "name": model.name,
        "classes": _described_classes(model.classes),
        "input": _describe("input", program.input, INPUTS, tensors),
        "ops": [_describe(op.name, op, OPS, tensors) for op in program.ops],
        "scores": program.scores,
        "decision": program.decision,
        "preprocess": None if model.preprocess is None else model.preprocess.to_json(),
        "provenance": dict(model.provenance),
    }
    if model.calibration is not None:
        head["calibration"] = model.calibration.to_json()
    if model.lines is not None:
        head["lines"] = model.lines.to_json()
    if program.affine is not None:
        tensors["affine.scale"] = np.array(program.affine.scale)
        tensors["affine.offset"] = np.array(program.affine.offset)
        dense = program.affine.dense
        if dense is not None:
            tensors["dense.matrix"] = np.array(dense.matrix)
            tensors["dense.bias"] = np.array(dense.bias)
            tensors["dense.ends"] = np.array([dense.low, dense.high])
    try:
        head["digest"] = _digest(head, tensors)
        data = serialize(tensors, {"bnn": json.dumps(head)})
    except (TypeError, ValueError, RecursionError) as reason:
        raise ModelFileError(f"{path}: cannot be written: {_line(reason)}") from reason
    write_whole(path, data)


def _described_classes(names: tuple[str, ...]) -> list[str] | int:
    """Return the class names as the file has them.

    If there are very many, and they are only the numbers from 0, return how many there are.
    """
    numbered = len(names) > MAX_NAMES and all(name == str(i) for i, name in enumerate(names))
    return len(names) if numbered else list(names)


def _classes(head: Mapping[str, Any], count: int) -> tuple[str, ...]:
    given = head.get("classes")
    if type(given) is int and given == count:
        return tuple(map(str, range(count)))
    return tuple(_typed(dict(head), "classes", list))


def _digest(head: Mapping[str, Any], tensors: Tensors) -> str:
    """Return the SHA-256 of the head without its digest, and of every tensor."""
    told = {key: value for key, value in head.items() if key != "digest"}
    hasher = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        hasher.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()


def _describe(name: str, part: Any, kinds: Mapping[str, type[Any]], tensors: Tensors) -> Any:
    """Return a dataclass ``part`` as JSON values; its arrays are put into ``tensors``.

    ``kinds`` has the name of each kind -> the class; ``name`` begins the names of the tensors.
    """
    kind = next(kind for kind, cls in kinds.items() if type(part) is cls)
    described: dict[str, Any] = {"kind": kind}
    for item in fields(part):
        value = getattr(part, item.name)
        if isinstance(value, Precision):
            value = value.name
        elif item.name == "weights":
            described["columns"] = value.shape[1]
            tensors[f"{name}.weights"] = pack_planes(value, part.precision)
            continue
        elif isinstance(value, np.ndarray):
            tensors[f"{name}.{item.name}"] = np.ascontiguousarray(value)
            continue
        elif item.name in ARRAYS or (item.name in ADDED and value == item.default):
            continue
        elif item.name == "body":
            value = [_describe(f"{name}.{op.name}", op, OPS, tensors) for op in value]
        elif item.name == "carried":
            value = [_plain_fields(each) for each in value]
        described[item.name] = value
    return described


def _plain_fields(part: Any) -> dict[str, Any]:
    """Return the attributes of a dataclass without arrays as JSON values."""
    values = {item.name: getattr(part, item.name) for item in fields(part)}
    return {key: v.name if isinstance(v, Precision) else v for key, v in values.items()}


def pack_planes(values: NDArray[Any], precision: Precision) -> NDArray[np.uint8]:
    """Return the bit-planes of values (rows, columns): uint8 (bits, rows, ceil(columns / 8)).

    Plane 0 has the lowest bit of each code. Column 0 is bit 0 of the first byte of a row.
    """
    rows, columns = values.shape
    packed = np.empty((precision.bits, rows, -(-columns // 8)), np.uint8)
    step = max(1, _PIECE // max(1, columns))
    for first in range(0, rows, step):
        codes = precision.encode(values[first : first + step])
        for bit in range(precision.bits):
            plane = (codes >> bit & 1).astype(np.uint8)
            packed[bit, first : first + step] = np.packbits(plane, axis=1, bitorder="little")
    return packed


def unpack_planes(
    planes: NDArray[np.uint8], precision: Precision, columns: int
) -> NDArray[np.signedinteger[Any]]:
    """Unpack bit-planes to values (rows, columns): the inverse of :func:`pack_planes`.

    The values are int8 if the precision fits in 8 bits, else int16.
    """
    if planes.ndim != 3 or planes.shape[0] != precision.bits:
        raise ModelFileError(f"weights of shape {planes.shape} are not {precision.bits} bit-planes")
    if precision.bits > MAX_VALUE_BITS:
        raise ModelFileError(f"weights of {precision} exceed {MAX_VALUE_BITS} bits")
    if (
        type(columns) is not int
        or columns < 1
        or not 8 * planes.shape[2] - 8 < columns <= 8 * planes.shape[2]
    ):
        raise ModelFileError(f"weights of shape {planes.shape} do not have {columns!r} columns")
    rows = planes.shape[1]
    if rows * columns > MAX_PARAMETERS:
        raise ModelFileError(f"has {rows} x {columns} weights, more than {MAX_PARAMETERS}")
    values = np.empty((rows, columns), weight_type(precision))
    step = max(1, _PIECE // columns)
    for first in range(0, rows, step):
        values[first : first + step] = _unpacked(
            planes[:, first : first + step], precision, columns
        )
    return values


def _unpacked(planes: NDArray[np.uint8], precision: Precision, columns: int) -> NDArray[np.int16]:
    """Return the values of bit-planes, int16; raise ModelFileError if a code has no value.

    :meth:`Precision.decode` computes the same values, but not in int16, and is slower.
    """
    if columns % 8 and (planes[:, :, -1] >> columns % 8).any():
        raise ModelFileError("weights have bits after their last column")
    values = np.zeros((planes.shape[1], columns), np.int16)
    for bit, plane in enumerate(planes):
        bits = np.unpackbits(plane, axis=1, count=columns, bitorder="little")
        values |= bits.astype(np.int16) << bit
    if precision.kind == "bipolar":
        values *= 2
        values -= 1
    elif precision.kind != "unsigned":
        unused = MAX_VALUE_BITS - precision.bits
        values = (values << unused) >> unused  # the highest bit is the sign
    if not precision.allows(values):
        raise ModelFileError(f"weights have codes without a value in {precision.range_text}")
    return values


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model.

    Raises:
        ModelFileError: the file is missing or damaged, or does not contain a valid program; the
            message names the file and the reason.
    """
    try:
        head, tensors = _read(path)
        if head["format"] > WITHOUT_DIGEST and head.get("digest") != _digest(head, tensors):
            raise ModelFileError(
                "is damaged: its contents do not match its digest; get a whole copy of the file"
            )
        model = _model(head, tensors)
    except ModelFileError as reason:
        message = str(reason)
        raise ModelFileError(message if str(path) in message else f"{path}: {message}") from reason
    except BnnError as reason:
        raise ModelFileError(f"{path}: {reason}") from reason
    if head["format"] <= WITHOUT_DIGEST:
        warnings.warn(
            f"{path}: is a .bnn file of format {head['format']}, without a digest, so damage in it "
            "cannot be seen; load and save it once to add one",
            OldFormatWarning,
            stacklevel=2,
        )
    return model


def provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the provenance of the model in a file, as JSON values.

    The tensors of the file are neither read nor checked.

    Raises:
        ModelFileError: the file is missing, or is not a ``.bnn`` file.
    """
    try:
        head, _ = _read(path, arrays=False)
        return dict(_typed(head, "provenance", dict))
    except ModelFileError as reason:
        raise ModelFileError(f"{path}: {reason}") from reason


def _read(path: str | os.PathLike[str], arrays: bool = True) -> tuple[dict[str, Any], Tensors]:
    """Return the header and the tensors of a safetensors file.

    The library safetensors checks the sizes in the file.
    """
    from safetensors import SafetensorError, safe_open

    _check_head_size(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            if len(names) > MAX_TENSORS:
                raise ModelFileError(f"has {len(names)} tensors, more than {MAX_TENSORS}")
            names = names if arrays else []
            tensors = {name: file.get_tensor(name) for name in names}
    except OSError as reason:
        raise ModelFileError(f"cannot be read: {reason.strerror or reason}") from reason
    except (SafetensorError, TypeError, ValueError, KeyError, AttributeError) as reason:
        raise ModelFileError(f"is not a .bnn file: {_line(reason)}") from reason
    if "bnn" not in metadata:
        raise ModelFileError("is a safetensors file, but not a .bnn file (no 'bnn' metadata)")
    try:
        head = parse_json(metadata["bnn"])
    except ValueError as reason:
        raise ModelFileError(f"metadata is not JSON: {_line(reason)}") from reason
    _check_format(head)
    return head, tensors


def _check_head_size(path: str | os.PathLike[str]) -> None:
    """Refuse a header that is too large; a header is parsed as a whole."""
    with open_file(path, MAX_FILE_BYTES, ModelFileError) as file:
        size = int.from_bytes(file.read(8), "little")
    if size > MAX_HEAD_BYTES:
        raise ModelFileError(
            f"is not a .bnn file: its first 8 bytes state a header of {size} bytes, more than "
            f"{MAX_HEAD_BYTES}"
        )


def _check_format(head: Any) -> None:
    given = head.get("format") if isinstance(head, dict) else None
    if type(given) is not int or given < 1:
        raise ModelFileError("is not a .bnn file: it does not say which format it has")
    if given > FORMAT:
        raise ModelFileError(
            f"was made by a newer version of this package (format {given}, known is {FORMAT}); "
            "upgrade bnn-pynq"
        )
    if (given > WITHOUT_DIGEST) != ("digest" in head):
        raise ModelFileError(f"is damaged: its digest does not belong to format {given}")


def _line(reason: BaseException) -> str:
    return " ".join(str(reason).split())[:200]


def _model(head: dict[str, Any], tensors: Tensors) -> Model:
    ops = _typed(head, "ops", list)
    program = Program(
        input=_build("input", _typed(head, "input", dict), INPUTS, tensors),
        ops=tuple(_build(_op_name(op), op, OPS, tensors) for op in ops),
        scores=_typed(head, "scores", str),
        decision=_optional(head, "decision", str),
        affine=_affine(tensors),
    )
    if tensors:
        raise ModelFileError(f"has unused tensors: {min(tensors)!r}")
    preprocess = _optional(head, "preprocess", dict)
    calibration = _optional(head, "calibration", dict)
    lines = _optional(head, "lines", dict)
    return Model(
        program=program,
        classes=_classes(head, program.classes),
        preprocess=None if preprocess is None else Preprocess.from_json(preprocess),
        provenance=_typed(head, "provenance", dict),
        name=_typed(head, "name", str),
        calibration=None if calibration is None else Calibration.from_json(calibration),
        lines=None if lines is None else lines_from_json(lines),
    )


def _typed(table: dict[str, Any], key: str, kind: type[Any]) -> Any:
    value = table.get(key)
    if type(value) is not kind:
        raise ModelFileError(f"{key!r} is missing, or is not a {kind.__name__}")
    return value


def _optional(table: dict[str, Any], key: str, kind: type[Any]) -> Any:
    return None if table.get(key) is None else _typed(table, key, kind)


def _op_name(op: Any) -> str:
    if not isinstance(op, dict):
        raise ModelFileError("an operation is not a JSON object")
    return str(_typed(op, "name", str))


def _affine(tensors: Tensors) -> Affine | None:
    scale, offset = tensors.pop("affine.scale", None), tensors.pop("affine.offset", None)
    if scale is None and offset is None:
        return None
    if scale is None or offset is None or {scale.dtype, offset.dtype} != {np.dtype(np.float64)}:
        raise ModelFileError("affine must be two float64 tensors")
    return Affine(scale, offset, _dense(tensors))


def _dense(tensors: Tensors) -> Dense | None:
    found = [tensors.pop(f"dense.{name}", None) for name in ("matrix", "bias", "ends")]
    if all(one is None for one in found):
        return None
    matrix, bias, ends = found
    if matrix is None or bias is None or ends is None or ends.shape != (2,):
        raise ModelFileError("dense must be a matrix, a bias and two ends")
    if {matrix.dtype, bias.dtype, ends.dtype} != {np.dtype(np.float64)}:
        raise ModelFileError("dense must be three float64 tensors")
    return Dense(matrix, bias, float(ends[0]), float(ends[1]))


def _build(
    name: str, given: dict[str, Any], kinds: Mapping[str, type[Any]], tensors: Tensors
) -> Any:
    """Return the dataclass that :func:`_describe` described."""
    given = dict(given)
    kind = given.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        raise ModelFileError(f"{name}: unknown kind {kind!r}")
    values: dict[str, Any] = {}
    for item in fields(kinds[kind]):
        if item.name in ARRAYS:
            value = _read_array(name, item.name, given, tensors)
            if value is not None:
                values[item.name] = value
        elif item.name == "body":
            values["body"] = tuple(_body(name, _typed(given, "body", list), tensors))
            del given["body"]
        elif item.name == "carried":
            values["carried"] = tuple(_carried(name, _typed(given, "carried", list)))
            del given["carried"]
        elif item.name in given:
            values[item.name] = _plain(item.name, given.pop(item.name))
        if item.name not in values and item.default is MISSING:
            raise ModelFileError(f"{name}: {item.name!r} is missing")
    if given:
        raise ModelFileError(f"{name}: unknown field {min(given)!r} of a {kind}")
    try:
        return kinds[kind](**values)
    except TypeError as reason:
        raise ModelFileError(f"{name}: {_line(reason)}") from reason


def _body(name: str, described: list[Any], tensors: Tensors) -> Iterator[Any]:
    for each in described:
        inner = f"{name}.{_op_name(each)}"
        if each.get("kind") == "scan":
            raise ModelFileError(
                f"{inner}: is a scan in the body of a scan; scans cannot be nested"
            )
        yield _build(inner, each, OPS, tensors)


def _carried(name: str, described: list[Any]) -> Iterator[Carried]:
    known = {item.name for item in fields(Carried)}
    for each in described:
        if not isinstance(each, dict) or set(each) != known:
            raise ModelFileError(f"{name}: carried must have {', '.join(sorted(known))}")
        yield Carried(**{key: _plain(key, value) for key, value in each.items()})


def _plain(field_name: str, value: Any) -> Any:
    if field_name == "precision":
        return precisions.parse(value)
    return tuple(value) if isinstance(value, list) else value


def _read_array(name: str, field_name: str, given: dict[str, Any], tensors: Tensors) -> Any:
    array = tensors.pop(f"{name}.{field_name}", None)
    if array is None:
        return None
    if array.dtype != ARRAYS[field_name]:
        raise ModelFileError(f"{name}: {field_name} must be {np.dtype(ARRAYS[field_name])}")
    if field_name != "weights":
        return array
    precision = precisions.parse(given.get("precision", ""))
    return unpack_planes(array, precision, given.pop("columns", None))

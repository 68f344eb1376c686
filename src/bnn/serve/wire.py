# SPDX-License-Identifier: BSD-3-Clause
"""Parse the bytes of an inference request, and make the bytes of its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bnn.errors import InputError
from bnn.serve.tensors import BYTES, DTYPES, Shape, Values, count, from_binary, from_json
from bnn.serve.tensors import to_binary as as_bytes
from bnn.serve.tensors import to_json as as_list
from bnn.system.files import parse_json

#: Header with the length of the JSON if binary tensors follow it, in lower case.
JSON_LENGTH = b"inference-header-content-length"
_MAX_ID = 256
#: Longest id of a request of which the answer's JSON is kept.
_MAX_KEPT_ID = 64
#: Most bytes of a JSON that is kept after parsing, for the next request with an equal JSON.
_MAX_KEPT = 1 << 10
_MAX_DIMENSIONS = 8
#: Largest dimension of a tensor.
_MAX_DIMENSION = 1 << 31


@dataclass(frozen=True, eq=False)
class Tensor:
    """An input tensor of a request."""

    name: str
    datatype: str
    shape: Shape
    values: Values


@dataclass(frozen=True)
class Wanted:
    """An output that a request asks for, and whether the answer has it in binary."""

    name: str
    binary: bool


@dataclass(frozen=True, eq=False)
class _Described:
    """An input as the JSON of a request describes it.

    Attributes:
        values: the values, if they are in the JSON; None if they follow the JSON.
        size: number of bytes of the values that follow the JSON.
    """

    name: str
    datatype: str
    shape: Shape
    values: Values | None
    size: int


@dataclass(frozen=True, eq=False)
class _Head:
    """The contents of the JSON of a request."""

    inputs: tuple[_Described, ...]
    outputs: tuple[Wanted, ...] | None
    binary: bool
    id: str | None


@dataclass(frozen=True, eq=False)
class Request:
    """An inference request.

    Attributes:
        inputs: the input tensors, at least one.
        outputs: the outputs that the client asks for; None: all outputs.
        binary: whether all outputs are binary, if ``outputs`` is None.
        id: the client's id of the request, or None.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Wanted, ...] | None = None
    binary: bool = False
    id: str | None = None


def parse(body: bytes, json_length: int | None, max_json: int, max_images: int) -> Request:
    """Return the request that ``body`` contains.

    Args:
        body: JSON, followed by the binary tensors.
        json_length: number of bytes of the JSON; None: the whole body is JSON.
        max_json: largest number of bytes that the JSON may have.
        max_images: largest first dimension that a tensor may have.

    Raises:
        InputError: the request is not correct; the message names the field.
    """
    length = len(body) if json_length is None else json_length
    if not 0 <= length <= len(body):
        raise InputError(
            f"Inference-Header-Content-Length is {length}, the body has {len(body)} bytes"
        )
    if length > max_json:
        raise InputError(
            f"the JSON has {length} bytes, at most {max_json} are read; send binary tensors"
        )
    short = json_length is not None and length <= _MAX_KEPT
    head = (_kept_head if short else _head)(body[:length], max_images)
    rest = memoryview(body)[length:]
    inputs = []
    for each in head.inputs:
        tensor, rest = _tensor(each, rest)
        inputs.append(tensor)
    if len(rest):
        raise InputError(f"{len(rest)} bytes follow the binary tensors that the JSON names")
    return Request(tuple(inputs), head.outputs, head.binary, head.id)


def _head(text: bytes, max_images: int) -> _Head:
    try:
        given = parse_json(text, finite=True, many=True)
    except ValueError as reason:  # also for bytes that are not UTF-8
        raise InputError(f"the request is not JSON: {_short(reason)}") from None
    top = _object(given, "the request", {"id", "parameters", "inputs", "outputs"}, {"inputs"})
    binary = _parameters(top, "the request", {"binary_data_output": bool})
    default = bool(binary.get("binary_data_output", False))
    tensors = top["inputs"]
    if type(tensors) is not list or not tensors:
        raise InputError("inputs: must be a list of at least one tensor")
    if len(tensors) > _MAX_DIMENSIONS:
        raise InputError(f"inputs: has {len(tensors)} tensors; a model takes exactly one")
    inputs = tuple(_described(each, max_images) for each in tensors)
    return _Head(inputs, _outputs(top, default), default, _id(top))


#: Made once: ``json.dumps`` with options makes an encoder for each call.
_ENCODE = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":")).encode

#: Clients of binary tensors send the same short JSON each time.
_kept_head = lru_cache(maxsize=128)(_head)


def _described(given: Any, max_images: int) -> _Described:
    keys = {"name", "shape", "datatype", "parameters", "data"}
    fields = _object(given, "an input", keys, {"name", "shape", "datatype"})
    name = _name(fields["name"], "an input")
    what = f"input {name!r}"
    datatype = fields["datatype"]
    if datatype != BYTES and (not isinstance(datatype, str) or datatype not in DTYPES):
        known = ", ".join([*DTYPES, BYTES])
        raise InputError(f"{what}: datatype {_short(datatype)} is not one of {known}")
    shape = _shape(fields["shape"], what, max_images)
    kinds = {"binary_data_size": int, "content_type": str}
    parameters = _parameters(fields, what, kinds)
    if parameters.get("content_type", "base64") != "base64":
        raise InputError(f"{what}: content_type must be base64")
    size = parameters.get("binary_data_size")
    if (size is None) != ("data" in fields):
        raise InputError(f"{what}: needs either data or the parameter binary_data_size")
    if size is not None:
        return _Described(name, datatype, shape, None, size)
    try:
        return _Described(name, datatype, shape, from_json(fields["data"], datatype, shape), 0)
    except InputError as reason:
        raise InputError(f"{what}: {reason}") from None


def _tensor(given: _Described, rest: memoryview) -> tuple[Tensor, memoryview]:
    """Return one input with its values, and the bytes of the request after these values."""
    if given.values is not None:
        return Tensor(given.name, given.datatype, given.shape, given.values), rest
    size = given.size
    try:
        if not 0 <= size <= len(rest):
            raise InputError(f"binary_data_size is {_short(size)}, {len(rest)} bytes follow")
        values = from_binary(rest[:size], given.datatype, given.shape)
    except InputError as reason:
        raise InputError(f"input {given.name!r}: {reason}") from None
    return Tensor(given.name, given.datatype, given.shape, values), rest[size:]


def _shape(given: Any, what: str, max_images: int) -> Shape:
    if type(given) is not list or not 1 <= len(given) <= _MAX_DIMENSIONS:
        raise InputError(f"{what}: shape must be a list of 1 to {_MAX_DIMENSIONS} numbers")
    if not all(type(n) is int and 0 <= n < _MAX_DIMENSION for n in given):
        raise InputError(f"{what}: shape must be whole numbers of at least 0")
    if given[0] > max_images:
        raise InputError(f"{what}: has {given[0]} images; a request may have at most {max_images}")
    if count(given) == 0 and given[0] != 0:
        raise InputError(f"{what}: only the first number of a shape may be 0")
    return tuple(given)


def _outputs(top: Mapping[str, Any], default: bool) -> tuple[Wanted, ...] | None:
    given = top.get("outputs")
    if given is None:
        return None
    if type(given) is not list:
        raise InputError("outputs: must be a list")
    if not given:
        return None
    found: dict[str, Wanted] = {}
    for each in given:
        fields = _object(each, "an output", {"name", "parameters"}, {"name"})
        name = _name(fields["name"], "an output")
        if name in found:
            raise InputError(f"output {name!r}: is asked for twice")
        own = _parameters(fields, f"output {name!r}", {"binary_data": bool})
        found[name] = Wanted(name, bool(own.get("binary_data", default)))
    return tuple(found.values())


def _id(top: Mapping[str, Any]) -> str | None:
    given = top.get("id")
    if given is None:
        return None
    if not isinstance(given, str) or len(given) > _MAX_ID:
        raise InputError(f"id: must be a text of at most {_MAX_ID} characters")
    return given


def _name(given: Any, what: str) -> str:
    if not isinstance(given, str) or not 1 <= len(given) <= _MAX_ID:
        raise InputError(f"{what}: name must be a text of 1 to {_MAX_ID} characters")
    return given


def _object(given: Any, what: str, known: set[str], needed: set[str]) -> dict[str, Any]:
    if type(given) is not dict:
        raise InputError(f"{what}: must be an object")
    if unknown := sorted(given.keys() - known):
        raise InputError(f"{what}: unknown field {_short(unknown[0])}")
    if missing := sorted(needed - given.keys()):
        raise InputError(f"{what}: has no {missing[0]}")
    return given


def _parameters(fields: Mapping[str, Any], what: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return the parameters in ``fields``; {} if there are none.

    Raises:
        InputError: a parameter is not in ``kinds``, or its value has another type.
    """
    given = fields.get("parameters")
    if given is None:
        return {}
    found = _object(given, f"{what}: parameters", set(kinds), set())
    for name, value in found.items():
        if type(value) is not kinds[name]:
            raise InputError(f"{what}: parameter {name} must be a {kinds[name].__name__}")
    return found


def _short(value: object) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= 100 else text[:97] + "..."


def respond(
    names: tuple[str, str],
    request_id: str | None,
    outputs: Sequence[tuple[str, str, Values, bool]],
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the number of bytes of the JSON in it.

    The number is None if the body is JSON only, without binary tensors.

    Args:
        names: name and version of the model.
        request_id: the client's id of the request, or None.
        outputs: name, datatype, values of each output, and whether it is binary.

    Raises:
        InputError: a value is infinite, which JSON cannot express.
    """
    if all(binary for *_, binary in outputs):
        tail = [as_bytes(values) for _, _, values, _ in outputs]
        told = tuple(
            (name, datatype, _shape_of(values), len(data))
            for (name, datatype, values, _), data in zip(outputs, tail, strict=True)
        )
        short = request_id is None or len(request_id) <= _MAX_KEPT_ID
        text = (_kept_answer if short else _answer)(names, request_id, told)
        return b"".join([text, *tail]), len(text)
    described, tail = [], []
    for name, datatype, values, binary in outputs:
        data = as_bytes(values) if binary else None
        one = _described_output(
            name, datatype, _shape_of(values), None if data is None else len(data)
        )
        if data is None:
            one["data"] = as_list(values)
        else:
            tail.append(data)
        described.append(one)
    try:
        text = _ENCODE(_top(names, request_id, described)).encode()
    except ValueError:
        raise InputError(
            "an output is infinite, which JSON cannot express; request it as binary"
        ) from None
    return (text, None) if not tail else (b"".join([text, *tail]), len(text))


def _shape_of(values: Values) -> Shape:
    return (len(values),) if isinstance(values, list) else values.shape


def _described_output(name: str, datatype: str, shape: Shape, size: int | None) -> dict[str, Any]:
    one: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(shape)}
    if size is not None:
        one["parameters"] = {"binary_data_size": size}
    return one


def _top(
    names: tuple[str, str], request_id: str | None, outputs: list[dict[str, Any]]
) -> dict[str, Any]:
    top: dict[str, Any] = {"model_name": names[0], "model_version": names[1]}
    if request_id is not None:
        top["id"] = request_id
    top["outputs"] = outputs
    return top


def _answer(
    names: tuple[str, str],
    request_id: str | None,
    outputs: tuple[tuple[str, str, Shape, int], ...],
) -> bytes:
    """Return the JSON of an answer whose outputs (name, datatype, shape, bytes) follow it."""
    return _ENCODE(_top(names, request_id, [_described_output(*one) for one in outputs])).encode()


#: Clients of binary tensors get the same JSON each time.
_kept_answer = lru_cache(maxsize=128)(_answer)

# SPDX-License-Identifier: BSD-3-Clause
"""Read an ONNX file as data: nodes, constants, shapes. Nothing in it is executed or trusted."""

from __future__ import annotations

import hashlib
import math
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.system import install
from bnn.system.files import open_file, parse_json, read_file

MAX_FILE_BYTES = 1 << 29
#: Most values of all constants together.
MAX_VALUES = 1 << 26
MAX_NODES = 1 << 11
#: Most bytes of an external data file, which contains constants.
MAX_EXTERNAL = 1 << 31
#: Most fields of the protobuf messages in a file; each becomes a Python object.
MAX_FIELDS = 1 << 18


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of the graph.

    Attributes:
        name: unique name of the node. It is made up if the file gives none.
        kind: type of the operator, such as ``Conv``.
        domain: domain of the operator, "" for standard ONNX.
        inputs, outputs: names of tensors; an empty name stands for an omitted input.
        attributes: attributes by name, as Python values and arrays.
    """

    name: str
    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.kind})"


@dataclass(frozen=True, eq=False)
class Graph:
    """A model with one input and one output.

    Attributes:
        path: path of the file, for messages.
        nodes: the nodes, sorted: every node comes after the nodes whose outputs it reads.
        constants: arrays by tensor name.
        input, output: names of the tensors.
        shape: shape of the input, with the batch; unknown sizes are 1.
        opsets: domain -> version of its operator set; the domain "" is standard ONNX.
        kind: NumPy dtype name of the input.
        datatype: FINN's annotation of the input (``UINT8``, ``BIPOLAR``), or "".
        classes: names of the classes, if :mod:`bnn.formats.qonnx.write` wrote the file.
        declared: shape that the file states for its output; unknown sizes are 0. () if the file
            does not state a shape.
    """

    path: Path
    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    input: str
    output: str
    shape: tuple[int, ...]
    opsets: Mapping[str, int]
    kind: str = "float32"
    datatype: str = ""
    classes: tuple[str, ...] = ()
    declared: tuple[int, ...] = ()


def read(path: Path) -> Graph:
    """Return the graph in the ONNX file ``path``.

    Raises:
        FormatError: the file is missing, damaged, too large, or has several inputs or outputs.
    """
    try:
        import onnx
    except ImportError:
        raise FormatError(
            f"{path}: reading ONNX needs the onnx package: {install.command('convert')}"
        ) from None
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    data = _bytes(path)
    check_fields(path, data, onnx.ModelProto.DESCRIPTOR)
    try:
        model.ParseFromString(data)
    except (DecodeError, RuntimeError, ValueError):
        raise FormatError(f"{path}: is not an ONNX file, or is damaged") from None
    if not model.graph.node:
        raise FormatError(f"{path}: is not an ONNX file, or is empty")
    if len(model.graph.node) > MAX_NODES:
        raise FormatError(
            f"{path}: has {len(model.graph.node)} nodes, at most {MAX_NODES} can be read"
        )
    try:
        return _graph(path, model)
    except FormatError:
        raise
    except (TypeError, ValueError, AttributeError):
        # Text that is not UTF-8 comes as bytes.
        raise FormatError(f"{path}: has damaged names") from None


def _bytes(path: Path) -> bytes:
    return read_file(path, MAX_FILE_BYTES, FormatError)


def check_fields(path: Path, data: bytes, descriptor: Any) -> None:
    """Refuse a file with more fields than :data:`MAX_FIELDS`, before it is parsed.

    The parser makes an object of about a hundred bytes from each message (group of fields), even
    if the message has two bytes in the file. This check reads only the lengths of the fields.
    """
    messages = [(descriptor, 0, len(data))]
    count = 0
    while messages:
        kind, place, end = messages.pop()
        fields = kind.fields_by_number
        while place < end:
            count += 1
            if count > MAX_FIELDS:
                raise FormatError(f"{path}: has more than {MAX_FIELDS} fields")
            tag, place = _varint(path, data, place, end)
            match tag & 7:
                case 0:
                    _, place = _varint(path, data, place, end)
                case 1:
                    place += 8
                case 2:
                    size, place = _varint(path, data, place, end)
                    field = fields.get(tag >> 3)
                    if field is not None and field.message_type is not None:
                        messages.append((field.message_type, place, min(place + size, end)))
                    place += size
                case 5:
                    place += 4
                case _:  # protobuf groups, which ONNX does not use
                    raise FormatError(f"{path}: is not an ONNX file, or is damaged")


def _varint(path: Path, data: bytes, place: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while place < end and shift < 70:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise FormatError(f"{path}: is not an ONNX file, or is damaged")


def _graph(path: Path, model: Any) -> Graph:
    graph = model.graph
    _check_total(path, graph)
    constants = {item.name: _array(path, item, item.name) for item in graph.initializer}
    if len(constants) != len(graph.initializer):
        raise FormatError(f"{path}: has two constants of one name")
    inputs = [item for item in graph.input if item.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise FormatError(
            f"{path}: has {len(inputs)} inputs and {len(graph.output)} outputs; "
            "one each can be read"
        )
    nodes = _ordered(path, _nodes(path, graph), {*constants, inputs[0].name})
    _check_names(path, model, nodes, {*constants, inputs[0].name})
    return Graph(
        path,
        nodes,
        constants,
        inputs[0].name,
        graph.output[0].name,
        _shape(path, inputs[0]),
        _opsets(path, model),
        _kind(path, inputs[0]),
        _datatype(graph, inputs[0].name),
        _classes(model),
        tuple(max(0, dim.dim_value) for dim in graph.output[0].type.tensor_type.shape.dim),
    )


def _check_total(path: Path, graph: Any) -> None:
    """Refuse constants that are too large together, before any array is made."""
    tensors = [*graph.initializer, *(a.t for node in graph.node for a in node.attribute)]
    total = 0.0
    for item in tensors:
        total += float(np.prod(item.dims, dtype=float))
        if not total <= MAX_VALUES:
            raise FormatError(
                f"{path}: constant {item.name!r} of shape {tuple(item.dims)[:8]} is too large: "
                f"all constants together may have {MAX_VALUES} values"
            )


def _check_names(path: Path, model: Any, nodes: tuple[Node, ...], known: set[str]) -> None:
    """Refuse a file in which two nodes make the same tensor, or that defines operators itself."""
    own = {(item.domain, item.name) for item in model.functions}
    made = set(known)
    for node in nodes:
        if (node.domain, node.kind) in own:
            raise FormatError(f"{path}: {node} is a function of the file's own; that is not read")
        for name in filter(None, node.outputs):
            if name in made:
                raise FormatError(f"{path}: {node} makes {name!r}, which exists already")
            made.add(name)
    if model.graph.sparse_initializer:
        raise FormatError(f"{path}: has sparse constants; only dense ones can be read")


def _opsets(path: Path, model: Any) -> dict[str, int]:
    """Return domain -> version of its operator set.

    Refuse a file that declares two different versions for a domain.
    """
    opsets: dict[str, int] = {}
    for item in model.opset_import:
        domain = "" if item.domain == "ai.onnx" else item.domain
        if opsets.setdefault(domain, item.version) != item.version:
            raise FormatError(f"{path}: declares two versions of operator set {domain!r}")
    return opsets


def _kind(path: Path, item: Any) -> str:
    import onnx

    number = item.type.tensor_type.elem_type
    try:
        return str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(number)))
    except (KeyError, TypeError):
        raise FormatError(f"{path}: input {item.name!r} has no type that can be read") from None


def _shape(path: Path, item: Any) -> tuple[int, ...]:
    shape = tuple(max(1, dim.dim_value) for dim in item.type.tensor_type.shape.dim)
    if len(shape) not in (2, 3, 4):
        raise FormatError(
            f"{path}: input {item.name!r} has shape {shape}; vectors (N, features), "
            "signals (N, channels, length) and pictures with four dimensions can be read"
        )
    if np.prod(shape, dtype=float) > MAX_VALUES:
        raise FormatError(f"{path}: input {item.name!r} of shape {shape} is too large")
    return shape


def _datatype(graph: Any, name: str) -> str:
    for note in graph.quantization_annotation:
        if note.tensor_name == name:
            for entry in note.quant_parameter_tensor_names:
                if entry.key == "finn_datatype":
                    return str(entry.value)
    return ""


def _classes(model: Any) -> tuple[str, ...]:
    for entry in model.metadata_props:
        if entry.key == "classes":
            try:
                names = parse_json(entry.value)
            except ValueError:
                return ()
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                return tuple(names)
    return ()


def _nodes(path: Path, graph: Any) -> list[Node]:
    nodes = []
    taken: set[str] = set()
    next_number: dict[str, int] = {}
    for index, item in enumerate(graph.node):
        texts = [item.name, item.op_type, item.domain, *item.input, *item.output]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("bytes")
        name = wanted = item.name or f"{item.op_type}_{index}"
        while name in taken:  # the numbers go on, so that many equal names take no longer
            next_number[wanted] = next_number.get(wanted, 1) + 1
            name = f"{wanted}_{next_number[wanted]}"
        taken.add(name)
        attributes = {a.name: _attribute(path, a, name) for a in item.attribute}
        if len(attributes) != len(item.attribute):
            raise FormatError(f"{path}: node {name!r} has an attribute twice")
        nodes.append(
            Node(name, item.op_type, item.domain, tuple(item.input), tuple(item.output), attributes)
        )
    return nodes


def _ordered(path: Path, nodes: list[Node], known: set[str]) -> tuple[Node, ...]:
    have = {"", *known}
    missing = [len(set(node.inputs) - have) for node in nodes]
    readers: dict[str, list[int]] = {}
    for index, node in enumerate(nodes):
        for name in set(node.inputs) - have:
            readers.setdefault(name, []).append(index)
    ready = deque(index for index, count in enumerate(missing) if count == 0)
    ordered = []
    while ready:
        node = nodes[ready.popleft()]
        ordered.append(node)
        for name in set(node.outputs) - have:
            have.add(name)
            for index in readers.get(name, ()):
                missing[index] -= 1
                if missing[index] == 0:
                    ready.append(index)
    for node, count in zip(nodes, missing, strict=True):
        if count:
            name = min(set(node.inputs) - have)
            raise FormatError(f"{path}: {node} reads {name!r}, which no node makes")
    return tuple(ordered)


def _attribute(path: Path, item: Any, node: str) -> Any:
    import onnx

    if item.type == onnx.AttributeProto.TENSOR:
        return _array(path, item.t, f"{node}.{item.name}")
    if item.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
        raise FormatError(f"{path}: node {node!r} contains a graph; that cannot be read")
    if item.ref_attr_name:
        raise FormatError(
            f"{path}: node {node!r}: attribute {item.name} is a parameter of an ONNX function, "
            "which cannot be read; inline the functions first"
        )
    try:
        value = onnx.helper.get_attribute_value(item)
    except ValueError:
        value = None
    if value is None:  # as some versions of onnx answer
        raise FormatError(f"{path}: node {node!r}: attribute {item.name} has no type")
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return list(value) if hasattr(value, "__len__") and not isinstance(value, str) else value


def _array(path: Path, item: Any, name: str) -> NDArray[Any]:
    import onnx

    if np.prod(item.dims, dtype=float) > MAX_VALUES or any(d < 0 for d in item.dims):
        raise FormatError(f"{path}: constant {name!r} of shape {tuple(item.dims)} is too large")
    try:
        if item.data_location == onnx.TensorProto.EXTERNAL:
            return _external(path, item)
        array = np.asarray(onnx.numpy_helper.to_array(item))
    except (ValueError, TypeError, KeyError, OverflowError, IndexError, RuntimeError):
        raise FormatError(f"{path}: constant {name!r} is damaged") from None
    if array.dtype.kind not in "fiub":
        raise FormatError(f"{path}: constant {name!r} holds {array.dtype}, not numbers")
    return array


def _external(path: Path, item: Any) -> NDArray[Any]:
    """Read a constant from a data file; no file outside the model's folder is opened."""
    import onnx

    where = {entry.key: entry.value for entry in item.external_data}
    location = where.get("location", "")
    folder = path.parent.resolve()
    other = (folder / location).resolve()
    if not location or not other.is_relative_to(folder):
        raise FormatError(f"{path}: its data file {location!r} is not in the same folder")
    if unknown := sorted(set(where) - {"location", "offset", "length", "checksum"}):
        raise FormatError(
            f"{path}: constant {item.name!r}: {unknown[0]} of its data file is not understood"
        )
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(item.data_type))
    if dtype.kind not in "fiub":
        raise ValueError
    wanted = math.prod(item.dims) * dtype.itemsize
    offset = _whole(where.get("offset", "0"))
    length = where.get("length")
    if length is not None and _whole(length) != wanted:
        raise ValueError
    with open_file(other, MAX_EXTERNAL, FormatError) as file:
        file.seek(offset)
        # Without a length, the constant goes on to the end of the file.
        data = file.read(wanted if length is not None else wanted + 1)
        state = os.fstat(file.fileno())
    if len(data) != wanted:
        raise ValueError
    told = where.get("checksum")
    if told is not None and told.lower() != _sha1(other, state.st_size, state.st_mtime_ns):
        raise FormatError(
            f"{path}: {location} does not match the checksum that the model states; "
            "copy both files again"
        )
    return np.frombuffer(data, dtype.newbyteorder("<")).reshape(tuple(item.dims))


@lru_cache(maxsize=8)  # each constant of a file names the checksum of the whole file
def _sha1(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 (a changed file is read anew)
    """Return the SHA-1 of a whole external data file, which ONNX states as its checksum."""
    total = hashlib.sha1(usedforsecurity=False)
    with open_file(path, MAX_EXTERNAL, FormatError) as file:
        while part := file.read(1 << 20):
            total.update(part)
    return total.hexdigest()


def _whole(text: str) -> int:
    """Return the number in ``text``; raise ValueError if it is not a whole number."""
    if len(text) > 12 or not text.isdecimal():
        raise ValueError
    return int(text)

# SPDX-License-Identifier: BSD-3-Clause
"""Valid files with one change each, all of them well-formed: what a reader is made to decide on.

Every function yields (name of the change, what makes the changed file); the same for the same file.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

#: A name, and what makes the file.
Change = tuple[str, Callable[[], bytes]]


def some(changes: Iterable[Change], count: int) -> list[Change]:
    """So many of them, spread over all."""
    found = list(changes)
    if len(found) <= count:
        return found
    chosen = random.Random(1).sample(range(len(found)), count)
    return [found[index] for index in sorted(chosen)]


# --- JSON, and text of any kind ------------------------------------------------------

_GONE = object()
_WORDS = {"same": "valid", "valid": "same", "channels_last": "channels_first", "float32": "float64"}


def _others(value: Any) -> list[Any]:
    """Values near ``value``, and one of another type."""
    match value:
        case bool():
            return [not value, None]
        case int():
            return [value + 1, value - 1, 0, -value, float(value) + 0.5]
        case float():
            return [value * 2, value / 2, 0.0, -value, 1e30]
        case str():
            return [_WORDS.get(value, f"{value}x"), "", 3]
        case None:
            return [1, True, "relu"]
        case list():
            return [value[:-1], [*value, *value[-1:]], value[::-1]]
    return [None]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield (*path, key)
            yield from _places(value[key], (*path, key))


def json_changes(value: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each value below becomes another one or is not there; each object has a key more."""
    for path in _places(value):
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        name = ".".join(map(str, path))
        for other in _others(holder[path[-1]]):
            if other != holder[path[-1]] or type(other) is not type(holder[path[-1]]):
                yield f"{name} = {json.dumps(other)[:60]}", partial(_with, value, path, other)
        if isinstance(holder, dict):
            yield f"no {name}", partial(_with, value, path, _GONE)
        if isinstance(holder[path[-1]], dict):
            yield f"{name}.extra", partial(_with, value, (*path, "extra"), 1)


def _with(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    made = copy.deepcopy(value)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    if other is _GONE:
        del holder[path[-1]]
    else:
        holder[path[-1]] = other
    return made


_TOKEN = re.compile(r'-?\d+(?:\.\d+)?|"[^"\n]*"|true|false|[\[\]{},=]')


def text_changes(data: bytes) -> Iterator[Change]:
    """Each number, string, truth value and bracket of a text becomes another or goes."""
    text = data.decode()
    for number, found in enumerate(_TOKEN.finditer(text)):
        token = found[0]
        if token in "[]{},=":
            others = [""]
        elif token.startswith('"'):
            others = [token[:-1] + 'x"', '""', "3"]
        elif token in ("true", "false"):
            others = ["false" if token == "true" else "true", "1"]
        elif "." in token:
            others = ["0.0", f"-{token}", "1e30"]
        else:
            others = [str(int(token) + 1), str(int(token) - 1), "0", "1.5", f"{token}00000", "true"]
        for other in others:
            if other != token:
                made = text[: found.start()] + other + text[found.end() :]
                yield f"{number}: {token} -> {other}", made.encode


# --- arrays --------------------------------------------------------------------------


def array_changes(array: Any) -> Iterator[tuple[str, Any]]:
    """Other types, shapes and values."""
    array = np.asarray(array)
    for kind in ("float64", "float16", "int8", "int64", "uint8", "complex64"):
        if array.dtype != kind:
            with np.errstate(all="ignore"):
                yield kind, array.astype(kind)
    yield "one axis more", array[..., None]
    if array.ndim:
        yield "flat", array.reshape(-1)
        yield "one less", array[:-1]
        yield "one less at the end", array[..., :-1]
        yield "twice", np.concatenate([array, array])
        yield "nothing", array[:0]
    if array.ndim > 1:
        yield "turned", array.T
    if array.dtype.kind == "f" and array.size:
        yield "negative", -array
        yield "half", array / 2
        yield "zeros", array * 0
        for name, value in (("nan", np.nan), ("inf", np.inf), ("huge", 3e38), ("tiny", 1e-45)):
            made = array.copy()
            made.reshape(-1)[0] = value
            yield f"{name} first", made


# --- files with a frame --------------------------------------------------------------


def npz_changes(data: bytes) -> Iterator[Change]:
    """Each array of an npz file is changed, dropped, renamed; one more is there."""
    with np.load(io.BytesIO(data)) as held:
        arrays = {name: held[name] for name in held.files}
    for name, array in arrays.items():
        for what, other in array_changes(array):
            yield f"{name}: {what}", partial(_npz, {**arrays, name: other})
        rest = {key: value for key, value in arrays.items() if key != name}
        yield f"no {name}", partial(_npz, rest)
        renamed = {f"{key}x" if key == name else key: value for key, value in arrays.items()}
        yield f"{name} renamed", partial(_npz, renamed)
    yield "one more", partial(_npz, {**arrays, "more": np.zeros(3, np.float32)})


def _npz(arrays: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def zip_changes(
    data: bytes, inner: dict[str, Callable[[bytes], Iterator[Change]]]
) -> Iterator[Change]:
    """Members of a zip archive are changed as ``inner`` says, or dropped."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, content in members.items():
        rest = {key: one for key, one in members.items() if key != name}
        yield f"no {name}", partial(_zipped, rest)
        if name in inner:
            for what, other in inner[name](content):
                yield f"{name}: {what}", partial(_put, members, name, other)


def _put(members: dict[str, bytes], name: str, made: Callable[[], bytes]) -> bytes:
    return _zipped({**members, name: made()})


def _zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def as_json(content: bytes) -> Iterator[Change]:
    """Changes of a JSON text."""
    for what, other in json_changes(json.loads(content)):
        yield what, partial(_dumped, other)


def _dumped(made: Callable[[], Any]) -> bytes:
    return json.dumps(made()).encode()


def h5_arrays(data: bytes) -> Iterator[Change]:
    """Each array of an HDF5 file is changed or dropped."""
    names: list[str] = []
    with h5py.File(io.BytesIO(data)) as file:
        file.visititems(lambda name, item: names.append(name) if hasattr(item, "dtype") else None)
        arrays = {name: file[name][()] for name in names}
    for name, array in arrays.items():
        for what, other in [*array_changes(array), ("gone", None)]:
            yield f"{name}: {what}", partial(_h5_array, data, name, other)


def _h5_array(data: bytes, name: str, other: Any) -> bytes:
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        del file[name]
        if other is not None:
            file[name] = other
    return stream.getvalue()


def h5_config(data: bytes) -> Iterator[Change]:
    """Each value of the configuration in an HDF5 file is changed."""
    with h5py.File(io.BytesIO(data)) as file:
        config = json.loads(file.attrs["model_config"])
    for what, other in json_changes(config):
        yield what, partial(_h5_config, data, other)


def _h5_config(data: bytes, made: Callable[[], Any]) -> bytes:
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        file.attrs["model_config"] = json.dumps(made())
    return stream.getvalue()


def bnn_changes(data: bytes) -> Iterator[Change]:
    """Each value of the head of a .bnn file is changed, and the digest made to fit again."""
    size = struct.unpack("<Q", data[:8])[0]
    table, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    head = json.loads(table["__metadata__"]["bnn"])
    head.pop("digest")
    for what, other in json_changes(head):
        yield what, partial(_headed, table, other, body)
    yield "no digest", partial(_headed, table, lambda: head, body, whole=False)


def _headed(table: Any, change: Callable[[], Any], body: bytes, whole: bool = True) -> bytes:
    made, head = copy.deepcopy(table), change()
    digest = {"digest": _digest(table, head, body)} if whole else {}
    made["__metadata__"]["bnn"] = json.dumps({**head, **digest})
    packed = json.dumps(made).encode()
    return struct.pack("<Q", len(packed)) + packed + body


def _digest(table: Any, head: Any, body: bytes) -> str:
    hasher = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    kinds = {"U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "F32": "float32"}
    kinds |= {"F64": "float64", "I64": "int64"}
    for name in sorted(set(table) - {"__metadata__"}):
        start, end = table[name]["data_offsets"]
        array = np.frombuffer(body[start:end], kinds[table[name]["dtype"]])
        hasher.update(json.dumps([name, array.dtype.name, table[name]["shape"]]).encode())
        hasher.update(array.data)
    return hasher.hexdigest()


# --- ONNX ----------------------------------------------------------------------------


def onnx_changes(path: Path) -> Iterator[Change]:
    """Attributes, inputs, kinds and domains of nodes, constants, shapes and opsets are changed."""
    model = onnx.load(path)
    changes = [*_of_nodes(model.graph), *_of_constants(model.graph), *_of_edges(model)]
    for what, change in changes:
        yield what, partial(_onnx, model, change)


def _onnx(model: Any, change: Callable[[Any], None]) -> bytes:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    change(made)
    return bytes(made.SerializeToString())


#: A name, and what changes a model.
Edit = tuple[str, Callable[[Any], None]]


def _of_nodes(graph: Any) -> Iterator[Edit]:
    for index, node in enumerate(graph.node):
        where = f"{index} {node.op_type}"

        def kind(made: Any, index: int = index) -> None:
            made.graph.node[index].op_type += "X"

        def domain(made: Any, index: int = index) -> None:
            made.graph.node[index].domain = "elsewhere"

        def fewer(made: Any, index: int = index) -> None:
            del made.graph.node[index].input[-1]

        def swapped(made: Any, index: int = index) -> None:
            first, second, *rest = made.graph.node[index].input
            del made.graph.node[index].input[:]
            made.graph.node[index].input.extend([second, first, *rest])

        def doubled(made: Any, index: int = index) -> None:
            one = made.graph.node[index]
            one.input.append(one.input[0])

        def given(made: Any, index: int = index) -> None:
            attribute = made.graph.node[index].attribute.add()
            attribute.name, attribute.type, attribute.i = "extra", onnx.AttributeProto.INT, 1

        yield f"{where}: kind", kind
        yield f"{where}: domain", domain
        yield f"{where}: an attribute more", given
        if node.input:
            yield f"{where}: an input more", doubled
            yield f"{where}: an input less", fewer
        if len(node.input) > 1:
            yield f"{where}: inputs swapped", swapped
        for place, attribute in enumerate(node.attribute):
            yield from _of_attribute(where, index, place, attribute)


def _of_attribute(where: str, index: int, place: int, attribute: Any) -> Iterator[Edit]:
    def gone(made: Any) -> None:
        del made.graph.node[index].attribute[place]

    yield f"{where}.{attribute.name}: gone", gone
    value = onnx.helper.get_attribute_value(attribute)
    others: list[Any] = []
    if isinstance(value, int | float):
        others = [value + 1, value - 1, value * 2, 0, -value]
    elif isinstance(value, bytes):
        others = [b"", value + b"X", b"SAME_UPPER", b"FLOOR"]
    elif isinstance(value, list) and value and isinstance(value[0], int):
        others = [
            [*value[:i], value[i] + d, *value[i + 1 :]] for i in range(len(value)) for d in (1, -1)
        ]
        others += [value[:-1], [*value, 1], [0] * len(value)]
    for other in others:
        if other == value:
            continue

        def put(made: Any, other: Any = other) -> None:
            one = made.graph.node[index].attribute[place]
            one.CopyFrom(onnx.helper.make_attribute(one.name, other))

        yield f"{where}.{attribute.name} = {other!r}", put


def _of_constants(graph: Any) -> Iterator[Edit]:
    for index, held in enumerate(graph.initializer):
        for what, other in array_changes(numpy_helper.to_array(held)):

            def put(made: Any, other: Any = other, index: int = index) -> None:
                name = made.graph.initializer[index].name
                given = numpy_helper.from_array(np.ascontiguousarray(other), name)
                made.graph.initializer[index].CopyFrom(given)

            yield f"{held.name}: {what}", put


def _of_edges(model: Any) -> Iterator[Edit]:
    for kind in ("input", "output"):
        one = getattr(model.graph, kind)[0]
        for axis in range(len(one.type.tensor_type.shape.dim)):
            for size in (0, 1, 5):

                def sized(made: Any, kind: str = kind, axis: int = axis, size: int = size) -> None:
                    shape = getattr(made.graph, kind)[0].type.tensor_type.shape
                    shape.dim[axis].dim_value = size

                yield f"{kind} axis {axis} of {size}", sized

        def typed(made: Any, kind: str = kind) -> None:
            getattr(made.graph, kind)[0].type.tensor_type.elem_type = TensorProto.INT8

        def more(made: Any, kind: str = kind) -> None:
            getattr(made.graph, kind).add().CopyFrom(getattr(made.graph, kind)[0])

        yield f"{kind} of int8", typed
        yield f"one {kind} more", more
    for index, held in enumerate(model.opset_import):
        for version in (0, 1, 6, 9, 11, 13, 18, 21, 26, 99):

            def versioned(made: Any, index: int = index, version: int = version) -> None:
                made.opset_import[index].version = version

            yield f"opset {held.domain!r} {version}", versioned


# --- whole layers --------------------------------------------------------------------


def layer_changes(config: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Layers of a sequential Keras model go, come twice, or change places."""
    layers = config["config"]["layers"]
    names = [f"{number} {one['class_name']}" for number, one in enumerate(layers)]
    for number, name in enumerate(names):
        rest = [*layers[:number], *layers[number + 1 :]]
        yield f"without {name}", partial(_with_layers, config, rest)
        again = copy.deepcopy(layers[number])
        again["config"]["name"] = "again"
        twice = [*layers[: number + 1], again, *layers[number + 1 :]]
        yield f"{name} twice", partial(_with_layers, config, twice)
        if number + 1 < len(layers):
            swapped = [*layers[:number], layers[number + 1], layers[number], *layers[number + 2 :]]
            yield f"{name} later", partial(_with_layers, config, swapped)


def _with_layers(config: Any, layers: list[Any]) -> Any:
    return {**config, "config": {**config["config"], "layers": layers}}


def keras_layers(data: bytes, suffix: str) -> Iterator[Change]:
    """:func:`layer_changes` of an .h5 or .keras file; none if it is not sequential."""
    if suffix == ".keras":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(members["config.json"])
    else:
        with h5py.File(io.BytesIO(data)) as file:
            config = json.loads(file.attrs.get("model_config", '{"class_name": ""}'))
    if config["class_name"] != "Sequential":
        return
    for what, made in layer_changes(config):
        if suffix == ".keras":
            yield what, partial(_put, members, "config.json", partial(_dumped, made))
        else:
            yield what, partial(_h5_config, data, made)


def onnx_layers(path: Path) -> Iterator[Change]:
    """Nodes of an ONNX file go (what reads them reads their source), or come twice."""
    model = onnx.load(path)
    for index, node in enumerate(model.graph.node):
        if len(node.input) and node.input[0]:
            yield f"without {index} {node.op_type}", partial(_onnx, model, partial(_bypass, index))
            yield f"{index} {node.op_type} twice", partial(_onnx, model, partial(_twice, index))


def _bypass(index: int, model: Any) -> None:
    graph, node = model.graph, model.graph.node[index]
    for other in graph.node:
        for place, name in enumerate(other.input):
            if name == node.output[0]:
                other.input[place] = node.input[0]
    if graph.output[0].name == node.output[0]:
        graph.output[0].name = node.input[0]
    del graph.node[index]


def _twice(index: int, model: Any) -> None:
    graph, node = model.graph, model.graph.node[index]
    again = graph.node.add()
    again.CopyFrom(node)
    again.name += "_again"
    inner = f"{node.output[0]}_inner"
    again.input[0] = inner
    again.output[0] = node.output[0]
    graph.node[index].output[0] = inner
    nodes = [*graph.node[: index + 1], again, *graph.node[index + 1 : -1]]
    kept = [copy.deepcopy(one) for one in nodes]
    del graph.node[:]
    graph.node.extend(kept)

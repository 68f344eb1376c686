# SPDX-License-Identifier: BSD-3-Clause
"""Changes that keep a file's frame whole, so that what is in the frame is tested as well.

Each takes the bytes of an input and ``mutate`` (bytes to other bytes, libFuzzer's), and raises
what it likes where the input has no such frame: then plain bytes are mutated.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from bnn.system import heaps

Mutate = Callable[[bytes], bytes]


def _zip(data: bytes, mutate: Mutate, rng: random.Random) -> bytes:
    """One member is changed; sometimes it is one that is itself a file with a frame."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    number = rng.randrange(len(members))
    name, content = members[number]
    match rng.randrange(16):
        case 12 | 13 | 14 | 15 if name.endswith(".json"):
            settings = json.loads(content)
            _change(settings, rng)
            members[number] = (name, json.dumps(settings).encode())
        case 0:
            del members[number]
        case 1:
            members.append((mutate(name.encode()).decode("latin-1"), content))
        case 2:
            members[number] = (mutate(name.encode()).decode("latin-1"), content)
        case _:
            members[number] = (name, mutate(content))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name.replace("\0", "_") or "_"), content)
    return buffer.getvalue()


def _h5(data: bytes, mutate: Mutate, rng: random.Random) -> bytes:
    """A value of a Keras model's configuration, or one of its arrays, is changed."""
    import h5py

    if not heaps.ends(data):
        raise ValueError("HDF5 would loop for ever here; the reader refuses such a file")
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        if rng.random() < 0.6:
            config = json.loads(file.attrs["model_config"])
            for _ in range(rng.randrange(1, 4)):
                _change(config["config"]["layers"], rng)
            file.attrs["model_config"] = json.dumps(config)
            return buffer.getvalue()
        found: list[h5py.Dataset] = []
        file.visititems(lambda _, item: found.append(item) if hasattr(item, "dtype") else None)
        one = rng.choice(found)
        content = one[()].tobytes()
        name, group, dtype, shape = one.name, one.parent, one.dtype, one.shape
        content = mutate(content)[: len(content)].ljust(len(content), b"\0")
        del group[name]
        if rng.random() < 0.3:
            shape = tuple(rng.choice([0, 1, 2, size]) for size in shape)
        values = np.frombuffer(content, dtype)
        group[name] = np.resize(values, shape)
    return buffer.getvalue()


def _bnn(data: bytes, mutate: Mutate, rng: random.Random) -> bytes:
    """The head or a tensor is changed, and the digest made to fit again."""
    size = struct.unpack("<Q", data[:8])[0]
    table = json.loads(data[8 : 8 + size])
    body = data[8 + size :]
    text = table["__metadata__"]["bnn"]
    kind = rng.randrange(4)
    if kind == 0:
        body = mutate(body)[: len(body)].ljust(len(body), b"\0")
    elif kind == 1:
        head = json.loads(text)
        _change(head, rng)
        text = json.dumps(head)
    elif kind == 2:
        text = mutate(text.encode()).decode("latin-1")
    else:
        _change({k: v for k, v in table.items() if k != "__metadata__"}, rng)
    table["__metadata__"]["bnn"] = _signed(table, text, body)
    head_bytes = json.dumps(table).encode()
    return struct.pack("<Q", len(head_bytes)) + head_bytes + body


def _signed(table: dict, text: str, body: bytes) -> str:
    """``text`` with the digest that the reader wants."""
    try:
        head = json.loads(text)
        head.pop("digest", None)
        hasher = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
        kinds = {"U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "F32": "float32"}
        kinds |= {"F64": "float64", "I64": "int64"}
        for name in sorted(set(table) - {"__metadata__"}):
            entry = table[name]
            start, end = entry["data_offsets"]
            array = np.frombuffer(body[start:end], kinds[entry["dtype"]]).reshape(entry["shape"])
            hasher.update(json.dumps([name, array.dtype.name, array.shape]).encode())
            hasher.update(np.ascontiguousarray(array).data)
        return json.dumps({**head, "digest": hasher.hexdigest()})
    except (ValueError, KeyError, TypeError, AttributeError):
        return text


_VALUES = [0, 1, -1, 2, 255, 256, 65535, 1 << 31, 1 << 63, 0.5, 1e308, "", "x", "input", None, True]
_VALUES += [[], {}, [1, 1], [1, 1, 1], [0, 0, 0, 0], "int8", "bipolar", "uint1", "int33", [[1]]]


def _change(value: object, rng: random.Random) -> None:
    """One value somewhere below a JSON value becomes another one."""
    while isinstance(value, dict | list) and value:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        inner = value[key]  # type: ignore[index]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.2:
            other = rng.choice(_VALUES)
            if isinstance(inner, int) and rng.random() < 0.6:
                other = inner + rng.choice([-1, 1, 2, 7])
            if rng.random() < 0.1:
                del value[key]  # type: ignore[attr-defined]
            else:
                value[key] = other  # type: ignore[index]
            return
        value = inner


def _packed(data: bytes, mutate: Mutate, rng: random.Random) -> bytes:
    """The contents of a packed file are changed; a tar's headers get their checksums back."""
    content = data
    if data.startswith(b"\x1f\x8b"):
        content = gzip.decompress(data)
    elif data.startswith(b"\xfd7zXZ"):
        content = lzma.decompress(data)
    elif data.startswith(b"BZh"):
        content = bz2.decompress(data)
    changed = bytearray(mutate(content))
    if rng.random() < 0.8:
        for place in range(0, min(len(changed), 1 << 14) - 511, 512):
            if changed[place + 257 : place + 262] == b"ustar":
                changed[place + 148 : place + 156] = b" " * 8
                total = sum(changed[place : place + 512])
                changed[place + 148 : place + 156] = b"%06o\0 " % total
    if content is data or rng.random() < 0.5:
        return bytes(changed)
    return gzip.compress(bytes(changed), 1)


def _png(data: bytes, mutate: Mutate, rng: random.Random) -> bytes:
    """Chunks of a PNG are changed and get their checksums back."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return mutate(data)
    chunks = []
    place = 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    number = rng.randrange(len(chunks))
    kind, content = chunks[number]
    if kind == b"IDAT" and rng.random() < 0.7:
        content = zlib.compress(mutate(zlib.decompress(content)))
    else:
        content = mutate(content)
    chunks[number] = (kind, content)
    made = [data[:8]]
    for kind, content in chunks:
        crc = zlib.crc32(kind + content)
        made.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc))
    return b"".join(made)


def _onnx(data: bytes, mutate: Mutate, rng: random.Random) -> bytes:
    """A node, an attribute, a constant or a name of the parsed model is changed."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    graph = model.graph
    node = rng.choice(graph.node)
    match rng.randrange(11):
        case 0:
            node.op_type = rng.choice(_OPERATORS.split())
        case 1 if node.input:
            number = rng.randrange(len(node.input))
            node.input[number] = rng.choice(
                [n for one in graph.node for n in one.output] + ["", "x"]
            )
        case 2 if node.input:
            del node.input[rng.randrange(len(node.input))]
        case 3 if node.attribute:
            one = rng.choice(node.attribute)
            one.i, one.f = rng.choice([0, 1, -1, 2, 1 << 40]), rng.choice([0.0, -1.0, 1e30])
        case 4 if node.attribute:
            one = rng.choice(node.attribute)
            one.ints[:] = [rng.choice([0, 1, -1, 2, 3, 1 << 31]) for _ in range(rng.randrange(5))]
        case 5 if node.attribute:
            rng.choice(node.attribute).type = rng.randrange(15)
        case 6 if graph.initializer:
            one = rng.choice(graph.initializer)
            one.raw_data = mutate(one.raw_data)[: len(one.raw_data)].ljust(len(one.raw_data), b"\0")
        case 7 if graph.initializer:
            one = rng.choice(graph.initializer)
            one.dims[:] = [rng.choice([0, 1, 2, 3, 8, 1 << 30]) for _ in range(rng.randrange(4))]
        case 8:
            graph.node.append(onnx.NodeProto.FromString(node.SerializeToString()))
        case 9:
            other = onnx.NodeProto.FromString(mutate(node.SerializeToString()))
            node.CopyFrom(other)
        case _:
            return mutate(data)
    return model.SerializeToString()


_OPERATORS = (
    "Abs Add AveragePool BatchNormalization BipolarQuant Cast Ceil Clip Concat Constant Conv "
    "DequantizeLinear Div Dropout Flatten Floor Gather Gemm GlobalAveragePool Greater "
    "HardTanh Identity MatMul MaxPool Mul MultiThreshold Neg Pad Quant QuantizeLinear Relu "
    "Reshape Round Shape Sign Slice Softmax Split Squeeze Sub Sum TopK "
    "Transpose Trunc Unsqueeze Where ArgMax Im2Col QuantAvgPool2d BinaryQuant"
)
MUTATORS = {"zip": _zip, "bnn": _bnn, "packed": _packed, "png": _png, "onnx": _onnx, "h5": _h5}


def changed(kind: str, data: bytes, mutate: Mutate, seed: int) -> bytes:
    """``data`` changed in the way of ``kind``, or as plain bytes."""
    rng = random.Random(seed)
    frame = MUTATORS.get(kind)
    if frame is None or rng.random() < 0.2:
        return mutate(data)
    try:
        return frame(data, mutate, rng)
    except Exception:  # no such frame any more
        return mutate(data)

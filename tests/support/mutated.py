# SPDX-License-Identifier: BSD-3-Clause
"""Files of other frameworks, changed where it hurts: settings, attributes, arrays, members.

Unlike flipped bytes these stay well-formed HDF5, zip, JSON and pickle, so that what is inside
reaches the readers. :func:`mutated` is the same for the same file and seed.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

Random = random.Random

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    3,
    255,
    1 << 31,
    1 << 40,
    -(1 << 63),
    1 << 70,
    10**400,
    0.0,
    -0.5,
    1e-45,
    1e39,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "int32",
    "same",
    "channels_first",
    "float16",
    "a" * 5000,
    "\ud800",
    "\x00",
    "../..",
    "Custom>Dense",
    [],
    [[]],
    [None],
    [1],
    [3, 3],
    [0, 0],
    [-1, 1],
    [1, 2, 3],
    [[1, 2], [3, 4]],
    ["a", 0, 0],
    [["a", 0, 0, {}]],
    {},
    {"class_name": 5},
    {"class_name": "SteSign", "config": 3},
    {"class_name": "DoReFa", "config": {"k_bit": 40}},
    {"class_name": "function", "config": "sign"},
    {"module": "builtins", "class_name": "function", "config": []},
]

#: What changing a file raises that is too damaged to be changed any more.
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)


def mutated(data: bytes, seed: int) -> bytes:
    """``data``, a file, with a few changes."""
    rng = Random(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(*_DAMAGED):
            for _ in range(rng.choice([1, 1, 1, 2, 4])):
                data = _changed(data, rng)
    return data


def _changed(data: bytes, rng: Random) -> bytes:
    if data.startswith(b"\x89HDF"):
        return _hdf5(data, rng)
    if data.startswith(b"PK"):
        return _zip(data, rng)
    if data.startswith(b"\x93NUMPY"):
        return _npy(data, rng)
    return _bytes(data, rng)


def _bytes(data: bytes, rng: Random) -> bytes:
    """A pickle or anything else: bytes changed, dropped, doubled."""
    if not data:
        return b"\x00"
    place = rng.randrange(len(data))
    size = rng.choice([1, 1, 2, 4, 8, 40])
    match rng.randrange(4):
        case 0:
            return data[:place] + data[place + size :]
        case 1:
            return data[:place] + data[place : place + size] + data[place:]
        case 2:
            other = rng.randrange(len(data))
            return data[:place] + data[other : other + size] + data[place + size :]
    return data[:place] + rng.randbytes(size) + data[place + size :]


# --- JSON ----------------------------------------------------------------------------


def changed_json(value: Any, rng: Random) -> Any:
    """A tree of JSON with one node replaced, dropped, doubled or exchanged."""
    value = copy.deepcopy(value)
    nodes = _nodes(value)
    if not nodes:
        return rng.choice(VALUES)
    holder, key = rng.choice(nodes)
    match rng.randrange(7):
        case 0:
            del holder[key]
        case 1:
            other, there = rng.choice(nodes)
            holder[key] = copy.deepcopy(other[there])
        case 2 if isinstance(holder, dict):
            holder[str(key) + "_"] = holder.pop(key)
        case 2 | 3 if isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
        case 3:
            holder["extra"] = rng.choice(VALUES)
        case 4 if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] += rng.choice([-1, 1, 0.5, -1000])
        case _:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    return value


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one))
        for key in keys:
            found.append((one, key))
            if isinstance(one[key], dict | list):
                waiting.append(one[key])
    return found


def _json_text(data: bytes, rng: Random) -> bytes:
    if rng.random() < 0.1:
        return _bytes(data, rng)
    changed = changed_json(json.loads(data), rng)
    return json.dumps(changed).encode("utf-8", "surrogatepass")


# --- HDF5 ----------------------------------------------------------------------------


def _hdf5(data: bytes, rng: Random) -> bytes:
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        groups: list[Any] = [file]
        arrays: list[str] = []
        file.visititems(
            lambda name, item: (
                arrays.append(name) if isinstance(item, h5py.Dataset) else groups.append(item)
            )
        )
        choice = rng.random()
        if choice < 0.5 and "model_config" in file.attrs:
            _hdf5_config(file, rng)
        elif choice < 0.7:
            _hdf5_attribute(rng.choice(groups), rng)
        elif arrays:
            _hdf5_array(file, rng.choice(arrays), rng)
    return stream.getvalue()


def _hdf5_config(file: Any, rng: Random) -> None:
    text = file.attrs["model_config"]
    text = text if isinstance(text, bytes) else text.encode()
    changed = _json_text(text, rng)
    del file.attrs["model_config"]
    file.attrs["model_config"] = np.bytes_(changed) if rng.random() < 0.3 else changed


def _hdf5_attribute(group: Any, rng: Random) -> None:
    names = [*group.attrs, "weight_names", "keras_version", "name"]
    name = rng.choice(names)
    odd: list[Any] = [
        5,
        2.5,
        b"\xff\xfe",
        "text",
        "2.",
        np.zeros(3),
        np.zeros((2, 2), np.int8),
        np.array([b"kernel:0", b"kernel:0"]),
        np.array([b"a/kernel:0", b"\xff"]),
        np.array(["bias", "kernel"], dtype=h5py.string_dtype()),
        h5py.Empty("f"),
        h5py.Empty("S5"),
        np.void(b"abc"),
        group.ref,
        np.array([b""] * 300),
        1 + 2j,
        True,
    ]
    if name in group.attrs and rng.random() < 0.2:
        del group.attrs[name]
    else:
        group.attrs[name] = rng.choice(odd)


def _odd_arrays(array: Any, rng: Random) -> Any:
    """``array`` with another type, shape or content."""
    array = np.asarray(array)
    types = [
        np.float64,
        np.float16,
        np.int8,
        np.uint8,
        np.int64,
        np.bool_,
        np.complex64,
        "S3",
        ">f4",
    ]
    changes: list[Callable[[], Any]] = [
        lambda: array.astype(rng.choice(types)),
        lambda: array.T,
        lambda: array[..., None],
        lambda: array.reshape(-1),
        lambda: array.reshape(-1)[:-1],
        lambda: array[:0],
        lambda: np.zeros((), np.float32),
        lambda: np.full(array.shape, np.nan, np.float32),
        lambda: np.full(array.shape, np.inf, np.float32),
        lambda: np.full(array.shape, 3e38, np.float32),
        lambda: np.full(array.shape, 1e-45, np.float32),
        lambda: np.full(array.shape, 1e300, np.float64),
        lambda: np.zeros(array.shape, np.float32),
        lambda: -array,
        lambda: array + np.asarray(rng.random(), array.dtype),
        lambda: np.concatenate([array, array]),
        lambda: np.zeros((3, 0, 2), np.float32),
        lambda: np.zeros([1] * 20, np.float32),
    ]
    return rng.choice(changes)()


def _hdf5_array(file: Any, name: str, rng: Random) -> None:
    if (file[name].size or 0) > 1 << 22:
        return  # made huge by a change before
    array = file[name][()]
    del file[name]
    plain = np.asarray(array)
    match rng.randrange(12):
        case 0:
            pass
        case 1:
            file.create_group(name)
        case 2:
            file[name] = h5py.SoftLink("/" + name)
        case 3:
            file[name] = h5py.ExternalLink("other.h5", name)
        case 4 if plain.ndim:
            layout = h5py.VirtualLayout(plain.shape, plain.dtype)
            layout[...] = h5py.VirtualSource("other.h5", name, plain.shape)
            file.create_virtual_dataset(name, layout)
        case 5 if plain.ndim and plain.size:
            filters: list[dict[str, Any]] = [
                {"compression": "gzip", "shuffle": True},
                {"compression": "lzf"},
                {"fletcher32": True},
                {"chunks": True, "maxshape": (None,) * plain.ndim},
            ]
            file.create_dataset(name, data=plain, **rng.choice(filters))
        case 6:
            file[name] = rng.choice([h5py.Empty("f"), "text", np.array([b"a"]), file.ref])
        case 7:
            file.create_dataset(name, (1 << 14, 1 << 14, 64), "f4", chunks=(64, 64, 64))
        case 8:
            file.create_dataset(name, (1 << 33,), "f4", chunks=(1024,))
        case 9 if plain.ndim:
            kind = np.dtype([("a", "f4"), ("b", "i4")])
            file[name] = np.zeros(plain.shape, kind)
        case _:
            file[name] = _odd_arrays(plain, rng)


# --- zip -----------------------------------------------------------------------------


def _zip(data: bytes, rng: Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    likely = [one for one in members if one == "config.json" or one.endswith("data.pkl")]
    if likely and rng.random() < 0.5:
        name = likely[0]
    doubled = False
    match rng.randrange(12):
        case 0:
            del members[name]
        case 1:
            members[name] = b""
        case 2:
            members[rng.choice(["x", "../x", name + "_", name.upper()])] = members.pop(name)
        case 3:
            members[name] = members[rng.choice(list(members))]
        case 4:
            doubled = True
        case _:
            inner = members[name]
            members[name] = (
                _json_text(inner, rng) if name.endswith("json") else _changed(inner, rng)
            )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for one, inner in members.items():
            archive.writestr(one, inner)
        if doubled:
            archive.writestr(name, rng.choice(list(members.values())))
    return stream.getvalue()


def _npy(data: bytes, rng: Random) -> bytes:
    if rng.random() < 0.2:
        place = rng.randrange(min(len(data), 128))
        return data[:place] + rng.randbytes(1) + data[place + 1 :]
    array = np.load(io.BytesIO(data))
    stream = io.BytesIO()
    np.save(stream, _odd_arrays(array, rng))
    return stream.getvalue()

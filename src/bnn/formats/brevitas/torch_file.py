# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch checkpoints (``torch.save``'s files) read as data, without torch or pickle.

Since version 1.6 PyTorch writes zip files. Earlier versions wrote several pickles in a row, and
after them the numbers of each storage.

A checkpoint is a pickle program that builds dictionaries of tensors. Here the program is only
parsed (:mod:`pickletools`): containers and tensors are understood; everything else becomes an
:class:`Inert` object. Nothing is imported or called.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.system import archives
from bnn.system.files import read_file

MAX_OPCODES = 1 << 22

_STORAGES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


@dataclass(frozen=True)
class Inert:
    """Stands for an object that a pickle would import or make; here it is not made."""

    name: str


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: Any


_MARK = Inert("mark")


def is_checkpoint(names: Any) -> bool:
    """Return whether a zip archive with members ``names`` is a PyTorch checkpoint."""
    return any(name.endswith("/data.pkl") for name in names)


#: How a checkpoint of before version 1.6 begins: its pickled number and version.
OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_OLD_VERSION = 1001
#: Most bytes of an old checkpoint.
MAX_OLD = 1 << 30


def read(path: Path) -> Any:
    """Return the contents of the checkpoint ``path``.

    They are dictionaries, lists, numbers, text and arrays; other objects are :class:`Inert`.

    Raises:
        FormatError: the file is damaged, or is not a PyTorch checkpoint.
    """
    with archives.size_checked(path).open("rb") as file:
        is_old = file.read(len(OLD)) == OLD
    if is_old:
        return _read_old(path)
    with archives.opened(path) as archive:
        program = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
        if program is None:
            raise FormatError(f"{path}: is not a PyTorch checkpoint (a zip file with data.pkl)")
        folder = program[: -len("data.pkl")]
        order_file = f"{folder}byteorder"
        if order_file in archive.namelist():
            order = archives.unpacked(path, archive, order_file)
            if order != b"little":
                raise FormatError(
                    f"{path}: its numbers are {order[:20]!r}-endian, not little-endian"
                )

        def storage(key: str) -> bytes:
            return archives.unpacked(path, archive, f"{folder}data/{key}")

        try:
            return _Program(storage).result(archives.unpacked(path, archive, program))
        except _OverlapError as reason:
            raise FormatError(f"{path}: {reason}") from None
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError):
            raise FormatError(f"{path}: its data.pkl is damaged, or of an unknown kind") from None


def _read_old(path: Path) -> Any:
    """Read a checkpoint of PyTorch before version 1.6.

    The file has, in this order: a fixed number, the version, the sizes of the machine's number
    types, the saved object, the keys of the storages; and then, for each storage, how many
    numbers it has, and the numbers.
    """
    data = io.BytesIO(read_file(path, MAX_OLD, FormatError))
    storages: dict[str, tuple[int, int]] = {}

    def nothing(_: str) -> bytes:
        raise ValueError

    def storage(key: str, size: int) -> bytes:
        place, count = storages[key]
        return data.getbuffer()[place : place + count * size].tobytes()

    try:
        _Program(nothing).result(data)
        version, machine = (_Program(nothing).result(data) for _ in range(2))
        if version != _OLD_VERSION or not machine.get("little_endian"):
            raise FormatError(
                f"{path}: its version is {version!r:.20}, not {_OLD_VERSION}, or its numbers are "
                "big-endian; save it again with PyTorch 1.6 or later"
            )
        start = data.tell()
        sized = _Program(nothing)
        sized.only_looks = True
        sized.result(data)
        keys = _Program(nothing).result(data)
        for key in keys:
            count = int.from_bytes(data.read(8), "little")
            kept = sized.sizes.get(str(key), 0)
            if not kept > 0 or count * kept > len(data.getbuffer()) - data.tell():
                raise ValueError
            storages[str(key)] = (data.tell(), count)
            data.seek(count * kept, io.SEEK_CUR)
        data.seek(start)
        program = _Program(lambda key: storage(key, sized.sizes[key]))
        return program.result(data)
    except _OverlapError as reason:
        raise FormatError(f"{path}: {reason}") from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError):
        raise FormatError(f"{path}: is damaged, or of an unknown kind") from None


class _OverlapError(Exception):
    """A tensor uses a number of its storage twice, or the tensors are too large together."""


class _Program:
    """Stack and memory of a pickle program."""

    def __init__(self, storage: Callable[[str], bytes]) -> None:
        self._read = storage
        self._storages: dict[str, bytes] = {}
        self._left = archives.MAX_UNPACKED_BYTES
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        #: By key of a storage: bytes of one of its numbers.
        self.sizes: dict[str, int] = {}
        #: Whether tensors are only noted, because their storages are not read yet.
        self.only_looks = False

    def result(self, program: bytes | BinaryIO) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(program)):
            if count > MAX_OPCODES:
                raise ValueError
            if opcode.name == "STOP":
                return self.stack[-1]
            self._step(opcode.name, argument)
        raise ValueError

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                stack.append(_MARK)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "GLOBAL":
                stack.append(Inert(argument))
            case "STACK_GLOBAL":
                second, first = stack.pop(), stack.pop()
                stack.append(Inert(f"{first} {second}"))
            case "MEMOIZE":
                self.memory[len(self.memory)] = stack[-1]
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                self.memory[int(argument)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(self.memory[int(argument)])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(name[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "TUPLE":
                stack.append(tuple(self._marked()))
            case "LIST" | "FROZENSET":
                stack.append(self._marked())
            case "APPEND":
                item = stack.pop()
                self._extend([item])
            case "APPENDS" | "ADDITEMS":
                self._extend(self._marked())
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self._set([key, value])
            case "SETITEMS":
                self._set(self._marked())
            case "DICT":
                items = self._marked()
                stack.append({})
                self._set(items)
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(self._made(stack.pop(), arguments))
            case "BUILD":
                stack.pop()
            case "POP":
                stack.pop()
            case "BINPERSID":
                stack.append(self._persistent(stack.pop()))
            case _ if argument is not None:
                stack.append(argument)
            case _:
                raise ValueError(name)

    def _marked(self) -> list[Any]:
        """Remove everything after the last mark from the stack, and return it."""
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                # Checkpoints have no other keys, and hashing some objects takes very long.
                if isinstance(key, str) or (type(key) is int and abs(key) < 1 << 63):
                    self.stack[-1][key] = value

    def _made(self, what: Any, arguments: Any) -> Any:
        name = what.name if isinstance(what, Inert) else ""
        match name:
            case "collections OrderedDict" | "collections defaultdict":
                return {}
            case "torch._utils _rebuild_tensor_v2":
                return self._tensor(*arguments[:4])
            case "torch._utils _rebuild_parameter":
                return arguments[0]
        return Inert(name)

    def _persistent(self, given: Any) -> Any:
        kind, storage, key = given[0], given[1], given[2]
        dtype = _STORAGES.get(storage.name.split()[-1]) if isinstance(storage, Inert) else None
        if kind != "storage" or dtype is None:
            return Inert("storage")
        if len(given) > 5 and given[5] is not None:  # of old files: a part of another storage
            raise ValueError
        self.sizes[str(key)] = np.dtype(dtype).itemsize
        return _Storage(str(key), np.dtype(dtype))

    def _tensor(self, storage: Any, offset: Any, shape: Any, stride: Any) -> Any:
        if not isinstance(storage, _Storage) or self.only_looks:
            return Inert("tensor")
        flat = self._flat(storage)
        sizes = [int(n) for n in shape]
        steps = [int(n) for n in stride]
        if min([offset, *sizes, *steps], default=0) < 0 or len(sizes) != len(steps):
            raise ValueError
        item = storage.dtype.itemsize
        count = math.prod(sizes)
        if count == 0:
            return np.zeros(sizes, storage.dtype)
        last = 0
        for step, size in sorted((s, n) for s, n in zip(steps, sizes, strict=True) if n > 1):
            if step <= last:
                raise _OverlapError("a tensor uses numbers of its storage more than once; refused")
            last += (size - 1) * step
        if offset + last >= flat.size:
            raise ValueError
        self._left -= count * item
        if self._left < 0:
            raise _OverlapError("its tensors are too large together; refused")
        view: NDArray[Any] = np.lib.stride_tricks.as_strided(
            flat[offset:], sizes, [s * item for s in steps], writeable=False
        )
        return view.copy()

    def _flat(self, storage: _Storage) -> NDArray[Any]:
        if storage.key not in self._storages:
            self._storages[storage.key] = self._read(storage.key)
        return np.frombuffer(self._storages[storage.key], storage.dtype.newbyteorder("<"))

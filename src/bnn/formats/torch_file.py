# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch checkpoints (``torch.save``'s zip files) read as data, without torch or pickle.

A checkpoint is a pickle program that builds dictionaries of tensors. Here the program is
only looked at (:mod:`pickletools`): of the things that it may name, containers and tensors
are understood; everything else stays an inert mark. Nothing is imported or called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats import archives

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
    """Something that a pickle names or would make: not made."""

    name: str


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: Any


_MARK = Inert("mark")


def is_checkpoint(names: Any) -> bool:
    """Whether a zip archive with members ``names`` is a PyTorch checkpoint."""
    return any(name.endswith("/data.pkl") for name in names)


def read(path: Path) -> Any:
    """What the checkpoint ``path`` holds: dictionaries, lists, numbers, text, arrays.

    Raises:
        FormatError: it is damaged, or no such checkpoint.
    """
    names = archives.members(path)
    program = next((name for name in names if name.endswith("/data.pkl")), None)
    if program is None:
        raise FormatError(f"{path}: is no PyTorch checkpoint (a zip file with data.pkl)")
    folder = program[: -len("data.pkl")]
    if f"{folder}byteorder" in names:
        order = archives.member(path, f"{folder}byteorder")
        if order != b"little":
            raise FormatError(f"{path}: its numbers are {order[:20]!r}-endian; little is read")

    def storage(key: str) -> bytes:
        return archives.member(path, f"{folder}data/{key}")

    try:
        return _Program(storage).result(archives.member(path, program))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError):
        raise FormatError(f"{path}: its data.pkl is damaged, or of an unknown kind") from None


class _Program:
    """A pickle program's stack and memory."""

    def __init__(self, storage: Callable[[str], bytes]) -> None:
        self.storage = storage
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def result(self, program: bytes) -> Any:
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
                stack.append({})
                self._set(self._marked())
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
        """What was pushed since the last mark, taken off."""
        place = max(i for i, item in enumerate(self.stack) if item is _MARK)
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                if isinstance(key, str | int | float | tuple):
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
        return _Storage(str(key), np.dtype(dtype))

    def _tensor(self, storage: Any, offset: Any, shape: Any, stride: Any) -> Any:
        if not isinstance(storage, _Storage):
            return Inert("tensor")
        flat = np.frombuffer(self.storage(storage.key), storage.dtype.newbyteorder("<"))
        sizes = [int(n) for n in shape]
        steps = [int(n) for n in stride]
        if min([offset, *sizes, *steps], default=0) < 0:
            raise ValueError
        last = offset + sum((n - 1) * s for n, s in zip(sizes, steps, strict=True))
        if np.prod(sizes, dtype=float) > archives.MAX_VALUES or (
            0 not in sizes and last >= flat.size
        ):
            raise ValueError
        item = storage.dtype.itemsize
        view: NDArray[Any] = np.lib.stride_tricks.as_strided(
            flat[offset:], sizes, [s * item for s in steps], writeable=False
        )
        return view.copy()

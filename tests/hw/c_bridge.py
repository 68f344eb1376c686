# SPDX-License-Identifier: BSD-3-Clause
"""The C driver of a design, compiled, on a transport of the Python driver."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bnn.hw import c_driver
from bnn.hw.boards import board
from bnn.hw.design import Design
from bnn.hw.loading import Metadata, metadata
from bnn.hw.render import sources

CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
#: What would hide a mistake of ours stops the compiler or the program.
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion", "-O1", "-g")
#: Undefined behaviour ends the program.
SANITIZED = ("-fsanitize=undefined,bounds", "-fno-sanitize-recover=all")

READ = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)
WRITE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)
CACHE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
TIME = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p)
IDLE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Device(ctypes.Structure):
    """``bnn_device`` of ``bnn_driver.h``."""

    _fields_ = (
        ("registers", ctypes.c_void_p),
        ("read32", READ),
        ("write32", WRITE),
        ("memory", ctypes.c_void_p),
        ("memory_address", ctypes.c_uint64),
        ("memory_bytes", ctypes.c_size_t),
        ("flush", CACHE),
        ("invalidate", CACHE),
        ("milliseconds", TIME),
        ("idle", IDLE),
        ("patience_cycles", ctypes.c_uint64),
        ("user", ctypes.c_void_p),
        ("error_bits", ctypes.c_uint32),
        ("images", ctypes.c_uint32),
        ("cycles", ctypes.c_uint64),
        ("first", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
        ("capacity", ctypes.c_uint32),
        ("results", ctypes.c_size_t),
        ("state", ctypes.c_int),
    )


def write(design: Design, folder: Path, known: Metadata | None = None) -> Path:
    """Write the C files of a design into ``folder``/c; return that folder."""
    known = known or metadata(design, sources(design))
    place = folder / "c"
    place.mkdir(parents=True)
    for name, text in c_driver.files(design, known, board("pynq-z2")).items():
        (place / name).write_text(text, encoding="utf-8")
    return place


def run(*command: str | Path) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def compiled(place: Path) -> Any:
    """Return the driver in the folder ``place`` as a library."""
    library = place / "driver.so"
    files = sorted(place.glob("bnn_*.c"))
    assert CC is not None
    run(CC, *STRICT, *SANITIZED, "-shared", "-fPIC", "-o", library, *files)
    loaded = ctypes.CDLL(str(library))
    loaded.bnn_error_name.restype = loaded.bnn_error_text.restype = ctypes.c_char_p
    loaded.bnn_capacity.restype = ctypes.c_uint32
    return loaded


class CDriver:
    """A C driver: its functions return codes by name.

    ``read`` and ``write`` are called for each register access; ``memory`` is what the accelerator
    has at ``address``. Without ``milliseconds`` the driver counts its reads.
    """

    def __init__(
        self,
        place: Path,
        read: Callable[[int], int],
        write: Callable[[int, int], None],
        memory: Any,
        address: int,
        *,
        milliseconds: Callable[[], int] | None = None,
        caches: tuple[Callable[[int, int], None], Callable[[int, int], None]] | None = None,
    ) -> None:
        self.library = compiled(place)
        self.header = (place / "bnn_design.h").read_text(encoding="utf-8")
        self.memory = memory
        first = memory.ctypes.data
        self.device = Device()
        self.device.read32 = READ(lambda _, offset: read(offset))
        self.device.write32 = WRITE(lambda _, offset, value: write(offset, value))
        self.device.memory = first
        self.device.memory_address = address
        self.device.memory_bytes = memory.nbytes
        if milliseconds is not None:
            self.device.milliseconds = TIME(lambda _: milliseconds() & 0xFFFFFFFF)
        if caches is not None:
            flush, invalidate = caches
            self.device.flush = CACHE(lambda _, at, size: flush(at - first, size))
            self.device.invalidate = CACHE(lambda _, at, size: invalidate(at - first, size))

    def call(self, name: str, *given: Any) -> str:
        code = getattr(self.library, name)(ctypes.byref(self.device), *given)
        return self.library.bnn_error_name(code).decode()

    def text(self, code: int) -> str:
        return str(self.library.bnn_error_text(code).decode())

    def open(self) -> str:
        return self.call("bnn_open")

    def load(self) -> str:
        return self.call("bnn_load", *self.parameters())

    def parameters(self) -> tuple[Any, Any]:
        """The array ``bnn_parameters``, and how many words it has."""
        size = ctypes.c_size_t(self.defined("BNN_PARAMETER_WORDS"))
        return ctypes.byref(ctypes.c_uint32.in_dll(self.library, "bnn_parameters")), size

    def defined(self, name: str) -> int:
        """A number of ``bnn_design.h``."""
        found = re.search(rf"#define {name} (\w+?)u?$", self.header, re.MULTILINE)
        assert found
        return int(found[1], 0)

    def put(self, number: int, image: np.ndarray) -> str:
        kept = np.ascontiguousarray(image)
        return self.call("bnn_put", ctypes.c_uint32(number), ctypes.c_void_p(kept.ctypes.data))

    def start(self, images: int) -> str:
        return self.call("bnn_start", ctypes.c_uint32(images))

    def wait(self) -> str:
        return self.call("bnn_wait")

    def scores(self, images: int, values: int) -> np.ndarray:
        found = np.zeros((images, values), np.int32)
        for number, row in enumerate(found):
            at = ctypes.c_void_p(row.ctypes.data)
            assert self.call("bnn_scores", ctypes.c_uint32(number), at) == "BNN_OK"
        return found

    def classes(self, scores: np.ndarray) -> list[int]:
        return [self.library.bnn_class(ctypes.c_void_p(row.ctypes.data)) for row in scores]

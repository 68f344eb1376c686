# SPDX-License-Identifier: BSD-3-Clause
"""Reading files that may be packed (gz, xz), without believing what they say of themselves.

Memory grows with the bytes that are really there, never with a size that a header claims,
and stops at a limit: a small file that unpacks without end is an error, not a full memory.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from bnn.errors import BnnError, DataError

#: Where data comes from: a path, or the bytes of a file.
Source = str | os.PathLike[str] | bytes

#: No file may hold more bytes than this once unpacked. The largest data set of this
#: kind, EMNIST by class, is about half as large.
MAX_BYTES = 1 << 30

#: How the names of packed files end.
PACKED = (".gz", ".xz")

_CHUNK = 1 << 20
_XZ_MEMORY = 256 << 20  # `xz -9` needs 65 MiB to unpack; a hostile file may ask for 4 GiB
_GZ_MAGIC = b"\x1f\x8b"
_XZ_MAGIC = b"\xfd7zXZ\x00"


class _Readable(Protocol):
    def read(self, count: int, /) -> bytes: ...


class _XzStream:
    """One xz stream; unlike ``lzma.open`` with a bound on the decoder's memory."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def read(self, count: int, /) -> bytes:
        while not self._decoder.eof:
            more = self._packed.read(_CHUNK) if self._decoder.needs_input else b""
            if self._decoder.needs_input and not more:
                raise EOFError
            if data := self._decoder.decompress(more, max_length=count):
                return data
        if self._decoder.unused_data or self._packed.read(1):
            raise lzma.LZMAError("bytes follow the end of the xz stream")
        return b""


class Unpacked:
    """The unpacked bytes of a file, read front to back, at most ``limit`` of them.

    Reading more raises `DataError`.
    """

    def __init__(self, stream: _Readable, name: str, limit: int) -> None:
        self._stream = stream
        self._left = limit
        self._limit = limit
        self.name = name

    def read(self, count: int = -1) -> bytearray:
        """Up to ``count`` bytes, fewer only where the data end (-1: all that is left)."""
        data = bytearray()
        while count < 0 or len(data) < count:
            want = _CHUNK if count < 0 else min(_CHUNK, count - len(data))
            chunk = self._stream.read(want)
            if not chunk:
                break
            self._left -= len(chunk)
            if self._left < 0:
                raise DataError(f"{self.name}: holds more than {self._limit} bytes once unpacked")
            data += chunk
        return data


def source_name(source: Source) -> str:
    """What to call a source in a message."""
    return "<bytes>" if isinstance(source, bytes) else os.fspath(source)


@contextmanager
def open_unpacked(source: Source, limit: int = MAX_BYTES) -> Iterator[Unpacked]:
    """Open a plain, gz or xz file (told apart by their first bytes) for bounded reading.

    Whatever goes wrong while it is open, be it missing, truncated or damaged, is a
    `DataError` that names it.
    """
    name = source_name(source)
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as raw:
            yield Unpacked(_unpacking(raw), name, limit)
    except BnnError:
        raise
    except EOFError:
        raise DataError(f"{name}: truncated, its packed data end too early") from None
    except (OSError, ValueError, zlib.error, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{name}: cannot be read: {reason}") from error


def _unpacking(raw: BinaryIO) -> _Readable:
    magic = raw.read(len(_XZ_MAGIC))
    raw.seek(0)
    if magic == _XZ_MAGIC:
        return _XzStream(raw)
    if magic.startswith(_GZ_MAGIC):
        return gzip.GzipFile(fileobj=raw, mode="rb")
    return raw


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file, packed where its name ends in ``.gz`` or ``.xz``."""
    suffix = Path(path).suffix
    if suffix == ".gz":
        data = gzip.compress(data, mtime=0)  # no time stamp: equal data give equal files
    elif suffix == ".xz":
        data = lzma.compress(data)
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be written: {error.strerror}") from error

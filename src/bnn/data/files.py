# SPDX-License-Identifier: BSD-3-Clause
"""Bounded reading of files that may be packed (gz, xz, bz2); no size in a file is trusted.

Memory use depends on the bytes that are read, not on a size in a header, and it has a limit: a
small file that unpacks to too much is an error.
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from bnn.errors import BnnError, DataError
from bnn.system.files import open_file, write_whole

#: Source of data: a path, or the bytes of a file.
Source = str | os.PathLike[str] | bytes

#: Most bytes of an unpacked file. The largest data set of this kind, EMNIST by class, has 547 MB.
MAX_BYTES = 5 << 27
#: Beyond the first 64 MiB, a file may unpack to at most this multiple of its size (MNIST: 5).
MAX_RATIO = 50
_UNDOUBTED = 1 << 26

#: Suffixes of packed files.
PACKED = (".gz", ".xz")

_CHUNK = 1 << 20
_XZ_MEMORY = 80 << 20  # `xz -9` needs 65 MiB to unpack; a hostile file may ask for 4 GiB
_MAX_STREAMS = 1 << 12  # in one packed file, one after the other
_GZ_MAGIC = b"\x1f\x8b"
_XZ_MAGIC = b"\xfd7zXZ\x00"
_BZ_MAGIC = b"BZh"
#: After the magic number and a digit: start of a block, or end of an empty file.
_BZ_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")


class _Readable(Protocol):
    def read(self, count: int, /) -> bytes: ...


class _Zlib:
    """zlib's decompressor of one gz stream, with the interface of the ones of lzma and bz2."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


class _Stream:
    """Decoder of a packed file, which may consist of several packed streams, one after the other.

    Unlike ``gzip.open`` and ``lzma.open``, this class bounds the decoder's memory, and does not
    spend time on endless headers or empty streams.
    """

    def __init__(self, packed: BinaryIO, magic: bytes, make: Callable[[], Any]) -> None:
        self._packed = packed
        self._magic = magic
        self._make = make
        self._decoder = make()
        self._begun = b""  # read, but not decoded yet
        self._streams = 1

    def read(self, count: int, /) -> bytes:
        while True:
            while not self._decoder.eof:
                wanting = self._decoder.needs_input
                more = self._more() if wanting else b""
                data: bytes = self._decoder.decompress(more, max_length=count)
                if data:
                    return data
                if wanting and not more and not self._decoder.eof:
                    raise EOFError
            if not self._next():
                return b""

    def _more(self) -> bytes:
        data, self._begun = self._begun, b""
        return data or self._packed.read(_CHUNK)

    def _next(self) -> bool:
        """Begin the next packed stream of the file, and return whether there is one.

        Zero bytes between two streams are skipped.
        """
        rest: bytes = self._decoder.unused_data.lstrip(b"\0")
        while len(rest) < len(self._magic):
            more = self._more()
            if not more:
                break
            rest = (rest + more).lstrip(b"\0")
        if not rest:
            return False
        if not rest.startswith(self._magic):
            raise ValueError("bytes follow the end of the packed data")
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise ValueError(f"more than {_MAX_STREAMS} packed streams follow each other")
        self._begun, self._decoder = rest, self._make()
        return True


class Unpacked:
    """The unpacked bytes of a file, for sequential reading of at most ``limit`` bytes.

    Reading more raises `DataError`.
    """

    def __init__(self, stream: _Readable, name: str, limit: int) -> None:
        self._stream = stream
        self._left = limit
        self._limit = limit
        self._begun = b""
        self.name = name

    def peek(self, count: int) -> bytes:
        """Return the next ``count`` bytes (fewer at the end); `read` will return them again."""
        self._begun = bytes(self.read(count))
        return self._begun

    def read(self, count: int = -1) -> bytearray:
        """Return the next ``count`` bytes, or all the rest if ``count`` is -1.

        There are fewer than ``count`` bytes only at the end of the data.
        """
        data, self._begun = (
            bytearray(self._begun[: count if count >= 0 else None]),
            (b"" if count < 0 else self._begun[count:]),
        )
        while count < 0 or len(data) < count:
            want = _CHUNK if count < 0 else min(_CHUNK, count - len(data))
            chunk = self._stream.read(want)
            if not chunk:
                break
            self._left -= len(chunk)
            if self._left < 0:
                raise DataError(f"{self.name}: has more than {self._limit} bytes when unpacked")
            data += chunk
        return data

    def drain(self) -> None:
        """Read the rest, and discard it."""
        while self.read(_CHUNK):
            pass


def source_name(source: Source) -> str:
    """Return the name of a source, for messages."""
    return "<bytes>" if isinstance(source, bytes) else os.fspath(source)


@contextmanager
def open_unpacked(source: Source, limit: int = MAX_BYTES) -> Iterator[Unpacked]:
    """Open a plain, gz, xz or bz2 file (recognised by its first bytes) for bounded reading.

    If the file is missing, truncated or damaged, a `DataError` names it. When a packed file is
    closed, the rest of it is read too, because its checksum is at the end.
    """
    name = source_name(source)
    try:
        with _opened(source) as raw:
            size = raw.seek(0, os.SEEK_END)
            raw.seek(0)
            most = max(_UNDOUBTED, MAX_RATIO * size)
            stream = _unpacking(raw)
            unpacked = Unpacked(stream, name, min(limit, most))
            yield unpacked
            if isinstance(stream, _Stream):
                unpacked.drain()
    except BnnError:
        raise
    except EOFError:
        raise DataError(f"{name}: truncated, its packed data end too early") from None
    except (OSError, ValueError, zlib.error, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{name}: cannot be read: {reason}") from error


def _opened(source: Source) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    return open_file(source, MAX_BYTES, DataError)


def _unpacking(raw: BinaryIO) -> _Readable:
    magic = raw.read(10)
    raw.seek(0)
    if magic.startswith(_XZ_MAGIC):
        return _Stream(raw, _XZ_MAGIC, _xz)
    if magic.startswith(_GZ_MAGIC):
        return _Stream(raw, _GZ_MAGIC, _Zlib)
    if magic.startswith(_BZ_MAGIC) and magic[4:] in _BZ_BLOCKS:
        return _Stream(raw, _BZ_MAGIC, bz2.BZ2Decompressor)
    return raw


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file, packed if its name ends in ``.gz`` or ``.xz``."""
    suffix = Path(path).suffix
    if suffix == ".gz":
        import gzip

        data = gzip.compress(data, mtime=0)  # without time stamp: equal data give equal files
    elif suffix == ".xz":
        data = lzma.compress(data)
    write_whole(path, data, DataError)

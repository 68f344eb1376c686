# SPDX-License-Identifier: BSD-3-Clause
"""Bounded sequential reading of files in a tar archive.

Python's ``tarfile`` trusts extended headers: it reads each of them whole, whatever its size, calls
itself recursively for each, and needs quadratic time for some. This module reads only what is
needed of tar: regular files, and their names in the three formats (ustar, pax, GNU).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from bnn.errors import DataError

_BLOCK = 512
#: Most bytes of an extended header (for long names).
_MAX_EXTENDED = 1 << 16
#: Most members, including extended headers.
_MAX_MEMBERS = 1 << 16
_CHUNK = 1 << 20


class NoTarError(DataError):
    """The first header is not a header of tar: the file is damaged, or is not a tar archive."""


class _Readable(Protocol):
    @property
    def name(self) -> str: ...

    def read(self, count: int, /) -> bytes | bytearray: ...


def members(
    stream: _Readable, wanted: Callable[[str], bool], limit: int, most: int | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the contents of each regular file that is wanted, in the archive's order.

    Args:
        stream: the unpacked archive; its attribute ``name`` is used in messages.
        wanted: called with each file's full name; returns whether the file is wanted.
        limit: largest number of bytes of all wanted files together.
        most: largest number of members, extended headers included; None: 65 536.

    Raises:
        DataError: the archive is damaged, truncated or too large, or one of the wanted names is a
            link.
    """
    most = _MAX_MEMBERS if most is None else most
    reader = _Tar(stream)
    for _ in range(most):
        found = reader.header()
        if found is None:
            return
        name, kind, size = found
        if kind in (b"0", b"\0", b"7") and not name.endswith("/") and wanted(name):
            limit -= size
            if limit < 0:
                raise reader.wrong("its files together are too large")
            yield name, reader.content(size)
        elif kind in (b"1", b"2") and wanted(name):
            raise DataError(
                f"{stream.name}: {name} is a link in this archive, and links are not followed; "
                "make the archive again with tar --dereference --hard-dereference"
            )
        else:
            reader.skip(size)
    raise reader.wrong(f"has more than {most} members")


class _Tar:
    """Reads a tar archive from its beginning to its end."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream
        self._begun = False

    def wrong(self, what: str) -> DataError:
        if not self._begun:
            return NoTarError(f"{self._stream.name}: is not a tar archive, or is damaged: {what}")
        return DataError(f"{self._stream.name}: damaged tar archive: {what}")

    def header(self) -> tuple[str, bytes, int] | None:
        """Return name, kind and size of the next member; None at the end of the archive."""
        long_name: str | None = None
        records: dict[str, str] = {}
        for _ in range(8):  # extended headers in a row
            block = self._exactly(_BLOCK)
            if not any(block):
                return None
            name, kind, size = self._plain(block)
            self._begun = True
            if kind == b"L":
                long_name = _text(self.extended(size).split(b"\0")[0])
            elif kind == b"x":
                records = self._records(self.extended(size))
            elif kind in (b"g", b"K"):
                self.extended(size)
            else:
                if "size" in records:
                    size = self._number(records["size"].encode(), 10)
                if any(key.startswith("GNU.sparse.") for key in records):
                    kind = b"S"  # a sparse file, which is not supported
                return records.get("path", long_name or name), kind, size
        raise self.wrong("has too many headers for one file")

    def content(self, size: int) -> bytes:
        """Return the bytes of a member of ``size`` bytes."""
        data = self._exactly(size)
        self._exactly(-size % _BLOCK)
        return bytes(data)

    def extended(self, size: int) -> bytes:
        """Return the bytes of an extended header of ``size`` bytes."""
        if size > _MAX_EXTENDED:
            raise self.wrong(f"has a header of {size} bytes")
        return self.content(size)

    def skip(self, size: int) -> None:
        """Skip a member."""
        left = size + -size % _BLOCK
        while left:
            left -= len(self._exactly(min(left, _CHUNK)))

    def _exactly(self, count: int) -> bytes | bytearray:
        data = self._stream.read(count)
        if len(data) < count:
            raise self.wrong("it is truncated")
        return data

    def _plain(self, block: bytes | bytearray) -> tuple[str, bytes, int]:
        total = sum(block[:148]) + 8 * 32 + sum(block[156:])
        if total != self._number(bytes(block[148:156]), 8):
            raise self.wrong("a header does not match its checksum")
        name, prefix = (
            _text(bytes(part).split(b"\0")[0]) for part in (block[:100], block[345:500])
        )
        if block[257:263] != b"ustar\0":  # GNU uses this field otherwise
            prefix = ""
        full = f"{prefix}/{name}" if prefix else name
        return full, bytes(block[156:157]), self._number(bytes(block[124:136]), 8)

    def _number(self, text: bytes, base: int) -> int:
        digits = text.strip(b"\0 ")
        if not digits.isdigit() or len(digits) > 12:
            raise self.wrong("a header has no number where one must be")
        try:
            return int(digits, base)
        except ValueError:
            raise self.wrong("a header has no number where one must be") from None

    def _records(self, data: bytes) -> dict[str, str]:
        """Return the records ``length key=value`` of a pax header."""
        found: dict[str, str] = {}
        place = 0
        while place < len(data):
            space = data.find(b" ", place, place + 8)
            if space < 0:
                raise self.wrong("an extended header is damaged")
            length = self._number(data[place:space], 10)
            record = data[space + 1 : place + length - 1]
            key, equals, value = record.partition(b"=")
            if not equals or data[place + length - 1 : place + length] != b"\n":
                raise self.wrong("an extended header is damaged")
            found[_text(key)] = _text(value)
            place += length
        return found


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")

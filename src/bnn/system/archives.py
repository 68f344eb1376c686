# SPDX-License-Identifier: BSD-3-Clause
"""Zip archives and HDF5 read with bounds: what a file claims is not believed.

Nothing is unpickled, no link out of the file is followed, and nothing is read that is
larger than a trained network of small integers can be.
"""

from __future__ import annotations

import io
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from bnn.errors import BnnError, FormatError
from bnn.system import heaps, install
from bnn.system.files import open_file

#: Bytes of a file, and of all members unpacked; see also :func:`unpacked_limit`.
MAX_FILE = 1 << 29
MAX_MEMBER = 1 << 28
MAX_MEMBERS = 1 << 13
#: Bytes of the list of members.
MAX_DIRECTORY = 1 << 21
#: Nor may a packed file hold more than so many times its own bytes, beyond the first 64 MiB.
MAX_RATIO = 40
_UNDOUBTED = 1 << 26
#: Values of one array, and of all that are taken from a file.
MAX_VALUES = 1 << 26
#: Names in a group of HDF5, and bytes of one attribute.
MAX_NAMES = 1 << 14
MAX_ATTRIBUTE = 1 << 24

#: What zipfile raises on damaged archives.
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError),
    *(RuntimeError, ValueError, IndexError),
)
#: The others' decoders take as much memory as the file says.
_PACKING = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

Array = NDArray[Any]

if TYPE_CHECKING:
    from typing_extensions import Self


def size_checked(path: Path) -> Path:
    """``path``, if it is a plain file of bearable size."""
    open_file(path, MAX_FILE, FormatError).close()
    return path


def unpacked_limit(size: int) -> int:
    """Bytes that a packed file of ``size`` bytes may hold in all.

    Trained weights hardly pack; whole numbers stored as float32 pack to a thirtieth.
    """
    return min(MAX_MEMBER, max(_UNDOUBTED, MAX_RATIO * size))


def members(path: Path) -> dict[str, int]:
    """Names in a zip archive and their claimed sizes."""
    with _zip(path) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with open_zip(path, FormatError) as archive:
            yield archive
    except DAMAGE:
        raise FormatError(f"{path}: is no zip archive, or a damaged one") from None


class _Directory:
    """A file whose reads are bounded while ``zipfile`` looks for the list of members.

    ``zipfile`` makes an object of every entry of the list, however long that is.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.is_bounded = True
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def seekable(self) -> bool:
        return True

    def read(self, count: int = -1, /) -> bytes:
        if not self.is_bounded:
            return self._file.read(count)
        data = self._file.read(MAX_DIRECTORY + 1 if count < 0 else min(count, MAX_DIRECTORY + 1))
        if len(data) > MAX_DIRECTORY:
            raise zipfile.BadZipFile("its list of members is too long")
        return data


@contextmanager
def open_zip(path: str | os.PathLike[str], error: type[BnnError]) -> Iterator[zipfile.ZipFile]:
    """A zip archive whose members, their list and their claimed sizes are bounded.

    Raises:
        BnnError: of class ``error``, if it is no plain file, or unpacks to too much.
        DAMAGE: it is damaged.
    """
    with open_file(path, MAX_FILE, error) as file:
        size = os.fstat(file.fileno()).st_size
        bounded = _Directory(file)
        with zipfile.ZipFile(cast(IO[bytes], bounded)) as archive:
            bounded.is_bounded = False
            infos = archive.infolist()
            total = sum(info.file_size for info in infos)
            if len(infos) > MAX_MEMBERS or total > unpacked_limit(size):
                raise error(
                    f"{os.fspath(path)}: unpacks to {total} bytes in {len(infos)} files; refused"
                )
            names = [info.filename for info in infos]
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise error(f"{os.fspath(path)}: holds {twice!r} twice; which one is meant?")
            if any(info.compress_type not in _PACKING for info in infos):
                raise error(f"{os.fspath(path)}: has members that are packed in an unknown way")
            yield archive


def member(path: Path, name: str) -> bytes:
    """One member of a zip archive, unpacked.

    Raises:
        FormatError: it is missing, damaged, or larger than it claims.
    """
    with _zip(path) as archive:
        return unpacked(path, archive, name)


def unpacked(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """One member of an open archive; ``path`` is for messages. Errors as :func:`member`."""
    try:
        info = archive.getinfo(name)
        with archive.open(info) as file:
            data = file.read(info.file_size + 1)
    except KeyError:
        raise FormatError(f"{path}: holds no {name!r}") from None
    except DAMAGE:
        raise FormatError(f"{path}: its member {name!r} is damaged") from None
    if len(data) != info.file_size:
        raise FormatError(f"{path}: its member {name!r} has another size than it claims")
    return data


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip archive whose members are taken with :func:`unpacked`; errors as :func:`member`."""
    with _zip(path) as archive:
        yield archive


def size_of(path: Path) -> int:
    """Bytes of a plain file of bearable size."""
    with open_file(path, MAX_FILE, FormatError) as file:
        return os.fstat(file.fileno()).st_size


def _heaps_end(path: Path) -> bool:
    with open_file(path, MAX_FILE, FormatError) as file:
        if not os.fstat(file.fileno()).st_size:
            return True  # nothing can be mapped of an empty file
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return heaps.ends(data)


class Hdf5:
    """An HDF5 file, read only: attributes and arrays by path.

    Args:
        path: for messages. data: the file's bytes, or None to read ``path``.
    """

    def __init__(self, path: Path, data: bytes | None = None) -> None:
        self.path = path
        self._left = unpacked_limit(len(data) if data is not None else size_of(path))
        try:
            import h5py
        except ImportError:
            raise FormatError(
                f"{path}: reading HDF5 needs the h5py package: {install.command('convert')}"
            ) from None
        if not (heaps.ends(data) if data is not None else _heaps_end(path)):
            raise FormatError(f"{path}: is damaged: a heap of texts in it has no end")
        try:
            self._file = h5py.File(
                io.BytesIO(data) if data is not None else size_checked(path), "r"
            )
        except (OSError, ValueError, RuntimeError, KeyError):
            raise FormatError(f"{path}: is no HDF5 file, or a truncated one") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def attribute(self, where: str, name: str) -> Any:
        """An attribute of a group, or None."""
        try:
            found = self._get(where)
            if found is None or name not in found.attrs:
                return None
            identity = found.attrs.get_id(name)
            count = np.prod(identity.shape, dtype=float) * identity.dtype.itemsize
            if count > MAX_ATTRIBUTE:
                raise FormatError(f"{self.path}: attribute {name!r} is too large")
            return found.attrs.get(name)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError):
            raise FormatError(f"{self.path}: attribute {name!r} is damaged") from None

    def keys(self, where: str) -> list[str]:
        """Names in a group; none if there is no such group."""
        found = self._get(where)
        try:
            if not hasattr(found, "keys"):
                return []
            if len(found) > MAX_NAMES:
                raise FormatError(f"{self.path}: {where!r} holds more than {MAX_NAMES} names")
            return list(found.keys())
        except (OSError, RuntimeError, ValueError, KeyError, TypeError):
            raise FormatError(f"{self.path}: {where!r} is damaged") from None

    def array(self, where: str) -> Array:
        """A data set as a real array."""
        import h5py

        found = self._get(where)
        if not isinstance(found, h5py.Dataset):
            raise FormatError(f"{self.path}: holds no array {where!r}")
        try:
            if found.size is None or found.size > MAX_VALUES or found.dtype.kind not in "fiu":
                raise FormatError(f"{self.path}: array {where!r} is too large or no numbers")
            if found.external or found.is_virtual:
                raise FormatError(f"{self.path}: array {where!r} lies in another file; refused")
            self._left -= found.size * found.dtype.itemsize + self._piece(found)
            if self._left < 0:
                raise FormatError(f"{self.path}: its arrays are too large for a file of its size")
            return np.asarray(found[()])
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError):
            raise FormatError(f"{self.path}: array {where!r} is damaged") from None

    def _piece(self, found: Any) -> int:
        """Bytes of a chunk, which HDF5 unpacks whole."""
        return 0 if found.chunks is None else int(np.prod(found.chunks)) * found.dtype.itemsize

    def _get(self, where: str) -> Any:
        import h5py

        found: Any = self._file
        try:
            for part in [part for part in where.split("/") if part]:
                link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
                if not isinstance(link, h5py.HardLink):
                    return None
                found = found[part]
        except (OSError, RuntimeError, ValueError, KeyError):
            raise FormatError(f"{self.path}: {where!r} is damaged") from None
        return found

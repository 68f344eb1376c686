# SPDX-License-Identifier: BSD-3-Clause
"""Bounded reading of zip archives and HDF5: no size in a file is trusted.

Nothing is unpickled, no link to another file is followed, and nothing is read that is larger than a
trained network of small integers can be.
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

#: Most bytes of a file, and of all members unpacked (see :func:`unpacked_limit`); most members.
MAX_FILE_BYTES = 1 << 29
MAX_UNPACKED_BYTES = 1 << 28
MAX_MEMBERS = 1 << 13
#: Most bytes of the list of members.
MAX_DIRECTORY_BYTES = 1 << 21
#: A packed file may contain this multiple of its own bytes, but at least 64 MiB.
MAX_RATIO = 40
_UNDOUBTED = 1 << 26
#: Most values of one array, and of all arrays together.
MAX_VALUES = 1 << 26
#: Most names in a group of HDF5, and most bytes of one attribute.
MAX_NAMES = 1 << 14
MAX_ATTRIBUTE_BYTES = 1 << 24

#: Exceptions that zipfile raises on damaged archives.
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError),
    *(RuntimeError, ValueError, IndexError),
)
#: Accepted compression methods; other decoders allocate as much memory as the file says.
_PACKING = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

Array = NDArray[Any]

if TYPE_CHECKING:
    from typing_extensions import Self


def size_checked(path: Path) -> Path:
    """Return ``path`` after checking that it is a regular file of at most 512 MiB.

    Raises:
        FormatError: the file is missing, not regular or too large.
    """
    open_file(path, MAX_FILE_BYTES, FormatError).close()
    return path


def unpacked_limit(size: int) -> int:
    """Return how many bytes a packed file of ``size`` bytes may contain at most.

    The limit is 40 times the size, but at least 64 MiB and at most 256 MiB. Trained weights can
    hardly be compressed, and whole numbers as float32 become about 30 times smaller.
    """
    return min(MAX_UNPACKED_BYTES, max(_UNDOUBTED, MAX_RATIO * size))


def members(path: Path) -> dict[str, int]:
    """Return name -> declared size in bytes of the members of a zip archive."""
    with _zip(path) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with open_zip(path, FormatError) as archive:
            yield archive
    except DAMAGE:
        raise FormatError(f"{path}: is not a zip archive, or is damaged") from None


class _Directory:
    """A file that returns a bounded number of bytes while ``zipfile`` reads the list of members.

    Without a bound, ``zipfile`` makes an object for every entry of a list of any length.
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
        most = MAX_DIRECTORY_BYTES + 1
        data = self._file.read(most if count < 0 else min(count, most))
        if len(data) > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its list of members is too long")
        return data


@contextmanager
def open_zip(path: str | os.PathLike[str], error: type[BnnError]) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive; number and declared sizes of its members are bounded.

    Raises:
        BnnError: of class ``error``: the file is missing or not regular, its contents are too
            large, two members have one name, or a member is packed in an unknown way.
        One of the classes in :data:`DAMAGE`: the archive is damaged.
    """
    with open_file(path, MAX_FILE_BYTES, error) as file:
        size = os.fstat(file.fileno()).st_size
        bounded = _Directory(file)
        with zipfile.ZipFile(cast(IO[bytes], bounded)) as archive:
            bounded.is_bounded = False
            infos = archive.infolist()
            total = sum(info.file_size for info in infos)
            if len(infos) > MAX_MEMBERS or total > unpacked_limit(size):
                raise error(
                    f"{os.fspath(path)}: is too large: it unpacks to {total} bytes in "
                    f"{len(infos)} files"
                )
            names = [info.filename for info in infos]
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise error(f"{os.fspath(path)}: contains {twice!r} twice")
            if any(info.compress_type not in _PACKING for info in infos):
                raise error(f"{os.fspath(path)}: has members that are packed in an unknown way")
            yield archive


def member(path: Path, name: str) -> bytes:
    """Return the unpacked bytes of one member of a zip archive.

    Raises:
        FormatError: archive or member is missing or damaged, or the member has another size
            than declared.
    """
    with _zip(path) as archive:
        return unpacked(path, archive, name)


def unpacked(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the unpacked bytes of a member of an open archive.

    ``path`` is for messages. The errors are those of :func:`member`.
    """
    try:
        info = archive.getinfo(name)
        with archive.open(info) as file:
            data = file.read(info.file_size + 1)
    except KeyError:
        raise FormatError(f"{path}: has no {name!r}") from None
    except DAMAGE:
        raise FormatError(f"{path}: its member {name!r} is damaged") from None
    if len(data) != info.file_size:
        raise FormatError(f"{path}: its member {name!r} has another size than declared")
    return data


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive for :func:`unpacked`; the errors are those of :func:`member`."""
    with _zip(path) as archive:
        yield archive


def size_of(path: Path) -> int:
    """Return the size in bytes of a regular file of at most 512 MiB.

    Raises:
        FormatError: the file is missing, not regular or too large.
    """
    with open_file(path, MAX_FILE_BYTES, FormatError) as file:
        return os.fstat(file.fileno()).st_size


def _heaps_end(path: Path) -> bool:
    with open_file(path, MAX_FILE_BYTES, FormatError) as file:
        if not os.fstat(file.fileno()).st_size:
            return True  # an empty file cannot be mapped
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return heaps.ends(data)


class Hdf5:
    """An HDF5 file that is read: attributes and arrays are found by their paths in it.

    Args:
        path: path of the file, also for messages.
        data: bytes of the file; None: the file ``path`` is read.

    Raises:
        FormatError: the file cannot be read or is damaged, or the package h5py is missing.
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
            raise FormatError(f"{path}: is damaged: a global heap in it has no end")
        try:
            self._file = h5py.File(
                io.BytesIO(data) if data is not None else size_checked(path), "r"
            )
        except (OSError, ValueError, RuntimeError, KeyError):
            raise FormatError(f"{path}: is not an HDF5 file, or is truncated") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def attribute(self, where: str, name: str) -> Any:
        """Return the attribute ``name`` of a group; None if there is no such attribute."""
        try:
            found = self._get(where)
            if found is None or name not in found.attrs:
                return None
            identity = found.attrs.get_id(name)
            count = np.prod(identity.shape, dtype=float) * identity.dtype.itemsize
            if count > MAX_ATTRIBUTE_BYTES:
                raise FormatError(f"{self.path}: attribute {name!r} is too large")
            return found.attrs.get(name)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError):
            raise FormatError(f"{self.path}: attribute {name!r} is damaged") from None

    def keys(self, where: str) -> list[str]:
        """Return the names in a group; an empty list if there is no such group."""
        found = self._get(where)
        try:
            if not hasattr(found, "keys"):
                return []
            if len(found) > MAX_NAMES:
                raise FormatError(f"{self.path}: {where!r} contains more than {MAX_NAMES} names")
            return list(found.keys())
        except (OSError, RuntimeError, ValueError, KeyError, TypeError):
            raise FormatError(f"{self.path}: {where!r} is damaged") from None

    def array(self, where: str) -> Array:
        """Return a data set as an array of real numbers.

        Raises:
            FormatError: there is no such data set, it is damaged, too large or not of real numbers.
        """
        import h5py

        found = self._get(where)
        if not isinstance(found, h5py.Dataset):
            raise FormatError(f"{self.path}: has no array {where!r}")
        try:
            if found.size is None or found.size > MAX_VALUES or found.dtype.kind not in "fiu":
                raise FormatError(f"{self.path}: array {where!r} is too large, or is not numbers")
            if found.external or found.is_virtual:
                raise FormatError(f"{self.path}: array {where!r} is in another file; refused")
            self._left -= found.size * found.dtype.itemsize + self._piece(found)
            if self._left < 0:
                raise FormatError(f"{self.path}: its arrays are too large for a file of its size")
            return np.asarray(found[()])
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError):
            raise FormatError(f"{self.path}: array {where!r} is damaged") from None

    def _piece(self, found: Any) -> int:
        """Return the bytes of a chunk, which HDF5 unpacks as a whole; 0 if there are no chunks."""
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

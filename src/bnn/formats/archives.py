# SPDX-License-Identifier: BSD-3-Clause
"""Zip archives and HDF5 read with bounds: what a file claims is not believed.

Nothing is unpickled, no link out of the file is followed, and nothing is read that is
larger than a trained network of small integers can be.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnn import install
from bnn.errors import FormatError

#: Bytes of a file, of one member unpacked, of all members unpacked.
MAX_FILE = 1 << 29
MAX_MEMBER = 1 << 29
MAX_MEMBERS = 1 << 14
#: Values of one array.
MAX_VALUES = 1 << 26

Array = NDArray[Any]

if TYPE_CHECKING:
    from typing_extensions import Self


def size_checked(path: Path) -> Path:
    """``path``, if it is a file of bearable size."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from None
    if not path.is_file():
        raise FormatError(f"{path}: is no file")
    if size > MAX_FILE:
        raise FormatError(f"{path}: is larger than {MAX_FILE >> 20} MiB")
    return path


def members(path: Path) -> dict[str, int]:
    """Names in a zip archive and their claimed sizes."""
    with _zip(path) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(size_checked(path))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise FormatError(f"{path}: is no zip archive, or a damaged one") from None
    infos = archive.infolist()
    total = sum(info.file_size for info in infos)
    if len(infos) > MAX_MEMBERS or total > MAX_MEMBER:
        raise FormatError(f"{path}: unpacks to {total} bytes in {len(infos)} files; refused")
    return archive


def member(path: Path, name: str) -> bytes:
    """One member of a zip archive, unpacked.

    Raises:
        FormatError: it is missing, damaged, or larger than it claims.
    """
    with _zip(path) as archive:
        try:
            info = archive.getinfo(name)
            with archive.open(info) as file:
                data = file.read(info.file_size + 1)
        except KeyError:
            raise FormatError(f"{path}: holds no {name!r}") from None
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError):
            raise FormatError(f"{path}: its member {name!r} is damaged") from None
        except NotImplementedError:
            raise FormatError(f"{path}: its member {name!r} is packed in an unknown way") from None
    if len(data) != info.file_size:
        raise FormatError(f"{path}: its member {name!r} has another size than it claims")
    return data


class Hdf5:
    """An HDF5 file, read only: attributes and arrays by path.

    Args:
        path: for messages. data: the file's bytes, or None to read ``path``.
    """

    def __init__(self, path: Path, data: bytes | None = None) -> None:
        self.path = path
        try:
            import h5py
        except ImportError:
            raise FormatError(
                f"{path}: reading HDF5 needs the h5py package: {install.command('convert')}"
            ) from None
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
            return None if found is None else found.attrs.get(name)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError):
            raise FormatError(f"{self.path}: attribute {name!r} is damaged") from None

    def keys(self, where: str) -> list[str]:
        """Names in a group; none if there is no such group."""
        found = self._get(where)
        return list(found.keys()) if hasattr(found, "keys") else []

    def array(self, where: str) -> Array:
        """A data set as a real array."""
        import h5py

        found = self._get(where)
        if not isinstance(found, h5py.Dataset):
            raise FormatError(f"{self.path}: holds no array {where!r}")
        if found.size is None or found.size > MAX_VALUES or found.dtype.kind not in "fiu":
            raise FormatError(f"{self.path}: array {where!r} is too large or no numbers")
        if found.external or found.is_virtual:
            raise FormatError(f"{self.path}: array {where!r} lies in another file; refused")
        try:
            return np.asarray(found[()])
        except (OSError, RuntimeError, ValueError):
            raise FormatError(f"{self.path}: array {where!r} is damaged") from None

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

# SPDX-License-Identifier: BSD-3-Clause
"""The sources of a bulk classification: cut them into shards, and read a shard in blocks.

A process works on one shard at a time, and a shard becomes one part of the results. A shard is some
picture files of a folder, a tar archive (WebDataset), a table (Parquet, Arrow), or some images of a
file of arrays (npy, IDX, CIFAR). How sources are cut does not depend on the engine.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from bnn._typing import assert_never
from bnn.data import cifar, idx, tar
from bnn.data.files import MAX_BYTES, PACKED, Unpacked, open_unpacked
from bnn.data.walk import FOREIGN, SUFFIXES, walk
from bnn.errors import BnnError, BulkError, DataError
from bnn.system import install
from bnn.system.files import open_file

#: Picture files, and images of arrays, in one shard.
FILES, IMAGES = 1024, 8192
#: Pictures, and images of arrays, that are computed together.
PICTURES_AT_ONCE, IMAGES_AT_ONCE = 256, 1024
#: Most bytes of a plain file of a shard, of one picture, and members of a tar archive.
_MAX_FILE, _MAX_PICTURE, _MAX_MEMBERS = 1 << 40, 1 << 29, 1 << 24

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz")
_TABLES = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
#: Usual names of columns with pictures.
_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "picture", "bytes", "pixels", "array")

Kind = Literal["files", "tar", "table", "arrays"]


@dataclass(frozen=True)
class Shard:
    """A part of the sources.

    Attributes:
        kind: which kind of shard it is: picture files, tar archive, table or file of arrays.
        paths: the paths of all picture files for the kind ``files``; else the path of one file.
        first, last: images [first, last) of a file of arrays; last -1: all images from ``first``.
    """

    kind: Kind
    paths: tuple[str, ...]
    first: int = 0
    last: int = -1

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @property
    def name(self) -> str:
        """Short text for messages: the path, or the first and the last path, and which images."""
        if len(self.paths) > 1:
            return f"{len(self.paths)} files, {self.paths[0]} to {Path(self.paths[-1]).name}"
        where = f"[{self.first}:{self.last}]" if self.last >= 0 else ""
        return f"{self.paths[0]}{where}"

    def fingerprint(self) -> str:
        """Return a digest, in hexadecimal, of the shard and of size and time of each of its files.

        A changed file gives another digest, unless both its size and its time are as before. A
        missing picture file of the kind ``files`` is a part of the digest, not an error.

        Raises:
            BulkError: the archive, table or file of arrays is missing.
        """
        stamps = [self._stamp(path) for path in self.paths]
        text = json.dumps([self.as_json(), stamps], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def _stamp(self, path: str) -> list[Any]:
        try:
            return stamp(path)
        except BulkError:
            if self.kind != "files":
                raise
            return ["gone"]  # it becomes a row with an error


@dataclass(frozen=True, eq=False)
class Block:
    """Inputs that were read together.

    Attributes:
        names: name of each input, for the results and for messages.
        given: an array (N, ...) of inputs; or a list with an element for each picture file: its
            bytes, or the error if it cannot be read.
    """

    names: list[str]
    given: NDArray[Any] | list[bytes | BnnError]


# --- where files are -----------------------------------------------------------------


def is_remote(path: str) -> bool:
    """Whether fsspec opens the path, on a remote file system: such as ``s3://...``."""
    return "://" in path


def _file_system(path: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise BulkError(f"{path}: needs the extra bulk: {install.command('bulk')}") from None
    try:
        found: tuple[Any, str] = url_to_fs(path)
    except (ImportError, ValueError, OSError) as reason:
        raise BulkError(f"{path}: cannot be read: {_line(reason)}") from None
    return found


def stamp(path: str) -> list[Any]:
    """Return the size and the time of the last change of a file.

    A remote file system may have another mark of a change than a time, such as an ETag.

    Raises:
        BulkError: the file is missing or cannot be reached.
    """
    try:
        if not is_remote(path):
            status = os.stat(path)  # noqa: PTH116  # see _suffix
            return [status.st_size, status.st_mtime_ns]
        system, place = _file_system(path)
        told = system.info(place)
    except OSError as reason:
        raise BulkError(f"{path}: cannot be read: {_line(reason)}") from None
    keys = ("size", "mtime", "ETag", "etag", "LastModified", "updated", "created")
    return [str(told[key]) for key in keys if key in told]


@contextmanager
def _opened(path: str, limit: int = _MAX_FILE) -> Iterator[BinaryIO]:
    """Open a file of any file system; errors of reading it become a `DataError`."""
    try:
        if is_remote(path):
            system, place = _file_system(path)
            with system.open(place, "rb") as file:
                yield file
        else:
            with open_file(path, limit, DataError) as file:
                yield file
    except OSError as reason:
        raise DataError(f"{path}: cannot be read: {_line(reason)}") from None


def _line(reason: BaseException) -> str:
    text = getattr(reason, "strerror", None) or " ".join(str(reason).split())
    return text or type(reason).__name__


# --- sources to shards ---------------------------------------------------------------


def shards(sources: list[str]) -> list[Shard]:
    """Return the shards of all sources, in order.

    Raises:
        BulkError: a source is missing, is not of a known kind, or has no inputs.
        DataError: a file's header is damaged.
    """
    found: list[Shard] = []
    pictures: list[str] = []
    seen: set[str] = set()

    def flush() -> None:
        for first in range(0, len(pictures), FILES):
            found.append(Shard("files", tuple(pictures[first : first + FILES])))
        pictures.clear()

    for source in sources:
        paths = _below(source)
        for path in paths:
            key = path if is_remote(path) else str(Path(path).absolute())
            if key in seen:
                continue  # each input once, also if a folder and a file in it are given
            seen.add(key)
            if _is_picture(path):
                pictures.append(path)
                continue
            flush()
            found += _of_file(path)
        flush()
        if not paths:
            raise BulkError(f"{source}: has no pictures, archives, tables or arrays")
    return found


def _below(source: str) -> list[str]:
    """Return the files of a source: a file itself, or all files of known kinds in a folder."""
    if is_remote(source):
        system, place = _file_system(source)
        try:
            if not system.isdir(place):
                system.info(place)
                return [source]
            files = [system.unstrip_protocol(each) for each in sorted(system.find(place))]
        except OSError as reason:
            raise BulkError(f"{source}: cannot be read: {_line(reason)}") from None
        return [each for each in files if _is_known(each)]
    path = Path(source)
    if not path.exists():
        raise BulkError(f"{source}: is missing")
    if not path.is_dir():
        return [source]
    below = walk(path)
    others = (each for each in path.rglob("*") if each.is_file() and _is_shard(str(each)))
    files = [str(each) for each in (*below.pictures, *others)]
    files += [str(each.path) for each in below.unreadable]  # rows with an error
    return sorted(set(files))


def _suffix(path: str) -> str:
    # Of every picture file: pathlib takes as long for it as for opening the file.
    stem, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return dot + suffix.lower() if stem else ""


def _is_picture(path: str) -> bool:
    return _suffix(path) in SUFFIXES or _suffix(path) in FOREIGN


def _is_shard(path: str) -> bool:
    name = path.lower()
    return name.endswith((*_TARS, *_TABLES, ".npy")) or _is_records(path)


def _is_records(path: str) -> bool:
    plain = path.removesuffix(_suffix(path)) if _suffix(path) in PACKED else path
    name = PurePosixPath(plain).name.lower()
    return name.endswith((".bin", "-idx3-ubyte", ".idx3-ubyte", ".idx"))


def _is_known(path: str) -> bool:
    return _is_picture(path) or _is_shard(path)


def _of_file(path: str) -> list[Shard]:
    name = path.lower()
    if name.endswith(_TARS):
        return [Shard("tar", (path,))]
    if name.endswith(_TABLES):
        return [Shard("table", (path,))]
    if name.endswith(".npy") or _is_records(path):
        return _ranges(path)
    raise BulkError(
        f"{path}: is not of a known kind: pictures, {', '.join((*_TARS, *_TABLES))}, .npy, IDX "
        "(-idx3-ubyte) or CIFAR (.bin) files"
    )


def _ranges(path: str) -> list[Shard]:
    if is_remote(path) or _suffix(path) in PACKED:
        return [Shard("arrays", (path,))]  # read as a whole
    count = len(_mapped(path))
    if not count:
        raise BulkError(f"{path}: has no images")
    starts = range(0, count, IMAGES)
    return [Shard("arrays", (path,), first, min(first + IMAGES, count)) for first in starts]


# --- shards to blocks ----------------------------------------------------------------


def blocks(shard: Shard, column: str | None) -> Iterator[Block]:
    """Yield the blocks of a shard.

    Args:
        shard: a shard of :func:`shards`.
        column: name of a table's column with the pictures; None: the column with a usual name.

    Raises:
        DataError: the file is damaged; the blocks before the damage were yielded.
        BulkError: a table has no such column, or several columns have usual names.
    """
    match shard.kind:
        case "files":
            yield from _files(shard.paths)
        case "tar":
            yield from _joined(_members(shard.paths[0]))
        case "table":
            yield from _rows(shard.paths[0], column)
        case "arrays":
            yield from _arrays(shard)
        case _:
            assert_never(shard.kind)


def _joined(items: Iterator[tuple[str, bytes | BnnError]]) -> Iterator[Block]:
    names: list[str] = []
    given: list[bytes | BnnError] = []
    try:
        for name, data in items:
            names.append(name)
            given.append(data)
            if len(names) == PICTURES_AT_ONCE:
                yield Block(names, given)
                names, given = [], []
    except DataError:
        if names:  # what came before the damage
            yield Block(names, given)
        raise
    if names:
        yield Block(names, given)


def _files(paths: tuple[str, ...]) -> Iterator[Block]:
    def items() -> Iterator[tuple[str, bytes | BnnError]]:
        for path in paths:
            yield path, _file(path)

    return _joined(items())


def _file(path: str) -> bytes | BnnError:
    if _suffix(path) in FOREIGN:
        return DataError(f"{path}: pictures of the kind {_suffix(path)} are not read")
    try:
        with _opened(path, _MAX_PICTURE) as file:
            # A buffer of the largest size would be cleared for each picture.
            size = _MAX_PICTURE if is_remote(path) else os.fstat(file.fileno()).st_size
            data = file.read(size + 1)
    except BnnError as reason:
        return reason
    return data if len(data) <= _MAX_PICTURE else DataError(f"{path}: is larger than 512 MiB")


def _members(path: str) -> Iterator[tuple[str, bytes | BnnError]]:
    def wanted(name: str) -> bool:
        return _is_picture(name) and not PurePosixPath(name).name.startswith(".")

    def items(stream: Any) -> Iterator[tuple[str, bytes | BnnError]]:
        for name, data in tar.members(stream, wanted, _MAX_FILE, _MAX_MEMBERS):
            shown = f"{path}/{name}"
            kind = _suffix(name)
            foreign = DataError(f"{shown}: pictures of the kind {kind} are not read")
            yield shown, foreign if kind in FOREIGN else data

    if is_remote(path) or path.lower().endswith(".tar"):
        with _opened(path) as file:
            yield from items(Unpacked(file, path, _MAX_FILE))
    else:
        with open_unpacked(path) as stream:
            yield from items(stream)


def _arrays(shard: Shard) -> Iterator[Block]:
    path = shard.paths[0]
    whole = shard.last < 0
    images = _loaded(path) if whole else _mapped(path)
    last = len(images) if whole else shard.last
    if last > len(images):
        raise DataError(f"{path}: has become shorter since the run began; start again")
    for first in range(shard.first, last, IMAGES_AT_ONCE):
        end = min(first + IMAGES_AT_ONCE, last)
        block = np.asarray(images[first:end])
        if _suffix(path) == ".bin":
            block = _of_records(block)
        yield Block([f"{path}[{index}]" for index in range(first, end)], block)


def _of_records(records: NDArray[Any]) -> NDArray[Any]:
    """Return CIFAR records uint8 (N, 3073) as images uint8 (N, 32, 32, 3).

    An array with another number of dimensions has images already, and is returned unchanged.
    """
    if records.ndim != 2:
        return records
    planes = records[:, 1:].reshape(len(records), 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _mapped(path: str) -> NDArray[Any]:
    """Return the images of a local file that is not packed, as an array mapped to memory.

    Raises:
        DataError: the file is damaged.
    """
    with _opened(path) as file:
        head = file.read(16)
        size = file.seek(0, 2)
    if path.lower().endswith(".npy"):
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as reason:
            raise DataError(f"{path}: cannot be read as an array: {_line(reason)}") from None
        if array.ndim < 2:
            raise DataError(
                f"{path}: has {array.ndim} dimensions; an array of images has at least 2"
            )
        return array
    if _suffix(path) == ".bin":
        count, surplus = divmod(size, cifar.RECORD_BYTES)
        if surplus or not count:
            raise DataError(
                f"{path}: {size} bytes are not whole CIFAR records of {cifar.RECORD_BYTES} bytes"
            )
        return np.memmap(path, np.uint8, "r", shape=(count, cifar.RECORD_BYTES))
    shape = idx.image_shape(head, path)
    if size != 16 + int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"{path}: its IDX header does not match its {size} bytes")
    return np.memmap(path, np.uint8, "r", 16, shape)


def _loaded(path: str) -> NDArray[Any]:
    """Read all images of a packed file, or of a file on a remote file system; return them."""
    source: str | bytes = path
    if is_remote(path):
        with _opened(path) as file:
            source = file.read(MAX_BYTES + 1)
        if len(source) > MAX_BYTES:
            raise DataError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; use tar or Parquet")
    plain = path.removesuffix(_suffix(path)) if _suffix(path) in PACKED else path
    if plain.lower().endswith(".bin"):
        return cifar.read_records(source)[0]
    if plain.lower().endswith(".npy"):
        from io import BytesIO

        try:
            array: NDArray[Any] = np.load(BytesIO(bytes(source)), allow_pickle=False)  # type: ignore[arg-type]
        except (ValueError, EOFError) as reason:
            raise DataError(f"{path}: cannot be read as an array: {_line(reason)}") from None
        return array
    return idx.read_images(source)


def _rows(path: str, column: str | None) -> Iterator[Block]:
    from bnn.scale.tables import batches

    with _opened(path) as file:
        first = 0
        for given in batches(file, path, column, _COLUMNS, PICTURES_AT_ONCE):
            names = [f"{path}[{first + index}]" for index in range(len(given))]
            first += len(given)
            yield Block(names, given)

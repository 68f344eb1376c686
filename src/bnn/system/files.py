# SPDX-License-Identifier: BSD-3-Clause
"""Files on disk: read only if they are regular and not too large; written whole or not at all.

This package opens files that others may have made with :func:`open_file`, and writes files for a
user with :func:`write_whole`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from bnn.errors import BnnError, DataError, InputError, ModelFileError

StrPath = str | os.PathLike[str]

#: Name of temporary files and folders.
TEMPORARY = ".bnn-{}.tmp"
#: Age in seconds above which a temporary file was left by a killed process.
STALE_AFTER_S = 3600.0
#: Errors of file systems that cannot synchronize folders.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF)

#: Most digits of a number in JSON; longer ones take quadratic time to parse.
_MAX_DIGITS = 400
#: Python's own limit of digits, by default.
_PYTHON_DIGITS = 4300

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


# --- reading -------------------------------------------------------------------------


def open_file(path: StrPath, limit: int, error: type[BnnError]) -> BinaryIO:
    """Open a file for reading, if it is a regular file of at most ``limit`` bytes.

    Pipes, devices, sockets and folders are refused: reading them may never end.

    Args:
        path: path of the file; symbolic links are followed.
        limit: largest number of bytes that the file may have.
        error: class of the errors that are raised.

    Raises:
        BnnError: of class ``error``: the file is missing, not regular, too large or not readable.
    """
    try:
        _check_kind(path, os.stat(path), limit, error)  # noqa: PTH116  # of every picture file
        # Non-blocking, in case it has become a pipe meanwhile; no effect on regular files.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        flags |= getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags)
    except (OSError, ValueError) as reason:
        raise error(f"{os.fspath(path)}: cannot be read: {_why(reason)}") from None
    try:
        _check_kind(path, os.fstat(handle), limit, error)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_file(path: StrPath, limit: int, error: type[BnnError]) -> bytes:
    """Return the bytes of a file; arguments and errors are those of :func:`open_file`."""
    try:
        with open_file(path, limit, error) as file:
            data = file.read(limit + 1)  # it may grow while it is read
    except OSError as reason:
        raise error(f"{os.fspath(path)}: cannot be read: {_why(reason)}") from None
    if len(data) > limit:
        raise error(_too_large(path, limit))
    return data


def parse_json(text: str | bytes, *, finite: bool = False, many: bool = False) -> Any:
    """Return the value of a JSON text; whole numbers of over 400 digits are refused.

    Such numbers take a long time to parse.

    Args:
        text: the JSON text.
        finite: whether to refuse ``NaN`` and ``Infinity``, which Python accepts beyond JSON.
        many: whether the text has many numbers. Then the limit is Python's own (4300 digits from
            Python 3.10.7 on), because a check of each number makes parsing five times slower.

    Raises:
        ValueError: the text is not JSON, is nested too deeply, has a number that is too long, or an
            object in it has a key twice.
    """
    constant = _no_number if finite else None
    integer = None if many and 0 < _python_digits() <= _PYTHON_DIGITS else _integer
    try:
        return json.loads(text, parse_int=integer, parse_constant=constant, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _python_digits() -> int:
    """Return Python's own limit of digits of a whole number; 0 if this Python has no limit."""
    limit = getattr(sys, "get_int_max_str_digits", None)
    return 0 if limit is None else limit()


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a finite number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the dictionary of a JSON object; ValueError if a key occurs twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice[:100]!r} occurs twice")
    return values


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _check_kind(path: StrPath, status: os.stat_result, limit: int, error: type[BnnError]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{os.fspath(path)}: is {_kind(status.st_mode)}, not a file")
    if status.st_size > limit:
        raise error(_too_large(path, limit))


def _kind(mode: int) -> str:
    return next((name for matches, name in _KINDS if matches(mode)), "of an unknown kind")


def _too_large(path: StrPath, limit: int) -> str:
    size = f"{limit >> 20} MiB" if limit > 1 << 20 else f"{limit} bytes"
    return f"{os.fspath(path)}: is larger than {size}, the limit"


def _why(reason: BaseException) -> str:
    return getattr(reason, "strerror", None) or " ".join(str(reason).split())


# --- writing -------------------------------------------------------------------------


def write_whole(path: StrPath, data: bytes, error: type[BnnError] = ModelFileError) -> None:
    """Write ``data`` to ``path``, whole or not at all; the file is on the disk at the end.

    The data are written to a temporary file in the same folder, which then replaces the old file;
    file and folder are synchronized to the disk. If anything fails, the old file is kept. A new
    file has the mode of the umask; a replaced file keeps its mode. If ``path`` is a symbolic
    link, its target is replaced.

    Raises:
        BnnError: of class ``error``: the file cannot be written.
    """
    try:
        target = Path(os.path.realpath(path))
        mode = _mode_of(path, target, error)
        _remove_stale(target)
        temporary = _temporary_of(target)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        handle = os.open(temporary, flags | getattr(os, "O_BINARY", 0), 0o666)
    except (OSError, ValueError, RuntimeError) as reason:
        raise error(f"{os.fspath(path)}: cannot be written: {_why(reason)}") from reason
    try:
        with os.fdopen(handle, "wb") as file:
            if mode is not None:
                temporary.chmod(mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(target.parent)
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as reason:
        raise error(f"{os.fspath(path)}: cannot be written: {_why(reason)}") from reason
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _temporary_of(target: Path) -> Path:
    """Return the path of a new temporary file beside ``target``; its name begins with a tag.

    The tag is made of the name of ``target``, see :func:`_remove_stale`.
    """
    import secrets  # late: with hashlib it takes 10 ms, and most commands write no file

    return target.parent / TEMPORARY.format(_tag(target) + secrets.token_hex(6))


def _tag(target: Path) -> str:
    import hashlib

    return hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]


def _remove_stale(target: Path) -> None:
    """Remove temporary files of processes that were killed while they wrote ``target``.

    Files of the last hour are kept: another process may be writing them.
    """
    for left in target.parent.glob(TEMPORARY.format(_tag(target) + "*")):
        with contextlib.suppress(OSError):
            status = left.lstat()
            if time.time() - status.st_mtime < STALE_AFTER_S:
                continue
            if stat.S_ISDIR(status.st_mode):
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


def _mode_of(path: StrPath, target: Path, error: type[BnnError]) -> int | None:
    """Return the permissions of the file ``target``, which is replaced; None if it is missing."""
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{os.fspath(path)}: cannot be written: is {_kind(status.st_mode)}, not a file")
    return stat.S_IMODE(status.st_mode)


def check_replaceable(path: StrPath, error: type[BnnError]) -> None:
    """Raise ``error`` if ``path`` exists and is not a regular file: it must not be replaced."""
    try:
        _mode_of(path, Path(os.path.realpath(path)), error)
    except (OSError, ValueError, RuntimeError) as reason:
        raise error(f"{os.fspath(path)}: cannot be written: {_why(reason)}") from reason


def check_writable(path: StrPath, error: type[BnnError]) -> None:
    """Raise ``error`` if no file can be written at ``path``; nothing is written."""
    check_replaceable(path, error)
    place = Path(os.path.realpath(path))
    if not place.parent.is_dir():
        raise error(f"{os.fspath(path)}: cannot be written: {place.parent} is not a folder")
    target = place if place.exists() else place.parent
    if not os.access(target, os.W_OK):
        raise error(f"{os.fspath(path)}: cannot be written: no permission to write {target}")


def check_page(path: StrPath) -> None:
    """Check that an HTML page can be written at ``path``; commands call this before long work.

    Raises:
        InputError: the name does not end in .html or .htm.
        DataError: the file cannot be written.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{os.fspath(path)}: is not the name of a page; end it with .html")
    check_writable(path, DataError)


def sync_folder(folder: Path) -> None:
    """Write the names of the files in ``folder`` to the disk, if the file system can do that."""
    handle = -1
    try:
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
    except OSError as reason:
        if reason.errno not in _NO_SYNC:
            raise
    finally:
        if handle >= 0:
            os.close(handle)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` (relative name -> contents) into the new folder ``folder``.

    At the end, they are on the disk.

    Raises:
        OSError: the folder cannot be written.
    """
    places = {folder}
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        places.add(path.parent)
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    for place in sorted(places, reverse=True):
        sync_folder(place)


def folder_beside(target: Path) -> Path:
    """Make a temporary folder beside ``target`` and return it; it can replace ``target`` later.

    Old temporary folders that killed processes left for this target are removed.

    Raises:
        OSError: the folder cannot be made.
    """
    _remove_stale(target)
    made = _temporary_of(target)
    made.mkdir()
    return made


def write_new_folder(
    target: Path, files: Mapping[str, bytes], error: type[BnnError] = ModelFileError
) -> None:
    """Make the folder ``target`` with ``files`` in it, whole or not at all.

    Args:
        target: path that does not exist, or an empty folder; its parent must exist.
        files: relative name -> contents.
        error: class of the error that is raised if the folder cannot be written; nothing is
            left then.
    """
    try:
        temporary = folder_beside(target)
    except OSError as reason:
        raise error(f"{target}: cannot be written: {reason.strerror}") from reason
    try:
        write_folder(temporary, files)
        temporary.rename(target)
        sync_folder(target.parent)
    except OSError as reason:
        raise error(f"{target}: cannot be written: {reason.strerror}") from reason
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def new_folder(parent: Path) -> Path:
    """Make a temporary folder in ``parent`` and return it; its mode is that of the umask.

    Raises:
        OSError: the folder cannot be made.
    """
    import secrets

    made = parent / TEMPORARY.format(secrets.token_hex(6))
    made.mkdir()
    return made

# SPDX-License-Identifier: BSD-3-Clause
"""The cache folder of this package: simulators, fetched data, the board's lock.

The cache is the folder ``$BNN_CACHE``, else the folder ``bnn`` in ``$XDG_CACHE_HOME`` or in
``~/.cache``. The simulators in the cache are shared libraries that are run. So the cache is
private: the folder is made with mode 0700, and it is refused if another user owns it or may write
to it.

An *entry* of the cache is a folder of files that were made together, with a manifest of their
SHA-256 digests. An entry is made in a temporary folder and moved to its place at the end, under a
lock. So a killed build leaves no incomplete entry, and if two processes need the same entry, only
one makes it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

from bnn.errors import CacheError
from bnn.system.files import parse_json, read_file
from bnn.system.terminal import notice

#: Environment variable that names the cache folder.
VARIABLE = "BNN_CACHE"
#: File of an entry with the digests of all its other files.
MANIFEST = "manifest.json"
#: Most bytes of all simulators together; the least recently used ones are deleted for a new one.
MAX_SIMULATOR_BYTES = 4 << 30

_ADVICE = f"set {VARIABLE} to a folder of your own"
_BUILDING = "building-"
#: Most bytes of a manifest, which has a line for each of about ten files.
_MANIFEST_BYTES = 1 << 20


def place() -> Path:
    """Return the path of the cache folder, without making or checking it.

    Raises:
        CacheError: there is neither ``BNN_CACHE`` nor a home folder.
    """
    try:
        given = os.environ.get(VARIABLE)
        if given:
            return Path(given).expanduser().absolute()
        base = os.environ.get("XDG_CACHE_HOME", "")
        home = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
        return home.absolute() / "bnn"
    except (RuntimeError, OSError) as reason:  # no home folder, no working folder
        raise CacheError(f"no folder to keep files in ({reason}): {_ADVICE}") from None


def folder(*names: str) -> Path:
    """Return the cache folder, or the folder with the path ``names`` in it.

    A missing folder is made so that only this user can read and write it.

    Raises:
        CacheError: the folder cannot be made, or is not private.
    """
    root = place()
    try:
        for missing in reversed([path for path in root.parents if not path.exists()]):
            _make_private(missing)
        _make_private(root)
        _check_private(root)
        inner = root
        for name in names:
            inner = inner / name
            _make_private(inner)
            _check_owner(inner)
    except OSError as reason:
        refuse(root, reason)
    return inner


def refuse(path: Path, reason: OSError) -> NoReturn:
    """Raise a :class:`CacheError` that says why ``path`` cannot be used, and what to do."""
    advice = _ADVICE
    if reason.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = f"make room, or set {VARIABLE} to a folder with room"
    text = reason.strerror or str(reason)
    raise CacheError(f"{path}: the cache cannot be used ({text}): {advice}") from reason


def _make_private(path: Path) -> None:
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)


def _check_private(root: Path) -> None:
    """Refuse a cache folder if other users may write to it, or may replace it."""
    _check_owner(root)
    if not hasattr(os, "geteuid"):
        return
    trusted = {0, os.geteuid(), Path("/").stat().st_uid}
    # A link in the path is followed, so the folder that contains it is checked, too.
    for parent in dict.fromkeys((*root.parents, *root.resolve().parents)):
        if {parent.stat().st_uid, parent.lstat().st_uid} - trusted:
            raise CacheError(f"{root}: {parent} belongs to another user: {_ADVICE}")
        state = parent.stat()
        if state.st_mode & stat.S_ISVTX:
            continue
        if state.st_mode & stat.S_IWOTH:
            raise CacheError(f"{root}: anybody may rename files in {parent}: {_ADVICE}")
        if state.st_mode & stat.S_IWGRP and _shared(state.st_gid):
            raise CacheError(f"{root}: a group may rename files in {parent}: {_ADVICE}")


def _shared(group: int) -> bool:
    """Whether the group with this number has members other than this user and root."""
    import grp
    import pwd

    mine = {0, os.geteuid()}
    try:
        named = {pwd.getpwnam(name).pw_uid for name in grp.getgrgid(group).gr_mem}
        first = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == group}
    except KeyError:  # the group or a member is unknown
        return group not in (0, os.getegid())
    return not named | first <= mine


def _check_owner(path: Path) -> None:
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        raise CacheError(f"{path}: the cache is a symbolic link: {_ADVICE}, without a link")
    if not stat.S_ISDIR(state.st_mode):
        raise CacheError(f"{path}: the cache is not a folder: {_ADVICE}")
    if not hasattr(os, "geteuid"):
        return
    if state.st_uid != os.geteuid():
        raise CacheError(f"{path}: the cache belongs to another user: {_ADVICE}")
    if state.st_mode & 0o022:
        raise CacheError(
            f"{path}: others may write in the cache: delete it, or {_ADVICE}, with mode 0700"
        )
    if state.st_mode & 0o077:
        with suppress(OSError):  # a read-only file system cannot be changed
            path.chmod(0o700)


# ---- locks -----------------------------------------------------------------------------------


@contextmanager
def locked(path: Path, waiting: str = "") -> Iterator[None]:
    """In a ``with`` statement, hold the lock on the file ``path``.

    If another process holds the lock, print ``waiting`` and wait. The kernel releases a lock when
    its process ends, also if the process is killed.
    """
    lock = lock_file(path, wait=False)
    if lock is None:
        if waiting:
            notice(waiting)
        lock = lock_file(path, wait=True)
    assert lock is not None
    try:
        yield
    finally:
        _unlock(path, lock)


def lock_file(path: Path, *, wait: bool) -> int | None:
    """Lock the file ``path``, which is made if it is missing; return its descriptor.

    If another process has the lock: wait if ``wait``, else return None.

    Raises:
        CacheError: the file cannot be made or locked.
    """
    try:
        import fcntl
    except ImportError:  # Windows: no locks, but entries are still moved into place whole
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        try:
            lock = os.open(path, flags, 0o600)
        except OSError as reason:
            refuse(path, reason)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), path.stat()):
                    return lock
        except BlockingIOError:
            os.close(lock)
            return None
        except OSError as reason:
            os.close(lock)
            refuse(path, reason)
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # the previous holder has deleted the file: lock the new one


# ---- entries ---------------------------------------------------------------------------------


def digest(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_of(file: BinaryIO) -> str:
    """Return the SHA-256 of ``file``, from its current position to its end, in hexadecimal."""
    hasher = hashlib.sha256()
    while block := file.read(1 << 20):
        hasher.update(block)
    return hasher.hexdigest()


def digests(entry: Path) -> dict[str, str]:
    """Return name -> digest of the files of an entry, from its manifest."""
    return _manifest(entry)[1]


def _manifest(entry: Path) -> tuple[str, dict[str, str]]:
    """Return the name in an entry's manifest, and name -> digest of the entry's files.

    A damaged manifest raises an exception of any kind.
    """
    listed = parse_json(read_file(entry / MANIFEST, _MANIFEST_BYTES, CacheError))
    name, files = listed["entry"], listed["files"]
    if not isinstance(files, dict) or not all(isinstance(n, str) for n in (name, *files.values())):
        raise TypeError("a name or a digest is not a text")
    return name, files


def damage(entry: Path, wanted: Mapping[str, str] | None = None) -> str | None:
    """Return a phrase that says what is wrong with an entry; None if no file was changed.

    Args:
        entry: folder of the entry.
        wanted: file name -> digest, for files whose contents are known without the manifest.
    """
    try:
        name, files = _manifest(entry)
        there = {path.name for path in entry.iterdir()} - {MANIFEST}
    except (OSError, ValueError, LookupError, TypeError, CacheError):
        return f"its {MANIFEST} cannot be read"
    if name != entry.name:
        return f"it is the entry {name}"
    for file in sorted(files.keys() | there | (wanted or {}).keys()):
        if file not in there:
            return f"{file} is missing"
        if file not in files:
            return f"{file} does not belong to it"
        path = entry / file
        try:
            if path.is_symlink() or not path.is_file():
                return f"{file} is not a file"
            with path.open("rb") as opened:
                found = digest_of(opened)
        except OSError as reason:
            return f"{file} cannot be read ({reason.strerror})"
        if found != files[file] or found != (wanted or {}).get(file, found):
            return f"{file} is not what was made"
    return None


def entry(
    kind: str,
    name: str,
    make: Callable[[Path], None],
    *,
    wanted: Mapping[str, str] | None = None,
    title: str = "",
) -> Path:
    """Return the folder of an entry; make the entry first if it is missing or damaged.

    Args:
        kind: name of the folder in the cache for entries of this kind.
        name: name of the entry; entries with different contents must have different names.
        make: function that is called with a temporary folder; it must write the files of the entry
            into the subfolder ``made``.
        wanted: file name -> digest, for files whose contents are known before they are made.
        title: description of the entry, for messages.

    Raises:
        CacheError: the cache cannot be used. Exceptions of ``make`` are passed on.
    """
    parent = folder(kind)
    target = parent / name
    if target.is_dir() and damage(target, wanted) is None:
        _touch(target)
        _sweep(parent)
        return target
    title = title or f"{kind}/{name}"
    try:
        with locked(parent / f"{name}.lock", f"another process makes {title}: waiting for it"):
            _sweep(parent, held=name)
            wrong = None
            if target.is_symlink() or target.exists():
                wrong = damage(target, wanted)
                if wrong is None:  # another process was faster
                    return target
                notice(f"{target}: {title} is damaged ({wrong}): it is made again")
            _make(target, make, wanted)
            _bound(parent, keep=target)
    except OSError as reason:
        refuse(target, reason)
    return target


def _make(target: Path, make: Callable[[Path], None], wanted: Mapping[str, str] | None) -> None:
    prefix = f"{_BUILDING}{target.name}-"
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        made = work / "made"
        made.mkdir()
        make(work)
        files = {path.name: digest(path.read_bytes()) for path in sorted(made.iterdir())}
        (made / MANIFEST).write_text(
            json.dumps({"entry": target.name, "files": files}, indent=1) + "\n", encoding="utf-8"
        )
        if target.is_symlink() or target.exists():
            target.rename(work / "damaged")
        made.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    wrong = damage(target, wanted)
    if wrong is not None:  # a disk that loses data
        raise CacheError(f"{target}: {wrong}, though it was just made: {_ADVICE}")


def _sweep(parent: Path, held: str = "") -> None:
    """Delete temporary folders of killed builds: no other process has the lock of their entry.

    ``held``: name of the entry whose lock this process has.
    """
    for left in parent.glob(f"{_BUILDING}*"):
        of = left.name.removeprefix(_BUILDING).rpartition("-")[0]
        if of == held or (not of and _old(left)):  # without a name: of older versions
            shutil.rmtree(left, ignore_errors=True)
        elif of:
            path = parent / f"{of}.lock"
            with suppress(CacheError), _unless_locked(path) as free:
                if free:
                    shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _unless_locked(path: Path) -> Iterator[bool]:
    lock = lock_file(path, wait=False)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            _unlock(path, lock)


def _unlock(path: Path, lock: int) -> None:
    with suppress(OSError):
        path.unlink()
    os.close(lock)


def _old(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > 3600
    except OSError:
        return False


def _touch(target: Path) -> None:
    with suppress(OSError):
        os.utime(target / MANIFEST)


def _bound(parent: Path, keep: Path) -> None:
    """Delete the least recently used entries until all together have at most 4 GiB.

    The entry ``keep`` is not deleted.
    """
    entries = []
    for path in parent.iterdir():
        if path != keep and path.is_dir() and not path.name.startswith(_BUILDING):
            with suppress(OSError):
                entries.append((_used(path), size(path), path))
    total = size(keep) + sum(octets for _, octets, _ in entries)
    for _, octets, path in sorted(entries):
        if total <= MAX_SIMULATOR_BYTES:
            return
        shutil.rmtree(path, ignore_errors=True)
        total -= octets


def _used(path: Path) -> float:
    manifest = path / MANIFEST
    return (manifest if manifest.exists() else path).stat().st_mtime


def size(path: Path) -> int:
    """Return how many bytes all files in a folder and its subfolders have; 0 if it is missing."""
    total = 0
    for at, _, files in os.walk(path):
        for file in files:
            with suppress(OSError):
                total += (Path(at) / file).lstat().st_size
    return total


def describe() -> dict[str, object]:
    """Return path and size in bytes of the cache, and the size of each folder in it.

    A missing cache folder is not made.
    """
    root = place()
    parts = {}
    if root.is_dir():
        with suppress(OSError):
            parts = {path.name: size(path) for path in sorted(root.iterdir()) if path.is_dir()}
    return {"folder": str(root), "bytes": size(root), "parts": parts}


# ---- libraries -------------------------------------------------------------------------------

#: Libraries of this process by digest. Descriptors stay open, so that no number is used again.
_libraries: dict[str, int] = {}


def sealed(path: Path, wanted: str) -> str:
    """Return a path for ``dlopen`` to the library ``path``, after checking its digest.

    On Linux, the library is copied to memory and the path of the copy is returned: later changes of
    the file have no effect.

    Raises:
        CacheError: the digest of the file is not ``wanted``.
    """
    try:
        data = path.read_bytes()
    except OSError as reason:
        refuse(path, reason)
    if digest(data) != wanted:
        raise CacheError(f"{path}: it was changed after it was checked: {_ADVICE}")
    if not sys.platform.startswith("linux"):
        return str(path)
    if wanted not in _libraries:
        try:
            memory = os.memfd_create(path.name, os.MFD_CLOEXEC)
            with open(memory, "wb", closefd=False) as file:
                file.write(data)
        except (OSError, AttributeError):  # an old kernel or C library
            return str(path)
        _libraries[wanted] = memory
    return f"/proc/self/fd/{_libraries[wanted]}"

# SPDX-License-Identifier: BSD-3-Clause
"""Find the pictures below a folder, by name; contents are not read here.

Links to files are followed; links to folders are not, because they may form loops.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bnn.errors import DataError

#: Suffixes of pictures; other files (annotations, notes) are skipped.
SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
        *(".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".j2k"),
    )
)

#: Suffixes of pictures that cannot be read: they are reported.
FOREIGN = frozenset(
    (
        *(".heic", ".heif", ".avif", ".jxl", ".tga", ".pcx", ".ico", ".svg", ".psd", ".eps"),
        *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".exr", ".hdr", ".dcm", ".apng"),
    )
)

#: Files that operating systems make in folders, in lower case.
_SYSTEM_FILES = frozenset(
    (
        *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir"),
        *("$recycle.bin", "system volume information", "lost+found", "__pycache__"),
    )
)

#: Most skipped files that are reported by name.
MAX_NAMED = 3

#: Most nested folders.
_MAX_DEPTH = 100


@dataclass(frozen=True)
class Unreadable:
    """A file that cannot be read as a picture, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(eq=False)
class Found:
    """The files below a folder.

    Attributes:
        pictures: pictures, sorted.
        unreadable: files with the suffix of a picture that cannot be read: of another format, not
            a regular file, or a broken link.
        others: suffix in lower case -> number of files that have no suffix of a picture.
        passed: at most `MAX_NAMED` of these other files, the first by name.
        links: links to folders, which were not followed.
    """

    pictures: list[Path] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    links: list[Path] = field(default_factory=list)
    passed: list[Path] = field(default_factory=list)

    def pass_over(self, path: Path) -> None:
        """Count a file that does not have the suffix of a picture."""
        self.others[path.suffix.lower()] += 1
        self.passed = sorted([*self.passed, path])[:MAX_NAMED]

    @property
    def empty(self) -> bool:
        """Whether there are no files at all."""
        return not (self.pictures or self.unreadable or self.others)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden (``.name``) or made by an operating system."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of ``folder`` that are not hidden, sorted by name.

    Raises `DataError` if the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as listing:
            return sorted((e for e in listing if not is_hidden(e.name)), key=lambda e: e.name)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{folder}: cannot be listed: {reason}") from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether ``entry`` is a folder or a link to a folder; a broken link is not."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def walk(folder: Path) -> Found:
    """Return the files below ``folder``. Raises `DataError` if ``folder`` cannot be listed."""
    found = Found()
    waiting = [(entry, 1) for entry in entries(folder)]
    for entry, depth in _rising(waiting):
        sort_in(entry, found)
        if entry.is_dir(follow_symlinks=False):
            path = Path(entry.path)
            if depth >= _MAX_DEPTH:
                found.unreadable.append(Unreadable(path, f"is more than {_MAX_DEPTH} folders deep"))
                continue
            try:
                waiting += [(below, depth + 1) for below in entries(path)]
            except DataError as error:
                reason = str(error).removeprefix(f"{path}: ")
                found.unreadable.append(Unreadable(path, reason))
    found.pictures.sort()
    found.unreadable.sort(key=lambda one: one.path)
    return found


def _rising(
    waiting: list[tuple[os.DirEntry[str], int]],
) -> Iterator[tuple[os.DirEntry[str], int]]:
    while waiting:
        yield waiting.pop()


def sort_in(entry: os.DirEntry[str], found: Found) -> None:
    """Add ``entry`` to ``found`` if it is a file or a link to a folder; ignore other folders."""
    path = Path(entry.path)
    suffix = path.suffix.lower()
    pictorial = suffix in SUFFIXES or suffix in FOREIGN
    try:
        mode = entry.stat().st_mode
    except OSError as error:  # for example a broken link
        if pictorial:
            reason = f"cannot be read: {error.strerror or error}"
            found.unreadable.append(Unreadable(path, reason))
        else:
            found.pass_over(path)
        return
    if stat.S_ISDIR(mode):
        if entry.is_symlink():
            found.links.append(path)
    elif not pictorial:
        found.pass_over(path)
    elif not stat.S_ISREG(mode):
        found.unreadable.append(Unreadable(path, "is not a regular file"))
    elif suffix in FOREIGN:
        reason = f"pictures of the kind {suffix} are not read; convert it to .png or .jpg"
        found.unreadable.append(Unreadable(path, reason))
    else:
        found.pictures.append(path)

# SPDX-License-Identifier: BSD-3-Clause
"""Fetch public files once, and check their checksums (with pooch)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

from bnn.errors import CacheError, DataError
from bnn.system import cache, install
from bnn.system.terminal import notice


def cache_folder() -> Path:
    """Return the folder of fetched files: ``data`` in the cache folder (``BNN_CACHE``)."""
    try:
        return cache.folder("data")
    except CacheError as reason:
        raise DataError(str(reason)) from None


def _whole(path: Path, sha256: str) -> bool:
    """Return whether a file is in the cache and has the right checksum.

    If it has a wrong checksum, a notice is printed.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        whole = cache.digest_of(file) == sha256
    if not whole:
        notice(f"{path}: it is damaged; it is fetched again")
    return whole


def cached_files(name: str, homes: Iterable[str], files: Mapping[str, str]) -> Path:
    """Return the folder that contains the ``files`` of a data set; missing files are fetched.

    ``files`` has the name of each file -> its SHA-256. ``homes`` are addresses, which are tried in
    order. A fetched file is kept only if its checksum is right. Raises `DataError`, which says
    where to put the files by hand, if they cannot be fetched.
    """
    folder = cache_folder() / name
    missing = {file: sha for file, sha in files.items() if not _whole(folder / file, sha)}
    if not missing:
        return folder
    by_hand = f"put {', '.join(missing)} into <root>/{name} with <root> in BNN_DATA"
    try:
        import pooch
    except ImportError:
        raise DataError(
            f"{name}: not found; {by_hand}, or let it be fetched: {install.command('data')}"
        ) from None
    for file, sha256 in missing.items():
        reason = "no address is known"
        for home in homes:
            try:
                pooch.retrieve(home + file, f"sha256:{sha256}", fname=file, path=folder)
                break
            except (OSError, ValueError) as error:  # no network, no room, wrong checksum
                reason = str(error)
        else:
            why = textwrap.shorten(reason, 160)
            raise DataError(f"{name}: {file} cannot be fetched ({why}); {by_hand}")
    return folder

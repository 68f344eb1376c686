# SPDX-License-Identifier: BSD-3-Clause
"""Fetching public files once, with their checksums (pooch does the work)."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

from bnn import install
from bnn.errors import DataError


def cache_folder() -> Path:
    """Where fetched files stay: ``$XDG_CACHE_HOME/bnn-pynq``, by default under ``~/.cache``."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bnn-pynq"
    except RuntimeError:
        raise DataError("no home folder to keep fetched files in: set XDG_CACHE_HOME") from None


def cached_files(name: str, homes: Iterable[str], files: Mapping[str, str]) -> Path:
    """The folder with the ``files`` (name to sha256) of a data set, fetched if need be.

    ``homes`` are the addresses to try in turn. A file enters the cache only when its
    checksum is right, and is not fetched again. Raises `DataError` saying where to put
    the files by hand, if they cannot be fetched.
    """
    folder = cache_folder() / name
    missing = {file: sha for file, sha in files.items() if not (folder / file).is_file()}
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

# SPDX-License-Identifier: BSD-3-Clause
"""Replace the build in a folder by a new one, completely or not at all.

``manifest.json`` lists the files that a build wrote. All other files are the user's: a folder that
contains one is refused, and nothing in it is changed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bnn.errors import BuildError
from bnn.system.files import new_folder, parse_json, read_file, sync_folder, write_whole

MANIFEST = "manifest.json"
#: The file that marks a complete build: written last, and removed first.
LAST = "driver.json"
#: Files that Vivado makes in the folder when it runs build.tcl; they belong to these sources.
_VIVADO = re.compile(
    r"bnn\.bit|timing\.rpt|utilization\.rpt|clockInfo\.txt|vivado[^/]*\.(log|jou|str)"
    r"|usage_statistics_webtalk\.(html|xml)|\.Xil/.*"
)
#: Names of temporary folders, which a killed build leaves.
_LEFTOVER = re.compile(r"\.bnn-[0-9a-f]+\.tmp/.*")
_LOGS = ("route.log",)


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a new folder to write into; at the end, its files replace the files in ``folder``.

    If the caller fails to write them, ``folder`` stays as it was, but a log may be added. If
    replacing the files is interrupted, ``folder`` has no ``driver.json``, and the next build can
    replace it. A bitstream is kept only if the new sources are equal to the old sources.

    Raises:
        BuildError: ``folder`` contains files that no build wrote, or cannot be written.
    """
    target = Path(os.path.realpath(folder))
    if target.exists() and not target.is_dir():
        raise BuildError(f"{folder}: is a file; name a new folder")
    try:
        former = _former(folder, target)
        is_new = not target.exists()
        target.mkdir(parents=True, exist_ok=True)
        fresh = new_folder(target)
    except OSError as reason:
        raise BuildError(f"{folder}: cannot be written: {reason.strerror}") from reason
    try:
        yield fresh
        _swap(target, fresh, former)
    except OSError as reason:
        raise BuildError(f"{folder}: cannot be written: {reason.strerror}") from reason
    finally:
        _keep_logs(target, fresh, former)
        shutil.rmtree(fresh, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # it holds what was built
                target.rmdir()


def _former(folder: Path, target: Path) -> set[str]:
    """Return the names of all files in the folder; BuildError if no build wrote one of them."""
    there = _files(target)
    listed = _listed(target) if MANIFEST in there else set()
    for name in sorted(there - listed - {MANIFEST}):
        if not _LEFTOVER.fullmatch(name) and not (listed and _VIVADO.fullmatch(name)):
            raise BuildError(
                f"{folder}: holds {name}, which no build wrote; use a new folder, "
                "or move this file away"
            )
    return there


def _files(target: Path) -> set[str]:
    """Return the relative names of all files and links in a folder and its subfolders."""
    found = set()
    for place, folders, names in os.walk(target):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        found |= {(Path(place) / name).relative_to(target).as_posix() for name in [*names, *links]}
    return found


def _listed(target: Path) -> set[str]:
    path = target / MANIFEST
    try:
        values = parse_json(read_file(path, 1 << 22, BuildError))
    except ValueError as reason:
        raise BuildError(f"{path}: is damaged ({reason}); use a new folder") from reason
    names = values.get("files") if isinstance(values, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BuildError(f"{path}: does not list the files of a build; use a new folder")
    return set(names)


def _swap(target: Path, fresh: Path, former: set[str]) -> None:
    """Replace the files ``former`` in ``target`` by the files in the folder ``fresh``."""
    made = _files(fresh)
    same = _same_sources(target, fresh, made)
    kept = {name for name in former if same and _VIVADO.fullmatch(name) and name not in made}
    # Both are listed meanwhile: should this be killed, the next build knows what to remove.
    _write_manifest(target, (former | made) - {MANIFEST})
    (target / LAST).unlink(missing_ok=True)
    for name in former - made - kept - {MANIFEST, LAST}:
        (target / name).unlink(missing_ok=True)
    _remove_empty(target, fresh)
    for name in sorted(made, key=lambda name: name == LAST):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh / name).replace(target / name)
    for folder in {(target / name).parent for name in made}:
        sync_folder(folder)
    _write_manifest(target, made)


def _same_sources(target: Path, fresh: Path, made: set[str]) -> bool:
    sources = [n for n in made if n.startswith("rtl/") or n in ("bnn.xdc", "build.tcl", LAST)]
    return all(
        (target / name).is_file() and (target / name).read_bytes() == (fresh / name).read_bytes()
        for name in sources
    )


def _write_manifest(target: Path, names: set[str]) -> None:
    text = json.dumps({"files": sorted(names)}, indent=1) + "\n"
    write_whole(target / MANIFEST, text.encode(), BuildError)


def _remove_empty(target: Path, fresh: Path) -> None:
    for place, _, _ in os.walk(target, topdown=False):
        if Path(place) not in (target, fresh) and not any(Path(place).iterdir()):
            Path(place).rmdir()


def _keep_logs(target: Path, fresh: Path, former: set[str]) -> None:
    """Move the logs of a failed build to ``target``: they show where the build failed."""
    for name in _LOGS:
        if (fresh / name).is_file():
            try:
                (fresh / name).replace(target / name)
                if not (former - {name}):
                    _write_manifest(target, {name})
                elif MANIFEST in former:
                    _write_manifest(target, _listed(target) | {name})
            except (OSError, BuildError):
                return  # there is a reason already

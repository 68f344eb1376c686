# SPDX-License-Identifier: BSD-3-Clause
"""Folders that an earlier version of this package built, and that are still right.

A design's digest is that of all its sources, so a bitstream of other sources is another design. It
can be used if its sources differ from today's only in files that it does not use, and in earlier
texts of blocks that do the same with the same parameters (:data:`EARLIER`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from bnn.errors import DriverError
from bnn.hw.design import Design
from bnn.hw.render import digest, sources, top
from bnn.system.files import read_file

#: Earlier texts, by their SHA-256, that do what the file of today does if a design that does not
#: know the file's newer parameters uses it.
EARLIER: Mapping[str, frozenset[str]] = {
    # Without SIGNED: zeros go above a word.
    "bnn_resize.sv": frozenset(
        {"fd6f80df5462a284b2ccf30ada3cda29ec2165a2e8e7121151ac6a688f3d2010"}
    ),
    # Without REST: images begin with a word.
    "bnn_reader.sv": frozenset(
        {"a49c79d5ceddd8de926b118dad46756926492a5aae0c688118b69e6dbc745091"}
    ),
}
#: Most bytes of a source file: memory images are the largest.
_MAX_FILE_BYTES = 1 << 26


def is_right(folder: Path, design: Design, design_id: int) -> bool:
    """Return whether the sources in ``folder`` are an earlier form of ``design``.

    Args:
        folder: folder of ``bnn build``; its sources are in ``rtl``.
        design: the design as this version makes it.
        design_id: the number of the design in ``folder``, which its bitstream has too.
    """
    today = sources(design)
    try:
        files = {
            path.name: read_file(path, _MAX_FILE_BYTES, DriverError).decode()
            for path in sorted((folder / "rtl").iterdir())
            if path.suffix in (".sv", ".svh", ".mem")
        }
    except (OSError, UnicodeDecodeError, DriverError):
        return False
    wanted = {**today.files, "bnn_top.sv": top(design, design_id, today.parameter_writes)}
    for name in (*_used(wanted), *(name for name in wanted if name.endswith(".mem"))):
        if name not in files or not _same(name, files[name], wanted[name]):
            return False
    # The files are what the number in the bitstream was made of.
    generated = ("bnn_core.sv", *(name for name in today.files if name.endswith(".mem")))
    own = {"bnn_core.sv", "bnn_top.sv", *_tops()}
    blocks = sorted(name for name in files if name.endswith(".sv") and name not in own)
    order = [*blocks, "bnn_registers.svh", *generated]
    text = top(design, 0, today.parameter_writes)
    return digest({name: files[name] for name in order}, text)[:8] == f"{design_id:08x}"


def _tops() -> list[str]:
    """Return the names of the source files of boards."""
    folder = resources.files("bnn.hw") / "boards"
    return [file.name for file in folder.iterdir() if file.name.endswith(".sv")]


def _used(files: Mapping[str, str]) -> list[str]:
    """Return the names of the source files that ``bnn_top`` is made of."""
    found, waiting = [], ["bnn_top.sv", "bnn_registers.svh"]
    while waiting:
        name = waiting.pop()
        if name in files and name not in found:
            found.append(name)
            waiting += [f"{each}.sv" for each in re.findall(r"\bbnn_\w+", files[name])]
    return found


def _same(name: str, text: str, today: str) -> bool:
    earlier = EARLIER.get(name, frozenset())
    return text == today or hashlib.sha256(text.encode()).hexdigest() in earlier

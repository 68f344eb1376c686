# SPDX-License-Identifier: BSD-3-Clause
"""Find the programs of place and route.

The programs are found in PATH, or in the folder that the environment variable ``BNN_FPGA_ROOT``
names: the unpacked root file system of another Debian release. A program in this folder is started
with the dynamic loader and the libraries of the folder, so it needs neither ``chroot`` nor root
permissions.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bnn.errors import BuildError, RuntimeUnavailableError
from bnn.hw.parts import Part

#: Environment variable: a root file system that holds the tools.
ROOT = "BNN_FPGA_ROOT"
#: Environment variable: prjxray's database, if it is not in one of the usual folders.
DATABASE = "BNN_PRJXRAY_DB"
_DATABASE = "prjxray-database"

_HINT = (
    "apt install nextpnr-himbaechel-xilinx prjxray prjxray-database on Debian 14, "
    f"or set {ROOT} to a root file system with them (docs/hardware.md says how)"
)


def root() -> Path | None:
    """Return the folder that ``BNN_FPGA_ROOT`` names; None if the variable is not set."""
    name = os.environ.get(ROOT)
    return Path(name) if name else None


def command(program: str) -> list[str]:
    """Return the command that starts ``program``.

    Raises:
        RuntimeUnavailableError: the program is missing; the message says how to install it.
    """
    found = shutil.which(program)
    if found:
        return [found]
    folder = root()
    if folder is not None and (file := folder / "usr/bin" / program).is_file():
        loaders = sorted(folder.glob("lib*/ld-linux*.so.*"))
        libraries = sorted(folder.glob("usr/lib/*-linux-gnu*"))
        if loaders:
            path = ":".join(str(library) for library in libraries)
            return [str(loaders[0]), "--library-path", path, str(file)]
    raise RuntimeUnavailableError(f"{program} is not installed: {_HINT}")


def shared(relative: str, package: str) -> Path:
    """Return the path of a file or folder in ``usr/share`` that belongs to the tools.

    Args:
        relative: path of the file or folder, relative to ``usr/share``.
        package: name of the Debian package that contains the file.

    Raises:
        RuntimeUnavailableError: the file is missing; the message says how to install it.
    """
    folder = root()
    for base in ([folder] if folder is not None else []) + [Path("/")]:
        if (path := base / "usr/share" / relative).exists():
            return path
    raise RuntimeUnavailableError(f"{package} is not installed: {_HINT}")


def family(part: Part) -> str:
    """Return Project X-Ray's name of the family of ``part``; BuildError if it has no name."""
    if not part.prjxray:
        raise BuildError(f"{part.name} cannot be placed and routed here: use build.tcl in Vivado")
    return part.prjxray


def database(part: Part) -> Path:
    """Return the folder of prjxray's database for the family of ``part``.

    Raises:
        BuildError: Project X-Ray does not know the family.
        RuntimeUnavailableError: the folder is missing; the message says how to install it.
    """
    known = family(part)
    named = os.environ.get(DATABASE)
    return Path(named) / known if named else shared(f"prjxray/database/{known}", _DATABASE)

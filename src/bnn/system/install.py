# SPDX-License-Identifier: BSD-3-Clause
"""The command that installs the packages of an extra (an optional part) in this environment."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")


def command(extra: str) -> str:
    """Return the command that installs the packages of an extra, such as ``sim`` or ``train``.

    The command contains the names of the packages and the path of this Python. So it works in a
    checkout, with an installed wheel, and in an environment that is not activated.

    Args:
        extra: a name in ``[project.optional-dependencies]`` of pyproject.toml.
    """
    words = [sys.executable or "python", "-m", "pip", "install", *_packages(extra)]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _packages(extra: str) -> list[str]:
    from importlib.metadata import PackageNotFoundError, requires  # slow to import; for messages

    try:
        lines = requires("bnn-pynq") or []
    except PackageNotFoundError:  # the package is not installed
        return [f".[{extra}]"]
    found = []
    for line in lines:
        package, _, marker = line.partition(";")
        match = _EXTRA.search(marker)
        if match and match[1] == extra:
            found.append(package.strip().replace(" ", ""))
    return found or [f".[{extra}]"]  # the installed package is older than these sources

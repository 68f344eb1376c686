# SPDX-License-Identifier: BSD-3-Clause
"""How to install what an optional part needs, in a command that works where the user is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires

_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")


def command(extra: str) -> str:
    """The command that installs the packages of an extra, such as ``sim`` or ``train``.

    It names the packages themselves, and this Python: so it works from a checkout, from a
    wheel and in an environment that is not activated.

    Args:
        extra: a name under ``[project.optional-dependencies]`` of pyproject.toml.
    """
    words = [sys.executable or "python", "-m", "pip", "install", *_packages(extra)]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _packages(extra: str) -> list[str]:
    try:
        lines = requires("bnn-pynq") or []
    except PackageNotFoundError:  # run from its sources, without being installed
        return [f".[{extra}]"]
    found = []
    for line in lines:
        package, _, marker = line.partition(";")
        match = _EXTRA.search(marker)
        if match and match[1] == extra:
            found.append(package.strip().replace(" ", ""))
    return found

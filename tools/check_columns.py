# SPDX-License-Identifier: BSD-3-Clause
"""Refuse lines over 100 columns in the package's C++.

clang-format breaks code at 100 columns, but not strings, assembly and macros. ruff does the same
for Python, tools/check_rtl.py for SystemVerilog.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COLUMNS = 100
PATTERNS = ("native/*.cpp", "native/*.hpp", "src/*.cpp", "src/*.hpp")


def long_lines(root: Path) -> list[str]:
    """``file:line: columns`` of each line over :data:`COLUMNS` in files that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PATTERNS],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = []
    for name in filter(None, listed.split("\0")):
        path = root / name
        if not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if len(line) > COLUMNS:
                found.append(f"{name}:{number}: {len(line)} columns, the most is {COLUMNS}")
    return found


def main() -> int:
    """Print what is too long; 1 if there is any."""
    found = long_lines(Path(__file__).resolve().parents[1])
    print("\n".join(found) if found else f"no line over {COLUMNS} columns in C++")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: BSD-3-Clause
"""Refuse lines over 100 columns in C, C++ and SystemVerilog, wherever they are in the tree.

clang-format breaks code at 100 columns, but not strings, assembly and macros. ruff does the same
for Python.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COLUMNS = 100
PATTERNS = ("*.c", "*.cpp", "*.hpp", "*.sv")


def long_lines(root: Path) -> list[str]:
    """Return ``file:line: columns`` of each line over :data:`COLUMNS` in files that git lists."""
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
                found.append(f"{name}:{number}: {len(line)} columns, more than {COLUMNS}")
    return found


def main() -> int:
    """Print the lines that are too long; return 1 if there are any."""
    found = long_lines(Path(__file__).resolve().parents[1])
    print(
        "\n".join(found) if found else f"lines over {COLUMNS} columns in C, C++, SystemVerilog: 0"
    )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check that the SystemVerilog of the package is documented and not too wide.

    python tools/check_rtl.py [FILE ...]

Every port and every parameter of a header must be on a line of its own, with a comment that says
more than its name. No line may be longer than 100 columns. Prints both counts and every line at
fault; exits with 1 if there is one. Without FILE: the blocks and the boards' tops.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("src/bnn/hw/rtl", "src/bnn/hw/boards")
COLUMNS = 100

_HEADER = re.compile(r"^module\s+\w+\s*(#?\(.*?)\);[ \t]*(?://[^\n]*)?$", re.DOTALL | re.MULTILINE)
_BLOCK_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_KEYWORD = re.compile(r"\b(?:parameter|localparam|input|output|inout)\b")
_NAME = re.compile(r"(\w+)\s*(?:=.*)?$")
_WORD = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True)
class Declaration:
    """A parameter or a port.

    Attributes:
        line: number of its line in the file, from 1.
        name: of the parameter or port, or the code where no single name is found.
        fault: what is wrong with it, or "".
    """

    line: int
    name: str
    fault: str


def declarations(text: str) -> Iterator[Declaration]:
    """Yield every parameter and port in the module headers of ``text``."""
    blank = _BLOCK_COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    for header in _HEADER.finditer(_without_brackets_in_comments(blank)):
        start = text.count("\n", 0, header.start(1))
        lines = blank[header.start(1) : header.end(1)].split("\n")
        for number, line in enumerate(lines, start + 1):
            code, _, comment = line.partition("//")
            if _KEYWORD.search(code):
                yield _declaration(number, code, comment)


def _without_brackets_in_comments(text: str) -> str:
    """Return ``text`` with letters instead of comments, in which a bracket would end a header."""
    return re.sub(r"//[^\n]*", lambda m: "//" + "x" * (len(m[0]) - 2), text)


def _declaration(line: int, code: str, comment: str) -> Declaration:
    body = re.sub(r"^.*?#\(", "", code).strip().rstrip(",").strip()
    found = _NAME.search(re.sub(r"=.*", "", body).strip())
    name = found[1] if found else body
    if len(_KEYWORD.findall(code)) > 1 or "," in re.sub(r"\([^()]*\)|\{[^{}]*\}", "", body):
        return Declaration(line, name, "one parameter or port a line")
    own = {word.lower() for word in _WORD.findall(name.replace("_", " "))} | {name.lower()}
    said = {word.lower() for word in _WORD.findall(comment)}
    if not said:
        return Declaration(line, name, f"{name} has no comment")
    if said <= own:
        return Declaration(line, name, f"the comment of {name} only repeats its name")
    return Declaration(line, name, "")


def main(paths: list[Path]) -> int:
    """Print the counts and the faults of these files; return the exit status."""
    documented = total = long = 0
    faults = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        for each in declarations(text):
            total += 1
            documented += not each.fault
            if each.fault:
                faults.append(f"{path}:{each.line}: {each.fault}")
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > COLUMNS:
                long += 1
                faults.append(f"{path}:{number}: {len(line)} columns, more than {COLUMNS}")
    print(f"parameters and ports with a comment: {documented} of {total}")
    print(f"lines over {COLUMNS} columns: {long}")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults or not paths else 0


def sources() -> list[Path]:
    """Return the package's own SystemVerilog files."""
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.sv"))]


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]] or sources()))

# SPDX-License-Identifier: BSD-3-Clause
"""Small mistakes in SystemVerilog, one at a time: operators, constants, dropped terms.

There is no kept library for this; the text of ``bnn/hw/rtl`` is regular enough for patterns. What
no simulator sees is left out: comments, attributes, port lists, branches for a synthesiser,
checks of parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: What is found, and what it becomes; each place and each change is a mutant.
_SWAPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"(?<= )&&(?= )", ("||",)),
    (r"(?<= )\|\|(?= )", ("&&",)),
    (r"(?<= )==(?= )", ("!=",)),
    (r"(?<= )!=(?= )", ("==",)),
    (r"(?<= )<(?= )", ("<=", ">")),
    (r"(?<= )>(?= )", (">=", "<")),
    (r"(?<= )>=(?= )", (">",)),
    (r"(?<= )\+(?= )", ("-",)),
    (r"(?<= )-(?= )", ("+",)),
    (r"(?<= )&(?= )", ("|",)),
    (r"(?<= )\|(?= )", ("&",)),
    (r"(?<= )\^(?= )", ("&", "|")),
    (r"(?<= )<<(?= )", (">>",)),
    (r"(?<=[ (])!(?=[a-z(])", ("",)),
    (r"(?<=[ (])~(?=[a-z(])", ("",)),
    (r"(?<=[ ({])\^(?=[a-z])", ("&",)),
    (r"(?<=[ (])&(?=[a-z])", ("|",)),
    (r"1'b0", ("1'b1",)),
    (r"1'b1", ("1'b0",)),
    (r"'0(?![0-9a-z])", ("'1",)),
    (r"'1(?![0-9a-z])", ("'0",)),
    (r"(?<=\d'd)\d+", ("+1",)),
    (r"(?<![\w'.[])\d+(?![\w'])|(?<=\[)\d+(?!:)", ("+1", "-1")),
    (r"(?<=\[)\d+(?=:)", ("-1",)),  # a wider register seldom changes anything
)
_TERM = r"(?<![\w'])!?\w+(?:\[[^\]]*\])?"
_DROPPED = re.compile(rf"({_TERM}) (&&|\|\||&|\||\+|-|\^) ({_TERM})(?=[;,) ])")
_CHOICE = re.compile(rf"({_TERM}) \? ")
_STATEMENT = re.compile(r"(?:\bif \([^;]*\) )?[a-z_]\w*(?:\[[^\]]*\])? <= [^;]*;")
_LEAST = re.compile(r"(?<= )<=(?= )")


def mutants(text: str) -> Iterator[tuple[int, str, str]]:
    """(offset, what is there, what is put there) of every mistake."""
    hidden = _hidden(text)
    statements = [(m.start(), m.end()) for m in _STATEMENT.finditer(text)]
    for start, found, wrong in _all(text, statements):
        if not any(hidden[start : start + len(found)]):
            yield start, found, wrong


def _all(text: str, statements: list[tuple[int, int]]) -> Iterator[tuple[int, str, str]]:
    for pattern, wrongs in _SWAPS:
        for match in re.finditer(pattern, text):
            for wrong in wrongs:
                number = re.fullmatch(r"[+-]1", wrong)
                if number and int(match[0]) + int(wrong) < 0:
                    continue
                width = text[match.start() - 1] == "-" and text[match.end()] == ":"
                if width and wrong == "-1":  # [W-1:0] wider
                    continue
                made = str(int(match[0]) + int(wrong)) if number and match[0].isdigit() else wrong
                yield match.start(), match[0], made
    for match in _LEAST.finditer(text):  # a comparison, not an assignment
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        first = next((m.start() for m in _LEAST.finditer(text, match.start() - len(line))), 0)
        if re.search(r"wire|\bif \([^)]*$|\bcase|= .*|\? ", line) or first != match.start():
            yield match.start(), "<=", "<"
    for match in _DROPPED.finditer(text):
        yield match.start(), match[0], match[1]
        yield match.start(), match[0], match[3]
    for match in _CHOICE.finditer(text):
        yield match.start(), match[0], f"!({match[1]}) ? "
    for start, end in statements:
        yield start, text[start:end], ";"


def _hidden(text: str) -> bytearray:
    """1 for each character that no mistake may touch."""
    hidden = bytearray(len(text))
    for pattern in (
        r"//[^\n]*",
        r"/\*.*?\*/",
        r"\(\*.*?\*\)",
        r'"[^"\n]*"',
        r"`ifdef BNN_LUT6.*?`(?:else|endif)",
        r"`ifndef SYNTHESIS.*?`endif",
        r"module \w+ #?\(.*?\n\);",
        r"wire unused\w* = [^;]*;",
        r"`ifndef __ICARUS__.*?`endif",  # checks of parameters: test_refusals.py has them all
        r"default: [^\n]*",
    ):
        for match in re.finditer(pattern, text, re.DOTALL):
            hidden[match.start() : match.end()] = b"\1" * (match.end() - match.start())
    return hidden

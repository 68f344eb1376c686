# SPDX-License-Identifier: BSD-3-Clause
"""Small mistakes in Python, one at a time, by the operators of cosmic-ray.

Its own runner mutates the installed package in place, runs one command for every mutant and draws
no samples; ``mutate.py`` runs them instead, as it runs those of the RTL.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from typing import Any

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

#: Operators that say nothing here: `is` for `==`, other names, decorators, arithmetic on bits.
_NOT = (
    "Variable",
    "RemoveDecorator",
    "Eq_Is",
    "Gt_Is",
    "Lt_Is",
    "GtE_Is",
    "LtE_Is",
    "AddNot",
    "Is_",
    "IsNot_",
)
_PAIRS = {
    *("Add_Sub", "Sub_Add", "Mul_Add", "Mul_FloorDiv", "FloorDiv_Mul", "Div_Mul", "Mod_FloorDiv"),
    *("Pow_Mul", "LShift_RShift", "RShift_LShift", "BitAnd_BitOr", "BitOr_BitAnd", "BitXor_BitAnd"),
}


Place = tuple[int, str, int]
"""A line, an operator, and which of the operator's places it is."""


def places(text: str) -> Iterator[Place]:
    """Where a mistake can be made; whether it compiles :func:`made` will say."""
    annotations = _annotations(text)
    nodes = list(ast_nodes(get_ast(text)))
    for name in sorted(plugins.operator_names()):
        if not _wanted(name.removeprefix("core/")):
            continue
        operator = plugins.get_operator(name)()
        found = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, (line, _) in enumerate(found):
            if line not in annotations:
                yield line, name, occurrence


def made(text: str, place: Place) -> tuple[int, str, str] | None:
    """(offset, what is there, what is put there), or None where nothing comes of it."""
    _, name, occurrence = place
    wrong = mutate_code(text, plugins.get_operator(name)(), occurrence)
    if wrong is None or wrong == text or not _compiles(wrong):
        return None
    return _change(text, wrong)


def _wanted(name: str) -> bool:
    if name.startswith("ReplaceBinaryOperator_"):
        return name.removeprefix("ReplaceBinaryOperator_") in _PAIRS
    if name in ("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"):
        return True
    return not any(part in name for part in _NOT)


def _annotations(text: str) -> set[int]:
    """Lines whose operators may be those of a type: ``int | None``."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        given: list[Any] = []
        if isinstance(node, ast.arg | ast.AnnAssign):
            given = [node.annotation]
        elif isinstance(node, ast.FunctionDef):
            given = [node.returns]
        for each in given:
            if each is not None and any(isinstance(n, ast.BinOp) for n in ast.walk(each)):
                lines |= set(range(each.lineno, (each.end_lineno or each.lineno) + 1))
    return lines


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _change(before: str, after: str) -> tuple[int, str, str]:
    """The one place where the texts differ."""
    start = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before)
    )
    end = 0
    most = min(len(before), len(after)) - start
    while end < most and before[-1 - end] == after[-1 - end]:
        end += 1
    return start, before[start : len(before) - end], after[start : len(after) - end]


def diff(name: str, before: str, after: str) -> str:
    """As a unified diff without context."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, "", "", 0, "")
    return "\n".join(lines)

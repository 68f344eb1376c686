# SPDX-License-Identifier: BSD-3-Clause
"""What is passed around cannot be changed, and arrays in it are not compared with ``==``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import bnn
from bnn.network.layers import Layer
from bnn.program.inputs import Input
from bnn.program.operations import Op

PACKAGE = Path(bnn.__file__).parent

#: Gather something while they are built or run; all other dataclasses are values.
GROW = {
    *("Database", "Drawing", "Found", "Layer", "Ledger", "Notebook", "Progress", "Reader"),
    *("Report", "State", "_Taken", "_Times"),
    *("Subject", "Timing", "Wiring", "_Hand", "_Kept", "_Stream", "_Total"),
}


def arrays(path: Path) -> set[str]:
    """Names of types of arrays in a file: NumPy's, and those that the package makes of them."""
    made = {"NDArray", "ArrayLike"}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("NDArray["):
            made |= {ast.unparse(target) for target in node.targets}
    return made


#: As they are called where they are imported.
ARRAYS = set().union(*(arrays(path) for path in PACKAGE.rglob("*.py")))


def dataclasses() -> Iterator[tuple[str, ast.ClassDef, str]]:
    """File and name of each, its definition, and the decorator's arguments."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                for each in map(ast.unparse, node.decorator_list):
                    if each.startswith("dataclass"):
                        yield f"{path.relative_to(PACKAGE)} {node.name}", node, each


def test_values_are_frozen() -> None:
    found = [(name, node.name, how) for name, node, how in dataclasses()]
    assert len(found) > 150
    assert [
        name for name, kind, how in found if kind not in GROW and "frozen=True" not in how
    ] == []
    assert {kind for _, kind, how in found if "frozen=True" not in how} == GROW


def test_values_with_arrays_have_an_equality_of_their_own() -> None:
    """The one that a dataclass makes raises for arrays of more than one number."""
    held = []
    for name, node, how in dataclasses():
        types = [
            ast.unparse(each.annotation) for each in node.body if isinstance(each, ast.AnnAssign)
        ]
        own = any(isinstance(each, ast.FunctionDef) and each.name == "__eq__" for each in node.body)
        if any(part in ARRAYS for each in types for part in each.replace("[", " ").split()):
            held.append((name, own or "eq=False" in how))
    assert len(held) > 20
    assert [name for name, fits in held if not fits] == []


@pytest.mark.parametrize("union", [Op, Layer, Input])
def test_members_of_a_closed_set_are_equal_only_to_themselves(union: object) -> None:
    """All alike: some have arrays, and sets and dictionaries of them are by identity."""
    kinds = get_args(union)
    assert len(kinds) > 2
    assert [kind for kind in kinds if kind.__eq__ is not object.__eq__] == []
    assert [kind for kind in kinds if kind.__hash__ is not object.__hash__] == []

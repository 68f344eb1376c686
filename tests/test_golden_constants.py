# SPDX-License-Identifier: BSD-3-Clause
"""Limits, tables and defaults of the whole package, by their values: none changes unseen.

Other tests say whether a number is right, where a specification, a framework or the circuit has it.
Most of these were chosen: how much may be read, how long is waited, what an argument is if it is
not given. So a change of one is shown in the difference of ``fixtures/golden``, and is meant.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import importlib
import inspect
import pkgutil
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnn
from support.golden import compare, digest

PACKAGE = Path(bnn.__file__).parent
ROOMS = sorted(
    {name.name.split(".")[0] for name in pkgutil.iter_modules(bnn.__path__) if name.ispkg}
)
#: Longer texts and tables are kept as their digest.
_LONG = 400


def text_of(value: Any) -> str:
    """The same text for the same value on each machine; functions and classes by name."""
    match value:
        case np.generic():  # NumPy 2 writes it otherwise than NumPy 1
            return f"{value.dtype} {value.item()!r}"
        case enum.Enum():  # before what it is too, a number or a text
            return f"{type(value).__name__} {value.value!r}"
        case bool() | int() | float() | complex() | bytes() | None:
            return repr(value)
        case str():
            return repr(value.replace(str(PACKAGE), "PACKAGE"))
        case re.Pattern():
            return f"re {value.pattern!r} {value.flags}"
        case np.ndarray():
            return (
                f"array {value.dtype} {value.shape} {digest(np.ascontiguousarray(value).tobytes())}"
            )
        case np.dtype():
            return f"dtype {value}"
        case Mapping():
            pairs = [f"{text_of(key)}: {text_of(each)}" for key, each in value.items()]
            return "{" + ", ".join(pairs) + "}"
        case frozenset() | set():
            return "{" + ", ".join(sorted(map(text_of, value))) + "}"
        case tuple() | list():
            return "(" + ", ".join(map(text_of, value)) + ")"
        case range() | slice():
            return repr(value)
        case functools.partial():
            return f"{text_of(value.func)} with {text_of(value.args)} {text_of(value.keywords)}"
        case Path():
            return value.as_posix().replace(str(PACKAGE), "PACKAGE")
        case type() | types.FunctionType() | types.BuiltinFunctionType():
            return f"{value.__module__}.{value.__qualname__}"
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        rows = [f"{one.name}={text_of(getattr(value, one.name, None))}" for one in fields]
        return f"{type(value).__name__}({', '.join(rows)})"
    return type(value).__name__


def kept(value: Any) -> str:
    text = text_of(value)
    return text if len(text) <= _LONG else f"{type(value).__name__} {digest(text)}"


def made(path: Path) -> list[str]:
    """Names in capitals to which a module gives a value, in their order."""
    found: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            within = [each for target in targets for each in ast.walk(target)]
            found += [
                each.id for each in within if isinstance(each, ast.Name) and each.id.isupper()
            ]
    return found


def constants(module: types.ModuleType) -> Iterator[tuple[str, str]]:
    """Names in capitals that the module makes; a table has a row for each of its keys."""
    for name in made(Path(module.__file__ or "")):
        value = vars(module)[name]
        if isinstance(value, Mapping) and len(value) > 3:
            yield f"{name} keys", kept(sorted(map(text_of, value)))
            yield from ((f"{name}[{text_of(key)}]", kept(each)) for key, each in value.items())
        else:
            yield name, kept(value)


def defaults(thing: Any, name: str) -> Iterator[tuple[str, str]]:
    """What arguments are that are not given; of classes their fields and methods too."""
    if isinstance(thing, type):
        if dataclasses.is_dataclass(thing):
            for one in dataclasses.fields(thing):
                if one.default is not dataclasses.MISSING:
                    yield f"{name}.{one.name}", kept(one.default)
                elif one.default_factory is not dataclasses.MISSING:
                    clock = inspect.isbuiltin(one.default_factory)
                    given = one.default_factory if clock else one.default_factory()
                    yield f"{name}.{one.name}()", kept(given)
        for member, value in vars(thing).items():
            if member.isupper():
                yield f"{name}.{member}", kept(value)
            elif inspect.isfunction(value) and value.__name__ == member:
                if member == "__init__" and dataclasses.is_dataclass(thing):
                    continue  # its arguments are the fields
                yield from defaults(value, f"{name}.{member}")
        return
    for argument in inspect.signature(thing).parameters.values():
        if argument.default is not inspect.Parameter.empty:
            yield f"{name}({argument.name})", kept(argument.default)


def recorded(module: types.ModuleType) -> Iterator[tuple[str, str]]:
    yield from constants(module)
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) == module.__name__ and (
            isinstance(thing, type) or inspect.isfunction(thing)
        ):
            yield from defaults(thing, name)


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_limits_tables_and_defaults(room: str) -> None:
    if room == "train":
        pytest.importorskip("torch")
        pytest.importorskip("lightning")
    prefix = f"bnn.{room}" if room else "bnn"
    here = importlib.import_module(prefix)
    names = [prefix]
    if room:
        names += [each.name for each in pkgutil.walk_packages(here.__path__, prefix + ".")]
    else:
        names += [f"bnn.{one.name}" for one in pkgutil.iter_modules(here.__path__) if not one.ispkg]
    names = [
        name for name in names if not name.rpartition(".")[2].startswith(("__main__", "_native"))
    ]
    found = {
        f"{name.removeprefix('bnn.')} {row}": value
        for name in names
        for row, value in recorded(importlib.import_module(name))
    }
    compare(f"constants-{room or 'bnn'}", found)

# SPDX-License-Identifier: BSD-3-Clause
"""Tables of the hardware that designs are made for: one TOML file for each part and each board.

The files are part of the package. Every error names the file and the field.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from bnn.errors import BuildError
from bnn.system.files import read_file

Value = TypeVar("Value")

#: Most bytes of a user's own file; ours have less than a thousand.
_MAX_OWN_BYTES = 1 << 16


class Table:
    """The fields of one TOML table, each checked when it is read.

    Args:
        where: the file, and the table in it; begins every message.
        values: contents of the table.
    """

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where = where
        self._values = dict(values)

    def number(self, field: str, low: float, high: float, default: float | None = None) -> float:
        """Return a number from ``low`` to ``high``; ``default`` where the field is absent."""
        value = self._take(field, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(field, f"must be a number, not {value!r}")
        if not low <= value <= high:
            raise self.error(field, f"must be from {low:g} to {high:g}, not {value!r}")
        return float(value)

    def whole(self, field: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number from ``low`` to ``high``; ``default`` where the field is absent."""
        value = self.number(field, low, high, default)
        if value != int(value):
            raise self.error(field, f"must be a whole number, not {value:g}")
        return int(value)

    def text(self, field: str, default: str | None = None) -> str:
        """Return a text of letters, digits and ``_ - .``; ``default`` where the field is absent."""
        value = self._take(field, default)
        if value == default and isinstance(value, str):
            return value
        plain = isinstance(value, str) and value.isascii()
        if not plain or not value or not all(one.isalnum() or one in "_-." for one in value):
            raise self.error(field, f"must be a name of letters, digits and _-., not {value!r}")
        return str(value)

    def texts(self, field: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Return a list of some of the texts ``allowed``; empty where the field is absent."""
        values = self._take(field, [])
        if not isinstance(values, list) or not all(value in allowed for value in values):
            known = ", ".join(f'"{each}"' for each in allowed)
            raise self.error(field, f"must be a list of some of {known}, not {values!r}")
        return tuple(values)

    def table(self, field: str) -> Table | None:
        """Return a table in this one; None where it is absent."""
        value = self._values.pop(field, None)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(field, f"must be a table, [{field}], not {value!r}")
        return Table(f"{self.where}: [{field}]", value)

    def is_table(self, field: str) -> bool:
        """Tell whether ``field`` is a table; one that is absent is not."""
        return isinstance(self._values.get(field), dict)

    def end(self) -> None:
        """Refuse fields that were not read: a misspelt one would have no effect."""
        for field in self._values:
            raise self.error(field, "is not a field of this table")

    def error(self, field: str, reason: str) -> BuildError:
        """Return the error for ``field``."""
        return BuildError(f"{self.where}: {field} {reason}")

    def _take(self, field: str, default: Any) -> Any:
        if field not in self._values:
            if default is None:
                raise self.error(field, "is missing")
            return default
        return self._values.pop(field)


def read(package: str, make: Callable[[str, Table], Value]) -> dict[str, Value]:
    """Return every ``*.toml`` of ``package``: its name without the ending -> what ``make`` returns.

    Args:
        package: such as ``bnn.hw.parts``.
        make: takes the name and the file's table; reads every field that it knows.

    Raises:
        BuildError: a file cannot be read, lacks a field, or has one that is not read.
    """
    files = sorted(resources.files(package).iterdir(), key=lambda file: file.name)
    found = {}
    for file in files:
        name, dot, ending = file.name.rpartition(".")
        if dot and ending == "toml":
            found[name] = parse(file.name, file.read_bytes(), partial(make, name))
    return found


def read_own(path: Path, make: Callable[[str, Table], Value]) -> Value:
    """Return what ``make`` returns for a user's own file: its name without the ending, its table.

    Raises:
        BuildError: the file cannot be read, is larger than 64 KiB, lacks a field, or has one that
            is not read.
    """
    data = read_file(path, _MAX_OWN_BYTES, BuildError)
    return parse(str(path), data, partial(make, path.stem))


def parse(where: str, data: bytes, make: Callable[[Table], Value]) -> Value:
    """Return ``make`` of the TOML document ``data``; ``where`` names it in messages."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = Table(where, tomllib.loads(data.decode("utf-8")))
    except ValueError as reason:  # not UTF-8, or not TOML
        raise BuildError(f"{where}: not a TOML file: {' '.join(str(reason).split())}") from None
    value = make(table)
    table.end()
    return value

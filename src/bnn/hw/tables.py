# SPDX-License-Identifier: BSD-3-Clause
"""Reader of the TOML files that describe parts and boards, one file for each.

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
        where: names of the file and of the table in it, at the start of every message.
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
        """Return a list of texts, all of them in ``allowed``; empty where the field is absent."""
        values = self._take(field, [])
        if not isinstance(values, list) or not all(value in allowed for value in values):
            known = ", ".join(f'"{each}"' for each in allowed)
            raise self.error(field, f"must be a list of some of {known}, not {values!r}")
        return tuple(values)

    def table(self, field: str) -> Table | None:
        """Return the table ``field`` in this table; None where it is absent."""
        value = self._values.pop(field, None)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(field, f"must be a table, [{field}], not {value!r}")
        return Table(f"{self.where}: [{field}]", value)

    def is_table(self, field: str) -> bool:
        """Return whether ``field`` is a table; False where it is absent."""
        return isinstance(self._values.get(field), dict)

    def end(self) -> None:
        """Raise BuildError if a field was not read: a misspelt field would have no effect."""
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
    """Return, for every file ``NAME.toml`` of ``package``, NAME -> result of ``make``.

    Args:
        package: such as ``bnn.hw.parts``.
        make: takes NAME and the file's table; reads every field that it knows.

    Raises:
        BuildError: a file cannot be read, lacks a field, or has an unknown field.
    """
    files = sorted(resources.files(package).iterdir(), key=lambda file: file.name)
    found = {}
    for file in files:
        name, dot, ending = file.name.rpartition(".")
        if dot and ending == "toml":
            found[name] = parse(file.name, file.read_bytes(), partial(make, name))
    return found


def read_own(path: Path, make: Callable[[str, Table], Value]) -> Value:
    """Return the result of ``make`` for a user's own TOML file.

    Args:
        path: the file.
        make: takes the file's name without the ending, and its table.

    Raises:
        BuildError: the file cannot be read, is larger than 64 KiB, lacks a field, or has an
            unknown field.
    """
    data = read_file(path, _MAX_OWN_BYTES, BuildError)
    return parse(str(path), data, partial(make, path.stem))


def parse(where: str, data: bytes, make: Callable[[Table], Value]) -> Value:
    """Return the result of ``make`` for the TOML text ``data``; ``where`` is its file's name."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = Table(where, tomllib.loads(data.decode("utf-8")))
    except ValueError as reason:  # not UTF-8, or not TOML
        raise BuildError(f"{where}: not a TOML file ({' '.join(str(reason).split())})") from None
    value = make(table)
    table.end()
    return value

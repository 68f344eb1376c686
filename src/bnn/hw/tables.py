# SPDX-License-Identifier: BSD-3-Clause
"""Reader of the TOML files that describe parts and boards.

Each part and each board has a file, in the package or of a user. Every error names the file and the
field.
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

#: Most bytes of a user's own file; the bundled files have fewer than a thousand.
_MAX_OWN_BYTES = 1 << 16


class Table:
    """The fields of one TOML table, each checked when it is read.

    Args:
        where: name of the file, and of the table in the file; every message begins with it.
        values: contents of the table.
    """

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where = where
        self._values = dict(values)

    def number(self, field: str, low: float, high: float, default: float | None = None) -> float:
        """Return the number ``field``, from ``low`` to ``high``; if it is absent, ``default``."""
        value = self._take(field, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(field, f"must be a number, not {value!r}")
        if not low <= value <= high:
            raise self.error(field, f"must be from {low:g} to {high:g}, not {value!r}")
        return float(value)

    def whole(self, field: str, low: int, high: int, default: int | None = None) -> int:
        """Return the whole number ``field``, ``low`` to ``high``; if it is absent, ``default``."""
        value = self.number(field, low, high, default)
        if value != int(value):
            raise self.error(field, f"must be a whole number, not {value:g}")
        return int(value)

    def text(self, field: str, default: str | None = None) -> str:
        """Return the text ``field``, of letters, digits and ``_ - .``; if absent, ``default``."""
        value = self._take(field, default)
        if value == default and isinstance(value, str):
            return value
        plain = isinstance(value, str) and value.isascii()
        if not plain or not value or not all(one.isalnum() or one in "_-." for one in value):
            raise self.error(field, f"must be a name of letters, digits and _-., not {value!r}")
        return str(value)

    def texts(self, field: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Return the list of texts ``field``, all from ``allowed``; if it is absent, ()."""
        values = self._take(field, [])
        if not isinstance(values, list) or not all(value in allowed for value in values):
            known = ", ".join(f'"{each}"' for each in allowed)
            raise self.error(field, f"must be a list of some of {known}, not {values!r}")
        return tuple(values)

    def table(self, field: str) -> Table | None:
        """Return the table ``field`` in this table; None if it is absent."""
        value = self._values.pop(field, None)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(field, f"must be a table, [{field}], not {value!r}")
        return Table(f"{self.where}: [{field}]", value)

    def is_table(self, field: str) -> bool:
        """Return whether this table has a field called ``field`` that is a table."""
        return isinstance(self._values.get(field), dict)

    def end(self) -> None:
        """Raise BuildError if a field was not read: it may be misspelt, and has no effect."""
        for field in self._values:
            raise self.error(field, "is not a field of this table")

    def error(self, field: str, reason: str) -> BuildError:
        """Return an error that names file, table and ``field``; ``reason`` follows the name."""
        return BuildError(f"{self.where}: {field} {reason}")

    def _take(self, field: str, default: Any) -> Any:
        if field not in self._values:
            if default is None:
                raise self.error(field, "is missing")
            return default
        return self._values.pop(field)


def read(package: str, make: Callable[[str, Table], Value]) -> dict[str, Value]:
    """Return NAME -> result of ``make``, for every file ``NAME.toml`` of ``package``.

    Args:
        package: name of a package with TOML files, such as ``bnn.hw.parts``.
        make: function of NAME and the file's table; it must read all fields that are allowed.

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
        make: function of the file's name without the ending, and the file's table.

    Raises:
        BuildError: the file cannot be read, is larger than 64 KiB, lacks a field, or has an
            unknown field.
    """
    data = read_file(path, _MAX_OWN_BYTES, BuildError)
    return parse(str(path), data, partial(make, path.stem))


def parse(where: str, data: bytes, make: Callable[[Table], Value]) -> Value:
    """Return the result of ``make`` for the TOML text ``data`` of the file ``where``."""
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

# SPDX-License-Identifier: BSD-3-Clause
"""Settings written by hand: types, ranges and names are checked before they are used."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

from bnn.errors import TrainError

MAX_QUOTED = 60


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``; if ``above`` is True, ``low`` itself is not allowed."""

    low: float
    high: float
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        low, high = (f"{int(n)}" if n == int(n) else f"{n}" for n in (self.low, self.high))
        return f"above {low} and at most {high}" if self.above else f"from {low} to {high}"


def short(value: Any) -> str:
    """Return ``value`` as one short line, for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # too many digits, or nested too deeply
        text = f"this {type(value).__name__}"
    return text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 3] + "..."


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number with its noun, such as ``1 class`` or ``2 classes``.

    ``one`` is the singular of the noun; ``several`` the plural, by default with an s.
    """
    return f"{count} {one if count == 1 else several or one + 's'}"


def check_values(given: Any, ranges: Mapping[str, Range | Collection[str]]) -> None:
    """Check every field of a dataclass instance against its annotation and its range.

    Args:
        given: the dataclass instance.
        ranges: field name -> range of a number, or the allowed names.

    Raises:
        TrainError: a value is not allowed; the message names field, value and allowed values.
    """
    hints = get_type_hints(type(given))
    for field in fields(given):
        value = getattr(given, field.name)
        if not _fits(value, hints[field.name]):
            wanted = _KINDS.get(hints[field.name], "of another type")
            raise TrainError(f"{field.name} must be {wanted}, not {short(value)}")
        rule = ranges.get(field.name)
        if value is None or rule is None:
            continue
        if isinstance(rule, Range):
            if not (math.isfinite(value) and value in rule):
                raise TrainError(f"{field.name} must be {rule}, not {short(value)}")
        elif value not in rule:
            close = closest(value, rule)
            raise TrainError(f"{field.name} is one of {', '.join(rule)}, not {short(value)}{close}")


_KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    str | None: "a text or null",
    int | None: "a whole number or null",
    tuple[str, ...]: "a list of texts",
}


def _fits(value: Any, hint: Any) -> bool:
    if hint is int:
        return type(value) is int
    if hint is float:  # a whole number is allowed too, unless it is too large for a float
        return type(value) is float or (type(value) is int and abs(value) < 2**53)
    if hint is bool or hint is str:
        return type(value) is hint
    if hint == str | None:
        return value is None or type(value) is str
    if hint == int | None:
        return value is None or type(value) is int
    if hint == tuple[str, ...]:
        return type(value) is tuple and all(type(one) is str for one in value)
    return True  # not of a file


def check_keys(where: str, table: Any, kind: type[Any], more: Collection[str] = ()) -> None:
    """Check that the keys of ``table`` are fields of the dataclass ``kind``, or in ``more``.

    Raises:
        TrainError: ``table`` is not a dict, has a key that is not allowed, or does not have a
            field that has no default.
    """
    if not isinstance(table, dict):
        raise TrainError(f"{where} must be a table, not {short(table)}")
    known = {field.name for field in fields(kind)}
    for key in table:
        if key not in known and key not in more:
            close = closest(key, sorted({*known, *more}))
            raise TrainError(f"{where} has an unknown key {short(key)}{close}")
    for field in fields(kind):
        if field.name not in table and field.default is MISSING:
            raise TrainError(f"{where} has no {field.name!r}")


def closest(name: str, known: Collection[str]) -> str:
    """Return ``; did you mean ...?`` if a known name is similar to ``name``, else ""."""
    found = difflib.get_close_matches(name[:MAX_QUOTED], known, 1)
    return f"; did you mean {found[0]!r}?" if found else ""

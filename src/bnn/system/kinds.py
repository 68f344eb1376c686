# SPDX-License-Identifier: BSD-3-Clause
"""Dataclasses that an entry of a model file describes by the name of a kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TypeVar

from bnn.errors import InputError, ModelFileError

Kind = TypeVar("Kind")


def of_kind(
    what: str,
    value: object,
    kinds: Mapping[str, type[Kind]],
    added: Mapping[str, Mapping[str, object]] | None = None,
) -> Kind:
    """Return the dataclass that a model file describes: ``{"kind": name, field: value, ...}``.

    Args:
        what: the entry of the file, for messages.
        value: its JSON value; lists become tuples.
        kinds: name of a kind -> its dataclass.
        added: name of a kind -> values of fields that older files lack.

    Raises:
        ModelFileError: the kind is unknown, a field is missing or unknown, or the dataclass
            refuses a value.
    """
    if not isinstance(value, dict):
        raise ModelFileError(f"{what}: must be an object with a kind")
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in value.items()}
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        raise ModelFileError(f"{what}: unknown kind {kind!r}; known: {', '.join(kinds)}")
    known = {item.name for item in fields(kinds[kind])}  # type: ignore[arg-type]
    options = {**(added or {}).get(kind, {}), **options}
    if wrong := sorted(map(str, known ^ set(options))):
        raise ModelFileError(f"{what}: {kind}: missing or unknown {', '.join(wrong)}")
    try:
        return kinds[kind](**options)
    except (InputError, TypeError) as error:
        raise ModelFileError(f"{what}: {error}") from None

# SPDX-License-Identifier: BSD-3-Clause
"""Make dataclasses of entries of a model file that have a key "kind"."""

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
    """Return the dataclass object that an entry describes: ``{"kind": name, field: value, ...}``.

    Args:
        what: name of the entry, for messages.
        value: JSON value of the entry; lists in it become tuples.
        kinds: name of each kind -> its dataclass.
        added: name of a kind -> values for fields that entries of older files do not have.

    Raises:
        ModelFileError: the kind is unknown, a field is missing or unknown, or the dataclass
            refuses a value.
    """
    if not isinstance(value, dict):
        raise ModelFileError(f'{what}: must be an object with the key "kind"')
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

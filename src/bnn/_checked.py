# SPDX-License-Identifier: BSD-3-Clause
"""Copies of checked values, made as the value itself was made."""

from __future__ import annotations

from dataclasses import fields
from types import MappingProxyType
from typing import Any


class Made:
    """Base of frozen dataclasses that are checked when made.

    Copies (and what goes to a worker process) call the class with the fields that its
    ``__init__`` takes, so a copy is checked too, and what it inferred is inferred again.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(
            _plain(getattr(self, item.name))
            for item in fields(self)  # type: ignore[arg-type]  # a dataclass by contract
            if item.init
        )


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, MappingProxyType) else value

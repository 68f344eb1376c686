# SPDX-License-Identifier: BSD-3-Clause
"""Base of frozen dataclasses whose copies are checked again."""

from __future__ import annotations

from dataclasses import fields
from types import MappingProxyType
from typing import Any


class Checked:
    """Base of frozen dataclasses: copy and pickle call the constructor again.

    So every copy is checked again, and its derived values are computed again. This is also true of
    copies that are sent to another process.
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

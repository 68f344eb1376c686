# SPDX-License-Identifier: BSD-3-Clause
"""Classify many pictures in many processes: ``bnn bulk``, and a class for Ray Data.

See docs/serving.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnn.scale.classify import Classify
    from bnn.scale.running import bulk

__all__ = ["Classify", "bulk"]

_HOMES = {"Classify": "bnn.scale.classify", "bulk": "bnn.scale.running"}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value: object = getattr(import_module(_HOMES[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

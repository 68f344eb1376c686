# SPDX-License-Identifier: BSD-3-Clause
"""Functions of ``typing`` that Python 3.10 does not have yet."""

from __future__ import annotations

from typing import NoReturn


def assert_never(value: NoReturn) -> NoReturn:  # Never is 3.11
    """Tell the type checker that all cases were matched (as ``typing.assert_never`` since 3.11)."""
    raise AssertionError(f"not handled: {value!r}")

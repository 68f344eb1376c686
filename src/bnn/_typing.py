# SPDX-License-Identifier: BSD-3-Clause
"""What ``typing`` lacks in Python 3.10."""

from __future__ import annotations

from typing import NoReturn


def assert_never(value: NoReturn) -> NoReturn:  # Never is 3.11
    """Tell the type checker that all cases were matched (``typing.assert_never`` of 3.11)."""
    raise AssertionError(f"not handled: {value!r}")

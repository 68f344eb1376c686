# SPDX-License-Identifier: BSD-3-Clause
"""What every test may use: where real data lies, and how hypothesis behaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Tests are not timed: on a loaded machine a slow example is no failure.
settings.register_profile("bnn", deadline=None, print_blob=True)
settings.load_profile("bnn")


def _folder(variable: str) -> Path:
    value = os.environ.get(variable, "").split(os.pathsep)[0]
    if not value or not Path(value).is_dir():
        pytest.skip(f"{variable} names no folder")
    return Path(value)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data sets that ``BNN_DATA`` names; the test is skipped without one."""
    return _folder("BNN_DATA")


@pytest.fixture(scope="session")
def params_dir() -> Path:
    """The first root that ``BNN_PARAMS`` names; the test is skipped without one."""
    return _folder("BNN_PARAMS")

# SPDX-License-Identifier: BSD-3-Clause
"""The table of constructs in docs/converting.md is that of the readers' own tables."""

from __future__ import annotations

from types import ModuleType

import pytest

from bnn.formats.qonnx.operators import OPERATORS
from support.scripts_loaded import load


@pytest.fixture(scope="module")
def constructs() -> ModuleType:
    return load("tools", "constructs.py")


def test_the_page_is_current(constructs: ModuleType) -> None:
    page = constructs.PAGE.read_text()
    assert constructs.replaced(page) == page


def test_an_old_page_is_found(constructs: ModuleType) -> None:
    page = constructs.PAGE.read_text()
    old = page.replace("XnorPopcountMatMul", "XnorPopcount")
    assert constructs.replaced(old) != old


def test_every_operator_is_in_one_row(constructs: ModuleType) -> None:
    named = [name for _, names, _ in constructs.onnx() for name in names.split(", ")]
    assert set(named) == set(OPERATORS)
    assert len(named) == len(set(named))

# SPDX-License-Identifier: BSD-3-Clause
"""Values in messages are short: whole up to a length, and cut with three dots after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bnn.formats.keras.settings import short as of_keras
from bnn.formats.qonnx.operators import _short as of_onnx
from bnn.network import topology
from bnn.serve.wire import _short as of_requests


@pytest.mark.parametrize(
    ("shorten", "most"),
    [
        pytest.param(of_onnx, 60, id="onnx"),
        pytest.param(of_requests, 100, id="requests"),
        pytest.param(topology._quoted, topology.MAX_QUOTED, id="topology"),
    ],
)
def test_a_text_is_cut_where_it_is_too_long(shorten: Callable[[Any], str], most: int) -> None:
    for length in (1, most - 3, most - 2, most - 1, most):
        text = "x" * (length - 2)
        assert shorten(text) == f"'{text}'"
    for length in (most + 1, most + 2, 1000):
        text = "x" * (length - 2)
        assert shorten(text) == f"'{text}"[: most - 3] + "..."
        assert len(shorten(text)) == most


def test_values_of_keras() -> None:
    """Python's own short texts, in one line; a list of long ones is still too long."""
    assert of_keras("x" * 28) == repr("x" * 28)
    assert of_keras(list(range(6))) == "[0, 1, 2, 3, 4, 5]"
    for value in ([["y" * 40] * 3] * 3, ("y" * 90, "z" * 90, "x" * 90)):
        assert len(of_keras(value)) == 80
        assert of_keras(value).endswith("...")
    for value, text in (((1 << 64) - 1, str((1 << 64) - 1)), (1 - (1 << 64), str(1 - (1 << 64)))):
        assert of_keras(value) == text
    for value in (1 << 64, -(1 << 64), 1 << 9999):
        assert of_keras(value) == "(a huge number)"


def test_values_that_have_no_text() -> None:
    assert topology._quoted(1 << 99999) == "this int"
    assert of_onnx(np.zeros((2, 3))) == "an array of shape (2, 3)"
    assert of_requests(ValueError("a\n  b")) == "a b"

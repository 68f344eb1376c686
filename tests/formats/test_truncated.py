# SPDX-License-Identifier: BSD-3-Clause
"""QONNX' Trunc in both versions, from its definition."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bnn.errors import FormatError
from bnn.formats.qonnx.quantizers import trunc

ROUND = {"FLOOR": math.floor, "CEIL": math.ceil, "ROUND": round}
X = np.arange(-60, 61) / 4


def node(version: int, mode: str = "FLOOR", **attributes: Any) -> Any:
    given = {"rounding_mode": mode, **attributes}
    return SimpleNamespace(kind="Trunc", version=version, attribute=given.__getitem__)


def parameters(*values: Any) -> list[Any]:
    return [np.asarray(value, np.float32) for value in values]


@pytest.mark.parametrize("mode", ROUND)
@pytest.mark.parametrize("zero", [0, 2, -3])
@pytest.mark.parametrize(("scale", "before", "after"), [(0.25, 8, 6), (0.5, 5, 5), (1.0, 4, 1)])
def test_version_1(mode: str, zero: int, scale: float, before: int, after: int) -> None:
    """The lower bits are cut off; the scale stays."""
    made = trunc(node(1, mode), parameters(scale, zero, before, after), X[0], X[-1])
    found = made.scale * made.integers(np.float32(X)) + made.offset
    cut = 2 ** (before - after)
    expected = [(ROUND[mode](round(x / scale + zero) / cut) - zero) * scale for x in X]
    np.testing.assert_array_equal(found, expected)
    assert made.low <= made.integers(np.float32(X)).min()
    assert made.integers(np.float32(X)).max() <= made.high


@pytest.mark.parametrize("mode", ROUND)
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("narrow", [0, 1])
@pytest.mark.parametrize(("scale", "out", "bits"), [(0.25, 1.0, 4), (0.5, 0.5, 3), (0.25, 2.0, 8)])
def test_version_2(
    mode: str, signed: int, narrow: int, scale: float, out: float, bits: int
) -> None:
    """The scale of the result says how many bits go; it is clipped."""
    given = node(2, mode, signed=signed, narrow=narrow)
    made = trunc(given, parameters(scale, 0, 8, out, bits), X[0], X[-1])
    low = -(2 ** (bits - 1)) + narrow if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    found = made.scale * made.integers(np.float32(X)) + made.offset
    levels = [min(max(round(x / scale) / (out / scale), low), high) for x in X]
    np.testing.assert_array_equal(found, [ROUND[mode](v) * out for v in levels])
    assert (made.low, made.high) == (low, high)


@pytest.mark.parametrize(
    ("version", "values", "words"),
    [
        (1, (0.25, 0, 8, 6), ""),
        (1, (0, 0, 8, 6), "must be positive"),
        (1, (-1, 0, 8, 6), "must be positive"),
        (1, (0.25, 0, 8, 0), "must be positive"),
        (1, (0.25, 0, 8.5, 6), "must be whole numbers"),
        (1, (0.25, 0, 8, 6.5), "must be whole numbers"),
        (1, (np.nan, 0, 8, 6), "single finite numbers"),
        (1, ([0.25, 0.25], 0, 8, 6), "single finite numbers"),
        (1, (0.25, 0, np.inf, 6), "single finite numbers"),
        (2, (0.25, 0, 8, 0.5, 4), ""),
        (2, (0.25, 0, 8, 0.0, 4), "must be positive"),
        (2, (0.25, 0, 8, 0.5, 0), "output bits can be converted"),
        (2, (0.25, 0, 8, 0.5, 1.5), "output bits can be converted"),
        (2, (0.25, 0, 8, 0.5, 17), "output bits can be converted"),
    ],
)
def test_parameters(version: int, values: Any, words: str) -> None:
    given = node(version, signed=1, narrow=0)
    if not words:
        trunc(given, parameters(*values), -4, 4)
        return
    with pytest.raises(FormatError, match=words):
        trunc(given, parameters(*values), -4, 4)

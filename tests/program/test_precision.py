# SPDX-License-Identifier: BSD-3-Clause
"""Precisions: ranges, codes, spelling."""

from __future__ import annotations

import numpy as np
import pytest

from bnn.errors import ProgramError
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision, parse

ALL = [BIPOLAR, *(UINT(b) for b in range(1, 9)), *(INT(b) for b in range(1, 9))]
ALL += [INT(b, narrow=True) for b in range(2, 9)]


def _values(precision: Precision) -> list[int]:
    step = 2 if precision == BIPOLAR else 1
    return list(range(precision.low, precision.high + 1, step))


@pytest.mark.parametrize("precision", ALL, ids=str)
def test_every_value_has_its_own_code_and_comes_back(precision: Precision) -> None:
    values = _values(precision)
    codes = precision.encode(np.array(values))
    assert len(set(codes.tolist())) == len(values)
    assert codes.max() < 1 << precision.bits
    assert precision.decode(codes).tolist() == values


@pytest.mark.parametrize("precision", ALL, ids=str)
def test_values_beyond_either_end_are_refused(precision: Precision) -> None:
    assert precision.allows(np.array(_values(precision)))
    for beyond in (precision.low - 1, precision.high + 1):
        assert not precision.allows(beyond)
        with pytest.raises(ProgramError):
            precision.encode(np.array([beyond]))


@pytest.mark.parametrize("precision", ALL, ids=str)
def test_name_is_read_back(precision: Precision) -> None:
    assert parse(precision.name) == precision


@pytest.mark.parametrize("name", ["", "int0", "int33", "uint2n", "int1n", "float", "int08", "Int8"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ProgramError):
        parse(name)


def test_bipolar_has_no_zero() -> None:
    assert not BIPOLAR.allows(0)
    assert not BIPOLAR.covers(-1, 1)
    assert TERNARY.covers(-1, 1)


def test_code_without_a_meaning_is_refused() -> None:
    with pytest.raises(ProgramError, match="no value"):
        TERNARY.decode(np.array([2]))

# SPDX-License-Identifier: BSD-3-Clause
"""Where a stroke is put so that its centre of mass is in the middle, in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bnn.data.pictures.rules import _start


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 9))
def test_the_centre_of_the_mass_is_in_the_middle(mass: list[int], room: int) -> None:
    if not sum(mass):
        mass[0] = 1
    length = len(mass) + room
    found = _start(np.array(mass, np.int64), length)
    centre = sum(m * (i + Fraction(1, 2)) for i, m in enumerate(mass)) / Fraction(sum(mass))
    off = {start: abs(start + centre - Fraction(length, 2)) for start in range(room + 1)}
    assert off[found] == min(off.values())
    # Of two that are equally near, the higher one: a half is rounded up.
    assert found == max(start for start, each in off.items() if each == off[found])

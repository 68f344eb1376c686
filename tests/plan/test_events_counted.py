# SPDX-License-Identifier: BSD-3-Clause
"""What is counted of the events of a pipeline, against a walk through its cycles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bnn.plan import events


class Moves:
    def __init__(self, entered: list[int], left: list[int]) -> None:
        self.entered, self.left = entered, left
        self.offers, self.moved = entered, left


def walked(entered: list[int], left: list[int]) -> int:
    """The most words in a FIFO at the end of a cycle in which one entered."""
    most = 0
    for cycle in range(max([*entered, *left, 0]) + 2):
        inside = sum(each <= cycle for each in entered) - sum(each <= cycle for each in left)
        most = max(most, inside if cycle in entered else 0)
    return most


@pytest.mark.parametrize("seed", range(20))
def test_the_fill_of_a_fifo(seed: int) -> None:
    random = np.random.default_rng(seed)
    entered = np.cumsum(random.integers(1, 4, 12)).tolist()
    left, before = [], 0
    for cycle in entered[: int(random.integers(1, 13))]:
        before = max(before + 1, cycle + int(random.integers(1, 9)))
        left.append(before)
    given: Any = Moves(entered, left)
    assert events._fill(given) == walked(entered, left)


def test_fifos_of_no_word_and_of_some() -> None:
    for entered, left, most in (
        *(([], [], 0), ([3], [4], 1), ([3, 4, 5], [], 3)),
        *(([1, 2, 3], [2, 3, 4], 1), ([1, 2], [9, 10], 2)),
    ):
        given: Any = Moves(entered, left)
        assert events._fill(given) == most


@pytest.mark.parametrize(
    ("offers", "moved", "stalls"),
    [
        ([], [], 0),
        ([0, 1, 2], [0, 1, 2], 0),
        ([0, 1, 2], [0, 3, 4], 2),
        ([0, 0, 0], [0, 1, 2], 0),
        ([0, 0, 0], [5, 6, 9], 7),
        ([2, 2, 9], [2, 4], 1),
    ],
)
def test_cycles_in_which_a_word_waited(offers: list[int], moved: list[int], stalls: int) -> None:
    """A word waits from its offer, or from the cycle after the word before it."""
    given: Any = Moves(offers, moved)
    assert events._stalls(given) == stalls

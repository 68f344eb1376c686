# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a comparison: what differs, what is a tie, and the lines that say so."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bnn.errors import DataError, FormatError
from bnn.measure.agreement import (
    TIE,
    Answers,
    Comparison,
    Verification,
    as_graph,
    classes_of,
    compared,
    squashed,
)


def answers(*logits: list[float]) -> Answers:
    array = np.array(logits)
    return Answers(classes_of(array), array)


def test_the_first_answers_are_compared() -> None:
    mine = answers([3, 1], [1, 2], [5, 0], [0, 9])
    found = compared("theirs", mine, answers([3, 0], [2, 1], [5, 0]))
    assert found == Comparison("theirs", 3, 1, 1.0, 5.0, True)
    assert found.line() == (
        "compared with theirs: 1 of 3 predictions differ; logits by at most 1 (the largest is 5)"
    )
    assert compared("t", mine, Answers(np.array([0, 1, 0, 0])), False) == Comparison(
        "t", 4, 1, None, 0.0, False
    )


@pytest.mark.parametrize("size", [1.0, 1000.0])
@pytest.mark.parametrize(("part", "differing"), [(0.9, 0), (1.1, 1)])
def test_a_tie_is_told_by_the_largest_logit(size: float, part: float, differing: int) -> None:
    apart = part * TIE * size
    theirs = answers([size, 0, 0], [0, 1 + apart, 1])
    found = compared("theirs", answers([size, 0, 0], [0, 1, 1 + apart]), theirs)
    assert (found.differing, found.largest) == (differing, size if size > 1 else 1 + apart)
    one = compared("theirs", answers([size], [-apart]), answers([size], [apart]))
    assert one.differing == differing


def test_one_output_beside_our_two_classes() -> None:
    mine = Answers(np.array([1, 0]), np.array([[-2.0, 2.0], [1.0, -1.0]]))
    assert compared("t", mine, answers([2.5], [-1.0])) == Comparison("t", 2, 0, 0.5, 2.5)


def test_other_classes_are_refused_with_both_numbers() -> None:
    with pytest.raises(DataError, match=r"^t: has 3 outputs, but the model has 4 classes$"):
        compared("t", answers([0, 0, 0, 1]), answers([0, 0, 1]))


def test_inputs_as_a_graph_takes_them() -> None:
    maps = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    first = maps.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(as_graph(maps, (1, 5, 3, 4)), first)
    np.testing.assert_array_equal(as_graph(maps, (1, 60)), first.reshape(2, 60))
    np.testing.assert_array_equal(as_graph(maps, (1, 3, 4, 5)), maps)
    square = np.arange(2 * 27).reshape(2, 3, 3, 3)
    np.testing.assert_array_equal(as_graph(square, (1, 3, 3, 3)), square.transpose(0, 3, 1, 2))
    with pytest.raises(
        FormatError, match=re.escape("inputs of (3, 4, 5) do not fit the graph's (3, 4)")
    ):
        as_graph(maps, (1, 3, 4))


def test_outputs_after_a_softmax_or_a_sigmoid() -> None:
    logits = np.array([[0.0, np.log(3.0)], [700.0, 700.0]])
    np.testing.assert_allclose(squashed(logits, "softmax"), [[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(squashed(logits, "sigmoid"), [[0.5, 0.75], [1, 1]])


def test_the_lines_of_a_verification() -> None:
    own = Comparison("our own reading", 8, 0, 0.25, 3.0, False)
    there = Comparison("the stored answers", 8, 2)
    found = Verification(8, 5, (there, own), 3, ("a note",))
    assert found.failed
    assert found.lines() == [
        "verified on 8 samples",
        "  accuracy: 62.50 %",
        "  inputs off the assumed grid: 3 of 8",
        "  they are rounded to the grid before both answers are computed",
        "  compared with the stored answers: 2 of 8 predictions differ",
        f"  {own.line()}",
        "  a note",
    ]
    alone = Verification(8, None, (own,), 0)
    assert not alone.failed
    assert alone.lines()[1] == "  inputs off the assumed grid: 0 of 8"
    assert "no independent answers" in alone.lines()[-1]
    assert len(alone.lines()) == 4

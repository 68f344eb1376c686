# SPDX-License-Identifier: BSD-3-Clause
"""The C++ core trusts nobody: broken arrays and numbers raise, and never crash.

These go past :class:`bnn.program.program.Program`, which would refuse them, to the native
module itself.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn import _native

REFUSED = (ValueError, TypeError, MemoryError, IndexError)

HUGE = st.sampled_from([-(2**40), -(2**31), -1, 0, 65535, 65536, 2**26, 2**31 - 1, 2**40])
SIZES = [1, 2, 3, 4, 9, 12]


def mostly(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Good arguments nine times in ten: programs must get far enough to break late."""
    return st.integers(0, 9).flatmap(lambda dice: bad if dice == 9 else good)


def tuples(count: int, least: int) -> st.SearchStrategy[Any]:
    return mostly(st.tuples(*[st.integers(least, 2)] * count), st.tuples(*[HUGE] * count))


SOURCE = mostly(st.integers(0, 3), HUGE)
VALUE = mostly(st.integers(-1, 2), HUGE)
SHAPE = mostly(
    st.tuples(st.just(1), st.just(1), st.sampled_from(SIZES)),
    st.tuples(*[mostly(st.integers(1, 4), HUGE)] * 3),
)
LATTICE = mostly(
    st.sampled_from([(0, 1, 2), (-1, 2, 2), (-1, 1, 3), (-4, 1, 9)]), st.tuples(*[HUGE] * 3)
)


@st.composite
def arrays(draw: Any, dtype: Any, ndim: int) -> Any:
    """Arrays of the right or the wrong type, shape and memory layout."""
    shape = draw(st.tuples(*[st.sampled_from([0, *SIZES])] * ndim))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    info = np.iinfo(dtype)
    low, high = draw(st.sampled_from([(-1, 1), (0, 3), (info.min, info.max)]))
    array = np.sort(random.integers(low, high, shape, endpoint=True).astype(dtype), axis=-1)
    match draw(st.integers(0, 29)):
        case 0:
            return array.astype(np.float32)
        case 1:
            return np.asfortranarray(array)[::2]
        case 2:
            return array[None]
        case 3:
            return None
    return array


CALLS = {
    "window": (SOURCE, tuples(2, 1), tuples(2, 1), tuples(4, 0), VALUE),
    "dot": (SOURCE, arrays(np.int16, 2), st.none() | arrays(np.int32, 1)),
    "threshold": (SOURCE, arrays(np.int32, 2), st.none() | arrays(np.int8, 1), VALUE, VALUE),
    "pool": (SOURCE, tuples(2, 1), tuples(2, 1), tuples(4, 0)),
    "add": (SOURCE, SOURCE),
    "arg_max": (SOURCE, mostly(st.integers(0, 2), HUGE)),
}


@st.composite
def calls(draw: Any) -> tuple[str, tuple[Any, ...]]:
    name = draw(st.sampled_from(sorted(CALLS)))
    return name, tuple(draw(argument) for argument in CALLS[name])


@settings(max_examples=600)
@given(
    SHAPE,
    LATTICE,
    st.lists(calls(), max_size=12),
    mostly(st.integers(1, 4), HUGE),
    mostly(st.just(-1), st.integers(-1, 9)),
)
def test_broken_programs_raise_or_run(
    shape: Any, lattice: Any, made: list[Any], scores: int, decision: int
) -> None:
    try:
        program = _native.Program(shape, lattice, None)
    except REFUSED:
        return
    with contextlib.suppress(*REFUSED):  # one honest edge, so that others have something to read
        program.dot(0, np.ones((9, min(max(shape[2], 0), 12)), np.int16), None, 0, 0)
    for name, arguments in made:
        with contextlib.suppress(*REFUSED):
            getattr(program, name)(*arguments)
    try:
        plan = _native.Plan(program, scores, decision, "")
    except REFUSED:
        return
    if plan.arena_bytes > 1 << 26:
        return  # legal, but not for a test
    for classes in range(13):
        for decisions in (None, np.empty(2, np.int64)):
            run_with_garbage(plan, shape, classes, decisions)


def run_with_garbage(plan: Any, shape: Any, classes: int, decisions: Any) -> None:
    """Values that the program never declared must not crash it either."""
    inputs = np.random.default_rng(0).integers(-30000, 30000, (2, *shape)).astype(np.int16)
    with contextlib.suppress(*REFUSED):
        plan.run(inputs, np.empty((2, classes), np.int32), decisions, 1)


def simple_plan() -> Any:
    program = _native.Program((1, 1, 4), (-1, 2, 2), None)
    program.dot(0, np.ones((3, 4), np.int16), None, 0, 0)
    return _native.Plan(program, 1, -1, "")


@pytest.mark.parametrize(
    ("inputs", "scores", "decisions"),
    [
        (np.ones((2, 4), np.int16), np.empty((3, 3), np.int32), None),
        (np.ones((2, 4), np.int16), np.empty((2, 4), np.int32), None),
        (np.ones((2, 4), np.int16), np.empty((2, 3), np.int64), None),
        (np.ones((2, 4), np.int16), np.empty((2, 3), np.int32), np.empty(2, np.int64)),
        (np.ones((2, 4), np.uint8), np.empty((2, 3), np.int32), None),
        (np.ones((2, 5), np.int16), np.empty((2, 3), np.int32), None),
        (np.ones((4, 4), np.int16)[::2], np.empty((2, 3), np.int32), None),
        (np.ones((2, 4), np.int16), np.empty((2, 6), np.int32)[:, ::2], None),
        (None, np.empty((2, 3), np.int32), None),
    ],
)
def test_arrays_that_do_not_fit_are_refused(inputs: Any, scores: Any, decisions: Any) -> None:
    with pytest.raises(REFUSED):
        simple_plan().run(inputs, scores, decisions, 1)


def test_read_only_results_are_refused() -> None:
    scores = np.zeros((2, 3), np.int32)
    scores.setflags(write=False)
    with pytest.raises(REFUSED):
        simple_plan().run(np.ones((2, 4), np.int16), scores, None, 1)


def test_no_images_no_threads() -> None:
    simple_plan().run(np.ones((0, 4), np.int16), np.empty((0, 3), np.int32), None, -5)

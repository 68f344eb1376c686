# SPDX-License-Identifier: BSD-3-Clause
"""The cpu runtime equals the reference, bit for bit, with every kernel that runs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import RuntimeUnavailableError, UnknownNameError
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Dot, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from bnn.program.program import Program
from bnn.run import cpu
from support.kernels import FEW_BITS, KERNELS, WIDE, assert_equal
from support.programs import FULL, MAPS, networks, numbers


@settings(max_examples=1000)
@given(networks(), st.integers(0, 5), st.integers(1, 3))
def test_random_programs(program: Program, size: int, threads: int) -> None:
    assert_equal(program, size, threads)


@settings(max_examples=800)
@given(networks(FULL), st.integers(0, 5), st.integers(1, 3))
def test_everything_that_a_program_can_say(program: Program, size: int, threads: int) -> None:
    assert_equal(program, size, threads)


@settings(max_examples=150)
@given(networks(WIDE), st.integers(1, 5))
def test_wide_programs(program: Program, size: int) -> None:
    assert_equal(program, size)


@settings(max_examples=250)
@given(networks(MAPS), st.integers(1, 3))
def test_windows_with_borders(program: Program, size: int) -> None:
    assert_equal(program, size)


@pytest.mark.parametrize(
    ("precision", "base", "step", "levels", "pads"),
    [
        (TERNARY, -1, 2, 1, [0]),  # signs, and a border of zeros
        (INT(4), -8, 5, 3, [-7, -4, 0, 7]),
        (UINT(8), 0, 50, 5, [1, 49, 51, 255]),
        (INT(8), 100, -40, 4, [-128, 127, 0]),
        (UINT(2), 0, 3, 1, [1, 2]),
    ],
)
def test_borders_of_a_value_that_the_map_does_not_have(
    precision: Precision, base: int, step: int, levels: int, pads: list[int]
) -> None:
    random = np.random.default_rng(levels)
    given = IntegerInput((5, 6, 3), INT(4))
    for pad in pads:
        for weights in (BIPOLAR, TERNARY, INT(8)):
            ops = (
                Dot("d0", "input", numbers(random, BIPOLAR, (9, 3)), BIPOLAR),
                Threshold(
                    "t0",
                    "d0",
                    np.sort(random.integers(-12, 12, (9, levels)), 1),
                    precision,
                    base,
                    step,
                ),
                Window("w1", "t0", (3, 4), (2, 1), (2, 3, 1, 0), pad),
                Dot("d1", "w1", numbers(random, weights, (4, 108)), weights),
                Window("w2", "d1s", (3, 6)),
                Dot("d2", "w2", numbers(random, BIPOLAR, (3, 72)), BIPOLAR),
            )
            middle = Threshold(
                "d1s", "d1", np.sort(random.integers(-200, 200, (4, 1)), 1), BIPOLAR, -1, 2
            )
            assert_equal(Program(given, (*ops[:4], middle, *ops[4:]), "d2"), 3)


@settings(max_examples=150)
@given(networks(FEW_BITS), st.sampled_from([1, 2, 3, 9, 40]))
def test_bits_and_ternaries(program: Program, size: int) -> None:
    assert_equal(program, size)


@pytest.mark.parametrize("channels", [8, 16, 20, 32, 33, 40, 63, 64, 80, 96])
@pytest.mark.parametrize("activations", [BIPOLAR, TERNARY])
def test_channels_that_are_no_whole_word(channels: int, activations: Precision) -> None:
    """Pixels of a kernel row share words where that takes fewer of them."""
    random = np.random.default_rng(channels)
    low, step, levels = (-1, 2, 1) if activations == BIPOLAR else (-1, 1, 2)

    def layer(number: int, source: str, columns: int, weights: Precision) -> tuple[Dot, Threshold]:
        dot = Dot(f"d{number}", source, numbers(random, weights, (channels, columns)), weights)
        at = np.sort(random.integers(-9, 10, (channels, levels)), 1)
        signs = numbers(random, BIPOLAR, (channels,))
        return dot, Threshold(f"t{number}", f"d{number}", at, activations, low, step, signs)

    ops = (
        *layer(0, "input", channels, BIPOLAR),
        Window("w1", "t0", (3, 3), (1, 2), (1, 2, 0, 1), -1),
        *layer(1, "w1", 9 * channels, BIPOLAR),
        Window("w2", "t1", (2, 3)),
        *layer(2, "w2", 6 * channels, TERNARY),
        Window("flat", "t2", (5, 2)),
        Dot("scores", "flat", numbers(random, TERNARY, (3, 10 * channels)), TERNARY),
    )
    program = Program(IntegerInput((7, 6, channels), activations), ops, "scores")
    for size in (1, 2, 5):
        assert_equal(program, size)


@pytest.mark.parametrize("weights", [BIPOLAR, TERNARY])
@pytest.mark.parametrize("activations", [BIPOLAR, TERNARY])
def test_sums_that_16_bits_do_not_hold(weights: Precision, activations: Precision) -> None:
    random = np.random.default_rng(0)
    columns, (step, levels) = 17_000, (2, 1) if activations == BIPOLAR else (1, 2)
    at = np.sort(random.integers(-200, 200, (70, levels)), 1)
    signs = numbers(random, BIPOLAR, (70,))
    ops = (
        Dot("d", "input", numbers(random, weights, (70, columns)), weights),
        Threshold("t", "d", at, activations, -1, step, signs),
        Dot("scores", "t", numbers(random, weights, (5, 70)), weights),
    )
    given = IntegerInput((1, 1, columns), activations)
    assert_equal(Program(given, ops, "scores"), 3)
    ends = (Dot("scores", "input", np.ones((3, columns), np.int8), weights),)
    assert_equal(Program(given, ends, "scores"), 2)


def test_kernel_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cpu.KERNEL_VARIABLE, "portable")
    assert cpu.describe().kernel == "portable"
    assert cpu.KERNEL_VARIABLE in cpu.describe().reason
    assert cpu.describe("portable").reason == "kernel="
    monkeypatch.setenv(cpu.KERNEL_VARIABLE, "abacus")
    with pytest.raises(UnknownNameError, match="abacus"):
        cpu.describe()
    monkeypatch.delenv(cpu.KERNEL_VARIABLE)
    assert cpu.describe().kernel == KERNELS[0]


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, 1 << 20])
def test_threads_are_a_whole_number(threads: int) -> None:
    with pytest.raises(RuntimeUnavailableError, match="threads"):
        cpu._threads(threads)


#: For depthwise convolutions: sums of 16 and of 32 bits, codes and values, signs.
DEPTHWISE = (BIPOLAR, TERNARY, UINT(1), UINT(4), INT(3), INT(8), UINT(8), INT(12), UINT(14))


@st.composite
def depthwise(draw: Callable[..., Any]) -> Program:
    """Depthwise convolutions with channels around the lanes of registers, and with thresholds."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = draw(st.sampled_from([8, 9, 15, 16, 17, 31, 32, 33, 64, 70]))
    rows = channels * draw(st.sampled_from([1, 1, 2, 3]))
    kernel, stride = draw(st.tuples(*[st.integers(1, 3)] * 2)), draw(st.sampled_from([1, 2]))
    read, weights = draw(st.sampled_from(DEPTHWISE)), draw(st.sampled_from(DEPTHWISE))
    pads = draw(st.tuples(*[st.integers(0, 1)] * 4))
    taps = kernel[0] * kernel[1]
    given = IntegerInput((kernel[0] + 1, kernel[1] + 2, channels), read)
    bias = random.integers(-500, 500, rows) if draw(st.booleans()) else None
    values = numbers(random, weights, (rows, taps))
    ops: list[Window | Dot | Threshold] = [
        Window("w", "input", kernel, (stride, stride), pads, int(numbers(random, read, ()))),
        Dot("d", "w", values, weights, bias, groups=channels, positions=taps),
    ]
    edge = Program(given, (*ops, Window("end", "d", (1, 1), (9, 9))), "end").edges["d"]
    if draw(st.integers(0, 2)):
        levels = draw(st.sampled_from([1, 2, 3, 15, 32, 33, 40]))
        ends = (max(edge.low - 3, -(2**31)), min(edge.high + 4, 2**31 - 1))
        steps = np.sort(random.integers(*ends, (rows, levels)), axis=1)
        if draw(st.booleans()):
            steps[:, 0], steps[:, -1] = -(2**31), 2**31 - 1
            steps.sort(axis=1)
        signs = numbers(random, BIPOLAR, rows) if draw(st.booleans()) else None
        base, step = draw(st.sampled_from([(0, 1), (levels, -1)]))
        ops.append(Threshold("t", "d", steps, UINT(6), base, step, signs))
    return Program(given, (*ops, Window("end", ops[-1].name, edge.shape[:2])), "end")


@settings(max_examples=400)
@given(depthwise(), st.integers(1, 3))
def test_depthwise(program: Program, size: int) -> None:
    assert_equal(program, size)

# SPDX-License-Identifier: BSD-3-Clause
"""An activation after a batch norm, compared at every value that its sum can take."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import NetworkError
from bnn.network import forward
from bnn.network.network import (
    BatchNorm,
    Clip,
    Linear,
    MultiThreshold,
    Network,
    Quantize,
    Scale,
    Sign,
)
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Threshold
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT
from support.lowered_exactly import assert_lowered_exactly

EVERY_BYTE = np.arange(256, dtype=np.uint8)[:, None]

# Zeros of both signs, ties at halves, and values that round differently in 32 and 64 bits.
values = st.one_of(
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 7.5, -127.5, 0.1, 1 / 3, 1e-30, 1e9]),
    st.floats(-300, 300, width=32),
)
activations = st.sampled_from(
    [
        Sign("act"),
        Sign("act", at_zero=0),
        Sign("act", at_zero=-1),
        Quantize("act", TERNARY, rounding="half-up"),
        Quantize("act", UINT(3), 0.7, rounding="floor"),
        Quantize("act", INT(4), 2.5, zero_point=3, rounding="even"),
        Quantize("act", UINT(8), 1.0, zero_point=128, rounding="ceil"),
        Quantize("act", INT(8), 0.3, rounding="zero"),
        MultiThreshold("act", [[-3.0, 0.0, 0.0, 2.5]], 0.5, 2, -3),
        MultiThreshold("act", [[5.0, -np.inf, np.inf]]),
        MultiThreshold("act", [np.linspace(-300, 300, 255)], 0.5, 2, -255),  # beyond 8 bits
    ]
)


def every_sum(weights: list[int], layers: list, arithmetic: str) -> Network:
    """One byte in, ``weights`` times it as sums, then ``layers`` and a dense layer."""
    first = Linear("sum", np.array(weights)[:, None], INT(3))
    last = Linear("scores", np.eye(len(weights)), UINT(1), 2.0)
    return Network(IntegerInput((1,), UINT(8)), (first, *layers, last), arithmetic=arithmetic)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), values, values, values, values), min_size=1, max_size=5),
    st.sampled_from(["centered", "scaled", "folded"]),
    activations,
    st.sampled_from(["float32", "float64"]),
    st.booleans(),
)
def test_every_sum(channels, order, activation, arithmetic, relu) -> None:
    weights, gamma, beta, mean, inv_std = zip(*channels, strict=True)
    norm = BatchNorm("norm", gamma, beta, mean, np.abs(inv_std), order)
    layers = [norm, Clip("relu"), activation] if relu else [norm, activation]
    assert_lowered_exactly(every_sum(list(weights), layers, arithmetic), EVERY_BYTE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(values, values, values), min_size=1, max_size=4), activations)
def test_scales_and_biases(channels, activation) -> None:
    scale, bias, factor = map(np.float32, zip(*channels, strict=True))
    first = Linear("sum", np.ones((len(scale), 1)), BIPOLAR, scale, bias)
    last = Linear("scores", np.ones((2, len(scale))), BIPOLAR, 1.0, [0.25, -0.5])
    layers = (first, Scale("mul", factor, 0.5), activation, last, Scale("end", -1.0, 3.0))
    network = Network(IntegerInput((1,), UINT(8)), layers)
    assert_lowered_exactly(network, EVERY_BYTE)


def test_a_quotient_is_no_product_with_the_reciprocal() -> None:
    """Bytes / 255, 49, 41 at their halves: float32's reciprocals are rounded already."""
    first = Linear("sum", np.ones((3, 1)), BIPOLAR)
    divisor = np.float32([255, 49, 41])
    last = Linear("scores", np.ones((2, 3)), BIPOLAR)
    table = (np.arange(0, 250, 5, dtype=np.float32) / divisor[:, None]).astype(np.float32)
    act = MultiThreshold("act", table)
    network = Network(
        IntegerInput((1,), UINT(8)), (first, Scale("div", divisor=divisor), act, last)
    )
    assert_lowered_exactly(network, EVERY_BYTE)
    levels = forward.evaluate(network, network.input.check(EVERY_BYTE)).values["act"].integers
    np.testing.assert_array_equal(
        levels[:, 0, 0], np.minimum(EVERY_BYTE // 5 + 1, 50) + 0 * levels[:, 0, 0]
    )


def test_zero_gamma_is_constant() -> None:
    norm = BatchNorm("norm", [0.0, 0.0], [-1.0, 0.0], [3.0, 3.0], [1.0, 1.0])
    program = assert_lowered_exactly(every_sum([1, 1], [norm, Sign("act")], "float32"), EVERY_BYTE)
    act = program.op("act")
    assert isinstance(act, Threshold)
    assert act.thresholds.tolist() == [[256], [0]]  # never, always
    assert act.signs is None


def test_negative_gamma_negates_the_row() -> None:
    norm = BatchNorm("norm", [-1.0, 1.0], [0.0, 0.0], [7.0, 7.0], [1.0, 1.0])
    program = assert_lowered_exactly(every_sum([2, 2], [norm, Sign("act")], "float32"), EVERY_BYTE)
    assert program.op("sum").weights.tolist() == [[-2], [2]]
    assert program.op("act").thresholds.tolist() == [[-7], [7]]
    assert program.op("act").signs is None


def test_a_row_that_cannot_be_negated_keeps_its_sign() -> None:
    norm = BatchNorm("norm", [-1.0], [0.0], [7.0], [1.0])
    first = Linear("sum", [[1]], UINT(1))
    last = Linear("scores", [[1]], BIPOLAR)
    network = Network(IntegerInput((1,), UINT(8)), (first, norm, Sign("act"), last))
    program = assert_lowered_exactly(network, EVERY_BYTE)
    assert program.op("act").signs.tolist() == [-1]
    assert program.op("act").thresholds.tolist() == [[-7]]


def test_32_bit_rounding_is_kept() -> None:
    """A tie that only float32 sees: the program must switch where float32 does."""
    norm = BatchNorm("norm", [1.0], [0.0], [16777217.0], [1.0])  # 2^24 + 1 is 2^24 in float32
    first = Linear("sum", [[1]], BIPOLAR, 65536.0 * 2, None)
    layers = (first, norm, Sign("act"), Linear("scores", [[1]], BIPOLAR))
    switches = []
    for arithmetic in ("float32", "float64"):
        network = Network(IntegerInput((1,), UINT(8)), layers, arithmetic=arithmetic)
        program = assert_lowered_exactly(network, EVERY_BYTE)
        switches.append(program.op("act").thresholds.item())
    assert switches == [128, 129]


def test_accumulators_are_as_narrow_as_can_be() -> None:
    norm = BatchNorm("norm", [1.0], [0.0], [7.0], [1.0])
    program = assert_lowered_exactly(every_sum([3], [norm, Sign("act")], "float32"), EVERY_BYTE)
    assert program.op("sum").accumulator_bits == 11  # 0 .. 765
    assert program.op("scores").accumulator_bits == 2  # -1 .. 1


def test_overflow_is_refused() -> None:
    norm = BatchNorm("norm", [1e38], [0.0], [0.0], [1e3])
    with pytest.raises(NetworkError, match="norm: values overflow float32"):
        assert_lowered_exactly(every_sum([1], [norm, Sign("act")], "float32"), EVERY_BYTE)

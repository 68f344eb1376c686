# SPDX-License-Identifier: BSD-3-Clause
"""Quantizers at their boundaries, forward and backward (specification, section 8)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")

from bnn.errors import TrainError  # noqa: E402
from bnn.network.quantizers import quantize_weights  # noqa: E402
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT  # noqa: E402
from bnn.train.quantizers import quantize_activation, quantize_weight  # noqa: E402

BELOW = 0.4999


def gradient(quantize, values):
    x = torch.tensor(values, requires_grad=True)
    quantize(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize("estimator", ["ste", "approx"])
def test_sign_of_zero_is_plus(estimator):
    x = torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0])
    assert quantize_activation(x, BIPOLAR, estimator).tolist() == [-1, -1, 1, 1, 1, 1]


def test_ternary_boundaries_go_up():
    x = torch.tensor([-9, -1, -0.5, -BELOW, 0, BELOW, 0.5, 1, 9])
    assert quantize_activation(x, TERNARY).tolist() == [-1, -1, 0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("precision", [UINT(1), UINT(2), UINT(8), INT(2), INT(5), TERNARY], ids=str)
def test_activations_stay_within_their_precision(precision):
    x = torch.linspace(-300, 300, 5001)
    found = quantize_activation(x, precision).numpy()
    assert (found.min(), found.max()) == (precision.low, precision.high)
    assert precision.allows(found.astype(np.int64))


def test_gradients_have_a_window():
    values = [-1.5, -0.5, 0.0, 0.25, 1.5]
    assert gradient(lambda x: quantize_activation(x, BIPOLAR), values) == [0, 1, 1, 1, 0]
    approx = gradient(lambda x: quantize_activation(x, BIPOLAR, "approx"), values)
    assert approx == [0, 1, 2, 1.5, 0]
    assert gradient(lambda x: quantize_activation(x, UINT(2)), [-0.5, 0.5, 2.5, 3.5]) == [
        0,
        1,
        1,
        0,
    ]


@pytest.mark.parametrize("precision", [BIPOLAR, TERNARY], ids=str)
def test_gradients_of_weights_pass_unchanged(precision):
    assert gradient(lambda x: quantize_weight(x, precision), [-1.0, -0.1, 0.0, 0.9]) == [1] * 4


@pytest.mark.parametrize("precision", [BIPOLAR, TERNARY, INT(4, narrow=True), INT(8)], ids=str)
@given(st.lists(st.floats(-1, 1, width=32).filter(lambda x: x != 0), min_size=1, max_size=50))
def test_weights_are_the_integers_of_the_package(precision, values):
    """The topology's quantizers, by which converters read weights, agree on ternary and sign."""
    array = np.array(values, np.float32)
    found = quantize_weight(torch.from_numpy(array), precision).numpy()
    assert precision.allows(found.astype(np.int64))
    if precision in (BIPOLAR, TERNARY):
        assert np.array_equal(found, quantize_weights(array, precision))


def test_unknown_estimator():
    with pytest.raises(TrainError, match="no such gradient estimator"):
        quantize_activation(torch.zeros(1), BIPOLAR, "magic")

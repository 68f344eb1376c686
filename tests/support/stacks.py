# SPDX-License-Identifier: BSD-3-Clause
"""Random layers and inputs, for tests of lowering."""

import numpy as np

from bnn.network.network import BatchNorm, Lattice, MultiThreshold, Quantize, Sign
from bnn.program.inputs import PictureInput, fixed_point_table, identity_table, sign_table
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision

WEIGHTS = [BIPOLAR, TERNARY, INT(3), UINT(2)]


def random_weights(rng, shape, precision: Precision) -> np.ndarray:
    if precision == BIPOLAR:
        return rng.choice([-1, 1], shape)
    return rng.integers(precision.low, precision.high + 1, shape)


def random_norm(rng, name: str, channels: int, spread: float) -> BatchNorm:
    gamma = rng.choice([-1.5, -1.0, 0.0, 0.5, 1.0], channels)
    beta, mean = rng.integers(-4, 5, (2, channels)) / 2
    order = ["centered", "scaled", "folded"][rng.integers(3)]
    inv_std = rng.uniform(0.2, 1, channels) / spread
    return BatchNorm(name, gamma, beta, mean * spread, inv_std, order)


def random_activation(rng, name: str, channels: int):
    return [
        Sign(name),
        Quantize(name, TERNARY, rounding="half-up"),
        Quantize(name, UINT(2), 0.5),
        Quantize(name, INT(3), 0.25, zero_point=1),
        MultiThreshold(name, rng.normal(size=(channels, 3)), 0.5, 2, -3),
        MultiThreshold(name, np.sort(rng.normal(size=(1, 1))), 1.0, 2, -1),
    ][rng.integers(6)]


def random_input(rng, shape):
    """An input and the lattice that its integers stand for."""
    return [
        (PictureInput(shape, INT(8), fixed_point_table()), Lattice(1 / 128)),
        (PictureInput(shape, UINT(8), identity_table()), Lattice(1 / 255)),
        (PictureInput(shape, UINT(8), identity_table()), Lattice.of(2 / 255, -1.0)),
        (PictureInput(shape, BIPOLAR, sign_table()), Lattice()),
    ][rng.integers(4)]

# SPDX-License-Identifier: BSD-3-Clause
"""Which recipe a network gets."""

import pytest

from bnn.network import zoo
from bnn.network.topology import Act, Conv, Dense, Norm, Topology
from bnn.program.precision import INT
from bnn.train.recipes import (
    CONVOLUTIONAL,
    DENSE,
    FINE,
    STARTED_EPOCHS,
    STARTED_RATE,
    recipe_for,
)


def test_rates_are_those_of_the_finest_weights_there_are():
    assert recipe_for(zoo.topology("cnv-w2a2"), "cifar10").rate == CONVOLUTIONAL.rate
    assert recipe_for(zoo.topology("lfc-w1a1"), "mnist").rate == DENSE.rate
    fine = Conv(4, weights=INT(4)), Norm(), Act(INT(4)), Dense(2)
    assert recipe_for(Topology("fine", (8, 8, 3), fine), "cifar10").rate == FINE.rate


def test_a_start_needs_less():
    whole, less = (recipe_for(zoo.topology("cnv-w1a1"), "x", started=one) for one in (False, True))
    assert less.rate == pytest.approx(whole.rate * STARTED_RATE)
    assert less.epochs == round(whole.epochs * STARTED_EPOCHS)


def test_unknown_pictures_are_not_mirrored():
    assert recipe_for(zoo.topology("cnv-w1a1"), "cifar10").augment == "flip-shift"
    assert recipe_for(zoo.topology("cnv-w1a1"), "my/signs").augment == "shift"

# SPDX-License-Identifier: BSD-3-Clause
"""Recipes: all settings of a training, one row each.

What each choice was measured to bring is told in ``docs/training.md``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from bnn.network.topology import Conv, Dense, Topology
from bnn.train.checked import Range, check_values

#: Allowed values. Useful rates are well inside; outside these bounds nothing was learned.
RANGES: dict[str, Range | Collection[str]] = {
    "epochs": Range(1, 1_000_000),
    "batch": Range(2, 1_000_000),
    "rate": Range(0, 1000, above=True),
    "norm_rate": Range(0, 1000, above=True),
    "warm_up": Range(0, 1_000_000_000),
    "smoothing": Range(0, 1),
    "augment": ("none", "shift", "flip-shift", "flip-shift-cut", "distort"),
    "mix": Range(0, 1000),
    "estimator": ("ste", "approx"),
    "taught": Range(0, 1),
    "temperature": Range(0, 1000, above=True),
}


@dataclass(frozen=True)
class Recipe:
    """How to train. Rates fall to zero along half a cosine after a short linear warm-up.

    Attributes:
        epochs: passes over the training part.
        batch: pictures a step.
        rate: Adam's for the real weights of the integers, which live in [-1, 1];
            large, because a weight must cross zero to change anything.
        norm_rate: Adam's for all other parameters.
        warm_up: steps.
        smoothing: of the labels, in the cross entropy.
        augment: one of ``bnn.train.augment.AUGMENTATIONS``.
        mix: evenness with which two pictures are blended, see ``bnn.train.augment.mix``; 0: never.
        estimator: pseudo-gradient of the sign, see ``bnn.train.quantizers``.
        taught: share of the teachers in the loss, where there are any.
        temperature: of their answers, see ``bnn.train.teach``.

    Raises:
        TrainError: a value of another type, or outside the range in :data:`RANGES`.
    """

    epochs: int
    batch: int
    rate: float
    norm_rate: float = 2e-3
    warm_up: int = 200
    smoothing: float = 0.0
    augment: str = "none"
    mix: float = 0.0
    estimator: str = "ste"
    taught: float = 0.8
    temperature: float = 2.0

    def __post_init__(self) -> None:
        check_values(self, RANGES)


#: Dense networks.
DENSE = Recipe(epochs=60, batch=256, rate=2e-2, smoothing=0.1)
#: Convolutional networks on small pictures, with weights of one or two bits.
CONVOLUTIONAL = Recipe(epochs=100, batch=125, rate=3e-2, warm_up=500)
#: The same where some weights have more: they need not cross zero to change.
FINE = replace(CONVOLUTIONAL, rate=1e-2)

#: How much of a rate and of the epochs is left to a network that starts from another one.
STARTED_RATE, STARTED_EPOCHS = 0.5, 0.3

#: What may be varied without changing the class. Of unknown pictures, only where they lie:
#: a mirrored road sign is another road sign.
AUGMENT = {"mnist": "distort", "fashion-mnist": "none", "cifar10": "flip-shift"}
ELSE_AUGMENT = "shift"


def recipe_for(topology: Topology, data: str, *, started: bool = False) -> Recipe:
    """The recipe for a network.

    Args:
        topology: of the network.
        data: name or folder of what it learns.
        started: whether it starts from another network's weights.
    """
    weights = [one.weights for one in topology.layers if isinstance(one, Conv | Dense)]
    if any(isinstance(layer, Conv) for layer in topology.layers):
        recipe = CONVOLUTIONAL if all(one.high <= 1 for one in weights) else FINE
    else:
        recipe = DENSE
    if started:
        epochs = round(recipe.epochs * STARTED_EPOCHS)
        recipe = replace(recipe, epochs=epochs, rate=recipe.rate * STARTED_RATE)
    return replace(recipe, augment=AUGMENT.get(data, ELSE_AUGMENT))

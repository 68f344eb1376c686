# SPDX-License-Identifier: BSD-3-Clause
"""Recipes: all settings of a training, one row each.

``docs/training.md`` has measurements of how much each choice improves the accuracy.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from bnn.network.topology import Conv, Topology, Weighted
from bnn.train.checked import Range, check_values

#: Allowed values by field. Useful rates are well inside; outside, nothing was learned.
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
    """Settings of a training. After a short linear warm-up, rates fall to 0 along half a cosine.

    Attributes:
        epochs: passes over the training part.
        batch: pictures per step.
        rate: Adam's learning rate of the real weights, which are in [-1, 1]; large, because
            only a weight that crosses a step of its quantizer changes the network.
        norm_rate: Adam's learning rate of all other parameters.
        warm_up: number of steps of the warm-up.
        smoothing: label smoothing in the cross entropy, 0 to 1.
        augment: one of ``bnn.train.augment.AUGMENTATIONS``.
        mix: ``evenness`` of blending two pictures, see ``bnn.train.augment.mix``; 0: no blending.
        estimator: pseudo-gradient of the sign, see ``bnn.train.quantizers``.
        taught: share of the teachers in the loss, if there are teachers.
        temperature: temperature of the teachers' answers, see ``bnn.train.teach``.

    Raises:
        TrainError: a value has another type, or is outside its range in :data:`RANGES`.
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


#: Recipe of dense networks.
DENSE = Recipe(epochs=60, batch=256, rate=2e-2, smoothing=0.1)
#: Recipe of convolutional networks on small pictures, with weights of one or two bits.
CONVOLUTIONAL = Recipe(epochs=100, batch=125, rate=3e-2, warm_up=500)
#: The same for networks with weights of more bits: these change without crossing zero.
FINE = replace(CONVOLUTIONAL, rate=1e-2)

#: Factors of the rate and of the epochs for a network that starts from another one.
STARTED_RATE, STARTED_EPOCHS = 0.5, 0.3

#: Augmentations that do not change the class, by data set. Unknown pictures are only shifted: a
#: mirrored road sign is another road sign.
AUGMENT = {"mnist": "distort", "fashion-mnist": "none", "cifar10": "flip-shift"}
ELSE_AUGMENT = "shift"


def recipe_for(topology: Topology, data: str, *, started: bool = False) -> Recipe:
    """Return the recipe for a network.

    Args:
        topology: topology of the network.
        data: name or folder of the data set.
        started: whether training starts from another network's weights: then the recipe has fewer
            epochs and a lower rate.
    """
    weights = [one.weights for one in topology.layers if isinstance(one, Weighted)]
    if any(isinstance(layer, Conv) for layer in topology.layers):
        recipe = CONVOLUTIONAL if all(one.high <= 1 for one in weights) else FINE
    else:
        recipe = DENSE
    if started:
        epochs = round(recipe.epochs * STARTED_EPOCHS)
        recipe = replace(recipe, epochs=epochs, rate=recipe.rate * STARTED_RATE)
    return replace(recipe, augment=AUGMENT.get(data, ELSE_AUGMENT))

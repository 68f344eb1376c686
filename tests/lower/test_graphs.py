# SPDX-License-Identifier: BSD-3-Clause
"""Random graphs of layers, read by one or many: lowered exactly, or refused by name."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import NetworkError, ProgramError
from bnn.lower import lower
from bnn.network.network import (
    Add,
    Clip,
    Concat,
    Conv2d,
    FixedPoint,
    Layer,
    Leaky,
    Linear,
    MaxPool,
    Network,
    Scale,
    Sign,
)
from bnn.program.precision import BIPOLAR
from support.lowered_exactly import assert_lowered_exactly
from support.stacks import WEIGHTS, random_activation, random_input, random_norm, random_weights

SHAPE = (6, 5, 2)


def random_layer(rng, name: str, source: str, other: str, channels: int) -> Layer:
    """A layer of any kind that keeps the map's height and width."""
    precision = WEIGHTS[rng.integers(len(WEIGHTS))]
    out = channels if rng.random() < 0.5 else int(rng.integers(1, 4))
    weights = random_weights(rng, (out, 3, 3, channels), precision)
    scale = rng.choice([-0.5, 0.25, 1.0], 1 if rng.random() < 0.6 else out)
    bias = None if rng.random() < 0.6 else rng.normal(size=out)
    activation = random_activation(rng, name, channels)
    kinds = [
        Conv2d(name, weights, precision, scale, bias, padding=(1, 1, 1, 1)),
        random_norm(rng, name, channels, 3.0),
        activation,
        activation,
        MaxPool(name, (2, 2), (1, 1), (0, 1, 1, 0)),
        Add(name, other),
        Add(name, other, (2.0, -0.5)),
        Concat(name, other),
        Leaky(name, rng.choice([0.0, 0.1, 1.0], channels)),
        FixedPoint(
            name,
            rng.integers(-9, 10, channels),
            rng.integers(-99, 99, channels),
            int(rng.integers(0, 5)),
            -int(rng.integers(0, 99)),
            int(rng.integers(0, 999)),
            0.5,
        ),
        Clip(name, -2.0, 3.0),
        Scale(name, rng.choice([-1.0, 2.0], channels), rng.normal(size=channels)),
        Scale(name, divisor=rng.choice([-3.0, 0.7, 5.0], channels)),
    ]
    return replace(kinds[rng.integers(len(kinds))], source=source)


def random_graph(seed: int) -> Network:
    rng = np.random.default_rng(seed)
    given, lattice = random_input(rng, SHAPE)
    layers: list[Layer] = []
    channels = {"input": SHAPE[2]}
    for number in range(int(rng.integers(3, 14))):
        names = list(channels)
        source = names[-1] if rng.random() < 0.7 else names[rng.integers(len(names))]
        other = names[rng.integers(len(names))]
        layer = random_layer(rng, f"n{number}", source, other, channels[source])
        try:
            grown = Network(given, (*layers, layer, *ending(layer.name)), lattice)
        except NetworkError:
            continue  # reads real values, or adds what does not fit
        layers.append(layer)
        channels[layer.name] = grown.signals[layer.name].shape[2]
    last = list(channels)[-1]
    weights = rng.choice([-1, 1], (3, channels[last]))
    dense = Linear("dense", weights, BIPOLAR, 0.5, rng.normal(size=3))
    return Network(given, (*layers, *ending(last), dense), lattice)


def ending(source: str) -> tuple[Layer, ...]:
    """From a map to scores, one per channel."""
    pool = MaxPool("ending_pool", SHAPE[:2], (1, 1))
    return (Sign("ending", source=source), pool)


@settings(max_examples=200)
@given(st.integers(0, 1 << 32))
def test_random_graphs(seed: int) -> None:
    check(seed)


def check(seed: int) -> bool:
    network = random_graph(seed)
    try:
        lower(network)
    except (NetworkError, ProgramError):
        return False
    images = np.random.default_rng(seed).integers(0, 256, (2, *SHAPE), np.uint8)
    assert_lowered_exactly(network, images)
    return True


def test_few_graphs_are_refused() -> None:
    lowered = sum(check(seed) for seed in range(40))
    assert lowered > 20

# SPDX-License-Identifier: BSD-3-Clause
"""The deployed integers equal the trained forward pass, whatever the network and its values."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")

from bnn.lower import lower  # noqa: E402
from bnn.network import zoo  # noqa: E402
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology  # noqa: E402
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT  # noqa: E402
from bnn.run import prepare  # noqa: E402
from bnn.train.extract import extract  # noqa: E402
from bnn.train.layers import BatchNorm, Weighted  # noqa: E402
from bnn.train.layers import Dense as Dense_  # noqa: E402
from bnn.train.stack import LOGIT_GAIN, Stack  # noqa: E402

ACTIVATIONS = [BIPOLAR, TERNARY, UINT(1), UINT(2), UINT(4), INT(3), INT(4, narrow=True)]
WEIGHTS = [BIPOLAR, TERNARY, INT(4, narrow=True), INT(8)]


def stacks(weights, act):
    """A dense and a convolutional network, input and map not square."""
    dense = Topology(
        "dense",
        (5, 7, 1),
        (Dense(24, weights), Norm(), Act(act), Dense(16, weights), Norm(), Act(act), Dense(3)),
        "sign",
    )
    layers = (
        *(Conv(8, weights=weights), Norm(), Act(act)),
        *(Conv(12, (2, 3), weights=weights), Pool(), Norm(), Act(act)),
        *(
            Conv(6, (1, 2), (2, 1), (1, 0, 0, 1), weights, bias=True),
            Act(act),
            Pool((2, 1), (1, 1)),
        ),
        *(Dense(5, weights), Norm()),
    )
    return [Stack(dense), Stack(Topology("conv", (9, 11, 3), layers, "fixed-point"))]


def disturb(stack, seed, pictures):
    """Give every parameter a value that training might: sums land on both sides of thresholds."""
    generator = torch.Generator().manual_seed(seed)
    stack.train()
    for _ in range(3):
        stack(pictures)
    for layer in stack.modules():
        if isinstance(layer, Weighted):
            layer.weight.data.uniform_(-1, 1, generator=generator)
        if isinstance(layer, BatchNorm):
            layer.gamma.data.mul_(torch.rand(layer.gamma.shape, generator=generator) + 0.5)
            layer.beta.data.normal_(0, 0.5, generator=generator)
    with torch.no_grad():
        stack(pictures)  # statistics follow
    stack.eval()


@pytest.mark.parametrize("act", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_scores_equal_the_reference_runtime(weights, act):
    for seed, stack in enumerate(stacks(weights, act)):
        generator = torch.Generator().manual_seed(seed)
        pictures = torch.randint(
            0, 256, (40, *stack.topology.input), dtype=torch.uint8, generator=generator
        )
        disturb(stack, seed, pictures)
        scores = stack.scores(pictures).numpy()
        outputs = prepare("reference", lower(extract(stack))).run(pictures.numpy())
        assert len(np.unique(scores)) > 3, "a test that sees one score only proves nothing"
        assert np.array_equal(outputs.scores, scores)


@pytest.mark.parametrize("name", ["tfc-w1a1", "tfc-w1a2", "tfc-w2a2", "cnv-w2a2"])
def test_every_layer_of_a_fresh_network_can_learn(name):
    stack = Stack(zoo.topology(name)).train()
    pictures = torch.randint(0, 256, (30, *stack.topology.input), dtype=torch.uint8)
    stack(pictures).pow(3).sum().backward()
    assert all(one.grad.abs().max() > 0 for one in stack.weights())


def test_logits_are_the_affine_of_the_scores():
    stack = stacks(BIPOLAR, BIPOLAR)[0]
    pictures = torch.randint(0, 256, (20, 5, 7, 1), dtype=torch.uint8)
    disturb(stack, 1, pictures)
    affine = lower(extract(stack)).affine
    with torch.no_grad():
        logits = stack(pictures).numpy()
    assert affine is not None
    assert np.allclose(affine.logits(stack.scores(pictures).numpy()), logits, atol=1e-5)
    assert (affine.scale > 0).all()


def test_one_norm_over_all_classes_ends_every_stack():
    topology = Topology("t", (4, 4, 1), (Dense(6, bias=True), Norm(), Act(), Dense(2, bias=True)))
    kept = Stack(topology).topology.layers
    assert kept == (Dense(6), Norm(), Act(), Dense(2), Norm(scalar=True))


@pytest.mark.parametrize("weights", [BIPOLAR, TERNARY, INT(4, narrow=True)], ids=str)
def test_training_in_16_bits_uses_the_integers_that_are_deployed(weights):
    layer = Dense_(64, 32, weights)
    near = torch.arange(-weights.high, weights.high + 1) + 0.5
    layer.weight.data.copy_((near[torch.randint(len(near), (32, 64))] - 1e-3) / weights.high)
    rows = torch.eye(64, dtype=torch.bfloat16)
    assert torch.equal(layer.train()(rows).float().T, layer.integers())


@pytest.mark.parametrize(
    ("act", "gain"),
    [
        (BIPOLAR, 1.0),
        (TERNARY, 1.0),
        (INT(4, narrow=True), 7.0),
        (UINT(1), 1.0),
        (UINT(2), 1.0),
        (UINT(4), 5.0),
    ],
)
def test_a_norm_starts_with_the_range_of_the_activation_after_it(act, gain):
    """Not that before it, nor a later one; the last has the logits' own."""
    other = INT(8)
    layers = (
        *(Dense(4), Act(other), Norm(), Act(act)),
        *(Dense(5), Norm(), Act(other), Dense(3), Norm()),
    )
    stack = Stack(Topology("gains", (6,), layers, "sign"))
    found = [float(m.gamma.detach().mean()) for m in stack.modules() if isinstance(m, BatchNorm)]
    assert found == [gain, 127.0, LOGIT_GAIN]

# SPDX-License-Identifier: BSD-3-Clause
"""Batch norms measured anew before they are deployed."""

import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")

from bnn.network import zoo  # noqa: E402
from bnn.train.layers import BatchNorm  # noqa: E402
from bnn.train.stack import Stack  # noqa: E402


@pytest.mark.parametrize("looked_up", [False, True])
def test_statistics_are_those_of_the_batches(looked_up):
    torch.manual_seed(1)
    stack = Stack(zoo.topology("tfc-w1a1")).eval()
    if looked_up:
        assert stack.use_luts()
    batches = torch.randint(0, 256, (3, 50, 28, 28, 1), dtype=torch.uint8)
    weights = [one.clone() for one in stack.parameters()]
    first = next(one for one in stack.body if isinstance(one, BatchNorm))
    first.mean.fill_(1e6)  # nothing of before is left
    stack.measure(batches)
    sums = [stack.body[1](stack.body[0](stack.maps(one))) for one in batches]
    mean = torch.stack([one.mean(0) for one in sums]).mean(0)
    variance = torch.stack([one.var(0) for one in sums]).mean(0)
    assert torch.allclose(first.mean, mean, atol=1e-3)
    assert torch.allclose(first.variance, variance, rtol=1e-3)
    assert first.momentum == BatchNorm(1).momentum
    assert not stack.training
    assert all(torch.equal(*pair) for pair in zip(weights, stack.parameters(), strict=True))


def test_the_same_pictures_give_the_same_statistics():
    stack = Stack(zoo.topology("tfc-w1a1")).train()
    batches = torch.randint(0, 256, (2, 20, 28, 28, 1), dtype=torch.uint8)
    stack.measure(batches)
    before = {key: value.clone() for key, value in stack.state_dict().items()}
    stack.measure(batches)
    assert stack.training
    for key, value in stack.state_dict().items():
        assert torch.equal(value, before[key]), key

# SPDX-License-Identifier: BSD-3-Clause
"""The fused training steps beside PyTorch's automatic differentiation of the same formulas."""

import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")

import torch.nn.functional as F  # noqa: E402, N812

from bnn.network import zoo  # noqa: E402
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT  # noqa: E402
from bnn.train import fused  # noqa: E402
from bnn.train.layers import Activation, BatchNorm  # noqa: E402
from bnn.train.stack import Stack  # noqa: E402

#: Relative spacing of bfloat16 numbers: the fused results are rounded to it once.
ROUNDING = 2.0**-8


def norm_of(channels, gain):
    norm = BatchNorm(channels, gain=gain)
    norm.gamma.data.mul_(torch.rand(channels) + 0.5)
    norm.beta.data.normal_(0, 0.3 * gain)
    return norm.train()


def sums(shape):
    """Whole numbers as convolutions make them, those that bfloat16 has."""
    x = torch.randint(-60, 60, shape).bfloat16()
    return x.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else x


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(7, 5, 1, 1), (9, 33, 6, 5), (2000, 40), (65, 128)])
@pytest.mark.parametrize("act", [BIPOLAR, TERNARY, UINT(2), INT(4, narrow=True)], ids=str)
@pytest.mark.parametrize("estimator", ["ste", "approx"])
def test_norm_and_activation(shape, act, estimator, threads, monkeypatch):
    torch.manual_seed(sum(shape))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    x, gradient = sums(shape), sums(shape) / 8
    norm, activation = norm_of(shape[1], float(act.high)), Activation(act, estimator)
    plain = BatchNorm(shape[1])
    plain.load_state_dict(norm.state_dict())

    wide = x.double().requires_grad_()
    channels = wide.transpose(0, 1).flatten(1)
    mean, variance = channels.mean(1), channels.var(1, correction=0)
    view = (-1, *[1] * (len(shape) - 2))
    gamma, beta = (one.detach().double().requires_grad_() for one in (norm.gamma, norm.beta))
    z = (wide - mean.view(view)) / (variance + norm.epsilon).sqrt().view(view)
    z = z * gamma.view(view) + beta.view(view)
    expected = activation(z)
    expected.backward(gradient.double())

    fast = x.clone().requires_grad_()
    found = fused.norm_act(fast, norm, activation)
    found.backward(gradient)
    # Where z is on a boundary to the last digit, either side is right.
    low, high = act.low, act.high
    edges = torch.cat([torch.arange(low, high + 1) + 0.5, torch.tensor([low, high, 0.0])])
    far = ((z.detach()[..., None] - edges).abs() > 1e-4).all(-1)
    assert torch.equal(found.double()[far], expected[far])
    assert far.float().mean() > 0.95
    size = wide.grad.abs().max()
    assert ((fast.grad.double() - wide.grad).abs()[far] < 4 * ROUNDING * size).all()
    for real, wanted in ((norm.gamma, gamma), (norm.beta, beta)):
        least = wanted.grad.abs().max() * 1e-2
        assert torch.allclose(real.grad.double(), wanted.grad, rtol=2e-2, atol=float(least))
    plain.train()(x.float())
    assert torch.allclose(norm.mean, plain.mean, atol=1e-4)
    assert torch.allclose(norm.variance, plain.variance, rtol=1e-4)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(3, 4, 2, 2), (5, 33, 7, 9), (40, 64, 12, 10)])
def test_pools(shape, threads, monkeypatch):
    torch.manual_seed(1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    x = torch.randint(-3, 3, shape).bfloat16()  # many equal ones: the first one counts
    x = x.contiguous(memory_format=torch.channels_last)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = fused.pool(ours), F.max_pool2d(theirs, 2)
    assert torch.equal(found, expected)
    gradient = torch.randn(found.shape).bfloat16()
    found.backward(gradient)
    expected.backward(gradient)
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("name", ["cnv-w1a1", "lfc-w1a2", "lfc-w2a2"])
def test_a_whole_step(name, monkeypatch):
    torch.manual_seed(1)
    stack = Stack(zoo.topology(name)).train()
    pictures = torch.randint(0, 256, (24, *stack.topology.input), dtype=torch.uint8)
    labels = torch.randint(0, 10, (24,))

    def step():
        stack.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(stack(pictures), labels)
        loss.backward()
        return loss.detach(), [one.grad.clone() for one in stack.parameters()]

    loss, gradients = step()
    monkeypatch.setattr(fused, "_suits", lambda *_: False)
    plain_loss, plain = step()
    assert float(loss) == pytest.approx(float(plain_loss), rel=0.3)
    # Rounded sums turn signs near zero, more in every layer; the direction stays.
    alike = [float(F.cosine_similarity(*pair, dim=0)) for pair in _flat(gradients, plain)]
    assert alike[0] > 0.6, "the first layer's weights"
    assert alike[-3] > 0.6, "the last layer's weights"


def _flat(*lists):
    return zip(*([one.flatten() for one in each] for each in lists), strict=True)

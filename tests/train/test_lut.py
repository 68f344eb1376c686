# SPDX-License-Identifier: BSD-3-Clause
"""Training steps in small integers beside the same steps in float32."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")

import torch.nn.functional as F  # noqa: E402, N812

from bnn import _native  # noqa: E402
from bnn.errors import TrainError  # noqa: E402
from bnn.network import zoo  # noqa: E402
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology  # noqa: E402
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT  # noqa: E402
from bnn.train import loop, lut  # noqa: E402
from bnn.train.layers import Activation, BatchNorm, Conv2d, MaxPool  # noqa: E402
from bnn.train.layers import Dense as DenseLayer  # noqa: E402
from bnn.train.loop import INTEGER, lightning_precision  # noqa: E402
from bnn.train.stack import Stack, deployable  # noqa: E402

NORM_ACT = (Norm(), Act(BIPOLAR))


def values(shape, precision):
    low = torch.randint(0, 2, shape) * 2 - 1
    return (low if precision == BIPOLAR else torch.randint(-1, 2, shape)).to(torch.int8)


def bits(tensor):
    return tensor.contiguous().view(torch.int16).numpy().view(np.uint16)


@pytest.mark.parametrize("precision", [BIPOLAR, TERNARY], ids=str)
@pytest.mark.parametrize(
    ("shape", "kernel", "padding"),
    [
        ((3, 6, 5, 7), (9, 3, 2), (0, 0, 0, 0)),
        ((5, 4, 4, 65), (70, 3, 3), (1, 2, 2, 0)),
        ((9, 1, 1, 300), (10, 1, 1), (0, 0, 0, 0)),
    ],
)
def test_gradients_are_right_on_average(shape, kernel, padding, precision):
    """The mean over many roundings comes as close to the exact gradient as chance allows."""
    torch.manual_seed(3)
    count, height, width, inputs = shape
    outputs, rows, columns = kernel
    x, weights = values(shape, precision), values((outputs, rows, columns, inputs), precision)
    top, left, bottom, right = padding
    maps = F.pad(x.permute(0, 3, 1, 2).double(), (left, right, top, bottom)).requires_grad_()
    real = weights.permute(0, 3, 1, 2).double().requires_grad_()
    sums = F.conv2d(maps, real)
    gradient = (torch.randn(sums.shape) * 0.1).bfloat16()
    sums.backward(gradient.double())
    inner = maps.grad[:, :, top : top + height, left : left + width].permute(0, 2, 3, 1)

    found = np.empty(sums.permute(0, 2, 3, 1).shape, np.int16)
    bipolar = precision == BIPOLAR
    _native.correlate(x.numpy(), weights.numpy(), padding, bipolar, found, 1)
    assert np.array_equal(found, sums.detach().permute(0, 2, 3, 1).numpy())

    times = 100
    total, weight_total = torch.zeros(shape), torch.zeros(weights.shape)
    grad_bits = bits(gradient.permute(0, 2, 3, 1))
    for seed in range(times):
        back = torch.empty(shape, dtype=torch.bfloat16)
        _native.correlate_back(grad_bits, weights.numpy(), padding, bipolar, seed, bits(back), 2)
        total += back.float()
        down = torch.empty(weights.shape)
        _native.correlate_weights(grad_bits, x.numpy(), padding, bipolar, seed, down.numpy(), 2)
        weight_total += down
    # A rounding has a standard deviation of half a unit at most; the sums are of so many of them.
    unit = float(gradient.abs().max()) / (30.9 if bipolar else 61.9)
    chance = unit / 2 / times**0.5
    assert_near(total / times, inner, chance * (rows * columns * outputs) ** 0.5)
    terms = count * sums[0, 0].numel()
    assert_near(weight_total / times, real.grad.permute(0, 2, 3, 1), chance * terms**0.5)


def assert_near(mean, exact, deviation):
    off = (mean - exact).abs() / (deviation + 0.005 * exact.abs())
    assert float(off.max()) < 6
    assert float(off.square().mean()) < 2, "no bias that all of them share"


@pytest.mark.parametrize("name", ["cnv-w1a1", "cnv-w1a2", "cnv-w2a2", "lfc-w1a1", "lfc-w2a2"])
def test_a_whole_step(name):
    torch.manual_seed(1)
    stack = Stack(zoo.topology(name)).train()
    compare_steps(stack)


STACKS = {
    "padded, pools after activations, odd sizes": (
        Conv(5, (3, 3), padding=(1, 1, 1, 1), weights=INT(4, narrow=True)),
        *NORM_ACT,
        Pool(),
        Conv(9, (2, 3), padding=(0, 1, 1, 1)),
        Norm(),
        Act(TERNARY),
        Pool(),
        Conv(70, (2, 2), weights=TERNARY),
        Pool(),
        *NORM_ACT,
        Dense(12),
        *NORM_ACT,
        Dense(3),
    ),
    "zeros and ones": (Conv(6), Norm(), Act(UINT(1)), Conv(7), Norm(), Act(UINT(1)), Dense(3)),
}


@pytest.mark.parametrize("layers", STACKS.values(), ids=list(STACKS))
@pytest.mark.parametrize("estimator", ["ste", "approx"])
def test_a_step_of_other_stacks(layers, estimator):
    torch.manual_seed(2)
    topology = deployable(Topology("odd", (19, 21, 2), layers, "fixed-point"))
    compare_steps(Stack(topology, estimator).train())


def compare_steps(stack):
    """The same loss and running statistics, and nearly the same direction."""
    pictures = torch.randint(0, 256, (32, *stack.topology.input), dtype=torch.uint8)
    labels = torch.randint(0, stack.topology.classes, (32,))
    for layer in stack.body:
        if isinstance(layer, BatchNorm):  # else sums that equal their mean would be on the edge
            layer.gamma.data.mul_(torch.rand(len(layer.gamma)) + 0.5)
            layer.beta.data.normal_(0, 0.3)
    start = {key: value.clone() for key, value in stack.state_dict().items()}

    def step():
        stack.load_state_dict(start)
        stack.zero_grad()
        loss = F.cross_entropy(stack(pictures), labels)
        loss.backward()
        statistics = [one.clone() for name, one in stack.named_buffers() if name != "table"]
        return loss.detach(), [one.grad.clone() for one in stack.parameters()], statistics

    loss, exact, statistics = step()
    assert stack.use_luts()
    found_loss, found, found_statistics = step()
    assert float(found_loss) == pytest.approx(float(loss), abs=1e-5)
    for one, other in zip(statistics, found_statistics, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-3)
    for (name, _), one, other in zip(stack.named_parameters(), exact, found, strict=True):
        assert one.shape == other.shape
        if not name.startswith("head"):
            alike = float(F.cosine_similarity(one.flatten(), other.flatten(), dim=0))
            assert alike > 0.93, name


def test_a_run_can_be_repeated():
    pictures = torch.randint(0, 256, (8, 28, 28, 1), dtype=torch.uint8)

    def gradients():
        torch.manual_seed(5)
        stack = Stack(zoo.topology("sfc-w1a1")).train()
        stack.use_luts()
        stack(pictures).square().mean().backward()
        return [one.grad for one in stack.parameters()]

    assert all(torch.equal(*pair) for pair in zip(gradients(), gradients(), strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_gradients_that_are_no_numbers_do_no_harm(bad):
    gradient = torch.full((2, 3, 3, 5), bad).bfloat16()
    x, weights = values((2, 3, 3, 6), BIPOLAR), values((5, 1, 1, 6), BIPOLAR)
    back, down = torch.empty(2, 3, 3, 6).bfloat16(), torch.empty(5, 1, 1, 6)
    none = (0, 0, 0, 0)
    _native.correlate_back(bits(gradient), weights.numpy(), none, True, 1, bits(back), 1)
    _native.correlate_weights(bits(gradient), x.numpy(), none, True, 1, down.numpy(), 1)
    assert not torch.isnan(back).any()
    assert not torch.isnan(down).any()


def test_arrays_that_do_not_fit_are_refused():
    x, weights = values((2, 5, 5, 8), BIPOLAR).numpy(), values((4, 3, 3, 8), BIPOLAR).numpy()
    none = (0, 0, 0, 0)
    sums = np.empty((2, 3, 3, 4), np.int16)
    _native.correlate(x, weights, none, True, sums, 1)
    for wrong in (sums[:, :2].copy(), sums[..., :3].copy(), sums[:1].copy()):
        with pytest.raises(ValueError, match="do not fit"):
            _native.correlate(x, weights, none, True, wrong, 1)
    with pytest.raises(ValueError, match="do not fit"):
        _native.correlate(x, weights[..., :7].copy(), none, True, sums, 1)
    with pytest.raises(ValueError, match="padding"):
        _native.correlate(x, weights, (-1, 0, 0, 0), True, sums, 1)
    with pytest.raises(TypeError):
        _native.correlate(x.astype(np.int16), weights, none, True, sums, 1)


def layers_of(*, stride=(1, 1), bias=False, weights=BIPOLAR, act=BIPOLAR, pool=(2, 2)):
    middle = Conv2d(8, 8, (3, 3), weights, stride=stride, bias=bias)
    first = (Conv2d(3, 8), BatchNorm(8), Activation(act))
    return [*first, middle, MaxPool(pool), BatchNorm(8), Activation(), DenseLayer(72, 10)]


def test_which_layers_can_be_looked_up():
    stages = lut.stages_of(layers_of(act=TERNARY), range(-128, 128))
    assert stages is not None
    assert [stage.bipolar_inputs for stage in stages] == [None, False, True]
    assert [stage.pool_sums for stage in stages] == [False, True, False]
    for inputs, bipolar in (((-1, 1), True), ((-1, 0, 1), False), ((0, 1), False), ((1, 2), None)):
        stages = lut.stages_of(layers_of(), inputs)
        assert stages is not None
        assert stages[0].bipolar_inputs is bipolar
    others = [
        layers_of(stride=(2, 2)),
        layers_of(bias=True),
        layers_of(weights=INT(4, narrow=True)),
        layers_of(act=UINT(2)),
        layers_of(pool=(3, 3)),
        layers_of()[:1],
        [BatchNorm(1) if isinstance(layer, BatchNorm) else layer for layer in layers_of()],
        [layer for layer in layers_of() if not isinstance(layer, Activation)],
    ]
    for layers in others:
        assert lut.stages_of(layers, range(-128, 128)) is None


def test_sums_that_leave_16_bits_are_left_to_others():
    layers = [DenseLayer(300, 8), BatchNorm(8), Activation(), DenseLayer(8, 2)]
    assert lut.stages_of(layers, (-109, 109)) is not None
    assert lut.stages_of(layers, (-110, 110)) is None


def test_integers_are_taken_where_they_are_faster(monkeypatch):
    few = Stack(zoo.topology("tfc-w1a1"))
    deep = (Dense(8), Norm(), Act(INT(4)), Dense(2))
    many = Stack(deployable(Topology("more", (28, 28, 1), deep, "sign")))
    monkeypatch.setattr("bnn.train.loop._integers_pay", lambda: True)
    assert lightning_precision(few, None) == "32-true"
    assert few.uses_luts
    assert lightning_precision(Stack(zoo.topology("tfc-w1a1")), "bf16-mixed") == "bf16-mixed"
    assert lightning_precision(many, None) in ("32-true", "bf16-mixed")
    assert not many.uses_luts
    with pytest.raises(TrainError, match="cannot be trained in integers"):
        lightning_precision(many, INTEGER)


@pytest.mark.parametrize(
    ("features", "processor", "precision", "integers"),
    [
        ((), "2 x Intel Xeon", "32-true", True),
        (("avx512_bf16",), "2 x Intel Xeon", "32-true", True),
        (("avx512_bf16", "amx_bf16"), "2 x Intel Xeon", "bf16-mixed", False),
        (("avx512_bf16",), "2 x AMD EPYC", "bf16-mixed", True),
    ],
)
def test_each_processor_has_its_precision(monkeypatch, features, processor, precision, integers):
    monkeypatch.setattr(loop.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(loop.torch.cpu, "get_capabilities", lambda: dict.fromkeys(features, True))
    monkeypatch.setattr(loop, "machine", lambda: processor)
    monkeypatch.setattr(lut, "available", lambda: True)
    assert loop.fastest_precision() == precision
    assert loop._integers_pay() == integers

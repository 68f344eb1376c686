# SPDX-License-Identifier: BSD-3-Clause
"""Starting from another run."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")

from bnn.errors import TrainError  # noqa: E402
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology  # noqa: E402
from bnn.program.precision import BIPOLAR, INT, TERNARY  # noqa: E402
from bnn.train.layers import BatchNorm, Weighted  # noqa: E402
from bnn.train.stack import Stack  # noqa: E402
from bnn.train.transfer import transfer  # noqa: E402

HERE = Path("run")
FINE = INT(4, narrow=True)


def stack(weights, act, classes=5, size=(8, 9, 1), units=12):
    layers = (
        *(Conv(6, weights=weights), Pool(), Norm(), Act(act)),
        *(Dense(units, weights), Norm(), Act(act)),
        Dense(classes, weights),
    )
    return Stack(Topology("small", size, layers, "sign"))


def parts(one):
    layers = [*one.body, *one.head]
    weights = [layer.weight.data for layer in layers if isinstance(layer, Weighted)]
    return weights, [layer for layer in layers if isinstance(layer, BatchNorm)]


def test_the_same_network_takes_everything_over():
    source, target = stack(TERNARY, TERNARY), stack(TERNARY, TERNARY)
    for norm in parts(source)[1]:
        norm.beta.data.normal_()
        norm.mean.normal_()
    assert transfer(source, target, HERE) == 3
    pictures = torch.randint(0, 256, (40, 8, 9, 1), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(source.eval()(pictures), target.eval()(pictures))
        assert torch.equal(source.train()(pictures), target.train()(pictures))


@pytest.mark.parametrize(("weights", "mean"), [(BIPOLAR, 0.25), (TERNARY, 0.7)], ids=str)
def test_a_coarser_network_has_the_same_signs_and_ranges(weights, mean):
    source, target = stack(FINE, FINE), stack(weights, BIPOLAR)
    for norm in parts(source)[1]:
        norm.beta.data.normal_()
    transfer(source, target, HERE)
    (olds, before), (news, after) = parts(source), parts(target)
    for old, new in zip(olds, news, strict=True):
        assert torch.equal(old.sign(), new.sign())
        assert new.abs().max() <= 1
        assert new.abs().mean() == pytest.approx(mean, rel=0.2)  # what leaves [-1, 1] is clipped
    for old, new, ratio in zip(before, after, (7, 7, 1), strict=True):
        assert torch.allclose(old.gamma, new.gamma * ratio)
        assert torch.allclose(old.beta, new.beta * ratio)


def test_other_classes_leave_the_last_layer():
    source, target = stack(BIPOLAR, BIPOLAR), stack(BIPOLAR, BIPOLAR, classes=3)
    last = parts(target)[0][2].clone()
    assert transfer(source, target, HERE) == 2
    assert torch.equal(parts(target)[0][2], last)
    assert torch.equal(parts(target)[0][1], parts(source)[0][1])


def test_as_many_other_classes_leave_the_last_layer_and_its_norm():
    source, target = (headed_stack() for _ in range(2))
    for norm in parts(source)[1]:
        norm.beta.data.normal_()
    last, beta = parts(target)[0][2].clone(), parts(target)[1][2].beta.clone()
    assert transfer(source, target, HERE, same_classes=False) == 2
    (olds, before), (news, after) = parts(source), parts(target)
    assert torch.equal(news[2], last)
    assert torch.equal(after[2].beta, beta)
    assert not torch.equal(after[2].beta, before[2].beta)
    assert all(torch.equal(old, new) for old, new in zip(olds[:2], news[:2], strict=True))
    assert all(torch.equal(before[n].beta, after[n].beta) for n in range(2))


def headed_stack():
    layers = (
        *(Conv(6), Norm(), Act(BIPOLAR), Dense(12), Norm(), Act(BIPOLAR)),
        *(Dense(5), Norm(scalar=True)),
    )
    return Stack(Topology("headed", (8, 9, 1), layers, "sign"))


def test_a_network_without_a_layer_in_common_is_refused():
    dense = Stack(Topology("dense", (8, 9, 1), (Dense(4),), "sign"))
    with pytest.raises(TrainError, match="run: no layer of dense fits small"):
        transfer(dense, stack(BIPOLAR, BIPOLAR), HERE)

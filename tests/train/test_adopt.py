# SPDX-License-Identifier: BSD-3-Clause
"""Training on from a deployed model: what starts is what was deployed, to the last score."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")

from bnn.errors import TrainError  # noqa: E402
from bnn.library import load  # noqa: E402
from bnn.lower import lower  # noqa: E402
from bnn.network import zoo  # noqa: E402
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology  # noqa: E402
from bnn.program.operations import Affine, Threshold  # noqa: E402
from bnn.program.precision import BIPOLAR, INT, TERNARY  # noqa: E402
from bnn.program.program import Program  # noqa: E402
from bnn.run import prepare  # noqa: E402
from bnn.train.adopt import adopt  # noqa: E402
from bnn.train.extract import extract  # noqa: E402
from bnn.train.layers import BatchNorm  # noqa: E402
from bnn.train.stack import Stack  # noqa: E402
from hw.examples import residual  # noqa: E402

SIZE = (8, 9, 2)


def topology(weights, act, classes=3):
    layers = (
        *(Conv(5, weights=weights, padding=(1, 0, 1, 2)), Pool(), Norm(), Act(act)),
        *(Conv(7, (2, 3), weights=weights), Norm(), Act(act)),
        *(Dense(6, weights), Norm(), Act(act)),
        Dense(classes, weights),
    )
    return Topology("small", SIZE, layers, "bytes")


def pictures(count, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *SIZE), dtype=torch.uint8, generator=draw)


def deployed(wanted, seed=1):
    """The program of a network whose batch norms have random values."""
    torch.manual_seed(seed)
    stack = Stack(wanted).eval()
    for layer in (*stack.body, *stack.head):
        if isinstance(layer, BatchNorm):
            layer.mean.normal_(0, 5)
            layer.variance.uniform_(0.5, 30)
            layer.beta.data.normal_()
            layer.gamma.data.uniform_(0.5, 2)
    return lower(extract(stack))


def scores(program, batch):
    return prepare("reference", program).run(batch.numpy()).scores


def assert_adopted(program, wanted):
    found = lower(extract(adopt(program, wanted, pictures(40), "it").eval()))
    np.testing.assert_array_equal(scores(found, pictures(60, 2)), scores(program, pictures(60, 2)))


@pytest.mark.parametrize("act", [BIPOLAR, TERNARY], ids=str)
@pytest.mark.parametrize("weights", [BIPOLAR, TERNARY, INT(4, narrow=True)], ids=str)
def test_it_starts_as_what_was_deployed(weights, act):
    program = deployed(topology(weights, act))
    assert len(np.unique(scores(program, pictures(60, 2)), axis=0)) > 10, "pictures must matter"
    # Precisions are the model's, whatever is to be trained.
    assert_adopted(program, topology(TERNARY, BIPOLAR))


def test_what_starts_gives_the_programs_logits():
    """If all classes have one scale and one offset, as in the original's networks."""
    program = deployed(topology(BIPOLAR, BIPOLAR))
    scores_of, batch = scores(program, pictures(60, 2)), pictures(60, 2)
    for scale, offset in ((0.3, -2.5), (7.0, 4.0)):
        affine = Affine(np.full(3, scale, np.float32), np.full(3, offset, np.float32))
        wanted = Program(program.input, program.ops, program.scores, affine=affine)
        stack = adopt(wanted, topology(BIPOLAR, BIPOLAR), pictures(40), "it").eval()
        with torch.no_grad():
            logits = stack(batch).numpy()
        np.testing.assert_allclose(logits, affine.logits(scores_of), rtol=1e-4, atol=1e-3)


def changed(program, draw):
    """``program`` with thresholds that a batch norm seldom gives, some of them falling."""
    ops = []
    for op in program.ops:
        if isinstance(op, Threshold):
            edge = program.edges[op.source]
            low, high = edge.low - 3, edge.high + 3
            count = op.thresholds.size
            values = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
            levels = np.sort(np.reshape(values, op.thresholds.shape), axis=1)
            levels[0] = levels[0, 0]  # equal ones
            signs = np.where(np.arange(len(levels)) % 3 == 1, -1, 1)
            op = replace(op, thresholds=levels, signs=signs)
        ops.append(op)
    return Program(program.input, tuple(ops), program.scores, affine=program.affine)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), act=st.sampled_from([BIPOLAR, TERNARY]))
def test_thresholds_of_any_kind_are_kept(data, act):
    layers = (Dense(6, TERNARY), Norm(), Act(act), Dense(5), Norm(), Act(act), Dense(3))
    wanted = Topology("dense", SIZE, layers, "bytes")
    assert_adopted(changed(deployed(wanted), data.draw), wanted)


@pytest.mark.parametrize("name", ["cifar10-cnvW1A1", "cifar10-cnvW2A2", "cnv-w1a2"])
def test_original_and_bundled_models_go_on(name, request):
    if name.startswith("cifar10"):
        request.getfixturevalue("params_dir")
    program = load(name).program
    batch = torch.randint(0, 256, (40, 32, 32, 3), dtype=torch.uint8)
    stack = adopt(program, zoo.topology("cnv-w1a1"), batch, name).eval()
    found = prepare("cpu", lower(extract(stack))).run(batch.numpy()).scores
    expected = prepare("cpu", program).run(batch.numpy()).scores
    if name == "cifar10-cnvW1A1":  # its scores count equal bits
        expected = 2 * expected - 512
    np.testing.assert_array_equal(found, expected)


def test_a_residual_model_is_refused():
    with pytest.raises(TrainError, match="it: has residual sums"):
        adopt(residual(), topology(BIPOLAR, BIPOLAR), pictures(9), "it")


def test_a_model_of_other_layers_is_refused():
    program = deployed(topology(BIPOLAR, BIPOLAR))
    with pytest.raises(TrainError, match=r"it: takes pictures of \(8, 9, 2\), not \(28, 28, 1\)"):
        adopt(program, zoo.topology("tfc-w1a1"), pictures(9), "it")
    shallow = Topology("shallow", SIZE, (Dense(3),), "bytes")
    with pytest.raises(TrainError, match="it: has 4 layers with weights, but shallow has 1"):
        adopt(program, shallow, pictures(9), "it")
    large = topology(BIPOLAR, BIPOLAR)
    large = replace(large, layers=(Conv(5, (4, 4)), *large.layers[1:]))
    with pytest.raises(TrainError, match=r"it: layer0 has 18 columns, but \(5, 2, 4, 4\)"):
        adopt(program, large, pictures(9), "it")

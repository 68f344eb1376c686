# SPDX-License-Identifier: BSD-3-Clause
"""Learning from trained networks."""

import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")

from bnn.errors import TrainError  # noqa: E402
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology  # noqa: E402
from bnn.program.precision import BIPOLAR, TERNARY  # noqa: E402
from bnn.train.stack import Stack  # noqa: E402
from bnn.train.teach import Teacher, Teachers  # noqa: E402


def stack(weights, act, classes=5, size=(8, 9, 1)):
    layers = (
        *(Conv(6, weights=weights), Pool(), Norm(), Act(act)),
        *(Dense(12, weights), Norm(), Act(act)),
        Dense(classes, weights),
    )
    made = Stack(Topology("small", size, layers, "sign"))
    with torch.no_grad():
        for _ in range(20):
            made(torch.randint(0, 256, (100, *size), dtype=torch.uint8))  # statistics settle
    return made.eval()


def pictures(count):
    return torch.randint(0, 256, (count, 8, 9, 1), dtype=torch.uint8)


@pytest.mark.parametrize("act", [BIPOLAR, TERNARY], ids=str)
def test_a_teacher_answers_what_its_network_does(act):
    torch.manual_seed(1)
    network, shown = stack(TERNARY, act), pictures(50)
    with torch.no_grad():
        expected = network(shown)
    assert expected.std() > 0.5, "logits that are all alike would prove nothing"
    assert torch.allclose(Teacher.of(network).logits(shown), expected, atol=1e-5)


def test_on_a_gpu_the_network_itself_answers_nearly_the_same():
    torch.manual_seed(1)
    network, shown = stack(TERNARY, TERNARY), pictures(200)
    with torch.no_grad():
        exact = network(shown)
        with torch.autocast("cpu", torch.bfloat16):
            fast, scores = network(shown), network.scores(shown)
    assert fast.dtype == torch.float32
    assert (exact - fast).abs().mean() < 0.1 * exact.abs().mean()
    assert torch.equal(scores, network.scores(shown)), "scores are exact whatever surrounds them"


def test_what_teachers_ask_for_is_their_mean_opinion():
    torch.manual_seed(1)
    networks, shown = [stack(BIPOLAR, TERNARY), stack(TERNARY, BIPOLAR)], pictures(7)
    taught = Teachers([Teacher.of(one) for one in networks], temperature=2.0)
    logits = torch.randn(7, 5, requires_grad=True)
    taught.loss(shown, logits).backward()
    with torch.no_grad():
        wanted = sum((one(shown) / 2).softmax(1) for one in networks) / 2
        # The gradient of a cross entropy; temperature squared over temperature is left.
        expected = 2 * ((logits / 2).softmax(1) - wanted) / len(shown)
    assert torch.allclose(logits.grad, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"classes": 3}, "run: has 3 classes"), ({"size": (8, 8, 1)}, r"takes pictures of \(8, 8")],
)
def test_a_teacher_of_something_else_is_refused(changes, said):
    teacher = Teacher.of(stack(BIPOLAR, BIPOLAR, **changes))
    with pytest.raises(TrainError, match=said):
        teacher.check(stack(BIPOLAR, BIPOLAR).topology, "run")

# SPDX-License-Identifier: BSD-3-Clause
"""Lasagne archives: a channels-first forward of their own, section 9 row by row, refusals."""

import math
from pathlib import Path

import numpy as np
import pytest

from bnn.errors import ParameterError
from bnn.formats import bnn_pynq
from bnn.formats.bnn_pynq.extracting import parameters_of
from bnn.formats.theano import archive as theano_npz
from bnn.formats.theano import rounded as theano_rounded
from bnn.network import zoo
from bnn.network.assemble import Statistics, Weights
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology, loads
from bnn.run import reference
from support.lowered_exactly import assert_lowered_exactly

MINE = """
name = "mine"
input = [10, 12, 2]
layers = [
  { conv = 6, bias = true }, "norm", "act",
  { conv = 5, kernel = [3, 2], weights = "int2n" }, { pool = 2 }, "norm", { act = "int2n" },
  { dense = 16, bias = true }, "norm", "act", { dense = 4 }, { norm = "scalar" },
]
"""


def lasagne_arrays(
    topology: Topology, rng: np.random.Generator, positive: bool = False
) -> list[np.ndarray]:
    """Arrays as Lasagne lays them out: conv [out, in, ky, kx], dense [inputs, units]."""
    found, spread = [], 1.0
    for layer, before in zip(topology.layers, topology.shapes(), strict=False):
        if isinstance(layer, Conv | Dense):
            shape = (
                (layer.channels, before[2], *layer.kernel)
                if isinstance(layer, Conv)
                else (math.prod(before), layer.units)
            )
            found.append(rng.uniform(-1, 1, shape))
            out = shape[0] if isinstance(layer, Conv) else shape[1]
            spread = math.sqrt(math.prod(shape) / out)
            if layer.bias:
                found.append(rng.normal(size=out))
        if isinstance(layer, Norm):
            size = () if layer.scalar else (before[2],)
            gamma = rng.uniform(0.5, 1.5, size)
            if not positive:
                gamma = gamma * rng.choice([-1, 1], size)
            found += [rng.normal(0, 0.3, size), gamma, rng.normal(0, 0.3 * spread, size)]
            found.append(rng.uniform(0.5, 2, size) / spread)
    return [np.asarray(array, np.float32) for array in found]


def lasagne_forward(topology: Topology, arrays: list, images: np.ndarray, flip: bool) -> np.ndarray:
    """Logits, computed channels first in float64 by what section 8 says, layer by layer."""
    arrays = [array.astype(np.float64) for array in arrays]
    x = (
        np.floor((images.astype(float) * 2 / 255 - 1) * 128 + 0.5)
        .clip(-128, 127)
        .transpose(0, 3, 1, 2)
        / 128
    )
    for layer in topology.layers:
        if isinstance(layer, Conv | Dense):
            w = arrays.pop(0)
            w = np.where(w < 0, -1, 1) if layer.weights.bits == 1 else np.floor(w + 0.5)
        if isinstance(layer, Conv):
            w = w[:, :, ::-1, ::-1] if flip else w
            views = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
            x = np.einsum("ncyxij,ocij->noyx", views, w)
        elif isinstance(layer, Dense):
            x = x.reshape(len(x), -1) @ w
        elif isinstance(layer, Pool):
            n, c, h, w2 = x.shape
            x = x[:, :, : h // 2 * 2, : w2 // 2 * 2]
            x = x.reshape(n, c, h // 2, 2, w2 // 2, 2).max(axis=(3, 5))
        elif isinstance(layer, Norm):
            beta, gamma, mean, inv_std = (
                v.reshape(-1, *(1,) * (x.ndim - 2)) for v in (arrays.pop(0) for _ in range(4))
            )
            x = (x - mean) * (gamma * inv_std) + beta
        elif isinstance(layer, Act):
            x = (
                np.where(x < 0, -1, 1)
                if layer.precision.bits == 1
                else (np.floor(np.clip(x, -1, 1) + 0.5))
            )
        if getattr(layer, "bias", False):
            x = x + arrays.pop(0).reshape(-1, *(1,) * (x.ndim - 2))
    assert not arrays
    return x


def save(path: Path, arrays: list[np.ndarray]) -> Path:
    np.savez(path, *arrays)
    return path


@pytest.mark.parametrize("flip", [False, True])
def test_any_stack(flip: bool, tmp_path: Path) -> None:
    stack, rng = loads(MINE), np.random.default_rng(2)
    arrays = lasagne_arrays(stack, rng)
    path = save(tmp_path / "mine.npz", arrays)
    images = rng.integers(0, 256, (50, *stack.input), np.uint8)
    expected = lasagne_forward(stack, arrays, images, flip)
    model = theano_npz.load(path, stack, ["a", "b", "c", "d"], flipped=flip)
    outputs = reference.prepare(model.program).run(images)
    logits = model.program.affine.logits(outputs.scores)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(logits.argmax(axis=1), expected.argmax(axis=1))
    assert_lowered_exactly(theano_npz.read(path, stack, flipped=flip).network, images[:3])


@pytest.mark.parametrize(
    ("file", "name", "count"),
    [
        ("mnist-1w-2a.npz", "lfc-w1a2", 24),
        ("cifar10-2w-2a.npz", "cnv-w2a2", 53),
        ("gtsrb-1w-1a.npz", "cnv-w1a1", 53),
    ],
)
def test_the_five_are_recognised(file: str, name: str, count: int, tmp_path: Path) -> None:
    arrays = lasagne_arrays(zoo.topology(name, 43), np.random.default_rng(0))
    assert len(arrays) == count
    trained = theano_npz.open_archive(save(tmp_path / file, arrays))
    assert trained.topology == zoo.topology(name, 43)
    assert trained.report.lines()[1] == f"  arr_0: weights of layer 0; arr_0 {shape(arrays[0])}"
    assert len(trained.report.lines()) == count + 1


def shape(array: np.ndarray) -> str:
    return str(array.shape)


@pytest.fixture(params=["lfc-w1a1", "lfc-w1a2", "cnv-w1a1", "cnv-w1a2", "cnv-w2a2"])
def named(request) -> str:
    return request.param


def test_both_foldings_agree_for_positive_gamma(named: str, tmp_path: Path) -> None:
    """Without ties and negative gammas the original's rounding loses nothing."""
    stack = zoo.topology(named, 11)
    arrays = lasagne_arrays(stack, np.random.default_rng(7), positive=True)
    path = save(tmp_path / "a.npz", arrays)
    exact = theano_npz.load(path, named)
    theirs = theano_npz.load(path, named, rounding="original")
    assert theirs.provenance["folding"] == "original"
    bnn_pynq.save(exact, tmp_path / "exact")
    again = bnn_pynq.load(tmp_path / "exact")
    assert differing(again, theirs) == []


def differing(one, two) -> list[str]:
    """Operations whose arrays differ."""
    return [
        a.name
        for a, b in zip(one.program.ops, two.program.ops, strict=True)
        for what in ("weights", "thresholds")
        if hasattr(a, what) and (getattr(a, what) != getattr(b, what)).any()
    ]


def test_negative_gamma_moves_a_threshold_by_one(tmp_path: Path) -> None:
    """Section 9: the ceiling with "strictly less" moves it; our exact lowering does not."""
    stack = zoo.topology("lfc-w1a2")
    arrays = lasagne_arrays(stack, np.random.default_rng(3))
    path = save(tmp_path / "mnist-1w-2a.npz", arrays)
    exact, _ = parameters_of(theano_npz.load(path))
    trained = theano_npz.open_archive(path)
    theirs = theano_rounded.parameters(path, trained, list("0123456789"))
    for layer, (one, two) in enumerate(zip(exact.layers, theirs.layers, strict=True)):
        falls = arrays[6 * layer + 3] < 0
        assert 0 < falls.sum() < falls.size
        np.testing.assert_array_equal(one.weights, two.weights)
        np.testing.assert_array_equal(one.thresholds + falls[:, None], two.thresholds)


def by_the_book(network: str, index: int, values: tuple, statistics: tuple) -> list[int]:
    """Section 9 for one row, a number at a time."""
    bias, inputs, convolution = values
    beta, gamma, mean, inv_std = map(float, statistics)
    original = bnn_pynq.NETWORKS[network]
    steps = {1: [0.0], 2: [-0.5, 0.5]}[original.levels(index)]
    found = []
    for z in steps:
        t = (mean - bias) + (z - beta) / (gamma * inv_std)
        t = math.copysign(1, gamma) * t
        outward = math.floor if gamma > 0 else math.ceil
        if convolution and index == 0:
            found.append(outward(256 * t))
            continue
        if network.endswith("W1A1"):
            threshold = math.trunc((inputs + (outward(t) if convolution else t)) / 2)
        else:
            threshold = outward(t)
        if network == "lfcW1A2" and index == 0:
            threshold -= 48
        found.append(min(max(threshold, -32768), 32767))
    return found


def test_section_9_by_the_book(named: str, tmp_path: Path) -> None:
    stack = zoo.topology(named)
    rng = np.random.default_rng(9)
    arrays = lasagne_arrays(stack, rng)
    arrays[3][:2] = [1e-4, -1e-4]  # thresholds beyond 16 bits
    arrays[0].ravel()[:5] = 0.0
    trained = theano_npz.open_archive(save(tmp_path / "a.npz", arrays), named)
    folded = theano_rounded.parameters("a.npz", trained, list("0123456789"))
    network = folded.network
    pairs = zip(trained.parameters[::2], trained.parameters[1::2], strict=True)
    for index, (weights, norm) in enumerate(pairs):
        assert isinstance(weights, Weights)
        assert isinstance(norm, Statistics)
        rows = weights.weights.reshape(len(weights.weights), -1)
        for row in range(0, len(rows), 7):
            g = float(np.sign(norm.gamma[row % norm.gamma.size]))
            wanted = [
                (1 if g * w >= 0 else -1) if network.weight_bits == 1 else math.floor(g * w + 0.5)
                for w in rows[row].astype(float)
            ]
            assert folded.layers[index].weights[row].tolist() == wanted
            if network.levels(index):
                values = (float(weights.bias[row]), rows.shape[1], weights.weights.ndim == 4)
                statistics = (norm.beta[row], norm.gamma[row], norm.mean[row], norm.inv_std[row])
                wanted = by_the_book(network.name, index, values, statistics)
                assert folded.layers[index].thresholds[row].tolist() == wanted
    theano_rounded.save("a.npz", trained, list("0123456789"), tmp_path / "set")
    words = np.fromfile(tmp_path / "set" / "0-0-thres.bin", "<i8")
    assert words[: network.levels(0)].tolist() == folded.layers[0].thresholds[0].tolist()


def refusals(arrays: list[np.ndarray]):
    yield arrays[:-1], "arr_23 (inv_std of layer 3) is missing"
    yield [*arrays, arrays[-1]], "arr_24 is not used: the network has only 24 arrays"
    yield [*arrays[:6], arrays[6].T[:-1], *arrays[7:]], "arr_6 (weights of layer 1) has shape"
    yield [*arrays[:2], arrays[2][:-1], *arrays[3:]], "arr_2 (beta of layer 0) has shape (1023,)"
    bad = arrays[5].copy()
    bad[3] = np.nan
    yield [*arrays[:5], bad, *arrays[6:]], "norm0: inv_std must be finite"
    yield [np.array(["text"]), *arrays[1:]], "arr_0.npy: contains <U4, not real numbers"
    yield [arrays[0].ravel()], "has no dense layer"


def test_refusals(tmp_path: Path) -> None:
    arrays = lasagne_arrays(zoo.topology("lfc-w1a1"), np.random.default_rng(0))
    path = tmp_path / "mnist-1w-1a.npz"
    for given, message in refusals(arrays):
        save(path, given)
        with pytest.raises(ParameterError) as caught:
            theano_npz.load(path)
        assert str(caught.value).startswith(f"{path}: {message}")
    save(path, arrays)
    with pytest.raises(ParameterError, match="has 10 classes, 2 names were given"):
        theano_npz.load(path, classes=["a", "b"])
    with pytest.raises(ParameterError, match="has 10 classes, 11 names were given"):
        theano_npz.load(path, classes=list("abcdefghijk"))
    with pytest.raises(ParameterError, match="no network is called 'vgg'"):
        theano_npz.load(path, "vgg")
    path.rename(tmp_path / "unnamed.npz")
    with pytest.raises(ParameterError, match="give --topology"):
        theano_npz.load(tmp_path / "unnamed.npz")


def test_folding_refusals(tmp_path: Path) -> None:
    arrays = lasagne_arrays(zoo.topology("lfc-w1a1"), np.random.default_rng(0))
    arrays[9][4] = 0.0
    path = save(tmp_path / "mnist-1w-1a.npz", arrays)
    with pytest.raises(ParameterError, match=r"layer 1: gamma \* inv_std is zero"):
        theano_npz.load(path, rounding="original")
    theano_npz.load(path)  # a constant, exactly
    arrays = lasagne_arrays(zoo.topology("tfc-w1a1"), np.random.default_rng(0))
    path = save(tmp_path / "tiny-1w-1a.npz", arrays)
    with pytest.raises(ParameterError, match="classes, which tfc-w1a1 is not"):
        theano_npz.load(path, rounding="original")


@pytest.mark.parametrize("index", [0, 1])
def test_thresholds_beyond_every_sum_stay_on_their_side(index: int) -> None:
    """A gamma near 0 makes them huge; as int64 they must not change their sign."""
    network = bnn_pynq.NETWORKS["cnvW1A1"]
    raw = np.array([[1e30], [-1e30], [2.0**63], [-(2.0**63)], [5.0]])
    stored = theano_rounded._stored(network, index, network.layers[index], raw)
    assert np.sign(stored).ravel().tolist() == [1, -1, 1, -1, 1]
    assert stored[4] == 5
    if index:
        assert stored.ravel().tolist() == [32767, -32768, 32767, -32768, 5]

# SPDX-License-Identifier: BSD-3-Clause
"""Each refusal of a Keras layer, beside a layer that is nearly the same and is converted.

What is converted computes what Keras' documentation says (``support/keras_models.py``, written a
second time).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnn.errors import FormatError, NetworkError
from bnn.formats.keras.read import read
from bnn.network.forward import evaluate
from support.keras_models import (
    RNG,
    Layer,
    conv,
    dense,
    expected,
    given,
    layer,
    reading,
    weights,
    with_,
    write,
)

Make = Callable[[Any], Sequence[Layer]]
_BITS = {"class_name": "quantized_bits", "config": {"bits": 8, "integer": 3, "alpha": 1}}
FLAT = layer("Flatten")


def depthwise(channels: int, multiplier: int, **config: Any) -> Layer:
    arrays = {
        "depthwise_kernel": weights(2, 2, channels, multiplier, seed=4),
        "bias": np.arange(channels * multiplier, dtype=np.float32),
    }
    made = {"kernel_size": [2, 2], "depth_multiplier": multiplier, "use_bias": True}
    return layer("DepthwiseConv2D", arrays, **{**made, **config})


def separable(channels: int, filters: int, multiplier: int = 2, **config: Any) -> Layer:
    arrays = {
        "depthwise_kernel": weights(2, 2, channels, multiplier, seed=5),
        "pointwise_kernel": weights(1, 1, channels * multiplier, filters, seed=6),
        "bias": np.arange(filters, dtype=np.float32),
    }
    made = {"kernel_size": [2, 2], "depth_multiplier": multiplier, "filters": filters}
    return layer("SeparableConv2D", arrays, **{**made, **config})


def norm(channels: int, **config: Any) -> Layer:
    at = np.arange(channels, dtype=np.float32)
    arrays = {"gamma": at - 1.5, "beta": 2 * at, "moving_mean": at + 1, "moving_variance": at + 0.5}
    return layer("BatchNormalization", arrays, **{"epsilon": 0.5, **config})


def prelu(*shape: int, **config: Any) -> Layer:
    return layer("PReLU", {"alpha": np.arange(shape[-1]) / 4 + np.zeros(shape)}, **config)


def _whole(size: tuple[int, int], channels: int) -> list[Layer]:
    """A dense layer at the end."""
    return [FLAT, dense(size[0] * size[1] * channels)]


def _shaped(one: Layer, key: str, shape: Sequence[int]) -> Layer:
    return with_(one, **{key: np.ones(shape, np.float32)})


#: What: the model for a value; values that are refused, and words of the message; values that are
#: converted.
CASES: dict[str, tuple[Make, list[Any], str, list[Any]]] = {
    "padding at the end": (
        lambda more: [
            given(4, 4, 2),
            conv(2),
            layer("ZeroPadding2D", padding=[[1, 0], [0, 1]]),
            *more,
        ],
        [[]],
        "no convolution follows this padding",
        [[conv(2, 3, name="after"), *_whole((3, 3), 3)]],
    ),
    "padding before a pool": (
        lambda pool: [
            given(4, 4, 2),
            layer("ZeroPadding2D", padding=[[1, 1], [1, 1]]),
            *pool,
            conv(2, 3),
            *_whole((5, 5) if not pool else (2, 2), 3),
        ],
        [[layer("MaxPooling2D")]],
        "only a convolution may follow it",
        [[]],
    ),
    "nothing with weights": (
        lambda last: [given(4), *last],
        [[layer("Dropout")]],
        "any layer with weights",
        [[dense(4)]],
    ),
    "one output": (
        lambda v: [given(4), dense(4, v[0]), layer("Activation", activation=v[1])],
        [(1, "softmax")],
        "a single output after softmax is always the same",
        [(2, "softmax")],
    ),
    "one output of a convolution": (
        lambda filters: [given(2, 2, 3), conv(3, filters), FLAT],
        [1],
        "a single output must be that of a dense layer",
        [2, 3],
    ),
    "what an Add reads": (
        lambda names: [
            given(4, name="in"),
            reading(dense(4, 3), "in", name="a"),
            reading(dense(4, 3), "in", name="b"),
            reading(dense(4, 3), "in", name="c"),
            reading(layer("Add"), *names),
        ],
        [["a"], ["a", "b", "c"]],
        "Add reads two",
        [["a", "b"], ["c", "a"]],
    ),
    "what a Concatenate reads": (
        lambda names: [
            given(4, name="in"),
            reading(layer("Activation", activation="sign"), "in", name="a"),
            reading(layer("Activation", activation="sign"), "in", name="b"),
            reading(layer("Activation", activation="sign"), "in", name="c"),
            reading(layer("Concatenate"), *names, name="all"),
            reading(dense(4 * len(names), 3), "all"),
        ],
        [["a"]],
        "Concatenate two or more",
        [],
    ),
    "what a Dense reads": (
        lambda names: [
            given(4, name="in"),
            reading(dense(4, 4), "in", name="a"),
            reading(dense(4, 3), *names, name="b"),
        ],
        [["a", "in"]],
        "other layers one",
        [["a"], ["in"]],
    ),
    "after a softmax": (
        lambda last: [given(4), dense(4, 3), layer("Softmax"), *last],
        [[layer("Dropout")], [dense(3, 2)], [layer("Activation", activation="relu")]],
        "softmax",
        [[]],
    ),
    "axes of a softmax": (
        lambda axis: [given(4), dense(4, 3), layer("Softmax", axis=axis)],
        [0, 2, -2, [0, 1]],
        "only the last",
        [-1, 1],
    ),
    "axes that a layer reads": (
        lambda shape: [given(*shape), conv(2), *_whole((2, 2), 2)],
        [(9, 2), (18,)],
        "axes, not of 4",
        [(3, 3, 2)],
    ),
    "axes of an input": (
        lambda shape: [given(*shape), FLAT, dense(16)],
        [(2, 2, 2, 2), (2, 2, 2, 1, 2)],
        "neither vector nor picture",
        [(16,), (4, 4), (2, 2, 4)],
    ),
    "sizes of an input": (
        lambda shape: [given(*shape), FLAT, dense(16)],
        [(None, 4, 4), (1, None, 16), (1, 16, None), (None,)],
        "no fixed shape",
        [(4, 1, 4)],
    ),
    "two inputs": (
        lambda name: [
            given(4, name="in"),
            given(4, name="other"),
            reading(dense(4, 3), "in", name="a"),
            reading(dense(4, 3), name, name="b"),
            reading(layer("Add"), "a", "b"),
        ],
        ["other"],
        "is a second input",
        ["in"],
    ),
    "an input at two scales": (
        lambda scale: [
            given(4, name="in"),
            reading(layer("Rescaling", scale=2.0), "in", name="r"),
            reading(dense(4, 3), "r", name="a"),
            reading(dense(4, 3), scale, name="b"),
            reading(layer("Add"), "a", "b"),
        ],
        ["in"],
        "read twice, with different scales",
        ["r"],
    ),
    "the shape of a kernel": (
        lambda shape: [
            given(4),
            _shaped(dense(4, 3), "kernel", shape),
            *[layer("BatchNormalization", dict(norm(3).arrays), epsilon=0.5)],
        ],
        [(3, 3), (5, 3), (4, 2), (4, 4), (4,), (4, 3, 1), (0, 3), (4, 0)],
        "kernel|bias|units|arrays",
        [(4, 3)],
    ),
    "the shape of a bias": (
        lambda shape: [given(4), _shaped(dense(4, 3), "bias", shape), norm(3)],
        [(2,), (4,), (3, 1), (1,)],
        "its bias has shape",
        [(3,)],
    ),
    "the arrays of a layer": (
        lambda change: [given(4), with_(dense(4, 3), **change), norm(3)],
        [{"kernel": None}, {"bias": None}, {"more": np.ones(3)}],
        "missing|too many",
        [{}],
    ),
    "units": (
        lambda units: [given(4), layer("Dense", dict(dense(4, 3).arrays), units=units), norm(3)],
        [2, 4],
        "units is",
        [3],
    ),
    "units of real weights": (
        lambda units: [
            given(4),
            dense(4, 5, name="first"),
            layer(
                "Dense", {"kernel": RNG(1).normal(size=(5, 3)), "bias": np.arange(3.0)}, units=units
            ),
        ],
        [2, 4, 5],
        "its kernel has shape",
        [3],
    ),
    "inputs of real weights": (
        lambda inputs: [
            given(4),
            dense(4, 5, name="first"),
            layer(
                "Dense",
                {"kernel": RNG(1).normal(size=(inputs, 3)), "bias": np.arange(3.0)},
                units=3,
            ),
        ],
        [4, 6],
        "its kernel has shape",
        [5],
    ),
    "filters": (
        lambda filters: [
            given(3, 3, 2),
            layer("Conv2D", dict(conv(2, 3).arrays), filters=filters),
            *_whole((2, 2), 3),
        ],
        [2, 4],
        "filters is",
        [3],
    ),
    "the size of a kernel": (
        lambda size: [given(4, 4, 2), conv(2, 3, (2, 3), kernel_size=size), *_whole((3, 2), 3)],
        [[3, 2], [2, 2], [2, 4], [1, 3], 2, 3],
        "kernel_size is",
        [[2, 3]],
    ),
    "groups": (
        lambda v: [
            given(3, 3, 4),
            layer(
                "Conv2D",
                {"kernel": weights(2, 2, v[0], v[1], seed=8)},
                filters=v[1],
                kernel_size=2,
                groups=v[2],
                use_bias=False,
            ),
            *_whole((2, 2), v[1]),
        ],
        [(4, 4, 2), (1, 4, 2), (3, 4, 2), (2, 3, 2), (2, 4, 4), (2, 4, 1), (2, 6, 4)],
        "groups",
        [(4, 4, 1), (2, 4, 2), (2, 6, 2), (1, 8, 4), (4, 3, 1)],
    ),
    "channels of a depthwise kernel": (
        lambda v: [given(3, 3, 2), depthwise(*v, depth_multiplier=2), *_whole((2, 2), 4)],
        [(1, 2), (3, 2), (2, 1), (2, 3), (4, 1)],
        "does not fit",
        [(2, 2)],
    ),
    "a depthwise kernel of a separable layer": (
        lambda shape: [
            given(3, 3, 2),
            _shaped(separable(2, 3), "depthwise_kernel", shape),
            *_whole((2, 2), 3),
        ],
        [(2, 2, 2, 1), (2, 2, 2, 3), (2, 2, 1, 2), (2, 2, 3, 2), (2, 2, 4), (3, 2, 2, 2)],
        "kernel",
        [(2, 2, 2, 2)],
    ),
    "a pointwise kernel": (
        lambda shape: [
            given(3, 3, 2),
            _shaped(separable(2, 3), "pointwise_kernel", shape),
            *_whole((2, 2), 3),
        ],
        [
            (1, 1, 3, 3),
            (1, 1, 5, 3),
            (2, 1, 4, 3),
            (1, 2, 4, 3),
            (4, 3),
            (1, 1, 4, 0),
            (1, 1, 4, 4),
        ],
        "kernel|filters",
        [(1, 1, 4, 3)],
    ),
    "a bias of a separable layer": (
        lambda shape: [given(3, 3, 2), _shaped(separable(2, 3), "bias", shape), *_whole((2, 2), 3)],
        [(2,), (4,), (1, 3)],
        "its bias has shape",
        [(3,)],
    ),
    "the axis of a batch norm of maps": (
        lambda axis: [given(3, 3, 2), conv(2, 3), norm(3, axis=axis), *_whole((2, 2), 3)],
        [0, 1, 2, 4, -2, [1, 3], [3, 3]],
        "normalizes axis",
        [],
    ),
    "the axis of a batch norm": (
        lambda axis: [given(4), dense(4, 3), norm(3, axis=axis)],
        [0, 2, 3, -2, [0, 1]],
        "normalizes axis",
        [-1, 1, [1], [-1]],
    ),
    **{
        f"the {key} of a batch norm": (
            lambda shape, key=key: [given(4), dense(4, 3), _shaped(norm(3), key, shape)],
            [(2,), (4,), (1,), (3, 1)],
            f"its {key} has shape",
            [(3,)],
        )
        for key in ("gamma", "beta", "moving_mean", "moving_variance")
    },
    "an average pool with a border": (
        lambda size: [
            given(size, size, 2),
            layer("AveragePooling2D", pool_size=2, padding="same"),
            *_whole((-(-size // 2),) * 2, 2),
        ],
        [3, 5],
        "an average pool with padding",
        [2, 4],
    ),
    "a window": (
        lambda size: [given(3, 4, 2), conv(2, 3, size), *_whole((4 - size[0], 5 - size[1]), 3)],
        [(4, 1), (1, 5), (4, 5)],
        "is larger than the map",
        [(3, 4), (1, 4), (3, 1), (2, 3)],
    ),
    "a reshape": (
        lambda shape: [
            given(4),
            dense(4, 4),
            layer("Activation", activation="sign"),
            layer("Reshape", target_shape=shape),
            dense(4, 3, name="end"),
        ],
        [[2, 2], [2], [5], [2, -1], [1, 1, 5]],
        "cannot be converted",
        [[4], [-1]],
    ),
    "a reshape to the map that it is": (
        lambda shape: [
            given(4, 5, 2),
            conv(2, 3, (3, 3)),
            layer("Reshape", target_shape=shape),
            *_whole((2, 3), 3),
        ],
        [[3, 2, 3], [2, 2, 3], [3, 3, 2], [2, 3, 3, 1]],
        "cannot be converted",
        [[2, 3, 3], [-1, 3, 3], [2, -1, 3], [2, 3, -1]],
    ),
    "a reshape of the input": (
        lambda shape: [
            given(16),
            layer("Reshape", target_shape=shape),
            conv(1),
            *_whole((3, 3), 2),
        ],
        [[4, 4, 2], [4, 5, 1], [3, 4, 1], [4, 3]],
        "cannot be converted",
        [[4, 4, 1], [-1, 4, 1], [4, -1, 1]],
    ),
    "the scale of an input": (
        lambda scale: [given(4), layer("Rescaling", scale=scale, offset=-1.0), dense(4, 3)],
        [0.0, -1.0, -1e-3],
        "must be positive",
        [1e-3, 1.0, 2],
    ),
    "the axis of a Concatenate": (
        lambda axis: [
            given(3, 3, 2, name="in"),
            reading(conv(2, 2), "in", name="a"),
            reading(layer("Activation", activation="relu"), "in", name="s"),
            reading(layer("Concatenate", axis=axis), "a", "a", name="c"),
            reading(layer("Flatten"), "c", name="f"),
            reading(dense(16, 3), "f"),
        ],
        [1, 2, -2, 0, 4],
        "joins along axis",
        [],
    ),
    "both names of a slope": (
        lambda slopes: [given(4), dense(4, 3), layer("LeakyReLU", **slopes), dense(3, 2)],
        [{"alpha": 0.5, "negative_slope": 0.5}, {"alpha": 0.0, "negative_slope": 0.0}],
        "only one is allowed",
        [],
    ),
    "the shape of a slope": (
        lambda v: [given(3, 3, 2), conv(2, 3), prelu(*v[0], shared_axes=v[1]), *_whole((2, 2), 3)],
        [
            ((3,), None),
            ((1, 1, 2), [1, 2]),
            ((1, 1, 4), [1, 2]),
            ((2, 1, 3), [1, 2]),
            ((1, 2, 3), [1, 2]),
            ((1, 1, 3), [1]),
            ((1, 1, 1), [1, 2]),
        ],
        "its alpha has shape",
        [],
    ),
    "a negative variance": (
        lambda v: [
            given(4),
            layer(
                "QDenseBatchnorm",
                {
                    **dense(4, 3).arrays,
                    "gamma": np.ones(3),
                    "beta": np.zeros(3),
                    "iteration": np.zeros(()),
                    "moving_mean": np.zeros(3),
                    "moving_variance": np.full(3, v),
                },
                units=3,
                epsilon=0.5,
                kernel_quantizer=_BITS,
                bias_quantizer=_BITS,
            ),
        ],
        [-0.5, -0.75],
        "must be positive",
        [],
    ),
}


def _all(kind: int) -> list[Any]:
    return [
        pytest.param(make, value, *([words] if kind == 0 else []), id=f"{name}-{value}")
        for name, (make, refused, words, taken) in CASES.items()
        for value in (refused if kind == 0 else taken)
    ]


@pytest.mark.parametrize(("make", "value", "words"), _all(0))
def test_refused(make: Make, value: Any, words: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", make(value))
    with pytest.raises((FormatError, NetworkError), match=words) as raised:
        read(path, "int4")
    assert str(raised.value).startswith(f"{path}: ")


@pytest.mark.parametrize(("make", "value"), _all(1))
def test_nearly_the_same_is_converted(make: Make, value: Any, tmp_path: Path) -> None:
    agrees(make(value), tmp_path / "x.h5")


def agrees(
    layers: Sequence[Layer], path: Path, version: str = "2.15.0", values: str = "int4"
) -> None:
    """The network's logits are what Keras' documentation says."""
    network = read(write(path, layers, version), values).network
    shape = layers[0].config["batch_input_shape"][1:]
    inputs = RNG(7).integers(-8, 8, (6, *shape)).astype(np.float32)
    wanted = expected(layers, inputs)
    fed = inputs.reshape(len(inputs), *network.input.shape)
    found = evaluate(network, network.input.check(fed)).logits
    if wanted.shape[-1] == 1 and found.shape[-1] == 2:
        wanted = np.concatenate([-wanted, wanted], axis=-1)
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=1e-5, atol=1e-5)

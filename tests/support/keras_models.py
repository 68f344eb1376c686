# SPDX-License-Identifier: BSD-3-Clause
"""Small Keras models, written to ``.h5`` files without Keras, and what Keras computes for them.

:func:`expected` is Keras' documentation written a second time, in float64; it shares nothing with
the reader.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
RNG = np.random.default_rng


@dataclass(frozen=True)
class Layer:
    """A layer of a model: its class, its settings, its arrays, and the layers that it reads."""

    kind: str
    config: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    reads: Sequence[str] | None = None

    @property
    def name(self) -> str:
        return str(self.config["name"])


def layer(
    layer_kind: str,
    arrays: dict[str, Array] | None = None,
    reads: Sequence[str] | None = None,
    **config: Any,
) -> Layer:
    """A layer; its name is that of its class if ``config`` has none."""
    return Layer(layer_kind, {"name": layer_kind.lower(), **config}, arrays or {}, reads)


def given(*shape: int | None, **config: Any) -> Layer:
    """An input of that shape, without the batch."""
    return layer("InputLayer", batch_input_shape=[None, *shape], **config)


def weights(*shape: int, seed: int = 1) -> Array:
    """Weights -1 and +1."""
    return (RNG(seed).integers(0, 2, shape) * 2 - 1).astype(np.float32)


def dense(inputs: int, units: int = 3, kind: str = "Dense", **config: Any) -> Layer:
    """A dense layer with a bias."""
    arrays = {"kernel": weights(inputs, units), "bias": np.arange(units, dtype=np.float32)}
    return layer(kind, arrays, **{"units": units, "name": f"dense{units}", **config})


def conv(
    channels: int, filters: int = 2, size: tuple[int, int] = (2, 2), kind: str = "Conv2D", **c: Any
) -> Layer:
    """A convolution with a bias."""
    kernel = weights(*size, channels, filters, seed=3)
    arrays = {"kernel": kernel, "bias": np.arange(filters, dtype=np.float32) - 1}
    made = {"filters": filters, "kernel_size": list(size), "name": f"conv{filters}"}
    return layer(kind, arrays, **{**made, **c})


def with_(one: Layer, **arrays: Array | None) -> Layer:
    """The layer with other arrays; None takes one away."""
    kept = {key: value for key, value in {**one.arrays, **arrays}.items() if value is not None}
    return Layer(one.kind, one.config, kept, one.reads)


def reading(one: Layer, *names: str, name: str = "") -> Layer:
    """The layer as one of a graph, which reads the named ones."""
    config = {**one.config, "name": name} if name else one.config
    return Layer(one.kind, config, one.arrays, names)


def write(path: Path, layers: Sequence[Layer], version: str = "2.15.0") -> Path:
    """Write a Sequential model, or a Functional one if a layer says what it reads."""
    graph = any(one.reads is not None for one in layers)
    listed: list[dict[str, Any]] = []
    for one in layers:
        entry: dict[str, Any] = {"class_name": one.kind, "config": one.config}
        if graph:
            nodes = [[name, 0, 0, {}] for name in one.reads or ()]
            entry |= {"name": one.name, "inbound_nodes": [nodes] if nodes else []}
        listed.append(entry)
    config: dict[str, Any] = {"name": "model", "layers": listed}
    if graph:
        inputs = [one.name for one in layers if one.kind == "InputLayer"]
        config["input_layers"] = [[name, 0, 0] for name in inputs]
        config["output_layers"] = [[layers[-1].name, 0, 0]]
    kind = "Functional" if graph else "Sequential"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": kind, "config": config})
        file.attrs["keras_version"] = version
        for one in layers:
            group = file.create_group(f"model_weights/{one.name}")
            names = [f"{one.name}/{key}:0" for key in one.arrays]
            group.attrs["weight_names"] = np.array(names, "S") if names else np.zeros(0, "S1")
            for name, array in zip(names, one.arrays.values(), strict=True):
                group[name] = array
    return path


# --- what Keras computes -------------------------------------------------------------


def expected(layers: Sequence[Layer], inputs: Array) -> Array:
    """What the model computes before a last softmax or sigmoid, (N, ...), float64."""
    results: dict[str, Array] = {}
    before = ""
    for one in layers:
        sources = one.reads if one.reads is not None else [before]
        if one.kind == "InputLayer":
            results[one.name] = inputs.astype(np.float64)
        else:
            known = [results[name] if name else inputs.astype(np.float64) for name in sources]
            results[one.name] = _FUNCTIONS[one.kind](one, *known)
        before = one.name
    return results[before]


def _borders(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: as many windows as strides fit, one more zero at the end."""
    windows = -(-size // stride)
    zeros = max((windows - 1) * stride + kernel - size, 0)
    return zeros // 2, zeros - zeros // 2


def _windows(
    x: Array,
    size: Sequence[int],
    stride: Sequence[int],
    padding: str,
    spread: Sequence[int],
    fill: float,
) -> Array:
    """Return (N, rows, columns, height, width, channels)."""
    extents = [(k - 1) * d + 1 for k, d in zip(size, spread, strict=True)]
    if padding == "same":
        ends = [_borders(x.shape[i + 1], extents[i], stride[i]) for i in (0, 1)]
        x = np.pad(x, ((0, 0), *ends, (0, 0)), constant_values=fill)
    rows = range(0, x.shape[1] - extents[0] + 1, stride[0])
    columns = range(0, x.shape[2] - extents[1] + 1, stride[1])
    cut = [
        [x[:, r : r + extents[0] : spread[0], c : c + extents[1] : spread[1]] for c in columns]
        for r in rows
    ]
    return np.array(cut).transpose(2, 0, 1, 3, 4, 5)


def _activated(one: Layer, x: Array) -> Array:
    name = one.config.get("activation", "linear")
    if name == "relu":
        return np.maximum(x, 0)
    if name == "sign":
        return np.sign(x)
    return x


def _dense(one: Layer, x: Array) -> Array:
    return _activated(one, x @ one.arrays["kernel"] + one.arrays.get("bias", 0))


def _conv(one: Layer, x: Array) -> Array:
    kernel, config = one.arrays["kernel"].astype(np.float64), one.config
    groups = config.get("groups", 1)
    seen = _windows(
        x, kernel.shape[:2], _pair(config.get("strides", 1)), config.get("padding", "valid"),
        _pair(config.get("dilation_rate", 1)), 0,
    )  # fmt: skip
    each, filters = kernel.shape[2], kernel.shape[3] // groups
    parts = [
        np.einsum(
            "nrchwi,hwio->nrco",
            seen[..., g * each : (g + 1) * each],
            kernel[..., g * filters : (g + 1) * filters],
        )
        for g in range(groups)
    ]
    return _activated(one, np.concatenate(parts, axis=-1) + one.arrays.get("bias", 0))


def _depthwise(one: Layer, x: Array) -> Array:
    kernel, config = one.arrays["depthwise_kernel"].astype(np.float64), one.config
    seen = _windows(
        x, kernel.shape[:2], _pair(config.get("strides", 1)), config.get("padding", "valid"),
        _pair(config.get("dilation_rate", 1)), 0,
    )  # fmt: skip
    made = np.einsum("nrchwi,hwim->nrcim", seen, kernel)
    made = made.reshape(*made.shape[:3], -1)
    return made if "pointwise_kernel" in one.arrays else made + one.arrays.get("bias", 0)


def _separable(one: Layer, x: Array) -> Array:
    between = _depthwise(one, x)
    pointwise = one.arrays["pointwise_kernel"][0, 0].astype(np.float64)
    return _activated(one, between @ pointwise + one.arrays.get("bias", 0))


def _norm(one: Layer, x: Array) -> Array:
    a = {key: value.astype(np.float64) for key, value in one.arrays.items()}
    made = (x - a["moving_mean"]) / np.sqrt(a["moving_variance"] + one.config.get("epsilon", 1e-3))
    return np.asarray(made * a.get("gamma", 1.0) + a.get("beta", 0.0))


def _pool(reduce: Callable[..., Any], fill: float) -> Callable[[Layer, Array], Array]:
    def pool(one: Layer, x: Array) -> Array:
        size = _pair(one.config.get("pool_size", 2))
        stride = _pair(one.config.get("strides") or size)
        seen = _windows(x, size, stride, one.config.get("padding", "valid"), (1, 1), fill)
        return np.asarray(reduce(seen, axis=(3, 4)))

    return pool


def _whole(reduce: Callable[..., Any]) -> Callable[[Layer, Array], Array]:
    def pool(one: Layer, x: Array) -> Array:
        return np.asarray(reduce(x, axis=(1, 2), keepdims=one.config.get("keepdims", False)))

    return pool


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _zeros(one: Layer, x: Array) -> Array:
    (top, bottom), (left, right) = one.config["padding"]
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))


def _leaky(one: Layer, x: Array) -> Array:
    slopes = [
        one.config[key] for key in ("alpha", "negative_slope") if one.config.get(key) is not None
    ]
    return np.where(x < 0, x * (slopes[0] if slopes else 0.3), x)


def _prelu(one: Layer, x: Array) -> Array:
    return np.where(x < 0, x * one.arrays["alpha"], x)


def _reshape(one: Layer, x: Array) -> Array:
    return x.reshape(len(x), *one.config["target_shape"])


def _rescaled(one: Layer, x: Array) -> Array:
    return x * one.config.get("scale", 1.0) + one.config.get("offset", 0.0)


def _joined(one: Layer, *parts: Array) -> Array:
    return np.concatenate(parts, axis=one.config.get("axis", -1))


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "Dense": _dense,
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "BatchNormalization": _norm,
    "MaxPooling2D": _pool(np.max, -np.inf),
    "AveragePooling2D": _pool(np.mean, 0),
    "GlobalMaxPooling2D": _whole(np.max),
    "GlobalAveragePooling2D": _whole(np.mean),
    "ZeroPadding2D": _zeros,
    "Rescaling": _rescaled,
    "Add": lambda _, a, b: a + b,
    "Concatenate": _joined,
    "LeakyReLU": _leaky,
    "PReLU": _prelu,
    "Flatten": lambda _, x: x.reshape(len(x), -1),
    "Reshape": _reshape,
    "Dropout": lambda _, x: x,
    "Activation": _activated,
    "Softmax": lambda _, x: x,
}

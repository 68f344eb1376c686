# SPDX-License-Identifier: BSD-3-Clause
"""Thresholds rounded in the same way as by the original's own tool (specification, section 9).

The result is *not* what was trained. Thresholds change because they are truncated, because they
are rounded up before a strict comparison, and because the order of pool and batch norm is ignored.
The shipped parameter sets were made in this way; :func:`bnn.lower.lower` is exact.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bnn.errors import ParameterError
from bnn.formats import bnn_pynq
from bnn.formats.bnn_pynq import NETWORKS, Layer, OriginalNetwork
from bnn.formats.bnn_pynq.writing import LayerParameters, Parameters, encode, write
from bnn.model.model import Model
from bnn.network import zoo
from bnn.network.assemble import Statistics, Weights
from bnn.network.topology import Topology

if TYPE_CHECKING:
    from bnn.formats.theano.archive import Trained

Float = NDArray[np.float64]
Whole = NDArray[np.int64]

#: Number of thresholds -> boundaries of the activation, for one-bit and two-bit outputs.
STEPS = {0: (), 1: (0.0,), 2: (-0.5, 0.5)}


def model(path: str | os.PathLike[str], trained: Trained, classes: Sequence[str]) -> Model:
    """Return the model of ``trained`` with the original's rounding; see :func:`parameters`."""
    rounded = parameters(path, trained, classes)
    made = bnn_pynq.from_files(Path(path), encode(rounded), rounded.network)
    origin = {
        **made.provenance,
        "file": Path(path).name,
        "folding": "original",
    }  # the key in existing files
    return replace(made, provenance=origin)


def save(
    path: str | os.PathLike[str],
    trained: Trained,
    classes: Sequence[str],
    folder: str | os.PathLike[str],
    folding: bnn_pynq.Folding | None = None,
) -> None:
    """Write the original's files for ``trained`` to ``folder``; see :func:`bnn_pynq.save`."""
    rounded = parameters(path, trained, classes)
    if folding is not None:
        network = bnn_pynq.refold(rounded.network, folding)
        rounded = replace(rounded, network=network)
    write(encode(rounded), folder)


def parameters(
    path: str | os.PathLike[str], trained: Trained, classes: Sequence[str]
) -> Parameters:
    """Return the values of the original's files; ``path`` is for error messages.

    Raises:
        ParameterError: the trained network is not one of the five networks, or the original's tool
            cannot round a value (gamma or inv_std of zero, a two-bit weight above 1 or below -1).
    """
    network = NETWORKS.get(_original_name(trained.topology.name))
    if network is None or not _is_plain(trained.topology):
        raise ParameterError(
            f"{path}: the original's rounding is for {', '.join(NETWORKS)} with up to "
            f"{bnn_pynq.MAX_CLASSES} classes, which {trained.topology.name} is not"
        )
    pairs = list(zip(trained.parameters[::2], trained.parameters[1::2], strict=True))
    layers = []
    for index, (weights, statistics) in enumerate(pairs):
        assert isinstance(weights, Weights)
        assert isinstance(statistics, Statistics)
        try:
            layers.append(_layer(network, index, weights, statistics))
        except ParameterError as error:
            raise ParameterError(f"{path}: layer {index}: {error}") from None
    return Parameters(network, tuple(layers), "\n".join(classes))


def _is_plain(topology: Topology) -> bool:
    """Return whether ``topology`` equals the topology of the same name in :mod:`bnn.network.zoo`.

    It must also have at most MAX_CLASSES classes.
    """
    named = zoo.topology(topology.name, topology.classes)
    return named == topology and topology.classes <= bnn_pynq.MAX_CLASSES


def _original_name(name: str) -> str:
    """Return the original's spelling of a name: ``lfcW1A2`` for ``lfc-w1a2``."""
    stack, _, precisions = name.partition("-")
    return stack + precisions.upper()


def _layer(
    network: OriginalNetwork, index: int, given: Weights, statistics: Statistics
) -> LayerParameters:
    layer, levels = network.layers[index], network.levels(index)
    gamma, beta, mean, inv_std = (
        np.asarray(value, np.float64)[:, None]
        for value in (statistics.gamma, statistics.beta, statistics.mean, statistics.inv_std)
    )
    bias = 0.0 if given.bias is None else np.asarray(given.bias, np.float64)[:, None]
    if not (np.isfinite(gamma * inv_std) & (gamma * inv_std != 0)).all():
        raise ParameterError(
            "gamma * inv_std is zero or not finite, and the original's tool divides by it"
        )
    g = np.sign(gamma)
    t = (mean - bias) + (np.array(STEPS[levels]) - beta) / (gamma * inv_std)
    weights = g * given.weights.reshape(len(given.weights), -1).astype(np.float64)
    thresholds = np.zeros((len(weights), 0), np.int64)
    if levels:
        raw = _integers(network, index, g * t, gamma > 0)
        thresholds = _stored(network, index, layer, raw)
    return LayerParameters(_quantized(weights, network.weight_bits), thresholds)


def _integers(network: OriginalNetwork, index: int, t: Float, rises: NDArray[np.bool_]) -> Float:
    """Return integer thresholds for the real thresholds ``t``.

    Which rounding holds is in the table of section 9 of the specification. ``rises``: whether the
    activation rises with the sum.
    """
    layer = network.layers[index]
    outer = np.where(rises, np.floor(t), np.ceil(t))
    if layer.convolution and index == 0:
        return np.where(rises, np.floor(256 * t), np.ceil(256 * t))
    if network.weight_bits == network.activation_bits == 1:
        inner = outer if layer.convolution else t
        return np.trunc((layer.used_columns + inner) / 2)
    return outer


def _stored(network: OriginalNetwork, index: int, layer: Layer, raw: Float) -> Whole:
    """Return thresholds as the files store them.

    With one-bit weights and two-bit activations the number of pad columns is subtracted. Then the
    numbers are clipped to 16 bits, except in the first layer of CNV.
    """
    whole = np.clip(raw, -(2.0**62), 2.0**62).astype(np.int64)
    if network.weight_bits == 1 and network.activation_bits == 2:
        whole = whole - (layer.columns - layer.used_columns)
    if network.is_cnv and index == 0:
        return whole
    return np.clip(whole, -32768, 32767)


def _quantized(weights: Float, bits: int) -> Whole:
    """Return the integer weights.

    With one bit they are -1 if w < 0, else +1; with two bits they are floor(w + 0.5).
    """
    if not np.isfinite(weights).all():
        raise ParameterError("a weight is not finite")
    if bits == 1:
        return np.where(weights < 0, -1, 1).astype(np.int64)
    whole = np.floor(weights + 0.5)
    if (np.abs(whole) > 1).any():
        raise ParameterError("a two-bit weight is outside -1..1")
    return whole.astype(np.int64)

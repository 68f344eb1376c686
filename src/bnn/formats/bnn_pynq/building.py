# SPDX-License-Identifier: BSD-3-Clause
"""From the numbers of a parameter set to a program (specification, section 2).

With one-bit weights and activations the original counts equal bits. Here hidden layers use the
signed sum s instead (count = (columns + s) / 2, so thresholds are doubled). The last layer still
counts, because the counts are the scores: the inputs of its dot are 0 and 1, and the bias of a row
is the number of -1 weights in the row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnn.formats.bnn_pynq.networks import OriginalNetwork
from bnn.program.inputs import PictureInput, fixed_point_table, sign_table
from bnn.program.operations import ArgMax, Dot, Op, Pool, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from bnn.program.program import Program

ACCUMULATOR_BITS = 16

#: Weights (rows, columns) and raw thresholds (rows, levels) of every layer.
Parsed = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def program_of(network: OriginalNetwork, parsed: Parsed) -> Program:
    """Return the program that computes what the original's hardware computes with these values."""
    return _cnv(network, parsed) if network.is_cnv else _lfc(network, parsed)


def _weight_precision(weights: NDArray[np.int64], bits: int) -> Precision:
    """Return the precision of weights of ``bits`` bits.

    One bit: bipolar. Two bits: ternary, or ``int2`` if a weight is -2; no shipped set has one.
    """
    if bits == 1:
        return BIPOLAR
    return TERNARY if TERNARY.allows(weights) else INT(2)


def _activation(
    name: str, source: str, reached: NDArray[np.int64], bits: int, *, as_bits: bool
) -> Threshold:
    """Return the threshold operation that compares the sums of row r with ``reached[r]``.

    Args:
        as_bits: whether one-bit outputs are 0 and 1 instead of -1 and +1.
    """
    ascending = np.sort(reached, axis=1)
    if bits == 2:
        return Threshold(name, source, ascending, TERNARY, base=-1, step=1)
    if as_bits:
        return Threshold(name, source, ascending, UINT(1))
    return Threshold(name, source, ascending, BIPOLAR, base=-1, step=2)


def _last_dot(name: str, source: str, weights: NDArray[np.int64], network: OriginalNetwork) -> Dot:
    """Return the dot whose sums are the scores.

    With one-bit activations the dot reads 0 and 1, and counts equal bits. With two-bit
    activations it reads -1, 0 and 1, and computes signed sums.
    """
    counts = network.activation_bits == 1
    return Dot(
        name,
        source,
        weights,
        _weight_precision(weights, network.weight_bits),
        bias=(weights < 0).sum(axis=1) if counts else None,
        accumulator_bits=ACCUMULATOR_BITS,
    )


def _hidden(
    network: OriginalNetwork, index: int, parsed: Parsed, source: str
) -> tuple[list[Op], str]:
    """Return the operations of one hidden layer, and the name of its output."""
    layer, (weights, raw) = network.layers[index], parsed[index]
    used, pads = weights[:, : layer.used_columns], weights[:, layer.used_columns :]
    ops: list[Op] = []
    if layer.convolution:
        ops.append(Window(f"window{index}", source, (3, 3)))
        source = f"window{index}"
    ops.append(
        Dot(
            f"dot{index}",
            source,
            used,
            _weight_precision(weights, network.weight_bits),
            accumulator_bits=ACCUMULATOR_BITS,
        )
    )
    # All pad inputs are -1: they subtract the sum of the pad weights from the accumulator.
    pad = -pads.sum(axis=1, keepdims=True)
    if network.is_cnv and index == 0:
        reached = (raw >> 1) + 1  # T < 2 * sum
    elif network.activation_bits == 1:
        reached = 2 * raw - layer.columns + 1 - pad  # T < (columns + sum) / 2
    else:
        reached = raw + 1 - pad  # T < sum
    before_last = index == len(network.layers) - 2
    ops.append(
        _activation(
            f"act{index}", f"dot{index}", reached, network.activation_bits, as_bits=before_last
        )
    )
    if layer.pool:
        ops.append(Pool(f"pool{index}", f"act{index}", (2, 2), (2, 2)))
        return ops, f"pool{index}"
    return ops, f"act{index}"


def _body(network: OriginalNetwork, parsed: Parsed, source: str) -> tuple[list[Op], str]:
    """Return the operations of all layers up to the scores, and the name of the scores."""
    ops: list[Op] = []
    for index in range(len(parsed) - 1):
        made, source = _hidden(network, index, parsed, source)
        ops += made
    scores = f"dot{len(parsed) - 1}"
    ops.append(_last_dot(scores, source, parsed[-1][0], network))
    return ops, scores


def _cnv(network: OriginalNetwork, parsed: Parsed) -> Program:
    ops, scores = _body(network, parsed, "input")
    given = PictureInput((32, 32, 3), INT(8), fixed_point_table())
    return Program(given, tuple(ops), scores)


def _lfc(network: OriginalNetwork, parsed: Parsed) -> Program:
    """Return an LFC program: one bit per class.

    The class is the highest index whose bit is 1 (specification, section 5).
    """
    ops, scores = _body(network, parsed, "pixels")
    bits = Threshold("fired", scores, parsed[-1][1] + 1, UINT(1))
    return Program(
        PictureInput((28, 28, 1), BIPOLAR, sign_table()),
        (
            Window("pixels", "input", (28, 28)),
            *ops,
            bits,
            ArgMax("class", "fired", "highest-positive"),
        ),
        scores,
        decision="class",
    )

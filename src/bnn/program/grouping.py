# SPDX-License-Identifier: BSD-3-Clause
"""Groups of a dot: from weights with zeros for the channels of other groups, and back to them.

Weights (rows, positions, channels) of a convolution in groups are zero where a row does not read
the channel. A dot with ``groups`` has the other weights only.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.program.operations import Dot, Op, Scan
from bnn.program.precision import BIPOLAR, TERNARY
from bnn.program.program import Program


def ungrouped(op: Dot) -> Dot:
    """Return the dot without groups that has equal sums: its other weights are zeros.

    Weights of -1 and +1 become ternary ones, because they get zeros.
    """
    if op.groups == 1:
        return op
    rows = len(op.weights)
    own = op.weights.reshape(op.groups, rows // op.groups, op.positions, -1)
    full = np.zeros((*own.shape[:3], op.groups, own.shape[3]), op.weights.dtype)
    each = np.arange(op.groups)
    full[each, :, :, each] = own
    return replace(
        op,
        weights=full.reshape(rows, -1),
        precision=TERNARY if op.precision == BIPOLAR else op.precision,
        groups=1,
        positions=1,
    )


def without_groups(program: Program) -> Program:
    """Return a program of equal results whose dots have no groups.

    Edges have the same names, shapes, precisions and bounds. A program without groups is returned
    itself.

    Raises:
        ProgramError: the zeros make the program larger than a program may be.
    """
    ops = tuple(_without_groups(op) for op in program.ops)
    unchanged = all(new is old for new, old in zip(ops, program.ops, strict=True))
    return program if unchanged else replace(program, ops=ops)


def _without_groups(op: Op) -> Op:
    if isinstance(op, Dot):
        return ungrouped(op)
    if isinstance(op, Scan):
        body: Any = tuple(_without_groups(each) for each in op.body)
        unchanged = all(new is old for new, old in zip(body, op.body, strict=True))
        return op if unchanged else replace(op, body=body)
    return op


def found_groups(weights: NDArray[Any]) -> int:
    """Return the most groups into which weights (rows, positions, channels) can be divided.

    It is 1 if there are no such groups, or if all weights are zeros.
    """
    rows, _, channels = weights.shape
    read = np.argwhere((weights != 0).any(axis=1))
    common = math.gcd(rows, channels)
    if not len(read):
        return 1
    for groups in range(common, 1, -1):
        if common % groups == 0:
            of_row, of_channel = read[:, 0] // (rows // groups), read[:, 1] // (channels // groups)
            if (of_row == of_channel).all():
                return groups
    return 1


def grouped_weights(weights: NDArray[Any], groups: int) -> NDArray[Any]:
    """Return the weights (rows, positions * channels / groups) of a dot with ``groups``.

    Args:
        weights: (rows, positions, channels), zeros for the channels of other groups.
        groups: what :func:`found_groups` returned.
    """
    rows, positions, channels = weights.shape
    parts = weights.reshape(groups, rows // groups, positions, groups, channels // groups)
    each = np.arange(groups)
    own: NDArray[Any] = parts[each, :, :, each].reshape(rows, -1)
    return own

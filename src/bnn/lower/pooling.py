# SPDX-License-Identifier: BSD-3-Clause
"""Decide whether a max pool comes before or after the threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnn.errors import NetworkError
from bnn.lower.carried import Carried
from bnn.network.network import Mask


@dataclass(frozen=True, eq=False)
class Plan:
    """Where the program has the max pools that are between a sum and its activation.

    Attributes:
        pool_first: True: the sums are pooled, before the threshold; False: the levels are pooled,
            after the threshold.
        negate: bool (channels,), rows of the sums to negate before they are pooled.
        mirror: bool (channels,), channels whose levels are counted downwards, so that the maximum
            of the mirrored levels is the minimum of the levels.
    """

    pool_first: bool
    negate: Mask
    mirror: Mask


def plan(name: str, source: Carried, can_mirror: bool) -> Plan:
    """Return where to pool for the activation ``name``, which follows ``source``.

    Between the last max pool and the activation, layers can rise or fall, channel by channel; they
    fall if a batch norm has a negative scale. If they rise, the level of the maximum is the maximum
    of the levels: pool the levels. If they fall, it is the minimum of the levels: mirror the levels
    if the readers can undo that (``can_mirror``), else pool the sums.

    Raises:
        NetworkError: layers between two max pools fall.
    """
    first, *between_and_last = source.directions()
    none = np.zeros(source.shape[2], bool)
    if not between_and_last:
        return Plan(False, none, none)
    *between, last = between_and_last
    if any((part < 0).any() for part in between):
        raise NetworkError(
            f"{name}: a batch norm or scale with a negative factor is between two max pools "
            f"before {name}; a program cannot express that"
        )
    falls = last < 0
    if can_mirror or not falls.any():
        return Plan(False, none, falls)
    return Plan(True, first < 0, none)

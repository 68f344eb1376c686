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
    """Where the pools between a sum and its activation go.

    Attributes:
        pool_first: pool the sums, before the threshold; else the levels, after it.
        negate: bool (channels,), rows of the sum to negate before they are pooled.
        mirror: bool (channels,), channels whose levels are counted downwards, so that the
            maximum of what is pooled is the minimum of the levels.
    """

    pool_first: bool
    negate: Mask
    mirror: Mask


def plan(name: str, source: Carried, can_mirror: bool) -> Plan:
    """Return where to pool in ``source``; the activation ``name`` follows its pending layers.

    After the pool, values rise with the pooled ones in some channels and fall in others
    (a negative batch norm scale). Where they rise, the level of the maximum is the
    maximum of the levels: pool the levels. Where they fall, it is the minimum of the
    levels: mirror the levels if the readers allow it, else pool the sums.
    """
    first, *between_and_last = source.directions()
    none = np.zeros(source.shape[2], bool)
    if not between_and_last:
        return Plan(False, none, none)
    *between, last = between_and_last
    if any((part < 0).any() for part in between):
        raise NetworkError(
            f"{name}: a falling layer is between two max pools before it (a batch norm or scale "
            "with a negative factor); that cannot be expressed"
        )
    falls = last < 0
    if can_mirror or not falls.any():
        return Plan(False, none, falls)
    return Plan(True, first < 0, none)

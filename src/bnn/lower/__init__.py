# SPDX-License-Identifier: BSD-3-Clause
"""Lowering: a trained :class:`~bnn.network.network.Network` to the integer program it equals.

The derivation is in ``docs/lowering.md``. In short: an activation after any chain of
real-valued layers is a monotone function of the integer sum before it, so it is
described by the sums at which it switches. These are found by bisection, channel by channel,
with the chain evaluated in the source's own arithmetic.
"""

from __future__ import annotations

from bnn.lower.graph import Lowered, trace
from bnn.network.network import Network
from bnn.program.program import Program

__all__ = ["Lowered", "lower", "trace"]


def lower(network: Network) -> Program:
    """Return the program that equals ``network``: every activation, every score, every class.

    Raises:
        NetworkError: a layer cannot be expressed in integers; names it.
        ProgramError: the program would exceed a limit (accumulators, bits).
    """
    return trace(network).program

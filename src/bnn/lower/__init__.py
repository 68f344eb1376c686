# SPDX-License-Identifier: BSD-3-Clause
"""Lowering: make an integer program of a trained network; both give equal results.

``docs/lowering.md`` derives the method. In short: between an integer sum and the next activation
there is a chain of real-valued layers. The activation is a monotone function of the sum, so it is
described by the sums at which it takes its next value. These switching points are found by
bisection, channel by channel; the chain is evaluated in the arithmetic of the framework that
trained the network.
"""

from __future__ import annotations

from bnn.lower.graph import Lowered, trace
from bnn.network.network import Network
from bnn.program.program import Program

__all__ = ["Lowered", "lower", "trace"]


def lower(network: Network) -> Program:
    """Return the program of ``network``; all its activations, scores and classes are equal.

    Raises:
        NetworkError: a layer cannot be expressed in integers; the message names the layer.
        ProgramError: the program would exceed a limit (accumulators, bits).
    """
    return trace(network).program

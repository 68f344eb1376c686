# SPDX-License-Identifier: BSD-3-Clause
"""The look-up tables of LSTM-PYNQ; a formula computes every entry exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Entries of a table.
TABLE = 256


def sigmoid_table() -> NDArray[np.int64]:
    """Return the original's table of the sigmoid over [-5, 5], int64 (256,).

    Its entries have 7 bits after the point.
    """
    at = -5 + np.arange(TABLE) / 25.5
    table: NDArray[np.int64] = (2 * np.rint(64 / (1 + np.exp(-at)))).astype(np.int64)
    return table


def tanh_table() -> NDArray[np.int64]:
    """Return the original's table of tanh over [-3, 3], int64 (256,).

    Its entries have 6 bits after the point.
    """
    table: NDArray[np.int64] = np.rint(64 * np.tanh(-3 + np.arange(TABLE) / 42.5)).astype(np.int64)
    return table

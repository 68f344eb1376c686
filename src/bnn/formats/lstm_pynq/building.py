# SPDX-License-Identifier: BSD-3-Clause
"""LSTM-PYNQ's networks as programs: integers that equal the original's, bit for bit.

Each of the two directions is a scan. "F" is the number of bits after the point of a fixed-point
number. The sigmoid and the tanh of the original are tables of 256 entries. As functions of an
integer sum they rise in steps and never fall, so each of them is a threshold operation.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.formats.lstm_pynq.reading import GATES, Fraktur, Integers, Plain
from bnn.formats.lstm_pynq.tables import TABLE, sigmoid_table, tanh_table
from bnn.program.inputs import IntegerInput
from bnn.program.operations import (
    INPUT,
    Add,
    BodyOp,
    Carried,
    Concat,
    Dot,
    Multiply,
    Op,
    Rescale,
    Rounding,
    Scan,
    Threshold,
)
from bnn.program.precision import INT, UINT, Precision
from bnn.program.program import Program

#: Both directions: name of the scan, whether it visits the last column first.
DIRECTIONS = (("forward", False), ("backward", True))
#: Largest magnitude of an integer that is given to a table: 16 bits.
_REACH = 1 << 15


def program_of(given: Plain | Fraktur) -> Program:
    """Return the program of a network: it reads columns of pixels, its scores are class sums."""
    match given:
        case Plain():
            return _plain(given)
        case Fraktur():
            return _fraktur(given)


def _plain(given: Plain) -> Program:
    pixels, classes = given.rows, given.out_biases.shape[1]
    ops: list[Op] = []
    for direction, (name, reverse) in enumerate(DIRECTIONS):
        ops.append(_plain_scan(given, direction, name, reverse))
        weights, biases = given.out_weights[direction], 2 * given.out_biases[direction]
        shift = given.bits - 2  # F of a product to F of the sums, 8
        ops.append(
            Dot(f"{name}_sums", name, weights, INT(8), biases, 20, shift, "even"),
        )
    ops.append(Add("sums", "forward_sums", "backward_sums", 21))
    ops.append(_scaled("scores", "sums", classes, INT(16), wrap=True))
    return Program(IntegerInput((pixels,), INT(given.bits)), tuple(ops), "scores")


def _plain_scan(given: Plain, direction: int, name: str, reverse: bool) -> Scan:
    bits, units = given.bits, given.weights.shape[2]
    shift = (bits - 1) + (given.weight_bits - 1) - 8  # F of a product to F of the sums, 8
    body: list[BodyOp] = [Concat("both", INPUT, "hidden", INT(bits))]
    for index, gate in enumerate(GATES):
        weights, biases = given.weights[direction, index], 2 * given.biases[direction, index]
        precision = INT(given.weight_bits)
        rounded = max(shift, 0)
        body += [
            Dot(f"dot_{gate}", "both", weights, precision, None, 32, rounded, "zero"),
            _scaled(
                f"sum_{gate}",
                f"dot_{gate}",
                units,
                INT(16),
                by=1 << max(-shift, 0),
                offsets=biases,
                wrap=True,
            ),
            _table(f"gate_{gate}", f"sum_{gate}", units, "tanh" if gate == "c" else "sigmoid", 8),
        ]
    body += [
        Multiply("new_exact", "gate_c", "gate_i", 16),
        _scaled("new", "new_exact", units, INT(16), shift=5),
        Multiply("kept_exact", "gate_f", "cell", 32),
        _scaled("kept", "kept_exact", units, INT(16), shift=7),
        Add("cell_exact", "new", "kept", 17),
        _scaled("cell_next", "cell_exact", units, INT(16)),
        _table("curve", "cell_next", units, "tanh", 8),
        Multiply("hidden_exact", "curve", "gate_o", 16),
        _scaled("hidden_next", "hidden_exact", units, INT(bits), shift=14 - bits),
    ]
    carried = (
        Carried("hidden", units, INT(bits), "hidden_next"),
        Carried("cell", units, INT(16), "cell_next"),
    )
    return Scan(name, INPUT, tuple(body), carried, "hidden_next", reverse)


def _scaled(
    name: str,
    source: str,
    channels: int,
    precision: Precision,
    *,
    by: int | NDArray[Any] = 1,
    offsets: NDArray[Any] | None = None,
    shift: int = 0,
    rounding: Rounding = "even",
    wrap: bool = False,
) -> Rescale:
    """Return the rescale ``(by * x + offsets) / 2**shift`` to the whole range of ``precision``.

    Results outside the range wrap around if ``wrap`` is true, else they saturate.
    """
    multipliers = np.broadcast_to(by, (channels,))
    return Rescale(
        name,
        source,
        multipliers,
        shift,
        precision,
        precision.low,
        precision.high,
        offsets,
        rounding,
        "wrap" if wrap else "saturate",
    )


# --- Fraktur ----------------------------------------------------------------------------------

#: F of each gate's weights, and the bits of its sums, whose F is 5.
_FRACTION = {"i": 3, "f": 2, "o": 3, "c": 2}
_SUM_BITS = {"i": 12, "f": 13, "o": 12, "c": 14}
_PIXELS = 25


def _fraktur(given: Fraktur) -> Program:
    classes = given.out_biases.shape[1]
    ops: list[Op] = []
    for direction, (name, reverse) in enumerate(DIRECTIONS):
        ops.append(_fraktur_scan(given, direction, name, reverse))
        biases = given.out_biases[direction] << 3
        ops.append(Dot(f"{name}_sums", name, given.out_weights[direction], INT(5), biases, 16))
    ops.append(Add("sums", "forward_sums", "backward_sums", 17))
    ops.append(_scaled("scores", "sums", classes, INT(11), wrap=True))
    return Program(IntegerInput((_PIXELS,), INT(5)), tuple(ops), "scores")


def _fraktur_scan(given: Fraktur, direction: int, name: str, reverse: bool) -> Scan:
    units = given.weights.shape[2]
    peepholes = dict(zip(GATES, given.peepholes[direction], strict=False))
    body: list[BodyOp] = []
    for index, gate in enumerate(GATES):
        body += _fraktur_sums(gate, given.weights[direction, index], given.biases[direction, index])

    def wrapped(name: str, source: str, bits: int, **more: Any) -> Rescale:
        """Return a rescale to ``bits`` bits that rounds halves towards zero, and wraps.

        All conversions of the Fraktur network do so.
        """
        return _scaled(name, source, units, INT(bits), rounding="zero", wrap=True, **more)

    body += [
        # input gate: F 6
        wrapped("look_i", "cell", 16, by=peepholes["i"], shift=5),
        wrapped("twice_i", "sum_i", 16, by=2),
        Add("seen_i", "twice_i", "look_i", 32),
        wrapped("all_i", "seen_i", 16),
        _table("gate_i", "all_i", units, "sigmoid", 6, nearest=True),
        # forget gate: F 3
        wrapped("look_f", "cell", 16, by=peepholes["f"], shift=5),
        _scaled("look4_f", "look_f", units, INT(18), by=4),
        Add("seen_f", "sum_f", "look4_f", 32),
        wrapped("all_f", "seen_f", 16, shift=2),
        _table("gate_f", "all_f", units, "sigmoid", 3, nearest=True),
        _table("gate_c", "sum_c", units, "tanh", 5, nearest=True),
        Multiply("new_exact", "gate_c", "gate_i", 16),
        wrapped("new", "new_exact", 16, shift=8),
        Multiply("kept_exact", "gate_f", "cell", 32),
        wrapped("kept", "kept_exact", 16, shift=7),
        Add("cell_exact", "new", "kept", 17),
        wrapped("cell_next", "cell_exact", 16),
        # The output gate looks at the new cell, but not at the first column: F 4
        wrapped("look_o", "cell_next", 16, by=peepholes["o"], shift=6),
        Multiply("late_o", "look_o", "started", 32),
        _scaled("twice_o", "late_o", units, INT(17), by=2),
        Add("seen_o", "sum_o", "twice_o", 32),
        wrapped("all_o", "seen_o", 16, shift=1),
        _table("gate_o", "all_o", units, "sigmoid", 4, nearest=True),
        _table("curve", "cell_next", units, "tanh", 5, nearest=True),
        Multiply("hidden_exact", "curve", "gate_o", 16),
        wrapped("hidden_next", "hidden_exact", 5, shift=10),
        # 1 from the second column on
        Threshold("one", "started", np.zeros((units, 1)), UINT(1)),
    ]
    carried = (
        Carried("hidden", units, INT(5), "hidden_next"),
        Carried("cell", units, INT(16), "cell_next"),
        Carried("started", units, UINT(1), "one"),
    )
    return Scan(name, INPUT, tuple(body), carried, "hidden_next", reverse)


def _fraktur_sums(gate: str, weights: Integers, biases: Integers) -> tuple[BodyOp, ...]:
    """Return the operations that compute the sums of a gate (F is 5 for the sums).

    The products with pixels are exact; the products with hidden values are rounded.
    """
    fraction, units = _FRACTION[gate], len(weights)
    pixels, hidden = weights[:, :_PIXELS], weights[:, _PIXELS:]
    by, offsets = 1 << (3 - fraction), biases << (5 - fraction)
    return (
        Dot(f"pixels_{gate}", INPUT, pixels, INT(5)),
        _scaled(
            f"moved_{gate}", f"pixels_{gate}", units, INT(24), by=by, offsets=offsets, wrap=True
        ),
        Dot(f"hidden_{gate}", "hidden", hidden, INT(5), None, 24, fraction - 2, "zero"),
        Add(f"both_{gate}", f"moved_{gate}", f"hidden_{gate}", 32),
        _scaled(f"sum_{gate}", f"both_{gate}", units, INT(_SUM_BITS[gate]), wrap=True),
    )


# --- tables as thresholds -----------------------------------------------------------------------


def _table(
    name: str, source: str, units: int, curve: str, fraction: int, *, nearest: bool = False
) -> Threshold:
    """Return the original's sigmoid or tanh as a threshold operation.

    It reads integers with ``fraction`` bits after the point. The plain networks round an index
    into the table down; the Fraktur network rounds it to the nearest entry (``nearest``).
    """
    levels = _levels(curve, fraction, nearest)
    thresholds = np.repeat(levels[np.newaxis], units, axis=0)
    if curve == "sigmoid":
        return Threshold(name, source, thresholds, UINT(8), 0, 2)
    return Threshold(name, source, thresholds, INT(8), -64, 1)


@cache
def _levels(curve: str, fraction: int, nearest: bool) -> Integers:
    """Return the thresholds of ``curve``: for each output level, the least input that reaches it.

    They are ascending. Inputs are integers with ``fraction`` bits after the point.
    """
    limit, factor = (5, 51) if curve == "sigmoid" else (3, 85)
    table = sigmoid_table() if curve == "sigmoid" else tanh_table()
    base, step = (0, 2) if curve == "sigmoid" else (-64, 1)
    integers = np.arange(-_REACH, _REACH)
    values = table[_places(integers, limit, factor, fraction, nearest)]
    steps = np.arange(base + step, 65 if curve == "tanh" else 129, step)
    if (np.diff(values) < 0).any() or values[-1] != steps[-1]:
        raise AssertionError(f"{curve} is not a threshold")
    return integers[np.searchsorted(values, steps)]


def _places(x: Integers, limit: int, factor: int, fraction: int, nearest: bool) -> Integers:
    """Return for each integer of ``x`` the index of the table's entry that the original takes."""
    end, shift = limit << fraction, fraction + 1
    exact = (x + end) * factor
    inner = exact >> shift
    if nearest:  # halves towards zero: exact is positive where it counts
        inner = (exact + (1 << (shift - 1)) - 1) >> shift
    places: Integers = np.where(x <= -end, 0, np.where(x >= end, TABLE - 1, inner))
    return places

# SPDX-License-Identifier: BSD-3-Clause
"""What `bnn info` counts of a program, by hand."""

from __future__ import annotations

import numpy as np

from bnn.model.figures import input_text, rows
from bnn.program.inputs import IntegerInput, PictureInput, RealInput, identity_table
from bnn.program.operations import Add, Concat, Dot, Pool, Rescale, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, UINT
from bnn.program.program import Program


def test_operations_and_bits() -> None:
    program = Program(
        IntegerInput((5, 6, 2), UINT(2)),
        (
            Window("w", "input", (2, 3)),  # 4 x 4 places of 12
            Dot("d", "w", np.ones((3, 12)), INT(3), np.arange(3)),
            Threshold("t", "d", np.zeros((3, 3)), UINT(2)),
            Pool("p", "t", (2, 2), (2, 2)),  # 2 x 2 x 3
            Add("a", "p", "p"),
            Rescale("r", "a", np.ones(3), 1, INT(8), -8, 7, np.arange(3)),
            Rescale("s", "r", np.ones(3), 1, INT(8), -8, 7),
            Concat("c", "r", "s", INT(8)),
            Window("e", "c", (2, 2)),
            Dot("y", "e", np.ones((2, 24)), BIPOLAR),
        ),
        "y",
    )
    wide = program.edges["d"].precision.bits
    found = {
        row.name: (row.kind, row.shape, row.operations, row.parameter_bits) for row in rows(program)
    }
    assert found == {
        "w": ("window", (4, 4, 12), 0, 0),
        "d": ("dot", (4, 4, 3), 2 * 16 * 36, 36 * 3 + 3 * wide),
        "t": ("threshold", (4, 4, 3), 16 * 9, 9 * wide),
        "p": ("pool", (2, 2, 3), 4 * 3 * 4, 0),
        "a": ("add", (2, 2, 3), 12, 0),
        "r": ("rescale", (2, 2, 3), 24, 3 * 32 + 3 * 64),
        "s": ("rescale", (2, 2, 3), 24, 3 * 32),
        "c": ("concat", (2, 2, 6), 0, 0),
        "e": ("window", (1, 1, 24), 0, 0),
        "y": ("dot", (1, 1, 2), 2 * 48, 48),
    }
    weights = {row.name: row.weights for row in rows(program) if row.weights}
    assert weights == {"d": "int3", "y": "bipolar"}


def test_inputs_in_short() -> None:
    shape = (2, 3, 1)
    ops = (Window("w", "input", (2, 3)), Dot("y", "w", np.ones((2, 6)), BIPOLAR))
    for given, text in (
        (IntegerInput(shape, UINT(2)), "2x3x1 integers, uint2"),
        (
            PictureInput(shape, UINT(8), identity_table()),
            "2x3x1 8-bit pictures, looked up as uint8",
        ),
        (
            RealInput(shape, INT(4), 0.5, 0.0),
            "2x3x1 real values, from -4 to 3.5 in steps of 0.5, quantized to int4",
        ),
    ):
        program = Program(given, ops, "y")
        assert input_text(given, program.edges["input"]) == text

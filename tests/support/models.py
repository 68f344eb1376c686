# SPDX-License-Identifier: BSD-3-Clause
"""Small models for tests of model files."""

from __future__ import annotations

import numpy as np

from bnn.data.pictures.preprocess import Thumbnail
from bnn.model.model import Model
from bnn.program.inputs import PictureInput, identity_table
from bnn.program.operations import Affine, Dot, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, UINT
from bnn.program.program import Program


def small() -> Model:
    """A model with a tensor of every kind."""
    random = np.random.default_rng(7)
    program = Program(
        PictureInput((2, 2, 3), UINT(8), identity_table()),
        (
            Window("flat", "input", (2, 2)),
            Dot("d0", "flat", random.integers(-4, 4, (5, 12)), INT(3), bias=[1, 2, 3, 4, 5]),
            Threshold("t0", "d0", random.integers(-9, 9, (5, 1)), BIPOLAR, -1, 2, [1, 1, -1, 1, 1]),
            Dot("d1", "t0", random.choice([-1, 1], (2, 5)), BIPOLAR),
        ),
        "d1",
        affine=Affine(np.array([0.5, 2.0]), np.array([0.0, -1.0])),
    )
    return Model(program, ("no", "yes"), Thumbnail(), {"epochs": 3, "note": "x"}, "small")

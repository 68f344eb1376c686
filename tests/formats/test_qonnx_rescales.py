# SPDX-License-Identifier: BSD-3-Clause
"""Rescales that are written to QONNX: each rounding, and what is refused at its limit.

Random programs (``test_qonnx.py``) pass over what is refused, so that a refusal that is too early
would not be seen there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs bnn-pynq[convert]")

from bnn import Classifier  # noqa: E402
from bnn.errors import FormatError  # noqa: E402
from bnn.formats.qonnx import write  # noqa: E402
from bnn.formats.qonnx.executor import Executor  # noqa: E402
from bnn.model.model import Model  # noqa: E402
from bnn.program.inputs import IntegerInput  # noqa: E402
from bnn.program.operations import Dot, Rescale  # noqa: E402
from bnn.program.precision import BIPOLAR, INT  # noqa: E402
from bnn.program.program import Program  # noqa: E402


def model(shape: tuple[int, ...] = (2,), multipliers: Any = (3, -5), **given: Any) -> Model:
    """A rescale of all integers of 8 bits, and a dot, so that there are two classes."""
    options: dict[str, Any] = {"precision": INT(12), "low": -900, "high": 901, **given}
    shift = options.pop("shift", 0)
    ops = (
        Rescale("r", "input", np.array(multipliers), shift, **options),
        Dot("d", "r", np.array([[1, -1], [1, 1]]), BIPOLAR),
    )
    return Model(Program(IntegerInput(shape, INT(8)), ops, "d"), ("a", "b"))


@pytest.mark.parametrize("shape", [(2,), (1, 1, 2)])
@pytest.mark.parametrize("offsets", [None, [4, -7]])
@pytest.mark.parametrize("shift", [0, 1, 3])
@pytest.mark.parametrize("rounding", ["even", "up", "floor"])
def test_every_integer_is_rescaled_as_in_the_program(
    rounding: Any, shift: int, offsets: Any, shape: tuple[int, ...], tmp_path: Path
) -> None:
    made = model(shape, shift=shift, rounding=rounding, offsets=offsets)
    write.save(made, tmp_path / "x.onnx")
    every = np.arange(-128, 128, dtype=np.int16)
    inputs = np.stack([every, every[::-1]], axis=1).reshape(-1, *shape)
    wanted = Classifier(made, "reference").logits(inputs)
    real = inputs.astype(np.float32)
    given = real if len(shape) == 1 else real.transpose(0, 3, 1, 2)
    found = Executor(onnx.load(tmp_path / "x.onnx")).run(given, 60)
    np.testing.assert_array_equal(found, wanted)


EXACT = 1 << 24


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"rounding": "zero"}, "r: QONNX has no rounding of halves towards zero"),
        ({"overflow": "wrap", "low": -1024, "high": 1023}, "r: results that wrap are not wri"),
        # 128 is the largest magnitude of the input
        ({"multipliers": (3, EXACT // 128)}, f"r: products up to {EXACT} are not exact in float32"),
        ({"multipliers": (-EXACT // 128, 3)}, f"r: products up to {EXACT} are not exact in float"),
        ({"multipliers": (0, 1), "offsets": [0, EXACT - 128]}, f"r: products up to {EXACT} are"),
        ({"multipliers": (0, 1), "offsets": [128 - EXACT, 0]}, None),
        ({"multipliers": (0, 1), "offsets": [0, 128 - EXACT]}, f"r: products up to {EXACT} are"),
        ({"multipliers": (0, 1), "offsets": [0, EXACT - 129]}, None),
        ({"multipliers": (3, EXACT // 128 - 1)}, None),
        ({"multipliers": (0, 1), "offsets": [0, EXACT - 130], "shift": 1, "rounding": "up"}, None),
        ({"multipliers": (0, 1), "offsets": [0, EXACT - 129], "shift": 1, "rounding": "up"},
         f"r: products up to {EXACT} are"),
        ({"multipliers": (0, 1), "offsets": [0, EXACT - 129], "rounding": "up"}, None),
    ],
)  # fmt: skip
def test_what_float32_does_not_hold_is_refused(
    given: dict[str, Any], reason: str | None, tmp_path: Path
) -> None:
    """And the number below it is written."""
    options: dict[str, Any] = {"rounding": "floor", **given}
    made = model(**options)
    if reason is None:
        write.save(made, tmp_path / "x.onnx")
        return
    with pytest.raises(FormatError, match=f"^{reason}"):
        write.save(made, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()

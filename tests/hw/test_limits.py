# SPDX-License-Identifier: BSD-3-Clause
"""What the hardware has no block for is refused by the builder and by the planner, by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bnn.errors import BuildError
from bnn.hw.design import build
from bnn.hw.folding import Folding, LayerFolding
from bnn.plan.planner import plan
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Add, Dot, Op, Threshold, Window
from bnn.program.precision import INT, UINT, Precision
from bnn.program.program import Program

BITS = INT(4)


def _dot(source: str, columns: int, precision: Precision = BITS, name: str = "last") -> Dot:
    return Dot(name, source, np.ones((3, columns)), precision)


def _levels(count: int, precision: Precision) -> Threshold:
    return Threshold("t", "input", np.tile(np.arange(count), (4, 1)), precision)


@pytest.mark.parametrize(
    ("given", "ops", "reason"),
    [
        (INT(9), (_dot("input", 4),), "input: has int9 values"),
        (INT(8), (_dot("input", 4, INT(9)),), "last: has int9 weights"),
        (INT(8), (_dot("input", 4, name="d"), _dot("d", 3)), "last: reads int32 values"),
        (
            INT(8),
            (Add("a", "input", "input", 9), Window("w", "a", (1, 1)), _dot("w", 4)),
            "w: reads int9 values",
        ),
        (INT(8), (_levels(256, UINT(9)), _dot("t", 4)), "t: has 256 thresholds and uint9 results"),
        (INT(8), (_levels(3, UINT(9)), _dot("t", 4)), "t: has 3 thresholds and uint9 results"),
        (
            INT(4),
            (Dot("d", "input", np.ones((3, 4)), BITS, None, 32, 1),),
            "d: rounds each product",
        ),
    ],
)
def test_what_has_no_block_is_refused_by_name(
    given: Precision, ops: tuple[Op, ...], reason: str
) -> None:
    program = Program(IntegerInput((4,), given), ops, ops[-1].name)
    folds = {op.name: LayerFolding(1, 1) for op in ops if isinstance(op, Dot)}
    builders: list[Any] = [lambda: build(program, Folding(folds)), lambda: plan(program)]
    for make in builders:
        with pytest.raises(BuildError) as caught:
            make()
        assert str(caught.value).startswith(reason)
        assert str(caught.value).endswith("run it on the cpu runtime")

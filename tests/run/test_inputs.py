# SPDX-License-Identifier: BSD-3-Clause
"""What no runtime takes: all refuse the same inputs, in the same words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnn.errors import InputError
from bnn.program.inputs import PictureInput
from bnn.program.program import Program
from bnn.run import prepare
from bnn.run.accelerator import AcceleratorRuntime
from support.programs import batches, networks


class Untouched:
    """A driver that must not be reached."""

    def check_idle(self) -> None:
        raise AssertionError("the accelerator was reached")


def runtimes(program: Program) -> list[Any]:
    """Every kind of runtime; board and sim share theirs."""
    accelerated: Any = SimpleNamespace(design=SimpleNamespace(program=program))
    driver: Any = Untouched()
    rest = [prepare(name, program) for name in ("cpu", "reference")]
    return [*rest, AcceleratorRuntime(accelerated, driver)]


def refusals(program: Program, inputs: Any) -> set[str]:
    """What every runtime says of ``inputs``."""
    said = set()
    for runtime in runtimes(program):
        with pytest.raises(InputError) as refused:
            runtime.run(inputs)
        said.add(str(refused.value))
    return said


@given(program=networks(), seed=st.integers(0, 2**32 - 1))
def test_what_is_outside_the_input_is_refused_by_all(program: Program, seed: int) -> None:
    right = batches(program, 2, seed)
    wrong = [right.astype(np.float32), right[0], np.repeat(right, 2, axis=-1), right.astype(bool)]
    precision = program.input.precision
    if isinstance(program.input, PictureInput):
        wrong.append(right.astype(np.int16))
    else:
        for value in (precision.low - 1, precision.high + 1, *([0] if precision.bits == 1 else [])):
            if not precision.allows(value):
                other = right.astype(np.int32)
                other.reshape(-1)[-1] = value
                wrong += [other, other + 2**16 * (other == value)]
    for inputs in wrong:
        assert len(refusals(program, inputs)) == 1


@given(program=networks(), seed=st.integers(0, 2**32 - 1))
def test_other_integer_types_are_the_same_numbers(program: Program, seed: int) -> None:
    right = batches(program, 2, seed)
    other = right if isinstance(program.input, PictureInput) else right.astype(np.int64)
    for name in ("cpu", "reference"):
        runtime = prepare(name, program)
        first, second = runtime.run(right), runtime.run(other[::1].copy(order="F"))
        np.testing.assert_array_equal(first.scores, second.scores)

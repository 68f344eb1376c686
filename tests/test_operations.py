# SPDX-License-Identifier: BSD-3-Clause
"""The closed set of operations: what each reads, and that the model file knows every kind."""

from __future__ import annotations

from typing import get_args

from hypothesis import given

from bnn.model.file import OPS
from bnn.program.operations import INPUT, Add, Concat, Op, sources
from bnn.program.program import Program
from support.programs import FULL, networks


def test_the_model_file_has_a_name_for_every_operation() -> None:
    assert set(OPS.values()) == set(get_args(Op))


@given(networks(FULL))
def test_an_operation_reads_edges_that_are_made_before_it(program: Program) -> None:
    made = {INPUT}
    for op in program.ops:
        read = sources(op)
        assert made.issuperset(read)
        assert len(read) == (2 if isinstance(op, Add | Concat) else 1)
        # Each edge's name among the attributes is one of them, and no other.
        named = [value for value in vars(op).values() if isinstance(value, str) and value in made]
        assert list(read) == named
        made.add(op.name)

# SPDX-License-Identifier: BSD-3-Clause
"""The closed sets of operations and layers: what each reads, and who decides by kind."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given

import bnn
from bnn.errors import ProgramError
from bnn.model.file import OPS
from bnn.network import layers, topology, zoo
from bnn.network.assemble import assemble, random_parameters
from bnn.program.inputs import Input, IntegerInput
from bnn.program.operations import (
    INPUT,
    Add,
    ArgMax,
    Concat,
    Dot,
    Op,
    Rescale,
    Threshold,
    Window,
    sources,
)
from bnn.program.precision import BIPOLAR, INT, UINT
from bnn.program.program import Program
from bnn.run import prepare
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


def test_a_layer_reads_what_its_network_says() -> None:
    network = assemble(
        zoo.topology("cnv-w1a1", 10),
        random_parameters(zoo.topology("cnv-w1a1", 10), np.random.default_rng(1)),
    )
    made = {INPUT}
    for layer in network.layers:
        assert made.issuperset(layers.sources(layer))
        made.add(layer.name)
    two = layers.Add("sum", other="one", source="two")
    assert layers.sources(two) == ("two", "one")


#: Classes of the closed sets: operations, layers of networks and of topologies, inputs.
KINDS = {
    kind.__name__ for kinds in (Op, layers.Layer, topology.Layer, Input) for kind in get_args(kinds)
}


def _asked(test: ast.expr) -> tuple[str, set[str]] | None:
    """Variable and classes of a question ``isinstance(variable, classes)``."""
    match test:
        case ast.BoolOp(values=[first, *_]):
            return _asked(first)
        case ast.Call(func=ast.Name("isinstance"), args=[asked, classes]):
            names = {one.id for one in ast.walk(classes) if isinstance(one, ast.Name)}
            return ast.unparse(asked), names
    return None


def test_no_chain_of_isinstance_decides_by_kind() -> None:
    """``match`` decides by kind: the type checker then lists what a new kind needs."""
    chains = []
    for path in sorted(Path(bnn.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.If) and len(node.orelse) == 1:
                first, after = _asked(node.test), node.orelse[0]
                second = _asked(after.test) if isinstance(after, ast.If) else None
                if first and second and first[0] == second[0] and (first[1] | second[1]) <= KINDS:
                    chains.append(f"{path.name}:{node.lineno}")
    assert not chains


@pytest.mark.parametrize("constant", [65_535, -65_535])
def test_constants_have_at_most_16_bits(constant: int) -> None:
    """Pad values (of no border, so that no precision refuses them), base and step."""

    def program(op: Op) -> Program:
        return Program(IntegerInput((1, 1, 1), UINT(2)), (op,), op.name)

    beyond = constant + (1 if constant > 0 else -1)
    program(Window("w", INPUT, (1, 1), pad_value=constant))
    with pytest.raises(ProgramError, match="pad value must be a small whole number"):
        program(Window("w", INPUT, (1, 1), pad_value=beyond))
    for base, step in ((constant, 1), (0, constant), (beyond, 1), (0, beyond)):
        reason = "base and step must be" if beyond in (base, step) else "outputs .* do not fit"
        with pytest.raises(ProgramError, match=reason):
            program(Threshold("t", INPUT, np.zeros((1, 1), np.int32), UINT(2), base, step))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_arrays_have_as_many_entries_as_there_are_channels(count: int) -> None:
    """Weights, biases, thresholds, signs, multipliers and offsets; of 3 channels, fewer or more."""
    given, ones = IntegerInput((1, 1, 3), UINT(2)), np.ones(count, np.int64)
    three, table = np.ones(3, np.int64), np.zeros((3, 1), np.int64)
    ops: tuple[Op, ...] = (
        Dot("d", INPUT, np.ones((2, count)), INT(2)),
        Dot("d", INPUT, np.ones((3, 3)), INT(2), bias=ones),
        Threshold("t", INPUT, np.zeros((count, 1)), UINT(1)),
        Threshold("t", INPUT, table, UINT(1), signs=ones),
        Rescale("r", INPUT, ones, 1, INT(8), -8, 7),
        Rescale("r", INPUT, three, 1, INT(8), -8, 7, ones),
    )
    for op in ops:
        if count == 3:
            assert Program(given, (op,), op.name).edges[op.name].shape[2] in (2, 3)
        else:
            with pytest.raises(ProgramError, match=f"^{op.name}: "):
                Program(given, (op,), op.name)


@pytest.mark.parametrize(("count", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (257, 9)])
def test_a_class_has_as_many_bits_as_it_needs(count: int, bits: int) -> None:
    scores = Dot("d", INPUT, np.ones((count, 2)), INT(2))
    program = Program(
        IntegerInput((1, 1, 2), UINT(2)), (scores, ArgMax("c", "d", "first")), "d", "c"
    )
    edge = program.edges["c"]
    assert (edge.low, edge.high, edge.precision) == (0, count - 1, UINT(bits))


def test_weights_in_any_order_of_memory_are_the_same() -> None:
    """The native core reads rows: an array of columns (a transposed one) is copied."""
    weights = 2 * np.random.default_rng(1).integers(0, 2, (5, 12)) - 1
    inputs = 2 * np.random.default_rng(2).integers(0, 2, (7, 12)) - 1
    found = []
    for each in (weights, np.asfortranarray(weights), np.ascontiguousarray(weights.T).T):
        dot = Dot("d", INPUT, each, BIPOLAR)
        assert dot.weights.flags.c_contiguous
        program = Program(IntegerInput((12,), BIPOLAR), (dot,), "d")
        found.append(prepare("cpu", program).run(inputs.astype(np.int16)).scores)
    for scores in found:
        np.testing.assert_array_equal(scores, inputs @ weights.T)

# SPDX-License-Identifier: BSD-3-Clause
"""What a scan may be: the loop's invariant, its body, its digest, its file, and who refuses it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import bnn
from bnn import Classifier
from bnn.errors import (
    BuildError,
    FormatError,
    InputError,
    ParameterError,
    ProgramError,
    RuntimeUnavailableError,
)
from bnn.formats.convert import export
from bnn.model.figures import rows
from bnn.model.file import load, save
from bnn.model.model import Model
from bnn.plan.planner import plan
from bnn.program.inputs import IntegerInput
from bnn.program.operations import (
    INPUT,
    Add,
    ArgMax,
    Carried,
    Concat,
    Dot,
    Multiply,
    Pool,
    Rescale,
    Scan,
    Threshold,
    Window,
)
from bnn.program.precision import BIPOLAR, INT, UINT
from bnn.program.program import Program
from bnn.run import prepare_sequence
from bnn.run.edges import reference_edges
from support.sequences import sequences

HOLD = Rescale("next", "exact", np.ones(2), 0, INT(8), -128, 127)
BODY = (Add("exact", INPUT, "state", 9), HOLD)
SCAN = Scan("s", INPUT, BODY, (Carried("state", 2, INT(8), "next"),), "next")
LAST = Dot("y", "s", np.ones((3, 2)), INT(2))


def program(scan: Scan = SCAN, *more: Any) -> Program:
    return Program(IntegerInput((2,), INT(4)), (scan, *more, LAST), "y")


def test_edges_of_the_body_are_known_by_the_name_of_the_scan() -> None:
    edges = program().edges
    assert set(edges) == {INPUT, "s", "s.state", "s.exact", "s.next", "y"}
    assert (edges["s.state"].low, edges["s.state"].high) == (-128, 127)
    assert (edges["s.exact"].low, edges["s.exact"].high) == (-136, 134)
    assert edges["s"] == edges["s.next"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"body": BODY[:1], "result": "exact", "carried": "exact"}, "state: 'exact' has values fr"),
        ({"body": (replace(HOLD, high=128, precision=INT(9)),)}, "reads 'exact', which no earlier"),
        ({"body": ()}, "the body of a scan has at least one operation"),
        ({"body": (*BODY, SCAN)}, "s: scan is not possible in the body of a scan"),
        ({"body": (*BODY, Window("w", INPUT, (1, 1)))}, "w: window is not possible in"),
        ({"body": (*BODY, Pool("p", INPUT, (1, 1), (1, 1)))}, "p: pool is not possible in"),
        ({"body": (*BODY, ArgMax("a", INPUT))}, "a: argmax is not possible in"),
        ({"body": (*BODY, Add("state", INPUT, INPUT))}, "state: two operations have this name"),
        ({"result": "other"}, "result: reads 'other'"),
        ({"source": "nothing"}, "s: reads 'nothing'"),
        ({"reverse": 1}, "reverse must be true or false"),
        ({"carried": (Carried("state", 3, INT(8), "next"),)}, "cannot add"),
        ({"carried": (Carried("state", 2, INT(17), "next"),)}, "int17 exceeds 16 bits"),
        ({"carried": (Carried("state", 2, INT(8), "next", 128),)}, "start 128 is outside int8"),
        ({"carried": (Carried("state", 2, INT(7), "next"),)}, "which int7 .* cannot carry"),
        ({"carried": (Carried("state", 2, BIPOLAR, "next", 1),)}, "which bipolar .* cannot carry"),
        ({"carried": (Carried("state", 2, INT(8), "next"),) * 2}, "two operations have this name"),
        ({"carried": (Carried("state", 2, INT(8), "none"),)}, "reads 'none'"),
    ],
)
def test_what_is_not_a_loop_is_refused_by_name(change: dict[str, Any], reason: str) -> None:
    if change.get("carried") == "exact":
        change = {**change, "carried": (Carried("state", 2, INT(8), "exact"),)}
    with pytest.raises(ProgramError, match=reason):
        program(replace(SCAN, **change))


def test_state_without_saturation_has_no_bound() -> None:
    """Whatever its precision, a plain sum outgrows it: the invariant needs the rescale."""
    for bits in (8, 12, 16):
        carried = (Carried("state", 2, INT(bits), "exact"),)
        with pytest.raises(ProgramError, match="cannot carry to the next column"):
            program(Scan("s", INPUT, (Add("exact", INPUT, "state"),), carried, "exact"))


def test_a_scan_reads_vectors() -> None:
    with pytest.raises(ProgramError, match="a scan reads vectors"):
        Program(IntegerInput((1, 2, 2), INT(4)), (SCAN, LAST), "y")


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (Multiply("m", INPUT, "s", 5), "do not fit a 5-bit accumulator"),
        (Dot("d", "s", np.ones((2, 2)), INT(2), None, 32, 31), "product shift must be 0 to 30"),
        (Dot("d", "s", np.ones((2, 2)), INT(2), None, 32, True), "product shift must be"),
        (Dot("d", "s", np.ones((2, 2)), INT(2), None, 32, 1, "odd"), "rounding must be one of"),  # type: ignore[arg-type]
        (replace(HOLD, name="r", source="s", overflow="wrap", high=126), "power of two"),
        (replace(HOLD, name="r", source="s", overflow="clip"), "overflow must be one of"),  # type: ignore[arg-type]
    ],
)
def test_the_new_attributes_are_checked(op: Any, reason: str) -> None:
    with pytest.raises(ProgramError, match=reason):
        program(SCAN, op)


def test_products_are_bounded_by_their_ends() -> None:
    edges = program(SCAN, Multiply("m", INPUT, "s")).edges
    assert (edges["m"].low, edges["m"].high) == (-1016, 1024)


def test_bounds_of_rounded_products_are_those_of_each_product() -> None:
    """-8 * 3 / 16 is -1.5, and 7 * 3 / 16 is 1.3: sums of two products are within -4 .. 2."""
    dot = Dot("d", INPUT, [[3, 3]], INT(4), None, 32, 4, "floor")
    edge = Program(IntegerInput((2,), INT(4)), (dot,), "d").edges["d"]
    assert (edge.low, edge.high) == (-4, 2)


def test_a_wrap_that_cannot_act_keeps_the_bounds() -> None:
    wide = replace(HOLD, name="r", source=INPUT, overflow="wrap")
    narrow = replace(wide, low=-4, high=3)
    given = IntegerInput((2,), INT(4))
    assert Program(given, (wide,), "r").edges["r"].low == -8
    assert Program(given, (narrow,), "r").edges["r"].high == 3


def test_the_digest_depends_on_every_part_of_a_scan() -> None:
    other = replace(HOLD, rounding="zero")
    variants = [
        SCAN,
        replace(SCAN, reverse=True),
        replace(SCAN, result="exact"),
        replace(SCAN, body=(BODY[0], other)),
        replace(SCAN, carried=(Carried("state", 2, INT(8), "next", 1),)),
    ]
    assert len({program(each).digest() for each in variants}) == len(variants)


def test_new_attributes_at_their_defaults_change_no_digest() -> None:
    """Digests of programs that were saved before are what they were."""
    plain = Program(IntegerInput((2,), INT(4)), (Dot("d", INPUT, [[1, 2]], INT(4)),), "d")
    shifted = replace(plain.ops[0], product_shift=1)  # type: ignore[type-var]
    assert plain.digest() == "200704c401a2b6d086bd2fb075eadb8d08ddabe82c43c63b9432db5046ee8920"
    assert plain.digest() != Program(plain.input, (shifted,), "d").digest()  # type: ignore[arg-type]


@given(program=sequences())
def test_a_file_holds_every_scan(program: Program, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("scan") / "m.bnn"
    model = Model(program, tuple(map(str, range(program.classes))))
    save(model, path)
    assert load(path) == model
    assert load(path).program.edges == program.edges


def test_figures_count_the_body() -> None:
    row = rows(program())[0]
    assert (row.name, row.kind, row.operations) == ("s", "scan", 2 + 4)


def test_who_cannot_run_sequences_refuses_them(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model = Model(program(), ("a", "b", "c"), name="recurrent")
    with pytest.raises(RuntimeUnavailableError, match="bnn ocr"):
        Classifier(model)
    with pytest.raises(RuntimeUnavailableError, match="board runtime cannot run sequences"):
        prepare_sequence("board", model.program)
    for to, out in (("c", tmp_path / "c"), ("qonnx", tmp_path / "m.onnx")):
        with pytest.raises(FormatError, match="s: "):
            export(model, to, out)
        assert not out.exists()
    with pytest.raises(InputError, match="sequences"):
        reference_edges(model.program, np.zeros((1, 2), np.int16))


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (Multiply("y", INPUT, INPUT), "y: "),
        (Dot("y", INPUT, np.ones((3, 2)), INT(2), None, 32, 1), "y: .*rounded products"),
        (Rescale("y", INPUT, np.ones(2), 0, INT(2), -2, 1, overflow="wrap"), "y: .*wrap"),
    ],
)
def test_other_new_operations_are_refused_by_name(op: Any, reason: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    flat = Program(IntegerInput((2,), INT(4)), (op,), "y")
    model = Model(flat, tuple(map(str, range(flat.classes))), name="m")
    if isinstance(op, Dot):
        with pytest.raises(BuildError, match="y: rounds each product"):
            plan(flat)
    for to, out in (("c", tmp_path / "c"), ("qonnx", tmp_path / "m.onnx")):
        with pytest.raises(FormatError, match=reason):
            export(model, to, out)


def test_rounded_products_are_not_written_as_an_original_set(tmp_path: Path) -> None:
    model = bnn.load("lfc-w1a1")
    ops = [replace(op, product_shift=1) if isinstance(op, Dot) else op for op in model.program.ops]
    changed = replace(model, program=replace_ops(model.program, ops), calibration=None)
    with pytest.raises(ParameterError, match="rounds its products"):
        export(changed, "bnn-pynq", tmp_path / "set")


def replace_ops(given: Program, ops: list[Any]) -> Program:
    return Program(given.input, tuple(ops), given.scores, given.decision, given.affine)


def test_a_body_may_join_and_compare() -> None:
    body = (
        Concat("both", INPUT, "bit", INT(4)),
        Threshold("bit_next", "both", np.zeros((4, 1)), UINT(1)),
        Dot("sums", "both", np.ones((2, 4)), INT(2)),
    )
    scan = Scan("s", INPUT, body, (Carried("bit", 2, UINT(1), "pair"),), "sums")
    pair = Threshold("pair", "sums", np.zeros((2, 1)), UINT(1))
    assert program(replace(scan, body=(*body, pair))).edges["s"].shape == (1, 1, 2)

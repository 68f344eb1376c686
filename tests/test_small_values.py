# SPDX-License-Identifier: BSD-3-Clause
"""Small functions at their boundaries: tables of values, and definitions in whole numbers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from bnn.commands import doctor
from bnn.commands.main import app
from bnn.data.pictures import rules
from bnn.driver.driver import Driver
from bnn.errors import FormatError, ProgramError
from bnn.formats.convert import convert
from bnn.formats.qonnx import constants
from bnn.lower import affine
from bnn.model import figures, html
from bnn.network import forward
from bnn.network.network import Clip, RealDense, Scale
from bnn.plan import arm, features
from bnn.program.cut import cut_edge
from bnn.program.inputs import IntegerInput
from bnn.program.operations import INPUT, Dot, Pool, Window
from bnn.program.precision import BIPOLAR, INT, UINT
from bnn.program.program import Program
from bnn.serve import outputs
from formats.test_qonnx_refused import graph, step
from hw.examples import residual
from support.golden import compare


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.5], "0.5"),
        ([-0.0, 0.0], "0"),
        ([2.0, 2.0, 2.0], "2"),
        ([1.0, 2.0, 3.0, -4.0], "(1, 2, 3, -4 by channel)"),
        ([1.0, 2.0, 3.0, -4.0, 0.0], "(-4 .. 3 by channel)"),
    ],
)
def test_numbers_by_channel(values: list[float], text: str) -> None:
    assert figures._numbers(np.array(values)) == text


@pytest.mark.parametrize(
    ("bits", "size"), [(0, 0), (1, 1), (7, 1), (8, 1), (9, 2), (16, 2), (17, 3)]
)
def test_bits_in_whole_bytes(bits: int, size: int) -> None:
    row = SimpleNamespace(
        name="d", kind="dot", shape=(1, 1, 3), precision="int4", weights="", operations=1_234,
        parameter_bits=bits,
    )  # fmt: skip
    table = html._table([row, row])  # type: ignore[list-item]
    cells = [cell.split("<")[0] for cell in table.split(">") if cell.endswith("</td")]
    assert cells == ["d", "dot", "1x1x3", "int4", "", "1,234", str(size)] * 2 + [
        "sum", "", "", "", "", "2,468", str((2 * bits + 7) // 8),
    ]  # fmt: skip


def test_folders_of_data_that_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost, file = tmp_path / "lost", tmp_path / "file"
    file.write_text("")
    for given, state, told in (
        (f"{tmp_path}", "ok", f"{tmp_path}"),
        (f"{tmp_path}:{lost}:{file}", "missing", f"no folder {lost}, {file}"),
        (f"{lost}", "missing", f"no folder {lost}"),
        ("", "ok", "BNN_DATA is not set; known data sets are fetched when they are needed"),
    ):
        monkeypatch.setenv("BNN_DATA", given)
        check = doctor._data()
        assert [check.state, check.found] == [state, told], given


def test_two_networks_are_not_trained() -> None:
    for arguments, told in (
        (["lfc-w1a1", "cnv-w1a1", "--data", "x"], "one network is trained at a time, not lfc-w1a1"),
        (["--resume", "a", "b"], "--resume takes the folder of a run alone"),
    ):
        said = CliRunner().invoke(app, ["train", *arguments])
        assert said.exit_code == 2
        assert told in " ".join(said.output.replace("│", " ").split())


def place(program: Program, count: int) -> str:
    """The edge of a cut, or why there is none."""
    try:
        return cut_edge(program, count)
    except ProgramError as error:
        return str(error)


def test_where_a_cut_is_refused() -> None:
    """The message names the operation before the cut, for every place."""
    program = residual()
    names = [op.name for op in program.ops]
    told = [place(program, count) for count in range(1, len(names))]
    begins = [f"cannot cut after {name}: " for name in names[:-1]]
    refused = [text.startswith(begin) for text, begin in zip(told, begins, strict=True)]
    edges = [text in names for text in told]
    assert any(refused)
    assert [not each for each in refused] == edges


@pytest.mark.parametrize(
    ("images", "in_place", "largest", "words", "most"),
    [
        (5, False, 999, 3, 5),
        (20, False, 999, 3, 12),
        (20, True, 999, 3, 20),
        (20, True, 60, 3, 20),
        (20, True, 59, 3, 16),
        (20, True, 50, 3, 16),
        (20, True, 26, 3, 8),
        (20, True, 23, 3, 1),  # fewer than eight would end within a word
        (20, True, 2, 3, 1),
        (12, False, 999, 3, 12),
    ],
)
def test_images_of_one_start(
    images: int, in_place: bool, largest: int, words: int, most: int
) -> None:
    driver: Any = SimpleNamespace(
        is_in_place=lambda _: in_place,
        largest_batch=12,
        transport=SimpleNamespace(largest=largest),
        metadata=SimpleNamespace(words_out=words),
    )
    assert Driver._most(driver, np.zeros((images, 2))) == most


def test_where_a_mass_is_put() -> None:
    """The first position whose centre is nearest to the middle, inside of the side."""
    random = np.random.default_rng(1)
    for length in (5, 8, 28):
        for size in range(1, length + 1):
            for mass in (random.integers(0, 9, size), np.eye(size)[0], np.eye(size)[-1]):
                if not mass.sum():
                    continue
                whole = mass.astype(np.int64)
                at = Fraction(int((whole * (2 * np.arange(size) + 1)).sum()), 2 * int(whole.sum()))
                exact = Fraction(length, 2) - at
                nearest = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
                wanted = sorted((0, nearest, length - size))[1]
                assert rules._start(whole, length) == wanted


def test_a_pool_that_is_not_square() -> None:
    given = IntegerInput((4, 6, 2), UINT(2))
    ops = (
        Pool("p", INPUT, (2, 3), (2, 3)),
        Window("w", "p", (2, 2)),
        Dot("d", "w", np.ones((3, 8), np.int64), BIPOLAR),
    )
    bits, inputs, scores, comparisons, patches, pooled, one = arm.features(Program(given, ops, "d"))
    assert (inputs, scores, comparisons, one) == (48, 3, 0, 1.0)
    assert pooled == 2 * 2 * 2 * 2 * 3
    assert bits == 3 * 8 * 2 * 1
    assert patches == 0  # a window as large as the map only makes a row of it


def test_costs_of_rescales() -> None:
    random = np.random.default_rng(4)
    found = {}
    for number in range(24):
        drawn = {
            "LANES": (1, 3), "WIDE": (9, 30), "SHIFT": (0, 8), "OBITS": (1, 8), "FACTOR": (-9, 9),
            "USED": (2, 12), "MBITS": (0, 2), "ABITS": (0, 3), "ROUNDING": (0, 2),
            "CLIP_LOW": (0, 2), "CLIP_HIGH": (0, 2), "LOADABLE": (0, 2), "ISIGNED": (0, 2),
            "DEPTH": (0, 5),
        }  # fmt: skip
        given = {key: int(random.integers(low, high)) for key, (low, high) in drawn.items()}
        told = features._rescale({**given, "LANES": given["LANES"] + number // 12 * 4})
        found[f"{number}"] = {key: round(float(value), 6) for key, value in told.items()}
    compare("rescale-features", found)


@pytest.mark.parametrize(
    ("precision", "name"),
    [
        (BIPOLAR, "INT8"), (INT(2), "INT8"), (INT(8), "INT8"), (INT(9), "INT16"),
        (INT(16), "INT16"), (UINT(1), "UINT8"), (UINT(8), "UINT8"), (UINT(9), "UINT16"),
        (UINT(16), "UINT16"),
    ],
)  # fmt: skip
def test_datatypes_of_inputs(precision: Any, name: str) -> None:
    assert outputs.datatype(IntegerInput((2, 3, 1), precision)) == name


def test_means_of_maps_whose_images_are_not_first(tmp_path: Path) -> None:
    turned = step("Transpose", perm=[1, 0, 2, 3])
    with pytest.raises(FormatError, match="N must be first if keepdims=0"):
        convert(graph(tmp_path / "x.onnx", turned, step("ReduceMean", axes=[2, 3], keepdims=0)))
    # What follows a mean that keeps its axes is looked at later.
    with pytest.raises(FormatError) as refused:
        convert(graph(tmp_path / "x.onnx", turned, step("ReduceMean", axes=[2, 3], keepdims=1)))
    assert "N must be first" not in str(refused.value)


def test_the_last_dense_layer_with_what_is_around_it() -> None:
    """Equal to its steps one after the other; no scale is 1, no offset is 0."""
    weights = np.array([[1.0, -2.0], [0.5, 3.0], [-4.0, 0.25]])
    bias = np.array([1.0, -0.5, 2.0])
    before = Scale("a", np.float32(2), np.array([0.5, -3.0], np.float32))
    after = Scale("b", np.array([4.0, -1.0, 0.5], np.float32), np.float32(-8))
    x = np.array([[1.0, 2.0], [-3.0, 0.5], [40.0, -70.0]])
    for given in (None, bias):
        dense = RealDense("d", weights, given)
        clip = [Clip("c", -4.0, 30.0), Clip("e", -6.0, 20.0)]
        for first in ([], [before]):
            for last in ([], [after]):
                made = forward._dense([*clip, *first, dense, *last])
                at = np.clip(x, -4, 20)
                at = at * 2 + [0.5, -3.0] if first else at
                at = at @ weights.T + (0 if given is None else bias)
                at = at * [4.0, -1.0, 0.5] - 8 if last else at
                found = np.clip(x, made.low, made.high) @ made.matrix.T + made.bias
                np.testing.assert_array_equal(found, at)


@pytest.mark.parametrize(
    ("factor", "whole", "unit"),
    [
        ([0.5, 0.75], [2, 3], 0.25),
        ([0.0, -3.0, 6.0], [0, 1, -2], -3.0),
        ([1.0], [1], 1.0),
        ([6.0, 4.0, 10.0], [3, 2, 5], 2.0),
        ([0.1, 0.1], [1, 1], 0.1),
    ],
)
def test_multiples_of_a_unit(factor: list[float], whole: list[int], unit: float) -> None:
    found = affine._multiples(np.array(factor))
    assert found is not None
    assert (found[0].tolist(), found[1]) == (whole, unit)


def test_multiples_up_to_the_largest() -> None:
    most = affine._MAX_MULTIPLE
    for number, is_found in ((most, True), (most + 1, False)):
        assert (affine._multiples(np.array([1.0, float(number)])) is not None) == is_found
        assert (affine._multiples(np.array([1.0, -float(number)])) is not None) == is_found
        # The first one is the unit of the ratios: their denominators are bounded too.
        assert (affine._multiples(np.array([float(number), 1.0])) is not None) == is_found


@pytest.mark.parametrize(("count", "is_made"), [(5, True), (6, True), (7, False)])
def test_constants_of_the_largest_size(
    count: int, is_made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "MAX_VALUES", 6)
    ones, size = np.ones((1, 1), np.float32), np.array([1, count])
    for kind, values in (("Expand", [ones, size]), ("ConstantOfShape", [size])):
        node: Any = SimpleNamespace(kind=kind, attribute=lambda _: None)
        if is_made:
            made = constants._other(node, values)
            assert made is not None
            assert made.value.shape == (1, count)
        else:
            with pytest.raises(ValueError, match=r"^$"):
                constants._other(node, values)


@pytest.mark.parametrize(
    ("opset", "told"),
    [(10, "Pad"), (11, "follows a Pad"), (12, "follows a Pad"), (13, "follows a Pad")],
)
def test_padding_given_as_an_input(opset: int, told: str, tmp_path: Path) -> None:
    """Since version 11 of ONNX the amounts of Pad are an input, not an attribute."""
    quant = step("Quant", np.float32(1), np.float32(0), np.float32(4))
    pad = step("Pad", np.array([0, 0, 1, 0, 0, 0, 0, 0]), mode="constant")
    path = graph(tmp_path / "x.onnx", quant, pad, step("Flatten"))
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    with pytest.raises(FormatError, match=told) as refused:
        convert(path)
    assert ("follows a Pad" in str(refused.value)) == (opset > 10)

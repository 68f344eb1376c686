# SPDX-License-Identifier: BSD-3-Clause
"""Layers on the host between parts on a runtime: equal scores, checked functions, refusals."""

from __future__ import annotations

import copy
import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import bnn
from bnn.errors import (
    BnnError,
    HostLayerError,
    InputError,
    ProgramError,
    RuntimeUnavailableError,
    UnknownNameError,
)
from bnn.program.cut import layers, part
from bnn.program.inputs import IntegerInput
from bnn.program.operations import ArgMax, Carried, Dot, Scan, Threshold
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT
from bnn.program.program import Program
from bnn.program.semantics import evaluate
from bnn.run import prepare, split
from bnn.run.split import prepare_split
from bnn.run.stages import as_host_layers, stages
from support.programs import batches, networks, numbers, residuals

RANDOM = np.random.default_rng(11)


@settings(max_examples=150, deadline=None)
@given(st.one_of(networks(), residuals()), st.integers(0, 3), st.data())
def test_random_programs_with_random_layers_on_the_host(
    program: Program, size: int, data: st.DataObject
) -> None:
    names = [layer.name for layer in layers(program)]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    inputs = batches(program, size, seed=size)
    host = as_host_layers(chosen)
    runtime = None
    with suppress(ProgramError, InputError):
        runtime = prepare_split("reference", program, host)
    if runtime is None:
        with pytest.raises((ProgramError, InputError), match=r"cut|a part|names every layer"):
            prepare_split("reference", program, host)
        return
    wanted = prepare("reference", program).run(inputs)
    got = runtime.run(inputs)
    np.testing.assert_array_equal(got.scores, wanted.scores)
    assert (got.decisions is None) == (wanted.decisions is None)
    if wanted.decisions is not None:
        np.testing.assert_array_equal(got.decisions, wanted.decisions)


@pytest.mark.parametrize("name", ["cnv-w1a1", "cnv-w2a2", "lfc-w1a2"])
def test_each_layer_of_bundled_models(name: str) -> None:
    model = bnn.load(name)
    batch = batches(model.program, 3, seed=1)
    wanted = bnn.Classifier(model).run(batch)
    for layer in layers(model.program):
        clf = bnn.Classifier(model, "cpu", host_layers=[layer.name])
        got = clf.run(batch)
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
        parts = clf.last_run.details["parts"]
        assert [layer.name] in [each["layers"] for each in parts]


def test_any_operation_names_its_layer() -> None:
    program = bnn.load("cnv-w1a1").program
    for name in ("layer3", "layer3_window", "layer6"):
        made = stages(program, as_host_layers([name]))
        assert [each.layers for each in made if each.is_host] == [("layer3",)]
        assert [(each.start, each.end) for each in made] == [
            ("input", "layer2"),
            ("layer2", "layer6"),
            ("layer6", "layer29"),
        ]


def test_many_images_are_run_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "CHUNK_VALUES", 3000)
    model = bnn.load("lfc-w1a1")
    batch = batches(model.program, 7, seed=1)
    clf = bnn.Classifier(model, "cpu", host_layers=["layer5"])
    assert clf._runtime.images_at_once == 2  # type: ignore[attr-defined]
    np.testing.assert_array_equal(clf.scores(batch), bnn.Classifier(model).scores(batch))
    assert clf.scores(batch[:0]).shape == (0, 10)


def small(decided: bool = False) -> Program:
    """Six inputs, four bipolar hidden units, three scores."""
    ops: tuple[Any, ...] = (
        Dot("one", "input", numbers(RANDOM, TERNARY, (4, 6)), TERNARY),
        Threshold("one_act", "one", [[0]] * 4, BIPOLAR, -1, 2),
        Dot("two", "one_act", numbers(RANDOM, TERNARY, (5, 4)), TERNARY),
        Threshold("two_act", "two", [[-1, 1]] * 5, UINT(2)),
        Dot("three", "two_act", numbers(RANDOM, TERNARY, (3, 5)), TERNARY),
    )
    if decided:
        ops = (*ops, ArgMax("class", "three", "highest-positive"))
    return Program(IntegerInput((6,), INT(4)), ops, "three", "class" if decided else None)


SMALL = small()
BATCH = batches(SMALL, 9, seed=2)


def classifier(function: Any, name: str = "two", program: Program = SMALL) -> bnn.Classifier:
    model = bnn.Model(program, ("a", "b", "c"))
    return bnn.Classifier(model, "reference", host_layers={name: function})


@pytest.mark.parametrize("name", ["one", "two", "three"])
@pytest.mark.parametrize("decided", [False, True])
def test_a_function_that_computes_the_layer(name: str, *, decided: bool) -> None:
    program = small(decided)
    made = next(each for each in stages(program, {name: None}) if each.is_host)
    seen = []

    def function(values: NDArray[np.int32]) -> NDArray[np.int64]:
        seen.append((values.dtype, values.shape))
        inputs = made.program.input.check(values)
        edge = made.end if made.end in made.program.edges else made.program.scores
        return evaluate(made.program, inputs)[edge][:, 0, 0, :]

    clf = classifier(function, name, program)
    wanted = bnn.Classifier(clf.model, "reference").run(BATCH)
    for got, other in zip(clf.run(BATCH), wanted, strict=True):
        np.testing.assert_array_equal(got, other)
    assert seen == [(np.dtype(np.int32), (9, *made.program.input.shape))]
    began = time.perf_counter()
    clf.scores(BATCH)
    assert clf.last_run is not None
    assert 0 < clf.last_run.seconds < time.perf_counter() - began
    seen.pop()
    clf.scores(BATCH[:0])  # a function is not called for no images
    assert len(seen) == 1
    with pytest.raises(InputError, match=f"a function computes '{name}'"):
        clf.activations(BATCH)


def test_a_function_between_maps() -> None:
    model = bnn.load("cnv-w1a1")
    batch = batches(model.program, 2, seed=1)

    def pool(values: NDArray[np.int32]) -> NDArray[np.int8]:
        assert values.shape == (2, 28, 28, 64)
        found = values.reshape(2, 14, 2, 14, 2, 64).max(axis=(2, 4))
        return found.astype(np.int8)

    clf = bnn.Classifier(model, "cpu", host_layers={"layer4": pool, "layer17": None})
    np.testing.assert_array_equal(clf.scores(batch), bnn.Classifier(model).scores(batch))
    assert [each["where"] for each in clf.last_run.details["parts"]] == [
        *("host", "function", "host", "host", "host")
    ]


def test_another_function_gives_other_scores() -> None:
    """The function counts, not the layer that it replaces."""
    zeros = classifier(lambda values: np.zeros((len(values), 5), int))
    assert not zeros.scores(BATCH).any()
    assert bnn.Classifier(zeros.model, "reference").scores(BATCH).any()


def _raises(_: Any) -> Any:
    raise KeyError("no such table")


def test_an_added_layer_runs_after_its_layer() -> None:
    """Reversing the hidden units twice changes nothing; once is another network."""
    model = bnn.Model(SMALL, ("a", "b", "c"))
    plain = bnn.Classifier(model, "reference").scores(BATCH)

    def turned(values: NDArray[np.int32]) -> NDArray[np.int32]:
        assert values.shape == (9, 4)
        return values[:, ::-1]

    once = bnn.Classifier(model, "reference", host_layers={"one": bnn.AddedLayer(turned)})
    hidden = evaluate(part(SMALL, end="one_act"), BATCH)["one_act"].reshape(9, 4)
    rest = part(SMALL, "one_act")
    wanted = prepare("reference", rest).run(turned(hidden)).scores
    np.testing.assert_array_equal(once.scores(BATCH), wanted)
    assert (wanted != plain).any()
    twice = bnn.AddedLayer(lambda values: turned(turned(values)))
    both = bnn.Classifier(model, "cpu", host_layers={"one": twice, "two": None})
    np.testing.assert_array_equal(both.scores(BATCH), plain)
    assert [(each["where"], each["layers"]) for each in both.last_run.details["parts"]] == [
        ("host", ["one"]),
        ("function", ["one"]),
        ("host", ["two"]),
        ("host", ["three"]),
    ]
    with pytest.raises(InputError, match="a function computes 'one'"):
        once.activations(BATCH)


def test_an_added_layer_between_maps_and_its_checks() -> None:
    model = bnn.load("cnv-w1a1")
    batch = batches(model.program, 2, seed=1)
    seen = []

    def same(values: NDArray[np.int32]) -> NDArray[np.int32]:
        seen.append(values.shape)
        return values

    for name in ("layer4", "layer11", "layer25"):
        clf = bnn.Classifier(model, host_layers={name: bnn.AddedLayer(same)})
        np.testing.assert_array_equal(clf.scores(batch), bnn.Classifier(model).scores(batch))
    assert seen == [(2, 14, 14, 64), (2, 5, 5, 128), (2, 512)]
    zeros = {"layer4": bnn.AddedLayer(lambda values: 0 * values)}
    with pytest.raises(HostLayerError, match=r"'layer4': .* from 0 to 0; the layer has -1 and \+1"):
        bnn.Classifier(model, host_layers=zeros).scores(batch)


def test_nothing_is_added_after_the_last_layer() -> None:
    added = {"three": bnn.AddedLayer(lambda values: values)}
    with pytest.raises(InputError, match="nothing reads the result of 'three' but you"):
        bnn.Classifier(bnn.Model(SMALL, ("a", "b", "c")), host_layers=added)


def _raises_lines(_: Any) -> Any:
    raise ValueError("one\n  two")


def _asserts(_: Any) -> Any:
    raise AssertionError


WRONG = {
    "raises": (_raises, r"host layer 'two': the function raised KeyError: 'no such table'"),
    "raises lines": (_raises_lines, "the function raised ValueError: one two$"),
    "raises nothing more": (_asserts, "the function raised AssertionError$"),
    "masked": (
        lambda v: np.ma.masked_array(np.full((len(v), 5), 9), mask=True),
        "returned MaskedArray, not an array",
    ),
    "nothing": (lambda _: None, "returned NoneType, not an array"),
    "a list": (lambda v: [[0] * 5] * len(v), "returned list, not an array"),
    "channels": (lambda v: np.zeros((len(v), 4), int), r"returned shape \(9, 4\), not \(9, 5\)"),
    "images": (lambda _: np.zeros((8, 5), int), r"returned shape \(8, 5\), not \(9, 5\)"),
    "a map": (lambda v: np.zeros((len(v), 1, 1, 5), int), r"\(9, 1, 1, 5\), not \(9, 5\)"),
    "real": (lambda v: np.zeros((len(v), 5)), "returned float64, not integers"),
    "truth": (lambda v: np.zeros((len(v), 5), bool), "returned bool, not integers"),
    "objects": (lambda v: np.zeros((len(v), 5), object), "returned object, not integers"),
    "too low": (lambda v: np.full((len(v), 5), -1), r"values from -1 to -1; the layer has 0\.\.2"),
    # two bits could say 3, but the layer never does
    "too high": (lambda v: np.full((len(v), 5), 3), r"values from 3 to 3; the layer has 0\.\.2"),
    "huge": (lambda v: np.full((len(v), 5), 2**64 - 1, np.uint64), "to 18446744073709551615"),
}


@pytest.mark.parametrize(("function", "message"), WRONG.values(), ids=WRONG)
def test_what_a_function_may_not_do(function: Any, message: str) -> None:
    with pytest.raises(HostLayerError, match=message) as refused:
        classifier(function).scores(BATCH)
    assert str(refused.value).startswith("host layer 'two': the function r")
    assert isinstance(refused.value, BnnError)


def test_bipolar_results_have_no_zero() -> None:
    with pytest.raises(HostLayerError, match=r"values from 0 to 0; the layer has -1 and \+1"):
        classifier(lambda v: np.zeros((len(v), 4), int), "one").scores(BATCH)


def test_an_interrupt_is_not_the_functions_error() -> None:
    def stop(_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classifier(stop).scores(BATCH)


@pytest.mark.parametrize(
    ("given_layers", "error", "message"),
    [
        ([], InputError, "names no layer"),
        ({}, InputError, "names no layer"),
        ("two", InputError, r"a list of names: \['two'\]"),
        (7, InputError, "a list of names, or name -> function, not 7"),
        ([["two"]], InputError, "a list of names"),
        ([2], InputError, "a layer's name is a text, not 2"),
        ({"two": bnn.AddedLayer(5)}, InputError, "AddedLayer with one, not AddedLayer"),  # type: ignore[arg-type]
        (
            {"two": 5},
            InputError,
            "'two' is mapped to None .* a function or an AddedLayer with one, not 5",
        ),
        (["four"], UnknownNameError, "no layer is called 'four'; there are: one, two, three"),
        (
            ["two", "two_act"],
            InputError,
            "the layer 'two' is named twice, the second time as 'two_act'",
        ),
        (["one", "two", "three"], InputError, "names every layer"),
    ],
)
def test_wrong_host_layers(given_layers: Any, error: type[BnnError], message: str) -> None:
    with pytest.raises(error, match=message):
        bnn.Classifier(bnn.Model(SMALL, ("a", "b", "c")), host_layers=given_layers)


@pytest.mark.parametrize("option", [{"trace": "x.vcd"}, {"watched": True}])
def test_options_for_one_circuit(option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="is for one circuit"):
        prepare_split("sim", SMALL, {"two": None}, **option)


def test_a_board_needs_a_folder_for_each_part() -> None:
    for build in (None, "one", ["one"], ["a", "b", "c"]):
        with pytest.raises(InputError, match=r"a list of 2 folders.*\(one and three\)"):
            prepare_split("board", SMALL, {"two": None}, build=build)


def test_sequences_are_refused_as_without_host_layers() -> None:
    step = Threshold("next", "input", [[1]], UINT(1))
    scan = Scan("loop", "input", (step,), (Carried("kept", 1, UINT(1), "next"),), "next")
    program = Program(
        IntegerInput((1,), INT(4)), (scan, Dot("last", "loop", [[1]], TERNARY)), "last"
    )
    with pytest.raises(RuntimeUnavailableError, match="reads sequences of columns"):
        prepare_split("cpu", program, {"last": None})


def test_copies_and_comparison() -> None:
    clf = bnn.Classifier("lfc-w1a1", host_layers=["layer5"])
    again = copy.deepcopy(clf)
    assert again == clf
    assert hash(again) == hash(clf)
    assert clf != bnn.Classifier("lfc-w1a1")
    assert clf != bnn.Classifier("lfc-w1a1", host_layers=["layer9"])
    assert "host_layers={'layer5': None}" in repr(clf)


def test_runs_without_an_accelerator_have_no_crossings() -> None:
    clf = bnn.Classifier("lfc-w1a1", host_layers=["layer5"])
    clf.scores(batches(clf.model.program, 2, seed=0))
    details = clf.last_run.details
    assert details["crossings"] == []
    assert [each["where"] for each in details["parts"]] == ["host"] * 3
    assert "cycles" not in details

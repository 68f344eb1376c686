# SPDX-License-Identifier: BSD-3-Clause
"""Scans on the accelerator: scores equal to the reference, every cycle as the planner says."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import bnn
from bnn.errors import BuildError, DriverError
from bnn.formats import lstm_pynq
from bnn.hw.design import build
from bnn.hw.flat import circuit
from bnn.hw.folding import Folding, balanced, choose, dots
from bnn.plan.events import simulate
from bnn.plan.planner import plan
from bnn.program.inputs import IntegerInput
from bnn.program.operations import (
    INPUT,
    Add,
    Carried,
    Concat,
    Dot,
    Multiply,
    Rescale,
    Scan,
    Threshold,
)
from bnn.program.precision import INT, UINT
from bnn.program.program import Program
from bnn.run import prepare_sequence
from hw.foldings import foldings
from support.programs import batches, numbers
from support.sequences import accelerated

UNITS, ROWS = 6, 4


def scan(name: str, source: str = INPUT, *, reverse: bool = False, rows: int = ROWS) -> Scan:
    """A small LSTM without an input gate: a narrow vector and one of 9 bits are carried."""
    random = np.random.default_rng(len(name))
    body = (
        Concat("both", INPUT, "hidden", INT(2)),
        Dot("dot_g", "both", numbers(random, INT(2), (UNITS, rows + UNITS)), INT(2)),
        Threshold("gate", "dot_g", np.sort(random.integers(-8, 8, (UNITS, 5)), axis=1), UINT(3)),
        Dot("dot_n", "both", numbers(random, INT(2), (UNITS, rows + UNITS)), INT(2)),
        Rescale("new", "dot_n", np.ones(UNITS), 1, INT(4), -8, 7, None, "zero"),
        Multiply("kept", "new", "cell", 16),
        Add("sum", "kept", "gate", 17),
        Rescale("next_cell", "sum", np.ones(UNITS), 2, INT(9), -256, 255),
        Threshold("curve", "next_cell", np.tile(np.arange(-20, 20), (UNITS, 1)), UINT(6)),
        Rescale("next_hidden", "curve", random.integers(1, 9, UNITS), 6, INT(2), -2, 1),
    )
    carried = (
        Carried("hidden", UNITS, INT(2), "next_hidden", 1),
        Carried("cell", UNITS, INT(9), "next_cell", -3),
    )
    return Scan(name, source, body, carried, "next_hidden", reverse)


def _sums(source: str, name: str) -> Dot:
    random = np.random.default_rng(3)
    return Dot(name, source, numbers(random, INT(3), (3, UNITS)), INT(3), random.integers(-9, 9, 3))


def _program(*ops: object) -> Program:
    return Program(IntegerInput((ROWS,), INT(2)), ops, ops[-1].name)  # type: ignore[arg-type, attr-defined]


def forward() -> Program:
    return _program(scan("one"), _sums("one", "sums"))


def backward() -> Program:
    return _program(scan("back", reverse=True), _sums("back", "sums"))


def both() -> Program:
    ops = (scan("one"), scan("back", reverse=True), _sums("one", "a"), _sums("back", "b"))
    scaled = Rescale("scores", "sums", np.full(3, 5), 1, INT(8), -128, 127, None, "zero", "wrap")
    return _program(*ops, Add("sums", "a", "b"), scaled)


def stacked() -> Program:
    """A second scan of the same direction reads the first one's results."""
    return _program(scan("one"), scan("two", "one", rows=UNITS), _sums("two", "sums"))


KINDS = {"forward": forward, "backward": backward, "both": both, "stacked": stacked}


@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("kind", KINDS)
def test_scans_equal_the_reference_and_the_planner(kind: str) -> None:
    """Sequences of other lengths follow each other: nothing is left of the one before."""
    program = KINDS[kind]()
    folding = replace(balanced(program, 20), probes="all")
    design = build(program, folding)
    expected = prepare_sequence("reference", program)
    for stall in (0, 60):
        runtime = prepare_sequence("sim", program, folding=folding, stall=stall, quick=True)
        for seed, columns in enumerate((20, 1, 2, 7, 20)):
            inputs = batches(program, columns, seed)
            outputs = runtime.run(inputs)
            np.testing.assert_array_equal(outputs.scores, expected.run(inputs).scores)
            if stall:
                continue
            (start,) = outputs.details["starts"]
            timing = simulate(design, columns)
            assert timing.latency == start["latency"]
            if columns > 1:
                assert timing.mean_interval == start["interval"]
            counted = start["streams"]
            assert timing.stalls == {name: each["stalls"] for name, each in counted.items()}
            assert timing.fills == {name: counted[name]["fill"] for name in timing.fills}


@pytest.mark.usefixtures("simulator")
def test_no_column_at_all_gives_no_scores() -> None:
    program = forward()
    runtime = prepare_sequence("sim", program, folding=balanced(program, 20), quick=True)
    assert runtime.run(batches(program, 0, 1)).scores.shape == (0, 3)


@pytest.mark.usefixtures("simulator")
def test_a_sequence_that_needs_two_starts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from bnn.driver.driver import Driver

    program = forward()
    runtime = prepare_sequence("sim", program, folding=balanced(program, 20), quick=True)
    monkeypatch.setattr(Driver, "largest_batch", property(lambda _: 5))
    runtime.run(batches(program, 5, 1))
    with pytest.raises(DriverError, match=r"the sequence has 6 columns, .* room for 5"):
        runtime.run(batches(program, 6, 1))


def test_the_planner_counts_the_loop() -> None:
    """A column takes as long as its vector needs to come back, which no single block takes."""
    found = plan(both(), on="pynq-z1")
    assert found.timing is not None
    assert found.cycles == simulate(found.design, 8).interval > found.design.cycles
    assert found.cost.dsp > 0


def test_names_of_what_is_in_scans() -> None:
    names = [dot.name for dot in dots(both())]
    forwards, backwards = ["one_dot_g", "one_dot_n", "a"], ["dot_g", "dot_n"]
    assert names == [*forwards, *(f"back_{name}_backward" for name in backwards), "b_backward"]
    made = circuit(both())
    assert [(side.reverse, side.edge) for side in made.sides] == [(False, "a"), (True, "b")]


@pytest.mark.parametrize(
    ("ops", "reason"),
    [
        (
            (scan("one"), scan("back", "one", reverse=True, rows=UNITS), _sums("back", "sums")),
            "back: reads what a scan of the other direction made",
        ),
        (
            (
                *(scan("one"), scan("back", reverse=True), _sums("one", "a"), _sums("back", "b")),
                *(Add("c", "a", "b"), Add("d", "one", "one"), _sums("d", "e"), Add("f", "c", "e")),
            ),
            "c: joins 'a' with both directions",
        ),
        (
            (
                *(
                    scan("one"),
                    scan("back", reverse=True),
                    Dot("i", INPUT, np.ones((6, 4)), INT(2)),
                ),
                *(Add("c", "one", "back"), Add("d", "c", "i")),
            ),
            "d: joins 'i' with both directions",
        ),
    ],
)
def test_what_needs_a_whole_sequence_is_refused_by_name(
    ops: tuple[object, ...], reason: str
) -> None:
    program = _program(*ops)
    with pytest.raises(BuildError) as caught:
        build(program, Folding({}))
    assert str(caught.value).startswith(reason)
    assert str(caught.value).endswith("run it on the cpu runtime")


_SETTINGS = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def _random(seed: int, count: int, *, simulated: bool) -> None:
    built, refused = 0, 0

    @hypothesis.seed(seed)
    @settings(_SETTINGS, max_examples=8 * count)
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        nonlocal built, refused
        program = data.draw(accelerated())
        try:
            dots(program)
        except BuildError:
            refused += built < count
            return
        chosen = data.draw(foldings(program))
        stall = data.draw(st.sampled_from([0, 0, 50]))
        if built == count:
            return
        try:
            design = build(program, chosen)
        except BuildError:
            refused += built < count
            return
        built += 1
        timing = simulate(design, 6)
        if not simulated:
            return
        inputs = batches(program, 6, seed=1)
        runtime = prepare_sequence("sim", program, folding=chosen, stall=stall, quick=True)
        outputs = runtime.run(inputs)
        expected = prepare_sequence("reference", program).run(inputs)
        np.testing.assert_array_equal(outputs.scores, expected.scores)
        if not stall:
            (start,) = outputs.details["starts"]
            assert (timing.latency, timing.mean_interval) == (start["latency"], start["interval"])

    run()
    assert built == count
    assert refused < 4 * count


def test_random_scans_have_no_deadlock() -> None:
    _random(3, 40, simulated=False)


@pytest.mark.usefixtures("simulator")
def test_a_few_random_scans_equal_the_reference() -> None:
    _random(4, 3, simulated=True)


@pytest.mark.hw
@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("seed", [5, 6])
def test_random_scans_equal_the_reference(seed: int) -> None:
    _random(seed, 20, simulated=True)


def test_the_bundled_folding_of_lstm_pynq(data_dir: Path) -> None:
    path = data_dir / "lstm-pynq/headers/W2A2.r_model_fw_bw.hpp.xz"
    if not path.is_file():
        pytest.skip("BNN_DATA has no lstm-pynq/headers")
    program = lstm_pynq.load(path).program
    design = build(program, choose(program, "lstm-w2a2-fast"))
    assert simulate(design, 8).interval == 190


@pytest.mark.hw
@pytest.mark.usefixtures("simulator")
def test_a_line_of_lstm_pynq(data_dir: Path) -> None:
    """All class sums of a line of 520 columns are those of the original; a line takes 0.99 ms."""
    folder = data_dir / "lstm-pynq"
    if not (folder / "expected").is_dir():
        pytest.skip("BNN_DATA has no lstm-pynq/expected")
    model = lstm_pynq.load(folder / "headers/W2A2.r_model_fw_bw.hpp.xz")
    folding = choose(model.program, "lstm-w2a2-fast")
    reader = bnn.LineReader(model, runtime="sim", folding=folding)
    scores = reader.scores(folder / "plain/010077.bin.png", original=True)
    with np.load(folder / "expected/plain-W2A2-010077.npz") as known:
        np.testing.assert_array_equal(scores, known["scores"])
    assert reader.text(scores) == "mally, the process has to be described in"
    timing = simulate(build(model.program, folding), 20)
    cycles = round(100e6 * reader.last_run.seconds)
    sys.stdout.write(f"{len(scores)} columns: {cycles} cycles, {timing.interval} per column\n")
    assert timing.latency + 519 * timing.mean_interval <= cycles
    assert cycles < timing.latency + 519 * timing.mean_interval + 200


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("W4A4", "forward_sums: rounds each product"),
        ("W4A8", "forward_dot_i: rounds each product"),
    ],
)
def test_networks_that_round_products_are_refused(
    data_dir: Path, network: str, reason: str
) -> None:
    path = data_dir / f"lstm-pynq/headers/{network}.r_model_fw_bw.hpp.xz"
    if not path.is_file():
        pytest.skip(f"BNN_DATA has no lstm-pynq/headers/{path.name}")
    with pytest.raises(BuildError, match=reason):
        plan(lstm_pynq.load(path).program)

# SPDX-License-Identifier: BSD-3-Clause
"""What a layer in software costs: the model's arithmetic, its counts, its page and its command.

That its cycles are the simulator's is in ``tests/hw/test_split.py``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.commands.split import named
from bnn.errors import BnnError, PlanError
from bnn.hw.folding import balanced, original
from bnn.plan import arm, split
from bnn.plan.split import Assumed, Circuit, Cut, Software, Whole, pays, software_times, whole_times
from bnn.plan.split_page import page
from bnn.program.cut import Layer, layers, part
from bnn.program.inputs import IntegerInput
from bnn.program.operations import INPUT, Dot, Pool, Threshold, Window
from bnn.program.precision import INT, TERNARY, UINT
from bnn.program.program import Program
from hw.examples import residual
from support.golden import compare

COUNT = arm.Count(1000, 4500, counted=True)  # 2 * 1000 + 4500 cycles: 10 us at 650 MHz
LAYER = Layer("two", ("two", "two_act"))
CUT = Cut(
    LAYER,
    (Circuit("one", 300, 100, True, 8, 16), Circuit("three", 500, 200, True, 16, 8)),
    Software(COUNT, COUNT, 1.0, 0.5),
)
WHOLE = Whole(
    Circuit("one to three", 900, 200, True, 8, 8),
    Software(replace(COUNT, neon=10_000, others=45_000), replace(COUNT, neon=10_000), 10, 5),
)
#: Copies of 48 bytes take 12 us, a start takes 3 us.
ASSUMED = Assumed(copy_mbytes=4.0, call_us=3.0, swap_ms=1.0, batch=100, chunk=10)


def test_one_image() -> None:
    assert CUT.times(ASSUMED).one == pytest.approx(3 + 5 + 10 + 12 + 2 * 3)
    assert whole_times(WHOLE, ASSUMED).one == pytest.approx(9 + 4 + 3)


def test_one_part_after_the_other() -> None:
    first, second = 300 + 99 * 100, 500 + 99 * 200
    wanted = (first + second) / 100 / 100 + 10 + 12 + 2 * 3 / 100
    assert CUT.times(ASSUMED).batch == pytest.approx(wanted)
    assert CUT.lost_us(WHOLE, ASSUMED) == pytest.approx(
        (first + second) / 1e4 - (900 + 99 * 200) / 1e4
    )
    assert CUT.swapped_us(ASSUMED) == pytest.approx(wanted + 2 * 1000 / 100)
    alone = replace(CUT, circuits=CUT.circuits[:1])
    assert alone.swapped_us(ASSUMED) == alone.times(ASSUMED).batch


def test_host_and_chip_at_once() -> None:
    steps = [(300 + 9 * 100) / 100, (500 + 9 * 200) / 100, 10 * (10 + 12) + 2 * 3]
    wanted = (sum(steps) + 9 * max(steps)) / 100
    assert CUT.times(ASSUMED).overlapped == pytest.approx(wanted)
    many = CUT.times(replace(ASSUMED, batch=10**6)).overlapped
    assert many == pytest.approx(max(steps) / 10, rel=1e-3)
    # A batch of one chunk cannot overlap.
    short = replace(ASSUMED, batch=10)
    assert CUT.times(short).overlapped == pytest.approx(CUT.times(short).batch)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, "always"),
        ({"call_us": 50.0}, "batch"),
        ({"call_us": 300.0, "swap_ms": 0.0, "copy_mbytes": 1000.0}, "batch"),
        ({"mhz": 10.0, "copy_mbytes": 400.0, "call_us": 6.0}, "overlap"),
        ({"copy_mbytes": 0.1}, "never"),
        ({"arm_mhz": 1e5, "copy_mbytes": 1e5, "call_us": 0.0}, "never"),  # the ARM is faster
        ({"arm_mhz": 5e3, "copy_mbytes": 1e5, "mhz": 1.0}, "never"),
    ],
)
def test_when_it_pays(change: dict[str, Any], wanted: str) -> None:
    assert pays(CUT, WHOLE, replace(ASSUMED, **change)) == wanted


def test_nearly_free() -> None:
    """The host's ten microseconds are hidden by a chip that takes a hundred."""
    slow = tuple(replace(each, interval=10_000, latency=10_500) for each in CUT.circuits)
    whole = Whole(
        replace(WHOLE.circuit, interval=10_000, latency=11_000),
        Software(replace(COUNT, others=10**6), replace(COUNT, others=10**6), 1, 1),
    )
    assumed = replace(ASSUMED, batch=1000, copy_mbytes=400.0)
    assert pays(replace(CUT, circuits=slow), whole, assumed) == "free"
    assert split.slower(replace(CUT, circuits=slow), whole, assumed) < 1.1


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: 0.0} for name in ("mhz", "arm_mhz", "neon_cycles", "copy_mbytes")),
        {"mhz": float("nan")},
        {"call_us": -1.0},
        {"swap_ms": float("inf")},
        {"batch": 0},
        {"chunk": 0},
        {"batch": 1.5},
    ],
)
def test_assumptions_that_are_none(wrong: dict[str, Any]) -> None:
    name = next(iter(wrong))
    said = {"mhz": "the clock in MHz"}.get(name, name)
    with pytest.raises(PlanError, match=f"^{said} must be a"):
        Assumed(**wrong)


@pytest.mark.parametrize("name", ["cnv-w1a1", "cnv-w1a2", "cnv-w2a2", "lfc-w1a1", "lfc-w1a2"])
def test_every_layer_of_cnv_and_lfc_was_counted(name: str) -> None:
    program = bnn.load(name).program
    ends = [layer.ops[-1] for layer in layers(program)]
    ends[-1] = program.scores
    total = 0.0
    for start, end in zip([INPUT, *ends], ends, strict=False):
        one, many = (arm.count(part(program, start, end), n) for n in (arm.ONE, arm.MANY))
        assert one.counted
        assert many.counted
        assert many.neon + many.others <= one.neon + one.others
        total += one.neon + one.others
    whole = arm.count(part(program, end=program.scores), arm.ONE)
    assert whole.counted
    # Less than its layers: no 16-bit integers between them.
    assert 0.4 * total < whole.neon + whole.others < total


def test_the_estimate_is_as_wrong_as_it_says() -> None:
    """Compared on the layers that were counted."""
    mean, largest = arm.errors()
    wrong = []
    for name in ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2", "lfc-w1a1", "lfc-w1a2"):
        program = bnn.load(name).program
        ends = [layer.ops[-1] for layer in layers(program)]
        ends[-1] = program.scores
        for start, end in zip([INPUT, *ends], ends, strict=False):
            made = part(program, start, end)
            known = arm.count(made, arm.ONE)
            rates = arm._file()
            guess = sum(
                (2 * neon + other) * amount
                for neon, other, amount in zip(
                    rates["neon"], rates["others"], arm.features(made), strict=True
                )
            )
            wrong.append(abs(guess / (2 * known.neon + known.others) - 1))
    assert max(wrong) <= largest + 0.001
    assert np.mean(wrong) < 2 * mean


def test_a_layer_that_was_not_counted_is_estimated() -> None:
    count = arm.count(part(residual(), end="t0"), arm.ONE)
    assert not count.counted
    assert count.others > 0


def test_work_is_counted_by_hand() -> None:
    program = Program(
        IntegerInput((4, 6, 2), UINT(3)),
        (
            Window("w", INPUT, (2, 3)),  # 3 x 4 patches of 12
            Dot("d", "w", np.ones((5, 12), int), INT(4)),
            Threshold("t", "d", np.zeros((5, 3), int), UINT(2)),
            Pool("p", "t", (3, 2), (3, 2)),  # 1 x 2 x 5 of 6 values
            Window("all", "p", (1, 2)),  # the whole map: no copy
            Dot("y", "all", np.ones((7, 10), int), TERNARY),
        ),
        "y",
    )
    bits = 12 * 5 * 12 * 3 * 4 + 7 * 10 * 2 * 2
    assert arm.features(program) == [bits, 48, 7, 12 * 5 * 3, 12 * 12, 10 * 6, 1]


def test_signatures_tell_layers_apart() -> None:
    weights = np.ones((3, 4), int)
    levels = [[1], [2], [3]]
    made = [
        Program(IntegerInput((4,), precision), (dot, Threshold("t", "d", levels, UINT(1))), "t")
        for precision in (INT(4), UINT(4), INT(5))
        for dot in (
            Dot("d", INPUT, weights, TERNARY),
            Dot("d", INPUT, weights, INT(3)),
            Dot("d", INPUT, weights, TERNARY, np.ones(3, int)),
        )
    ]
    assert len({arm.signature(each) for each in made}) == 9


def test_a_cut_through_a_branch_is_refused_with_the_reason() -> None:
    program = residual()
    found = {cut.layer.name: cut for cut in split.cuts(program, balanced(program), ["d0", "d1"])}
    assert found["d0"].software is not None
    assert not found["d0"].refused
    assert "2 edges cross there" in found["d1"].refused
    told = split.as_json(found["d1"], WHOLE, ASSUMED)
    assert told["refused"] == found["d1"].refused
    assert "split_us" not in told


def test_a_part_that_the_hardware_cannot_give_is_refused() -> None:
    program = residual()
    (cut,) = split.cuts(program, balanced(program), ["t1"])
    assert cut.refused.startswith("the part d0 to sum: sum_flat: reads int32 values")


def test_figures_of_lfc() -> None:
    program = bnn.load("lfc-w1a1").program
    whole = split.whole(program, original(program))
    assert (whole.circuit.latency, whole.circuit.interval) == (1565, 512)
    (cut,) = split.cuts(program, original(program), ["layer5"])
    assert [(each.latency, each.interval) for each in cut.circuits] == [(548, 500), (964, 512)]
    assert [(each.bytes_in, each.bytes_out) for each in cut.circuits] == [(784, 128), (128, 128)]
    assert cut.software is not None
    assert cut.software.here_one_us > 0
    assert software_times(whole, Assumed()).batch == whole.software.us(Assumed())


def test_the_page_has_both_languages_and_every_layer() -> None:
    cuts = [CUT, Cut(Layer("<b>", ("<b>",)), refused="<script>")]
    text = page("a & b", WHOLE, cuts, ASSUMED)
    for wanted in ("<title>a &amp; b: one layer in software</title>", "ソフトウェア", "two"):
        assert wanted in text
    assert "<script>" not in text.replace("<script>\nconst root", "")
    assert "&lt;b&gt;: &lt;script&gt;" in text
    assert text.count("<circle") == 2
    compare("split-page", {line: line for line in text.split("<svg", 1)[1].splitlines()})


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, ["split", *words])


def test_the_command(tmp_path: Path) -> None:
    done = invoke("lfc-w1a1", "--json", "-o", str(tmp_path / "page.html"))
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert [each["layer"] for each in told["layers"]] == ["layer1", "layer5", "layer9", "layer13"]
    assert told["assumed"]["batch"] == 1000
    assert told["layers"][0]["pays"] == "always"
    assert "layer13" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_one_layer_in_detail_and_its_parts(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "parts"
    done = invoke("lfc-w1a1", "--layer", "layer7", "--parts", str(folder))
    assert done.exit_code == 0
    assert "layer9 to layer13" in done.stdout
    assert "one part at a time" in done.stdout
    model = bnn.load("lfc-w1a1")
    made = [bnn.load(folder / f"part{number}.bnn") for number in (1, 2, 3)]
    assert made[2].classes == model.classes
    values: Any = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1)).astype(np.uint8)
    wanted = bnn.Classifier(model).scores(values)
    for each in made:
        values = bnn.Classifier(each).scores(values)
    np.testing.assert_array_equal(values, wanted)
    assert dict(made[1].provenance)["where"] == "host"


def test_parts_are_what_the_runtime_would_run() -> None:
    """So a design that was built of a part's file is the one that the board runtime looks for."""
    from bnn.run.stages import stages

    program = bnn.load("lfc-w1a1").program
    made = stages(program, {"layer5": None})
    assert made[2].program == part(program, "layer7")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lfc-w1a1", "--layer", "layer99"), "no layer is called 'layer99'; there are: layer1,"),
        (("lfc-w1a1", "--parts", "x"), "--parts is for one layer"),
        (("lfc-w1a1", "--batch", "0"), "batch must be a whole number from 1 to 1e9"),
        (("lfc-w1a1", "--clock", "-1"), "the clock in MHz must be a number above 0 and below 1e9"),
        (("lfc-w1a1", "--folding", "nothing"), "no such folding"),
        (("lfc-w1a1", "-o", "page.txt"), "page.txt"),
    ],
)
def test_wrong_words(words: tuple[str, ...], message: str) -> None:
    done = invoke(*words)
    assert done.exit_code == 1
    assert isinstance(done.exception, BnnError)
    assert message in str(done.exception)


def test_layers_by_any_of_their_operations() -> None:
    known = layers(bnn.load("lfc-w1a1").program)
    assert named(known, "layer11") == named(known, "layer9")

# SPDX-License-Identifier: BSD-3-Clause
"""The circuit's own edges: read from its streams, equal to the reference, a difference named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import bnn
from bnn.driver.waves import words
from bnn.errors import BuildError, DisagreementError, DriverError
from bnn.hw.design import build
from bnn.hw.folding import Folding
from bnn.model.model import Model
from bnn.program.operations import Add, Pool, Threshold, Window
from bnn.program.program import Program
from bnn.run import prepare
from bnn.run.edges import Difference, first_difference, reference_edges
from hw.examples import RESIDUAL_FOLDING, residual, tfc
from hw.foldings import foldings
from support.programs import Limits, batches, networks

VCD = """$scope module core $end
$var wire 1 ! a_valid $end
$var wire 1 " a_ready $end
$var wire 4 # a_data [3:0] $end
$var wire 4 # b_data [3:0] $end
$var wire 1 $ b_valid $end
$var wire 1 $ b_ready $end
$upscope $end
$enddefinitions $end
#4
1!
0"
b101 #
0$
#5
#6
#7
1"
#8
#9
b110 #
#10
0!
1$
#11
#12
"""


def test_words_pass_where_valid_meets_ready() -> None:
    """At times 7, 9 (the value of then) and, of the other stream, 11."""
    found = words(VCD.splitlines(keepends=True), {"a", "b"})
    assert found == {"a": [5, 6], "b": [6]}


def test_a_missing_signal_is_named() -> None:
    with pytest.raises(ValueError, match="c_data"):
        words(VCD.splitlines(), {"c"})


@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize(
    ("program", "folding"),
    [(residual(), None), (residual(), RESIDUAL_FOLDING), (tfc(), None)],
    ids=["residual", "pixels", "tfc"],
)
def test_a_circuits_edges_equal_the_reference(program: Program, folding: Folding | None) -> None:
    batch = batches(program, 2, seed=3)
    runtime = prepare("sim", program, folding=folding, watched=True, quick=True)
    found = runtime.edges(batch)  # type: ignore[attr-defined]
    assert first_difference(reference_edges(program, batch), found) is None
    kinds = {op.name: type(op) for op in program.ops}
    assert {name for name, kind in kinds.items() if kind in (Threshold, Pool, Add)} <= set(found)
    assert "input" in found
    assert program.scores in found
    assert Window not in {kinds.get(name) for name in found}


@pytest.mark.usefixtures("simulator")
def test_the_first_difference_is_named() -> None:
    """A circuit of another threshold than the program has: its edge and place are named."""
    program = tfc()
    batch = batches(program, 1, seed=3)
    edges = reference_edges(program, batch)
    channel = int(edges["fc1_act"].argmin())  # the first that is -1
    op = program.op("fc1_act")
    assert isinstance(op, Threshold)
    levels = op.thresholds.copy()
    levels[channel] = -9999
    changed = replace(op, thresholds=levels)
    other = replace(program, ops=tuple(changed if each is op else each for each in program.ops))
    runtime = prepare("sim", other, watched=True, quick=True)
    found = first_difference(edges, runtime.edges(batch))  # type: ignore[attr-defined]
    assert found == Difference("fc1_act", (0, 0, 0, channel), -1, 1, 1)
    assert (
        f"fc1_act: 1 values differ; the first one is image 0, row 0, column 0, channel {channel}"
        in str(found)
    )


@pytest.mark.usefixtures("simulator")
def test_a_classifier_compares_and_refuses() -> None:
    model = Model(tfc(), tuple("0123456789"))
    classifier = bnn.Classifier(model, "sim", watched=True, quick=True)
    batch = batches(model.program, 1, seed=3)
    edges = classifier.activations(batch)
    assert list(edges) == list(model.program.edges)
    with pytest.raises(DriverError, match="watched=True"):
        bnn.Classifier(model, "sim", quick=True).activations(batch)
    runtime: Any = classifier._runtime
    wrong = {**runtime.edges(batch)}
    wrong["scores"] = wrong["scores"] + 1
    runtime.edges = lambda _: wrong
    with pytest.raises(DisagreementError, match=r"scores: 10 values differ.*channel 0"):
        classifier.activations(batch)


@pytest.mark.hw
@pytest.mark.usefixtures("simulator")
def test_edges_of_random_programs_equal_the_reference() -> None:
    built = 0

    @hypothesis.seed(5)
    @settings(
        max_examples=30,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        nonlocal built
        program = data.draw(networks(Limits(side=6, channels=6, ops=6, levels=4, patch=120)))
        chosen = data.draw(foldings(program))
        if built == 15:
            return
        try:
            build(program, chosen)
        except BuildError:
            return
        batch = batches(program, 2, seed=1)
        runtime = prepare("sim", program, folding=chosen, watched=True, quick=True)
        found = runtime.edges(batch)  # type: ignore[attr-defined]
        assert first_difference(reference_edges(program, batch), found) is None
        built += 1

    run()
    assert built == 15

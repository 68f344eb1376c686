# SPDX-License-Identifier: BSD-3-Clause
"""`bnn demo`: its parts, with a stand-in for the simulated accelerator."""

from __future__ import annotations

from typing import Any

import pytest

from bnn.classifier import Classifier, Run
from bnn.commands import demo
from bnn.errors import RuntimeUnavailableError


class Chip(Classifier):
    """The cpu in the place of the simulator, with the counts of an accelerator."""

    wrong = 0

    def __init__(self, model: Any, runtime: str, **options: Any) -> None:
        self._simulates = runtime == "sim"
        if self._simulates:
            options.pop("progress")("links", 1.0)
        super().__init__(model, "cpu" if self._simulates else runtime, **options)

    def run(self, images: Any, **options: Any) -> Any:
        """As the cpu does, and what the accelerator's counters would say."""
        scores, classes = super().run(images, **options)
        if self._simulates:
            cycles = {"latency": 1_234, "interval": 512.0}
            self.last_run = Run(len(scores), 0.0, {"starts": [cycles]})
            scores = scores + self.wrong
        return scores, classes

    def scores(self, images: Any, **options: Any) -> Any:
        """See :meth:`run`."""
        return self.run(images, **options)[0]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SHOWN", {"lfc-w1a1": "mnist"})
    monkeypatch.setattr(demo, "REPEATS", 2)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("wrong", [0, 1])
def test_the_parts(monkeypatch: pytest.MonkeyPatch, wrong: int) -> None:
    monkeypatch.setattr(demo, "Classifier", Chip)
    monkeypatch.setattr(Chip, "wrong", wrong)
    first, same, building, second, there, one, stream, more = demo.show()
    assert first.row_count == len(list((demo.SAMPLES / "mnist").glob("*.png")))
    assert second.row_count == 1
    assert same == "\nscores of cpu and reference: equal\n"
    assert building.startswith("building lfc-w1a1's accelerator")
    verdict = "NOT EQUAL" if wrong else "equal"
    assert there == f"\nscores of cpu and simulated accelerator: {verdict}"
    assert one.startswith("one picture: 12.3 us on the accelerator (1234 cycles), ")
    assert stream.startswith("a stream of pictures: 5.12 us each on the accelerator (512 cycles")
    assert more.endswith(" web\n")


@pytest.mark.usefixtures("quick")
def test_without_a_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(model: Any, runtime: str, **options: Any) -> Any:
        if runtime == "sim":
            raise RuntimeUnavailableError("no Verilator here")
        return Classifier(model, runtime, **options)

    monkeypatch.setattr(demo, "Classifier", missing)
    *_, skipped, more = demo.show()
    assert skipped == "skipped: no Verilator here\n"
    assert more.endswith(" web\n")


@pytest.mark.usefixtures("quick")
def test_scores_that_differ_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Classifier):
        def run(self, images: Any, **options: Any) -> Any:
            """The reference is off by one."""
            scores, classes = super().run(images, **options)
            return (scores + 1 if self.runtime == "reference" else scores), classes

    monkeypatch.setattr(demo, "Classifier", Wrong)
    parts = demo.show()
    next(parts)
    assert next(parts) == "\nscores of cpu and reference: NOT EQUAL\n"

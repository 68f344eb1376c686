# SPDX-License-Identifier: BSD-3-Clause
"""Times that are told are those that passed: each step's own, and nothing twice.

The clock is one of ours: it goes on by known seconds at each step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bnn
from bnn.commands import images as images_module
from bnn.commands import main as main_module
from bnn.scale import tables as tables_module
from bnn.scale import work as work_module

READING, COMPUTING, DECODING, WRITING = 3.0, 50.0, 700.0, 9000.0


class Clock:
    """Stands for the module ``time``; it starts long after 0, as a machine's clock does."""

    def __init__(self) -> None:
        self.now = 1e6

    def perf_counter(self) -> float:
        return self.now

    def taking(self, seconds: float, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, after which the clock has gone on."""

        def made(*args: Any, **options: Any) -> Any:
            self.now += seconds
            return function(*args, **options)

        return made

    def each(self, seconds: float, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose items take so long, each."""

        def made(*args: Any, **options: Any) -> Iterator[Any]:
            for item in function(*args, **options):
                self.now += seconds
                yield item

        return made


def pictures(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{i}.png" for i in range(count)]
    for i, path in enumerate(paths):
        drawn = np.full((40, 40), 255, np.uint8)
        drawn[8:32, 12 + i : 16 + i] = 0
        Image.fromarray(drawn).save(path)
    return paths


def test_classify_tells_reading_and_computing_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, found = Clock(), []
    monkeypatch.setattr(main_module, "time", clock)
    monkeypatch.setattr(images_module, "FILES_AT_ONCE", 2)
    reading = clock.each(READING, images_module.read_batches)
    monkeypatch.setattr(images_module, "read_batches", reading)
    run = clock.taking(COMPUTING, bnn.Classifier.run)
    monkeypatch.setattr(bnn.Classifier, "run", run)
    told = lambda *given, **_: found.append(given)  # noqa: E731
    monkeypatch.setattr(main_module, "_print_results", told)
    paths = [str(path) for path in pictures(tmp_path, 5)]
    monkeypatch.setattr(sys, "argv", ["bnn", "classify", "lfc-w1a1", *paths])
    with pytest.raises(SystemExit) as ended:
        main_module.main()
    assert not ended.value.code
    ((_, _, batches, seconds, _),) = found
    assert len(batches) == 3
    assert seconds == 3 * READING


def test_a_shard_tells_its_four_steps_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    clock = Clock()
    (tmp_path / "parts").mkdir()
    shard = work_module.Shard("files", tuple(map(str, pictures(tmp_path, 6))))
    model = tmp_path / "x.bnn"
    bnn.save(bnn.load("lfc-w1a1"), model)
    worker = work_module.Worker(work_module.Job(str(model), "cpu", None, str(tmp_path / "parts")))
    plain = work_module.blocks

    def halves(*given: Any) -> Iterator[Any]:
        for block in plain(*given):
            for part in (slice(0, 2), slice(2, 6)):
                yield work_module.Block(block.names[part], block.given[part])

    monkeypatch.setattr(work_module, "time", clock)
    monkeypatch.setattr(work_module, "blocks", clock.each(READING, halves))
    monkeypatch.setattr(work_module, "decoded", clock.taking(DECODING, work_module.decoded))
    monkeypatch.setattr(work_module, "decide", clock.taking(COMPUTING, work_module.decide))
    monkeypatch.setattr(tables_module, "results", clock.taking(1e5, tables_module.results))
    write = clock.taking(WRITING, work_module.write_whole)
    monkeypatch.setattr(work_module, "write_whole", write)
    done = worker.run(0, shard)
    assert (done.rows, done.errors) == (6, 0)
    assert (done.reading, done.decoding, done.computing) == (
        2 * READING,
        2 * DECODING,
        2 * COMPUTING,
    )
    assert done.writing == WRITING

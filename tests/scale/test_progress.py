# SPDX-License-Identifier: BSD-3-Clause
"""What a run over many pictures says of itself: counts, rate and shares of its time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bnn.scale import running
from bnn.scale.running import Progress
from bnn.scale.work import Done


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    now = SimpleNamespace(at=1e6)
    monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=lambda: now.at))
    return now


def test_what_is_done_is_counted(clock: Any) -> None:
    progress = Progress(5, began=clock.at)
    progress.add(Done(100, 3, 1.0, 2.0, 6.0, 1.0))
    progress.add(Done(50, 0, 0.0, 2.0, 4.0, 4.0))
    clock.at += 20
    assert (progress.done, progress.rows, progress.errors, progress.kept) == (2, 150, 3, 0)
    assert progress.times == {"reading": 1, "decoding": 4, "computing": 10, "writing": 5}
    assert progress.rate == 7.5
    assert progress.line() == (
        "2 of 5 shards, 150 images, 8 images/s "
        "(reading 5 %, decoding 20 %, computing 50 %, writing 25 %), 3 errors"
    )


def test_before_anything_is_done(clock: Any) -> None:
    """Nothing is divided by nothing."""
    progress = Progress(5, began=clock.at)
    assert progress.rate == 0
    assert "0 of 5 shards, 0 images, 0 images/s (reading 0 %" in progress.line()
    progress.add(Done(1, 0))
    assert "(reading 0 %, decoding 0 %, computing 0 %, writing 0 %)" in progress.line()

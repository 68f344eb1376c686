# SPDX-License-Identifier: BSD-3-Clause
"""A session that is recorded is the session, and its replay takes no other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bnn.driver import recorded
from bnn.driver.recorded import Recorder, Replay
from bnn.errors import DriverError


class Bus:
    """A transport that notes every call."""

    largest = 77

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.held: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        answers = {"read": 5, "known": True, "configure": True, "wait": False, "now": {"at": 3}}

        def call(*given: Any) -> Any:
            self.calls.append((name, *given))
            return answers.get(name)

        return call

    def allocate(self, words: int) -> Any:
        number = len(self.held)
        noted = {
            each: lambda each=each: self.calls.append((each, number))
            for each in ("flush", "invalidate", "release")
        }
        memory = np.arange(words, dtype=np.uint64)
        self.held.append(SimpleNamespace(address=4096 * (number + 1), words=memory, **noted))
        return self.held[-1]


def session(bus: Any) -> tuple[Any, ...]:
    """Something of everything; returns what was answered."""
    one, two = bus.allocate(2), bus.allocate(3)
    bus.write(16, 9)
    bus.write_many(32, np.array([1, 2], np.uint32))
    two.words[:] = (7, 8, 1 << 63)
    two.flush()
    read, came = bus.read(20), bus.wait()
    one.invalidate()
    made = (one.address, two.address, read, came, one.words.tolist(), two.words.tolist())
    one.release()
    return made


def test_a_recorder_passes_everything_on() -> None:
    bus = Bus()
    recorder = Recorder(bus)  # type: ignore[arg-type]
    assert recorder.largest == 77
    assert session(recorder) == (4096, 8192, 5, False, [0, 1], [7, 8, 1 << 63])
    recorder.begin(12)
    recorder.end(True, ())
    recorder.forked()
    assert (recorder.known(), recorder.configure(), recorder.now()) == (True, True, {"at": 3})
    many = bus.calls.pop(1)
    assert (many[:2], list(many[2])) == (("write_many", 32), [1, 2])
    assert bus.calls == [
        ("write", 16, 9),
        ("flush", 1),
        ("read", 20),
        ("wait",),
        ("invalidate", 0),
        ("release", 0),
        ("begin", 12),
        ("end", True, ()),
        ("forked",),
        ("known",),
        ("configure",),
        ("now",),
    ]
    assert bus.held[1].words.tolist() == [7, 8, 1 << 63]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    recorder = Recorder(Bus())  # type: ignore[arg-type]
    session(recorder)
    recorder.save(tmp_path / "session.jsonl")
    return tmp_path / "session.jsonl"


def test_a_replay_answers_the_same(kept: Path) -> None:
    replay = Replay(kept)
    assert replay.largest == 77
    assert session(replay) == (4096, 8192, 5, False, [0, 1], [7, 8, 1 << 63])
    assert replay.now() == {"event": 8}
    assert replay.finished()
    assert (replay.known(), replay.configure()) == (True, False)


def test_a_replay_that_is_not_at_its_end(kept: Path) -> None:
    replay = Replay(kept)
    replay.allocate(2)
    assert not replay.finished()


def begun(bus: Any) -> None:
    bus.allocate(2)
    bus.allocate(3)


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda bus: bus.allocate(3), 1),
        (lambda bus: bus.read(16), 1),
        (lambda bus: (begun(bus), bus.write(16, 8)), 3),
        (lambda bus: (begun(bus), bus.write(20, 9)), 3),
        (lambda bus: (begun(bus), bus.write(16, 9), bus.write_many(32, [1])), 4),
        (lambda bus: (begun(bus), bus.wait()), 3),
    ],
)
def test_another_session_is_refused(kept: Path, call: Any, number: int) -> None:
    with pytest.raises(DriverError, match=rf"^event {number}: the driver calls .* instead of"):
        call(Replay(kept))


def test_a_copy_of_other_words_is_refused(kept: Path) -> None:
    replay = Replay(kept)
    replay.allocate(2)
    two = replay.allocate(3)
    replay.write(16, 9)
    replay.write_many(32, [1, 2])
    two.words[:] = (7, 8, 9)
    with pytest.raises(DriverError, match=r"^event 5: the driver calls"):
        two.flush()


def test_a_session_that_has_ended(kept: Path) -> None:
    replay = Replay(kept)
    session(replay)
    with pytest.raises(DriverError, match=r"event 9: .* instead of the recorded \['end'\]"):
        replay.wait()


@pytest.mark.parametrize("text", ["", "[", "3", '["largest"]', '["largest", "x"]', "\xff"])
def test_what_is_no_session(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DriverError, match="is not a recorded session"):
        Replay(path)


def test_the_largest_recording(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MAX_FILE_BYTES", kept.stat().st_size)
    Replay(kept)
    monkeypatch.setattr(recorded, "MAX_FILE_BYTES", kept.stat().st_size - 1)
    with pytest.raises(DriverError, match="is larger than"):
        Replay(kept)

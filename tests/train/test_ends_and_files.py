# SPDX-License-Identifier: BSD-3-Clause
"""How a run's folder is locked, how a run is stopped, and what a checkpoint may hold."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training is not installed (extra `train`)")
fcntl = pytest.importorskip("fcntl", reason="no locks of files here")

from bnn.errors import TrainError  # noqa: E402
from bnn.train import checkpoint, lock  # noqa: E402
from bnn.train.stop import Stopped, stoppable  # noqa: E402

BOTH = (signal.SIGINT, signal.SIGTERM)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with lock.exclusive(tmp_path):
        assert (tmp_path / lock.LOCK).read_text() == str(os.getpid())
        with (
            pytest.raises(TrainError, match=f"process {os.getpid()} is using it; wait until"),
            lock.exclusive(tmp_path),
        ):
            raise AssertionError
    with lock.exclusive(tmp_path):  # it ends with the block
        pass


def test_a_lock_without_a_number(tmp_path: Path) -> None:
    with lock.exclusive(tmp_path):
        (tmp_path / lock.LOCK).write_text("x")
        with (
            pytest.raises(TrainError, match="another process is using it"),
            lock.exclusive(tmp_path),
        ):
            raise AssertionError


def test_further_processes_of_a_run_do_not_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock.exclusive(tmp_path):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with lock.exclusive(tmp_path):
            pass
        monkeypatch.setenv("LOCAL_RANK", "0")
        with pytest.raises(TrainError), lock.exclusive(tmp_path):
            raise AssertionError


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(TrainError, match="cannot be written: No such file"),
        lock.exclusive(tmp_path / "x"),
    ):
        raise AssertionError


@pytest.mark.parametrize(
    "number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EIO]
)
def test_file_systems_without_locks(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    if number == errno.EIO:
        with pytest.raises(TrainError, match="cannot be locked: "), lock.exclusive(tmp_path):
            raise AssertionError
        return
    with lock.exclusive(tmp_path):
        pass


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """Python's own handlers: a test run in the background ignores Ctrl-C."""
    before = {one: signal.getsignal(one) for one in BOTH}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize("number", BOTH)
def test_a_signal_stops_once(number: Any) -> None:
    before = {one: signal.getsignal(one) for one in BOTH}

    def stopped_once() -> None:
        with stoppable():
            assert all(signal.getsignal(one) is not before[one] for one in BOTH)
            try:
                signal.raise_signal(number)
            finally:  # a second one does not interrupt the end
                assert {signal.getsignal(one) for one in BOTH} == {signal.SIG_IGN}
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped) as stopped:
        stopped_once()
    assert stopped.value.signal == number
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert {one: signal.getsignal(one) for one in BOTH} == before


@pytest.mark.usefixtures("usual_signals")
def test_signals_that_are_ignored_stay_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stoppable():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("usual_signals")
def test_other_threads_change_no_handler() -> None:
    before, seen = [signal.getsignal(one) for one in BOTH], []

    def run() -> None:
        with stoppable():
            seen.extend(signal.getsignal(one) for one in BOTH)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == before


# --- checkpoints ---------------------------------------------------------------------


def same(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return bool(
            torch.equal(one, two) and one.dtype == two.dtype and one.stride() == two.stride()
        )
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and one == two


MAPS = torch.arange(120.0).reshape(2, 3, 4, 5)
VALUES: dict[str, Any] = {
    "plain": {"a": 1, "b": 2.5, "c": "text", "d": None, "e": True, 7: -3},
    "nested": {"a": [1, (2, [3, {"x": ()}]), []], "b": {}},
    "tensors": {
        "a": MAPS,
        "b": torch.tensor(3),
        "c": torch.zeros(0),
        "d": torch.ones(2, dtype=torch.bool),
    },
    "orders": {
        "last": MAPS.contiguous(memory_format=torch.channels_last),
        "turned": MAPS.permute(3, 1, 0, 2),
        "bf16": torch.ones(3, dtype=torch.bfloat16),
    },
}


@pytest.mark.parametrize("name", VALUES)
def test_what_was_written_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(checkpoint.to_bytes(VALUES[name]))
    found = checkpoint.read_checkpoint(path)
    if name == "orders":  # dense in memory, in the same order of axes
        assert found["turned"].stride() == MAPS.permute(3, 1, 0, 2).stride()
    assert same(found, VALUES[name])


@pytest.mark.parametrize("value", [{"a": object()}, {"a": {1, 2}}, {(1, 2): 3}, {"a": b"x"}])
def test_what_a_checkpoint_cannot_hold(value: Any) -> None:
    with pytest.raises(TypeError, match="a checkpoint cannot hold a"):
        checkpoint.to_bytes(value)


def test_a_changed_checkpoint_is_refused(tmp_path: Path) -> None:
    data = checkpoint.to_bytes({"a": MAPS, "b": 5})
    path = tmp_path / "x.ckpt"
    for place in range(0, len(data), 97):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with pytest.raises(TrainError, match=f"^{path}: cannot be used: it "):
            checkpoint.read_checkpoint(path)
    path.write_bytes(data[:-1])
    with pytest.raises(TrainError, match="damaged, or another program's file"):
        checkpoint.read_checkpoint(path)
    path.write_bytes(checkpoint.to_bytes([1]))  # type: ignore[arg-type]
    with pytest.raises(TrainError, match="it has no values"):
        checkpoint.read_checkpoint(path)


def test_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.ckpt"
    monkeypatch.setattr(checkpoint, "FORMAT", -1)
    path.write_bytes(checkpoint.to_bytes({"a": 1}))
    monkeypatch.undo()
    with pytest.raises(TrainError, match="written by another version"):
        checkpoint.read_checkpoint(path)


@pytest.mark.parametrize("links", [True, False])
def test_the_previous_checkpoint_is_kept(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:

        def link(*given: Any) -> None:
            if not Path(given[0]).exists():
                raise FileNotFoundError
            raise OSError(errno.EPERM, "no links")

        monkeypatch.setattr(os, "link", link)
    files = checkpoint.CheckpointFiles()
    last, previous = tmp_path / checkpoint.LAST, tmp_path / checkpoint.PREVIOUS
    files.save_checkpoint({"n": 1}, last)
    assert not previous.exists()
    files.save_checkpoint({"n": 2}, last)
    assert [files.load_checkpoint(path)["n"] for path in (last, previous)] == [2, 1]
    files.save_checkpoint({"n": 3}, last)
    assert [files.load_checkpoint(path)["n"] for path in (last, previous)] == [3, 2]
    files.save_checkpoint({"n": 4}, tmp_path / "other.ckpt")
    assert files.load_checkpoint(previous)["n"] == 2
    assert {each.name for each in tmp_path.iterdir()} == {last.name, previous.name, "other.ckpt"}
    files.remove_checkpoint(last)
    files.remove_checkpoint(last)
    assert not last.exists()

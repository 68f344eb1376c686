# SPDX-License-Identifier: BSD-3-Clause
"""What processes are given and give back: those of Ray, for which a module stands, and our own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import asdict
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bnn.errors import BulkError, DataError, RuntimeUnavailableError
from bnn.scale import local, on_ray, running
from bnn.scale.sources import Shard
from bnn.scale.work import Done

SHARDS = [(4, Shard("files", ("a", "b"))), (7, Shard("arrays", ("c",), 3, 9))]


class _Worker:
    """Fails for arrays; else says which shard it had."""

    def __init__(self, job: Any) -> None:
        assert job == "job"

    def run(self, index: int, shard: Shard) -> Done:
        if shard.kind == "arrays":
            raise DataError(f"{shard.name}: bad")
        return Done(index, len(shard.paths), 1.0, 2.0, 3.0, 4.0)


def _module(name: str) -> Any:
    return ModuleType(name)


class _Ray:
    """Computes here; keeps what it was asked."""

    def __init__(self, processors: dict[str, float]) -> None:
        self.begun: list[Any] = []
        self.asked: list[Any] = []
        self.module = _module("ray")
        self.module.is_initialized = lambda: bool(self.begun)
        self.module.init = lambda **given: self.begun.append(given)
        self.module.cluster_resources = lambda: processors
        self.data = _module("ray.data")
        self.data.from_items = self._from_items
        self.module.data = self.data

    def _from_items(self, rows: list[dict[str, Any]], override_num_blocks: int) -> Any:
        self.asked.append(override_num_blocks)

        def mapped(actor: Any, fn_constructor_args: Any, **given: Any) -> Any:
            self.asked.append(given)
            one = actor(*fn_constructor_args)
            return SimpleNamespace(iter_rows=lambda: (one(row) for row in rows))

        return SimpleNamespace(map=mapped)


@pytest.fixture
def ray(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> _Ray:
    made = _Ray(getattr(request, "param", {"CPU": 8.0}))
    monkeypatch.setitem(sys.modules, "ray", made.module)
    monkeypatch.setitem(sys.modules, "ray.data", made.data)
    monkeypatch.setattr(on_ray, "Worker", _Worker)
    return made


JOB: Any = "job"


@pytest.mark.parametrize(
    ("ray", "workers", "together"),
    [({"CPU": 8.0}, None, 2), ({"CPU": 1.0}, None, 1), ({}, None, 1), ({"CPU": 8.0}, 1, 1)],
    indirect=["ray"],
)
def test_ray_is_given_each_shard_once(ray: _Ray, workers: int | None, together: int) -> None:
    run = on_ray.on_ray(workers)
    assert list(run(JOB, [SHARDS[0], (5, SHARDS[0][1])])) == [
        (4, Done(4, 2, 1.0, 2.0, 3.0, 4.0)),
        (5, Done(5, 2, 1.0, 2.0, 3.0, 4.0)),
    ]
    assert ray.asked == [2, {"concurrency": together, "num_cpus": 1}]
    assert ray.begun == [{"log_to_driver": False, "include_dashboard": False}]
    list(run(JOB, SHARDS[:1]))
    assert len(ray.begun) == 1  # it is not begun again


def test_ray_is_not_asked_for_nothing(ray: _Ray) -> None:
    assert list(on_ray.on_ray(None)(JOB, [])) == []
    assert ray.asked == ray.begun == []


def test_an_error_in_ray_is_one_line(ray: _Ray) -> None:
    done = on_ray.on_ray(None)(JOB, SHARDS)
    assert next(done)[0] == 4
    with pytest.raises(BulkError, match=r"^c\[3:9\]: bad$"):
        next(done)
    assert ray.begun


def test_an_actor_says_which_shard_failed() -> None:
    actor = on_ray._Actor.__new__(on_ray._Actor)
    actor._worker = _Worker(JOB)  # type: ignore[assignment]
    row = {"index": 7, **SHARDS[1][1].as_json()}
    assert actor(row) == {"index": 7, "failed": "c[3:9]: bad", **asdict(Done(0, 0))}


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RuntimeUnavailableError, match=r"--engine ray needs the extra ray .*pip"):
        on_ray.on_ray(None)


# --- our own processes ------------------------------------------------------------------


class _Pipe:
    """Gives shards, then ends; keeps what is sent."""

    def __init__(self, shards: list[Any], closes_after: int = 99) -> None:
        self.shards, self.sent, self.left = list(shards), list[Any](), closes_after

    def recv(self) -> Any:
        if not self.shards:
            raise EOFError
        return self.shards.pop(0)

    def send(self, answer: Any) -> None:
        if not self.left:
            raise BrokenPipeError
        self.left -= 1
        self.sent.append(answer)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a process runs, in this one: without its thread and its signals."""
    made: list[Any] = []
    monkeypatch.setattr(signal, "signal", lambda *given: made.append(given))
    thread: Any = SimpleNamespace(start=lambda: made.append("started"))

    def started(**given: Any) -> Any:
        made.append(given)
        return thread

    monkeypatch.setattr(local, "threading", SimpleNamespace(Thread=started))
    monkeypatch.setattr(local, "Worker", _Worker)
    return made


def test_a_process_works_until_its_pipe_ends(here: list[Any]) -> None:
    pipe: Any = _Pipe([*SHARDS, SHARDS[0]])
    local._work(JOB, pipe)
    done = Done(4, 2, 1.0, 2.0, 3.0, 4.0)
    assert pipe.sent == [done, ("DataError", "c[3:9]: bad"), done]
    assert here == [
        (signal.SIGINT, signal.SIG_IGN),
        {"target": local._end_with_parent, "daemon": True},
        "started",
    ]


@pytest.mark.usefixtures("here")
def test_a_process_ends_when_nobody_reads() -> None:
    pipe: Any = _Pipe([SHARDS[0]] * 3, closes_after=1)
    local._work(JOB, pipe)
    assert len(pipe.sent) == 1
    assert len(pipe.shards) == 1


@pytest.mark.parametrize(
    ("reason", "kind", "text"),
    [
        (DataError("one"), DataError, "one"),
        (PermissionError(13, "no"), BulkError, r"\[Errno 13\] no"),
        (ZeroDivisionError("two"), RuntimeError, "ZeroDivisionError: two"),
    ],
)
@pytest.mark.usefixtures("here")
def test_an_error_of_a_process_is_raised_here(
    reason: Exception, kind: type[Exception], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise reason

    monkeypatch.setattr(_Worker, "run", fails)
    pipe: Any = _Pipe(SHARDS[:1])
    local._work(JOB, pipe)
    raised = local._raised(*pipe.sent[0])
    assert type(raised) is kind
    with pytest.raises(kind, match=f"^{text}$"):
        raise raised


@pytest.mark.parametrize("name", ["parse_json", "BnnWarning", "annotations", "nothing"])
def test_other_names_are_not_our_errors(name: str) -> None:
    assert type(local._raised(name, "x")) is RuntimeError


def test_a_process_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Any] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    local._end_with_parent()  # the main process has no parent
    assert not ended
    parent = threading.Thread(target=lambda: ended.append("parent"))
    parent.start()
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    local._end_with_parent()
    assert ended == ["parent", 1]


# --- texts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shard", "name"),
    [
        (Shard("files", ("x/a.png", "x/b.png", "y/c.png")), "3 files, x/a.png to c.png"),
        (Shard("files", ("x/a.png", "y/c.png")), "2 files, x/a.png to c.png"),
        (Shard("files", ("x/a.png",)), "x/a.png"),
        (Shard("arrays", ("x.npz",), 0, 5), "x.npz[0:5]"),
        (Shard("arrays", ("x.npz",), 0, 0), "x.npz[0:0]"),
        (Shard("arrays", ("x.npz",), 5, 12), "x.npz[5:12]"),
    ],
)
def test_a_shard_has_a_name(shard: Shard, name: str) -> None:
    assert shard.name == name


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model": "x"}, "another model"),
        ({"sources": ["x"]}, "other sources"),
        ({"model": "x", "sources": ["x"]}, "another model and other sources"),
    ],
)
def test_results_of_something_else(changes: dict[str, Any], what: str, tmp_path: Any) -> None:
    plan = {"model": "m", "sources": ["s"], "runtime": "cpu"}
    running._begin(tmp_path / "new", plan)
    running._begin(tmp_path / "new", plan)
    running._begin(tmp_path / "new", {**plan, **changes})  # there are no results yet
    running._begin(tmp_path / "new", plan)
    (tmp_path / "new" / "part-00000.parquet").touch()
    with pytest.raises(BulkError, match=f"new: has results of {what}; give a new folder$"):
        running._begin(tmp_path / "new", {**plan, **changes})


def test_a_folder_with_other_files(tmp_path: Any) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    with pytest.raises(BulkError, match="other: holds other files"):
        running._begin(tmp_path / "other", {})
    with pytest.raises(BulkError, match="x: cannot be made: "):
        running._begin(tmp_path / "other" / "x", {})
    (tmp_path / "bad").mkdir()
    for text in ("[]", "{", '"x"', "null"):
        (tmp_path / "bad" / running._PLAN).write_text(text)
        with pytest.raises(BulkError, match="is damaged; give a new folder"):
            running._begin(tmp_path / "bad", {})


def test_parts_of_shards_that_are_no_more(tmp_path: Any) -> None:
    job: Any = SimpleNamespace(part=lambda index: tmp_path / f"part-{index:05}.parquet")
    for name in ("part-00000.parquet", "part-00002.parquet", ".bnn-x.tmp", "other.parquet"):
        (tmp_path / name).touch()
    running._remove_others(tmp_path, job, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "other.parquet", "part-00000.parquet",
    ]  # fmt: skip
    (tmp_path / "part-00001.parquet").touch()
    running._remove_others(tmp_path, job, 1)
    assert not (tmp_path / "part-00001.parquet").exists()

# SPDX-License-Identifier: BSD-3-Clause
"""The engine of this machine: processes of ``concurrent.futures``."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from bnn.errors import BulkError
from bnn.scale.running import Engine
from bnn.scale.sources import Shard
from bnn.scale.work import Done, Job, Worker

#: How often processes may be killed without any shard done in between.
_MAX_BROKEN = 3


def local(workers: int) -> Engine:
    """Return the engine with ``workers`` processes, each with one thread."""

    def run(job: Job, waiting: list[tuple[int, Shard]]) -> Iterator[tuple[int, Done]]:
        left = dict(waiting)
        broken = 0
        while left:
            try:
                for index, done in _round(job, left, min(workers, len(left))):
                    del left[index]
                    broken = 0
                    yield index, done
            except BrokenProcessPool:  # noqa: PERF203  # killed, for example for memory: the others go on
                broken += 1
                if broken == _MAX_BROKEN:
                    name = next(iter(left.values())).name
                    raise BulkError(
                        f"{name}: its process was killed {_MAX_BROKEN} times; is there enough "
                        "memory? Try fewer --workers"
                    ) from None

    return run


def _round(job: Job, left: dict[int, Shard], workers: int) -> Iterator[tuple[int, Done]]:
    """Run shards until all are done, or a process was killed."""
    context = multiprocessing.get_context("spawn")  # threads do not survive a fork
    todo = iter(list(left.items()))
    pool = ProcessPoolExecutor(workers, context, _begin, (job,))
    running: dict[Future[Done], int] = {}
    try:
        while True:
            for index, shard in islice(todo, 2 * workers - len(running)):
                running[pool.submit(_one, index, shard)] = index
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                index = running.pop(future)
                yield index, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


_worker: Worker | None = None


def _begin(job: Job) -> None:
    """Make this process ready."""
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(job)
    atexit.register(_end)


def _end() -> None:
    """Free the runtime before the interpreter ends."""
    global _worker
    _worker = None


def _end_with_parent() -> None:
    """End when the process that began this one was killed: nobody would read the results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _one(index: int, shard: Shard) -> Done:
    assert _worker is not None, "a process begins with _begin"
    return _worker.run(index, shard)

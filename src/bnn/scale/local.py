# SPDX-License-Identifier: BSD-3-Clause
"""The engine of this machine: processes, which get one shard after the other.

Each process has a pipe of its own and shares no lock or queue with other processes. So a process
that is killed at any moment does not stop the others. (``concurrent.futures`` is not used: up to
Python 3.11 it can forget a task that is submitted while a process ends, and then waits for ever.)
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from bnn import errors
from bnn.errors import BnnError, BulkError
from bnn.scale.running import Engine
from bnn.scale.sources import Shard
from bnn.scale.work import Done, Job, Worker

#: After this number of killed processes, without a shard done between them, the run ends.
_MAX_KILLED = 3


def local(workers: int) -> Engine:
    """Return the engine with ``workers`` processes, each with one thread."""

    def run(job: Job, waiting: list[tuple[int, Shard]]) -> Iterator[tuple[int, Done]]:
        todo = list(reversed(waiting))
        hands = [_Hand.start(job) for _ in range(min(workers, len(todo)))]
        killed = 0
        try:
            while True:
                for hand in hands:
                    if hand.shard is None and todo:
                        hand.give(todo.pop())
                busy = [hand for hand in hands if hand.shard is not None]
                if not busy:
                    return
                ready = wait([hand.pipe for hand in busy])
                for hand in [hand for hand in busy if hand.pipe in ready]:
                    assert hand.shard is not None, "it is busy"
                    index, shard = hand.shard
                    done = hand.take()
                    if done is not None:
                        killed = 0
                        yield index, done
                        continue
                    killed += 1
                    if killed == _MAX_KILLED:
                        raise BulkError(
                            f"{shard.name}: its process was killed {_MAX_KILLED} times; is there "
                            "enough memory? Try fewer --workers"
                        )
                    todo.append((index, shard))
                    hands[hands.index(hand)] = _Hand.start(job)
        finally:
            # While an error is raised, nobody waits for what the others do; parts are whole.
            for hand in hands:
                hand.end(now=sys.exc_info()[0] is not None)

    return run


@dataclass(eq=False)
class _Hand:
    """A process of the engine.

    Attributes:
        process, pipe: the process, and the pipe to it.
        shard: (number, shard) that the process works on; None if it is idle.
    """

    process: BaseProcess
    pipe: Connection
    shard: tuple[int, Shard] | None = None

    @classmethod
    def start(cls, job: Job) -> _Hand:
        context = multiprocessing.get_context("spawn")  # threads do not survive a fork
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(job, theirs), daemon=True)
        process.start()
        theirs.close()  # so that the pipe ends when the process does
        return cls(process, ours)

    def give(self, shard: tuple[int, Shard]) -> None:
        self.shard = shard
        try:
            self.pipe.send(shard)
        except OSError:  # it was killed: the pipe is at its end, which `take` sees
            return

    def take(self) -> Done | None:
        """Return what the shard took; None if the process was killed.

        An error that the process reported is raised.
        """
        try:
            found = self.pipe.recv()
        except (EOFError, OSError):
            self.end(now=True)
            return None
        self.shard = None
        if isinstance(found, Done):
            return found
        raise _raised(*found)

    def end(self, *, now: bool) -> None:
        """End the process: at once if ``now``, else after its shard."""
        self.pipe.close()
        if now:
            self.process.kill()
        self.process.join()


def _work(job: Job, pipe: Connection) -> None:
    """Classify shards from ``pipe`` until the pipe ends; this is what a process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker: Worker | None = None
    while True:
        try:
            index, shard = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            worker = worker or Worker(job)
            answer: Done | tuple[str, str] = worker.run(index, shard)
        except Exception as reason:  # the driver raises it
            answer = (
                "OSError" if isinstance(reason, OSError) else type(reason).__name__,
                str(reason),
            )
        try:
            pipe.send(answer)
        except OSError:
            return


def _raised(name: str, text: str) -> Exception:
    """Return the exception that a process reported with the name of its class and its text."""
    kind: object = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, BnnError):
        return kind(text)
    return BulkError(text) if name == "OSError" else RuntimeError(f"{name}: {text}")


def _end_with_parent() -> None:
    """End this process when its parent process has ended: nobody would read the results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

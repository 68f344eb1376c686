# SPDX-License-Identifier: BSD-3-Clause
"""Compute requests that arrive together in one batch; a single request does not wait.

There is no timer: when the runtime is free, all requests that have arrived become one batch. A
batch that takes at most 2 ms on the cpu runtime is computed in the event loop, because passing it
to a thread would take longer than computing it. Other batches are computed in a thread, in which
the core releases the interpreter's lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.run import Outputs
from bnn.serve.models import Served
from bnn.serve.outputs import ready

#: Most images of a batch of several requests. A request with more images is a batch of its own.
MAX_JOINED = 256
#: Most seconds of computing in the event loop, during which no other request is read.
MAX_INLINE_S = 0.002

_Waiting = tuple[NDArray[Any], "asyncio.Future[Outputs]"]


class Batcher:
    """Runs the requests of one model in batches, one batch at a time.

    Args:
        served: the model.
        executor: threads for batches that are not computed in the event loop.
        observe: function that is called with the number of images of each batch.
    """

    def __init__(self, served: Served, executor: Executor, observe: Callable[[int], None]) -> None:
        self.served = served
        self._executor = executor
        self._observe = observe
        self._waiting: list[_Waiting] = []
        self._busy = False
        #: Seconds of one image in recent batches.
        self._seconds = served.seconds

    async def run(self, batch: NDArray[Any]) -> Outputs:
        """Return the outputs for ``batch``, the checked images of one request."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outputs] = loop.create_future()
        self._waiting.append((batch, future))
        if not self._busy:
            self._busy = True
            # After all that is ready now: those requests are in the same batch.
            loop.call_soon(self._begin)
        return await future

    def _begin(self) -> None:
        taken = self._take()
        if not taken:
            self._busy = False
            return
        batches = [batch for batch, _ in taken]
        batch = batches[0] if len(batches) == 1 else np.concatenate(batches)
        self._observe(len(batch))
        if self.served.inline and len(batch) * self._seconds <= MAX_INLINE_S:
            try:
                outputs = self._run(batch)
            except Exception as error:  # to those who wait, as the thread does it
                _fail(taken, error)
            else:
                self._answer(taken, outputs, len(batch))
            asyncio.get_running_loop().call_soon(self._begin)
            return
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._executor, self._run, batch)
        running.add_done_callback(lambda done: self._end(taken, done, len(batch)))

    def _run(self, batch: NDArray[Any]) -> Outputs:
        # Prepared pictures do not change again.
        return self.served.runtime.run(ready(self.served.model, batch))

    def _end(self, taken: list[_Waiting], done: asyncio.Future[Outputs], images: int) -> None:
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            _fail(taken, error or RuntimeError("the server ends"))
        else:
            self._answer(taken, done.result(), images)
        self._begin()

    def _take(self) -> list[_Waiting]:
        """Remove and return the requests of the next batch; skip requests that were cancelled."""
        taken: list[_Waiting] = []
        images = 0
        position = 0
        for position, (batch, future) in enumerate(self._waiting):  # noqa: B007  # used after it
            if future.done():
                continue
            if taken and images + len(batch) > MAX_JOINED:
                break
            taken.append((batch, future))
            images += len(batch)
        else:
            position = len(self._waiting)
        del self._waiting[:position]
        return taken

    def _answer(self, taken: list[_Waiting], outputs: Outputs, images: int) -> None:
        if images:
            self._seconds += (outputs.seconds / images - self._seconds) / 8
        if len(taken) == 1:
            if not taken[0][1].done():
                taken[0][1].set_result(outputs)
            return
        first = 0
        for batch, future in taken:
            own = slice(first, first + len(batch))
            first += len(batch)
            if not future.done():
                decisions = None if outputs.decisions is None else outputs.decisions[own]
                future.set_result(Outputs(outputs.scores[own], decisions, outputs.seconds))


def _fail(taken: list[_Waiting], error: BaseException) -> None:
    for _, future in taken:
        if not future.done():
            future.set_exception(error)

# SPDX-License-Identifier: BSD-3-Clause
"""How a training ends early: by Ctrl-C (SIGINT), or by a request to terminate (SIGTERM)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(KeyboardInterrupt):
    """A signal asked the training to stop.

    Attributes:
        signal: number of the signal; a shell expects the exit code 128 + this number.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


def _stop(number: int, _: FrameType | None) -> None:
    # Only once: a second signal must not interrupt the shutdown that the first one began.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    raise Stopped(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the body, raise :class:`Stopped` on SIGINT and SIGTERM.

    In a thread that is not the main thread this does nothing. Signals that are ignored stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        for one in before:
            if before[one] is not signal.SIG_IGN:  # ignored signals stay ignored, as nohup needs
                signal.signal(one, _stop)
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

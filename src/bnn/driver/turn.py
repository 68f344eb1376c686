# SPDX-License-Identifier: BSD-3-Clause
"""The lock of the accelerator: one start at a time, for all threads and drivers."""

from __future__ import annotations

import threading
import time
import weakref

from bnn.errors import DriverError


class Turn:
    """A lock that records which object and thread hold it; a deleted object no longer holds it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: weakref.ref[object] | None = None
        self._thread = 0

    def take(self, who: object, patience: float = 600.0) -> bool:
        """Wait for the lock; return True if its last holder never released it.

        That is so if the holder was deleted, or if an interrupt stopped it.

        Args:
            patience: seconds to wait for another thread.

        Raises:
            DriverError: this thread holds the lock already with another object, or another thread
                does not release it in time.
        """
        end = time.monotonic() + patience
        me = threading.get_ident()
        with self._changed:
            while self._holder is not None and self._holder() is not None:
                if self._thread == me and self._holder() is who:
                    break  # an interrupt came before it could give it back
                if self._thread == me:
                    raise DriverError(
                        "the accelerator computes for another classifier: wait for its start first"
                    )
                if time.monotonic() > end:
                    raise DriverError(
                        f"another thread has used the accelerator for over {patience:g} s; "
                        "wait for its start there, or end the process"
                    )
                self._changed.wait(1.0)
            lost = self._holder is not None
            self._holder = weakref.ref(who)
            self._thread = me
            return lost

    def holds(self, who: object) -> bool:
        """Return whether ``who`` holds the lock."""
        holder = self._holder
        return holder is not None and holder() is who

    def give(self) -> None:
        """Release the lock."""
        with self._changed:
            self._holder = None
            self._changed.notify()

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
        """Wait for the lock, and take it; return True if its last holder did not release it.

        The last holder did not release the lock if it was deleted, or if an interrupt stopped it.

        Args:
            who: the object that will hold the lock.
            patience: seconds to wait while another thread holds the lock.

        Raises:
            DriverError: another object holds the lock in this thread, or another thread does not
                release the lock in time.
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

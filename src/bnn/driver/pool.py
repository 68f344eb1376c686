# SPDX-License-Identifier: BSD-3-Clause
"""Buffers in the board's reserved memory; unused ones are kept for later, up to :data:`KEPT` bytes.

The reserved memory (CMA, 128 MiB on most images) is shared with everything else on the board. Its
free memory may be in small pieces, so an allocation can fail although enough bytes are free.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.driver.transport import NoRoomError
from bnn.errors import DriverError

#: Bytes of the largest buffer: with larger buffers, an accelerator would hardly be faster.
MAX_BUFFER_BYTES = 8 << 20
#: Most bytes of unused buffers that are kept for later.
KEPT = 16 << 20
#: 64-bit words of a page, the smallest piece of memory.
_PAGE = 512


class BoardBuffer:
    """Physically contiguous memory from ``pynq.allocate``.

    Attributes:
        address: physical address of its first byte, for the accelerator.
        words: uint64 view for the host; it may be longer than requested.
    """

    def __init__(self, buffer: Any, pool: Pool) -> None:
        self._buffer = buffer
        self._pool = pool
        self.is_lent = False
        self.address = int(buffer.device_address)
        self.words: NDArray[np.uint64] = np.asarray(buffer)

    def flush(self) -> None:
        """Write the processor's cache lines of the buffer to memory."""
        _asked(self._buffer.flush, "writing a buffer's cache lines back")

    def invalidate(self) -> None:
        """Invalidate the processor's cache lines of the buffer."""
        _asked(self._buffer.invalidate, "invalidating a buffer's cache lines")

    def release(self) -> None:
        """Give the buffer back to the pool."""
        self._pool.give(self)

    def free(self) -> None:
        """Give the memory back to the board; the buffer must not be used any more."""
        self.words = np.zeros(0, np.uint64)
        with suppress(Exception):  # it is given up, whatever pynq says
            self._buffer.freebuffer()


def _asked(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except Exception as reason:
        said = on_one_line(reason)
        raise DriverError(f"{what} failed (PYNQ says: {said}): restart the board") from reason


def on_one_line(reason: BaseException) -> str:
    """Return an exception's text as one line; the name of its type if it has no text."""
    return " ".join(str(reason).split()) or type(reason).__name__


class Pool:
    """All buffers of one chip: those in use, and idle ones, which are kept for later.

    Args:
        allocate: ``pynq.allocate``.
    """

    def __init__(self, allocate: Callable[..., Any]) -> None:
        self._allocate = allocate
        self._idle: list[BoardBuffer] = []
        # Held here too: a classifier that is deleted in the middle of a start frees nothing that
        # the chip writes to.
        self._taken: list[BoardBuffer] = []
        self._lock = threading.RLock()
        self._tight = False
        self._process = os.getpid()
        self._parents: list[BoardBuffer] = []
        self.trusted = True
        self.is_closed = False

    def take(self, words: int) -> BoardBuffer:
        """Return a buffer of at least ``words`` 64-bit words; an idle one if its size fits.

        Raises:
            NoRoomError: no free piece of the reserved memory is large enough, even after all idle
                buffers were given back to the board.
        """
        with self._lock:
            buffer = self._take(words)
            self._taken.append(buffer)
            return buffer

    def lend(self, words: int) -> BoardBuffer:
        """Return a buffer as :meth:`take` does, which the chip only reads.

        It is the caller's until it is given back: :meth:`settle` does not make it idle.
        """
        with self._lock:
            buffer = self._take(words)
            buffer.is_lent = True
            return buffer

    def _take(self, words: int) -> BoardBuffer:
        size = max(_PAGE, 1 << (words - 1).bit_length())
        buffer = self._idle_of(size, 4 * size)
        if buffer is not None:
            return buffer
        reason = ""
        for wanted in (size, -(-words // _PAGE) * _PAGE):
            buffer, reason = self._new(wanted)
            buffer = buffer or self._idle_of(wanted, None)
            if buffer is None and self._idle:
                self.drop()
                buffer, reason = self._new(wanted)
            if buffer is not None:
                return buffer
        self._tight = True
        raise NoRoomError(
            f"the board's reserved memory has no free piece of {8 * words} bytes ({reason}): "
            "end other programs that use the chip, shut down their notebooks, or restart the board"
        )

    def _idle_of(self, least: int, most: int | None) -> BoardBuffer | None:
        fit = [b for b in self._idle if least <= len(b.words) <= (most or len(b.words))]
        if not fit:
            return None
        best = min(fit, key=lambda b: len(b.words))
        self._idle.remove(best)
        return best

    def _new(self, words: int) -> tuple[BoardBuffer | None, str]:
        try:
            buffer = BoardBuffer(self._allocate(shape=(words,), dtype=np.uint64), self)
            self._tight = False
            return buffer, ""
        except Exception as reason:  # pynq raises RuntimeError, OSError, MemoryError ...
            return None, f"PYNQ says: {on_one_line(reason)}"

    def give(self, buffer: BoardBuffer) -> None:
        """Make ``buffer`` idle, or free it if too many bytes are idle.

        If the chip may still write to it, do nothing: :meth:`settle` does this later.
        """
        with self._lock:
            if buffer.is_lent:
                buffer.is_lent = False
                if self._process != os.getpid():  # in a forked process: it is the parent's
                    self._parents.append(buffer)
                    return
            elif not self.trusted or buffer not in self._taken:
                return
            else:
                self._taken.remove(buffer)
            self._idle.append(buffer)
            # What a smaller request needs must not lie idle.
            most = 0 if self._tight or self.is_closed else KEPT
            while sum(b.words.nbytes for b in self._idle) > most:
                largest = max(self._idle, key=lambda b: len(b.words))
                self._idle.remove(largest)
                largest.free()

    @property
    def busy(self) -> bool:
        """Whether any buffer is in use."""
        return bool(self._taken)

    def settle(self) -> None:
        """Make all buffers idle: the chip was configured again, so it writes to none of them."""
        with self._lock:
            self.trusted = True
            for buffer in list(self._taken):
                self.give(buffer)

    def drop(self) -> None:
        """Give the memory of all idle buffers back to the board."""
        with self._lock:
            while self._idle:
                self._idle.pop().free()

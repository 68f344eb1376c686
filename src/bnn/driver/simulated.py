# SPDX-License-Identifier: BSD-3-Clause
"""The transport to a simulated system: registers, memory and interrupt of the Verilator model."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.driver.transport import Buffer, NoRoomError
from bnn.driver.turn import Turn
from bnn.errors import CacheError, DriverError, RuntimeUnavailableError
from bnn.system import cache

BASE = 0x1000_0000
_PAGE = 4096


def _nothing() -> None:
    """Do nothing: the buffer was given back before."""


class SimulatedBuffer:
    """Part of the simulated memory."""

    def __init__(
        self, address: int, words: NDArray[np.uint64], released: Callable[[], None]
    ) -> None:
        self.address = address
        self.words = words
        self._released = released

    def flush(self) -> None:
        """Do nothing: there is no cache."""

    def invalidate(self) -> None:
        """Do nothing: there is no cache."""

    def release(self) -> None:
        """Give the buffer back: its memory may be used for another buffer."""
        released, self._released = self._released, _nothing
        released()


class SimulatedTransport:
    """A simulated board.

    Args:
        library: the shared library that :func:`bnn.hw.toolchain.verilator.build` returned.
        memory: size in bytes of the memory at the accelerator's bus.
        latency: cycles from a read's address to its first word, and from a write's last word to
            its response.
        stall: percentage of cycles in which each channel of the memory is not ready, 0 to 99.
        seed: seed of the random stalls.
        limit: number of cycles after which :meth:`wait` gives up, for starts for which the driver
            gives no limit.

    Raises:
        DriverError: ``latency`` or ``stall`` is outside its range.
        CacheError: the library or its memory files were changed after they were built.
        RuntimeUnavailableError: the library cannot be loaded here.
    """

    def __init__(
        self,
        library: Path,
        *,
        memory: int = 1 << 26,
        latency: int = 20,
        stall: int = 0,
        seed: int = 1,
        limit: int = 1 << 32,
    ) -> None:
        if not (0 <= latency < 1 << 20 and 0 <= stall < 100):
            raise DriverError(
                f"latency must be from 0 to {(1 << 20) - 1} cycles and stall from 0 to 99 %, "
                f"not {latency} and {stall}"
            )
        self._api = _load(library)
        self._library = library
        self._options = memory, latency, stall, seed
        self._limit = self._usual = limit
        self._turn = Turn()
        self._lost = False
        self.largest = memory // 24 - 2 * _PAGE  # a third: images, the next ones, and results
        self._open()

    def _open(self) -> None:
        memory, latency, stall, seed = self._options
        self._process = os.getpid()
        self._board = self._api.bnn_open(BASE, memory, latency, stall, seed)
        _check(self._library)  # it has read its memory files now
        pointer = self._api.bnn_memory(self._board)
        octets = np.ctypeslib.as_array(pointer, shape=(memory,))
        self._memory = octets.view(np.uint64)
        self._used = 0
        self._live: list[tuple[int, int]] = []  # first byte and end of each buffer in use

    def close(self) -> None:
        """End the simulation; buffers must not be used any more."""
        # In a forked process the simulator's own threads are missing: its end would wait for them.
        if self._board and self._process == os.getpid():
            self._api.bnn_close(self._board)
        self._board = None

    def __del__(self) -> None:
        if getattr(self, "_board", None):
            self.close()

    def begin(self, cycles: int | None) -> None:
        """Reserve the simulation for a start, see :meth:`bnn.driver.transport.Transport.begin`."""
        self._lost |= self._turn.take(self)
        self._limit = self._usual if cycles is None else cycles

    def end(self, well: bool, buffers: Sequence[Buffer] = ()) -> None:
        """Release simulation and ``buffers``, see :meth:`bnn.driver.transport.Transport.end`."""
        if not self._turn.holds(self):
            return
        self._lost |= not well
        for buffer in buffers:
            buffer.release()
        self._turn.give()

    def forked(self) -> None:
        """In a forked process, start a new simulation if a start of the parent was in progress."""
        before, self._turn = self._turn, Turn()
        if before.holds(self):
            self._lost = True
            self._open()

    def known(self) -> bool:
        """Return whether the registers may be read: not between a start that failed and a reset."""
        return not self._lost

    def configure(self) -> bool:
        """Reset the circuit, which then has no parameters; return True."""
        self._api.bnn_reset(self._board)
        self._lost = False
        return True

    def read(self, offset: int) -> int:
        """Return the value of a 32-bit register."""
        return int(self._api.bnn_read(self._board, offset))

    def write(self, offset: int, value: int) -> None:
        """Set a 32-bit register."""
        self._api.bnn_write(self._board, offset, value)

    def write_many(self, offset: int, values: NDArray[np.uint32] | Sequence[int]) -> None:
        """Set one register to many values, one after the other."""
        data = np.ascontiguousarray(values, dtype=np.uint32)
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
        self._api.bnn_write_many(self._board, offset, pointer, len(data))

    def allocate(self, words: int) -> SimulatedBuffer:
        """Return a buffer of ``words`` 64-bit words; it begins at the next page that is not in use.

        After the last page, and whenever no buffer is in use, the first page is the next one.

        Raises:
            NoRoomError: the memory has no piece of ``words`` words that is not in use.
        """
        size = -(-8 * words // _PAGE) * _PAGE
        if size > self._memory.nbytes:
            raise NoRoomError(
                f"{8 * words} bytes exceed the simulated memory of {self._memory.nbytes} bytes"
            )
        if not self._live:
            self._used = 0
        first = self._room(self._used, size)
        if first is None:
            first = self._room(0, size)
        if first is None:
            raise NoRoomError(f"the simulated memory has no free piece of {8 * words} bytes")
        taken = first, first + size
        self._live.append(taken)
        self._used = first + size
        part = self._memory[first // 8 : first // 8 + words]
        return SimulatedBuffer(BASE + first, part, partial(self._give, taken))

    def _give(self, taken: tuple[int, int]) -> None:
        if taken in self._live:  # not if a forked process has opened a simulation of its own
            self._live.remove(taken)

    def lend(self, words: int) -> SimulatedBuffer:
        """Return a buffer, as :meth:`allocate` does."""
        return self.allocate(words)

    def _room(self, first: int, size: int) -> int | None:
        """Return the first unused place of ``size`` bytes from ``first`` on; None if none is."""
        for start, end in sorted(self._live):
            if start < first + size and first < end:
                first = end
        return first if first + size <= self._memory.nbytes else None

    def wait(self) -> bool:
        """Run the clock until the interrupt; return False if the limit of cycles comes first.

        Raises:
            DriverError: the accelerator broke a rule of the memory bus.
        """
        came = bool(self._api.bnn_wait(self._board, self._limit))
        violation = self._api.bnn_violation(self._board).decode()
        if violation:
            raise DriverError(f"the accelerator breaks the bus protocol: {violation}")
        return came

    def now(self) -> dict[str, Any]:
        """Return the clock cycle since power-on."""
        return {"cycle": int(self._api.bnn_cycles(self._board))}

    def trace(self, path: Path) -> None:
        """Write waveforms (VCD) to ``path`` from now on.

        Raises:
            DriverError: the file cannot be written, or the library was built without waveforms.
        """
        if not self._api.bnn_trace(self._board, str(path).encode()):
            raise DriverError(f"{path}: waveforms cannot be written; check this path")

    @contextmanager
    def watched(self, path: Path) -> Iterator[None]:
        """In a ``with`` statement, write waveforms (VCD) of the streams between blocks to ``path``.

        Raises:
            DriverError: the file cannot be written, or the library was built without waveforms.
        """
        if not self._api.bnn_watch(self._board, str(path).encode()):
            raise DriverError(f"{path}: waveforms cannot be written; check this path")
        try:
            yield
        finally:
            self._api.bnn_watch(self._board, None)


def _load(library: Path) -> ctypes.CDLL:
    """Load and return the library; CacheError if it or a file beside it was changed."""
    files = _check(library)
    try:
        return _api(ctypes.CDLL(cache.sealed(library, files[library.name])))
    except (OSError, AttributeError) as reason:
        raise RuntimeUnavailableError(
            f"{library}: the simulator cannot be loaded: {reason}"
        ) from None


def _check(library: Path) -> dict[str, str]:
    wrong = cache.damage(library.parent)
    if wrong is not None:
        raise CacheError(
            f"{library.parent}: the simulator is damaged ({wrong}): prepare the runtime again"
        )
    return cache.digests(library.parent)


def _api(library: ctypes.CDLL) -> ctypes.CDLL:
    board, u32, u64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    signatures = {
        "bnn_open": (board, [u64, u64, u32, u32, u64]),
        "bnn_close": (None, [board]),
        "bnn_reset": (None, [board]),
        "bnn_write": (None, [board, u32, u32]),
        "bnn_write_many": (None, [board, u32, ctypes.POINTER(u32), u64]),
        "bnn_read": (u32, [board, u32]),
        "bnn_wait": (ctypes.c_int, [board, u64]),
        "bnn_trace": (ctypes.c_int, [board, ctypes.c_char_p]),
        "bnn_watch": (ctypes.c_int, [board, ctypes.c_char_p]),
        "bnn_memory": (ctypes.POINTER(ctypes.c_uint8), [board]),
        "bnn_cycles": (u64, [board]),
        "bnn_violation": (ctypes.c_char_p, [board]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library

# SPDX-License-Identifier: BSD-3-Clause
"""The transport to a PYNQ board: ``pynq``'s bitstream, register window, buffers and clock."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.driver.chip import Chip, the_chip, translating
from bnn.driver.pool import MAX_BUFFER_BYTES, BoardBuffer
from bnn.driver.transport import Buffer
from bnn.errors import DriverError
from bnn.hw import registers as reg

#: Seconds after which a start counts as lost, in addition to the time of its cycles.
START_TIMEOUT_S = 60.0


class BoardTransport:
    """One design on the board's chip, which it shares with the other transports of this process.

    The bitstream is loaded at its first use, and again if another one was loaded since then.

    Args:
        bitstream: path of ``bnn.bit``.
        base: address of the first register.
        span: size of the register window in bytes.
        mhz: the highest clock in MHz that the design takes. The chip gets the next lower one
            that its dividers make.

    Raises:
        RuntimeUnavailableError: ``pynq`` is missing or too old, or this is not a PYNQ board.
        DriverError: there is no such bitstream, or another process uses the chip.
    """

    largest = MAX_BUFFER_BYTES // 8

    def __init__(self, bitstream: Path, base: int, span: int, mhz: float) -> None:
        if not bitstream.is_file():
            raise DriverError(f"{bitstream}: no such bitstream; run Vivado on build.tcl beside it")
        self._bitstream = bitstream.absolute()
        self._window = base, span
        self._mhz = mhz
        self._chip = the_chip()
        self._clock_mhz: float | None = None
        self._mmio: Any = None
        self._patience = START_TIMEOUT_S
        self._began = time.monotonic()

    @property
    def clock_mhz(self) -> float:
        """The clock in MHz that the chip has for this design; the design's before the first start.

        It is kept here, because another classifier may have loaded its own design since.
        """
        return self._clock_mhz or self._mhz

    def _mine(self) -> Chip:
        """Return the chip; in a forked process, take its ownership first."""
        if self._chip.process != os.getpid():
            self._chip = the_chip()
            self._mmio = None
        return self._chip

    def begin(self, cycles: int | None) -> None:
        """Reserve the chip for one start, see :meth:`bnn.driver.transport.Transport.begin`."""
        chip = self._mine()
        chip.keep()
        if chip.turn.take(self):
            chip.doubt()
        self._patience = START_TIMEOUT_S + (cycles or 0) / (1e6 * self.clock_mhz)

    def end(self, well: bool, buffers: Sequence[Buffer] = ()) -> None:
        """Release the buffers, then the chip's lock: its next holder may take the buffers."""
        if not self._chip.turn.holds(self):
            return
        if not well:
            self._chip.doubt()
        for buffer in buffers:
            buffer.release()
        self._chip.turn.give()

    def forked(self) -> None:
        """Do nothing: the chip still belongs to the parent, see :meth:`_mine`."""

    def known(self) -> bool:
        """Return whether the chip still has what this process loaded last, at this clock."""
        there = self._chip.holds(self._mhz)
        if there:
            self._clock_mhz = self._chip.clock_mhz
        return there

    def configure(self) -> bool:
        """Set the clock and load the bitstream."""
        self._chip.load(self._bitstream, self._mhz)
        self._clock_mhz = self._chip.clock_mhz
        return True

    def _registers(self) -> Any:
        if self._mmio is None:
            with translating("opening the registers"):
                self._mmio = self._chip.pynq.MMIO(*self._window)
        return self._mmio

    def read(self, offset: int) -> int:
        """Return the value of a 32-bit register."""
        window = self._registers()
        with translating("reading a register"):
            return int(window.read(offset))

    def write(self, offset: int, value: int) -> None:
        """Set a 32-bit register."""
        window = self._registers()
        with translating("writing a register"):
            window.write(offset, value)

    def write_many(self, offset: int, values: NDArray[np.uint32] | Sequence[int]) -> None:
        """Set one register to many values, one after the other."""
        write = self._registers().write
        with translating("writing a register"):
            for value in values:
                write(offset, int(value))

    def allocate(self, words: int) -> BoardBuffer:
        """Return a buffer of the chip's pool."""
        return self._mine().pool.take(words)

    def wait(self) -> bool:
        """Poll the interrupt status register; return False if no interrupt comes in time."""
        end = time.monotonic() + self._patience
        while True:
            # Before the register: a process that was stopped meanwhile still looks once more.
            is_late = time.monotonic() >= end
            if self.read(reg.INTERRUPT_STATUS.offset) & 1:
                return True
            if is_late:
                return False

    def now(self) -> dict[str, Any]:
        """Return the seconds since this transport was opened."""
        return {"seconds": time.monotonic() - self._began}

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
from bnn.hw.patience import LEAST_SECONDS


class BoardTransport:
    """One design on the board's chip; all transports of this process share the chip.

    The design's bitstream is loaded before the design's first start, and again if another bitstream
    was loaded after that.

    Args:
        bitstream: path of ``bnn.bit``.
        base: address of the first register.
        span: size of the register window in bytes.
        mhz: the highest clock in MHz that the design takes. The chip gets the highest clock that
            its dividers can make and that is not above ``mhz``.
        patience: seconds after which a start counts as stuck; None: the time of the cycles that
            :meth:`begin` gets, at the chip's clock, and
            :data:`~bnn.hw.patience.LEAST_SECONDS` more.

    Raises:
        RuntimeUnavailableError: ``pynq`` is missing or too old, or this is not a PYNQ board.
        DriverError: the file ``bitstream`` does not exist, or another process uses the chip.
    """

    largest = MAX_BUFFER_BYTES // 8

    def __init__(
        self,
        bitstream: Path,
        base: int,
        span: int,
        mhz: float,
        patience: float | None = None,
    ) -> None:
        if not bitstream.is_file():
            raise DriverError(f"{bitstream}: no such bitstream; run Vivado on build.tcl beside it")
        self._bitstream = bitstream.absolute()
        self._window = base, span
        self._mhz = mhz
        self._chip = the_chip()
        self._clock_mhz: float | None = None
        self._mmio: Any = None
        self._given = patience
        self._cycles: int | None = None
        self._began = time.monotonic()

    @property
    def clock_mhz(self) -> float:
        """The chip's clock in MHz when it last had this design; before the first start, ``mhz``.

        The number is kept in this object, because another classifier may have loaded another
        design, with another clock, after that.
        """
        return self._clock_mhz or self._mhz

    @property
    def patience(self) -> float:
        """Seconds after which the current start counts as stuck, at the chip's clock now."""
        if self._given is not None:
            return self._given
        return LEAST_SECONDS + (self._cycles or 0) / (1e6 * self.clock_mhz)

    def _mine(self) -> Chip:
        """Return the chip; in a forked process, first make this process the chip's owner."""
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
        self._cycles = cycles

    def end(self, well: bool, buffers: Sequence[Buffer] = ()) -> None:
        """Release ``buffers``, then the chip's lock; do nothing if this transport has no lock.

        The order matters: the next holder of the lock may get the same buffers.
        """
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
        """Return whether the chip still has the bitstream and clock that this process set last.

        They must also be for this design's ``mhz``. False means that the registers must not be
        read.
        """
        there = self._chip.holds(self._mhz)
        if there:
            self._clock_mhz = self._chip.clock_mhz
        return there

    def configure(self) -> bool:
        """Set the chip's clock and load the bitstream; return True."""
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
        """Return a buffer of at least ``words`` 64-bit words from the chip's pool."""
        return self._mine().pool.take(words)

    def lend(self, words: int) -> BoardBuffer:
        """Return a buffer of at least ``words`` 64-bit words that the chip only reads."""
        return self._mine().pool.lend(words)

    def wait(self) -> bool:
        """Poll the interrupt status register; return True when it shows an interrupt.

        Return False if the time limit :attr:`patience` passes first.
        """
        end = time.monotonic() + self.patience
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

# SPDX-License-Identifier: BSD-3-Clause
"""The transport to a PYNQ board: ``pynq``'s bitstream, register window, buffers and clock."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import DriverError, RuntimeUnavailableError
from bnn.hw import registers as reg

#: Seconds that a start may take before it counts as lost.
PATIENCE = 60.0
#: Bytes of the largest buffer: the board's reserved memory is 128 MiB by default.
LARGEST = 1 << 25


class BoardBuffer:
    """Physically contiguous memory from ``pynq.allocate``."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer
        self.address = int(buffer.device_address)
        self.words: NDArray[np.uint64] = np.asarray(buffer)

    def flush(self) -> None:
        """Write the processor's cache back."""
        self._buffer.flush()

    def invalidate(self) -> None:
        """Drop the processor's cache."""
        self._buffer.invalidate()

    def free(self) -> None:
        """Give the memory back."""
        self._buffer.freebuffer()


class BoardTransport:
    """Loads the bitstream, sets the clock, opens the registers.

    Args:
        bitstream: ``bnn.bit``.
        base, span: of the registers.
        mhz: of the accelerator's clock.

    Raises:
        RuntimeUnavailableError: ``pynq`` is missing or this is no board.
        DriverError: there is no such bitstream.
    """

    largest = LARGEST // 8

    def __init__(self, bitstream: Path, base: int, span: int, mhz: float) -> None:
        if not bitstream.is_file():
            raise DriverError(f"{bitstream}: no such bitstream; run Vivado on build.tcl beside it")
        try:
            pynq = importlib.import_module("pynq")
            clocks = importlib.import_module("pynq.ps").Clocks
            pynq.Bitstream(str(bitstream)).download()
            clocks.fclk0_mhz = mhz
            self._mmio = pynq.MMIO(base, span)
        except ImportError as reason:
            raise RuntimeUnavailableError(
                "the board runtime needs a PYNQ board: the package pynq is not installed"
            ) from reason
        except (OSError, RuntimeError, ValueError) as reason:
            raise RuntimeUnavailableError(f"no PYNQ board answers: {reason}") from reason
        self._allocate = pynq.allocate
        self._buffers: dict[int, list[BoardBuffer]] = {}
        self._turn = 0
        self._began = time.monotonic()

    def read(self, offset: int) -> int:
        """A 32-bit register."""
        return int(self._mmio.read(offset))

    def write(self, offset: int, value: int) -> None:
        """Set a 32-bit register."""
        self._mmio.write(offset, value)

    def write_many(self, offset: int, values: NDArray[np.uint32] | Sequence[int]) -> None:
        """Set one register to many values, one after the other."""
        write = self._mmio.write
        for value in values:
            write(offset, int(value))

    def allocate(self, words: int) -> BoardBuffer:
        """A buffer; those of one size are used in turn, four of them."""
        kept = self._buffers.setdefault(words, [])
        if len(kept) < 4:
            kept.append(BoardBuffer(self._allocate(shape=(words,), dtype=np.uint64)))
            return kept[-1]
        self._turn += 1
        return kept[self._turn % len(kept)]

    def wait(self) -> bool:
        """Poll the interrupt status: no interrupt controller is needed."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.read(reg.INTERRUPT_STATUS.offset) & 1:
                return True
        return False

    def now(self) -> dict[str, Any]:
        """Seconds since the bitstream was loaded."""
        return {"seconds": time.monotonic() - self._began}

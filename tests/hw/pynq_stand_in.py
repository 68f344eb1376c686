# SPDX-License-Identifier: BSD-3-Clause
"""A stand-in for ``pynq``: one chip, one reserved memory, one clock, and faults on demand.

The chip is the simulated system of whatever was downloaded last: a download replaces it, so all its
registers and parameters are gone. The reserved memory is one address space in which buffers lie
page by page, first fit, and it can be full or in pieces. A buffer's host side is a cache: without
``flush`` and ``invalidate`` the two sides do not see each other, and fresh memory holds
garbage. Registers without a design of ours at their address hang the bus, as on a Zynq.
"""

from __future__ import annotations

import copy
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnn.driver.simulated import BASE, SimulatedTransport
from bnn.hw import folding as folds
from bnn.hw import registers as reg
from bnn.hw.design import build
from bnn.hw.render import sources
from bnn.hw.toolchain import verilator
from bnn.program.program import Program

PAGE = 4096
GARBAGE = 0xA5A5_5A5A_DEAD_BEEF


class BusHangError(AssertionError):
    """On a board nothing would go on from here."""


class StandIn:
    """The board.

    Attributes:
        reserved: bytes of the reserved memory.
        events: what was asked, in order: ``clock``, ``download``, ``allocate``, ``free``.
        faults: name of a call -> the exception that it raises.
        source_mhz: clock before the whole divider, of which PYNQ takes the nearest; None: any
            clock can be had.
    """

    def __init__(self, reserved: int = 1 << 20) -> None:
        self.reserved = reserved
        self.events: list[str] = []
        self.faults: dict[str, BaseException] = {}
        self.mhz = 50.0
        self.source_mhz: float | None = None
        self.chip: SimulatedTransport | None = None
        self.stuck = False
        self._running = False
        self._programs: dict[str, Program] = {}
        self._libraries: dict[str, Path] = {}
        self._free = [(0, reserved // PAGE)]
        self._buffers: dict[int, int] = {}
        self._downloads = 0
        self.bitfile = "base.bit"

    # ---- what a test says ------------------------------------------------------------------

    def install(self, monkeypatch: pytest.MonkeyPatch, *, without: tuple[str, ...] = ()) -> None:
        """Become the package ``pynq`` of this process, without some of its names."""
        pynq: Any = types.ModuleType("pynq")
        ps: Any = types.ModuleType("pynq.ps")
        pynq.__version__ = "3.0.1"
        pynq.Bitstream, pynq.MMIO, pynq.allocate = self._bitstream(), self._mmio(), self.allocate
        pynq.PL = self._pl()
        ps.Clocks = self._clocks()
        for name in without:
            delattr(ps if name == "Clocks" else pynq, name)
        monkeypatch.setitem(sys.modules, "pynq", pynq)
        monkeypatch.setitem(sys.modules, "pynq.ps", ps)

    def knows(self, folder: Path, program: Program) -> None:
        """``bnn.bit`` in ``folder`` is the design of ``program``."""
        self._programs[str(folder)] = program

    def foreign(self, bitfile: str = "other.bit") -> None:
        """Another notebook downloads a design of its own."""
        self.chip, self.bitfile = None, bitfile
        self._downloads += 1

    def again(self, folder: Path) -> None:
        """Another notebook downloads ``bnn.bit`` of ``folder``: the registers start anew."""
        self._load(str(folder))

    def reserve(self, octets: int) -> Any:
        """Another program takes a part of the reserved memory."""
        return self.allocate((octets // 8,), np.uint64)

    @property
    def used(self) -> int:
        """Bytes of all buffers."""
        return self.reserved - sum(pages for _, pages in self._free) * PAGE

    # ---- what pynq does ----------------------------------------------------------------------

    def _fault(self, name: str) -> None:
        if name in self.faults:
            raise copy.copy(self.faults[name])  # a traceback would keep the classifier alive

    def _load(self, folder: str) -> None:
        if folder not in self._libraries:
            program = self._programs[folder]
            design = build(program, folds.read(Path(folder) / "folding.json", program))
            self._libraries[folder] = verilator.build(sources(design))
        before = self.chip
        self.chip = SimulatedTransport(self._libraries[folder], memory=self.reserved)
        if before is not None:
            self.chip._memory[:] = before._memory  # one memory, whatever the bitstream
        self._running = False
        self._downloads += 1
        self.bitfile = str(Path(folder) / "bnn.bit")

    def _now(self) -> SimulatedTransport:
        if self.chip is None:
            raise BusHangError("no register answers: the processor waits for ever")
        return self.chip

    def _bitstream(board) -> type:  # noqa: N805
        class Bitstream:
            def __init__(self, name: str) -> None:
                self.folder = str(Path(name).parent)

            def download(self) -> None:
                board._fault("download")
                board.events.append("download")
                board._load(self.folder)

        return Bitstream

    def _mmio(board) -> type:  # noqa: N805
        class MMIO:
            def __init__(self, base: int, span: int) -> None:
                board._fault("MMIO")
                assert (base, span) == (0x43C0_0000, 0x1_0000)

            def read(self, offset: int) -> int:
                board._fault("read")
                chip = board._now()
                if offset == reg.INTERRUPT_STATUS.offset and board._running:
                    board._fault("wait")
                    if board.stuck:
                        return 0
                    assert chip.wait()
                    board._running = False
                return chip.read(offset)

            def write(self, offset: int, value: int) -> None:
                assert type(value) is int
                board._fault("write")
                board._now().write(offset, value)
                if offset == reg.CONTROL.offset and value & 1:
                    board._running = True

        return MMIO

    def _clocks(board) -> type:  # noqa: N805
        class Meta(type):
            @property
            def fclk0_mhz(cls) -> float:
                board._fault("clock")
                return board.mhz

            @fclk0_mhz.setter
            def fclk0_mhz(cls, value: float) -> None:
                board._fault("clock")
                board.events.append(f"clock {value:g}")
                source = board.source_mhz
                board.mhz = value if source is None else round(source / round(source / value), 6)

        return Meta("Clocks", (), {})

    def _pl(board) -> type:  # noqa: N805
        class Meta(type):
            @property
            def bitfile_name(cls) -> str:
                return board.bitfile

            @property
            def timestamp(cls) -> str:
                return str(board._downloads)

        return Meta("PL", (), {})

    def allocate(self, shape: tuple[int, ...], dtype: Any, target: Any = None) -> PynqBuffer:
        """First fit, whole pages."""
        self._fault("allocate")
        assert target is None
        assert np.dtype(dtype) == np.uint64
        pages = -(-8 * shape[0] // PAGE)
        for place, (first, size) in enumerate(self._free):
            if size >= pages:
                self._free[place] = (first + pages, size - pages)
                self._buffers[first] = pages
                self.events.append("allocate")
                return PynqBuffer.of(self, first, shape[0])
        raise RuntimeError("Failed to allocate Memory!")

    def free(self, first: int) -> None:
        """Neighbours become one piece again."""
        self.events.append("free")
        pages = self._buffers.pop(first)
        self._fill(first, pages)
        merged: list[tuple[int, int]] = []
        for at, size in sorted([*self._free, (first, pages)]):
            if merged and sum(merged[-1]) == at:
                merged[-1] = (merged[-1][0], merged[-1][1] + size)
            elif size:
                merged.append((at, size))
        self._free = merged

    def _fill(self, first: int, pages: int) -> None:
        if self.chip is not None:
            self.chip._memory[first * PAGE // 8 : (first + pages) * PAGE // 8] = GARBAGE


class PynqBuffer(np.ndarray):
    """What ``pynq.allocate`` gives."""

    board: StandIn | None = None
    first = 0
    device_address = 0

    @classmethod
    def of(cls, board: StandIn, first: int, words: int) -> PynqBuffer:
        buffer = np.full(words, GARBAGE, np.uint64).view(cls)
        buffer.board, buffer.first = board, first
        buffer.device_address = BASE + first * PAGE
        return buffer

    def _memory(self) -> np.ndarray:
        assert self.board is not None, "used after it was freed"
        return self.board._now()._memory[self.first * PAGE // 8 :][: len(self)]

    def flush(self) -> None:
        assert self.board is not None, "used after it was freed"
        self.board._fault("flush")
        self._memory()[:] = self

    def invalidate(self) -> None:
        assert self.board is not None, "used after it was freed"
        self.board._fault("invalidate")
        self[:] = self._memory()

    def freebuffer(self) -> None:
        if self.board is not None:
            self.board._fault("freebuffer")
            self.board.free(self.first)
            self.board = None

    def __del__(self) -> None:
        with suppress(Exception):
            self.freebuffer()


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that raises ``error``."""

    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call

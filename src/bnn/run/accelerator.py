# SPDX-License-Identifier: BSD-3-Clause
"""Run a program on an accelerator, real or simulated, through any transport."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.driver.driver import Driver, Piece
from bnn.errors import DriverError
from bnn.hw.host_packing import Accelerated
from bnn.program.inputs import ready
from bnn.run import Outputs

#: Bytes of images that are copied at a time: the next ones are copied while these are computed.
PIECE_BYTES = 1 << 20

_runtimes: weakref.WeakSet[AcceleratorRuntime] = weakref.WeakSet()


def _forked() -> None:
    """In a forked process, forget the starts of the parent's threads, which do not run in it."""
    for runtime in list(_runtimes):
        runtime.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class AcceleratorRuntime:
    """A program on an accelerator.

    Attributes:
        accelerated: packs inputs and unpacks scores.
        driver: the driver; for asynchronous use, call ``driver.start(images)`` and
            ``driver.wait()``.
    """

    #: Whether the accelerator is simulated.
    simulated = False

    def __init__(self, accelerated: Accelerated, driver: Driver, mhz: float = 100.0) -> None:
        self.accelerated = accelerated
        self.driver = driver
        self._mhz = mhz
        self._one = threading.Lock()
        _runtimes.add(self)

    @property
    def mhz(self) -> float:
        """The accelerator's clock in MHz."""
        return self._mhz

    def forked(self) -> None:
        """Make lock and driver usable in a forked process: forget the parent's starts."""
        self._one = threading.Lock()
        self.driver.forked()

    def run(self, inputs: NDArray[Any]) -> Outputs:
        """Run a batch, see :meth:`bnn.run.Runtime.run`.

        While the accelerator computes a piece of the batch, the host copies the next piece.
        ``seconds`` of the result is cycles / clock, simulated or not. ``details`` has the keys

        - ``cycles``: int, clock cycles of all starts together
        - ``mhz``: float, the clock in MHz
        - ``simulated``: bool, whether the accelerator is simulated
        - ``starts``: list with the counters of each start (:class:`bnn.driver.driver.Report`)
        - ``ledger``: list of the newest copies between host and accelerator after the previous
          run (:mod:`bnn.driver.ledger`)
        - ``copied``: kind of copy -> number of copies and bytes since the runtime was prepared
        - ``in_place``: int, bytes of images that were read where they are, without a copy
        - ``copy_seconds``: float, the host's seconds to copy images and results
        - ``wait_seconds``: float, the host's seconds to wait for the accelerator
        - ``unpack_seconds``: float, the host's seconds to make scores of the results
        - ``simulation_seconds``: float, seconds that the simulator took; only in simulation
        """
        began = time.perf_counter()
        inputs = ready(self.accelerated.design.program.input, inputs)
        with self._one:
            self.driver.check_idle()
            try:
                return self._run(inputs, began)
            except BaseException:
                self.driver.abandon()  # else the driver would refuse every later start
                raise

    def allocate(self, images: int) -> NDArray[np.uint8] | None:
        """Return an array of zeros (images, *shape) in memory that the accelerator reads.

        Fill it in place, and give it, or a part of it, to :meth:`run`: no image is copied. None if
        the accelerator does not read bytes of pictures: then :meth:`run` converts all inputs.

        Raises:
            NoRoomError: memory has no room for so many images.
        """
        if not self.accelerated.reads_pictures:
            return None
        array = self.driver.allocate(images)
        array[:] = 0
        return array.reshape(images, *self.accelerated.design.program.input.shape)

    def _check_sequence(self, columns: NDArray[Any]) -> None:
        """Refuse a sequence that does not fit in one start, which would lose what is carried."""
        most = self.driver.largest_batch
        if len(columns) > most:
            raise DriverError(
                f"the sequence has {len(columns)} columns, but the memory of one start has room "
                f"for {most}; use the cpu runtime"
            )

    def _run(self, inputs: NDArray[Any], began: float) -> Outputs:
        waited, copied, in_place = 0.0, self.driver.copy_seconds, self.driver.in_place
        results: list[NDArray[np.uint64]] = []
        reports: list[dict[str, Any]] = []
        for words, seconds in self._starts(inputs):
            results.append(words)
            waited += seconds
            if self.driver.last_report is not None:
                reports.append(asdict(self.driver.last_report))
        words = np.concatenate(results) if results else np.zeros((0, 1), np.uint64)
        unpacking = time.perf_counter()
        scores, decisions = self.accelerated.finish(words)
        ended = time.perf_counter()
        cycles = sum(report["cycles"] for report in reports)
        seconds = cycles / (1e6 * self.mhz)
        details = {
            "cycles": cycles,
            "mhz": self.mhz,
            "simulated": self.simulated,
            "starts": reports,
            "ledger": self.driver.ledger.news(),
            "copied": self.driver.ledger.totals(),
            "in_place": self.driver.in_place - in_place,
            "copy_seconds": self.driver.copy_seconds - copied,
            "wait_seconds": waited,
            "unpack_seconds": ended - unpacking,
        }
        if self.simulated:
            details["simulation_seconds"] = waited
        host = ended - began - (waited if self.simulated else seconds)
        return Outputs(scores, decisions, seconds, details, max(0.0, host))

    def _starts(self, inputs: NDArray[Any]) -> Iterator[tuple[NDArray[np.uint64], float]]:
        """Yield for each start its results (images, words_out) and the seconds of waiting for it.

        While the accelerator computes a piece of the batch, the next piece is copied.
        """
        piece: Piece | None = None
        is_sequence = bool(self.accelerated.design.sides)
        if is_sequence:
            self._check_sequence(inputs)
        in_place = self.accelerated.reads_pictures and self.driver.is_in_place(inputs)
        whole = is_sequence or in_place
        step = len(inputs) if whole else PIECE_BYTES // self.driver.metadata.image_bytes
        step = max(1, step)
        given, rest = self.accelerated.pack(inputs[:step]), inputs[step:]
        try:
            while len(given):
                used, piece = piece, None
                taken = self.driver.start(given, used)
                given = given[taken:]
                if is_sequence and len(given):
                    self.driver.wait()
                    raise DriverError(
                        f"the memory has room for {taken} columns of the sequence only; use the "
                        "cpu runtime"
                    )
                if not len(given) and len(rest):
                    given, rest = self.accelerated.pack(rest[:step]), rest[step:]
                if len(given):
                    piece = self.driver.stage(given)
                waiting = time.perf_counter()
                words = self.driver.wait()
                yield words, time.perf_counter() - waiting
        finally:
            if piece is not None:
                self.driver.drop(piece)

# SPDX-License-Identifier: BSD-3-Clause
"""The driver: identity, parameters, start, wait, results. It cannot tell simulation from board."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.driver.ledger import Ledger
from bnn.driver.transport import Buffer, Transport
from bnn.errors import DriverError
from bnn.hw import registers as reg


@dataclass(frozen=True)
class Metadata:
    """What the driver must know of a design; ``bnn build`` writes it beside the bitstream.

    Attributes:
        design_id: what the identity register must read.
        words_in, words_out: 64-bit words of an image and of its result.
        parameter_writes: of a complete load; 0 where parameters are baked in.
        probes: names of the watched streams in order; empty where none is.
    """

    design_id: int
    words_in: int
    words_out: int
    parameter_writes: int
    probes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Metadata:
        """The opposite of :meth:`as_json`; :class:`DriverError` for anything else."""
        try:
            numbers = [
                values[n] for n in ("design_id", "words_in", "words_out", "parameter_writes")
            ]
            probes = tuple(values["probes"])
        except (KeyError, TypeError) as reason:
            raise DriverError(f"driver metadata lack {reason}") from reason
        if not all(type(n) is int and 0 <= n < 1 << 32 for n in numbers):
            raise DriverError("driver metadata must be whole numbers of 32 bits")
        if not all(isinstance(name, str) for name in probes):
            raise DriverError("driver metadata: probes must be names")
        design, words_in, words_out, writes = numbers
        return cls(design, words_in, words_out, writes, probes)


@dataclass(frozen=True)
class Report:
    """What the accelerator counted during one start.

    Attributes:
        images: of the start.
        cycles: from start to done.
        latency: from start to the first result.
        interval: mean cycles from one result to the next; ``cycles`` for one image.
        streams: name -> words, stalls (valid, not ready), starves (ready, not valid), level
            (highest number of words in the FIFO that feeds it); empty without probes.
    """

    images: int
    cycles: int
    latency: int
    interval: float
    streams: dict[str, dict[str, int]]


#: Loads of one memory: (value of PARAMETER_TARGET, data words).
Loads = Iterable[tuple[int, NDArray[np.uint32]]]


class Driver:
    """An accelerator behind a transport.

    Raises:
        DriverError: what answers is no accelerator of ours, or another design.
    """

    def __init__(self, transport: Transport, metadata: Metadata) -> None:
        self.transport = transport
        self.metadata = metadata
        self.ledger = Ledger()
        self._running: tuple[int, Buffer] | None = None
        identity = transport.read(reg.IDENTITY_REGISTER.offset)
        if identity != reg.IDENTITY:
            raise DriverError(
                f"no accelerator answers: its identity reads 0x{identity:08x}, "
                f"not 0x{reg.IDENTITY:08x}; is the bitstream loaded?"
            )
        design = transport.read(reg.DESIGN_ID.offset)
        if design != metadata.design_id:
            raise DriverError(
                f"the accelerator is another design: 0x{design:08x}, not 0x{metadata.design_id:08x}"
            )

    @property
    def largest_batch(self) -> int:
        """Most images of one start."""
        return max(
            1, self.transport.largest // max(self.metadata.words_in, self.metadata.words_out)
        )

    def load(self, loads: Loads) -> None:
        """Copy all parameters to the accelerator, once."""
        self._idle()
        size = 0
        self.transport.write(reg.PARAMETER_COUNT.offset, 0)
        for target, data in loads:
            self.transport.write(reg.PARAMETER_TARGET.offset, target)
            self.transport.write_many(reg.PARAMETER_DATA.offset, data)
            size += 4 * len(data)
        count = self.transport.read(reg.PARAMETER_COUNT.offset)
        if count != self.metadata.parameter_writes:
            raise DriverError(
                f"{count} parameter words arrived, the design takes "
                f"{self.metadata.parameter_writes}"
            )
        self.ledger.add("parameters", size, self.transport.now())

    def run(self, images: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Packed images (N, words_in) to packed results (N, words_out)."""
        self.start(images)
        return self.wait()

    def start(self, images: NDArray[np.uint64]) -> None:
        """Copy images in and start; :meth:`wait` gives their results."""
        self._idle()
        count = len(images)
        source = self.transport.allocate(max(1, images.size))
        target = self.transport.allocate(max(1, count * self.metadata.words_out))
        source.words[: images.size] = images.reshape(-1)
        source.flush()
        if count:
            self.ledger.add("images", images.nbytes, self.transport.now())
        self._running = (count, target)
        self.start_raw(source.address, target.address, count)

    def start_raw(self, source: int, target: int, images: int) -> None:
        """Set the registers and start; nothing is looked at."""
        write = self.transport.write
        write(reg.SOURCE_LOW.offset, source & 0xFFFFFFFF)
        write(reg.SOURCE_HIGH.offset, source >> 32)
        write(reg.TARGET_LOW.offset, target & 0xFFFFFFFF)
        write(reg.TARGET_HIGH.offset, target >> 32)
        write(reg.IMAGES.offset, images)
        write(reg.INTERRUPT_ENABLE.offset, 1)
        write(reg.CONTROL.offset, reg.CONTROL_BITS["START"])

    def wait(self) -> NDArray[np.uint64]:
        """Results (N, words_out) of the start before."""
        if self._running is None:
            raise DriverError("nothing was started")
        count, target = self._running
        self._running = None
        self.wait_raw()
        target.invalidate()
        words = target.words[: count * self.metadata.words_out].copy()
        self.ledger.add("results", words.nbytes, self.transport.now())
        return words.reshape(count, self.metadata.words_out)

    def wait_raw(self) -> None:
        """Wait for the end of a start; :class:`DriverError` says what the error flag says."""
        ended = self.transport.wait()
        control = self.transport.read(reg.CONTROL.offset)
        self.transport.write(reg.INTERRUPT_STATUS.offset, 1)
        error = self.transport.read(reg.ERROR.offset)
        if error:
            texts = [text for bit, text in reg.ERROR_TEXTS.items() if error & bit]
            raise DriverError(f"the accelerator reports: {'; '.join(texts)}")
        if not ended or not control & reg.CONTROL_BITS["DONE"]:
            raise DriverError("the accelerator does not finish")

    def report(self) -> Report:
        """Counters of the last start."""
        images = self.transport.read(reg.IMAGES.offset)
        cycles = self._wide(reg.CYCLES_LOW, reg.CYCLES_HIGH)
        first = self._wide(reg.FIRST_LOW, reg.FIRST_HIGH)
        last = self._wide(reg.LAST_LOW, reg.LAST_HIGH)
        interval = (last - first) / (images - 1) if images > 1 else float(cycles)
        streams = {name: self._probe(number) for number, name in enumerate(self.metadata.probes)}
        return Report(images, cycles, first, interval, streams)

    def _probe(self, number: int) -> dict[str, int]:
        counts = {}
        for place, what in enumerate(("words", "stalls", "starves", "level")):
            self.transport.write(reg.PROBE.offset, number << 2 | place)
            counts[what] = self.transport.read(reg.PROBE_VALUE.offset)
        return counts

    def _wide(self, low: reg.Register, high: reg.Register) -> int:
        return self.transport.read(low.offset) | self.transport.read(high.offset) << 32

    def _idle(self) -> None:
        if self._running is not None:
            raise DriverError("the start before has not been waited for")


def chunked(words: Sequence[Sequence[int]], bits: int) -> NDArray[np.uint32]:
    """Parameter words [fold][PE] as bus data, uint32 (PE, chunks, folds)."""
    chunks = -(-bits // 32)
    size = 4 * chunks
    raw = b"".join(word.to_bytes(size, "little") for row in words for word in row)
    data = np.frombuffer(raw, "<u4").reshape(len(words), len(words[0]), chunks)
    return data.transpose(1, 2, 0)

# SPDX-License-Identifier: BSD-3-Clause
"""The driver: identity, parameters, start, wait, results; the same for simulation and board.

The driver does not rely on what it loaded before. Before each start it reads which design and
parameters the chip has, and loads its own design and parameters if the chip has others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.driver.arrays import Arrays
from bnn.driver.ledger import Ledger
from bnn.driver.transport import Buffer, NoRoomError, Transport
from bnn.errors import DriverError
from bnn.hw import registers as reg
from bnn.hw.loading import Loads, Metadata, parameter_fingerprint


@dataclass(frozen=True)
class Report:
    """What the accelerator counted during one start.

    Attributes:
        images: number of images of the start.
        cycles: clock cycles from start to done.
        latency: clock cycles from start to the first result.
        interval: mean clock cycles from one result to the next; ``cycles`` if there was one image.
        streams: name of each stream with a probe -> its counters; empty if the design has no
            probes. ``words``: words that passed; ``stalls``: cycles in which a word was offered,
            but not taken; ``starves``: cycles in which a word could be taken, but none was offered;
            ``fill``: largest number of words in the FIFO before the stream.
    """

    images: int
    cycles: int
    latency: int
    interval: float
    streams: dict[str, dict[str, int]]


@dataclass(frozen=True, eq=False)
class Parameters:
    """All parameters of a loadable design, and the number that identifies them in a register."""

    loads: tuple[tuple[int, NDArray[np.uint32]], ...]
    fingerprint: int

    @classmethod
    def of(cls, loads: Loads) -> Parameters:
        """Return ``loads`` with their :func:`~bnn.hw.loading.parameter_fingerprint`."""
        kept = tuple((target, np.ascontiguousarray(data, "<u4")) for target, data in loads)
        return cls(kept, parameter_fingerprint(kept))


@dataclass(frozen=True, eq=False)
class Piece:
    """Images that are in the accelerator's memory already, for a start that comes later.

    Attributes:
        images: number of images.
        address: address of the first byte, for the accelerator.
        buffer: the buffer that they were copied to; None if they are used where they are.
        array: the array that the caller gave, which must not be deleted before the start ends.
    """

    images: int
    address: int
    buffer: Buffer | None
    array: NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Start:
    """A start of the accelerator whose results have not been collected yet."""

    piece: Piece
    target: Buffer
    cycles: int | None

    @property
    def images(self) -> int:
        return self.piece.images


class Driver:
    """An accelerator that is reached through a transport.

    Args:
        transport: access to the accelerator.
        metadata: properties of the design.
        max_cycles: function from the number of images of a start to a number of clock cycles; a
            start that takes more cycles must be stuck. None: the transport has its own time limit.

    Attributes:
        last_report: the counters of the last start that ended normally; None before the first one.
        copy_seconds: the host's seconds for all copies of images and results.
        in_place: bytes of images that were read from arrays of :meth:`allocate`, without a copy.

    Raises:
        DriverError: no accelerator of this package answers, or the accelerator has another design
            and cannot be configured.
    """

    def __init__(
        self,
        transport: Transport,
        metadata: Metadata,
        max_cycles: Callable[[int], int] | None = None,
    ) -> None:
        self.transport = transport
        self.metadata = metadata
        self.ledger = Ledger()
        self._most_cycles = max_cycles
        self.last_report: Report | None = None
        self._running: _Start | None = None
        self._held: list[Buffer] = []
        self._parameters: Parameters | None = None
        self._arrays = Arrays()
        self.copy_seconds = 0.0
        self.in_place = 0
        with self._turn():
            self._ensure_design()

    @property
    def largest_batch(self) -> int:
        """Largest number of images in one start that copies them."""
        by_input = 8 * self.transport.largest // self.metadata.image_bytes
        return max(1, min(by_input, self.transport.largest // self.metadata.words_out))

    def allocate(self, images: int) -> NDArray[np.uint8]:
        """Return bytes for ``images`` images in memory that the accelerator reads, without a copy.

        They stay until the array and all its views are deleted. Their contents are undefined.

        Raises:
            NoRoomError: memory has no room for so many images.
        """
        words = max(1, self.metadata.input_words(images))
        return self._arrays.of(self.transport.lend(words))[: images * self.metadata.image_bytes]

    def is_in_place(self, images: NDArray[Any]) -> bool:
        """Return whether a start reads ``images`` where they are, without a copy."""
        return self._arrays.find(images) is not None

    def load(self, loads: Loads) -> None:
        """Copy all parameters to the accelerator; this driver's later starts use them."""
        self.check_idle()
        parameters = Parameters.of(loads)
        with self._turn():
            self._ensure_design()
            self._write_parameters(parameters)
        self._parameters = parameters

    @contextmanager
    def _turn(self) -> Iterator[None]:
        well = False
        try:
            self.transport.begin(None)
            yield
            well = True
        finally:
            self.transport.end(well)

    def _ensure_design(self) -> None:
        """Make sure that the chip has this design and is idle; if it is not so, load the design."""
        known = self.transport.known()
        wrong = self._unlike() if known else "it was not configured"
        if wrong is None:
            return
        if self.transport.configure():
            wrong = self._unlike()
        if wrong is not None:
            raise DriverError(wrong)

    def _unlike(self) -> str | None:
        """Return the reason why the accelerator cannot start now; None if it can."""
        identity = self.transport.read(reg.IDENTITY_REGISTER.offset)
        if identity != reg.IDENTITY:
            return (
                f"no accelerator answers: its identity reads 0x{identity:08x}, "
                f"not 0x{reg.IDENTITY:08x}; is the bitstream loaded?"
            )
        design = self.transport.read(reg.DESIGN_ID.offset)
        if design != self.metadata.design_id:
            return (
                f"the accelerator is another design: 0x{design:08x}, "
                f"not 0x{self.metadata.design_id:08x}; make bnn.bit anew from this folder's sources"
            )
        if self.transport.read(reg.CONTROL.offset) & reg.CONTROL_BITS["START"]:
            return "the accelerator computes something that this process has not started"
        return None

    def _ensure_parameters(self) -> None:
        """Load this driver's parameters if the chip has other parameters."""
        wanted = self._parameters
        if wanted is not None and not self._has(wanted):
            self._write_parameters(wanted)

    def _has(self, parameters: Parameters) -> bool:
        if not self.metadata.parameter_writes:  # constants of the design
            return True
        return self.transport.read(reg.PARAMETER_ID.offset) == parameters.fingerprint

    def _write_parameters(self, parameters: Parameters) -> None:
        size = 0
        self.transport.write(reg.PARAMETER_COUNT.offset, 0)
        for target, data in parameters.loads:
            self.transport.write(reg.PARAMETER_TARGET.offset, target)
            self.transport.write_many(reg.PARAMETER_DATA.offset, data)
            size += 4 * len(data)
        count = self.transport.read(reg.PARAMETER_COUNT.offset)
        if count != self.metadata.parameter_writes:
            raise DriverError(
                f"{count} parameter words arrived, but the design has "
                f"{self.metadata.parameter_writes}; load the parameters of this design"
            )
        self.transport.write(reg.PARAMETER_ID.offset, parameters.fingerprint)
        if not self._has(parameters):
            raise DriverError(
                "the accelerator did not store the fingerprint of its parameters; "
                "load the bitstream again, or restart the board"
            )
        self.ledger.add("parameters", size, self.transport.now())

    def run(self, images: NDArray[Any]) -> NDArray[np.uint64]:
        """Run images (N, ...) in one or more starts; return results (N, words_out)."""
        taken = self.start(images)
        results = [self.wait()]
        while taken < len(images):
            taken += self.start(images[taken:])
            results.append(self.wait())
        return np.concatenate(results)

    def start(self, images: NDArray[Any], piece: Piece | None = None) -> int:
        """Copy images (N, ...) to the accelerator and start it; then call :meth:`wait`.

        Images in an array of :meth:`allocate` are used where they are, without a copy.

        Args:
            images: the images, each with the bytes that the design reads for an image.
            piece: what :meth:`stage` returned for ``images``; they are not copied again.

        Returns:
            Number of images of this start, the first ones of ``images``. It is at most
            :attr:`largest_batch` if they are copied, and smaller if memory is short.

        Raises:
            DriverError: memory has no room for one image, the accelerator cannot start, or
                :meth:`wait` was not called after the previous start.
        """
        self.check_idle()
        cycles = self._most_cycles(self._most(images)) if self._most_cycles else None
        # An error before the start leaves a state that can be read again. An interrupt can come
        # anywhere, between a buffer and its place in a list too.
        well = True
        try:
            self.transport.begin(cycles)
            if piece is not None and piece.buffer is not None:
                self._held.append(piece.buffer)
            self._ensure_design()
            self._ensure_parameters()
            started = self._prepared(images, piece, cycles)
            well = False
            self._running = started
            self.start_raw(started.piece.address, started.target.address, started.images)
        except BaseException as reason:
            self._give_back(well and isinstance(reason, Exception))
            if piece is not None:
                self.drop(piece)
            raise
        return started.images

    def stage(self, images: NDArray[Any]) -> Piece | None:
        """Copy the images (N, ...) of the next start while the current one runs.

        Returns:
            The first images of ``images``, for :meth:`start`; for a start that does not come, call
            :meth:`drop`. None if memory has no room for them now.
        """
        count = self._most(images)
        piece = self._found(images[:count])
        if piece is not None:
            return piece
        try:
            buffer = self.transport.lend(max(1, self.metadata.input_words(count)))
        except NoRoomError:
            return None
        try:
            self._copy_in(images[:count], buffer)
        except BaseException:
            buffer.release()
            raise
        return Piece(count, buffer.address, buffer, images)

    def drop(self, piece: Piece) -> None:
        """Give up a piece of :meth:`stage` that no start used."""
        if piece.buffer is not None:
            piece.buffer.release()

    def abandon(self) -> None:
        """Give up the current start, if there is one, without waiting for it.

        The chip may still compute, so it is configured again before the next start.
        """
        self._give_back(well=False)

    def forked(self) -> None:
        """In a forked process, forget the parent's start: only the parent waits for it."""
        self._running = None
        self._held = []
        self._arrays = Arrays()
        self.transport.forked()

    def _give_back(self, well: bool) -> None:
        self._running = None
        self.transport.end(well, self._held)
        self._held = []

    def _most(self, images: NDArray[Any]) -> int:
        """Return the number of images that one start takes of ``images``."""
        if not self.is_in_place(images):
            return min(len(images), self.largest_batch)
        most = min(len(images), max(1, self.transport.largest // self.metadata.words_out))
        # So that the next start begins with a word too.
        return most if most == len(images) else max(1, most - most % 8)

    def _found(self, images: NDArray[Any]) -> Piece | None:
        """Return images in an array of :meth:`allocate` as a piece; None for other images."""
        place = self._arrays.find(images)
        if place is None:
            return None
        place.buffer.flush()
        self.in_place += images.nbytes
        return Piece(len(images), place.address, None, images)

    def _copy_in(self, images: NDArray[Any], source: Buffer) -> None:
        began = time.perf_counter()
        room = source.words.view(np.uint8)[: images.nbytes]
        # One pass over the bytes, also if the images are not one after the other in memory.
        np.copyto(room.view(images.dtype).reshape(images.shape), images)
        source.flush()
        self.copy_seconds += time.perf_counter() - began
        if len(images):
            self.ledger.add("images", images.nbytes, self.transport.now())

    def _prepared(self, images: NDArray[Any], piece: Piece | None, cycles: int | None) -> _Start:
        """Return a start with its buffers; with fewer images than it could have if memory is short.

        ``piece``: see :meth:`start`; its buffer is held already.
        """
        if piece is None:
            piece = self._found(images[: self._most(images)])
        if piece is not None:
            try:
                target = self._allocate(piece.images * self.metadata.words_out)
                return _Start(piece, target, cycles)
            except NoRoomError:
                while self._held:
                    self._held.pop().release()
        count = min(len(images), self.largest_batch)
        while (buffers := self._both(count)) is None:
            count = -(-count // 2)
        source, target = buffers
        self._copy_in(images[:count], source)
        return _Start(Piece(count, source.address, source, images), target, cycles)

    def _both(self, images: int) -> tuple[Buffer, Buffer] | None:
        """Return buffers for ``images`` images and their results; None if memory has no room.

        Raises:
            NoRoomError: memory has no room for one image.
        """
        try:
            return (
                self._allocate(self.metadata.input_words(images)),
                self._allocate(images * self.metadata.words_out),
            )
        except NoRoomError:
            while self._held:
                self._held.pop().release()
            if images <= 1:
                raise
            return None

    def _allocate(self, words: int) -> Buffer:
        self._held.append(self.transport.allocate(max(1, words)))
        return self._held[-1]

    def start_raw(self, source: int, target: int, images: int) -> None:
        """Write the registers for a start: addresses of both buffers, number of images, start flag.

        The state of the accelerator is not checked before.
        """
        write = self.transport.write
        write(reg.SOURCE_LOW.offset, source & 0xFFFFFFFF)
        write(reg.SOURCE_HIGH.offset, source >> 32)
        write(reg.TARGET_LOW.offset, target & 0xFFFFFFFF)
        write(reg.TARGET_HIGH.offset, target >> 32)
        write(reg.IMAGES.offset, images)
        write(reg.INTERRUPT_ENABLE.offset, 1)
        write(reg.CONTROL.offset, reg.CONTROL_BITS["START"])

    def wait(self) -> NDArray[np.uint64]:
        """Wait for the current start to end, and return its results (N, words_out).

        Raises:
            DriverError: nothing was started, see :meth:`wait_raw`, or the chip was changed
                meanwhile.
        """
        if self._running is None:
            raise DriverError("nothing was started")
        started = self._running
        well = False
        try:
            self.wait_raw(started)
            self._check_unchanged()
            began = time.perf_counter()
            started.target.invalidate()
            words = started.target.words[: started.images * self.metadata.words_out].copy()
            self.copy_seconds += time.perf_counter() - began
            self.ledger.add("results", words.nbytes, self.transport.now())
            self.last_report = self.report()
            well = True
        finally:
            self._give_back(well)
        return words.reshape(started.images, self.metadata.words_out)

    def _check_unchanged(self) -> None:
        """Raise `DriverError` if the chip's design, clock or parameters changed after the start."""
        kept = (
            self.transport.known()
            and self.transport.read(reg.DESIGN_ID.offset) == self.metadata.design_id
            and (self._parameters is None or self._has(self._parameters))
        )
        if not kept:
            raise DriverError(
                "the chip was given another bitstream, clock or parameters while it computed: "
                "end the other program that uses it, then run again"
            )

    def wait_raw(self, started: _Start | None = None) -> None:
        """Wait until the accelerator has finished. ``started``: the start, for the message.

        Raises:
            DriverError: the accelerator reports errors, which the message lists; or it does not
                finish within the transport's time limit.
        """
        ended = self.transport.wait()
        control = self.transport.read(reg.CONTROL.offset)
        self.transport.write(reg.INTERRUPT_STATUS.offset, 1)
        error = self.transport.read(reg.ERROR.offset)
        if error:
            texts = [text for bit, text in reg.ERROR_TEXTS.items() if error & bit]
            raise DriverError(f"the accelerator reports: {'; '.join(texts)}")
        if control & reg.CONTROL_BITS["ERROR"]:
            raise DriverError(
                "the accelerator had an error (bit ERROR of register CONTROL), which another start "
                "cleared: end the other program that uses it"
            )
        if not ended or not control & reg.CONTROL_BITS["DONE"]:
            raise DriverError(_stuck(started))

    def report(self) -> Report:
        """Return the chip's counters of the last start."""
        images = self.transport.read(reg.IMAGES.offset)
        cycles = self._wide(reg.CYCLES_LOW, reg.CYCLES_HIGH)
        first = self._wide(reg.FIRST_LOW, reg.FIRST_HIGH)
        last = self._wide(reg.LAST_LOW, reg.LAST_HIGH)
        interval = (last - first) / (images - 1) if images > 1 else float(cycles)
        streams = {name: self._probe(number) for number, name in enumerate(self.metadata.probes)}
        return Report(images, cycles, first, interval, streams)

    def _probe(self, number: int) -> dict[str, int]:
        counts = {}
        for place, what in enumerate(("words", "stalls", "starves", "fill")):
            self.transport.write(reg.PROBE.offset, number << 2 | place)
            counts[what] = self.transport.read(reg.PROBE_VALUE.offset)
        return counts

    def _wide(self, low: reg.Register, high: reg.Register) -> int:
        return self.transport.read(low.offset) | self.transport.read(high.offset) << 32

    def check_idle(self) -> None:
        """Raise `DriverError` if :meth:`wait` was not called after the last start."""
        if self._running is not None:
            raise DriverError("the previous start has not been waited for: call wait() first")


def _stuck(started: _Start | None) -> str:
    text = "the accelerator does not finish"
    if started is None or started.cycles is None:
        return text
    return (
        f"{text}: {started.images} images need far fewer than {started.cycles} cycles, "
        "and more passed: it is stuck"
    )

# SPDX-License-Identifier: BSD-3-Clause
"""What a layer in software costs: times of a program with one layer on the host.

The accelerator's time is exact for the first images: the event model of :mod:`bnn.plan.events`,
which tests compare with simulation cycle for cycle. The times of the board's processor and of the
copies are a model, whose numbers are in :class:`Assumed`. This machine's time is measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bnn.errors import BnnError, BuildError, PlanError, ProgramError
from bnn.hw.design import Design, build
from bnn.hw.folding import Folding, restricted
from bnn.plan import arm
from bnn.plan.fifos import pace
from bnn.program.cut import Layer, layers, part
from bnn.program.inputs import random_batch
from bnn.program.program import Program
from bnn.run import prepare
from bnn.run.stages import Stage, stages

Pays = Literal["free", "always", "batch", "overlap", "never"]
#: Nearly as fast: at most so many times the time.
_NEARLY = 1.1
#: Rounds of a measurement on this machine; shortest time of one, in seconds.
_ROUNDS, _MIN_S = 5, 0.01


#: How a field is called where its own name is not that of the option.
_WORDS = {"mhz": "the clock in MHz"}


@dataclass(frozen=True)
class Assumed:
    """What is assumed of the board, and of how the network is run.

    Attributes:
        mhz: clock of the accelerator.
        arm_mhz: clock of the board's processor, a Cortex-A9; one core is used.
        neon_cycles: its cycles per NEON instruction: its NEON unit has 64 bits, registers have 128.
            All other instructions take one cycle; waiting for memory is left out.
        copy_mbytes: million bytes per second that it copies to and from the accelerator's buffers.
        call_us: microseconds to start the accelerator once and to notice its end.
        swap_ms: milliseconds to load another bitstream, if the chip has one part at a time: the
            4.05 million bytes of an XC7Z020 at 145 million bytes per second (Xilinx UG585, PCAP).
        batch: images of a batch.
        chunk: images that pass from part to part at a time, if host and chip work at once.
    """

    mhz: float = 100.0
    arm_mhz: float = 650.0
    neon_cycles: float = 2.0
    copy_mbytes: float = 400.0
    call_us: float = 100.0
    swap_ms: float = 28.0
    batch: int = 1000
    chunk: int = 32

    def __post_init__(self) -> None:
        for name in ("mhz", "arm_mhz", "neon_cycles", "copy_mbytes"):
            if not 0 < getattr(self, name) < 1e9:
                raise PlanError(
                    f"{_WORDS.get(name, name)} must be a number above 0 and below 1e9, not "
                    f"{getattr(self, name)!r}"
                )
        for name in ("call_us", "swap_ms"):
            if not 0 <= getattr(self, name) < 1e9:
                raise PlanError(
                    f"{name} must be a number from 0 and below 1e9, not {getattr(self, name)!r}"
                )
        for name in ("batch", "chunk"):
            if type(getattr(self, name)) is not int or not 1 <= getattr(self, name) <= 10**9:
                raise PlanError(
                    f"{name} must be a whole number from 1 to 1e9, not {getattr(self, name)!r}"
                )

    @property
    def at_a_time(self) -> int:
        """Number of images that chip and processor work on at a time."""
        return min(self.chunk, self.batch)


@dataclass(frozen=True)
class Circuit:
    """A design, as far as its time matters.

    Attributes:
        layers: first and last layer.
        latency: cycles from the start to the first result.
        interval: cycles from one result to the next.
        exact: whether both are from the event model; else they are those of the slowest block.
        bytes_in, bytes_out: bytes of one image and of its result.
    """

    layers: str
    latency: int
    interval: int
    exact: bool
    bytes_in: int
    bytes_out: int

    @classmethod
    def of(cls, name: str, design: Design) -> Circuit:
        """Return the figures of a design."""
        timing = pace(design)
        latency = sum(each.block.cycles for each in design.instances)
        return cls(
            name,
            latency if timing is None else timing.latency,
            design.cycles if timing is None else timing.interval,
            timing is not None,
            design.source.image_bytes,
            8 * design.target.memory_words,
        )

    def us(self, images: int, mhz: float) -> float:
        """Return the microseconds of one start with ``images`` images."""
        return (self.latency + (images - 1) * self.interval) / mhz


@dataclass(frozen=True)
class Software:
    """Layers in software.

    Attributes:
        one, many: instructions per image on the board's processor, for one image and for many at
            a time.
        here_one_us, here_many_us: microseconds per image on one core of this machine, measured.
    """

    one: arm.Count
    many: arm.Count
    here_one_us: float
    here_many_us: float

    def us(self, assumed: Assumed, images: int = arm.MANY) -> float:
        """Return the microseconds per image on the board's processor, ``images`` at a time."""
        count = self.one if images < arm.MANY else self.many
        return (count.neon * assumed.neon_cycles + count.others) / assumed.arm_mhz

    @classmethod
    def of(cls, program: Program) -> Software:
        """Count and measure a part."""
        one, many = (arm.count(program, images) for images in (arm.ONE, arm.MANY))
        return cls(one, many, _measured(program, arm.ONE), _measured(program, arm.MANY))


def _measured(program: Program, images: int) -> float:
    """Return the median microseconds per image of the cpu runtime on one core of this machine."""
    runtime = prepare("cpu", program, threads=1)
    inputs = random_batch(program.input, images)
    runtime.run(inputs)
    found = []
    for _ in range(_ROUNDS):
        began, count = time.perf_counter(), 0
        while (taken := time.perf_counter() - began) < _MIN_S or not count:
            runtime.run(inputs)
            count += 1
        found.append(taken / count / images)
    return 1e6 * statistics.median(found)


@dataclass(frozen=True)
class Whole:
    """The whole program: on the accelerator, and in software."""

    circuit: Circuit
    software: Software


@dataclass(frozen=True)
class Times:
    """Times of one choice, in microseconds per image.

    Attributes:
        one: for a batch of one image.
        batch: for a batch; the parts run one after the other.
        overlapped: for a batch, with host and chip at work at the same time on other images.
    """

    one: float
    batch: float
    overlapped: float


@dataclass(frozen=True)
class Cut:
    """A program with one layer in software, and the others on the accelerator.

    Attributes:
        layer: the layer.
        circuits: the parts on the accelerator, one or two.
        software: the layer in software.
        refused: why it cannot be; then there are no circuits and no software.
    """

    layer: Layer
    circuits: tuple[Circuit, ...] = ()
    software: Software | None = None
    refused: str = ""

    def copies_us(self, assumed: Assumed) -> float:
        """Return the microseconds of the copies of one image, in and out of every part."""
        return sum(each.bytes_in + each.bytes_out for each in self.circuits) / assumed.copy_mbytes

    def host_us(self, assumed: Assumed, images: int = arm.MANY) -> float:
        """Return the microseconds of the layer on the board's processor, per image."""
        assert self.software is not None
        return self.software.us(assumed, images)

    def times(self, assumed: Assumed) -> Times:
        """Return the times per image on the board."""
        calls = len(self.circuits) * assumed.call_us
        copies = self.copies_us(assumed)
        chips = [each.us(1, assumed.mhz) for each in self.circuits]
        one = sum(chips) + self.host_us(assumed, arm.ONE) + copies + calls
        host = self.host_us(assumed, assumed.batch)
        batch = self._circuits_us(assumed, assumed.batch) + host + copies
        batch += calls / assumed.batch
        return Times(one, batch, self._overlapped_us(assumed))

    def _circuits_us(self, assumed: Assumed, images: int) -> float:
        """Return the microseconds per image of all parts, each on the whole batch."""
        return sum(each.us(images, assumed.mhz) for each in self.circuits) / images

    def _overlapped_us(self, assumed: Assumed) -> float:
        """Return the microseconds per image of a pipeline of parts and host, chunk by chunk."""
        size = assumed.at_a_time
        steps = [each.us(size, assumed.mhz) for each in self.circuits]
        host = size * (self.host_us(assumed, size) + self.copies_us(assumed))
        return _pipelined_us([*steps, host + len(self.circuits) * assumed.call_us], assumed)

    def swapped_us(self, assumed: Assumed) -> float:
        """Return the microseconds per image of a batch if the chip has one part at a time."""
        swaps = len(self.circuits) if len(self.circuits) > 1 else 0
        return self.times(assumed).batch + 1e3 * swaps * assumed.swap_ms / assumed.batch

    def lost_us(self, whole: Whole, assumed: Assumed) -> float:
        """Return the microseconds per image by which the parts take longer than the whole circuit.

        It is the loss of overlap on the chip: the parts do not work at the same time.
        """
        alone = whole.circuit.us(assumed.batch, assumed.mhz) / assumed.batch
        return self._circuits_us(assumed, assumed.batch) - alone


def whole_times(whole: Whole, assumed: Assumed) -> Times:
    """Return the times of the whole program on the accelerator."""
    circuit = whole.circuit
    copies = (circuit.bytes_in + circuit.bytes_out) / assumed.copy_mbytes
    one = circuit.us(1, assumed.mhz) + copies + assumed.call_us
    batch = (circuit.us(assumed.batch, assumed.mhz) + assumed.call_us) / assumed.batch + copies
    size = assumed.at_a_time
    steps = [circuit.us(size, assumed.mhz), size * copies + assumed.call_us]
    return Times(one, batch, _pipelined_us(steps, assumed))


def _pipelined_us(steps: list[float], assumed: Assumed) -> float:
    """Return the time per image of steps that work at once, each on other images at a time."""
    pieces = -(-assumed.batch // assumed.at_a_time)
    return (sum(steps) + (pieces - 1) * max(steps)) / assumed.batch


def software_times(whole: Whole, assumed: Assumed) -> Times:
    """Return the times of the whole program on the board's processor."""
    many = whole.software.us(assumed, assumed.batch)
    return Times(whole.software.us(assumed, arm.ONE), many, many)


def slower(cut: Cut, whole: Whole, assumed: Assumed) -> float:
    """Return the time of a batch, divided by that of the whole on the accelerator.

    Host and chip are at work at the same time, if that is faster.
    """
    times = cut.times(assumed)
    return min(times.batch, times.overlapped) / whole_times(whole, assumed).batch


def pays(cut: Cut, whole: Whole, assumed: Assumed) -> Pays:
    """Return when the cut is faster than all in software on the board's processor.

    ``free``: it is also nearly as fast as the whole on the accelerator, for batches. ``always``:
    also for one image. ``batch``: for batches. ``overlap``: only for batches with host and chip at
    work at the same time. ``never``.
    """
    split, software = cut.times(assumed), software_times(whole, assumed)
    fast = min(split.batch, split.overlapped) < software.batch
    if fast and slower(cut, whole, assumed) <= _NEARLY:
        return "free"
    if split.one < software.one:
        return "always"
    if split.batch < software.batch:
        return "batch"
    return "overlap" if split.overlapped < software.overlapped else "never"


def whole(program: Program, folding: Folding) -> Whole:
    """Return the figures of the whole program.

    Raises:
        BuildError: it cannot become hardware with this folding.
    """
    names = layers(program)
    told = f"{names[0].name} to {names[-1].name}"
    return Whole(Circuit.of(told, build(program, folding)), Software.of(_scores_only(program)))


def _scores_only(program: Program) -> Program:
    """Return the program without its decision, which both ways leave to the host."""
    return part(program, end=program.scores)


def cuts(program: Program, folding: Folding, names: list[str]) -> Iterator[Cut]:
    """Yield the cut of each layer in ``names``, names as of :func:`bnn.program.cut.layers`."""
    found = {layer.name: layer for layer in layers(program)}
    for name in names:
        yield _cut(program, folding, found[name])


def _cut(program: Program, folding: Folding, layer: Layer) -> Cut:
    try:
        made = stages(program, {layer.name: None})
        circuits = tuple(_circuit(stage, folding) for stage in made if not stage.is_host)
        host = next(stage for stage in made if stage.is_host)
    except (ProgramError, BuildError) as reason:
        return Cut(layer, refused=str(reason))
    return Cut(layer, circuits, Software.of(_host_part(program, host)))


def _host_part(program: Program, host: Stage) -> Program:
    return part(program, host.start, program.scores if host.is_last else host.end)


def _circuit(stage: Stage, folding: Folding) -> Circuit:
    try:
        return Circuit.of(str(stage), build(stage.program, restricted(folding, stage.program)))
    except BnnError as reason:
        raise BuildError(f"the part {stage}: {reason}") from reason


def as_json(cut: Cut, whole: Whole, assumed: Assumed) -> dict[str, Any]:
    """Return the figures of a cut as plain values; times are in microseconds per image."""
    if cut.software is None:
        return {"layer": cut.layer.name, "operations": cut.layer.ops, "refused": cut.refused}
    return {
        "layer": cut.layer.name,
        "operations": cut.layer.ops,
        "parts": [asdict(each) for each in cut.circuits],
        "arm_instructions": {"one": asdict(cut.software.one), "many": asdict(cut.software.many)},
        "arm_us": {"one": cut.host_us(assumed, arm.ONE), "many": cut.host_us(assumed)},
        "here_us": {"one": cut.software.here_one_us, "many": cut.software.here_many_us},
        "copies_us": cut.copies_us(assumed),
        "lost_overlap_us": cut.lost_us(whole, assumed),
        "slower": slower(cut, whole, assumed),
        "split_us": asdict(cut.times(assumed)),
        "one_part_at_a_time_us": cut.swapped_us(assumed),
        "pays": pays(cut, whole, assumed),
    }


def whole_json(whole: Whole, assumed: Assumed) -> dict[str, Any]:
    """Return the figures of the whole program, and what is assumed, as plain values."""
    mean, largest = arm.errors()
    software = whole.software
    return {
        "assumed": asdict(assumed),
        "circuit": asdict(whole.circuit),
        "accelerator_us": asdict(whole_times(whole, assumed)),
        "arm_us": asdict(software_times(whole, assumed)),
        "here_us": {"one": software.here_one_us, "many": software.here_many_us},
        "estimate_error": {"mean": mean, "largest": largest},
    }

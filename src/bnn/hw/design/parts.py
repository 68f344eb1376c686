# SPDX-License-Identifier: BSD-3-Clause
"""The parts of a design: instances of blocks, streams between them, contents of memories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bnn.hw.blocks.block import Block
from bnn.hw.blocks.matrix import Contents
from bnn.hw.flat import Side
from bnn.hw.folding import Folding
from bnn.hw.memory_layout import ByteLayout, InputLayout, OutputLayout
from bnn.program.precision import Precision
from bnn.program.program import Program

#: The streams that join the pipeline to the reader and to the writer of the memory.
MEMORY_IN, MEMORY_OUT = "memory_in", "memory_out"


@dataclass(frozen=True)
class Instance:
    """One block of a design.

    Attributes:
        name: name of the instance.
        layer: name of the program's operation that the instance belongs to.
        block: the block with its parameters.
        inputs, outputs: names of the streams that the instance reads and writes.
        unit: number of the instance on the parameter bus; None if it has no parameter memory.
    """

    name: str
    layer: str
    block: Block
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    unit: int | None = None


@dataclass(frozen=True)
class Port:
    """A stream with the values of an edge: words and shape at one place between two blocks.

    Attributes:
        stream: name of the stream.
        lanes: values per word, or per field of a word if words have several positions.
        channels: channels per position, a multiple of ``lanes``.
        positions: positions per image; groups per image if words have several positions.
        precision: precision of a value.
        pace: cycles per image of the slowest block before the stream.
    """

    stream: str
    lanes: int
    channels: int
    positions: int
    precision: Precision
    pace: int

    @property
    def bits(self) -> int:
        """Number of bits of one word of the stream."""
        return self.lanes * self.precision.bits

    @property
    def words(self) -> int:
        """Number of words of the stream per image."""
        return self.positions * self.channels // self.lanes


class LazyContents(Mapping[str, Contents]):
    """Name of each unit -> contents of its memories.

    Contents are computed when they are read first: a plan does not need any of them.
    """

    def __init__(self, packers: Mapping[str, Callable[[], Contents]]) -> None:
        self._packers = packers
        self._packed: dict[str, Contents] = {}

    def __getitem__(self, name: str) -> Contents:
        if name not in self._packed:
            self._packed[name] = self._packers[name]()
        return self._packed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._packers)

    def __len__(self) -> int:
        return len(self._packers)


@dataclass(frozen=True, eq=False)
class Design:
    """The hardware design of a program: blocks, streams and contents of memories.

    Attributes:
        program, folding: what the design was made from.
        instances: the blocks, in the order in which data pass through them.
        streams: name of each stream -> bits of its words.
        contents: name of each unit with parameters -> contents of its memories.
        source, target: how images and results are stored in memory.
        ports: name of each edge in the circuit -> the stream that its block makes.
        sides: of a program with scans: the directions in which columns are visited; an image is a
            column of each side.
    """

    program: Program
    folding: Folding
    instances: tuple[Instance, ...]
    streams: Mapping[str, int]
    contents: Mapping[str, Contents]
    source: ByteLayout | InputLayout
    target: OutputLayout
    ports: Mapping[str, Port]
    sides: tuple[Side, ...] = ()

    @property
    def cycles(self) -> int:
        """Cycles per image of the slowest block."""
        return self.bottleneck.block.cycles

    @property
    def bottleneck(self) -> Instance:
        """The instance with the slowest block."""
        return max(self.instances, key=lambda instance: instance.block.cycles)

    @property
    def probes(self) -> tuple[str, ...]:
        """Names of the streams that have a probe, in the order of the probes' numbers."""
        match self.folding.probes:
            case "all":
                return tuple(self.streams)
            case "ends":
                return (MEMORY_IN, MEMORY_OUT)
            case _:
                return ()

    @property
    def input(self) -> str:
        """How images are stored in memory: ``bytes`` or ``packed``."""
        return "bytes" if isinstance(self.source, ByteLayout) else "packed"

    @property
    def output(self) -> str:
        """How results are stored in memory: ``int32`` or ``packed``."""
        return "int32" if self.target.is_int32 else "packed"

    @property
    def fills(self) -> dict[str, int]:
        """Name of each stream that comes from a FIFO -> width in bits of the FIFO's fill."""
        return {
            each.outputs[0]: (int(each.block.generics()["DEPTH"]) + 1).bit_length()
            for each in self.instances
            if each.block.has_fill
        }

    def instance(self, name: str) -> Instance:
        """Return the instance called ``name``."""
        return next(instance for instance in self.instances if instance.name == name)

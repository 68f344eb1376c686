# SPDX-License-Identifier: BSD-3-Clause
"""An unfinished design: the instances so far, and the streams that have no reader yet."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bnn.errors import BuildError
from bnn.hw.blocks.block import Block
from bnn.hw.blocks.matrix import Contents
from bnn.hw.blocks.plumbing import Fifo, Fork, Narrow, Widen
from bnn.hw.design.needs import Needs
from bnn.hw.design.parts import Instance, Port
from bnn.hw.flat import Circuit
from bnn.hw.folding import Folding
from bnn.program.program import Program

#: Units that the parameter bus can address.
MAX_UNITS = 256
#: Streams of bnn_core's ports: input, output and parameters.
_PORTS = ("i", "o", "p")


@dataclass
class Wiring:
    """An unfinished design; the modules of this package add blocks and streams to it.

    Attributes:
        program, folding, needs: what the design is made from.
        instances, streams: as in :class:`bnn.hw.design.Design`.
        contents: name of each unit -> function that returns the contents of its memories.
        grouped: names of edges whose words have a group of several positions.
        taps: name of a window's edge -> kernel positions per field, see
            :attr:`bnn.hw.blocks.matrix.Matrix.taps`.
        ports: name of an edge -> the stream that its block makes.
    """

    program: Program | Circuit
    folding: Folding
    needs: Needs
    instances: list[Instance] = field(default_factory=list)
    streams: dict[str, int] = field(default_factory=dict)
    contents: dict[str, Callable[[], Contents]] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)
    taps: dict[str, int] = field(default_factory=dict)
    ports: dict[str, Port] = field(default_factory=dict)
    #: By edge: streams that wait, one for each reader.
    _waiting: dict[str, list[Port]] = field(default_factory=dict)
    _units: int = 0

    def place(
        self, name: str, layer: str, block: Block, *inputs: str, unit: int | None = None
    ) -> str:
        """Add the instance ``name``; return the name of its output stream.

        The stream is called as the instance is, unless a port of bnn_core has this name.
        If the folding requests a FIFO after the instance, add the FIFO and return the name of the
        FIFO's output stream.
        """
        depth = self.folding.fifos.get(name)
        if depth is not None and isinstance(block, Fifo):
            block = replace(block, depth=depth)
        stream = f"{name}_stream" if name in _PORTS else name
        self.instances.append(Instance(name, layer, block, inputs, (stream,), unit))
        self.stream(stream, block.output_bits)
        if depth is None or isinstance(block, Fifo):
            return stream
        fifo = Fifo(block.output_bits, depth, block.output_words)
        return self.place(f"{name}_buffer", layer, fifo, stream)

    def loop(self, name: str, block: Block, source: str) -> None:
        """Add the instance ``name``, which makes the stream of this name that is there already."""
        self.instances.append(Instance(name, name, block, (source,), (name,)))

    def stream(self, name: str, bits: int) -> None:
        """Add a stream of the circuit, whose signals are ``name`` with an ending.

        Raises:
            BuildError: the circuit has signals of this name already.
        """
        if name in self.streams:
            raise BuildError(
                f"{name}: the circuit has two signals of this name; give the operation another name"
            )
        self.streams[name] = bits

    def place_unit(
        self, name: str, block: Block, contents: Callable[[], Contents], source: str
    ) -> str:
        """Add an instance with parameter memories, and give it a number on the parameter bus.

        ``contents``: function that returns the contents of the memories. Return the stream's name.
        """
        if self._units == MAX_UNITS:
            raise BuildError(
                f"{name}: the hardware takes at most {MAX_UNITS} layers with parameters; "
                "run it on the cpu runtime"
            )
        self.contents[name] = contents
        self._units += 1
        return self.place(name, name, block, source, unit=self._units - 1)

    def offer(self, edge: str, port: Port) -> None:
        """Give the stream ``port`` to the readers of ``edge``; if there are several, add a fork."""
        self.ports[edge] = port
        copies = self.needs.copies(edge)
        if copies == 1:
            self._waiting[edge] = [port]
            return
        names = tuple(f"{edge}_copy{n}" for n in range(copies))
        fork = Fork(port.bits, copies, port.words)
        self.instances.append(Instance(f"{edge}_fork", edge, fork, (port.stream,), names))
        for name in names:
            self.stream(name, port.bits)
        # A branch may have to hold an image while the other one computes it.
        fifo = Fifo(port.bits, max(2, port.words + 2), port.words)
        self._waiting[edge] = [
            replace(port, stream=self.place(f"{name}_fifo", edge, fifo, name)) for name in names
        ]

    def take(self, edge: str) -> Port:
        """Return the stream of ``edge`` for the next of its readers: each gets a stream once."""
        return self._waiting[edge].pop(0)

    def lanes(self, port: Port, lanes: int, layer: str, groups: int = 1) -> Port:
        """Return the stream ``port`` after converters; its fields have ``lanes`` values.

        No converter is added if the fields of ``port`` have ``lanes`` values already.

        Args:
            port: the stream before the converters.
            lanes: values per field after them.
            layer: name of the operation that the converters belong to.
            groups: fields per word, one for each position of a group.
        """
        if lanes == port.lanes:
            return port
        meet = math.lcm(lanes, port.lanes)
        bits, words = port.precision.bits, port.words
        stream = port.stream
        if meet != port.lanes:
            widen = Widen(port.lanes * bits, meet // port.lanes, words, groups)
            stream = self.place(f"{stream}_w", layer, widen, stream)
            words = widen.output_words
        if meet != lanes:
            narrow = Narrow(lanes * bits, meet // lanes, words, groups)
            stream = self.place(f"{stream}_n", layer, narrow, stream)
        return replace(port, stream=stream, lanes=lanes)

# SPDX-License-Identifier: BSD-3-Clause
"""A design in the making: instances placed so far, and the streams that wait for a reader."""

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
from bnn.hw.folding import Folding
from bnn.program.program import Program

#: Units that the parameter bus can address.
MAX_UNITS = 256


@dataclass
class Wiring:
    """The design so far; the modules of this package add to it.

    Attributes:
        program, folding, needs: what the design is made from.
        instances, streams: as in :class:`bnn.hw.design.Design`.
        contents: name of each unit -> function that returns the contents of its memories.
        grouped: edges whose words have the values of several positions, a group.
        taps: edge of patches -> kernel positions per word, see
            :attr:`bnn.hw.blocks.matrix.Matrix.taps`.
        ports: edge -> its stream, before any converter.
    """

    program: Program
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
        """Add an instance, whose output stream has its name; return the stream to read.

        If the folding has a FIFO after the instance, add it, and return the FIFO's output.
        """
        depth = self.folding.fifos.get(name)
        if depth is not None and isinstance(block, Fifo):
            block = replace(block, depth=depth)
        self.instances.append(Instance(name, layer, block, inputs, (name,), unit))
        self.streams[name] = block.output_bits
        if depth is None or isinstance(block, Fifo):
            return name
        fifo = Fifo(block.output_bits, depth, block.output_words)
        return self.place(f"{name}_buffer", layer, fifo, name)

    def place_unit(
        self, name: str, block: Block, contents: Callable[[], Contents], source: str
    ) -> str:
        """Add an instance with parameters and give it a number on the parameter bus."""
        if self._units == MAX_UNITS:
            raise BuildError(
                f"{name}: the hardware takes at most {MAX_UNITS} layers with parameters; "
                "run it on the cpu runtime"
            )
        self.contents[name] = contents
        self._units += 1
        return self.place(name, name, block, source, unit=self._units - 1)

    def offer(self, edge: str, port: Port) -> None:
        """Give an edge's stream to its readers, through a fork if there are several."""
        self.ports[edge] = port
        copies = len(self.needs.readers[edge]) + (edge == self.needs.target)
        if copies == 1:
            self._waiting[edge] = [port]
            return
        names = tuple(f"{edge}_copy{n}" for n in range(copies))
        fork = Fork(port.bits, copies, port.words)
        self.instances.append(Instance(f"{edge}_fork", edge, fork, (port.stream,), names))
        self.streams.update(dict.fromkeys(names, port.bits))
        # A branch may have to hold an image while the other one computes it.
        fifo = Fifo(port.bits, max(2, port.words + 2), port.words)
        self._waiting[edge] = [
            replace(port, stream=self.place(f"{name}_fifo", edge, fifo, name)) for name in names
        ]

    def take(self, edge: str) -> Port:
        """Return the stream of ``edge`` for its next reader."""
        return self._waiting[edge].pop(0)

    def lanes(self, port: Port, lanes: int, layer: str, groups: int = 1) -> Port:
        """Return ``port`` after converters that make words of ``lanes`` values per field.

        Args:
            layer: name of the operation that the converters belong to.
            groups: fields per word.
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

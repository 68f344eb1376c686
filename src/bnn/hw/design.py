# SPDX-License-Identifier: BSD-3-Clause
"""From a program and a folding to a design: blocks, the streams that join them, and contents.

Each operation becomes the block that computes it; a dot takes the threshold that alone reads it
along. Width converters, serializers and forks are put where two neighbours differ. What the
accelerator delivers is the scores; an arg max (and whatever else follows the scores) is the
host's, see :mod:`bnn.hw.tail`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bnn._typing import assert_never
from bnn.errors import BuildError
from bnn.hw.adder import Adder
from bnn.hw.block import Block, divisors
from bnn.hw.edges import MEMORY_BITS, InputLayout, OutputLayout
from bnn.hw.folding import Folding, LayerFolding, cycles
from bnn.hw.levels import Levels, ThresholdUnit, of_threshold, threshold_bounds
from bnn.hw.matrix import Contents, Matrix, accumulator_bits
from bnn.hw.plumbing import Fifo, Fork, Narrow, Pad, Resize, Serialize, Trim, Widen
from bnn.hw.tail import device_edge
from bnn.hw.window import Maximum, SlidingWindow
from bnn.precision import Precision
from bnn.program import INPUT, Add, ArgMax, Dot, Op, Pool, Program, Threshold, Window

#: Most places of a parameter memory that the parameter bus can address.
MAX_INDEX = 1 << 20
MAX_ITEMS = 1 << 16
MAX_UNITS = 256
#: Widest word of a pool.
POOL_BITS = 256


@dataclass(frozen=True)
class Instance:
    """One block in its place.

    Attributes:
        name: of the instance.
        layer: the program's operation that it serves.
        inputs, outputs: names of streams.
        unit: number on the parameter bus, or None.
    """

    name: str
    layer: str
    block: Block
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    unit: int | None = None


@dataclass(frozen=True)
class Port:
    """The stream that carries an edge at some point.

    Attributes:
        stream: its name; a word has ``lanes`` values of ``bits`` bits.
        channels: of a position, a multiple of the lanes; positions: of an image.
        precision: of a value.
        pace: cycles that the slowest block before takes for an image.
    """

    stream: str
    lanes: int
    channels: int
    positions: int
    precision: Precision
    pace: int

    @property
    def bits(self) -> int:
        """Of a word."""
        return self.lanes * self.precision.bits

    @property
    def words(self) -> int:
        """Of an image."""
        return self.positions * self.channels // self.lanes


@dataclass(frozen=True, eq=False)
class Design:
    """Hardware for a program.

    Attributes:
        program, folding: what it was made from.
        instances: in order of the data's way.
        streams: bits of each stream.
        contents: of the units with parameters: weights [fold][PE] (may be empty) and levels.
        source, target: layouts in memory.
    """

    program: Program
    folding: Folding
    instances: tuple[Instance, ...]
    streams: Mapping[str, int]
    contents: Mapping[str, Contents]
    source: InputLayout
    target: OutputLayout

    @property
    def cycles(self) -> int:
        """Cycles an image of the slowest block."""
        return max(instance.block.cycles for instance in self.instances)

    @property
    def bottleneck(self) -> Instance:
        """The slowest block."""
        return max(self.instances, key=lambda instance: instance.block.cycles)

    @property
    def probes(self) -> tuple[str, ...]:
        """Streams that have a probe, in the order of their numbers."""
        return tuple(self.streams)

    def instance(self, name: str) -> Instance:
        """The instance called ``name``."""
        return next(instance for instance in self.instances if instance.name == name)


def build(program: Program, folding: Folding) -> Design:
    """The design of ``program``; :class:`BuildError` names the layer that cannot be built."""
    return _Builder(program, folding).build()


@dataclass
class _Builder:
    program: Program
    folding: Folding
    instances: list[Instance] = field(default_factory=list)
    streams: dict[str, int] = field(default_factory=dict)
    contents: dict[str, Contents] = field(default_factory=dict)
    #: Streams that wait for a reader, one for each.
    waiting: dict[str, list[Port]] = field(default_factory=dict)
    #: Edges whose stream carries the positions of a group side by side.
    grouped: set[str] = field(default_factory=set)
    units: int = 0

    def build(self) -> Design:
        self.target = device_edge(self.program)
        self.readers = self._readers()
        source = self._input()
        for op in self._needed():
            if op.name not in self.merged:
                self._op(op)
        target = self._output()
        return Design(
            self.program,
            self.folding,
            tuple(self.instances),
            self.streams,
            self.contents,
            source,
            target,
        )

    # ---- what the program needs ------------------------------------------------------------

    def _needed(self) -> list[Op]:
        wanted = {self.target}
        kept = []
        for op in reversed(self.program.ops):
            if op.name in wanted:
                kept.append(op)
                wanted |= set(_sources(op))
        return kept[::-1]

    def _readers(self) -> dict[str, list[Op]]:
        """Edge -> operations that read it, thresholds merged into their dots."""
        needed = self._needed()
        readers: dict[str, list[Op]] = {INPUT: []}
        for op in needed:
            readers.setdefault(op.name, [])
            for name in _sources(op):
                readers[name].append(op)
        self.merged: dict[str, Dot] = {}
        for op in needed:
            after = readers[op.name]
            alone = op.name != self.target and len(after) == 1
            if isinstance(op, Dot) and alone and isinstance(after[0], Threshold):
                self.merged[after[0].name] = op
        return readers

    def _op(self, op: Op) -> None:
        match op:
            case Window():
                self._window(op)
            case Dot():
                self._dot(op)
            case Threshold():
                self._threshold(op)
            case Pool():
                self._pool(op)
            case Add():
                self._add(op)
            case ArgMax():
                raise BuildError(f"{op.name}: an arg max in the middle of a network has no block")
            case _:
                assert_never(op)

    # ---- small helpers ----------------------------------------------------------------------

    def _place(self, name: str, layer: str, block: Block, inputs: tuple[str, ...]) -> str:
        """Add an instance with one output; its stream bears the instance's name."""
        self.instances.append(Instance(name, layer, block, inputs, (name,)))
        self.streams[name] = block.output_bits
        return name

    def _unit(self, name: str) -> None:
        """Give the last instance a number on the parameter bus."""
        last = self.instances.pop()
        if self.units == MAX_UNITS:
            raise BuildError(f"{name}: more than {MAX_UNITS} layers with parameters")
        self.instances.append(
            Instance(last.name, last.layer, last.block, last.inputs, last.outputs, self.units)
        )
        self.units += 1

    def _offer(self, edge: str, port: Port) -> None:
        """Hand an edge's stream to its readers, through a fork where there are several."""
        copies = len(self.readers[edge]) + (edge == self.target)
        if copies == 1:
            self.waiting[edge] = [port]
            return
        names = tuple(f"{edge}_copy{n}" for n in range(copies))
        fork = Fork(port.bits, copies, port.words)
        self.instances.append(Instance(f"{edge}_fork", edge, fork, (port.stream,), names))
        self.streams.update(dict.fromkeys(names, port.bits))
        # A branch may have to hold an image while the other one computes it.
        ports = []
        for name in names:
            depth = max(2, port.words + 2)
            stream = self._place(f"{name}_fifo", edge, Fifo(port.bits, depth, port.words), (name,))
            ports.append(replace(port, stream=stream))
        self.waiting[edge] = ports

    def _take(self, edge: str) -> Port:
        return self.waiting[edge].pop(0)

    def _lanes(self, port: Port, lanes: int, layer: str, groups: int = 1) -> Port:
        """``port`` with words of ``lanes`` values in each of ``groups`` fields."""
        if lanes == port.lanes:
            return port
        meet = math.lcm(lanes, port.lanes)
        bits, words = port.precision.bits, port.words
        stream = port.stream
        if meet != port.lanes:
            widen = Widen(port.lanes * bits, meet // port.lanes, words, groups)
            stream = self._place(f"{stream}_w", layer, widen, (stream,))
            words = widen.output_words
        if meet != lanes:
            narrow = Narrow(lanes * bits, meet // lanes, words, groups)
            stream = self._place(f"{stream}_n", layer, narrow, (stream,))
        return replace(port, stream=stream, lanes=lanes)

    # ---- ends ---------------------------------------------------------------------------------

    def _input(self) -> InputLayout:
        edge = self.program.edges[INPUT]
        height, width, channels = edge.shape
        positions = height * width
        lanes = self._input_lanes(channels)
        if lanes is None:  # a matrix that reads the whole image as one vector
            dot = self._first_dot()
            assert dot is not None
            lanes = self.folding.of(dot.name).simd
            channels, positions = -(-positions * channels // lanes) * lanes, 1
        layout = InputLayout(height * width * edge.shape[2], lanes, edge.precision)
        stream = "memory_in"
        self.streams[stream] = MEMORY_BITS
        words = layout.memory_words
        gear = layout.gear_bits
        if gear != MEMORY_BITS:
            stream = self._place(
                "input_gear", INPUT, Widen(MEMORY_BITS, gear // MEMORY_BITS, words), (stream,)
            )
            words = words * MEMORY_BITS // gear
        if gear != layout.slot_bits:
            ratio = gear // layout.slot_bits
            stream = self._place(
                "input_slot", INPUT, Narrow(layout.slot_bits, ratio, words), (stream,)
            )
            words *= ratio
        if words != layout.stream_words:
            trim = Trim(layout.slot_bits, layout.stream_words, words)
            stream = self._place("input_trim", INPUT, trim, (stream,))
        if layout.slot_bits != layout.word_bits:
            cut = Resize(layout.slot_bits, layout.word_bits, layout.stream_words)
            stream = self._place("input_cut", INPUT, cut, (stream,))
        self._offer(
            INPUT, Port(stream, lanes, channels, positions, edge.precision, layout.stream_words)
        )
        return layout

    def _first_dot(self) -> Dot | None:
        """The dot that alone reads the input as one vector, flattened or not."""
        first = _only(self.readers[INPUT])
        if isinstance(first, Window) and self._flattens(first):
            first = _only(self.readers[first.name])
        elif self.program.edges[INPUT].shape[:2] != (1, 1):
            return None
        return first if isinstance(first, Dot) else None

    def _input_lanes(self, channels: int) -> int | None:
        if self._first_dot() is not None:
            return None
        first = _only(self.readers[INPUT])
        if isinstance(first, Window):
            return self._window_lanes(first, channels)
        if isinstance(first, Dot):
            simd = self.folding.of(first.name).simd
            return simd if channels % simd == 0 else channels
        return 1

    def _output(self) -> OutputLayout:
        port = self._take(self.target)
        edge = self.program.edges[self.target]
        layout = OutputLayout(edge.shape[2], port.channels, port.precision.bits, port.precision)
        whole = layout.element_bits
        if port.precision.bits != whole or MEMORY_BITS % (port.lanes * whole):
            port = self._lanes(port, 1, self.target)
        word = port.lanes * whole
        total = layout.memory_words * MEMORY_BITS // word
        stream = port.stream
        if port.precision.bits != whole:
            resize = Resize(port.precision.bits, whole, port.words)
            stream = self._place("output_element", self.target, resize, (stream,))
        if total != port.words:
            stream = self._place("output_pad", self.target, Pad(word, port.words, total), (stream,))
        if word != MEMORY_BITS:
            widen = Widen(word, MEMORY_BITS // word, total)
            stream = self._place("output_word", self.target, widen, (stream,))
        fifo = Fifo(MEMORY_BITS, 2, layout.memory_words)
        self._place("memory_out", self.target, fifo, (stream,))
        return layout

    # ---- operations ---------------------------------------------------------------------------

    def _flattens(self, op: Window) -> bool:
        """Whether the window is the whole map: then nothing moves."""
        shape = self.program.edges[op.source].shape
        return op.kernel == shape[:2] and not any(op.padding)

    def _reading_dot(self, op: Op) -> Dot | None:
        reader = _only(self.readers[op.name])
        return reader if isinstance(reader, Dot) and op.name != self.target else None

    def _window_lanes(self, op: Window, channels: int) -> int:
        """Values of a word out of a window: the reading matrix's SIMD where that divides."""
        dot = self._reading_dot(op)
        if dot is None:
            return channels
        simd = self.folding.of(dot.name).simd
        return simd if channels % simd == 0 else channels

    def _window(self, op: Window) -> None:
        port = self._take(op.source)
        edge = self.program.edges[op.source]
        dot = self._reading_dot(op)
        pixels = 1 if dot is None else self.folding.of(dot.name).pixels
        if self._flattens(op) and pixels == 1:
            self._offer(
                op.name, replace(port, channels=port.channels * port.positions, positions=1)
            )
            return
        lanes = self._window_lanes(op, edge.shape[2])
        port = self._lanes(port, lanes, op.name)
        pad = int(edge.precision.encode(np.array(op.pad_value))) if any(op.padding) else 0
        block = SlidingWindow(
            edge.shape,
            edge.precision.bits,
            lanes,
            op.kernel,
            op.stride,
            op.padding,
            pad,
            pixels,
        )
        block = replace(block, rows=self._window_rows(block, port, dot))
        if pixels > block.out_shape[1]:
            raise BuildError(
                f"{op.name}: {pixels} pixels at once, but a row has {block.out_shape[1]}"
            )
        stream = self._place(op.name, op.name, block, (port.stream,))
        _, _, columns = self.program.edges[op.name].shape
        height, width = block.out_shape
        if pixels > 1:
            self.grouped.add(op.name)
        self._offer(
            op.name, Port(stream, lanes, columns, height * width, edge.precision, port.pace)
        )

    def _window_rows(self, block: SlidingWindow, port: Port, dot: Dot | None) -> int:
        """Rows of the buffer: enough that an image's start does not hold up the slowest matrix.

        An image's first window needs all rows of a kernel at once. With room for no more than the
        next rows it waits, at the pace of the block before, for the others; where the
        matrix has no time for that, the next image's rows are kept beside this one's last.
        """
        usual = block.buffer_rows
        if dot is None:
            return usual
        slowest = max(
            cycles(self.program, each, self.folding.of(each.name))
            for each in self._needed()
            if isinstance(each, Dot)
        )
        slack = slowest - cycles(self.program, dot, self.folding.of(dot.name))
        wait = (block.kernel[0] - block.stride[0]) * port.pace // block.shape[0]
        return max(usual, block.least_rows + block.kernel[0]) if wait > slack else usual

    def _dot(self, op: Dot) -> None:
        fold = self.folding.of(op.name)
        port = self._take(op.source)
        # Otherwise a window has already gathered the pixels of a group.
        if fold.pixels > 1 and op.source not in self.grouped:
            port = self._gather(op, fold, port)
        rows, columns = self._padded(op, fold, port)
        groups = fold.pixels
        narrow = port.lanes < fold.simd
        port = self._lanes(_grouped(port, groups), fold.simd, op.name, groups)
        if narrow and rows > fold.pe:
            port = self._vector_fifo(op, port, columns // fold.simd, groups)
        threshold = next((t for t, dot in self.merged.items() if dot is op), None)
        after = self.program.op(threshold) if threshold is not None else None
        assert after is None or isinstance(after, Threshold)
        positions = math.prod(self.program.edges[op.name].shape[:2])
        block = Matrix(
            rows=rows,
            columns=columns,
            positions=positions,
            pe=fold.pe,
            simd=fold.simd,
            pixels=fold.pixels,
            weight=op.precision,
            source=port.precision,
            levels=self._levels(op, after, columns),
            depth=self._vector_words(after.name if after else op.name, fold, rows),
            loadable=self.folding.loadable,
            style=fold.style,
            name=op.name,
        )
        self._check_memory(op.name, block)
        stream = self._place(op.name, op.name, block, (port.stream,))
        self._unit(op.name)
        self.contents[op.name] = block.contents(op, after)
        assert block.levels.output is not None
        pace = max(port.pace, block.cycles)
        made = Port(stream, fold.pe, rows, positions, block.levels.output, pace)
        if fold.pixels > 1:
            field_bits = fold.pe * block.levels.bits
            serial = Serialize(field_bits, fold.pixels, block.row_folds, positions)
            made = replace(
                made,
                stream=self._place(f"{op.name}_serial", op.name, serial, (stream,)),
                lanes=rows,
            )
        self._offer(after.name if after else op.name, made)

    def _vector_fifo(self, op: Dot, port: Port, folds: int, groups: int) -> Port:
        """Room for a vector that comes slower than the matrix takes it.

        The matrix reads all column folds at once, then nothing until its last row fold; the next
        vector is put together meanwhile.
        """
        fifo = Fifo(port.bits * groups, max(2, folds), port.words)
        return replace(
            port, stream=self._place(f"{port.stream}_fifo", op.name, fifo, (port.stream,))
        )

    def _gather(self, op: Dot, fold: LayerFolding, port: Port) -> Port:
        """Neighbouring positions side by side, by a window of one position."""
        shape = self.program.edges[op.source].shape
        if fold.pixels > shape[1]:
            raise BuildError(f"{op.name}: {fold.pixels} pixels at once, but a row has {shape[1]}")
        lanes = fold.simd if shape[2] % fold.simd == 0 else shape[2]
        port = self._lanes(port, lanes, op.name)
        one = (1, 1)
        block = SlidingWindow(
            shape, port.precision.bits, lanes, one, one, (0, 0, 0, 0), 0, fold.pixels
        )
        return replace(
            port, stream=self._place(f"{op.name}_gather", op.name, block, (port.stream,))
        )

    def _padded(self, op: Dot, fold: LayerFolding, port: Port) -> tuple[int, int]:
        """Rows and columns with padding, or the reason why they do not fold."""
        rows, columns = op.weights.shape
        if min(fold.pe, fold.simd, fold.pixels) < 1:
            raise BuildError(f"{op.name}: PE, SIMD and pixels are at least 1")
        last = self.target in (op.name, *(t for t, dot in self.merged.items() if dot is op))
        padded = max(rows, fold.rows) if last else rows
        if last:
            padded = -(-padded // fold.pe) * fold.pe
        if padded % fold.pe or fold.pe > padded:
            raise BuildError(f"{op.name}: PE {fold.pe} does not divide its {rows} rows")
        if port.channels % fold.simd:
            raise BuildError(f"{op.name}: SIMD {fold.simd} does not divide its {columns} columns")
        return padded, port.channels

    def _levels(self, op: Dot, after: Threshold | None, columns: int) -> Levels:
        source = self.program.edges[op.source].precision
        acc, low, high = accumulator_bits(columns, op.precision, source)
        if after is not None:
            return of_threshold(after, acc, low, high)
        return Levels(
            acc=acc,
            low=low,
            high=high,
            count=0,
            falling=False,
            base=0,
            step=1,
            shift=int(source.kind == "bipolar"),
            bits=self.program.edges[op.name].precision.bits,
            output=self.program.edges[op.name].precision,
        )

    def _vector_words(self, edge: str, fold: LayerFolding, rows: int) -> int:
        """Output words that a matrix behind takes at once, so that neither waits for the other.

        A dense layer reads its whole vector during its first row fold; until then the vector
        must be able to grow in the FIFO. Where words are widened on the way, see `_vector_fifo`.
        """
        shape = self.program.edges[edge].shape
        reader = _only(self.readers.get(edge, []))
        if isinstance(reader, Window) and self._flattens(reader):
            return shape[0] * shape[1] * rows // fold.pe
        if isinstance(reader, Dot) and self.folding.of(reader.name).simd <= fold.pe:
            return rows // fold.pe
        return 0

    def _check_memory(self, name: str, block: Matrix) -> None:
        depth = block.row_folds * block.column_folds
        chunks = block.pe * max(-(-block.weight_word_bits // 32), -(-block.levels.word_bits // 32))
        if block.loadable and (depth > MAX_INDEX or chunks > MAX_ITEMS):
            raise BuildError(
                f"{name}: its parameters exceed what one unit can load "
                f"({depth} words of {chunks} chunks); raise PE or SIMD, or bake them in"
            )

    def _threshold(self, op: Threshold) -> None:
        port = self._take(op.source)
        acc, low, high = threshold_bounds(port.precision)
        block = ThresholdUnit(
            channels=port.channels,
            positions=port.positions,
            lanes=port.lanes,
            source=port.precision,
            levels=of_threshold(op, acc, low, high),
            loadable=self.folding.loadable,
            name=op.name,
        )
        stream = self._place(op.name, op.name, block, (port.stream,))
        self._unit(op.name)
        self.contents[op.name] = Contents([], block.contents(op))
        self._offer(op.name, replace(port, stream=stream, precision=op.precision))

    def _pool(self, op: Pool) -> None:
        port = self._take(op.source)
        shape = self.program.edges[op.source].shape
        port = self._lanes(port, _pool_lanes(port), op.name)
        bits, signed = port.precision.bits, port.precision.kind in ("signed", "narrow")
        # Padding never wins: the least code of the precision.
        pad = 1 << (bits - 1) if signed else 0
        window = SlidingWindow(shape, bits, port.lanes, op.kernel, op.stride, op.padding, pad)
        stream = self._place(f"{op.name}_window", op.name, window, (port.stream,))
        height, width = window.out_shape
        block = Maximum(
            port.lanes,
            bits,
            signed,
            window.folds,
            op.kernel[0] * op.kernel[1],
            window.output_words,
        )
        stream = self._place(op.name, op.name, block, (stream,))
        self._offer(op.name, replace(port, stream=stream, positions=height * width))

    def _add(self, op: Add) -> None:
        first, second = self._take(op.source), self._take(op.other)
        lanes = math.gcd(first.lanes, second.lanes)
        first = self._lanes(first, lanes, op.name)
        second = self._lanes(second, lanes, op.name)
        made = self.program.edges[op.name].precision
        block = Adder(first.precision, second.precision, lanes, made.bits, first.words)
        stream = self._place(op.name, op.name, block, (first.stream, second.stream))
        self._offer(op.name, replace(first, stream=stream, precision=made))


def _pool_lanes(port: Port) -> int:
    """As many channels at once as keep a pool's word narrow: it must not be the bottleneck."""
    fit = [n for n in divisors(port.channels) if n * port.precision.bits <= POOL_BITS]
    return max(fit, default=1)


def _sources(op: Op) -> tuple[str, ...]:
    return (op.source, op.other) if isinstance(op, Add) else (op.source,)


def _only(readers: list[Op]) -> Op | None:
    return readers[0] if len({id(op) for op in readers}) == 1 else None


def _grouped(port: Port, pixels: int) -> Port:
    """The words of a stream whose positions come in groups."""
    return replace(port, positions=-(-port.positions // pixels))

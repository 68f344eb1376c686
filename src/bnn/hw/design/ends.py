# SPDX-License-Identifier: BSD-3-Clause
"""The two ends of the pipeline: memory words to values, and values to memory words."""

from __future__ import annotations

from dataclasses import replace

from bnn._typing import assert_never
from bnn.hw.blocks.block import divisors
from bnn.hw.blocks.plumbing import Fifo, Narrow, Pad, Resize, Trim, Widen
from bnn.hw.blocks.states import Deal
from bnn.hw.design.parts import MEMORY_IN, MEMORY_OUT, Instance, Port
from bnn.hw.design.windows import window_lanes
from bnn.hw.design.wiring import Wiring
from bnn.hw.flat import Circuit
from bnn.hw.memory_layout import MEMORY_BITS, InputLayout, OutputLayout
from bnn.program.operations import (
    INPUT,
    Add,
    ArgMax,
    Concat,
    Dot,
    Multiply,
    Pool,
    Rescale,
    Scan,
    Threshold,
    Window,
)
from bnn.program.precision import Precision


def input_end(wiring: Wiring) -> InputLayout:
    """Add blocks that turn memory words into the input edge; return the images' memory layout."""
    edge = wiring.program.edges[INPUT]
    height, width, channels = edge.shape
    positions = height * width
    sides = wiring.program.sides if isinstance(wiring.program, Circuit) else ()
    dot = None if sides else _first_dot(wiring)
    if sides:  # a column of each side
        lanes = _most_lanes(channels, edge.precision)
        positions = len(sides)
    elif dot is None:
        lanes = _lanes(wiring, channels)
    else:  # a matrix that reads the whole image as one vector
        lanes = wiring.folding.of(dot.name).simd
        channels, positions = -(-positions * channels // lanes) * lanes, 1
    values = height * width * edge.shape[2] * max(1, len(sides))
    layout = InputLayout(values, lanes, edge.precision)
    stream = MEMORY_IN
    wiring.stream(stream, MEMORY_BITS)
    words, slot, gear = layout.memory_words, layout.slot_bits, layout.gear_bits
    if gear != MEMORY_BITS:
        widen = Widen(MEMORY_BITS, gear // MEMORY_BITS, words)
        stream = wiring.place("input_gear", INPUT, widen, stream)
        words = widen.output_words
    if gear != slot:
        narrow = Narrow(slot, gear // slot, words)
        stream = wiring.place("input_slot", INPUT, narrow, stream)
        words = narrow.output_words
    if words != layout.stream_words:
        trim = Trim(slot, layout.stream_words, words)
        stream = wiring.place("input_trim", INPUT, trim, stream)
    if slot != layout.word_bits:
        cut = Resize(slot, layout.word_bits, layout.stream_words)
        stream = wiring.place("input_cut", INPUT, cut, stream)
    port = Port(stream, lanes, channels, positions, edge.precision, layout.stream_words)
    if len(sides) == 2:
        _deal(wiring, port, [side.input for side in sides])
    else:
        wiring.offer(INPUT, port)
    return layout


def _deal(wiring: Wiring, port: Port, edges: list[str]) -> None:
    """Give each of two ``edges`` its column of the images in the stream ``port``."""
    words = port.channels // port.lanes
    names = tuple(f"{edge}_column" for edge in edges)
    block = Deal(port.bits, (words, words), port.words)
    wiring.instances.append(Instance("input_deal", INPUT, block, (port.stream,), names))
    for name, edge in zip(names, edges, strict=True):
        wiring.stream(name, port.bits)
        fifo = Fifo(port.bits, max(2, words), words)
        stream = wiring.place(f"{name}_fifo", INPUT, fifo, name)
        wiring.offer(edge, replace(port, stream=stream, positions=1))


def _most_lanes(channels: int, precision: Precision) -> int:
    """Return how many values of ``precision`` a memory word has, a divisor of ``channels``."""
    return max(n for n in divisors(channels) if n * precision.bits <= MEMORY_BITS)


def _first_dot(wiring: Wiring) -> Dot | None:
    """Return the dot that reads the input as one vector, if it is the only reader; else None."""
    needs = wiring.needs
    first = needs.only_reader(INPUT)
    if isinstance(first, Window) and needs.flattens(first):
        first = needs.only_reader(first.name)
    elif wiring.program.edges[INPUT].shape[:2] != (1, 1):
        return None
    return first if isinstance(first, Dot) else None


def _lanes(wiring: Wiring, channels: int) -> int:
    """Return how many values a word of the input stream has, as its only reader needs.

    The result is 1 if there are several readers, or if the reader can take any number.
    """
    first = wiring.needs.only_reader(INPUT)
    match first:
        case Window():
            return window_lanes(wiring, first)
        case Dot():
            simd = wiring.folding.of(first.name).simd
            return simd if channels % simd == 0 else channels
        case Pool():  # as many as a memory word has
            return _most_lanes(channels, wiring.program.edges[INPUT].precision)
        case Threshold() | Add() | Concat() | Rescale() | ArgMax() | None:
            return 1
        case Multiply() | Scan():
            return 1
    assert_never(first)


def output_end(wiring: Wiring) -> OutputLayout:
    """Add blocks that turn the scores' edge into memory words; return the results' layout."""
    target = wiring.needs.target
    port = wiring.take(target)
    edge = wiring.program.edges[target]
    layout = OutputLayout(edge.shape[2], port.channels, port.precision.bits, port.precision)
    whole = layout.element_bits
    if port.precision.bits != whole or MEMORY_BITS % (port.lanes * whole):
        port = wiring.lanes(port, 1, target)
    word = port.lanes * whole
    total = layout.memory_words * MEMORY_BITS // word
    stream = port.stream
    if port.precision.bits != whole:
        resize = Resize(port.precision.bits, whole, port.words)
        stream = wiring.place("output_element", target, resize, stream)
    if total != port.words:
        stream = wiring.place("output_pad", target, Pad(word, port.words, total), stream)
    if word != MEMORY_BITS:
        widen = Widen(word, MEMORY_BITS // word, total)
        stream = wiring.place("output_word", target, widen, stream)
    wiring.place(MEMORY_OUT, target, Fifo(MEMORY_BITS, 2, layout.memory_words), stream)
    return layout

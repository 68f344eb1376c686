# SPDX-License-Identifier: BSD-3-Clause
"""The two ends of the pipeline: memory words to values, and values to memory words."""

from __future__ import annotations

import math
from dataclasses import replace

from bnn._typing import assert_never
from bnn.errors import BuildError
from bnn.hw.blocks.block import divisors
from bnn.hw.blocks.plumbing import Fifo, Narrow, Pad, Resize, Trim, Widen
from bnn.hw.blocks.states import Deal
from bnn.hw.blocks.unpack import Unpack, lanes_of
from bnn.hw.design.parts import MEMORY_IN, MEMORY_OUT, Instance, Port
from bnn.hw.design.windows import window_lanes
from bnn.hw.design.wiring import Wiring
from bnn.hw.flat import Circuit
from bnn.hw.memory_layout import (
    MEMORY_BITS,
    WORD_BYTES,
    ByteLayout,
    InputLayout,
    OutputLayout,
)
from bnn.program.inputs import PictureInput
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
from bnn.program.precision import BIPOLAR, Precision
from bnn.program.program import Program


def input_end(wiring: Wiring) -> ByteLayout | InputLayout:
    """Add blocks that turn memory words into the input edge; return the images' memory layout.

    Raises:
        BuildError: the folding asks for bytes, but an image has fewer than 8.
    """
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
    wiring.stream(MEMORY_IN, MEMORY_BITS)
    port = Port(MEMORY_IN, lanes, channels, positions, edge.precision, 0)
    source: ByteLayout | InputLayout
    if wiring.folding.input == "bytes":
        source = ByteLayout(wiring.program.input)
        port = _bytes(wiring, source, port)
    else:
        values = math.prod(edge.shape) * max(1, len(sides))
        source = InputLayout(values, lanes, edge.precision)
        port = _packed(wiring, source, port)
    if len(sides) == 2:
        _deal(wiring, port, [side.input for side in sides])
    else:
        wiring.offer(INPUT, port)
    return source


def stored(program: Program, choice: str) -> str:
    """Return how images are stored in memory, ``bytes`` or ``packed``.

    Args:
        program: the program.
        choice: one of :data:`bnn.hw.folding.INPUTS`.

    Raises:
        BuildError: ``choice`` is bytes, but an image has fewer than 8.
    """
    if program.is_sequence:
        if choice == "bytes":
            raise BuildError("input: columns of a sequence are packed; remove 'input': 'bytes'")
        return "packed"
    enough = math.prod(program.input.shape) >= WORD_BYTES
    if choice == "bytes" and not enough:
        raise BuildError(
            f"input: bytes need at least {WORD_BYTES} values per image, not "
            f"{math.prod(program.input.shape)}; give the folding 'input': 'packed'"
        )
    if choice != "auto":
        return choice
    return "bytes" if enough and isinstance(program.input, PictureInput) else "packed"


def _bytes(wiring: Wiring, source: ByteLayout, port: Port) -> Port:
    """Add the blocks that turn bytes into words of the stream ``port``; return it after them."""
    codes = tuple(int(code) for code in source.codes)
    bits = port.precision.bits
    block = Unpack(source.image_bytes, lanes_of(port.lanes), bits, codes)
    stream, pace = wiring.place("input_codes", INPUT, block, port.stream), block.cycles
    ratio = port.lanes // block.lanes
    total = port.words * ratio
    if total != block.output_words:
        pad = Pad(block.output_bits, block.output_words, total)
        stream, pace = wiring.place("input_pad", INPUT, pad, stream), max(pace, pad.cycles)
    if ratio > 1:
        widen = Widen(block.output_bits, ratio, total)
        stream = wiring.place("input_word", INPUT, widen, stream)
    return replace(port, stream=stream, pace=pace)


def _packed(wiring: Wiring, source: InputLayout, port: Port) -> Port:
    """Add the blocks that cut packed memory words; return the stream ``port`` after them."""
    stream = port.stream
    words, slot, gear = source.memory_words, source.slot_bits, source.gear_bits
    if gear != MEMORY_BITS:
        widen = Widen(MEMORY_BITS, gear // MEMORY_BITS, words)
        stream = wiring.place("input_gear", INPUT, widen, stream)
        words = widen.output_words
    if gear != slot:
        narrow = Narrow(slot, gear // slot, words)
        stream = wiring.place("input_slot", INPUT, narrow, stream)
        words = narrow.output_words
    if words != source.stream_words:
        trim = Trim(slot, source.stream_words, words)
        stream = wiring.place("input_trim", INPUT, trim, stream)
    if slot != source.word_bits:
        cut = Resize(slot, source.word_bits, source.stream_words)
        stream = wiring.place("input_cut", INPUT, cut, stream)
    return replace(port, stream=stream, pace=source.stream_words)


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
    is_int32 = _is_int32(wiring, port)
    bits = port.precision.bits
    layout = OutputLayout(edge.shape[2], port.channels, bits, port.precision, is_int32)
    whole = layout.element_bits
    if is_int32 or bits != whole or MEMORY_BITS % (port.lanes * whole):
        port = wiring.lanes(port, 1, target)
    word = port.lanes * whole
    total = layout.memory_words * MEMORY_BITS // word
    stream = port.stream
    if bits != whole:
        signed = is_int32 and port.precision.kind != "unsigned"
        resize = Resize(bits, whole, port.words, signed)
        stream = wiring.place("output_element", target, resize, stream)
    words = port.words
    if is_int32 and words * port.lanes > layout.values:  # rows of padding
        stream = wiring.place("output_trim", target, Trim(word, layout.values, words), stream)
        words = layout.values
    if total != words:
        stream = wiring.place("output_pad", target, Pad(word, words, total), stream)
    if word != MEMORY_BITS:
        widen = Widen(word, MEMORY_BITS // word, total)
        stream = wiring.place("output_word", target, widen, stream)
    wiring.place(MEMORY_OUT, target, Fifo(MEMORY_BITS, 2, layout.memory_words), stream)
    return layout


def _is_int32(wiring: Wiring, port: Port) -> bool:
    """Return whether results are int32, not packed.

    Raises:
        BuildError: the folding asks for int32, but the scores are bipolar.
    """
    choice, given = wiring.folding.output, wiring.program.input
    possible = port.precision != BIPOLAR
    if choice == "int32" and isinstance(wiring.program, Circuit):
        raise BuildError("output: scores of a sequence are packed; remove 'output': 'int32'")
    if choice == "int32" and not possible:
        raise BuildError("output: bipolar scores are packed; give the folding 'output': 'packed'")
    if choice != "auto":
        return choice == "int32"
    # One score passes per cycle, rows of padding included.
    return possible and isinstance(given, PictureInput) and port.channels <= port.pace

# SPDX-License-Identifier: BSD-3-Clause
"""Models of the blocks: the cycles in which each block takes and offers words.

Each function models a block of ``bnn/hw/rtl``: it posts the cycles in which the block can take an
input word and the cycles in which it offers an output word. A registered signal changes one cycle
after its cause; this is the reason for ``+ 1`` in many places.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

from bnn.hw.blocks.adder import Adder
from bnn.hw.blocks.block import Block
from bnn.hw.blocks.joins import Joiner, Multiplier
from bnn.hw.blocks.matrix import Matrix
from bnn.hw.blocks.plumbing import Fifo, Fork, Narrow, Pad, Resize, Serialize, Trim, Widen
from bnn.hw.blocks.rescales import RescaleUnit
from bnn.hw.blocks.states import Deal, StateUnit
from bnn.hw.blocks.tables import TableUnit
from bnn.hw.blocks.thresholds import ThresholdUnit
from bnn.hw.blocks.unpack import WORD, Unpack
from bnn.hw.blocks.window import Maximum, SlidingWindow
from bnn.plan.streams import Events, Stream

Process = Generator[Events, None, None]


@dataclass(frozen=True)
class FifoMoves:
    """Cycles in which words entered and left a FIFO."""

    entered: Events
    left: Events


class BlockModel(NamedTuple):
    """The processes that model a block.

    Attributes:
        processes: generators, see :mod:`bnn.plan.streams`.
        held: moves of the FIFO at the block's output; None if there is no FIFO.
    """

    processes: list[Process]
    held: FifoMoves | None = None


def of(block: Block, inputs: list[Stream], outputs: list[Stream], images: int) -> BlockModel:
    """Return the model of ``block``, which reads ``inputs`` and writes ``outputs``.

    ``images``: number of images of the run.
    """
    source, target = inputs[0], outputs[0]
    match block:
        case Resize():
            return BlockModel([])
        case Fifo():
            fifo = [_fifo_in(source, pops := Events(), block.depth), _queue(source, target, pops)]
            return BlockModel(fifo, FifoMoves(source.moved, target.moved))
        case Widen():
            return BlockModel([_widen(source, target, block.ratio)])
        case Narrow():
            return BlockModel([_narrow(source, target, block.ratio)])
        case Unpack():
            return BlockModel([_unpack_in(source, target, block), _unpack(source, target, block)])
        case Trim():
            return BlockModel([_trim(source, target, block), _trim_back(source, target, block)])
        case Pad():
            return BlockModel([_pad(source, target, block), _pad_back(source, target, block)])
        case Fork():
            forward = [_fork(source, outputs, each) for each in outputs]
            return BlockModel([*forward, _fork_back(source, outputs)])
        case Adder():
            return BlockModel(
                [
                    _add_back(inputs[0], inputs[1], target),
                    _add_back(inputs[1], inputs[0], target),
                    _add(source, target),
                ]
            )
        case Multiplier():
            return BlockModel([_multiply(inputs[0], inputs[1], target)])
        case Joiner():
            return BlockModel([_concat(inputs[0], inputs[1], target, block)])
        case Deal():
            return BlockModel([_deal(source, outputs, block), _deal_back(source, outputs, block)])
        case StateUnit():
            pops = Events()
            carried = [
                _state_in(source, pops, block.words, images),
                _state(source, target, pops, block.words, images),
            ]
            return BlockModel(carried, None)
        case Serialize():
            return BlockModel([_serialize(source, target, block)])
        case Maximum():
            return BlockModel([_maximum(source, target, block)])
        case SlidingWindow():
            freed = Events()
            return BlockModel(
                [_window_in(source, freed, block, images), _window(source, target, freed, block)]
            )
        case Matrix():
            pushed = Stream("results")
            issue = _matrix(source, target, pushed, block)
            moves = FifoMoves(pushed.moved, target.moved)
            return BlockModel([issue, _queue(pushed, target, Events())], moves)
        case ThresholdUnit():
            pushed = Stream("results")
            issue = _credited(source, target, pushed, int(block.generics()["DEPTH"]), 3)
            moves = FifoMoves(pushed.moved, target.moved)
            return BlockModel([issue, _queue(pushed, target, Events())], moves)
        case TableUnit():
            pushed = Stream("results")
            issue = _credited(source, target, pushed, block.depth, 3)
            moves = FifoMoves(pushed.moved, target.moved)
            return BlockModel([issue, _queue(pushed, target, Events())], moves)
        case RescaleUnit():
            pushed = Stream("results")
            issue = _credited(source, target, pushed, block.depth, block.scaling.latency)
            moves = FifoMoves(pushed.moved, target.moved)
            return BlockModel([issue, _queue(pushed, target, Events())], moves)
    raise NotImplementedError(block.module)


# ---- bnn_fifo -------------------------------------------------------------------------------


def _fifo_in(source: Stream, pops: Events, depth: int) -> Process:
    """Input of a FIFO: word n can enter after word n - ``depth`` moved to the output register."""
    for _ in range(depth):
        source.take(0)
    at = 0
    while True:
        while len(pops) <= at:
            yield pops
        source.take(pops[at] + 1)
        at += 1


def _queue(source: Stream, target: Stream, pops: Events) -> Process:
    """Output of a FIFO: a word moves to the output register when it is free or being read."""
    entered, left = source.moved, target.moved
    at = last = 0
    while True:
        while len(entered) <= at:
            yield entered
        pop = entered[at] + 1
        if at:
            while len(left) < at:
                yield left
            pop = max(pop, left[at - 1], last + 1)
        pops.post(pop)
        target.offer(pop + 1)
        last = pop
        at += 1


# ---- converters -----------------------------------------------------------------------------


def _widen(source: Stream, target: Stream, ratio: int) -> Process:
    """Widen: the first part of a wide word may enter while the previous wide word leaves."""
    source.take(0)
    at = 0
    while True:
        for _ in range(ratio - 1):
            source.take(0)
        at += ratio
        while len(source.moved) < at:
            yield source.moved
        target.offer(source.moved[at - 1] + 1)
        group = at // ratio
        while len(target.moved) < group:
            yield target.moved
        source.take(target.moved[group - 1])


def _narrow(source: Stream, target: Stream, ratio: int) -> Process:
    """Narrow: the next wide word may enter while the last part of the previous word leaves."""
    source.take(0)
    at = 0
    while True:
        while len(source.moved) <= at:
            yield source.moved
        for _ in range(ratio):
            target.offer(source.moved[at] + 1)
        at += 1
        while len(target.moved) < at * ratio:
            yield target.moved
        source.take(target.moved[at * ratio - 1])


def _beat_words(block: Unpack) -> Generator[int, None, None]:
    """Yield for each beat how many words of the batch contain it and all before it."""
    image = 0
    while True:
        for at in range(block.output_words):
            end = min((at + 1) * block.lanes, block.values)
            yield -(-(image * block.values + end) // WORD)
        image += 1


def _unpack_in(source: Stream, target: Stream, block: Unpack) -> Process:
    """Unpack, input: a word may enter in the cycle in which it is needed for the next beat.

    This is the cycle in which the last beat that needs fewer words leaves.
    """
    taken = 0
    for beat, words in enumerate(_beat_words(block)):
        if words > taken and beat:
            while len(target.moved) < beat:
                yield target.moved
        for _ in range(words - taken):
            source.take(target.moved[beat - 1] if beat else 0)
        taken = max(taken, words)


def _unpack(source: Stream, target: Stream, block: Unpack) -> Process:
    """Unpack, output: a beat is offered in the cycle after its last byte has entered.

    An image that begins within a word is offered only when the word after has come.
    """
    for beat, words in enumerate(_beat_words(block)):
        while len(source.moved) < words:
            yield source.moved
        offer = source.moved[words - 1] + 1
        image, at = divmod(beat, block.output_words)
        if at == 0 and image * block.values % WORD:
            before = image * block.values // WORD + 1  # words with bytes of earlier images
            if words <= before:
                while len(source.offers) <= before:
                    yield source.offers
                offer = max(offer, source.offers[before])
        target.offer(offer)


def _serialize(source: Stream, target: Stream, block: Serialize) -> Process:
    """Serialize: a complete group moves to the output register in one cycle.

    It does so when the last word of the previous group has left or is leaving.
    """
    tail = block.positions - (block.groups - 1) * block.pixels
    source.take(0)
    at = out = group = 0
    while True:
        for _ in range(block.folds - 1):
            source.take(0)
        at += block.folds
        while len(source.moved) < at:
            yield source.moved
        move = source.moved[at - 1] + 1
        if out:
            while len(target.moved) < out:
                yield target.moved
            move = max(move, target.moved[out - 1])
        group += 1
        size = block.pixels if group % block.groups else tail
        for _ in range(size):
            target.offer(move + 1)
        out += size
        source.take(move)


# ---- words that pass through -----------------------------------------------------------------


def _trim(source: Stream, target: Stream, block: Trim) -> Process:
    """Trim: a word that is kept passes in the cycle in which it is offered.

    All earlier words must have been taken.
    """
    at = 0
    while True:
        if at % block.total < block.keep:
            while len(source.offers) <= at:
                yield source.offers
            while len(source.moved) < at:
                yield source.moved
            before = source.moved[at - 1] + 1 if at else 0
            target.offer(max(source.offers[at], before))
        at += 1


def _trim_back(source: Stream, target: Stream, block: Trim) -> Process:
    at = 0
    while True:
        for _ in range(block.keep):
            while len(target.takes) <= at:
                yield target.takes
            source.take(target.takes[at])
            at += 1
        for _ in range(block.total - block.keep):
            source.take(0)


def _pad(source: Stream, target: Stream, block: Pad) -> Process:
    """Pad: words pass in the cycle in which they are offered; zeros need no input word."""
    at = 0
    while True:
        for _ in range(block.keep):
            while len(source.offers) <= at:
                yield source.offers
            target.offer(source.offers[at])
            at += 1
        for _ in range(block.total - block.keep):
            target.offer(0)


def _pad_back(source: Stream, target: Stream, block: Pad) -> Process:
    at = 0
    while True:
        if at % block.total < block.keep:
            while len(target.takes) <= at:
                yield target.takes
            while len(target.moved) < at:
                yield target.moved
            before = target.moved[at - 1] + 1 if at else 0
            source.take(max(target.takes[at], before))
        at += 1


def _fork(source: Stream, targets: list[Stream], target: Stream) -> Process:
    """Fork: a word moves in the cycle in which all readers take it."""
    at = 0
    while True:
        while len(source.offers) <= at:
            yield source.offers
        latest = source.offers[at]
        for each in targets:
            if each is not target:
                while len(each.takes) <= at:
                    yield each.takes
                latest = max(latest, each.takes[at])
        target.offer(latest)
        at += 1


def _fork_back(source: Stream, targets: list[Stream]) -> Process:
    at = 0
    while True:
        latest = 0
        for each in targets:
            while len(each.takes) <= at:
                yield each.takes
            latest = max(latest, each.takes[at])
        source.take(latest)
        at += 1


# ---- element by element ----------------------------------------------------------------------


def _add(source: Stream, target: Stream) -> Process:
    """Adder, output: a sum is offered in the cycle after both operands have arrived."""
    at = 0
    while True:
        while len(source.moved) <= at:
            yield source.moved
        target.offer(source.moved[at] + 1)
        at += 1


def _add_back(source: Stream, other: Stream, target: Stream) -> Process:
    """Input of an adder: it takes an operand in the first cycle in which two things hold.

    The other operand is offered, and the previous sum has left or leaves in this cycle.
    """
    at = 0
    while True:
        while len(other.offers) <= at:
            yield other.offers
        ready = other.offers[at]
        if at:
            while len(target.moved) < at:
                yield target.moved
            ready = max(ready, target.moved[at - 1])
        source.take(ready)
        at += 1


def _multiply(first: Stream, second: Stream, target: Stream) -> Process:
    """Multiplier: a pair waits in registers until the previous product has left or leaves."""
    at = left = 0
    while True:
        ready = 0
        if at:  # the registers are free when the previous pair moves to the product
            if at > 1:
                while len(target.moved) < at - 1:
                    yield target.moved
                left = target.moved[at - 2]
            ready = max(first.moved[at - 1] + 1, left)
            target.offer(ready + 1)
        for one, other in ((first, second), (second, first)):
            while len(other.offers) <= at:
                yield other.offers
            one.take(max(ready, other.offers[at]))
        while len(first.moved) <= at:
            yield first.moved
        at += 1


def _concat(first: Stream, second: Stream, target: Stream, block: Joiner) -> Process:
    """Concat: a word is taken in its stream's turn, when the previous word has left or leaves."""
    turns = [first] * block.parts[0] + [second] * block.parts[1]
    taken = {id(first): 0, id(second): 0}
    at = ready = 0
    while True:
        for source in turns:
            if at:
                while len(target.moved) < at:
                    yield target.moved
                ready = target.moved[at - 1]
            source.take(ready)
            while len(source.moved) <= taken[id(source)]:
                yield source.moved
            target.offer(source.moved[taken[id(source)]] + 1)
            taken[id(source)] += 1
            at += 1


def _maximum(source: Stream, target: Stream, block: Maximum) -> Process:
    """Maximum: only words of a window's last position wait until the output is free."""
    free = (block.positions - 1) * block.folds
    at = out = 0
    while True:
        for _ in range(free):
            source.take(0)
        at += free
        for _ in range(block.folds):
            if out:
                while len(target.moved) < out:
                    yield target.moved
                source.take(target.moved[out - 1])
            else:
                source.take(0)
            while len(source.moved) <= at:
                yield source.moved
            target.offer(source.moved[at] + 1)
            at += 1
            out += 1


# ---- sequences -------------------------------------------------------------------------------


def _turns(block: Deal, outputs: list[Stream]) -> list[Stream]:
    return [
        stream for stream, words in zip(outputs, block.parts, strict=True) for _ in range(words)
    ]


def _deal(source: Stream, outputs: list[Stream], block: Deal) -> Process:
    """Deal: a word passes in the cycle in which it is offered, when all earlier words are taken."""
    at = 0
    while True:
        for target in _turns(block, outputs):
            while len(source.offers) <= at:
                yield source.offers
            while len(source.moved) < at:
                yield source.moved
            before = source.moved[at - 1] + 1 if at else 0
            target.offer(max(source.offers[at], before))
            at += 1


def _deal_back(source: Stream, outputs: list[Stream], block: Deal) -> Process:
    taken = {id(stream): 0 for stream in outputs}
    while True:
        for target in _turns(block, outputs):
            number = taken[id(target)]
            while len(target.takes) <= number:
                yield target.takes
            source.take(target.takes[number])
            taken[id(target)] += 1


def _state_in(source: Stream, pops: Events, words: int, images: int) -> Process:
    """State, input: as that of a FIFO; words of the last column are always taken."""
    kept = words * (images - 1)
    for at in range(kept):
        if at >= words:
            while len(pops) <= at - words:
                yield pops
        source.take(0 if at < words else pops[at - words] + 1)
    for _ in range(words):
        source.take(0)


def _state(source: Stream, target: Stream, pops: Events, words: int, images: int) -> Process:
    """State, output: the start's words, then those of the FIFO."""
    for _ in range(words):
        target.offer(1)
    last = 0
    for at in range(words * (images - 1)):
        while len(source.moved) <= at:
            yield source.moved
        pop = source.moved[at] + 1
        if at:
            while len(target.moved) < words + at:
                yield target.moved
            pop = max(pop, target.moved[words + at - 1], last + 1)
        pops.post(pop)
        target.offer(pop + 1)
        last = pop


# ---- window ----------------------------------------------------------------------------------


def _groups(block: SlidingWindow) -> tuple[list[int], list[int]]:
    """Return two numbers for each group of an image: rows that it needs, rows that it frees.

    The first is the number of map rows, counted from the top, that must be in the buffer before the
    group is read. The second is the number of rows, counted from the top, that no later group
    reads.
    """
    height, width = block.out_shape
    positions, rows = height * width, block.shape[0]
    needed, freed = [], []
    for group in range(block.groups):
        last = min((group + 1) * block.pixels, positions) - 1
        needed.append(
            min(last // width * block.stride[0] + block.kernel[0] - block.padding[0], rows)
        )
        first = (group + 1) * block.pixels // width * block.stride[0] - block.padding[0]
        freed.append(rows if group == block.groups - 1 else min(max(first, 0), rows))
    return needed, freed


def _window_in(source: Stream, ends: Events, block: SlidingWindow, images: int) -> Process:
    """Window, input: the words of a row are taken when the buffer has room for the row.

    ``ends``: for each group, the cycle in which the last word of the group is read.
    """
    words = block.input_words // block.shape[0]
    rows = block.shape[0]
    _, freed = _groups(block)
    group = 0
    for row in range(images * rows):
        wanted = row - block.buffer_rows + 1  # rows freed since the start
        cycle = 0
        if wanted > 0:
            while True:
                image, place = divmod(group, block.groups)
                if image * rows + freed[place] >= wanted:
                    break
                group += 1
            while len(ends) <= group:
                yield ends
            cycle = ends[group] + 1
        for _ in range(words):
            source.take(cycle)


def _window(source: Stream, target: Stream, ends: Events, block: SlidingWindow) -> Process:
    """Window, output: a group is read from the buffer when all its rows have arrived.

    One word is read per cycle while the output is free.
    """
    needed, _ = _groups(block)
    row_words = block.input_words // block.shape[0]
    image_words = block.input_words
    steps = block.output_steps
    entered, left = source.moved, target.moved
    out = image = 0
    last = -1
    while True:
        for rows in needed:
            ready = 0
            if rows > 0:
                word = image * image_words + rows * row_words
                while len(entered) < word:
                    yield entered
                ready = entered[word - 1] + 1
            for _ in range(steps):
                step = max(ready, last + 1)
                if out:
                    while len(left) < out:
                        yield left
                    step = max(step, left[out - 1])
                target.offer(step + 1)
                last = step
                out += 1
            ends.post(last)
        image += 1


# ---- units that hold credits -----------------------------------------------------------------


def _matrix(source: Stream, target: Stream, pushed: Stream, block: Matrix) -> Process:
    """Matrix: one column fold is computed per cycle.

    The last column fold of each row fold waits until the output FIFO has room for the result.
    """
    depth, latency = block.fifo_depth, block.latency
    row_folds, column_folds = block.row_folds, block.column_folds
    entered, left = source.moved, target.moved
    at = result = 0
    end = -1
    while True:
        for row in range(row_folds):
            credit = 0
            if result >= depth:
                while len(left) <= result - depth:
                    yield left
                credit = left[result - depth] + 1
            if row == 0:
                for fold in range(column_folds):
                    ready = end + 1 if fold == 0 else 0
                    source.take(max(ready, credit) if fold == column_folds - 1 else ready)
                at += column_folds
                while len(entered) < at:
                    yield entered
                end = entered[at - 1]
            else:
                end = max(end + column_folds, credit)
            pushed.take(0)
            pushed.offer(end + latency)
            result += 1


def _credited(source: Stream, target: Stream, pushed: Stream, depth: int, latency: int) -> Process:
    """Threshold and rescale: a word is taken when the output FIFO has room for its result."""
    at = 0
    while True:
        credit = 0
        if at >= depth:
            while len(target.moved) <= at - depth:
                yield target.moved
            credit = target.moved[at - depth] + 1
        source.take(credit)
        while len(source.moved) <= at:
            yield source.moved
        pushed.take(0)
        pushed.offer(source.moved[at] + latency)
        at += 1

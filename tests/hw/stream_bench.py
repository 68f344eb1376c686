# SPDX-License-Identifier: BSD-3-Clause
"""A cocotb bench for any block between valid/ready streams: random stalls on every one of them.

It runs inside the simulator. Words come from and go to files; the test around it
(``test_benches.py``) says what they must be. What the bench itself checks is the streams' rule: a
word that waits stays what it is.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

#: Cycles without any word after which the block counts as stuck.
MAX_QUIET_CYCLES = 5000


class Feed:
    """One stream in: words offered at random times; an offer, once made, stays."""

    def __init__(self, dut: object, luck: random.Random, task: dict) -> None:
        self.valid, self.ready, self.data = (
            getattr(dut, f"{task['name']}_{end}") for end in ("valid", "ready", "data")
        )
        self.words, self.chance, self.luck = task["words"], task["chance"], luck
        self.at, self.offered = 0, False
        self.valid.value = 0

    def drive(self) -> None:
        """Signals of the coming cycle."""
        if not self.offered and self.at < len(self.words) and self.luck.random() < self.chance:
            self.offered = True
            self.data.value = self.words[self.at]
        self.valid.value = int(self.offered)

    def sample(self) -> bool:
        """Whether a word has gone in."""
        gone = self.offered and bool(int(self.ready.value))
        if gone:
            self.at, self.offered = self.at + 1, False
        return gone


class Drain:
    """Streams out, side by side in one port (a fork has several), accepted at random times."""

    def __init__(self, dut: object, luck: random.Random, task: dict) -> None:
        self.valid, self.ready, self.data = dut.o_valid, dut.o_ready, dut.o_data
        self.copies, self.bits, self.chance = task["copies"], task["bits"], task["chance"]
        # A fork shows a word only when all consumers are ready: nothing waits there.
        self.steady = self.copies == 1
        self.luck, self.now = luck, 0
        self.got: list[list[int]] = [[] for _ in range(self.copies)]
        self.waiting: list[int | None] = [None] * self.copies
        self.ready.value = 0

    def drive(self) -> None:
        """Signals of the coming cycle."""
        self.now = sum((self.luck.random() < self.chance) << n for n in range(self.copies))
        self.ready.value = self.now

    def sample(self) -> bool:
        """Whether a word has come out."""
        valid, moved = int(self.valid.value), False
        data = int(self.data.value) if valid else 0
        for n, words in enumerate(self.got):
            word = data >> n * self.bits & (1 << self.bits) - 1 if valid >> n & 1 else None
            if self.steady and self.waiting[n] is not None:
                assert word == self.waiting[n], "a word that waited has changed"
            taken = word is not None and self.now >> n & 1
            self.waiting[n] = None if taken else word
            if taken:
                words.append(word)
                moved = True
        return moved


@cocotb.test()
async def stream(dut: object) -> None:
    """Feed every word, collect as many as are expected, stalling at random."""
    task = json.loads(Path(os.environ["BNN_BENCH"]).read_text())
    luck = random.Random(task["seed"])
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    dut.rst.value = 1
    feeds = [Feed(dut, luck, each) for each in task["inputs"]]
    drain = Drain(dut, luck, task["output"])
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    quiet = 0
    while min(map(len, drain.got)) < task["output"]["words"] and quiet < MAX_QUIET_CYCLES:
        for end in (*feeds, drain):
            end.drive()
        # Values here are still those before the edge; what is driven next comes after it.
        await RisingEdge(dut.clk)
        moved = [end.sample() for end in (*feeds, drain)]
        quiet = 0 if any(moved) else quiet + 1
    Path(task["result"]).write_text(json.dumps(drain.got))

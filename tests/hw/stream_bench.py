# SPDX-License-Identifier: BSD-3-Clause
"""A cocotb bench for any block with one stream in and one out: random stalls on both.

It runs inside the simulator. Words come from and go to files; the test around it
(``test_benches.py``) says what they must be.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge


@cocotb.test()
async def stream(dut: object) -> None:
    """Feed every word, collect as many as are expected, stalling at random."""
    task = json.loads(Path(os.environ["BNN_BENCH"]).read_text())
    luck = random.Random(task["seed"])
    words, expected = task["words"], task["expected"]
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    dut.rst.value = 1
    dut.i_valid.value = 0
    dut.o_ready.value = 0
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value = 0
    fed, got, quiet = 0, [], 0
    offered = False
    while len(got) < expected and quiet < 5000:
        # A valid, once shown, stays: the rule that every block may rely on.
        if not offered and fed < len(words) and luck.random() < task["offer"]:
            offered = True
            dut.i_data.value = words[fed]
        ready = luck.random() < task["accept"]
        dut.i_valid.value = int(offered)
        dut.o_ready.value = int(ready)
        await RisingEdge(dut.clk)  # values here are those before the edge
        quiet += 1
        if offered and int(dut.i_ready.value):
            fed, offered, quiet = fed + 1, False, 0
        if ready and int(dut.o_valid.value):
            got.append(int(dut.o_data.value))
            quiet = 0
        await FallingEdge(dut.clk)
    Path(task["result"]).write_text(json.dumps(got))

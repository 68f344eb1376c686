# SPDX-License-Identifier: BSD-3-Clause
"""cocotb benches of a whole accelerator between cocotbext-axi's bus models.

They run inside the simulator; ``test_axi.py`` says what goes in and must come out. A watch on every
channel that the accelerator drives checks the protocol (AMBA AXI and ACE, chapters A3 and B1) at
each clock edge: a valid stays, its payload too, until ready; bursts keep within 4 KiB; WLAST
marks the last beat and no other; nothing is valid in reset.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
from collections import deque
from pathlib import Path

import cocotb
import cocotbext.axi as axi
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout

from bnn.hw import registers as reg

#: Where memory is; the rest of the address space answers with errors.
BASE, SIZE = 0x1000_0000, 1 << 22
#: Signals of each channel that the accelerator drives, beside valid.
DRIVEN = {
    "m_axi_ar": ("addr", "len", "size", "burst", "cache", "prot"),
    "m_axi_aw": ("addr", "len", "size", "burst", "cache", "prot"),
    "m_axi_w": ("data", "strb", "last"),
    "s_axi_b": ("resp",),
    "s_axi_r": ("data", "resp"),
}
LINE = 4096


class Memory:
    """Memory with random latency that counts its beats."""

    def __init__(self, dut: object, luck: random.Random, latency: int) -> None:
        self.dut, self.luck, self.latency = dut, luck, latency
        self.octets = bytearray(SIZE)
        self.beats = {"read": 0, "write": 0}

    async def read(self, address: int, length: int) -> bytes:
        """For the bus model, burst by burst."""
        at = await self._place(address, length)
        self.beats["read"] += length // 8
        return bytes(self.octets[at : at + length])

    async def write(self, address: int, data: bytes) -> None:
        """The same."""
        at = await self._place(address, len(data))
        self.beats["write"] += len(data) // 8
        self.octets[at : at + len(data)] = data

    async def _place(self, address: int, length: int) -> int:
        if self.latency:
            await ClockCycles(self.dut.aclk, self.luck.randint(1, self.latency))
        if not BASE <= address <= address + length <= BASE + SIZE:
            raise IndexError("no memory there")  # becomes SLVERR
        return address - BASE


class Watch:
    """Protocol assertions."""

    def __init__(self, dut: object) -> None:
        self.dut = dut
        self.channels = {
            name: (
                getattr(dut, f"{name}valid"),
                getattr(dut, f"{name}ready"),
                [getattr(dut, name + each) for each in payload],
            )
            for name, payload in DRIVEN.items()
        }
        self.bursts: deque[int] = deque()
        self.beat = 0
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        waiting: dict[str, list[int]] = {}
        reset_for = 0
        while True:
            await RisingEdge(self.dut.aclk)
            if not int(self.dut.aresetn.value):
                reset_for += 1
                waiting.clear()
                self.bursts.clear()
                self.beat = 0
                if reset_for > 2:
                    for name, (valid, _, _) in self.channels.items():
                        assert not int(valid.value), f"{name}valid in reset"
                continue
            reset_for = 0
            for name, (valid, ready, payload) in self.channels.items():
                if not int(valid.value):
                    assert name not in waiting, f"{name}valid fell before ready"
                    continue
                now = [int(signal.value) for signal in payload]
                assert waiting.get(name, now) == now, f"{name}: a waiting payload changed"
                if int(ready.value):
                    waiting.pop(name, None)
                    self._moved(name, now)
                else:
                    waiting[name] = now

    def _moved(self, name: str, payload: list[int]) -> None:
        if name in ("m_axi_ar", "m_axi_aw"):
            address, length, size, burst = payload[:4]
            assert (size, burst) == (3, 1), "not an incrementing burst of 8-byte beats"
            assert address % 8 == 0, "not aligned"
            last = address + 8 * length + 7
            assert address // LINE == last // LINE, "a burst crosses 4 KiB"
            if name == "m_axi_aw":
                self.bursts.append(length + 1)
        elif name == "m_axi_w":
            # The accelerator gives the address first (AXI itself would not ask for that).
            assert self.bursts, "write data without an address"
            self.beat += 1
            last = self.beat == self.bursts[0]
            assert payload[2] == int(last), "WLAST is not at the last beat"
            assert payload[1] == 0xFF
            if last:
                self.bursts.popleft()
                self.beat = 0


class Board:
    """The accelerator between its two bus models."""

    def __init__(self, dut: object) -> None:
        self.dut = dut
        self.task = json.loads(Path(os.environ["BNN_BENCH"]).read_text())
        self.luck = random.Random(self.task["seed"])
        self.memory = Memory(dut, self.luck, self.task["latency"])
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)  # no line for each burst
        cocotb.start_soon(Clock(dut.aclk, 10, unit="ns").start())
        dut.aresetn.value = 0
        ends = (dut.aclk, dut.aresetn)
        self.slave = axi.AxiSlave(
            axi.AxiBus.from_prefix(dut, "m_axi"),
            *ends,
            target=self.memory,
            reset_active_level=False,
        )
        self.master = axi.AxiLiteMaster(
            axi.AxiLiteBus.from_prefix(dut, "s_axi"), *ends, reset_active_level=False
        )
        for side in (self.slave, self.master):
            for channel in (
                side.write_if.aw_channel,
                side.write_if.w_channel,
                side.write_if.b_channel,
                side.read_if.ar_channel,
                side.read_if.r_channel,
            ):
                chance = self.luck.choice(self.task["pauses"])
                channel.set_pause_generator(self._pauses(chance))
        self.watch = Watch(dut)

    def _pauses(self, chance: float) -> object:
        luck = random.Random(self.luck.random())
        return (luck.random() < chance for _ in itertools.count())

    async def reset(self) -> None:
        """A few cycles of reset, whatever runs."""
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 6)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 2)

    async def write(self, register: reg.Register, value: int) -> None:
        """A register, through the bus."""
        answer = await self.master.write(register.offset, value.to_bytes(4, "little"))
        assert answer.resp == axi.AxiResp.OKAY

    async def read(self, register: reg.Register) -> int:
        """The same."""
        answer = await self.master.read(register.offset, 4)
        assert answer.resp == axi.AxiResp.OKAY
        return int.from_bytes(answer.data, "little")

    async def load(self) -> None:
        """All parameters."""
        await self.write(reg.PARAMETER_COUNT, 0)
        for target, data in self.task["loads"]:
            await self.write(reg.PARAMETER_TARGET, target)
            for value in data:
                await self.write(reg.PARAMETER_DATA, value)

    async def start(self, source: int, target: int, images: int) -> None:
        """Set up and start."""
        await self.write(reg.SOURCE_LOW, source & 0xFFFFFFFF)
        await self.write(reg.SOURCE_HIGH, source >> 32)
        await self.write(reg.TARGET_LOW, target & 0xFFFFFFFF)
        await self.write(reg.TARGET_HIGH, target >> 32)
        await self.write(reg.IMAGES, images)
        await self.write(reg.INTERRUPT_ENABLE, 1)
        await self.write(reg.CONTROL, reg.CONTROL_BITS["START"])

    async def wait(self) -> int:
        """Until the interrupt; the error register."""
        for _ in range(200_000):
            if int(self.dut.irq.value):
                break
            await RisingEdge(self.dut.aclk)
        else:
            raise AssertionError("no interrupt: it hangs")
        assert await self.read(reg.CONTROL) & reg.CONTROL_BITS["DONE"]
        await self.write(reg.INTERRUPT_STATUS, 1)
        assert not int(self.dut.irq.value)
        return await self.read(reg.ERROR)

    async def batch(self, number: int, count: int) -> None:
        """``count`` images from the task, at addresses just before a 4 KiB line."""
        images, results = (bytes.fromhex(self.task[name]) for name in ("images", "results"))
        size_in, size_out = self.task["bytes_in"], self.task["bytes_out"]
        first = number % (len(images) // size_in - count + 1)
        source = LINE * self.luck.randint(1, 8) - 8 * self.luck.randint(0, 40)
        target = SIZE // 2 + LINE * self.luck.randint(1, 8) - 8 * self.luck.randint(0, 40)
        given = images[first * size_in : (first + count) * size_in]
        wanted = results[first * size_out : (first + count) * size_out]
        octets = self.memory.octets
        octets[source : source + len(given)] = given
        octets[target - 8 : target + len(wanted) + 8] = b"\xa5" * (len(wanted) + 16)
        await self.start(BASE + source, BASE + target, count)
        assert await self.wait() == 0
        assert octets[target : target + len(wanted)] == wanted
        around = octets[target - 8 : target] + octets[target + len(wanted) :][:8]
        assert around == b"\xa5" * 16, "it writes where it must not"
        assert not self.watch.bursts


@cocotb.test()
async def scores(dut: object) -> None:
    """Batches of every size, until the beats are reached; parameters come through the bus too."""
    board = Board(dut)
    await board.reset()
    assert await board.read(reg.IDENTITY_REGISTER) == reg.IDENTITY
    await board.load()
    for number in itertools.count():
        await board.batch(number, board.luck.choice(board.task["batches"]))
        if min(board.memory.beats.values()) >= board.task["beats"]:
            break


@cocotb.test()
async def errors(dut: object) -> None:
    """Error responses raise the flag, and the next start works."""
    board = Board(dut)
    await board.reset()
    await board.load()
    inside, outside = BASE, BASE + SIZE
    bus = 1 << {name: bit for name, bit, _ in reg.ERROR.bits}["BUS"]
    for number in range(board.task["repeats"]):
        await board.start(outside, inside, 2)
        assert await board.wait() == bus
        await board.start(inside, outside, 2)
        assert await board.wait() == bus
        await board.start(outside - 8, inside, 2)  # the first beats are still memory
        assert await board.wait() == bus
        await board.batch(number, 3)


@cocotb.test()
async def resets(dut: object) -> None:
    """A reset at any moment; afterwards nothing is left of the start before."""
    board = Board(dut)
    await board.reset()
    for number in range(board.task["repeats"]):
        await board.load()
        await board.start(BASE, BASE + SIZE // 2, 50)
        await ClockCycles(dut.aclk, board.luck.randint(1, 900))
        await board.reset()
        assert await board.read(reg.SOURCE_LOW) == 0
        assert await board.read(reg.CONTROL) == reg.CONTROL_BITS["IDLE"]
        assert await board.read(reg.PARAMETER_COUNT) == 0
        await board.load()
        await board.batch(number, 3)


@cocotb.test()
async def registers(dut: object) -> None:
    """Reads and writes at once, in any order: the registers are what was last written."""
    board = Board(dut)
    await board.reset()
    plain = [reg.SOURCE_LOW, reg.SOURCE_HIGH, reg.TARGET_LOW, reg.TARGET_HIGH, reg.IMAGES]
    held = dict.fromkeys(plain, 0)
    for _ in range(board.task["accesses"]):
        register, other = board.luck.sample(plain, 2)
        value = board.luck.getrandbits(32)
        reading = cocotb.start_soon(board.read(other))
        await board.write(register, value)
        held[register] = value
        assert await reading == held[other]
        assert await board.read(register) == value
    for _ in range(board.task["accesses"] // 4):  # several on their way, each is answered
        chosen = board.luck.sample(plain, 3)
        for register in chosen:
            held[register] = board.luck.getrandbits(32)
        writes = [cocotb.start_soon(board.write(each, held[each])) for each in chosen]
        for write in writes:
            await with_timeout(write, 10_000, "ns")
        reads = [cocotb.start_soon(board.read(each)) for each in chosen]
        answers = [await with_timeout(read, 10_000, "ns") for read in reads]
        assert answers == [held[each] for each in chosen]
    for register in (reg.IDENTITY_REGISTER, reg.DESIGN_ID, reg.ERROR):  # read only
        before = await board.read(register)
        await board.write(register, ~before & 0xFFFFFFFF)
        assert await board.read(register) == before
    nowhere = reg.Register("nowhere", 0xFC, "rw", "")
    await board.write(nowhere, 5)
    assert await board.read(nowhere) == 0
    assert {register: await board.read(register) for register in plain} == held

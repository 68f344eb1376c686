# SPDX-License-Identifier: BSD-3-Clause
"""The tables of ``bnn split``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import RenderableType
from rich.table import Table

from bnn.plan import arm
from bnn.plan.split import Assumed, Cut, Times, Whole, pays, slower, software_times, whole_times
from bnn.plan.split_page import PAYS, us
from bnn.system.terminal import harmless


def _table(title: str, texts: Sequence[str], numbers: Sequence[str], last: str = "") -> Table:
    table = Table(title=harmless(title), title_justify="left", title_style="bold", box=None)
    for name in texts:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    if last:
        table.add_column(last)
    return table


def overview(model: str, whole: Whole, found: Sequence[Cut], assumed: Assumed) -> RenderableType:
    """Return a row for each layer in software, and one for each way to run all of the model."""
    table = _table(
        f"{model}: one layer in software, microseconds per image",
        ("in software",),
        ("its ARM", "its x86", "copies", "lost", "one image", "batch", "overlapped", "slower"),
        "pays",
    )
    chip, software = whole_times(whole, assumed), software_times(whole, assumed)
    table.add_row("nothing", *4 * [""], *_times(chip), "1", "")
    for cut in found:
        if cut.software is None:
            table.add_row(cut.layer.name, *8 * ["-"], "not possible")
            continue
        times = cut.times(assumed)
        table.add_row(
            cut.layer.name,
            us(cut.host_us(assumed)),
            us(cut.software.here_many_us),
            us(cut.copies_us(assumed)),
            us(max(0.0, cut.lost_us(whole, assumed))),
            *_times(times),
            f"{slower(cut, whole, assumed):.3g}",
            PAYS[pays(cut, whole, assumed)][0],
        )
    here = us(whole.software.here_many_us)
    ratio = f"{software.batch / chip.batch:.3g}"
    table.add_row("everything", us(software.batch), here, "", "", *_times(software), ratio, "")
    return table


def _times(times: Times) -> tuple[str, str, str]:
    return us(times.one), us(times.batch), us(times.overlapped)


def parts(cut: Cut) -> RenderableType:
    """Return a row for each part on the accelerator."""
    table = _table(
        "on the accelerator",
        ("part",),
        ("cycles to the first result", "cycles per image", "bytes in", "bytes out"),
    )
    for each in cut.circuits:
        mark = "" if each.exact else " (slowest block)"
        table.add_row(
            each.layers,
            f"{each.latency:,}{mark}",
            f"{each.interval:,}{mark}",
            f"{each.bytes_in:,}",
            f"{each.bytes_out:,}",
        )
    return table


def batches(whole: Whole, cut: Cut, assumed: Assumed, sizes: Sequence[int]) -> RenderableType:
    """Return a row for each size of a batch."""
    table = _table(
        "by the size of the batch, microseconds per image",
        (),
        ("images", "whole on the chip", "in parts", "overlapped", "one part at a time", "all ARM"),
    )
    for size in sizes:
        given = replace(assumed, batch=size)
        times = cut.times(given)
        software = software_times(whole, given)
        table.add_row(
            f"{size:,}",
            us(whole_times(whole, given).batch),
            us(times.batch),
            us(times.overlapped),
            us(cut.swapped_us(given)),
            us(software.batch),
        )
    return table


def notes(found: Sequence[Cut], assumed: Assumed) -> Iterator[str]:
    """Yield what the columns mean, what is assumed, and what is not possible."""
    yield ""
    yield (
        f"one image: a batch of one. batch: {assumed.batch:,} images, one part after the other. "
        f"overlapped: the same, {assumed.chunk} images at a time, chip and processor at work at "
        "once. lost: what the parts take longer than the whole circuit. slower: the better one, "
        "divided by a batch of the whole on the accelerator. pays: when it is faster than "
        "everything in software on the ARM; nearly free: and at most 1.1 times slower than the "
        "accelerator."
    )
    yield (
        f"Accelerator: {assumed.mhz:g} MHz, cycles from the event model, which is compared with "
        "simulation. Both parts are on the chip at once, except in the column one part at a time "
        f"({assumed.swap_ms:g} ms to load a bitstream, assumed)."
    )
    mean, largest = arm.errors()
    known = all(_is_counted(cut) for cut in found if cut.software is not None)
    which = (
        "counted under qemu for these layers"
        if known
        else f"of layers that were not counted estimated ({100 * mean:.0f} % mean error, "
        f"{100 * largest:.0f} % the largest, on those that were)"
    )
    yield (
        f"ARM: one core of a Cortex-A9 at {assumed.arm_mhz:g} MHz, instructions {which}; "
        f"assumed: {assumed.neon_cycles:g} cycles per NEON instruction, 1 per other, no waiting "
        f"for memory. Copies: {assumed.copy_mbytes:g} million bytes/s and {assumed.call_us:g} us "
        "per start, assumed. x86: one core of this machine, measured."
    )
    for cut in found:
        if cut.refused:
            yield f"{cut.layer.name}: {cut.refused}"


def _is_counted(cut: Cut) -> bool:
    return cut.software is None or (cut.software.one.counted and cut.software.many.counted)

# SPDX-License-Identifier: BSD-3-Clause
"""The words that passed each stream, from the waveforms (VCD) of a simulation.

A word passes if ``valid`` and ``ready`` are both high before a rising edge of the clock. The
simulator writes these values at odd-numbered times (``hw/sim/harness.cpp``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

_ENDS = ("valid", "ready", "data")


@dataclass
class _Stream:
    """The words that have passed a stream, and the current values of its three signals."""

    words: list[int] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ENDS, 0))

    @property
    def passes(self) -> bool:
        return bool(self.values["valid"] and self.values["ready"])


def words(lines: Iterable[str], streams: Collection[str]) -> dict[str, list[int]]:
    """Return for each of ``streams``, by name, the words that passed it, in order.

    Args:
        lines: lines of the VCD file.
        streams: names, each with signals ``NAME_valid``, ``NAME_ready`` and ``NAME_data``.

    Raises:
        ValueError: a signal is missing, or a line is not VCD.
    """
    rest = iter(lines)
    found = {name: _Stream() for name in streams}
    signals = _signals(rest, found)
    now = 0
    passing: set[str] = set()
    for line in rest:
        if line.startswith("#"):
            time = int(line[1:])
            # All values of a time are known when the next time begins.
            edges = time // 2 - now // 2
            for name in passing:
                stream = found[name]
                stream.words += [stream.values["data"]] * edges
            now = time
            continue
        code, value = _change(line)
        for name, end in signals.get(code, ()):
            stream = found[name]
            stream.values[end] = value
            if stream.passes:
                passing.add(name)
            else:
                passing.discard(name)
    return {name: stream.words for name, stream in found.items()}


def _signals(lines: Iterator[str], found: dict[str, _Stream]) -> dict[str, list[tuple[str, str]]]:
    """Return for each VCD code the signals with this code, as (stream, ``valid|ready|data``)."""
    wanted = {f"{name}_{end}": (name, end) for name in found for end in _ENDS}
    signals: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        if line.startswith("$enddefinitions"):
            break
        parts = line.split()
        if len(parts) >= 5 and parts[0] == "$var" and parts[4] in wanted:
            signals.setdefault(parts[3], []).append(wanted.pop(parts[4]))
    if wanted:
        raise ValueError(f"the waveforms have no signal {min(wanted)}")
    return signals


def _change(line: str) -> tuple[str, int]:
    """Return the VCD code and the new value of the signal that ``line`` changes; else ("", 0)."""
    text = line.rstrip("\n")
    if text.startswith("b"):
        value, _, code = text[1:].partition(" ")
        return code, int(value, 2)
    if text[:1] in ("0", "1"):
        return text[1:], int(text[0])
    return "", 0

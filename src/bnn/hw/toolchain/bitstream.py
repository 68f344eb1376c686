# SPDX-License-Identifier: BSD-3-Clause
"""Make a bitstream from a router's features, with the database of Project X-Ray.

The router writes what each tile of the chip does, as one *feature* per line (FASM)::

    INT_L_X20Y93.SE6BEG2.LOGIC_OUTS_L8
    CLBLL_L_X68Y149.SLICEL_X0.ALUT.INIT[63:0] = 64'b0101...

The configuration of a chip consists of frames; a frame has a 32-bit address and 101 words of 32
bits. Each tile has a part of some frames. Three kinds of files are in the database:
``segbits_*.db`` has the bits that each feature of a kind of tile sets (frame and bit within the
tile's part), ``ppips_*.db`` has the features that set no bits, and ``tilegrid.json`` has the place
of each tile's part. The program ``xc7frames2bit`` adds checksums and commands to the frames.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bnn.errors import BuildError
from bnn.hw.boards import Board
from bnn.hw.toolchain import locate as tools

PROGRAM = "xc7frames2bit"
WORDS = 101  # of a frame
#: Configuration frames: address -> words.
Frames = dict[int, list[int]]

_LINE = re.compile(
    r"(?P<tile>\w+)\.(?P<name>[\w.]+)"
    r"(?:\[(?P<high>\d+)(?::(?P<low>\d+))?\])?"
    r"(?:\s*=\s*(?:\d+'(?P<base>[bhd]))?(?P<value>[0-9a-fA-F_]+))?"
)
_BASES = {"b": 2, "h": 16, "d": 10, None: 10}


@dataclass(frozen=True)
class Bit:
    """One configuration bit of a feature.

    Attributes:
        frame, at: number of the frame, and of the bit in it, within the tile's part.
        value: value of the bit if the feature is used.
    """

    frame: int
    at: int
    value: bool


@dataclass(frozen=True)
class Kind:
    """One kind of tile in the database.

    Attributes:
        bits: (feature, index) -> (bus, configuration bits that the feature sets); the bus is
            ``CLB_IO_CLK`` or ``BLOCK_RAM``.
        free: features without configuration bits.
    """

    bits: dict[tuple[str, int], tuple[str, tuple[Bit, ...]]]
    free: frozenset[str]


@dataclass
class Database:
    """The database files for one part; a kind of tile is read when it is used first.

    Args:
        folder: folder of the family, such as ``.../prjxray/database/zynq7``.
        fabric: name of the part, such as ``xc7z020``.
    """

    folder: Path
    fabric: str
    _kinds: dict[str, Kind] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = self.folder / self.fabric / "tilegrid.json"
        try:
            self.tiles: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as reason:
            raise BuildError(f"{path}: not a tile grid of prjxray: {reason}") from reason

    def kind(self, name: str) -> Kind:
        """Return the kind of tile called ``name``, with its features."""
        if name not in self._kinds:
            self._kinds[name] = self._read(name.lower())
        return self._kinds[name]

    def _read(self, name: str) -> Kind:
        bits = {}
        for bus, suffix in (("CLB_IO_CLK", ""), ("BLOCK_RAM", ".block_ram")):
            for words in _lines(self.folder / f"segbits_{name}{suffix}.db"):
                bits[_key(words[0])] = (bus, tuple(_bit(word) for word in words[1:]))
        free = _lines(self.folder / f"ppips_{name}.db")
        return Kind(bits, frozenset(words[0].partition(".")[2] for words in free))


def _lines(path: Path) -> Iterator[list[str]]:
    if path.is_file():
        with path.open(encoding="ascii") as file:
            yield from (line.split() for line in file if line.strip())


def _key(feature: str) -> tuple[str, int]:
    """Return (name, index) of a feature in the database; index 0 if there is no index.

    Example: (``SLICEL_X0.ALUT.INIT``, 5) for ``CLBLL_L.SLICEL_X0.ALUT.INIT[05]``.
    """
    name, _, index = feature.partition(".")[2].partition("[")
    return name, int(index.rstrip("]") or 0)


def _bit(text: str) -> Bit:
    frame, _, at = text.lstrip("!").partition("_")
    return Bit(int(frame), int(at), not text.startswith("!"))


def parse(line: str) -> tuple[str, str, list[int]] | None:
    """Return (tile, feature, indices that are 1) of a FASM line; None if it has no feature.

    Raises:
        BuildError: the line is not a feature.
    """
    text = line.partition("#")[0].strip()
    if not text:
        return None
    match = _LINE.fullmatch(text)
    if match is None:
        raise BuildError(f"{text[:60]!r}: is not a feature of a tile (TILE.FEATURE)")
    low = int(match["low"] or match["high"] or 0)
    high = int(match["high"] or low)
    value = int(match["value"] or "1", _BASES[match["base"]])
    if value >> (high - low + 1):
        raise BuildError(f"{text[:60]!r}: the value is wider than its feature")
    ones = [low + at for at in range(high - low + 1) if value >> at & 1]
    return match["tile"], match["name"], ones


def frames(lines: Iterable[str], database: Database) -> Frames:
    """Return the configuration frames for ``lines`` of FASM.

    Raises:
        BuildError: the database does not have a tile or feature, or two features set one bit to
            different values.
    """
    result: Frames = {}
    wanted: dict[tuple[int, int], tuple[bool, str]] = {}
    for line in lines:
        parsed = parse(line)
        if parsed is None:
            continue
        tile, feature, ones = parsed
        if tile not in database.tiles:
            raise BuildError(f"prjxray knows no tile {tile} on {database.fabric}")
        grid = database.tiles[tile]
        kind = database.kind(grid["type"])
        if feature in kind.free:
            continue
        for index in ones:
            if (feature, index) not in kind.bits:
                raise BuildError(f"prjxray knows no feature {feature}[{index}] of {tile}")
            bus, bits = kind.bits[feature, index]
            where = _where(grid, bus, tile)
            for bit in bits:
                address = where[0] + bit.frame
                at = where[1] * 32 + bit.at
                value, by = wanted.setdefault((address, at), (bit.value, line))
                if value != bit.value:
                    raise BuildError(
                        f"two features set one bit differently: {by.strip()}, {line.strip()}"
                    )
                words = result.setdefault(address, [0] * WORDS)
                words[at // 32] |= bit.value << at % 32
    return result


def _where(grid: dict[str, Any], bus: str, tile: str) -> tuple[int, int]:
    """Return (address of the first frame, number of the first word) of a tile's part."""
    part = grid["bits"].get(bus)
    if part is None or "alias" in part:
        raise BuildError(f"tiles like {tile} cannot be written: they have no bits of their own")
    return int(part["baseaddr"], 16), part["offset"]


@cache
def _database(folder: Path, fabric: str) -> Database:
    return Database(folder, fabric)


def write(fasm: Path, board: Board, target: Path) -> Frames:
    """Make the bitstream ``target`` for a board's chip from the file ``fasm``; return the frames.

    Raises:
        RuntimeUnavailableError: prjxray is not installed.
        BuildError: the database does not have the features, or xc7frames2bit fails.
    """
    program = tools.command(PROGRAM)
    folder, part = tools.database(board.part), board.device
    database = _database(folder, board.part.name)
    needed = folder / part / "required_features.fasm"
    extra = needed.read_text(encoding="ascii") if needed.is_file() else ""
    with fasm.open(encoding="ascii") as file:
        made = frames((*extra.splitlines(), *file), database)
    text = target.with_suffix(".frm")
    text.write_text(
        "".join(
            f"0x{address:08x} {','.join(f'0x{word:08x}' for word in words)}\n"
            for address, words in sorted(made.items())
        ),
        encoding="ascii",
    )
    arguments = [
        f"--part_file={folder / part / 'part.yaml'}",
        f"--part_name={part}",
        f"--frm_file={text.name}",  # the file's header holds this name
        f"--output_file={target.name}",
    ]
    done = subprocess.run(
        [*program, *arguments], cwd=target.parent, capture_output=True, text=True, check=False
    )
    if done.returncode or not target.is_file():
        raise BuildError(f"xc7frames2bit failed: {done.stderr.strip()[:200]}")
    text.unlink()
    return made

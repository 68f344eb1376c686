# SPDX-License-Identifier: BSD-3-Clause
"""Make the bitstream of a whole system with free tools: Yosys, nextpnr, Project X-Ray."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from bnn.errors import BuildError
from bnn.hw.boards import Board
from bnn.hw.render import Sources
from bnn.hw.toolchain import bitstream, route, synth
from bnn.hw.toolchain import locate as tools


def implement(
    text: Sources, board: Board, target: Path, *, seed: int = 1, seconds: float | None = None
) -> route.Routed:
    """Synthesize, place and route a design for ``board``; return the result of place and route.

    Write ``bnn.bit``, ``route.log`` and ``timing.json`` into the folder ``target``.

    Args:
        text: the design's source files.
        board: board whose chip the design is for.
        target: folder of the results; it is made if it is missing.
        seed: seed of the placer.
        seconds: time limit of place and route in seconds; None: no limit.

    Raises:
        RuntimeUnavailableError: a tool is missing; the message names it and how to get it.
        BuildError: a tool refuses the design, or place and route exceeds the time limit.
    """
    top = board.built.top
    tools.family(board.part)
    synth.command()
    tools.command(route.PROGRAM)
    tools.command(bitstream.PROGRAM)
    tools.database(board.part)
    with tempfile.TemporaryDirectory(prefix="bnn-route-") as name:
        folder = Path(name)
        files = {**text.files, f"{top}.sv": board.top_source()}
        for file, content in files.items():
            (folder / file).write_text(content, encoding="utf-8")
        synth.run(folder, synth.routable([*text.verilog, f"{top}.sv"], top, board.part))
        try:
            target.mkdir(parents=True, exist_ok=True)
            try:
                routed = route.route(
                    folder,
                    synth.NETLIST,
                    board,
                    mhz=board.clock_mhz,
                    seed=seed,
                    seconds=seconds,
                )
            finally:  # the log shows how far it got
                for made in ("route.log", "timing.json"):
                    if (folder / made).exists():
                        shutil.copy(folder / made, target / made)
            bitstream.write(routed.fasm, board, target / "bnn.bit")
        except OSError as reason:
            raise BuildError(f"{target}: cannot be written: {reason.strerror}") from reason
    return routed

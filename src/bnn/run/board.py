# SPDX-License-Identifier: BSD-3-Clause
"""The board runtime: the accelerator on a PYNQ board.

The accelerator is in a folder that ``bnn build`` and Vivado made. This runtime needs the package
``pynq``, which is on every PYNQ image, for the bitstream, registers, shared buffers and clocks. It
does not need the folder's ``.hwh`` file.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bnn.driver.board import BoardTransport
from bnn.driver.driver import Driver
from bnn.errors import BuildError, DriverError
from bnn.hw import earlier
from bnn.hw import folding as folds
from bnn.hw.boards import board, place_digest
from bnn.hw.design import build
from bnn.hw.host_packing import Accelerated
from bnn.hw.loading import Metadata, loads, metadata
from bnn.hw.patience import max_cycles
from bnn.hw.render import sources
from bnn.program.program import Program
from bnn.run.accelerator import AcceleratorRuntime
from bnn.system.files import parse_json, read_file

#: Environment variable that names the folder if ``build`` is not given.
VARIABLE = "BNN_ACCELERATOR"
_COPY = "copy the whole folder that bnn build made, with bnn.bit"


def prepare(
    program: Program,
    *,
    build: str | os.PathLike[str] | None = None,
    patience: float | None = None,
) -> BoardRuntime:
    """Return ``program`` on the board's accelerator, which several runtimes of a process share.

    Args:
        build: the folder of ``bnn build`` with ``bnn.bit`` in it; None: the folder that the
            environment variable ``BNN_ACCELERATOR`` names.
        patience: seconds after which a start counts as stuck; None: computed from the cycles of
            its images (:mod:`bnn.hw.patience`), the chip's clock, and 5 s more. A start is at most
            1 MiB of images, or the whole batch of an array of :meth:`bnn.Classifier.allocate`.

    Raises:
        RuntimeUnavailableError: this is not a PYNQ board, or its image is too old.
        DriverError: the folder is missing, incomplete or built for another model, another process
            uses the board's chip, or ``patience`` is not a number above 0.
    """
    _check_patience(patience)
    place = build or os.environ.get(VARIABLE)
    if not place:
        raise DriverError(f"no accelerator is named: give build=FOLDER or set {VARIABLE}")
    if not os.path.isdir(place):  # noqa: PTH112 - Path.is_dir raises where a name is too long
        raise DriverError(f"{place}: no such folder: give build=FOLDER or set {VARIABLE}")
    folder = Path(place)
    values = read_metadata(folder)
    accelerated, known = match(program, folder, values)
    transport = BoardTransport(
        folder / "bnn.bit",
        int(values["base"]),
        int(values["span"]),
        float(values["mhz"]),
        patience,
    )
    # Cycles are for the message of a start that is stuck: a given patience is not made of them.
    cycles = partial(max_cycles, accelerated.design) if patience is None else None
    driver = Driver(transport, known, cycles)
    if accelerated.design.folding.loadable:
        driver.load(loads(accelerated.design))
    return BoardRuntime(accelerated, driver, transport)


def _check_patience(patience: Any) -> None:
    if patience is None:
        return
    number = isinstance(patience, int | float) and not isinstance(patience, bool)
    if not number or not 0 < patience < math.inf:
        raise DriverError(f"patience must be a number of seconds above 0, not {patience!r:.40}")


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the contents of ``driver.json`` in ``folder``.

    Raises:
        DriverError: the file cannot be read, or somebody changed board, addresses or clock.
    """
    path = folder / "driver.json"
    try:
        values = parse_json(read_file(path, 1 << 22, DriverError))
        if not isinstance(values, dict):
            raise TypeError("it is not a JSON object")
        _check_place(path, values)
    except KeyError as reason:
        raise DriverError(f"{path}: {reason} is missing: {_COPY}") from None
    except (ValueError, TypeError, BuildError) as reason:
        raise DriverError(f"{path}: cannot be read ({reason}): {_COPY}") from None
    return values


def _check_place(path: Path, values: dict[str, Any]) -> None:
    """Raise DriverError if somebody changed board, addresses or clock in ``driver.json``.

    Folders of older versions of bnn have no ``place_digest``; their values are compared with the
    file of the board.
    """
    name, said = str(values["board"]), {each: values[each] for each in ("base", "span", "mhz")}
    for each, value in said.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{each} is not a number")
    if "place_digest" in values:
        if values["place_digest"] != place_digest(name, **said):
            raise DriverError(f"{path}: board, base, span or mhz was changed: {_COPY}")
        return
    kind = board(name)
    where = kind.built
    for each, value in {"base": where.base, "span": where.span, "mhz": kind.clock_mhz}.items():
        if said[each] != value:
            raise DriverError(
                f"{path}: {each} is {said[each]!r}, but board {kind.name} has {value!r}: {_COPY}"
            )


def match(program: Program, folder: Path, values: dict[str, Any]) -> tuple[Accelerated, Metadata]:
    """Return the design of ``program`` with the folding in ``folder``, and the design's metadata.

    ``values``: contents of ``driver.json`` in ``folder``; the metadata must be equal to them. A
    folder of an earlier version may have another ``design_id``, see :mod:`bnn.hw.earlier`.

    Raises:
        DriverError: the folder was built for another model or by another version of bnn, or its
            folding is missing.
    """
    path = folder / "folding.json"
    if not path.is_file():
        raise DriverError(f"{path}: no such file: {_COPY}")
    known = Metadata.from_json(values)
    try:
        # Foldings of earlier versions do not say how images are stored; driver.json does.
        folding = replace(folds.read(path, program), input=known.input, output=known.output)
        design = build(program, folding)
    except BuildError as reason:
        raise DriverError(
            f"{folder}: built for another model ({reason}); build this model with bnn build"
        ) from reason
    own = metadata(design, sources(design))
    is_earlier = replace(own, design_id=known.design_id) == known and earlier.is_right(
        folder, design, known.design_id
    )
    if own != known and not is_earlier:
        raise DriverError(
            f"{folder}: built for another model, or by another version of bnn; "
            "build it again with bnn build"
        )
    return Accelerated(design), known


class BoardRuntime(AcceleratorRuntime):
    """A program on a board's accelerator."""

    def __init__(self, accelerated: Accelerated, driver: Driver, transport: BoardTransport) -> None:
        super().__init__(accelerated, driver)
        self._transport = transport

    @property
    def mhz(self) -> float:
        """The chip's clock in MHz: the highest that its dividers make, up to the design's clock."""
        return self._transport.clock_mhz

# SPDX-License-Identifier: BSD-3-Clause
"""What a process does with one shard: read it, classify it, write its part of the results."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.classifier import decide
from bnn.data.pictures.polarity import settled_each
from bnn.data.pictures.preprocess import Digit, Preprocess
from bnn.data.pictures.seen import open_one_of
from bnn.errors import BnnError, BnnWarning, BulkError, DataError, InputError
from bnn.model.file import load
from bnn.model.model import Model
from bnn.program.inputs import PictureInput
from bnn.run import Runtime, prepare
from bnn.scale.sources import Block, Shard, blocks
from bnn.system.files import write_whole


@dataclass(frozen=True)
class Job:
    """The settings of a run, which are the same for all processes.

    Attributes:
        model: path of the model's ``.bnn`` file. The model itself is not sent: if a process were
            killed while it gets more than a pipe can hold, the sender would wait for ever
            (CPython's ``spawn``).
        runtime: name of the runtime.
        column: name of the tables' column with the pictures; None: the column with a usual name.
        folder: folder of the parts.
    """

    model: str
    runtime: str
    column: str | None
    folder: str

    def part(self, index: int) -> Path:
        """Return the path of the part of the shard with the number ``index``."""
        return Path(self.folder) / f"part-{index:06d}.parquet"


@dataclass(frozen=True)
class Done:
    """What was done for a shard: rows, rows with an error, and seconds of each step."""

    rows: int
    errors: int
    reading: float = 0.0
    decoding: float = 0.0
    computing: float = 0.0
    writing: float = 0.0


class Worker:
    """Classifies shards, one after the other, on one thread."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._model = load(job.model)
        options: dict[str, Any] = {"threads": 1} if job.runtime == "cpu" else {}
        self._runtime: Runtime = prepare(job.runtime, self._model.program, **options)

    def run(self, index: int, shard: Shard) -> Done:
        """Classify a shard and write its part, whole or not at all; return what was done.

        Raises:
            BulkError: the shard was changed while it was read, or the part cannot be written.
            InputError: the model does not take the inputs of the shard.
        """
        from bnn.scale.tables import to_bytes

        before = shard.fingerprint()
        took = _Times()
        tables: list[Any] = []
        errors = rows = 0
        for table, bad in self._tables(shard, took):
            tables.append(table)
            errors += bad
            rows += len(table)
        if shard.fingerprint() != before:
            which = "one of them was" if len(shard.paths) > 1 else "was"
            raise BulkError(
                f"{shard.name}: {which} changed while it was read; start again to read it"
            )
        began = time.perf_counter()
        write_whole(self._job.part(index), to_bytes(tables, before), BulkError)
        writing = time.perf_counter() - began
        return Done(rows, errors, took.reading, took.decoding, took.computing, writing)

    def _tables(self, shard: Shard, took: _Times) -> Iterator[tuple[Any, int]]:
        with warnings.catch_warnings():
            # Of every animation, of odd metadata: rows are many.
            warnings.simplefilter("ignore", BnnWarning)
            warnings.filterwarnings("ignore", module="PIL")
            began = time.perf_counter()
            try:
                for block in blocks(shard, self._job.column):
                    took.reading += time.perf_counter() - began
                    yield self._classified(block, took)
                    began = time.perf_counter()
            except DataError as reason:  # damaged from here on: one row says so
                yield self._failed(shard, reason), 1

    def _failed(self, shard: Shard, reason: DataError) -> Any:
        from bnn.scale.tables import results

        nothing = np.empty((0, self._model.program.score_count), np.int32)
        return results([shard.paths[0]], np.zeros(1, np.bool_), nothing, np.empty(0, np.int64),
                       (), [str(reason)])  # fmt: skip

    def _classified(self, block: Block, took: _Times) -> tuple[Any, int]:
        from bnn.scale.tables import results

        program = self._model.program
        began = time.perf_counter()
        batch, errors = decoded(self._model, block)
        ready = time.perf_counter()
        outputs = self._runtime.run(batch)
        classes = decide(program, outputs)
        took.decoding += ready - began
        took.computing += time.perf_counter() - ready
        good = np.array([error is None for error in errors], np.bool_)
        table = results(block.names, good, outputs.scores, classes, self._model.classes, errors)
        return table, len(errors) - len(batch)


@dataclass
class _Times:
    """Seconds that each step took so far."""

    reading: float = 0.0
    decoding: float = 0.0
    computing: float = 0.0


#: An input, or why there is none.
_Tried = NDArray[np.uint8] | BnnError


def decoded(model: Model, block: Block) -> tuple[NDArray[Any], list[str | None]]:
    """Return the inputs of a block that can be read, as a batch for a runtime, and all errors.

    There is an error for each input; it is None if the input could be read.

    Raises:
        InputError: the model does not take arrays of this shape or type, or does not take pictures.
    """
    program = model.program
    if not isinstance(block.given, list):
        given = _fitting(model, block)
        if model.preprocess is not None and given.dtype == np.uint8:
            given = model.preprocess.ready(given)
        return program.input.check(given), [None] * len(block.names)
    if model.preprocess is None or not isinstance(program.input, PictureInput):
        raise InputError(
            f"{block.names[0]}: {model.name or 'the model'} does not take pictures; give arrays"
        )
    tried = _plain(model, block.given)
    for place, found in enumerate(tried):
        if found is None:
            tried[place] = _tried(model, block.given[place], block.names[place])
    parts = [found for found in tried if isinstance(found, np.ndarray)]
    errors = [str(found) if isinstance(found, BnnError) else None for found in tried]
    batch = np.stack(parts) if parts else np.empty((0, *program.input.shape), np.uint8)
    return program.input.check(batch), errors


def _plain(model: Model, files: Sequence[bytes | BnnError]) -> list[_Tried | None]:
    """Return the inputs of picture files for which `as_it_is` is enough; None for the others."""
    assert model.preprocess is not None, "checked by the caller"
    height, width, channels = model.program.input.shape
    rule, shape = model.preprocess, (height, width, channels)
    found: list[_Tried | None] = [
        None if isinstance(data, BnnError) else as_it_is(rule, data, shape) for data in files
    ]
    places = [place for place, pixels in enumerate(found) if pixels is not None]
    if not places or not isinstance(rule, Digit) or not rule.like_mnist:
        return found
    # Digits become light on black all together, which takes less time.
    pixels = np.stack([each for each in found if isinstance(each, np.ndarray)])
    ready, unknown = settled_each(pixels[..., 0])
    for place, levels, unclear in zip(places, ready, unknown.tolist(), strict=True):
        found[place] = None if unclear else levels[..., None]
    return found


def _tried(model: Model, data: bytes | BnnError, name: str) -> _Tried:
    if isinstance(data, BnnError):
        return data
    try:
        return picture(model, data, name)
    except BnnError as reason:
        return reason


def _fitting(model: Model, block: Block) -> NDArray[Any]:
    """Return a block's arrays in the shape of the model's input.

    Flat arrays, and grey pictures without an axis for channels, are reshaped.

    Raises:
        InputError: the arrays have another shape.
    """
    given, shape = np.asarray(block.given), model.program.input.shape
    found = given.shape[1:]
    if found == shape:
        return given
    if (*found, 1) == shape or found == (int(np.prod(shape)),):
        return given.reshape(len(given), *shape)
    name = block.names[0]
    raise InputError(
        f"{name}: arrays are {list(found)}, {model.name or 'the model'} takes {list(shape)}"
    )


def picture(model: Model, data: bytes, name: str) -> NDArray[np.uint8]:
    """Return the picture of a file, prepared for the model: uint8 (height, width, channels).

    ``data`` are the bytes of the file. The result equals the preparation of the file.
    """
    assert model.preprocess is not None, "checked by the caller"
    height, width, channels = model.program.input.shape
    with open_one_of(data, name) as opened:
        return model.preprocess.to_array(opened, (height, width, channels))


#: Metadata of a picture file that have no effect on its pixels.
_HARMLESS = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}


def as_it_is(
    rule: Preprocess, data: bytes, shape: tuple[int, int, int]
) -> NDArray[np.uint8] | None:
    """Return the pixels of a picture that need no preparation as a picture file; None for others.

    These are plain pictures with the size and colours of the input. A preparation does not change
    them, except that digits become light on black (`bnn.data.pictures.polarity.settled`), which
    this function leaves to its caller. A preparation takes longer than decoding such a picture. All
    other pictures must be prepared (:meth:`Preprocess.to_array`): for example those with another
    size or depth, transparency, EXIF, several frames or damage.
    """
    from PIL import Image

    height, width, channels = shape
    mode = "L" if channels == 1 else "RGB"
    if mode == "RGB" and isinstance(rule, Digit):
        return None  # it makes them grey
    try:
        with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.mode != mode or image.size != (width, height) or len(image.tile) != 1:
                return None
            args = image.tile[0].args
            if args not in (mode, (mode, "")) or getattr(image, "is_animated", False):
                return None
            pixels = np.asarray(image)
            if not image.info.keys() <= _HARMLESS:  # some of it comes after the pixels
                return None
    except Exception:  # damaged in one of many ways: the preparation says how
        return None
    return pixels.reshape(shape)

# SPDX-License-Identifier: BSD-3-Clause
"""Bulk classification: cut the sources into shards, classify them, write a part for each.

A part is a Parquet file with the results of a shard. If a run was interrupted, the next run
continues it: parts are kept if their shards have not changed. An engine classifies shards in
processes, and returns a :class:`Done` for each. Engines are in ``local`` (processes of this
machine) and ``on_ray`` (Ray Data).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnn.errors import BulkError
from bnn.model.file import save
from bnn.model.model import Model
from bnn.scale.sources import Shard, is_remote, shards
from bnn.scale.work import Done, Job
from bnn.system.files import TEMPORARY, parse_json, read_file, write_whole

_PLAN = "_plan.json"
_SUMMARY = "_summary.json"
#: File of the model in the folder of the results: processes load it from there.
_MODEL = "_model.bnn"
_MAX_PLAN = 1 << 20

#: Function that classifies the shards (number, shard) of a job; yields (number, what was done).
Engine = Callable[[Job, list[tuple[int, Shard]]], Iterator[tuple[int, Done]]]


@dataclass
class Progress:
    """How much of a run is done.

    Attributes:
        shards, done: number of all shards, and of shards that are done or kept.
        kept: rows in parts of earlier runs.
        rows: rows of this run.
        errors: rows with an error, of this run and of earlier runs.
        times: seconds of each step, over all processes.
        began: when this run began, by ``time.monotonic()``.
    """

    shards: int
    done: int = 0
    kept: int = 0
    rows: int = 0
    errors: int = 0
    times: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("reading", "decoding", "computing", "writing"), 0.0)
    )
    began: float = field(default_factory=time.monotonic)

    def add(self, done: Done) -> None:
        """Add a shard that is done."""
        self.done += 1
        self.rows += done.rows
        self.errors += done.errors
        for name in self.times:
            self.times[name] += getattr(done, name)

    @property
    def rate(self) -> float:
        """Rows per second since this run began."""
        return self.rows / max(time.monotonic() - self.began, 1e-9)

    def line(self) -> str:
        """Return one line of text: how much is done, how fast, and which steps take the time."""
        total = sum(self.times.values()) or 1.0
        shares = ", ".join(
            f"{name} {100 * value / total:.0f} %" for name, value in self.times.items()
        )
        return (
            f"{self.done} of {self.shards} shards, {self.rows} images, {self.rate:,.0f} images/s "
            f"({shares}), {self.errors} errors"
        )


def bulk(
    model: Model,
    sources: Sequence[str],
    out: str | os.PathLike[str],
    engine: Engine,
    *,
    runtime: str = "cpu",
    column: str | None = None,
    advance: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Classify every input of ``sources`` into Parquet files in the folder ``out``.

    Each shard becomes one file, with the columns ``name``, ``class_index``, ``class_name``,
    ``scores``, and ``error`` (why an input cannot be read). Files of an earlier run are kept if
    their shards have not changed. Return how much was done.

    Args:
        model: the model.
        sources: files and folders; see :mod:`bnn.scale.sources`.
        out: a new folder, or the folder of an earlier run of the same model and sources.
        engine: function that classifies the shards, from ``local`` or ``on_ray``.
        runtime: name of a runtime, see :data:`bnn.run.RUNTIMES`.
        column: name of the tables' column with the pictures; None: the column with a usual name.
        advance: function that is called after each shard.

    Raises:
        BulkError: a source is missing or was changed during the run, the folder has other
            results, or the results cannot be written.
        BnnError: the model does not take these inputs.
    """
    planned = shards(list(sources))
    if column is not None and not any(shard.kind == "table" for shard in planned):
        raise BulkError(
            f"--column {column}: is for tables (.parquet, .arrow), of which the sources have none"
        )
    folder = Path(out)
    _begin(folder, _plan(model, sources, runtime, column))
    place = folder.resolve()
    save(model, place / _MODEL)
    job = Job(str(place / _MODEL), runtime, column, str(place))
    (folder / _SUMMARY).unlink(missing_ok=True)
    _remove_others(folder, job, len(planned))
    progress = Progress(len(planned))
    waiting = []
    for index, shard in enumerate(planned):
        kept = _kept(job, index, shard)
        if kept is None:
            waiting.append((index, shard))
            continue
        progress.done += 1
        progress.kept += kept.rows
        progress.errors += kept.errors
    progress.began = time.monotonic()
    for _, done in engine(job, waiting):
        progress.add(done)
        advance(progress)
    _remove_others(folder, job, len(planned))
    told = {
        "parts": len(planned),
        "rows": progress.kept + progress.rows,
        "errors": progress.errors,
    }
    write_whole(folder / _SUMMARY, json.dumps(told).encode(), BulkError)
    return progress


def _plan(model: Model, sources: Sequence[str], runtime: str, column: str | None) -> dict[str, Any]:
    rule = None if model.preprocess is None else model.preprocess.to_json()
    said = json.dumps([model.program.digest(), list(model.classes), rule], sort_keys=True)
    return {
        "format": 1,
        "model": hashlib.sha256(said.encode()).hexdigest(),
        "sources": [each if is_remote(each) else str(Path(each).resolve()) for each in sources],
        "column": column,
        "runtime": runtime,
    }


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Make the folder; if it exists, check that its results are of the same plan."""
    place = folder / _PLAN
    if not place.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise BulkError(f"{folder}: holds other files; give a new folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as reason:
            raise BulkError(f"{folder}: cannot be made: {reason.strerror}") from None
        write_whole(place, json.dumps(plan, indent=1).encode(), BulkError)
        return
    try:
        there = parse_json(read_file(place, _MAX_PLAN, BulkError))
    except ValueError:
        there = None
    if not isinstance(there, dict):
        raise BulkError(f"{place}: is damaged; give a new folder")
    different = [key for key in plan if there.get(key) != plan[key]]
    if different and not any(folder.glob("part-*.parquet")):
        # A run that was refused at its first shard left a plan, and no results.
        write_whole(place, json.dumps(plan, indent=1).encode(), BulkError)
    elif different:
        what = " and ".join(f"other {key}" if key == "sources" else f"another {key}"
                            for key in different)  # fmt: skip
        raise BulkError(f"{folder}: has results of {what}; give a new folder")


def _remove_others(folder: Path, job: Job, count: int) -> None:
    """Remove parts whose shards do not exist any more, and files of killed processes."""
    wanted = {job.part(index).name for index in range(count)}
    for path in (*folder.glob("part-*.parquet"), *folder.glob(TEMPORARY.format("*"))):
        if path.name not in wanted:
            path.unlink(missing_ok=True)


def _kept(job: Job, index: int, shard: Shard) -> Done | None:
    from bnn.scale.tables import part_of

    found = part_of(job.part(index))
    if found is None or found[0] != shard.fingerprint():
        return None
    return Done(found[1], found[2])

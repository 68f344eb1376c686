# SPDX-License-Identifier: BSD-3-Clause
"""The engine of a cluster: actors of Ray Data, which read the sources and write the parts.

Every machine of the cluster must be able to reach the sources and the folder of the results. Ray
reads the address of the cluster from ``RAY_ADDRESS``; without this variable, it starts on this
machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bnn.errors import BnnError, BulkError, RuntimeUnavailableError
from bnn.scale.running import Engine
from bnn.scale.sources import Shard
from bnn.scale.work import Done, Job, Worker
from bnn.system import install


class _Actor:
    """One process of the cluster."""

    def __init__(self, job: Job) -> None:
        self._worker = Worker(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        shard = Shard(row["kind"], tuple(row["paths"]), int(row["first"]), int(row["last"]))
        index = int(row["index"])
        try:
            return {"index": index, "failed": "", **asdict(self._worker.run(index, shard))}
        except BnnError as reason:  # told in one line, not by Ray's traceback
            return {"index": index, "failed": str(reason), **asdict(Done(0, 0))}


def on_ray(workers: int | None) -> Engine:
    """Return the engine with ``workers`` actors; None: as many as the cluster has processors."""
    try:
        import ray
        import ray.data
    except ImportError as reason:
        raise RuntimeUnavailableError(
            f"--engine ray needs the extra ray ({reason}): {install.command('ray')}"
        ) from None

    def run(job: Job, waiting: list[tuple[int, Shard]]) -> Iterator[tuple[int, Done]]:
        if not waiting:
            return
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False)
        cluster: Any = ray
        count = workers or max(1, int(cluster.cluster_resources().get("CPU", 1)))
        rows = [{"index": index, **shard.as_json()} for index, shard in waiting]
        data: Any = ray.data.from_items(rows, override_num_blocks=len(rows))
        done = data.map(
            _Actor,
            fn_constructor_args=(job,),
            concurrency=min(count, len(rows)),
            num_cpus=1,
        )
        for row in done.iter_rows():
            if row["failed"]:
                raise BulkError(row["failed"])
            index = row.pop("index")
            del row["failed"]
            yield index, Done(**row)

    return run

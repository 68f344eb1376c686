# SPDX-License-Identifier: BSD-3-Clause
"""The report on a run's data. It is kept in the run's folder, and compared when the run is resumed.

If pictures were added or removed meanwhile, other pictures would be drawn for each part, and
pictures that were held out before would be trained on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bnn.data.look import Advance
from bnn.data.report import DataReport
from bnn.data.sets import Splits, open_splits
from bnn.errors import TrainError
from bnn.system.files import write_whole

#: File of the report in a run's folder.
DATA = "data.json"
#: Context manager that is open while pictures are read; yields the callback for progress.
Watch = Callable[[], AbstractContextManager[Advance | None]]


def open_data(data: str, folder: Path, *, began: bool) -> Splits:
    """Open the data set ``data``, with its classes in the order that the run began with.

    Args:
        data: name or folder, see :func:`bnn.data.sets.open_splits`.
        folder: folder of the run.
        began: whether the folder has a checkpoint already: then its report has the order.

    Raises:
        BnnError: the data set or the kept report cannot be read.
    """
    before = _before(folder) if began else None
    return open_splits(data, None if before is None else before["classes"])


def keep_report(folder: Path, report: DataReport, *, began: bool) -> None:
    """Write the report on the data, or, if the run ``began`` before, compare it with the kept one.

    Raises:
        TrainError: the data are not those of the kept report, or the kept report is damaged.
    """
    before = _before(folder) if began else None
    if before is None:
        text = json.dumps(report.as_json(), indent=1) + "\n"
        write_whole(folder / DATA, text.encode(), TrainError)
    elif before["identity"] != report.identity:
        was, now = (
            sum(part["pictures"] for part in one["parts"].values())
            for one in (before, report.as_json())
        )
        raise TrainError(
            f"{report.name}: is not what the run in {folder} began with ({now} pictures now, "
            f"{was} then): pictures that were held out may be trained on; start a new run, "
            f"with --init {folder}"
        )


def _before(folder: Path) -> dict[str, Any] | None:
    """Return the kept report of the run in ``folder``; None if the file is missing."""
    path = folder / DATA
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_bytes())
        classes, parts, identity = (found[key] for key in ("classes", "parts", "identity"))
        told = all(isinstance(one, str) for one in [identity, *classes])
        if not told or not all(isinstance(one["pictures"], int) for one in parts.values()):
            raise ValueError("its values are not those of a report")
        return {"classes": classes, "parts": parts, "identity": identity}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as reason:
        raise TrainError(f"{path}: is damaged: {reason}") from reason

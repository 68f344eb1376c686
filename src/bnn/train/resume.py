# SPDX-License-Identifier: BSD-3-Clause
"""``bnn train --resume RUN``: the run's own settings, and which options may be given with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnn.errors import TrainError
from bnn.train.checked import short

if TYPE_CHECKING:
    from bnn.train.loop import FitOptions
    from bnn.train.run import Settings

#: Options that may have another value when a run is resumed.
FREE = ("epochs", "patience", "devices")


def resumed(
    folder: Path, given: Mapping[str, Any], options: FitOptions
) -> tuple[Settings, FitOptions]:
    """Return the settings and options of the run in ``folder``, with more epochs if requested.

    Args:
        folder: folder of the run.
        given: name of an option of the command line -> its value; None if it was not given.
        options: its ``progress`` and ``say`` are used; the run does not keep these two.

    Raises:
        TrainError: ``folder`` has no run, or an option that cannot change has another value than
            in the run.
    """
    from bnn.train.run import read_options, read_settings

    settings, kept = read_settings(folder), read_options(folder)
    recipe = settings.recipe
    own = {
        "network": settings.network,
        "data": settings.data,
        "preprocess": settings.preprocess,
        "seed": settings.seed,
        "init": settings.init,
        "teacher": list(settings.teachers),
        "whole": settings.whole,
        "skip_broken": settings.skip_broken,
        "precision": kept.precision,
        **{name: getattr(recipe, name) for name in ("batch", "rate", "taught", "augment", "mix")},
    }
    for name, value in given.items():
        if value is None or name in FREE or _same(value, own[name]):
            continue
        wanted, has = (
            str(", ".join(v) or None if isinstance(v, list) else v) for v in (value, own[name])
        )
        option = "NET" if name == "network" else f"--{name.replace('_', '-')}"
        in_run = _in_run(has)
        if name == "batch" and not settings.batch_given:
            in_run = "one that follows the data in the run"
        raise TrainError(
            f"{folder}: {option} cannot change: {_short(wanted)} is asked, {in_run}, whose "
            "training goes on; omit it (only --epochs, --patience and "
            "--devices may change), or train another run"
        )
    epochs = given.get("epochs")
    if epochs is not None:
        settings = replace(settings, recipe=replace(recipe, epochs=epochs))
    changed = {name: given[name] for name in ("patience", "devices") if given.get(name) is not None}
    return settings, replace(kept, progress=options.progress, say=options.say, **changed)


def _in_run(value: str) -> str:
    return "but not in the run" if value in ("None", "") else f"{_short(value)} in the run"


def _same(value: Any, own: Any) -> bool:
    """Return whether an option's value ``value`` is the same as the run's value ``own``.

    A path may be relative to the current folder, and a float may be given as an integer.
    """
    if isinstance(value, list) and isinstance(own, list):
        return len(value) == len(own) and all(map(_same, value, own))
    if isinstance(value, str) and isinstance(own, str):
        return value == own or os.path.abspath(value) == own  # noqa: PTH100
    return bool(value == own)


def _short(text: str) -> str:
    return text if len(text) <= 200 else short(text)


def where_stopped(folder: Path) -> str:
    """Return a message about the stopped training in ``folder``, and how to resume it."""
    from bnn.train.checkpoint import newest
    from bnn.train.early import BEST
    from bnn.train.run import history_of, read_settings

    try:
        epochs = read_settings(folder).recipe.epochs
        last = newest(folder, lambda _: None)
    except TrainError:
        return "stopped before it began"
    go_on = f"go on with: bnn train --resume {folder}"
    if last is None:
        return f"stopped in epoch 1 of {epochs}, before the first checkpoint; {go_on}"
    done = len(history_of(last))
    if done >= epochs:
        return f"stopped after the last of {epochs} epochs, before the certificate; {go_on}"
    kept = f"; for the best epoch so far: bnn certify {folder}" if (folder / BEST).exists() else ""
    return f"stopped in epoch {done + 1} of {epochs}, {done} are kept; {go_on}{kept}"

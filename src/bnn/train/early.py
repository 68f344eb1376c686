# SPDX-License-Identifier: BSD-3-Clause
"""Checks of a training's settings that need no PyTorch.

So mistakes in the settings are reported before PyTorch is imported, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnn.data.known import KNOWN
from bnn.data.pictures.preprocess import KINDS
from bnn.errors import TrainError, UnknownNameError
from bnn.network import topology as topologies
from bnn.network import zoo
from bnn.train.recipes import recipe_for

#: The file of a run that has its settings.
SETTINGS = "settings.json"
#: The checkpoints of a run, see :mod:`bnn.train.checkpoint`.
BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
#: Options that replace values of the recipe.
CHANGES = ("taught", "epochs", "batch", "rate", "augment", "mix")


def is_recurrent(name: str | None) -> bool:
    """Return whether ``name`` begins as the name of a recurrent network does."""
    return name is not None and name.startswith(("lstm-", "gru-")) and not name.endswith(".toml")


def is_sequence_run(folder: Path) -> bool:
    """Return whether ``folder`` has a run of a recurrent network."""
    path = folder / SETTINGS
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b'"kind": "sequences"' in file.read(1 << 12)


def check_given(given: Mapping[str, Any]) -> None:
    """Check the options of a new training.

    Raises:
        BnnError: the network or the data set does not exist, or a value is outside its range.
    """
    network, data = str(given["network"]), str(given["data"])
    topology = topologies.load(network) if network.endswith(".toml") else zoo.topology(network, 2)
    if data not in KNOWN and not Path(data).exists():
        raise UnknownNameError(f"{data}: no such folder, and no data set ({', '.join(KNOWN)})")
    kind = given["preprocess"]
    if kind is not None and kind not in KINDS:
        raise TrainError(f"preprocess is one of {', '.join(KINDS)}, not {kind!r}")
    recipe = recipe_for(topology, data, started=given["init"] is not None)
    changes = {name: given[name] for name in CHANGES if given[name] is not None}
    replace(recipe, **changes)  # checks its values
    if given["taught"] is not None and not given["teacher"]:
        raise TrainError("--taught is the share of a teacher's answers; name one with --teacher")
    if given["whole"] and given["patience"] is not None:
        raise TrainError(
            "--patience needs a validation part, and --whole trains on it; give one of the two"
        )


def check_place(folder: Path, data: str) -> None:
    """Refuse a run's folder inside the data folder: it would change the data (`TrainError`)."""
    if data in KNOWN or not Path(data).is_dir():
        return
    place, pictures = folder.resolve(), Path(data).resolve()
    if place == pictures or pictures in place.parents:
        raise TrainError(f"{folder}: is in the data folder {data}; choose another with -o")


def check_new(folder: Path) -> None:
    """Refuse the folder of a run that has begun, for a new run (`TrainError`)."""
    if (folder / LAST).exists():
        raise TrainError(f"{folder}: has a run already; resume it with --resume")


def check_run(folder: Path) -> None:
    """Refuse a folder that is not a run (`TrainError`)."""
    if not (folder / SETTINGS).exists():
        raise TrainError(f"{folder}: is not a run: it has no {SETTINGS}")

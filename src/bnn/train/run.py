# SPDX-License-Identifier: BSD-3-Clause
"""A run: a folder in which a training keeps its settings, checkpoints, logs and results.

settings.json           what was asked for; resuming and certifying read it
data.json               what the data held when the run began (bnn.train.looked)
best.ckpt, last.ckpt    the best epoch on the validation part, and the last one
csv/, tensorboard/      logs
model.bnn               the best epoch (the last one, if nothing was held out), deployed
report.json, .html      the certificate (bnn.train.certificate)
card.md                 the model card
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
import torch

from bnn import topology as topologies
from bnn import zoo
from bnn.data.folder import PictureFolder
from bnn.data.known import KNOWN
from bnn.data.report import DataReport
from bnn.data.sets import Splits
from bnn.errors import BnnError, TrainError
from bnn.library import load
from bnn.lower import lower
from bnn.modelfile import write_whole
from bnn.topology import Topology
from bnn.train.adopt import adopt
from bnn.train.augment import AUGMENTATIONS
from bnn.train.certificate import Certificate, certify
from bnn.train.data import Parts, Reading, load_parts
from bnn.train.extract import extract
from bnn.train.looked import Watch, keep_report, open_data
from bnn.train.loop import (
    BEST,
    INTEGER,
    LAST,
    FitOptions,
    Task,
    arithmetic_of,
    classes_of,
    fit,
    lightning_precision,
    restore,
)
from bnn.train.recipes import Recipe, recipe_for
from bnn.train.stack import Stack
from bnn.train.teach import Teacher, Teachers
from bnn.train.transfer import transfer

SETTINGS = "settings.json"
#: On which the batch norms of a model that is trained on are measured.
MEASURED_PICTURES = 500


@dataclass(frozen=True)
class Settings:
    """What decides the result of a training.

    Attributes:
        network: a name of ``bnn.zoo``, or a topology file.
        data: a name or folder that ``bnn.data.sets`` knows.
        preprocess: how pictures reach the network's input, see ``bnn.train.data``.
        seed: of weights, order and augmentation.
        recipe: see ``bnn.train.recipes``.
        init: folder of a run, or a model by name or file, whose weights to start from, or None.
        teachers: folders of runs, or models by name or file, to learn from.
        whole: train on the validation part as well, and deploy the last epoch: for when
            nothing is left to choose.
        skip_broken: train without pictures that cannot be read.
    """

    network: str
    data: str
    preprocess: str | None
    seed: int
    recipe: Recipe
    init: str | None = None
    teachers: tuple[str, ...] = ()
    whole: bool = False
    skip_broken: bool = False

    @property
    def deployed(self) -> str:
        """Name of the checkpoint that is deployed."""
        return LAST if self.whole else BEST

    @classmethod
    def make(
        cls,
        network: str,
        data: str,
        preprocess: str | None = None,
        seed: int = 1,
        init: str | os.PathLike[str] | None = None,
        teachers: Sequence[str | os.PathLike[str]] = (),
        whole: bool = False,
        skip_broken: bool = False,
        **changes: float | str | None,
    ) -> Settings:
        """Settings with the recipe that fits, changed where ``changes`` are not None.

        Raises:
            BnnError: unknown names, or values out of range.
        """
        topology = topology_of(network, 2, check=False)
        recipe = recipe_for(topology, data, started=init is not None)
        wanted = {name: value for name, value in changes.items() if value is not None}
        for name, value in wanted.items():
            if not isinstance(value, str) and not 0 < value < math.inf:
                raise TrainError(f"{name} must be positive and finite, not {value}")
        if float(wanted.get("taught", 0)) > 1:
            raise TrainError(f"taught is a share, at most 1, not {wanted['taught']}")
        if wanted.get("augment", "none") not in AUGMENTATIONS:
            raise TrainError(f"augment is one of {', '.join(AUGMENTATIONS)}")
        # A path is kept whole: the run may be certified from elsewhere.
        network = os.path.abspath(network) if network.endswith(".toml") else network  # noqa: PTH100
        if data not in KNOWN and Path(data).exists():
            data = os.path.abspath(data)  # noqa: PTH100
        start = None if init is None else _whole_name(init)
        taught_by = tuple(_whole_name(one) for one in teachers)
        recipe = replace(recipe, **wanted)  # type: ignore[arg-type]
        return cls(network, data, preprocess, seed, recipe, start, taught_by, whole, skip_broken)


def _whole_name(source: str | os.PathLike[str]) -> str:
    """What is no file here is a model's name."""
    return os.path.abspath(source) if Path(source).exists() else os.fspath(source)  # noqa: PTH100


def topology_of(network: str, classes: int, *, check: bool = True) -> Topology:
    """The topology of a zoo name or file, for ``classes`` classes."""
    if not network.endswith(".toml"):
        return zoo.topology(network, classes)
    found = topologies.load(network)
    if check and found.classes != classes:
        raise TrainError(
            f"{network}: ends in {found.classes} units, the data has {classes} classes"
        )
    return found


def train(
    settings: Settings,
    folder: Path,
    options: FitOptions,
    *,
    resume: bool,
    tell: Callable[[DataReport], None] | None = None,
    watch: Watch = nullcontext,
) -> Certificate | None:
    """Train into ``folder``, deploy the best epoch and certify it.

    Args and errors are those of :func:`learn`.

    Returns:
        The certificate; None in all but the first of several processes.
    """
    parts = learn(settings, folder, options, resume=resume, tell=tell, watch=watch)
    return None if parts is None else finish(settings, folder, parts)


def learn(
    settings: Settings,
    folder: Path,
    options: FitOptions,
    *,
    resume: bool,
    tell: Callable[[DataReport], None] | None = None,
    watch: Watch = nullcontext,
) -> Parts | None:
    """The training alone, which never looks at the test part.

    Args:
        settings: what to train.
        folder: of the run; made if missing.
        options: how to run.
        resume: go on with the run that ``folder`` holds (it may then have more epochs).
        tell: called with what was found in the data, before training starts.
        watch: entered while pictures are read; gives what is called with those done and in all.

    Returns:
        The data, for :func:`finish`; None in all but the first of several processes.

    Raises:
        BnnError: bad input of any kind, in one line. What was trained is kept.
    """
    _prepare(folder, settings, resume=resume)
    L.seed_everything(settings.seed, verbose=False)
    given = open_data(settings.data, folder, began=(folder / LAST).exists())
    topology = _topology(settings, given)
    stack = Stack(topology, settings.recipe.estimator)
    lower(extract(stack))  # what cannot be deployed is refused now, not after hours
    parts = _parts(settings, topology, given, watch)
    keep_report(folder, parts.report, began=(folder / LAST).exists())
    teachers = _learn_from(settings, stack, parts)
    if len(parts.training) < settings.recipe.batch:
        raise TrainError(
            f"{parts.name}: has {len(parts.training)} pictures to train on, fewer than a batch "
            f"of {settings.recipe.batch}; use a smaller --batch"
        )
    if tell is not None:
        precision = lightning_precision(stack, options.precision)
        tell(parts.report.with_arithmetic(INTEGER if stack.looks_up else precision))
    task = Task(stack, parts, settings.recipe, settings.seed, teachers)
    return parts if fit(task, folder, options) else None


def _topology(settings: Settings, given: Splits) -> Topology:
    """The network for the classes of the data."""
    training = given.train()
    try:
        return topology_of(settings.network, len(training.classes))
    except TrainError as reason:
        notes = training.notes if isinstance(training, PictureFolder) else ()
        if not notes:
            raise
        raise TrainError(f"{reason} ({'; '.join(notes)})") from None


def _parts(
    settings: Settings, topology: Topology, given: Splits, watch: Watch = nullcontext
) -> Parts:
    with watch() as advance:
        reading = Reading(settings.skip_broken, advance)
        parts = load_parts(settings.data, topology.input, settings.preprocess, given, reading)
    return parts.with_all_to_train() if settings.whole else parts


def _learn_from(settings: Settings, stack: Stack, parts: Parts) -> Teachers | None:
    """Start ``stack`` from another network, and find its teachers, as the settings say."""
    if settings.init is not None:
        transfer(_start(settings.init, stack.topology, parts), stack, Path(settings.init))
    teachers = [_teacher(one) for one in settings.teachers]
    for teacher, name in zip(teachers, settings.teachers, strict=True):
        teacher.check(stack.topology, name)
    return Teachers(teachers, settings.recipe.temperature) if teachers else None


def _start(source: str, wanted: Topology, parts: Parts) -> Stack:
    """A run's deployed epoch, or a model by name or file as a stack of ``wanted``'s layers."""
    if _is_run(source):
        return trained(Path(source))
    pictures = parts.training.pictures[:MEASURED_PICTURES]
    return adopt(load(source).program, wanted, pictures, source)


def _teacher(source: str) -> Teacher:
    """A run's deployed epoch, or a model by name or file."""
    if _is_run(source):
        return Teacher.of(trained(Path(source)))
    return Teacher(load(source).program)


def _is_run(source: str) -> bool:
    """Whether it is a run's folder; a folder may also hold an original parameter set."""
    return Path(source).is_dir() and not (Path(source) / "classes.txt").exists()


def trained(folder: Path) -> Stack:
    """The deployed epoch of the run in ``folder``."""
    settings = read_settings(folder)
    path = folder / settings.deployed
    classes = classes_of(path)  # its data may be gone
    stack = Stack(topology_of(settings.network, classes), settings.recipe.estimator)
    restore(stack, path)
    return stack


def finish(settings: Settings, folder: Path, parts: Parts) -> Certificate:
    """Deploy and certify the run in ``folder``: its best epoch, or its last."""
    stack = Stack(topology_of(settings.network, len(parts.classes)), settings.recipe.estimator)
    path = folder / settings.deployed
    if not path.exists():
        raise TrainError(f"{folder}: ended before its first epoch did, there is nothing to keep")
    restore(stack, path)
    history = restore(Stack(stack.topology), folder / LAST)
    told = {**describe(settings), "arithmetic": arithmetic_of(path)}
    parts = replace(parts, report=parts.report.with_arithmetic(told["arithmetic"]))
    return certify(stack, parts, history, told, folder)


def recertify(folder: Path) -> Certificate:
    """Certify the run in ``folder`` once more, from its checkpoint and its data."""
    settings = read_settings(folder)
    given = open_data(settings.data, folder, began=(folder / LAST).exists())
    topology = _topology(settings, given)
    parts = _parts(settings, topology, given)
    keep_report(folder, parts.report, began=(folder / LAST).exists())
    return finish(settings, folder, parts)


def describe(settings: Settings) -> dict[str, Any]:
    """Settings as plain JSON values."""
    return {**asdict(settings), "torch": torch.__version__}


def _prepare(folder: Path, settings: Settings, *, resume: bool) -> None:
    """Make the folder, or see that it may be used once more."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise TrainError(f"{folder}: cannot be made: {reason.strerror}") from reason
    there = (folder / LAST).exists()
    if there and not resume:
        raise TrainError(f"{folder}: holds a run already; --resume goes on with it")
    if resume and not there:
        raise TrainError(f"{folder}: holds no run to resume")
    if resume:
        before = read_settings(folder)
        longer = replace(before.recipe, epochs=settings.recipe.epochs)
        if replace(before, recipe=longer) != settings:
            raise TrainError(f"{folder}: holds a run of other settings than these, see {SETTINGS}")
    text = json.dumps(asdict(settings), indent=2) + "\n"
    write_whole(folder / SETTINGS, text.encode())


def read_settings(folder: Path) -> Settings:
    """The settings of the run in ``folder``.

    Raises:
        TrainError: there is no run, or its settings are damaged.
    """
    path = folder / SETTINGS
    try:
        values = json.loads(path.read_bytes())
        recipe = Recipe(**_given(Recipe, values["recipe"]))
        named = _given(Settings, values)
        teachers = tuple(named.get("teachers", ()))
        return Settings(**{**named, "recipe": recipe, "teachers": teachers})
    except OSError as reason:
        raise TrainError(f"{folder}: is no run: {SETTINGS}: {reason.strerror}") from reason
    except (ValueError, KeyError, TypeError, BnnError) as reason:
        raise TrainError(f"{path}: is damaged: {reason}") from reason


def _given(kind: type[Recipe | Settings], values: dict[str, Any]) -> dict[str, Any]:
    """The values of the fields of ``kind``; what a run of before did not know is as it was."""
    return {
        field.name: values[field.name]
        for field in fields(kind)
        if field.default is MISSING or field.name in values
    }

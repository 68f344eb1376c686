# SPDX-License-Identifier: BSD-3-Clause
"""A run: a folder with the settings, checkpoints, logs and results of a training.

settings.json           what the user requested; resuming and certifying read it
data.json               what the data contained when the run began (bnn.train.looked)
best.ckpt               checkpoint of the epoch that is the best on the validation part
last.ckpt               checkpoint of the last epoch
previous.ckpt           checkpoint of the epoch before it, in case last.ckpt is damaged
epochs.csv, tensorboard/    figures of every epoch
run.lock                locked by the process that works in the folder
model.bnn               the deployed model: of the best epoch, or with --whole of the last
report.json, .html      the certificate (bnn.train.certificate)
card.md                 the model card
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
import torch

from bnn.data.folder import PictureFolder
from bnn.data.known import KNOWN
from bnn.data.pictures.preprocess import GAP, KINDS, MAX_GAP
from bnn.data.report import DataReport
from bnn.data.sets import Splits
from bnn.errors import BnnError, TrainError
from bnn.library import load
from bnn.lower import lower
from bnn.network import topology as topologies
from bnn.network import zoo
from bnn.network.topology import Topology
from bnn.system.files import check_replaceable, parse_json, read_file, write_whole
from bnn.train.adopt import adopt
from bnn.train.certificate import CARD, MODEL, PAGE, REPORT, Certificate, certify
from bnn.train.checked import (
    Range,
    check_keys,
    check_values,
    counted,
)
from bnn.train.checkpoint import newest, read_checkpoint
from bnn.train.data import Parts, Reading, load_parts
from bnn.train.early import BEST, LAST, PREVIOUS, SETTINGS, check_place, check_run
from bnn.train.extract import extract
from bnn.train.finite import check_history
from bnn.train.keeper import EPOCHS
from bnn.train.lock import LOCK, exclusive
from bnn.train.looked import DATA, Watch, keep_report, open_data
from bnn.train.loop import (
    RUN,
    FitOptions,
    Task,
    arithmetic_of,
    check_options,
    classes_of,
    fit,
    precision_of,
    restore,
)
from bnn.train.origin import Origin, answers_of, digest_of, first_difference
from bnn.train.recipes import Recipe, recipe_for
from bnn.train.stack import Stack
from bnn.train.teach import Teacher, Teachers
from bnn.train.transfer import transfer

#: Key of the settings file for options that do not change the result, and their keys.
HOW = "run"
OPTIONS = ("devices", "precision", "patience")
#: Files of a finished run.
RESULTS = (MODEL, REPORT, PAGE, CARD)
#: Every file that a run writes.
WRITTEN = (SETTINGS, DATA, LOCK, EPOCHS, BEST, LAST, PREVIOUS, *RESULTS)
#: Settings that name files.
PLACES = ("network", "data", "init", "teachers")
#: Pictures on which batch norms are measured when training continues from a model.
MEASURED_PICTURES = 500
#: Bytes of a settings file; larger ones are refused without reading.
MAX_SETTINGS_BYTES = 1 << 20
#: Seeds that PyTorch's generators accept.
RANGES: dict[str, Range | Collection[str]] = {
    "seed": Range(0, 2**32 - 1),
    "preprocess": tuple(KINDS),
    "gap": Range(1, MAX_GAP),
}
#: Smallest batch that is chosen, if there are enough pictures.
MIN_BATCH = 16
#: Steps that an epoch has at least, while batches are larger than ``MIN_BATCH``: with two steps an
#: epoch a network of 200 pictures has learned nothing when the epochs are over.
MIN_STEPS = 10


@dataclass(frozen=True)
class Settings:
    """What is trained on which data, and how.

    Attributes:
        network: a name of ``bnn.network.zoo``, or a topology file.
        data: name or folder of a data set, see ``bnn.data.sets``.
        preprocess: how pictures become the network's input, see ``bnn.train.data``.
        seed: seed of weights, order and augmentation.
        recipe: see ``bnn.train.recipes``.
        init: the source of the initial weights: folder of a run, or a model by name or file; None:
            the weights are random.
        teachers: networks to learn from: folders of runs, or models by name or file.
        whole: also train on the validation part, and deploy the last epoch.
        skip_broken: skip pictures that cannot be read, instead of raising an error.
        batch_given: whether the user chose the recipe's batch; else a data set of few pictures has
            a smaller one, see :func:`batch_for`.
        gap: see :func:`bnn.data.pictures.shrink.resized`; None: pictures are resized at once.
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
    batch_given: bool = True  # runs that do not say so began when no other batch was chosen
    gap: int | None = None  # runs that do not say so began when pictures were resized at once

    def __post_init__(self) -> None:
        check_values(self, RANGES)

    @property
    def deployed(self) -> str:
        """Name of the checkpoint file whose epoch is deployed."""
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
        """Return the settings of a training with the recipe for the network and the data.

        ``changes`` replace values of the recipe; a value of None changes nothing.

        Raises:
            BnnError: a name is unknown, or a value is outside its range.
        """
        topology = topology_of(network, 2, check=False)
        recipe = recipe_for(topology, data, started=init is not None)
        wanted = {name: value for name, value in changes.items() if value is not None}
        # The path is made absolute: the run may be certified from another folder.
        network = os.path.abspath(network) if network.endswith(".toml") else network  # noqa: PTH100
        if data not in KNOWN and Path(data).exists():
            data = os.path.abspath(data)  # noqa: PTH100
        start = None if init is None else _whole_name(init)
        taught_by = tuple(_whole_name(one) for one in teachers)
        recipe = replace(recipe, **wanted)  # type: ignore[arg-type]
        return cls(
            network,
            data,
            preprocess,
            seed,
            recipe,
            start,
            taught_by,
            whole,
            skip_broken,
            batch_given="batch" in wanted,
            gap=GAP,
        )


def _whole_name(source: str | os.PathLike[str]) -> str:
    """Return ``source`` as an absolute path if it exists; else unchanged, as a model's name."""
    return os.path.abspath(source) if Path(source).exists() else os.fspath(source)  # noqa: PTH100


def topology_of(network: str, classes: int, *, check: bool = True) -> Topology:
    """Return the topology of a network of ``bnn.network.zoo`` or of a TOML file.

    It has ``classes`` classes; with ``check`` a file that has another number is refused.
    """
    if not network.endswith(".toml"):
        return zoo.topology(network, classes)
    found = topologies.load(network)
    if check and found.classes != classes:
        raise TrainError(
            f"{network}: ends in {counted(found.classes, 'unit')}, the data has "
            f"{counted(classes, 'class', 'classes')}"
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
    """Train, deploy the best epoch (with ``whole``: the last one) and certify it, in ``folder``.

    Arguments and errors are those of :func:`learn`.

    Returns:
        The certificate. If several processes train together, None in all except the first.
    """
    folder = Path(folder)
    _make(folder, settings)
    with exclusive(folder):
        parts = _learn(settings, folder, options, resume=resume, tell=tell, watch=watch)
        return None if parts is None else finish(settings, folder, parts, options.say)


def learn(
    settings: Settings,
    folder: Path,
    options: FitOptions,
    *,
    resume: bool,
    tell: Callable[[DataReport], None] | None = None,
    watch: Watch = nullcontext,
) -> Parts | None:
    """Train, without :func:`finish`; the test part is never used.

    Args:
        settings: what to train.
        folder: folder of the run. It is made if it is missing.
        options: how the training is run, see :class:`~bnn.train.loop.FitOptions`.
        resume: whether to continue the run in ``folder`` (``settings`` may have more epochs).
        tell: called with the report on the data, before training starts.
        watch: function that returns a context manager, which is entered while pictures are read.
            It yields a function for progress, which is called with two numbers: pictures read so
            far, and all pictures.

    Returns:
        The data, for :func:`finish`. If several processes train together, None in all except the
        first.

    Raises:
        BnnError: an argument or the data are wrong; the message is one line. What was trained so
            far is kept.
    """
    _make(folder, settings)
    with exclusive(folder):
        return _learn(settings, folder, options, resume=resume, tell=tell, watch=watch)


def _learn(
    settings: Settings,
    folder: Path,
    options: FitOptions,
    *,
    resume: bool,
    tell: Callable[[DataReport], None] | None,
    watch: Watch,
) -> Parts | None:
    check_options(options)
    _prepare(folder, settings, options, resume=resume)
    _check_sources(settings)
    L.seed_everything(settings.seed, verbose=False)
    last = newest(folder, lambda _: None)
    given = open_data(settings.data, folder, began=last is not None)
    topology = _topology(settings, given)
    stack = Stack(topology, settings.recipe.estimator)
    lower(extract(stack))  # refuse now what cannot be deployed, not after hours
    parts = _parts(settings, topology, given, watch)
    _check_training(parts)
    keep_report(folder, parts.report, began=last is not None)
    teachers = _learn_from(settings, stack, parts, options.say, started=last is not None)
    recipe = replace(settings.recipe, batch=batch_for(settings, len(parts.training)))
    precision = precision_of(stack, options.precision)
    options = replace(options, precision=precision)
    if tell is not None:
        tell(parts.report.with_arithmetic(precision))
    options.say(_beginning(settings, recipe, parts, precision))
    origin = Origin(_fixed(settings), digest_of(parts), answers_of(teachers, parts))
    task = Task(stack, parts, recipe, settings.seed, teachers, origin)
    # Not earlier: a refused command changes nothing in an existing run.
    first = fit(task, folder, options, lambda: _write_settings(folder, settings, options))
    return parts if first else None


def batch_for(settings: Settings, pictures: int) -> int:
    """Return the number of pictures per step, for a training part of ``pictures``.

    It is the recipe's batch, or less for a small data set: at most a tenth of the pictures, but at
    least ``MIN_BATCH``. A batch that the user gave is only cut, to a quarter, if it has more
    pictures than there are.
    """
    wanted = settings.recipe.batch
    if not settings.batch_given:
        wanted = min(wanted, max(MIN_BATCH, pictures // MIN_STEPS))
    if wanted <= pictures:
        return wanted
    return min(pictures, max(MIN_BATCH, pictures // 4))


def _check_training(parts: Parts) -> None:
    """Refuse data in which a class has no picture left to train on, or with only one picture."""
    counts = parts.training.labels.bincount(minlength=len(parts.classes)).tolist()
    for name, count in zip(parts.classes, counts, strict=True):
        if count == 0:
            raise TrainError(
                f"{parts.name}: of class {name!r} no picture is left to train on, after some were "
                "held out to validate and test; add pictures of it"
            )
    if len(parts.training) < 2:
        raise TrainError(f"{parts.name}: has a single picture to train on; add pictures")


def _beginning(settings: Settings, recipe: Recipe, parts: Parts, precision: str) -> str:
    """Return one line about the training that begins: numbers of pictures, batch, arithmetic."""
    asked = settings.recipe.batch
    batch = f"batch {recipe.batch}"
    if recipe.batch != asked:
        batch += f" (not {asked}: there are few pictures)"
    held = "trained on too" if settings.whole else "to validate"
    return (
        f"{parts.name}: {len(parts.training)} pictures to train on, {len(parts.validation)} "
        f"{held}, {len(parts.test)} to test at the end; {batch}; {precision} arithmetic"
    )


def _fixed(settings: Settings) -> dict[str, Any]:
    """Return the settings that may not change once a run has begun."""
    values = json.loads(json.dumps(asdict(settings)))
    del values["recipe"]["epochs"]
    return dict(values)


def _topology(settings: Settings, given: Splits) -> Topology:
    """Return the topology of the network, for the classes of the data."""
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
        parts = load_parts(
            settings.data, topology.input, settings.preprocess, given, reading, settings.gap
        )
    return parts.with_all_to_train() if settings.whole else parts


def _learn_from(
    settings: Settings, stack: Stack, parts: Parts, say: Callable[[str], None], *, started: bool
) -> Teachers | None:
    """Return the teachers that the settings name, or None.

    If the settings name a network to start from, and training has not ``started`` yet, its weights
    are copied into ``stack`` before.
    """
    if settings.init is not None and not started:
        start = _start(settings.init, stack.topology, parts)
        same = _same_classes(settings.init, parts)
        transfer(start, stack, Path(settings.init), same_classes=same)
        if not same:
            say(f"{settings.init}: has other classes; the last layer starts from random weights")
    teachers = [_teacher(one) for one in settings.teachers]
    for teacher, name in zip(teachers, settings.teachers, strict=True):
        teacher.check(stack.topology, name)
    return Teachers(teachers, settings.recipe.temperature) if teachers else None


def _check_sources(settings: Settings) -> None:
    """Refuse initial weights and teachers that cannot be read, before the data are read."""
    for source in (*filter(None, (settings.init,)), *settings.teachers):
        if _is_run(source):
            read_settings(Path(source))
        else:
            load(source)


def _start(source: str, wanted: Topology, parts: Parts) -> Stack:
    """Return a stack to start from: the deployed epoch of a run, or a model.

    A model must have the layers of ``wanted``.
    """
    if _is_run(source):
        return trained(Path(source))
    pictures = parts.training.pictures[:MEASURED_PICTURES]
    return adopt(load(source).program, wanted, pictures, source)


def _same_classes(source: str, parts: Parts) -> bool:
    """Return whether a run or model has the classes of the data, in their order.

    A run that has no model yet has no names of classes: their number decides then.
    """
    model = Path(source) / MODEL if _is_run(source) else Path(source)
    if _is_run(source) and not model.exists():
        return True
    known, wanted = load(str(model)).classes, parts.classes
    return [one.casefold() for one in known] == [one.casefold() for one in wanted]


def _teacher(source: str) -> Teacher:
    """Return a teacher: the deployed epoch of a run, or a model by name or file."""
    if _is_run(source):
        return Teacher.of(trained(Path(source)))
    return Teacher(load(source).program)


def _is_run(source: str) -> bool:
    """Return whether ``source`` is the folder of a run (and not an original parameter set)."""
    return Path(source).is_dir() and not (Path(source) / "classes.txt").exists()


def trained(folder: Path) -> Stack:
    """Return the trained stack of the deployed epoch of the run in ``folder``."""
    settings = read_settings(folder)
    path = folder / settings.deployed
    classes = classes_of(path)  # the data may be missing
    stack = Stack(topology_of(settings.network, classes), settings.recipe.estimator)
    restore(stack, path)
    return stack


def _silent(_: str) -> None:
    """Say nothing."""


def finish(
    settings: Settings, folder: Path, parts: Parts, say: Callable[[str], None] = _silent
) -> Certificate:
    """Deploy and certify the run in ``folder``, and return the certificate.

    The best epoch is deployed, or the last one if all pictures were trained on (``whole``).
    ``say`` is called with a line when this begins.
    """
    stack = Stack(topology_of(settings.network, len(parts.classes)), settings.recipe.estimator)
    path = folder / settings.deployed
    if not path.exists():
        raise TrainError(
            f"{folder}: ended before its first epoch was complete: nothing can be certified"
        )
    restore(stack, path)
    # Not the previous one if this is damaged: the table of epochs would lack its last row.
    last = folder / LAST if (folder / LAST).exists() else newest(folder, lambda _: None) or path
    history = restore(Stack(stack.topology), last)
    kept = read_checkpoint(path)
    _check_trained(settings, parts, kept.get(RUN), path)
    told = {**describe(settings), "arithmetic": arithmetic_of(path)}
    parts = replace(parts, report=parts.report.with_arithmetic(told["arithmetic"]))
    told["recipe"]["batch"] = batch_for(settings, len(parts.training))
    say(f"deploying, and comparing scores of {counted(len(parts.test), 'test picture')}")
    return certify(stack, parts, history, told, folder)


def _check_trained(settings: Settings, parts: Parts, kept: Any, path: Path) -> None:
    """Refuse to certify if the settings or the data are not those of the training."""
    wanted = _fixed(settings)
    origin = Origin(wanted, digest_of(parts))
    if isinstance(kept, dict) and isinstance(kept.get("settings"), dict):
        # Files may have been moved: their contents are compared.
        kept = {**kept, "settings": {**kept["settings"], **{key: wanted[key] for key in PLACES}}}
    origin.check_settings(kept, path)
    origin.check_data(kept, path)


def recertify(
    folder: Path, say: Callable[[str], None] = _silent, watch: Watch = nullcontext
) -> Certificate:
    """Certify the run in ``folder`` again, from its checkpoint and its data.

    Args:
        folder: the run's folder.
        say: called with a line about what is done now.
        watch: shows the progress of reading the pictures.
    """
    settings = read_settings(folder)
    with exclusive(folder):
        began = newest(folder, lambda _: None) is not None
        given = open_data(settings.data, folder, began=began)
        parts = _parts(settings, _topology(settings, given), given, watch)
        keep_report(folder, parts.report, began=began)
        return finish(settings, folder, parts, say)


def describe(settings: Settings) -> dict[str, Any]:
    """Return the settings as plain JSON values."""
    return {**asdict(settings), "torch": torch.__version__}


def history_of(path: Path) -> list[dict[str, float]]:
    """Return the figures per epoch that a checkpoint contains.

    Raises:
        TrainError: the checkpoint cannot be read, or has no figures.
    """
    try:
        found = read_checkpoint(path)["callbacks"].values()
        rows = [dict(row) for row in next(one["rows"] for one in found if "rows" in one)]
    except (LookupError, StopIteration, TypeError, ValueError, AttributeError):
        raise TrainError(f"{path}: has no figures of its epochs: it is damaged") from None
    check_history(rows, str(path))
    return rows


def _make(folder: Path, settings: Settings) -> None:
    """Make the run's folder; refuse a folder inside the data folder.

    A run there would add files to the data.
    """
    check_place(folder, settings.data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise TrainError(f"{folder}: cannot be made: {reason.strerror}") from reason
    for name in WRITTEN:  # now, and not after hours
        check_replaceable(folder / name, TrainError)


def _prepare(folder: Path, settings: Settings, options: FitOptions, *, resume: bool) -> None:
    """Check that the run may use ``folder``, remove temporary files of a killed run, and begin.

    A new run writes its settings, so that it can be resumed from then on.
    """
    there = newest(folder, lambda _: None) is not None
    if there and not resume:
        raise TrainError(f"{folder}: has a run already; resume it with --resume")
    if not resume:
        _check_replaces_nothing(folder)
    if resume and not (folder / SETTINGS).exists():
        raise TrainError(f"{folder}: has no run to resume")
    if resume:
        before = read_settings(folder)
        difference = first_difference(_fixed(before), _fixed(settings))
        if difference is not None:
            key, old, new = difference
            raise TrainError(
                f"{folder}: has a run with other settings: {key} is {old} there, {new} here"
            )
    for path in (*folder.glob(".bnn-*.tmp"), folder / ".previous.tmp"):
        path.unlink(missing_ok=True)
    if not resume:
        _write_settings(folder, settings, options)  # from now on it can be resumed


def _check_replaces_nothing(folder: Path) -> None:
    """Refuse a folder in which a new run would replace results, or files of another program.

    The files of a run that was interrupted before its first checkpoint may be replaced.
    """
    for name in RESULTS:
        if (folder / name).exists():
            raise TrainError(f"{folder}: has a file {name} already; choose a new folder with -o")
    if (folder / SETTINGS).exists():
        read_settings(folder)  # refuses files of other programs


def _write_settings(folder: Path, settings: Settings, options: FitOptions) -> None:
    how = {name: getattr(options, name) for name in OPTIONS}
    text = json.dumps({**asdict(settings), HOW: how}, indent=2) + "\n"
    write_whole(folder / SETTINGS, text.encode(), TrainError)


def read_settings(folder: Path) -> Settings:
    """Read the settings of the run in ``folder``; they may have been edited, so all are checked.

    Raises:
        TrainError: the folder has no run; or its settings are damaged, of wrong types, outside
            their ranges or unknown.
    """
    path = folder / SETTINGS
    values = _table(folder)
    try:
        check_keys("it", values, Settings, more=(HOW,))
        check_keys("recipe", values["recipe"], Recipe)
        named = {key: value for key, value in values.items() if key != HOW}
        teachers = named.get("teachers", [])
        named["teachers"] = tuple(teachers) if isinstance(teachers, list) else teachers
        return Settings(**{**named, "recipe": Recipe(**values["recipe"])})
    except BnnError as reason:
        raise TrainError(f"{path}: {reason}") from None


def read_options(folder: Path) -> FitOptions:
    """Read the options of the run in ``folder`` from its settings file.

    Raises:
        TrainError: for the same reasons as in :func:`read_settings`.
    """
    path = folder / SETTINGS
    how = _table(folder).get(HOW, {})
    try:
        if not isinstance(how, dict):
            raise TrainError(f"{HOW} must be a table")
        for key in how:
            if key not in OPTIONS:
                raise TrainError(
                    f"{HOW} has an unknown key {key!r}; known are {', '.join(OPTIONS)}"
                )
        options = FitOptions(**how)
        check_values(options, {"patience": Range(1, 1_000_000)})
    except BnnError as reason:
        raise TrainError(f"{path}: {reason}") from None
    return options


def _table(folder: Path) -> Mapping[str, Any]:
    check_run(folder)
    path = folder / SETTINGS
    text = read_file(path, MAX_SETTINGS_BYTES, TrainError)
    try:
        values = parse_json(text, finite=True)
    except ValueError as reason:
        raise TrainError(f"{path}: is not JSON: {reason}") from None
    if not isinstance(values, dict):
        raise TrainError(f"{path}: must be a table")
    return values

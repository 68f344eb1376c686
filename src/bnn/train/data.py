# SPDX-License-Identifier: BSD-3-Clause
"""Data to train on: three parts in memory as bytes, and batches drawn from them by index.

The data are not copied for an epoch. The pictures of a batch are gathered in the memory in which
the data are: the GPU's memory, if there is a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnn.data.folder import PictureFolder
from bnn.data.look import Advance, Looks, Notebook, Reader, look_at_arrays
from bnn.data.pictures.preprocess import GAP, KINDS, Preprocess, Shape, for_training
from bnn.data.report import DataReport, make_report
from bnn.data.sets import DataSet, Given, Splits, notes_of, open_splits
from bnn.errors import DataError, TrainError
from bnn.program.inputs import Shape as InputShape

#: Seed of the draw of parts. It does not depend on the training's seed: runs stay comparable.
SPLIT_SEED = 1234
#: A validation (or test) part that is drawn has a tenth of the pictures, and at most this many.
MAX_HELD_OUT = 5000

#: Kinds of preparation of the grey sets that have their own.
_OF_SETS = {"mnist": "digit", "fashion-mnist": "on-black"}


@dataclass(frozen=True, eq=False)
class Part:
    """Pictures uint8 (N, *input shape), labels int64 (N,)."""

    pictures: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indexes: NDArray[np.int64]) -> Part:
        """Return the pictures and labels at ``indexes`` (copied)."""
        chosen = torch.from_numpy(indexes)
        return Part(self.pictures[chosen], self.labels[chosen])

    def to(self, device: torch.device) -> Part:
        """Return this part with its pictures and labels on ``device``."""
        return Part(self.pictures.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class Parts:
    """The training, validation and test part of a data set, and a report on the data set."""

    name: str
    classes: tuple[str, ...]
    preprocess: Preprocess
    training: Part
    validation: Part
    test: Part
    report: DataReport

    def with_all_to_train(self) -> Parts:
        """Return these parts, but with a training part that also contains the validation part."""
        both = self.training, self.validation
        pictures, labels = (torch.cat(kind) for kind in zip(*map(_tensors, both), strict=True))
        report = self.report.with_note("the validation part is also trained on (--whole)")
        return replace(self, training=Part(pictures, labels), report=report)


def _tensors(part: Part) -> tuple[Tensor, Tensor]:
    return part.pictures, part.labels


@dataclass(frozen=True)
class Reading:
    """How a data set is read.

    Attributes:
        skip_broken: skip files that cannot be read, instead of raising an error.
        advance: called with the number of pictures read so far, and the number of all pictures.
    """

    skip_broken: bool = False
    advance: Advance | None = None


@dataclass(frozen=True, eq=False)
class _Seen:
    """A part, and the looks of its pictures."""

    part: Part
    looks: Looks

    def take(self, indexes: NDArray[np.int64]) -> _Seen:
        return _Seen(self.part.take(indexes), self.looks.take(indexes))


def load_parts(
    data: str | os.PathLike[str],
    size: InputShape,
    preprocess: str | None = None,
    given: Splits | None = None,
    reading: Reading | None = None,
    gap: int | None = GAP,
) -> Parts:
    """Read a data set, check every picture, and draw the parts that the data set does not have.

    Args:
        data: a known name or a folder, see :func:`bnn.data.sets.load_train`.
        size: (height, width, channels) that the network takes.
        preprocess: how the pictures of a folder become pictures of this size, one of
            :data:`~bnn.data.pictures.preprocess.KINDS`; by default ``thumbnail`` for colour, and
            ``stretch`` for grey.
        given: result of :func:`bnn.data.sets.open_splits` for ``data``, if the caller has called
            it already: opening some sets takes half a minute.
        reading: whether to skip unreadable files, and a callback for progress.
        gap: gap of the preparation, see :func:`bnn.data.pictures.shrink.resized`; None: pictures
            are resized at once, which takes up to ten times as long.

    Raises:
        UnreadableError: some pictures cannot be read; the error lists all of them.
        DataError: the pictures do not have the shape ``size``, there is only one class, a class
            has no pictures to train on, or all pictures are equal after they are prepared.
    """
    given = open_splits(data) if given is None else given
    reading = reading or Reading()
    name = given.train().name
    if reading.skip_broken and all(not isinstance(one, PictureFolder) for one in _parts_of(given)):
        raise TrainError(f"{name}: holds arrays, not picture files; remove --skip-broken")
    if len(size) != 3:
        raise DataError(f"{name}: has pictures, but the network takes {size[0]} features")
    shape = (size[0], size[1], size[2])
    rule = _rule(given.train(), shape, preprocess, gap)
    sources = {"training": given.train(), "validation": given.validation, "test": given.test}
    there = {part: one for part, one in sources.items() if one is not None}
    total = sum(map(len, there.values()))
    reader = Reader(rule, shape, total, reading.advance)
    seen = {part: _read(one, reader, part) for part, one in there.items()}
    if not reading.skip_broken:
        reader.check(given.name)
    _check_classes(given.train(), seen)
    origins = {part: f"from {one.name}" for part, one in there.items()}
    missing = [part for part in ("test", "validation") if part not in seen]
    for draws, part in zip(range(len(missing), 0, -1), missing, strict=True):
        seen["training"], seen[part] = _hold_out(seen["training"], draws, name)
        origins[part] = f"drawn at random from {name}, the same in each run"
        origins["training"] = f"the rest of {name}"
    names = ("training", "validation", "test")
    report = make_report(
        given.name,
        "pictures in folders" if isinstance(given.train(), PictureFolder) else "arrays",
        given.train().classes,
        {part: seen[part].looks for part in names},
        {part: origins[part] for part in names},
        _prepared(given.train(), rule, shape),
        shape,
        [*given.notes, *notes_of(there)],
        reader.unreadable,
    )
    training, validation, test = (seen[part].part for part in names)
    return Parts(name, given.train().classes, rule, training, validation, test, report)


def _parts_of(given: Splits) -> list[Given]:
    return [one for one in (given.training, given.validation, given.test) if one is not None]


def _prepared(given: Given, rule: Preprocess, shape: Shape) -> str:
    size = "x".join(map(str, (shape[1], shape[0], shape[2])))
    return f"by {rule.kind}, to {size}" if isinstance(given, PictureFolder) else f"as is, {size}"


def _rule(given: Given, shape: Shape, preprocess: str | None, gap: int | None) -> Preprocess:
    if preprocess is None:
        grey = _OF_SETS.get(given.name, "stretch")
        preprocess = "thumbnail" if shape[2] == 3 else grey
    if preprocess not in KINDS:
        raise TrainError(f"preprocess is one of {', '.join(KINDS)}, not {preprocess!r}")
    return for_training(preprocess, gap)


def _read(given: Given, reader: Reader, part: str) -> _Seen:
    if isinstance(given, DataSet):
        _check_arrays(given, reader.shape)
        images = reader.rule.ready(given.images)
        return _Seen(
            Part(_tensor(images), _tensor(given.labels)), look_at_arrays(given, reader.rule)
        )
    pictures = np.empty((len(given), *reader.shape), np.uint8)
    labels = np.empty(len(given), np.int64)
    notebook, done = Notebook(), 0
    for batch, numbers in reader.batches(given, notebook):
        pictures[done : done + len(batch)] = batch
        labels[done : done + len(batch)] = numbers
        done += len(batch)
    if not done and not reader.unreadable:
        raise DataError(f"{given.name}: the {part} part has no pictures")
    return _Seen(Part(_tensor(pictures[:done]), _tensor(labels[:done])), notebook.looks())


def _check_arrays(given: DataSet, shape: Shape) -> None:
    if given.images.shape[1:] != tuple(shape):
        found, wanted = ("x".join(map(str, size)) for size in (given.images.shape[1:], shape))
        raise DataError(f"{given.name}: its pictures are {found}, the network takes {wanted}")


def _tensor(array: NDArray[np.generic]) -> Tensor:
    # PyTorch warns about read-only arrays; nothing here writes to them.
    writable = array if array.flags.writeable else array.copy()
    return torch.from_numpy(writable)


def _check_classes(given: Given, seen: Mapping[str, _Seen]) -> None:
    if len(given.classes) < 2:
        raise DataError(
            f"{given.name}: has one class only ({given.classes[0]}), there is nothing to tell "
            "apart; if the classes are subfolders of it, name that folder"
        )
    whole = seen["training"]
    counts = np.bincount(whole.part.labels.numpy(), minlength=len(given.classes))
    if not counts.all():
        missing = given.classes[int(counts.argmin())]
        raise DataError(f"{given.name}: class {missing!r} has no pictures to train on")
    for part, one in seen.items():
        if not len(one.part):
            raise DataError(f"{given.name}: no picture of the {part} part can be read")
    if len(whole.looks) > 1 and (whole.looks.digests == whole.looks.digests[0]).all():
        raise DataError(
            f"{given.name}: all {len(whole.looks)} pictures are equal once prepared for the "
            "network, there is nothing to learn"
        )


def _hold_out(whole: _Seen, draws: int, name: str) -> tuple[_Seen, _Seen]:
    """Return two parts: the pictures that remain, and the pictures that are held out.

    A random tenth is held out, the same in every call. If this tenth has no picture of a class, or
    all pictures of a class, a tenth of each class is drawn instead.

    Args:
        whole: the pictures to draw from.
        draws: number of parts that are still to be drawn from ``whole``, this part included.
        name: name of the data, for error messages.
    """
    size = len(whole.part)
    count = min(max(size // 10, 1), MAX_HELD_OUT)
    order = np.random.default_rng(SPLIT_SEED).permutation(size)
    labels = whole.part.labels.numpy()
    held = order[:count]
    there = np.bincount(labels)
    taken = np.bincount(labels[held], minlength=len(there))
    if (taken[there > draws] == 0).any() or (taken[there > 0] == there[there > 0]).any():
        held = _of_each_class(labels[order], order, count / size, draws)
    if not len(held):
        raise DataError(
            f"{name}: no class has {draws + 1} pictures or more, which are needed to train and to "
            "hold some out; add pictures, or folders val and test beside train"
        )
    return whole.take(np.setdiff1d(order, held)), whole.take(np.sort(held))


def _of_each_class(
    labels: NDArray[np.int64], order: NDArray[np.int64], share: float, draws: int
) -> NDArray[np.int64]:
    """Return a ``share`` of the indexes of each class: those that are first in ``order``.

    There is at least one index of each class, except of a class with at most ``draws`` pictures:
    a picture of each class must remain to train on.
    """
    chosen = [order[:0]]
    for label in np.unique(labels):
        members = order[labels == label]
        if len(members) > draws:
            chosen.append(members[: max(int(len(members) * share), 1)])
    return np.concatenate(chosen)


class Batches:
    """One epoch of a part in batches of pictures and labels.

    Args:
        part: pictures and labels, from which batches are drawn.
        size: pictures per batch. In a random order, an incomplete last batch is dropped.
        seed: seed of this epoch's random order; None: the order of the part.
        rank, ranks: index of this process, and how many processes work together. In a random order
            they share each batch of ``size``; else they share the part.
    """

    def __init__(
        self, part: Part, size: int, seed: int | None = None, rank: int = 0, ranks: int = 1
    ) -> None:
        self.part, self.size, self.seed = part, size, seed
        self.rank, self.ranks = rank, ranks

    def __len__(self) -> int:
        if self.seed is None:
            share = len(range(self.rank, len(self.part), self.ranks))
            return -(-share // self.size)
        return len(self.part) // self.size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.arange(len(self.part))
        if self.seed is not None:
            order = torch.randperm(len(order), generator=torch.Generator().manual_seed(self.seed))
        else:
            order = order[self.rank :: self.ranks]
        order = order.to(self.part.labels.device)
        for step in range(len(self)):
            chosen = order[step * self.size : (step + 1) * self.size]
            if self.seed is not None:
                chosen = chosen[self.rank :: self.ranks]
            yield self.part.pictures[chosen], self.part.labels[chosen]

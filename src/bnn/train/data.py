# SPDX-License-Identifier: BSD-3-Clause
"""Data to train on: three parts in memory as bytes, and batches drawn from them by index.

No epoch copies the data; a batch is gathered where the data lies, which is the GPU's
memory when there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnn.data.folder import PictureFolder
from bnn.data.sets import DataSet, load_test, load_train
from bnn.errors import DataError, TrainError
from bnn.inputs import Shape as InputShape
from bnn.preprocess import Digit, Preprocess, Shape, Stretch, Thumbnail

#: Parts are drawn by this, whatever the seed of the training: runs stay comparable.
SPLIT_SEED = 1234
#: A validation (or test) part that is made takes a tenth, and not more than this.
MOST_HELD_OUT = 5000

PREPROCESSES = {"thumbnail": Thumbnail, "stretch": Stretch, "digit": Digit}


@dataclass(frozen=True, eq=False)
class Part:
    """Pictures uint8 (N, *input shape), labels int64 (N,)."""

    pictures: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indexes: NDArray[np.int64]) -> Part:
        """The pictures at ``indexes``, copied."""
        chosen = torch.from_numpy(indexes)
        return Part(self.pictures[chosen], self.labels[chosen])

    def to(self, device: torch.device) -> Part:
        """The same on ``device``."""
        return Part(self.pictures.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class Parts:
    """Training, validation and test part of a data set called ``name``."""

    name: str
    classes: tuple[str, ...]
    preprocess: Preprocess
    training: Part
    validation: Part
    test: Part

    def with_all_to_train(self) -> Parts:
        """The same, trained on the validation part too, which then tells nothing any more."""
        both = self.training, self.validation
        pictures, labels = (torch.cat(kind) for kind in zip(*map(_tensors, both), strict=True))
        return replace(self, training=Part(pictures, labels))


def _tensors(part: Part) -> tuple[Tensor, Tensor]:
    return part.pictures, part.labels


def load_parts(
    data: str | os.PathLike[str],
    size: InputShape,
    preprocess: str | None = None,
    given: DataSet | PictureFolder | None = None,
) -> Parts:
    """Read a data set, and hold out what it does not hold out itself.

    Args:
        data: a known name or a folder, see :func:`bnn.data.sets.load_train`.
        size: (height, width, channels) that the network takes.
        preprocess: how the pictures of a folder reach that shape, one of
            :data:`PREPROCESSES`; by default ``thumbnail`` for colour, ``stretch`` for grey.
        given: what :func:`bnn.data.sets.load_train` returned for ``data``, where that was
            asked already: some sets take half a minute to read.

    Raises:
        DataError: a picture cannot be read or has another shape, or classes are missing.
    """
    given = load_train(data) if given is None else given
    held_out = load_test(data)
    if len(size) != 3:
        raise DataError(f"{given.name}: holds pictures, but the network takes {size[0]} features")
    shape = (size[0], size[1], size[2])
    rule = _rule(given, shape, preprocess)
    whole = _part(given, shape, rule)
    _check_classes(given, whole)
    if isinstance(given, PictureFolder) and given.name == held_out.name:
        whole, test = _hold_out(whole)
    else:
        test = _part(held_out, shape, rule)
    training, validation = _hold_out(whole)
    return Parts(given.name, given.classes, rule, training, validation, test)


def _rule(given: DataSet | PictureFolder, shape: Shape, preprocess: str | None) -> Preprocess:
    if preprocess is None:
        grey = "digit" if given.name == "mnist" else "stretch"
        preprocess = "thumbnail" if shape[2] == 3 else grey
    if preprocess not in PREPROCESSES:
        raise TrainError(f"preprocess is one of {', '.join(PREPROCESSES)}, not {preprocess!r}")
    return PREPROCESSES[preprocess]()


def _part(given: DataSet | PictureFolder, shape: Shape, rule: Preprocess) -> Part:
    if isinstance(given, PictureFolder):
        pictures = np.empty((len(given), *shape), np.uint8)
        done = 0
        for batch, _ in given.batches(rule, shape):
            pictures[done : done + len(batch)] = batch
            done += len(batch)
    else:
        pictures = given.images
        if pictures.shape[1:] != tuple(shape):
            found, wanted = ("x".join(map(str, size)) for size in (pictures.shape[1:], shape))
            raise DataError(f"{given.name}: its pictures are {found}, the network takes {wanted}")
    return Part(_tensor(pictures), _tensor(given.labels))


def _tensor(array: NDArray[np.generic]) -> Tensor:
    # PyTorch warns of arrays that it may not write to; nothing here writes to them.
    writable = array if array.flags.writeable else array.copy()
    return torch.from_numpy(writable)


def _check_classes(given: DataSet | PictureFolder, whole: Part) -> None:
    if len(given.classes) < 2:
        raise DataError(f"{given.name}: has one class only, there is nothing to tell apart")
    counts = np.bincount(whole.labels.numpy(), minlength=len(given.classes))
    if not counts.all():
        missing = given.classes[int(counts.argmin())]
        raise DataError(f"{given.name}: class {missing!r} has no pictures to train on")


def _hold_out(whole: Part) -> tuple[Part, Part]:
    """A random tenth as the second part, always the same one."""
    count = min(max(len(whole) // 10, 1), MOST_HELD_OUT)
    if len(whole) < 3:
        raise DataError(f"{len(whole)} pictures are too few to hold some out for validation")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(whole))
    return whole.take(np.sort(order[count:])), whole.take(np.sort(order[:count]))


class Batches:
    """One epoch of a part in batches of pictures and labels.

    Args:
        part: from which to draw.
        size: of a batch. When shuffled, an incomplete last one is dropped.
        seed: of the order, for each epoch another; None keeps the part's own order.
        rank, ranks: this process and how many share the epoch, each its own batches.
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
        return len(self.part) // (self.size * self.ranks)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.arange(len(self.part))
        if self.seed is not None:
            order = torch.randperm(len(order), generator=torch.Generator().manual_seed(self.seed))
        order = order[self.rank :: self.ranks].to(self.part.labels.device)
        for step in range(len(self)):
            chosen = order[step * self.size : (step + 1) * self.size]
            yield self.part.pictures[chosen], self.part.labels[chosen]

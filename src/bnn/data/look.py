# SPDX-License-Identifier: BSD-3-Clause
"""One pass over pictures, which prepares each picture for the network and keeps its properties.

About 300 bytes per picture are kept: a digest of its prepared pixels, a small fingerprint for
finding nearly equal pictures, its size, and properties of its file.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnn.data.folder import PictureFolder
from bnn.data.walk import Unreadable
from bnn.errors import BnnError, InputError, UnreadableError

if TYPE_CHECKING:
    from bnn.data.pictures.preprocess import Preprocess, Shape
    from bnn.data.sets import DataSet

#: Callback for progress: (pictures done, pictures in total).
Advance = Callable[[int, int], None]

DIGEST_BYTES = 16
#: Most rows and columns of a fingerprint.
GRID = 12
#: A picture is blank if its levels differ by at most this (of 255), which may be JPEG's noise.
BLANK_LEVELS = 8
#: Levels of a fingerprint per standard deviation of the picture.
_LEVELS = 24.0
_CHUNK = 2048
_WHOLE = (slice(None), slice(None))


class Mark(enum.IntFlag):
    """Properties of one picture that a report mentions."""

    BLANK = 1
    DEEP = 2
    ALPHA = 4
    SMALL = 8
    FRAMES = 16
    TURNED = 32


@dataclass(frozen=True, eq=False)
class Looks:
    """Digests, fingerprints and other properties of N pictures.

    Attributes:
        labels: int64 (N,).
        digests: uint8 (N, DIGEST_BYTES), digests of the prepared pixels.
        prints: uint8 (N, cells), fingerprints: grey levels on a coarse grid, scaled to mean 128.
        contrast: float32 (N,), standard deviation of the grid's grey levels before scaling.
        marks: uint8 (N,), flags of :class:`Mark`.
        sizes: int32 (N, 2), width and height of the picture in its file.
        modes: uint8 (N,), indexes into ``mode_names``.
        mode_names: Pillow's names of the modes that occur.
        names: name of each picture, for messages.
    """

    labels: NDArray[np.int64]
    digests: NDArray[np.uint8]
    prints: NDArray[np.uint8]
    contrast: NDArray[np.float32]
    marks: NDArray[np.uint8]
    sizes: NDArray[np.int32]
    modes: NDArray[np.uint8]
    mode_names: tuple[str, ...]
    names: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indexes: NDArray[np.int64]) -> Looks:
        """Return the looks of the pictures at ``indexes``."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return Looks(**{k: v if k == "mode_names" else v[indexes] for k, v in values.items()})

    def relabelled(self, labels: NDArray[np.int64]) -> Looks:
        """Return these looks with other labels."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return Looks(**{**values, "labels": labels})


@dataclass(eq=False)
class Notebook:
    """Collects the looks of pictures that come in batches."""

    labels: list[NDArray[np.int64]] = field(default_factory=list)
    digests: list[NDArray[np.uint8]] = field(default_factory=list)
    prints: list[NDArray[np.uint8]] = field(default_factory=list)
    contrast: list[NDArray[np.float32]] = field(default_factory=list)
    marks: list[NDArray[np.uint8]] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    mode_names: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def add(
        self, pictures: NDArray[np.uint8], labels: NDArray[np.int64], facts: Sequence[Fact]
    ) -> None:
        """Add the looks of a batch of prepared pictures, uint8 (n, height, width, channels)."""
        prints, contrast = _fingerprints(pictures)
        self.labels.append(labels)
        self.digests.append(_digests(pictures))
        self.prints.append(prints)
        self.contrast.append(contrast)
        blank = _blank(pictures, contrast, facts).astype(np.uint8) * np.uint8(Mark.BLANK)
        self.marks.append(blank | np.array([fact.marks for fact in facts], np.uint8))
        for fact in facts:
            if fact.mode not in self.mode_names:
                self.mode_names.append(fact.mode)
            self.modes.append(self.mode_names.index(fact.mode))
            self.sizes.append(fact.size)
            self.names.append(fact.name)

    def looks(self) -> Looks:
        """Return the looks of all pictures so far."""
        return Looks(
            labels=_joined(self.labels, np.int64, ()),
            digests=_joined(self.digests, np.uint8, (DIGEST_BYTES,)),
            prints=_joined(self.prints, np.uint8, (0,)),
            contrast=_joined(self.contrast, np.float32, ()),
            marks=_joined(self.marks, np.uint8, ()),
            sizes=np.array(self.sizes, np.int32).reshape(-1, 2),
            modes=np.array(self.modes, np.uint8),
            mode_names=tuple(self.mode_names),
            names=np.array(self.names, object),
        )


@dataclass(frozen=True)
class Fact:
    """Properties of a picture's file: width and height, Pillow's mode, marks.

    ``inner`` are slices of the rows and columns of the prepared picture that the picture covers;
    the rest is the canvas around the picture.
    """

    name: str
    size: tuple[int, int]
    mode: str
    marks: int = 0
    inner: tuple[slice, slice] = _WHOLE


def _joined(parts: Sequence[NDArray[Any]], dtype: Any, cell: tuple[int, ...]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty((0, *cell), dtype)


# --- from arrays ---------------------------------------------------------------------


def look_at_arrays(data: DataSet, rule: Preprocess | None = None) -> Looks:
    """Return the looks of the pictures in a set of arrays.

    A picture that the preparation ``rule`` would change gets a mark.
    """
    notebook = Notebook()
    height, width, channels = data.images.shape[1:]
    mode = "L" if channels == 1 else "RGB"
    for start in range(0, len(data), _CHUNK):
        chosen = slice(start, start + _CHUNK)
        pictures = data.images[chosen]
        ready = pictures if rule is None else rule.ready(pictures)
        turned = np.zeros(len(pictures), np.bool_)
        if ready is not pictures:
            turned = (ready != pictures).any(axis=(1, 2, 3))
        marks = (turned * int(Mark.TURNED)).tolist()
        facts = [
            Fact(f"[{start + i}]", (width, height), mode, mark) for i, mark in enumerate(marks)
        ]
        notebook.add(pictures, data.labels[chosen], facts)
    return notebook.looks()


# --- from files ----------------------------------------------------------------------


@dataclass(eq=False)
class Reader:
    """Reads the pictures of folders once, and collects their looks.

    Attributes:
        rule: preparation of the pictures.
        shape: (height, width, channels) of a prepared picture.
        total: number of pictures in all folders that will be read.
        advance: called after each batch with ``done`` and ``total``; or None.
        done: number of pictures that have been read so far.
        unreadable: files that could not be read so far.
    """

    rule: Preprocess
    shape: Shape
    total: int
    advance: Advance | None = None
    done: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or self.shape[2] not in (1, 3):
            raise InputError(f"a picture cannot fill an input of shape {tuple(self.shape)}")

    def batches(
        self, folder: PictureFolder, notebook: Notebook, size: int = 256
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        """Yield batches of pictures, uint8 (n, *shape), and labels, int64 (n,), n <= ``size``.

        Pictures that cannot be read are left out, and added to ``unreadable``.
        """
        self.unreadable += folder.unreadable
        for start in range(0, len(folder), size):
            chosen = slice(start, start + size)
            batch: list[NDArray[np.uint8]] = []
            labels: list[int] = []
            facts: list[Fact] = []
            for path, label in zip(folder.paths[chosen], folder.labels[chosen], strict=True):
                try:
                    pixels, fact = self._read(path, folder.name)
                except BnnError as error:
                    reason = str(error).removeprefix(f"{path}: ")
                    self.unreadable.append(Unreadable(path, reason))
                    continue
                batch.append(pixels)
                facts.append(fact)
                labels.append(int(label))
            if batch:
                pictures, numbers = np.stack(batch), np.array(labels, np.int64)
                notebook.add(pictures, numbers, facts)
                yield pictures, numbers
            self.done += len(folder.paths[chosen])
            if self.advance is not None:
                self.advance(self.done, self.total)

    def check(self, name: str) -> None:
        """Raise `UnreadableError` if a file of the set ``name`` could not be read."""
        failed = self.unreadable
        if not failed:
            return
        if len(failed) == 1:
            raise UnreadableError(f"{failed[0]}; --skip-broken skips it")
        raise UnreadableError(
            f"{name}: {len(failed)} files cannot be read: {failed[0]}, and {len(failed) - 1} "
            "more; --skip-broken skips them",
            tuple(map(str, failed)),
        )

    def _read(self, path: Path, root: str) -> tuple[NDArray[np.uint8], Fact]:
        from bnn.data.pictures.rules import decoding, open_picture
        from bnn.data.pictures.seen import seen

        with open_picture(path) as image, decoding(str(path)):
            size, mode, marks = image.size, image.mode, _marks(image, self.shape)
            if size == self.shape[1::-1]:
                marks |= Mark.TURNED * self.rule.turns(seen(image), self.shape)
        pixels = self.rule.to_array(path, self.shape)
        name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
        return pixels, Fact(name, size, mode, marks, _inner(self.rule.kind, size, self.shape))


def _marks(image: Any, shape: Shape) -> int:
    """Return the marks from a picture's header, before its pixels are decoded."""
    marks = Mark(0)
    raw = [str(part) for tile in image.tile for part in tile[3:]]
    if image.mode in ("I", "F") or image.mode.startswith("I;16") or any(map(_is_deep, raw)):
        marks |= Mark.DEEP
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        marks |= Mark.ALPHA
    if image.width * image.height * 4 <= shape[0] * shape[1]:
        marks |= Mark.SMALL
    if _has_frames(image):
        marks |= Mark.FRAMES
    return int(marks)


def _has_frames(image: Any) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # frames that are not read may be damaged in any way
        return False


def _is_deep(raw: str) -> bool:
    """Whether Pillow's raw mode, such as ``RGB;16B``, has more than 8 bits per channel."""
    return any(f";{bits}" in raw for bits in ("16", "12", "32", "64"))


def _inner(kind: str, size: tuple[int, int], shape: Shape) -> tuple[slice, slice]:
    """Return slices of the rows and columns that the picture covers after its preparation.

    The rest is the canvas around the picture, which only the preparation ``thumbnail`` adds.
    """
    if kind != "thumbnail":
        return _WHOLE
    height, width = shape[:2]
    scale = min(1.0, width / size[0], height / size[1])
    return _middle(height, size[1] * scale), _middle(width, size[0] * scale)


def _middle(room: int, length: float) -> slice:
    margin = int(np.ceil((room - length) / 2)) + 1 if length < room - 0.5 else 0
    return (
        slice(margin, room - margin) if room - 2 * margin > 0 else slice(room // 2, room // 2 + 1)
    )


# --- digests and fingerprints --------------------------------------------------------


def _digests(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows = np.ascontiguousarray(pictures).reshape(len(pictures), -1)
    text = b"".join(
        hashlib.blake2b(row.tobytes(), digest_size=DIGEST_BYTES).digest() for row in rows
    )
    return np.frombuffer(text, np.uint8).reshape(-1, DIGEST_BYTES)


def _blank(
    pictures: NDArray[np.uint8], contrast: NDArray[np.float32], facts: Sequence[Fact]
) -> NDArray[np.bool_]:
    blank = np.zeros(len(pictures), np.bool_)
    # Blank pictures have similar cell means, so few pictures are checked pixel by pixel.
    for index in np.flatnonzero(contrast <= BLANK_LEVELS).tolist():
        blank[index] = _even(pictures[index])
    for index, fact in enumerate(facts):
        if fact.inner != _WHOLE and not blank[index]:
            blank[index] = _even(pictures[index][fact.inner])
    return blank


def _even(pixels: NDArray[np.uint8]) -> bool:
    flat = pixels.reshape(-1, pixels.shape[2])
    return bool((np.ptp(flat, axis=0) <= BLANK_LEVELS).all())


def _fingerprints(
    pictures: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the fingerprints and the contrasts of pictures, see :class:`Looks`.

    A fingerprint has the mean grey level of each cell of a coarse grid, scaled so that all
    fingerprints have the same mean and the same standard deviation.
    """
    count, height, width, channels = pictures.shape
    across = np.repeat(_means(width), channels, axis=0) / np.float32(channels)
    rows = pictures.reshape(count, height, width * channels).astype(np.float32) @ across
    means = (_means(height).T @ rows).reshape(count, -1)
    contrast = means.std(axis=1)
    scaled = (means - means.mean(axis=1, keepdims=True)) / np.maximum(contrast, 1e-3)[:, None]
    return np.clip(128 + _LEVELS * scaled, 0, 255).round().astype(np.uint8), contrast


def _means(length: int) -> NDArray[np.float32]:
    """Return a matrix float32 (length, cells): ``row @ matrix`` has the mean of each cell."""
    cells = min(GRID, length)
    owner = np.arange(length) * cells // length
    member = (owner[:, None] == np.arange(cells)).astype(np.float32)
    means: NDArray[np.float32] = member / member.sum(axis=0)
    return means

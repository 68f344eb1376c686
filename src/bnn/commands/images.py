# SPDX-License-Identifier: BSD-3-Clause
"""Files that a user names on the command line, as one batch of a model's input.

A file is a picture, an IDX file of images (MNIST), or has CIFAR-10 records. Files of the last two
kinds contain many images, and may be packed. A folder stands for the pictures in it and in its
subfolders.
"""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from bnn.data.files import MAX_BYTES, PACKED, open_unpacked
from bnn.data.walk import Found, Unreadable, walk
from bnn.errors import BnnError, DataError, InputError
from bnn.model.batch import as_batch, no_pictures
from bnn.model.model import Model
from bnn.program.inputs import PictureInput
from bnn.system.terminal import harmless, notice

_IDX_MAGIC = b"\x00\x00\x08\x03"

#: Shape of the pictures in CIFAR-10's records.
_RECORD_SHAPE = (32, 32, 3)

#: Files that are read before they are classified: memory stays bounded.
FILES_AT_ONCE = 256

#: Names and a batch (N, *input shape).
Images = tuple[list[str], NDArray[Any]]


def list_files(paths: Iterable[Path]) -> tuple[list[Path], list[Unreadable]]:
    """Return the files that ``paths`` name, in order, and the files that cannot be read.

    A folder stands for the pictures in it and in its subfolders, sorted, without hidden files.
    """
    files: list[Path] = []
    unreadable: list[Unreadable] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        try:
            found = walk(path)
        except DataError as error:
            unreadable.append(failed(path, error))
            continue
        files += found.pictures
        unreadable += found.unreadable
        unreadable += [
            Unreadable(link, "is a linked folder; name it to read it") for link in found.links
        ]
        if found.passed and found.pictures:
            notice(_passed_over(path, found))
        if not found.pictures and not found.unreadable and not found.links:
            unreadable.append(Unreadable(path, "is a folder without pictures"))
    return files, unreadable


def _passed_over(folder: Path, found: Found) -> str:
    count = sum(found.others.values())
    names = ", ".join(str(one.relative_to(folder)) for one in found.passed)
    more = ", ..." if count > len(found.passed) else ""
    files = "1 file is" if count == 1 else f"{count} files are"
    return f"{folder}: {files} passed over, for the name is not a picture's: {names}{more}"


def read_batches(
    model: Model,
    files: Sequence[Path],
    unreadable: list[Unreadable],
    advance: Callable[[int, int], None] | None = None,
    size: int | None = FILES_AT_ONCE,
) -> Iterator[Images]:
    """Yield names and batches of the images in ``files``, ``size`` files at a time (None: all).

    Args:
        model: the model that takes the images.
        files: see :func:`list_files`.
        unreadable: files that cannot be read are added to this list, and skipped.
        advance: called before each file, with the number of files done and the number of all files.

    Raises:
        InputError: the model does not take pictures.
    """
    check_takes_pictures(model)
    step = size or max(len(files), 1)
    for start in range(0, len(files), step):
        names: list[str] = []
        parts = []
        for done, path in enumerate(files[start : start + step], start):
            if advance is not None:
                advance(done, len(files))
            try:
                own, images = read_images(model, [path])
            except BnnError as error:
                unreadable.append(failed(path, error))
                continue
            names += own
            parts.append(images)
        if parts:
            yield names, np.concatenate(parts)


def failed(path: Path, error: BnnError) -> Unreadable:
    """Return the file ``path``, which could not be read, with the reason in ``error``."""
    return Unreadable(path, str(error).removeprefix(f"{path}: "))


def end_with(unreadable: list[Unreadable], total: int, *, json: bool) -> None:
    """If files cannot be read, list them on standard error, and end with status 1.

    Args:
        unreadable: the files that cannot be read.
        total: number of all files.
        json: an object with an error is printed for each as well.
    """
    if json:
        for one in unreadable:
            typer.echo(json_text.dumps({"image": str(one.path), "error": one.reason}))
    if not unreadable:
        return
    sys.stdout.flush()
    for one in unreadable:
        typer.echo(f"bnn: {harmless(str(one))}", err=True)
    if len(unreadable) > 1:
        typer.echo(f"bnn: {len(unreadable)} of {total} cannot be read", err=True)
    raise typer.Exit(1)


def check_takes_pictures(model: Model) -> None:
    """Raise `InputError` if the model does not take pictures; the message says what it takes."""
    if not isinstance(model.program.input, PictureInput):
        raise InputError(no_pictures(model))


def read_images(model: Model, paths: Iterable[Path]) -> tuple[list[str], NDArray[Any]]:
    """Return the names of the images in ``paths``, and the images as a batch (N, *input shape).

    The name of an image is the path of its file; in a file of several images, ``file[index]``.

    Raises:
        DataError: a file is missing, or is not a picture.
        InputError: the model does not take pictures, or not images of this shape.
    """
    check_takes_pictures(model)
    names: list[str] = []
    parts = []
    for path in paths:
        images = as_batch(model, _read(path, model))
        several = len(images) > 1
        names += [f"{path}[{index}]" if several else str(path) for index in range(len(images))]
        parts.append(images)
    return names, np.concatenate(parts)


def _read(path: Path, model: Model) -> Any:
    """Return the images of an IDX or CIFAR-10 file; for any other file return its path.

    The images in such files have the size that networks take: images of another size are refused,
    not resized.
    """
    shape = model.program.input.shape
    plain = path.with_suffix("") if path.suffix in PACKED else path
    is_records = plain.suffix == ".bin"
    most = MAX_BYTES
    if is_records:
        from bnn.data import cifar

        most = cifar.MAX_BYTES
    with open_unpacked(path, most) as file:
        head = file.peek(len(_IDX_MAGIC))
        if head == _IDX_MAGIC:
            from bnn.data import idx

            images = idx.read_open_images(file)
        elif is_records and head:
            if shape != _RECORD_SHAPE:
                raise InputError(_other_shape(path, _RECORD_SHAPE, model))
            return cifar.read_open_records(file)[0]
        else:
            return path
    if shape not in (images.shape[1:], (*images.shape[1:], 1)):
        raise InputError(_other_shape(path, images.shape[1:], model))
    return images


def _other_shape(path: Path, found: tuple[int, ...], model: Model) -> str:
    there, wanted = ("x".join(map(str, shape)) for shape in (found, model.program.input.shape))
    return f"{path}: has pictures of {there}, {model.name} takes {wanted}; give pictures as files"

# SPDX-License-Identifier: BSD-3-Clause
"""Files that a user names on the command line, as one batch of a model's input.

A file is a picture, an IDX file of images (MNIST), or CIFAR-10 records; the last two
hold many images, may be packed, and are recognised by their contents.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.batch import as_batch
from bnn.data import cifar, idx
from bnn.data.files import PACKED, open_unpacked
from bnn.errors import InputError
from bnn.inputs import PictureInput
from bnn.model import Model

_IDX_MAGIC = b"\x00\x00\x08\x03"


def read_images(model: Model, paths: Iterable[Path]) -> tuple[list[str], NDArray[Any]]:
    """Names and batch (N, *input shape) of the images in ``paths``.

    An image of a file that holds several is called ``file[index]``.

    Raises:
        DataError: a file is missing or no picture.
        InputError: the model is not about pictures, or its input has another shape.
    """
    if not isinstance(model.program.input, PictureInput):
        raise InputError(f"{model.name} does not take pictures; use bnn.Classifier on arrays")
    names: list[str] = []
    parts = []
    for path in paths:
        images = as_batch(model, _read(path, model))
        several = len(images) > 1
        names += [f"{path}[{index}]" if several else str(path) for index in range(len(images))]
        parts.append(images)
    return names, np.concatenate(parts)


def _read(path: Path, model: Model) -> Any:
    """Images of a data file, or the path itself if it must be a picture.

    Data files hold images as networks take them; another size is a mistake, and not resized.
    """
    shape = model.program.input.shape
    with open_unpacked(path) as file:
        head = bytes(file.read(4))
    if head == _IDX_MAGIC:
        images = idx.read_images(path)
        if shape not in (images.shape[1:], (*images.shape[1:], 1)):
            raise InputError(f"{path}: images of {images.shape[1:]}, {model.name} takes {shape}")
        return images
    plain = path.with_suffix("") if path.suffix in PACKED else path
    if shape == (32, 32, 3) and plain.suffix == ".bin" and head:
        return cifar.read_records(path)[0]
    return path

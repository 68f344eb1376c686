# SPDX-License-Identifier: BSD-3-Clause
"""Files, pictures and arrays of any kind, as one batch of a model's input.

Files, PIL pictures and arrays are prepared in the same way, as the model file says. An input that
could be understood in two ways is refused, and the message says why.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import BnnWarning, InputError
from bnn.model.figures import input_text
from bnn.model.model import Model
from bnn.program.inputs import PictureInput
from bnn.program.operations import INPUT

#: What the last axis of a picture can be: grey, RGB, RGB and alpha.
_CHANNELS = (1, 3, 4)
#: An array of bytes whose highest level is below it has another range than 0 to 255.
_DARK = 16
#: Values that an array must have for that: as many as the digits of 8x8 of scikit-learn.
_FEWEST = 64
_NO_RULE = "the model does not say how pictures become its input; give arrays"


def as_batch(model: Model, images: Any, *, bgr: bool = False) -> NDArray[Any]:
    """Return ``images`` of any kind that a :class:`bnn.Classifier` takes, (N, *input shape).

    Args:
        model: the model that will read the batch.
        images: an array, a picture, the path of one, or a list of these.
        bgr: whether the channels of arrays are blue, green, red (as in OpenCV's frames), not red,
            green, blue. Pictures and files define their own colours.

    An array of the model's input shape, or a batch of such arrays, is not prepared again; but with
    the preparation ``digit``, pictures that are dark on light become light on black
    (:meth:`bnn.data.pictures.preprocess.Preprocess.ready`). Other arrays must be uint8, or bool
    (True is white), with the shape (height, width), (height, width, 1, 3 or 4), (N, height, width)
    or (N, height, width, channels). They are prepared like pictures; a fourth channel is alpha.

    Raises:
        InputError: ``images`` is of another kind or ambiguous, or the model does not take
            pictures.
        DataError: a picture cannot be read.
    """
    if isinstance(images, np.ma.MaskedArray) and np.ma.is_masked(images):
        raise InputError("some values of the masked array are masked; fill them: array.filled(0)")
    given = model.program.input
    if not isinstance(given, PictureInput):
        if bgr:
            raise InputError(f"bgr cannot be used: {no_pictures(model)}")
        array = images if isinstance(images, np.ndarray) else _array(model, images)
        if (*array.shape[1:], 1) == given.shape:
            return array[..., None]
        # Signals (N, width, channels) are maps of one row.
        return array[:, None] if (1, *array.shape[1:]) == given.shape else array
    if isinstance(images, np.ndarray):
        return _of_array(model, images, bgr)
    if _is_picture(images):
        images = [images]
    elif not isinstance(images, Iterable):
        raise InputError(_no_picture(images))
    if isinstance(images, bytes | bytearray | memoryview) or _is_tensor(images):
        raise InputError(_no_picture(images))
    parts = [_one(model, image, index, bgr) for index, image in enumerate(images)]
    return np.stack(parts) if parts else np.empty((0, *given.shape), np.uint8)


def as_prepared(images: Any, *, bgr: bool = False) -> NDArray[Any]:
    """Return ``images``, which the caller has prepared, unchanged; the program's input checks it.

    Raises:
        InputError: it is not a NumPy array without masked values, or ``bgr`` is true.
    """
    if bgr:
        raise InputError(
            "with prepared=True, the channels are red, green, blue: bgr cannot be used"
        )
    if not isinstance(images, np.ndarray) or isinstance(images, np.ma.MaskedArray):
        raise InputError(
            f"prepared=True takes a NumPy array (N, ...) of the model's input shape, not a "
            f"{type(images).__name__}"
        )
    return images


def no_pictures(model: Model) -> str:
    """Return a message: the model does not take pictures; what it takes, and what to do."""
    shape, name = model.program.input.shape, model.name or "the model"
    taken = input_text(model.program.input, model.program.edges[INPUT])
    if model.lines is not None:
        return f"{name} reads lines of text; use bnn ocr or bnn.LineReader"
    advice = "give arrays to bnn.Classifier"
    if len(shape) == 3 and shape[2] in (1, 3):
        advice += ", or convert it with bnn convert --pictures unit (or symmetric, bytes)"
    return f"{name} does not take pictures but {taken}; {advice}"


def _is_picture(images: Any) -> bool:
    return isinstance(images, str | os.PathLike) or hasattr(images, "getbbox")


def _is_tensor(value: Any) -> bool:
    """Return whether ``value`` is an array of another package, such as PyTorch, JAX or pandas."""
    return hasattr(value, "__array__") and hasattr(value, "shape")


def _no_picture(value: Any) -> str:
    """Return a message about a value that is not a picture; it says what to give instead."""
    kind = type(value).__name__
    if isinstance(value, bytes | bytearray | memoryview):
        return (
            f"cannot classify {kind}; of a picture file's bytes give "
            "PIL.Image.open(io.BytesIO(data)), or give the path of the file"
        )
    if _is_tensor(value):
        return (
            f"cannot classify a {kind}; give a NumPy array, as x.numpy() or np.asarray(x) makes "
            "one, uint8 from 0 to 255 with the channels last"
        )
    if isinstance(value, list | tuple | int | float):
        return (
            f"cannot classify a {kind} of numbers; give np.array(values, np.uint8), with levels "
            "from 0 (black) to 255 (white)"
        )
    return (
        f"cannot classify a {kind}; give a picture (PIL.Image), the path of one, a NumPy array "
        "uint8, or a list of these"
    )


def _array(model: Model, values: Any) -> NDArray[Any]:
    try:
        with warnings.catch_warnings():
            # Before 1.24 NumPy warns of lists of unequal lengths, and makes an array of lists.
            warnings.filterwarnings("error", "Creating an ndarray from ragged")
            array = np.asarray(values)
    except (ValueError, Warning) as reason:
        raise InputError(f"inputs are not an array: {reason}") from reason
    if array.shape == (0,):
        return np.empty((0, *model.program.input.shape), np.int16)
    return array


def _of_array(model: Model, array: NDArray[Any], bgr: bool) -> NDArray[Any]:
    """Return an array of one picture or of several pictures as a batch for the model."""
    array = _levels(array)
    batch = _fitting(model.program.input.shape, array)
    if batch is not None:
        return _ready(model, _red_first(batch) if bgr else batch)
    _check_kind(model, array)
    parts = [_prepared(model, picture, bgr, i) for i, picture in enumerate(_pictures(array))]
    return np.stack(parts) if parts else np.empty((0, *model.program.input.shape), np.uint8)


def _levels(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of bool as levels 0 and 255; return other arrays unchanged.

    An array whose highest level is under 1/16 of white would be nearly black. Probably it has
    another range, such as 0 and 1, or 0 to 15, so a warning is printed.
    """
    if array.dtype == np.bool_:
        return np.where(array, np.uint8(255), np.uint8(0))
    # A few values are enough: nearly every picture has another level among its first ones.
    if array.dtype == np.uint8 and array.size and array.flat[0] < _DARK:
        most = int(array.max())
        is_dark = 1 < most < _DARK and array.size >= _FEWEST  # few values say little
        if is_dark or (most == 1 and int(array.min()) == 0):
            only = "only 0 and 1" if most == 1 else f"no level above {most}"
            mended = (
                "if 1 means white, multiply by 255 or give array.astype(bool)"
                if most == 1
                else "if its range is another one, multiply so that white is 255"
            )
            warnings.warn(
                f"an array {array.shape} has {only}, which is nearly black of 0 to 255; {mended}",
                BnnWarning,
                stacklevel=6,
            )
    return array


def _fitting(shape: tuple[int, ...], array: NDArray[Any]) -> NDArray[Any] | None:
    """Return an array as a batch if it has the model's input shape, or is a batch of this shape.

    The axis of the channels may be missing if there is only one channel. Return None for arrays of
    other shapes.
    """
    if array.ndim == len(shape) + 1 and array.shape[1:] == shape:
        return array
    grey = len(shape) == 3 and shape[2] == 1
    if grey and array.ndim == 3 and array.shape[1:] == shape[:2]:
        return array[..., None]
    if array.shape == shape:
        return array[None]
    if grey and array.shape == shape[:2]:
        return array[None, ..., None]
    return None


def _pictures(array: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the pictures of an array, each (height, width) or (height, width, channels)."""
    shape = array.shape
    if array.ndim == 2:
        return [array]
    if array.ndim == 3 and shape[2] in _CHANNELS:
        return [array]
    if array.ndim == 3 and shape[2] != 2 and shape[0] in (3, 4):
        raise InputError(
            f"an array {shape} can be one picture with its channels first, or {shape[0]} grey "
            "ones; give array.transpose(1, 2, 0), or array[..., None]"
        )
    if array.ndim == 3 and shape[2] != 2:
        return list(array)
    if array.ndim == 4 and shape[3] in _CHANNELS:
        return list(array)
    if array.ndim == 4 and shape[1] in _CHANNELS:
        raise InputError(
            f"an array {shape} has its channels first; give array.transpose(0, 2, 3, 1)"
        )
    raise InputError(
        f"an array {shape} is not a picture; one is (height, width) or (height, width, channels) "
        "with 1, 3 or 4 channels"
    )


def _check_kind(model: Model, array: NDArray[Any]) -> None:
    """Refuse arrays that cannot be prepared as a picture, or that are ambiguous."""
    shape = model.program.input.shape
    if model.preprocess is None or len(shape) != 3:
        raise InputError(
            f"inputs are {_found(array)}, the model takes {_wanted(shape)} and does not say how "
            "other pictures become its input"
        )
    if array.dtype != np.uint8:
        raise InputError(
            f"pictures are uint8, 0 (black) to 255 (white); these are {_found(array)}: scale them "
            "by their range yourself"
        )
    if array.ndim == 2 and array.shape[1] == shape[0] * shape[1] * shape[2]:
        raise InputError(
            f"inputs are {_found(array)}: flattened pictures? Reshape them to {_wanted(shape)}; or "
            "give array[..., None] if this is one picture"
        )


# Texts are made for errors only: a frame of a camera waits for them.
def _found(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"


def _wanted(shape: tuple[int, ...]) -> str:
    return f"uint8 (N, {', '.join(map(str, shape))})"


def _one(model: Model, image: Any, index: int, bgr: bool) -> NDArray[np.uint8]:
    """Return one element of a list as a prepared picture, uint8 (height, width, channels)."""
    shape = model.program.input.shape
    if isinstance(image, np.ndarray):
        image = _levels(image)
        if image.ndim == 3 and image.shape[2] not in _CHANNELS and image.shape != shape:
            raise InputError(
                f"picture {index} is an array {image.shape}; one picture of a list is (height, "
                "width) or (height, width, channels) with 1, 3 or 4 channels last"
            )
        if image.ndim not in (2, 3):
            raise InputError(f"picture {index} is an array {image.shape}, not one picture")
        return _single(model, image, index, bgr)
    if not _is_picture(image):
        raise InputError(f"picture {index}: {_no_picture(image)}")
    return _by_rule(model, image)


def _single(model: Model, image: NDArray[Any], index: int, bgr: bool) -> NDArray[np.uint8]:
    batch = _fitting(model.program.input.shape, image[None])
    if batch is None:
        _check_kind(model, image)
        return _prepared(model, image, bgr, index)
    if batch.dtype != np.uint8:
        raise InputError(f"pictures are uint8, picture {index} is {image.dtype} {image.shape}")
    picture: NDArray[np.uint8] = _ready(model, _red_first(batch) if bgr else batch)[0]
    return picture


def _ready(model: Model, batch: NDArray[Any]) -> NDArray[Any]:
    """Return a batch of pictures of the model's input size after the model's preparation."""
    if model.preprocess is None or batch.dtype != np.uint8:
        return batch
    return model.preprocess.ready(batch)


def _prepared(model: Model, array: NDArray[Any], bgr: bool, index: int) -> NDArray[np.uint8]:
    """Prepare an array of uint8 (height, width[, 1, 3 or 4]) for the model, and return it."""
    if 0 in array.shape:
        raise InputError(f"an array {array.shape} has no pixels")
    if model.preprocess is None:
        raise InputError(_NO_RULE)
    return model.preprocess.of_array(array, _size(model), f"picture {index}", bgr=bgr)


def _by_rule(model: Model, image: Any) -> NDArray[np.uint8]:
    if model.preprocess is None:
        raise InputError(_NO_RULE)
    size = _size(model)
    if not isinstance(image, str | os.PathLike):
        return model.preprocess.to_array(image, size)
    from bnn.data.pictures.seen import open_one, say_frames

    with open_one(image) as opened:
        say_frames(opened)
        return model.preprocess.to_array(opened, size)


def _size(model: Model) -> tuple[int, int, int]:
    height, width, channels = model.program.input.shape
    return height, width, channels


def _red_first(array: NDArray[Any]) -> NDArray[Any]:
    """Return blue, green, red[, alpha] as red, green, blue[, alpha], along the last axis."""
    if array.shape[-1] not in (3, 4):
        return array
    order = (2, 1, 0, 3)[: array.shape[-1]]
    return array[..., order]

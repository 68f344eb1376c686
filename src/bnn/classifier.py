# SPDX-License-Identifier: BSD-3-Clause
"""The three-line API: a model and a runtime make a classifier of pictures or arrays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import InputError
from bnn.inputs import PictureInput
from bnn.library import load
from bnn.model import Model
from bnn.program import Program
from bnn.run import Outputs, prepare
from bnn.run.reference import arg_max


@dataclass(frozen=True)
class Run:
    """What the last call cost.

    Attributes:
        images: how many.
        seconds: spent on computing. Of an accelerator: its cycles at its clock, also where it is
            simulated; ``details["simulation_seconds"]`` is what the simulation itself took.
        details: what else the runtime tells (cycles, stalls, bytes moved).
        prepare_seconds: spent on reading, decoding, resizing, checking, quantizing and packing.
    """

    images: int
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)
    prepare_seconds: float = 0.0

    @property
    def us_per_image(self) -> float:
        """Microseconds of computing per image; 0 for no images."""
        return 1e6 * self.seconds / self.images if self.images else 0.0

    @property
    def prepare_us_per_image(self) -> float:
        """Microseconds of preparation per image; 0 for no images."""
        return 1e6 * self.prepare_seconds / self.images if self.images else 0.0


class Classifier:
    """A model on a runtime.

    Args:
        model: a :class:`~bnn.model.Model`, or anything that :func:`bnn.load` takes.
        runtime: ``cpu`` or ``reference`` (see :data:`bnn.run.RUNTIMES`).
        options: for the runtime, for example ``threads=1`` for ``cpu``.

    ``images`` below is any of: an array uint8 (N, height, width, channels); a picture
    (a PIL image or the path of a file); a list of pictures and single arrays (height,
    width, channels). Models that are not about pictures take arrays (N, *input shape)
    of their declared input type.

    Raises:
        UnknownNameError: no such model or runtime.
        RuntimeUnavailableError: this machine cannot offer the runtime.
        InputError, DataError: from every method that takes images.
    """

    def __init__(
        self, model: Model | str | os.PathLike[str], runtime: str = "cpu", **options: Any
    ) -> None:
        self.model = model if isinstance(model, Model) else load(model)
        self.classes = self.model.classes
        self.last_run = Run(0, 0.0)
        self._runtime = prepare(runtime, self.model.program, **options)

    def scores(self, images: Any) -> NDArray[np.int32]:
        """Integer scores, int32 (N, classes)."""
        return self._run(images).scores

    def logits(self, images: Any) -> NDArray[np.float64]:
        """Real-valued scores, float64 (N, classes): the integers through the model's affine."""
        return logits(self.model.program, self._run(images).scores)

    def classify(self, images: Any) -> NDArray[np.int64]:
        """Class indices, int64 (N,)."""
        return decide(self.model.program, self._run(images))

    def run(self, images: Any) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Scores and classes of one and the same run."""
        outputs = self._run(images)
        return outputs.scores, decide(self.model.program, outputs)

    def _run(self, images: Any) -> Outputs:
        began = time.perf_counter()
        batch = self.model.program.input.check(as_batch(self.model, images))
        prepared = time.perf_counter() - began
        outputs = self._runtime.run(batch)
        prepared += outputs.prepare_seconds
        self.last_run = Run(len(batch), outputs.seconds, outputs.details, prepared)
        return outputs


def logits(program: Program, scores: NDArray[np.int32]) -> NDArray[np.float64]:
    """Scores (N, classes) as logits, float64 (N, classes)."""
    if program.affine is None:
        return scores.astype(np.float64)
    return program.affine.logits(scores)


def decide(program: Program, outputs: Outputs) -> NDArray[np.int64]:
    """Classes (N,) of a run: the program's own arg max, else the first maximal logit."""
    if outputs.decisions is not None:
        return outputs.decisions
    if program.affine is None:
        return arg_max(outputs.scores, "first")
    return arg_max(program.affine.logits(outputs.scores), "first")


def as_batch(model: Model, images: Any) -> NDArray[Any]:
    """``images`` of any kind that a :class:`Classifier` takes as one array (N, *input shape)."""
    if isinstance(images, np.ndarray):
        return _with_channel(model, images)
    if not isinstance(model.program.input, PictureInput):
        return _array(model, images)
    if _is_picture(images):
        images = [images]
    elif not isinstance(images, Iterable):
        raise InputError(f"cannot classify a {type(images).__name__}")
    shape = model.program.input.shape
    parts = [_one(model, image) for image in images]
    return np.stack(parts) if parts else np.empty((0, *shape), np.uint8)


def _is_picture(images: Any) -> bool:
    return isinstance(images, str | os.PathLike) or hasattr(images, "getbbox")


def _array(model: Model, values: Any) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError as reason:
        raise InputError(f"inputs are no array: {reason}") from reason
    if array.shape == (0,):
        return np.empty((0, *model.program.input.shape), np.int16)
    return array


def _with_channel(model: Model, batch: NDArray[Any]) -> NDArray[Any]:
    """Grey pictures may leave out their one channel."""
    shape = model.program.input.shape
    if len(shape) == 3 and shape[2] == 1 and batch.shape[1:] == shape[:2]:
        return batch[..., None]
    return batch


def _one(model: Model, image: Any) -> NDArray[np.uint8]:
    shape = model.program.input.shape
    if isinstance(image, np.ndarray):
        array: NDArray[np.uint8] = _with_channel(model, image[None])[0]
        if array.shape != shape or array.dtype != np.uint8:
            raise InputError(
                f"a picture is {image.dtype} {image.shape}, the model takes uint8 {shape}"
            )
        return array
    if model.preprocess is None:
        raise InputError("the model does not say how pictures become its input; give arrays")
    if not _is_picture(image):
        raise InputError(f"cannot classify a {type(image).__name__}")
    pixels: NDArray[np.uint8] = model.preprocess.to_array(image, (shape[0], shape[1], shape[2]))
    return pixels

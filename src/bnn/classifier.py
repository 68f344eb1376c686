# SPDX-License-Identifier: BSD-3-Clause
"""The three-line API: a model and a runtime make a classifier of pictures or arrays."""

from __future__ import annotations

import os
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
        seconds: spent on computing, without reading and resizing pictures.
        details: what else the runtime tells (cycles, stalls, bytes moved).
    """

    images: int
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def us_per_image(self) -> float:
        """Microseconds per image; 0 for no images."""
        return 1e6 * self.seconds / self.images if self.images else 0.0


class Classifier:
    """A model on a runtime.

    Args:
        model: a :class:`~bnn.model.Model`, or anything that :func:`bnn.load` takes.
        runtime: ``cpu`` or ``reference`` (see :data:`bnn.run.RUNTIMES`).
        options: for the runtime, for example ``threads=1`` for ``cpu``.

    It can be copied, compared, pickled and sent to another process (joblib, multiprocessing);
    a copy prepares its runtime anew, without the option ``progress``.

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
        self.runtime = runtime
        self.options = options
        self.last_run = Run(0, 0.0)
        self._runtime = prepare(runtime, self.model.program, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, and what goes to another process, prepare the same runtime anew."""
        return _again, (self.model, self.runtime, _portable(self.options), self.last_run)

    def __eq__(self, other: object) -> bool:
        """Whether both give the same answers in the same way: model, runtime and its options."""
        if not isinstance(other, Classifier):
            return NotImplemented
        return (self.model, self.runtime, _portable(self.options)) == (
            *(other.model, other.runtime, _portable(other.options)),
        )

    def __hash__(self) -> int:
        return hash((self.model, self.runtime))

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in _portable(self.options).items())
        return f"Classifier({self.model.name!r}, runtime={self.runtime!r}{options})"

    def _repr_html_(self) -> str:
        """For notebooks: the model's table, the runtime and the last run."""
        from bnn.notebook import classifier_html

        return classifier_html(self)

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
        batch = self.model.program.input.check(as_batch(self.model, images))
        outputs = self._runtime.run(batch)
        self.last_run = Run(len(batch), outputs.seconds, outputs.details)
        return outputs


def _again(model: Model, runtime: str, options: dict[str, Any], last_run: Run) -> Classifier:
    """A classifier as it was when it was copied."""
    made = Classifier(model, runtime, **options)
    made.last_run = last_run
    return made


def _portable(options: dict[str, Any]) -> dict[str, Any]:
    """Options without what belongs to one process: a function that shows progress."""
    return {name: value for name, value in options.items() if name != "progress"}


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

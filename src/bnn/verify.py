# SPDX-License-Identifier: BSD-3-Clause
"""A converted model against what it was converted from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.batch import as_batch
from bnn.classifier import Classifier
from bnn.convert import Conversion, byte_values
from bnn.data.folder import PictureFolder
from bnn.data.sets import load_test
from bnn.errors import DataError
from bnn.formats import npz
from bnn.formats.grids import grid
from bnn.inputs import PictureInput, RealInput
from bnn.precision import BIPOLAR

#: The trained network in real numbers is slow; so many samples are compared with it.
COMPARED = 1000
_INPUTS, _LABELS = ("inputs", "x", "images"), ("labels", "y")
_LOGITS, _CLASSES = ("logits", "outputs", "scores"), ("predictions", "classes")

Array = NDArray[Any]


@dataclass(frozen=True)
class Samples:
    """Inputs as the source model takes them (N, ...), and what is known of them.

    Attributes:
        labels: true classes, or None.
        answers: classes that the source framework itself gave, or None.
    """

    inputs: Array
    labels: Array | None = None
    answers: Array | None = None


@dataclass(frozen=True)
class Verification:
    """What :func:`verify` found.

    Attributes:
        samples: how many were classified.
        correct: how many rightly; None without labels.
        compared: how many were also put through the trained network in real numbers.
        differing: how many of these got another class there.
        answers_differing: how many got another class than the source framework's own
            answer; None without answers.
        off_grid: how many had input values that the assumed input cannot hold, so that
            they were rounded or clipped; None where the source quantizes its input.
    """

    samples: int
    correct: int | None
    compared: int
    differing: int
    answers_differing: int | None
    off_grid: int | None = None

    def lines(self) -> list[str]:
        """As text, one line each."""
        text = [f"verified on {self.samples} samples"]
        if self.correct is not None:
            text.append(f"  accuracy: {100 * self.correct / max(1, self.samples):.2f} %")
        if self.off_grid is not None:
            text.append(f"  inputs off the assumed grid: {self.off_grid} of {self.samples}")
        if self.compared:
            text.append(
                f"  predictions that differ from the trained network in real numbers: "
                f"{self.differing} of {self.compared}"
            )
        if self.answers_differing is not None:
            text.append(
                f"  predictions that differ from the stored ones: "
                f"{self.answers_differing} of {self.samples}"
            )
        return text


def verify(conversion: Conversion, samples: Samples, runtime: str = "cpu") -> Verification:
    """Classify ``samples`` with the converted model and compare.

    Raises:
        InputError: the samples do not fit the model's input.
    """
    model = conversion.model
    classes = Classifier(model, runtime).classify(samples.inputs)
    compared = differing = 0
    if conversion.network is not None:
        first = as_batch(model, samples.inputs[:COMPARED])
        checked = conversion.network.input.check(first)
        trained = conversion.network.evaluate(checked).classes
        compared, differing = len(trained), int((trained != classes[:COMPARED]).sum())
    return Verification(
        len(classes),
        _agreeing(classes, samples.labels),
        compared,
        differing,
        None if samples.answers is None else int((samples.answers != classes).sum()),
        _off_grid(conversion, samples.inputs),
    )


def _off_grid(conversion: Conversion, inputs: Array) -> int | None:
    """How many samples the assumed input changes; float32's rounding is no change."""
    model, name = conversion.model, conversion.report.assumed
    given = model.program.input
    if not name or not isinstance(given, RealInput):
        return None
    assumed = grid(name)
    batch = as_batch(model, inputs)
    if assumed.precision == BIPOLAR:
        return None  # a sign, which every number has
    held = assumed.scale * (given.check(batch) - assumed.zero_point)
    far = np.abs(held - batch) > 1e-3 * assumed.scale
    return int(far.reshape(len(batch), -1).any(axis=1).sum())


def _agreeing(classes: Array, labels: Array | None) -> int | None:
    return None if labels is None else int((classes == labels).sum())


def read_samples(source: str, conversion: Conversion, mapping: str | None = None) -> Samples:
    """Samples from an npz file, or from a data set of pictures by name or folder.

    Args:
        source: an npz with ``inputs``, and maybe ``labels``, ``logits`` (the source
            framework's outputs) or ``predictions``; or what
            :func:`bnn.data.sets.load_test` takes.
        conversion: for whose input they are.
        mapping: what the bytes of pictures become, see
            :func:`bnn.convert.taking_pictures`; ``unit`` by default.

    Raises:
        DataError, ParameterError: it cannot be read, or its parts do not fit together.
    """
    if source.endswith(".npz"):
        return _from_arrays(source, npz.read(source))
    test = load_test(source)
    if isinstance(test, PictureFolder):
        raise DataError(f"{source}: pictures in folders have no fixed size; give an npz of inputs")
    given, images = conversion.model.program.input, test.images
    shape = given.shape
    if len(shape) == 1 and int(np.prod(images.shape[1:])) == shape[0]:
        images = images.reshape(len(images), -1)
    if images.shape[1:] != shape:
        raise DataError(f"{source}: has pictures of {images.shape[1:]}, the model takes {shape}")
    if isinstance(given, PictureInput):
        return Samples(images, test.labels)
    return Samples(byte_values(mapping or "unit")[images], test.labels)


def _from_arrays(source: str, arrays: Mapping[str, Array]) -> Samples:
    inputs = _one_of(arrays, _INPUTS)
    if inputs is None or inputs.ndim < 2:
        raise DataError(f"{source}: holds no array called inputs (N, ...)")
    labels, answers = _one_of(arrays, _LABELS), _one_of(arrays, _CLASSES)
    logits = _one_of(arrays, _LOGITS)
    if logits is not None and logits.ndim == 2:
        one = logits.shape[1] == 1
        answers = (logits[:, 0] > 0).astype(np.int64) if one else logits.argmax(axis=1)
    for what, values in (("labels", labels), ("predictions", answers)):
        if values is not None and values.shape != (len(inputs),):
            raise DataError(
                f"{Path(source)}: has {len(inputs)} inputs and {what} of shape {values.shape}"
            )
    return Samples(inputs, labels, answers)


def _one_of(arrays: Mapping[str, Array], names: tuple[str, ...]) -> Array | None:
    return next((arrays[name] for name in names if name in arrays), None)

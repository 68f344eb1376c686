# SPDX-License-Identifier: BSD-3-Clause
"""The three-line API: a model and a runtime make a classifier of pictures or arrays."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import DataError, InputError
from bnn.library import load
from bnn.model.batch import as_batch, as_prepared
from bnn.model.calibration import NO_CALIBRATION, Calibration
from bnn.model.model import Model
from bnn.program.inputs import IntegerInput, PictureInput, RealInput
from bnn.program.program import Program
from bnn.program.semantics import arg_max
from bnn.run import Allocating, Outputs, Runtime, prepare
from bnn.run.stages import HostLayers, as_host_layers

#: Tiles of a frame that are prepared and run at a time.
TILES_AT_ONCE = 256
#: Name of the class of images that are rejected.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Tile:
    """A square of a frame, and what it was classified as.

    Attributes:
        box: left, top, right and bottom of the square, in pixels of the frame; right and bottom
            are the first ones outside, as in PIL.
        class_index: index of the class in the classifier's ``classes``.
        class_name: name of the class.
        probability: probability of the class that the model chose; None if the model has no
            calibration. If it is too low, the tile's class is "unknown".
    """

    box: tuple[int, ...]
    class_index: int
    class_name: str
    probability: float | None


@dataclass(frozen=True)
class Run:
    """Time and other figures of a classifier's last call.

    Attributes:
        images: number of images.
        seconds: time spent on computing. For an accelerator, also a simulated one, this is its
            number of cycles divided by its clock; the time that a simulation itself took is
            ``details["simulation_seconds"]``.
        details: further figures of the runtime (cycles, stalls, bytes moved).
        prepare_seconds: time spent on reading, decoding, resizing, checking, quantizing and packing
            the images.
    """

    images: int
    seconds: float
    details: dict[str, Any] = field(default_factory=dict, hash=False, repr=False)
    prepare_seconds: float = 0.0

    @property
    def simulated(self) -> bool:
        """Whether a simulated accelerator computed the scores.

        If it did, ``seconds`` is not a time of this machine.
        """
        return bool(self.details.get("simulated"))

    @property
    def us_per_image(self) -> float:
        """Microseconds of computing per image; 0 for no images."""
        return 1e6 * self.seconds / self.images if self.images else 0.0

    @property
    def prepare_us_per_image(self) -> float:
        """Microseconds of preparation per image; 0 for no images."""
        return 1e6 * self.prepare_seconds / self.images if self.images else 0.0


#: Details of a run that add up over several.
_SUMMED = ("cycles", "simulation_seconds")


def total(runs: Sequence[Run]) -> Run:
    """Return several runs as one run: the sums of images, times, cycles and simulation seconds.

    Args:
        runs: at least one run, all of the same classifier. Details that are not summed are those
            of the last run.
    """
    details = dict(runs[-1].details)
    for name in _SUMMED:
        if name in details:
            details[name] = sum(run.details[name] for run in runs)
    images, seconds, prepared = (
        sum(getattr(run, name) for run in runs) for name in ("images", "seconds", "prepare_seconds")
    )
    return Run(images, seconds, details, prepared)


class Classifier:
    """A model on a runtime.

    Args:
        model: a :class:`~bnn.model.model.Model`, or anything that :func:`bnn.load` takes.
        runtime: ``cpu``, ``reference``, ``sim`` or ``board`` (see :data:`bnn.run.RUNTIMES`).
        bgr: whether the channels of arrays are blue, green, red, as in OpenCV's frames. The methods
            below have the same argument, for one call.
        reject: a probability from 0 to 1, or None. If the class of an image has a lower
            probability, the image gets the class "unknown", which is added at the end of
            ``classes``. The model must have a calibration.
        host_layers: layers that the host computes while ``runtime`` computes the parts between
            them (:mod:`bnn.run.split`): names, as ``bnn split MODEL`` lists them, for the cpu
            runtime; or name -> None, a function that computes instead of the layer, or a
            :class:`bnn.AddedLayer`: a function that runs after it. A function gets integers,
            int32 (N, height, width, channels) or (N, channels), and returns those of the layer's
            result in the same form. ``last_run.details["crossings"]`` has every copy between host
            and accelerator. With the option ``build``, a list has one folder per part.
        options: options for the runtime, for example ``threads=1`` for ``cpu``.

    A classifier can be copied, compared, pickled and sent to another process (joblib,
    multiprocessing); a copy prepares its runtime anew, without the option ``progress``.

    ``images`` below is any of: a picture (a PIL image, the path of a file, or an array uint8
    (height, width) or (height, width, channels) of any size, with 1, 3 or, with alpha, 4
    channels); an array (N, height, width) or (N, height, width, channels) of several pictures; a
    list of these. Pictures are prepared as the model file says. Arrays that have the shape of the
    model's input already are not changed (but digits that are dark on light become light on
    black). See :func:`bnn.model.batch.as_batch`. Models that do not take pictures take arrays
    (N, ...) with the shape and the declared type of their input.

    With ``prepared=True``, ``images`` is an array (N, ...) with the shape and the type of the
    model's input (uint8 for pictures), which goes to the program as it is: no picture is examined
    or changed, also no digit that is dark on light. Nothing else is taken then.

    Raises:
        UnknownNameError: no such model or runtime.
        RuntimeUnavailableError: this machine cannot offer the runtime.
        InputError: no layer, all layers or one layer twice in ``host_layers``.
        ProgramError: a cut at one of ``host_layers`` is not possible, as in a residual branch.
        InputError, DataError: from every method that takes images.
        HostLayerError: from these, if a function of ``host_layers`` fails or its result is wrong.
    """

    def __init__(
        self,
        model: Model | str | os.PathLike[str],
        runtime: str = "cpu",
        *,
        bgr: bool = False,
        reject: float | None = None,
        host_layers: Sequence[str] | HostLayers | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(bgr, bool):
            raise InputError(f"bgr is True or False, not {bgr!r}")
        self.model = model if isinstance(model, Model) else load(model)
        self.reject = None if reject is None else _rejecting(self.model, reject)
        self.runtime = runtime
        self.bgr = bgr
        self.options = options
        self.last_run = Run(0, 0.0)
        self.host_layers = None if host_layers is None else as_host_layers(host_layers)
        self._runtime = self._prepared()

    def _prepared(self) -> Runtime:
        if self.host_layers is None:
            return prepare(self.runtime, self.model.program, **self.options)
        from bnn.run.split import prepare_split

        return prepare_split(self.runtime, self.model.program, self.host_layers, **self.options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how copy and pickle make this classifier again: they prepare a new runtime."""
        own = {"reject": self.reject, "host_layers": self.host_layers}
        options = {**_portable(self.options), **own}
        return _again, (self.model, self.runtime, self.bgr, options, self.last_run)

    def __eq__(self, other: object) -> bool:
        """Whether both have equal models, runtimes and options, so that they give equal answers."""
        if not isinstance(other, Classifier):
            return NotImplemented
        return _identity(self) == _identity(other)

    def __hash__(self) -> int:
        return hash((self.model, self.runtime))

    def __repr__(self) -> str:
        options = {**({"bgr": True} if self.bgr else {}), **_portable(self.options)}
        options |= {} if self.reject is None else {"reject": self.reject}
        options |= {} if self.host_layers is None else {"host_layers": self.host_layers}
        shown = "".join(f", {name}={value!r}" for name, value in options.items())
        return f"Classifier({self.model.name!r}, runtime={self.runtime!r}{shown})"

    def _repr_html_(self) -> str:
        """Return the model's table, the runtime and the last run as HTML, for notebooks."""
        from bnn.model.html import run_html

        last = self.last_run
        speed = f"{last.images:,} images, {last.us_per_image:,.1f} us per image"
        if last.simulated:
            speed += f" at {last.details['mhz']:g} MHz (simulated)"
        return run_html(self.model, repr(self), speed if last.images else "")

    def scores(
        self, images: Any, *, bgr: bool | None = None, prepared: bool = False
    ) -> NDArray[np.int32]:
        """Return the integer scores, int32 (N, scores).

        There is one score per class, except for models whose last layer the host computes.
        """
        return self._run(images, bgr, prepared).scores

    def logits(
        self, images: Any, *, bgr: bool | None = None, prepared: bool = False
    ) -> NDArray[np.float64]:
        """Return the logits, float64 (N, classes): the model's affine, applied to the scores."""
        return logits(self.model.program, self._run(images, bgr, prepared).scores)

    def probabilities(
        self, images: Any, *, bgr: bool | None = None, prepared: bool = False
    ) -> NDArray[np.float64]:
        """Return the probability of each class, float64 (N, model's classes); each row sums to 1.

        The probabilities are computed from the logits with the model's calibration, see
        :class:`bnn.model.calibration.Calibration`. There is no column for the class "unknown".

        Raises:
            InputError: the model has no calibration, or does not take these images.
            DataError: a picture cannot be read.
        """
        calibration_of(self.model)
        return probabilities(self.model, self._run(images, bgr, prepared).scores)

    def classify(
        self, images: Any, *, bgr: bool | None = None, prepared: bool = False
    ) -> NDArray[np.int64]:
        """Return the class of each image, int64 (N,), as an index into ``classes``."""
        return self._decided(self._run(images, bgr, prepared))

    def run(
        self, images: Any, *, bgr: bool | None = None, prepared: bool = False
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the scores and the classes of one run."""
        outputs = self._run(images, bgr, prepared)
        return outputs.scores, self._decided(outputs)

    def classify_tiles(
        self, frame: Any, size: int, stride: int, *, bgr: bool | None = None
    ) -> list[Tile]:
        """Return the classes of squares of a larger picture.

        Squares that the model's preparation refuses are left out: for example, the preparation of
        digits refuses a square without a stroke.

        Args:
            frame: a picture, as :func:`bnn.tiles` takes it.
            size: side of a square, in pixels.
            stride: distance from one square to the next, in pixels.
            bgr: whether blue is the first channel of an array; None: as for the classifier.

        Returns:
            The tiles, in rows from the top left: box, class and probability of each.

        Raises:
            InputError: size or stride does not fit the frame.
        """
        from bnn.data.pictures.tiles import tiles

        pictures, boxes = tiles(frame, size, stride)
        found: list[Tile] = []
        for first in range(0, len(pictures), TILES_AT_ONCE):
            part = slice(first, first + TILES_AT_ONCE)
            found += self._tiles(pictures[part], boxes[part], bgr)
        return found

    def _tiles(
        self, pictures: NDArray[np.uint8], boxes: NDArray[np.int32], bgr: bool | None
    ) -> list[Tile]:
        blue_first = self.bgr if bgr is None else bgr
        prepared, places = [], []
        for place, picture in enumerate(pictures):
            # A refusal of the preparation is about one tile; all others are about the call.
            with suppress(DataError):
                prepared.append(as_batch(self.model, [picture], bgr=blue_first)[0])
                places.append(place)
        if not prepared:
            return []
        outputs = self._run(np.stack(prepared), False)
        classes = self._decided(outputs)
        sure = None
        if self.model.calibration is not None:
            sure = chosen(self.model, outputs)
        return [
            Tile(
                box=tuple(boxes[place].tolist()),
                class_index=int(classes[at]),
                class_name=self.classes[classes[at]],
                probability=None if sure is None else float(sure[at]),
            )
            for at, place in enumerate(places)
        ]

    def _decided(self, outputs: Outputs) -> NDArray[np.int64]:
        """Return the classes of a run, int64 (N,).

        With ``reject``, images whose class is not likely enough get the class "unknown".
        """
        classes = decide(self.model.program, outputs)
        if self.reject is None:
            return classes
        sure = chosen(self.model, outputs)
        return np.where(sure < self.reject, len(self.model.classes), classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; with ``reject``, "unknown" is added at the end."""
        names = self.model.classes
        return names if self.reject is None else (*names, _unknown_name(names))

    def allocate(self, images: int) -> NDArray[Any]:
        """Return an array of zeros for ``images`` images, to be filled in place.

        If the runtime is ``board`` or ``sim`` and the model takes pictures, the array is in memory
        that the accelerator reads: give it, or a part of it along its first axis, to a method of
        this classifier, and no image is copied. (A part of images of an odd size may begin within
        a 64-bit word; it is copied. With the preparation ``digit``, pictures that are dark on light
        are copied, because they are changed.) With other runtimes and inputs it is an ordinary
        array. The memory is given back when the array and its views are deleted.

        Returns:
            uint8 (images, height, width, channels) for pictures; else int16, or float32 if the
            model takes real numbers; its shape is ``images`` and then that of one input.

        Raises:
            InputError: ``images`` is not a whole number of at least 0, or this machine has no
                memory for so many.
            DriverError: the board has no memory for so many images.
        """
        if isinstance(images, bool) or not isinstance(images, int) or images < 0:
            raise InputError(f"images is a whole number of at least 0, not {images!r:.40}")
        if isinstance(self._runtime, Allocating):
            found = self._runtime.allocate(images)
            if found is not None:
                return found
        given = self.model.program.input
        kinds = {PictureInput: np.uint8, IntegerInput: np.int16, RealInput: np.float32}
        try:
            return np.zeros((images, *given.shape), kinds[type(given)])
        except (MemoryError, ValueError, OverflowError):
            raise InputError(f"no memory for {images} images; allocate fewer") from None

    def activations(self, images: Any, *, bgr: bool | None = None) -> dict[str, NDArray[np.int32]]:
        """Return every edge of the program by name: int32 (N, height, width, channels) each.

        The edges are computed by the reference runtime. They are in the order of the operations;
        the first is ``input``. If the classifier's runtime can show its edges, as
        ``Classifier(model, runtime="sim", watched=True)`` can, they are compared with these.

        Raises:
            InputError: there are so many images that their edges would need more than 2 GiB; or a
                function computes one of ``host_layers``, so that the reference has other edges.
            DisagreementError: the runtime has another value than the reference runtime; the
                message names the edge and the first position.
        """
        from bnn.run.edges import compared

        own = [name for name, function in (self.host_layers or {}).items() if function is not None]
        if own:
            raise InputError(
                f"activations are those of the model, but a function computes {own[0]!r}; "
                "make a classifier without it"
            )
        blue_first = self.bgr if bgr is None else bgr
        given = as_batch(self.model, images, bgr=blue_first)
        batch = self.model.program.input.check(given)
        return compared(self.model.program, batch, self._runtime)

    def _run(self, images: Any, bgr: bool | None, prepared: bool = False) -> Outputs:
        began = time.perf_counter()
        blue_first = self.bgr if bgr is None else bgr
        if prepared:
            given = as_prepared(images, bgr=blue_first)
        else:
            given = as_batch(self.model, images, bgr=blue_first)
        batch = self.model.program.input.check(given)
        preparing = time.perf_counter() - began
        outputs = self._runtime.run(batch)
        preparing += outputs.prepare_seconds
        self.last_run = Run(len(batch), outputs.seconds, outputs.details, preparing)
        return outputs


def _again(
    model: Model, runtime: str, bgr: bool, options: dict[str, Any], last_run: Run
) -> Classifier:
    """Return the copy of a classifier, from the values that ``__reduce__`` gave."""
    made = Classifier(model, runtime, bgr=bgr, **options)
    made.last_run = last_run
    return made


def _identity(classifier: Classifier) -> tuple[Any, ...]:
    """Return everything that two classifiers must have in common to be equal."""
    options = {**_portable(classifier.options), "host_layers": classifier.host_layers}
    return classifier.model, classifier.runtime, classifier.bgr, classifier.reject, options


def _portable(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options without the progress function, which cannot be used in another process."""
    return {name: value for name, value in options.items() if name != "progress"}


def logits(program: Program, scores: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the logits of scores (N, scores), float64 (N, classes).

    If the program has no affine, the logits are the scores.
    """
    if program.affine is None:
        return scores.astype(np.float64)
    return program.affine.logits(scores)


def calibration_of(model: Model) -> Calibration:
    """Return the calibration of a model; raise `InputError` if it has none."""
    if model.calibration is None:
        known = model.provenance.get(NO_CALIBRATION)
        reason = known if isinstance(known, str) else "its file was made without one"
        raise InputError(
            f"{model.name}: this model has no calibration, so it gives scores and no "
            f"probabilities: {reason}"
        )
    return model.calibration


def probabilities(model: Model, scores: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the probabilities of the classes, float64 (N, classes), for scores (N, scores).

    Each row sums to 1.

    Raises:
        InputError: the model has no calibration.
    """
    return calibration_of(model).probabilities(logits(model.program, scores))


def chosen(model: Model, outputs: Outputs) -> NDArray[np.float64]:
    """Return for each image of a run the probability of the class that was chosen, float64 (N,)."""
    found = probabilities(model, outputs.scores)
    sure: NDArray[np.float64] = found[np.arange(len(found)), decide(model.program, outputs)]
    return sure


def chosen_of(classifier: Classifier, batch: NDArray[Any]) -> NDArray[np.float64]:
    """Classify a prepared batch; return the probability of each chosen class, float64 (N,)."""
    return chosen(classifier.model, classifier._run(batch, False))


def _rejecting(model: Model, reject: object) -> float:
    """Return ``reject`` as a float.

    Raise `InputError` if it is not a probability, or if the model has no calibration.
    """
    if isinstance(reject, bool) or not isinstance(reject, int | float) or not 0 <= reject <= 1:
        raise InputError(f"reject is a probability from 0 to 1, not {reject!r}")
    calibration_of(model)
    return float(reject)


def _unknown_name(classes: Sequence[str]) -> str:
    """Return the name of the class "unknown"; another name if a class of the model is called so."""
    return UNKNOWN if UNKNOWN not in classes else f"{UNKNOWN} (rejected)"


def decide(program: Program, outputs: Outputs) -> NDArray[np.int64]:
    """Return the classes (N,) of a run.

    A program with an arg max decides itself; else the class is the first with the maximal logit.
    """
    if outputs.decisions is not None:
        return outputs.decisions
    if program.affine is None:
        return arg_max(outputs.scores, "first")
    return arg_max(program.affine.logits(outputs.scores), "first")

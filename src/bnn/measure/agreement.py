# SPDX-License-Identifier: BSD-3-Clause
"""Compare a converted model with the network that it was converted from.

There are three sources of answers to compare with, from the most to the least convincing:

- answers of the source framework itself, stored with the inputs;
- for ONNX and QONNX, the file executed by ``onnx.reference``
  (:mod:`bnn.formats.qonnx.executor`), which shares nothing with the reader;
- the network as it was read, evaluated in real numbers. This finds mistakes of the lowering,
  but not mistakes of the reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.classifier import Classifier
from bnn.data.folder import PictureFolder
from bnn.data.names import match_numbers
from bnn.data.sets import DataSet, load_test
from bnn.errors import DataError, FormatError
from bnn.formats.convert import Conversion, byte_values
from bnn.formats.grids import grid
from bnn.model.batch import as_batch
from bnn.network import forward
from bnn.program.inputs import PictureInput, RealInput
from bnn.program.precision import BIPOLAR
from bnn.system import npz

#: Samples compared with the network in real numbers, which is slow.
MAX_COMPARED = 1000
#: Seconds after which ``onnx.reference`` stops; the samples done by then are compared.
MAX_EXECUTION_S = 60.0
#: Scores that differ by less than this part of the largest are a tie: frameworks sum in float32.
TIE = 1e-5
_INPUTS, _LABELS = ("inputs", "x", "images"), ("labels", "y")
_LOGITS, _CLASSES = ("logits", "outputs", "scores"), ("predictions", "classes")
_PROBABILITIES = ("probabilities",)

Array = NDArray[Any]
Advance = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs as the source model takes them, and the known labels and answers for them.

    Attributes:
        inputs: array (N, ...).
        labels: true classes (N,), or None if they are not known.
        answers: classes (N,) that the source framework itself gave, or None.
        logits: outputs of the source framework, (N, classes), or (N, 1) for a network with one
            output; None if they are not known.
        final: the function that made ``logits`` from the real logits: ``softmax``, ``sigmoid``, or
            "" if ``logits`` are the real ones.
        notes: sentences on what cannot be compared, and why.
    """

    inputs: Array
    labels: Array | None = None
    answers: Array | None = None
    logits: Array | None = None
    final: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Comparison of the converted model's answers with those of one other source.

    Attributes:
        source: name of the program that gave the answers.
        samples: number of samples that were compared.
        differing: number of samples whose predicted classes differ. It does not count samples for
            which the source's scores of the two classes are nearly the same.
        off: largest difference between a logit of the model and of the source, or None if the
            logits cannot be compared.
        largest: largest absolute value of the source's logits.
        independent: whether the answers were computed without this package's code that reads
            the file.
    """

    source: str
    samples: int
    differing: int
    off: float | None = None
    largest: float = 0.0
    independent: bool = True

    def line(self) -> str:
        """Return the comparison as one line of text."""
        text = f"compared with {self.source}: {self.differing} of {self.samples} predictions differ"
        if self.off is not None:
            text += f"; logits by at most {self.off:.3g} (the largest is {self.largest:.4g})"
        return text


@dataclass(frozen=True)
class Verification:
    """Result of :func:`verify`.

    Attributes:
        samples: number of samples that were classified.
        correct: number of samples that were classified correctly; None without labels.
        comparisons: a comparison for each source of answers that there is.
        off_grid: number of samples with a value that is not on the assumed grid, and was rounded or
            clipped; None if no grid was assumed.
        notes: sentences on what could not be compared, and why.
    """

    samples: int
    correct: int | None
    comparisons: tuple[Comparison, ...]
    off_grid: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a predicted class differs in one of the comparisons."""
        return any(item.differing for item in self.comparisons)

    def lines(self) -> list[str]:
        """Return the result as lines of text."""
        text = [f"verified on {self.samples} samples"]
        if self.correct is not None:
            text.append(f"  accuracy: {100 * self.correct / max(1, self.samples):.2f} %")
        if self.off_grid is not None:
            text.append(f"  inputs off the assumed grid: {self.off_grid} of {self.samples}")
            if self.off_grid:
                text.append("  they are rounded to the grid before both answers are computed")
        text += [f"  {item.line()}" for item in self.comparisons]
        text += [f"  {note}" for note in self.notes]
        if not any(item.independent for item in self.comparisons):
            text.append(
                "  no independent answers: a mistake in reading the file cannot be found; "
                "give an npz with the framework's logits"
            )
        return text


def verify(
    conversion: Conversion,
    samples: Samples,
    runtime: str = "cpu",
    source: Path | None = None,
    advance: Advance | None = None,
) -> Verification:
    """Classify ``samples`` with the converted model, and compare with all sources of answers.

    Args:
        conversion: what :func:`bnn.formats.convert.convert` returned.
        samples: inputs and their known labels and answers.
        runtime: name of the runtime that classifies.
        source: the file that was converted. If it is an ONNX file, it is executed.
        advance: called with the numbers of samples done and of all samples, while it is executed.

    Raises:
        InputError: the samples do not fit the model's input.
    """
    classifier = Classifier(conversion.model, runtime)
    mine = Answers(classifier.classify(samples.inputs), classifier.logits(samples.inputs))
    comparisons, notes = [], list(samples.notes)
    if samples.answers is not None:
        comparisons.append(_stored(samples, mine))
    if source is not None and conversion.report.format == "QONNX":
        try:
            comparisons.append(_executed(conversion, samples, mine, source, advance))
        except FormatError as error:
            notes.append(f"not compared with onnx.reference: {error}")
    if conversion.network is not None:
        comparisons.append(_as_read(conversion, samples, mine))
    return Verification(
        len(mine.classes),
        None if samples.labels is None else int((mine.classes == samples.labels).sum()),
        tuple(comparisons),
        _off_grid(conversion, samples.inputs),
        tuple(notes),
    )


@dataclass(frozen=True, eq=False)
class Answers:
    """Classes (N,), and the logits from which they were chosen, if these are known.

    The logits are (N, classes), or (N, 1) for a network with one output.
    """

    classes: Array
    logits: Array | None = None


def compared(
    source: str,
    mine: Answers,
    theirs: Answers,
    independent: bool = True,
    order_only: bool = False,
) -> Comparison:
    """Compare the converted model's answers with those of a source.

    Args:
        source: name of the source.
        mine: answers of the converted model.
        theirs: answers of the source to the first samples of ``mine``, or to all of them.
        independent: see :class:`Comparison`.
        order_only: whether only the classes and ties are compared, not the values, because the
            source's outputs are not logits (but the results of a softmax, for example).

    Raises:
        DataError: the source and the model have different numbers of classes.
    """
    count = len(theirs.classes)
    classes, logits = mine.classes[:count], theirs.logits
    differ = classes != theirs.classes
    if logits is None or mine.logits is None:
        return Comparison(source, count, int(differ.sum()), independent=independent)
    own = mine.logits[:count]
    if logits.shape[1] == 1 and own.shape[1] == 2:
        own = own[:, 1:]
    if own.shape != logits.shape:
        raise DataError(
            f"{source}: has {logits.shape[1]} outputs, but the model has {own.shape[1]} classes"
        )
    largest = float(np.abs(logits).max(initial=0))
    if logits.shape[1] == 1:
        tied = np.abs(logits[:, 0]) <= TIE * largest
    else:
        chosen = np.take_along_axis(logits, classes[:, None], axis=1)[:, 0]
        tied = chosen >= logits.max(axis=1) - TIE * largest
    off = None if order_only else float(np.abs(own - logits).max(initial=0))
    return Comparison(source, count, int((differ & ~tied).sum()), off, largest, independent)


def _stored(samples: Samples, mine: Answers) -> Comparison:
    """Return the comparison of the model's answers with the stored answers.

    If the stored outputs are probabilities, the model's logits are made probabilities first.
    """
    assert samples.answers is not None
    if samples.logits is None or mine.logits is None or not samples.final:
        return compared("the stored answers", mine, Answers(samples.answers, samples.logits))
    logits, own = samples.logits, mine.logits
    middle = 0.0
    if logits.shape[1] == 1 and own.shape[1] == 2:
        own, middle = own[:, 1:], 0.5
    own = squashed(own, samples.final) - middle
    theirs = Answers(samples.answers, logits - np.float64(middle))
    name = f"the stored answers (after a {samples.final})"
    return compared(name, Answers(mine.classes, own), theirs)


def squashed(logits: Array, final: str) -> Array:
    """Return the ``softmax`` or ``sigmoid`` of logits (N, classes), in float64."""
    if final == "sigmoid":
        return np.asarray(0.5 * (1 + np.tanh(logits.astype(np.float64) / 2)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _as_read(conversion: Conversion, samples: Samples, mine: Answers) -> Comparison:
    assert conversion.network is not None
    first = as_batch(conversion.model, samples.inputs[:MAX_COMPARED])
    made = forward.evaluate(conversion.network, conversion.network.input.check(first))
    theirs = Answers(made.classes, made.logits)
    return compared("our own reading of the file, in real numbers", mine, theirs, False)


def _executed(
    conversion: Conversion, samples: Samples, mine: Answers, path: Path, advance: Advance | None
) -> Comparison:
    from bnn.formats.qonnx.executor import Executor

    executor = Executor(path)
    rows = as_graph(as_batch(conversion.model, samples.inputs), executor.shape)
    out = executor.run(rows, MAX_EXECUTION_S, advance)
    name = "onnx.reference, an independent executor"
    if executor.ending == "class":
        return compared(name, mine, Answers(out[:, 0].astype(np.int64)))
    middle = 0.5 if executor.sigmoid else 0.0
    classes = classes_of(out, middle)
    theirs = Answers(classes, out - np.float32(middle))
    return compared(name, mine, theirs, order_only=executor.ending != "scores")


def as_graph(batch: Array, shape: tuple[int, ...]) -> Array:
    """Return a batch of the model's inputs in the shape in which an ONNX graph takes them.

    The channels of pictures are last in ``batch``, and first in the result. ``shape`` is the shape
    of the graph's input.

    Raises:
        FormatError: a sample has more or fewer values than the graph takes.
    """
    wanted = shape[1:]
    if batch.ndim == 4:
        # ONNX's maps have their channels first; also where the sizes are ambiguous.
        first = batch.transpose(0, 3, 1, 2)
        if first.shape[1:] == wanted or len(wanted) == 1:
            batch = first
    if int(np.prod(batch.shape[1:])) != int(np.prod(wanted)):
        raise FormatError(f"inputs of {batch.shape[1:]} do not fit the graph's {wanted}")
    return batch.reshape(len(batch), *wanted)


def classes_of(logits: Array, middle: float = 0.0) -> Array:
    """Return the classes (N,) of outputs (N, classes): the index of the first maximum.

    A single output (N, 1) means class 1 if it is above ``middle``, else class 0.
    """
    if logits.shape[1] == 1:
        return (logits[:, 0] > middle).astype(np.int64)
    return np.asarray(logits.argmax(axis=1))


def _off_grid(conversion: Conversion, inputs: Array) -> int | None:
    """Return how many samples have a value that is changed by rounding it to the assumed grid.

    Changes by less than a thousandth of a step are not counted. Return None if no grid was assumed
    for the input, or if only the signs of the values are used.
    """
    model, name = conversion.model, conversion.report.assumed
    given = model.program.input
    if not name or not isinstance(given, RealInput):
        return None
    assumed = grid(name)
    batch = as_batch(model, inputs)
    if assumed.precision == BIPOLAR:
        return None  # every number has a sign
    scale = given.scale.astype(np.float64)
    held = scale * (given.check(batch) - given.zero_point.astype(np.float64))
    far = np.abs(held - batch) > 1e-3 * scale
    return int(far.reshape(len(batch), -1).any(axis=1).sum())


def read_samples(source: str, conversion: Conversion, mapping: str | None = None) -> Samples:
    """Return samples from an npz file, or from a data set of pictures by name or folder.

    Args:
        source: an npz file with the array ``inputs``, and maybe ``labels``, ``logits`` (outputs of
            the source framework), ``probabilities`` (outputs after a softmax or sigmoid) or
            ``predictions``; or a data set that :func:`bnn.data.sets.load_test` takes. If the
            converted file ends in a softmax or sigmoid, and all ``logits`` are from 0 to 1, they
            are taken as probabilities.
        conversion: the converted model. The samples must fit its input.
        mapping: how the bytes of pictures are scaled, see
            :func:`bnn.formats.convert.taking_pictures`; by default ``unit``.

    Raises:
        DataError, ParameterError: ``source`` cannot be read, or its arrays do not fit together.
    """
    if source.endswith(".npz"):
        return _from_arrays(source, npz.read(source), conversion)
    test = load_test(source)
    if isinstance(test, PictureFolder):
        raise DataError(f"{source}: pictures in folders have no fixed size; give an npz of inputs")
    given, images = conversion.model.program.input, test.images
    shape = given.shape
    if len(shape) == 1 and int(np.prod(images.shape[1:])) == shape[0]:
        images = images.reshape(len(images), -1)
    if images.shape[1:] != shape:
        raise DataError(f"{source}: has pictures of {images.shape[1:]}, the model takes {shape}")
    labels, notes = _labels(test, conversion.model.classes)
    if not isinstance(given, PictureInput):
        images = byte_values(mapping or "unit")[images]
    return Samples(images, labels, notes=notes)


def _labels(test: DataSet, classes: Sequence[str]) -> tuple[Array | None, tuple[str, ...]]:
    """Return the labels of a data set as indexes of the model's classes, and notes for the user.

    Classes are matched by name; if the names of the model's classes are only numbers, labels are
    taken as indexes of the classes. The labels are None if they do not fit the model's classes.
    """
    used = np.unique(test.labels).tolist()
    unnamed = tuple(classes) == tuple(map(str, range(len(classes))))
    notes: tuple[str, ...] = ()
    try:
        if unnamed and test.named and tuple(test.classes) != tuple(classes):
            match = match_numbers(test.name, used, classes)
            text = (
                f"the model's classes have no names: labels of {test.name} are taken as "
                f"positions, {test.classes[used[0]]} as {used[0]}; --classes names them"
            )
            notes = (text,)
        else:
            match = test.match(classes, used)
    except DataError as reason:
        return None, (f"accuracy not measured: {reason}",)
    return match.indexes[test.labels], (*notes, *match.notes)


def _from_arrays(source: str, arrays: Mapping[str, Array], conversion: Conversion) -> Samples:
    inputs = _one_of(arrays, _INPUTS)
    if inputs is None or inputs.ndim < 2:
        raise DataError(f"{source}: has no array called inputs (N, ...)")
    if not len(inputs):
        raise DataError(f"{source}: its inputs of shape {inputs.shape} are empty")
    labels, answers = _one_of(arrays, _LABELS), _one_of(arrays, _CLASSES)
    probabilities = _one_of(arrays, _PROBABILITIES)
    logits = _one_of(arrays, _LOGITS) if probabilities is None else probabilities
    if logits is not None and (logits.ndim != 2 or logits.shape[:1] != inputs.shape[:1]):
        raise DataError(
            f"{Path(source)}: its {len(inputs)} inputs need logits of shape ({len(inputs)}, "
            f"classes), not {logits.shape}"
        )
    final = ""
    if logits is not None:
        if not np.isfinite(logits).all():
            raise DataError(f"{Path(source)}: its logits contain values that are not finite")
        final = _final(logits, conversion.report.final, told=probabilities is not None)
        answers = classes_of(logits, 0.5 if final else 0.0)
    for what, values in (("labels", labels), ("predictions", answers)):
        if values is not None and values.shape != (len(inputs),):
            raise DataError(
                f"{Path(source)}: its {len(inputs)} inputs need {what} of shape "
                f"({len(inputs)},), not {values.shape}"
            )
    shape = conversion.model.program.input.shape
    if inputs.shape[1:] != shape:
        wanted = ", ".join(map(str, ("N", *shape)))
        raise DataError(
            f"{Path(source)}: its inputs have shape {inputs.shape}, the model takes ({wanted})"
        )
    # Of logits, the number of columns is compared with that of the classes later.
    stored = () if logits is not None else (("predictions", answers),)
    for what, values in (("labels", labels), *stored):
        _check_classes(source, what, values, len(conversion.model.classes))
    return Samples(inputs, labels, answers, logits, final)


def _final(logits: Array, of_file: str, *, told: bool) -> str:
    """Return the function that made the stored outputs from logits; "" if they are logits.

    ``of_file`` is the last function of the converted file. ``told`` is whether the outputs are
    stored as probabilities; if not, they are taken as such only if all are from 0 to 1.
    """
    known = of_file if of_file in ("softmax", "sigmoid") else ""
    if told:
        return known or ("softmax" if logits.shape[1] > 1 else "sigmoid")
    return known if (logits >= 0).all() and (logits <= 1).all() else ""


def _check_classes(source: str, what: str, values: Array | None, count: int) -> None:
    if values is None:
        return
    wrong = ~((values >= 0) & (values < count) & (values == np.floor(values)))
    if wrong.any():
        raise DataError(
            f"{Path(source)}: has {values[wrong][0]} in {what}; "
            f"classes are whole numbers from 0 to {count - 1}"
        )


def _one_of(arrays: Mapping[str, Array], names: tuple[str, ...]) -> Array | None:
    return next((arrays[name] for name in names if name in arrays), None)

# SPDX-License-Identifier: BSD-3-Clause
"""The original's Python interface, complete (specification, section 5).

A script written for BNN-PYNQ runs unchanged with ``BNN_PARAMS`` set. What differs on
purpose is listed in docs/original-api.md: where the original printed an error and continued
without parameters, or ended the process, an error is raised; parameters belong to the
object and are not shared between two classifiers of one network.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bnn.classifier import decide
from bnn.data import cifar, idx
from bnn.data.pictures.depth import is_deep
from bnn.data.pictures.pillow import Resampling
from bnn.data.pictures.rules import (
    decoding,
    image_to_cifar_array,
    open_picture,
    picture_name,
    turn_back,
)
from bnn.errors import DataError, InputError, ParameterError, UnknownNameError
from bnn.formats.bnn_pynq import NETWORKS
from bnn.formats.bnn_pynq import load as load_parameter_set
from bnn.library import bundled_sets, load, parameter_roots, parameter_sets
from bnn.model.model import Model
from bnn.program import semantics
from bnn.program.operations import ArgMax
from bnn.run import Outputs, Runtime, check_hardware, hardware, prepare

# Scripts of the original say Image.ANTIALIAS, a name that Pillow 10 dropped.
if not hasattr(Image, "ANTIALIAS"):
    Image.ANTIALIAS = Resampling.LANCZOS  # type: ignore[attr-defined]

RUNTIME_HW = "python_hw"
RUNTIME_SW = "python_sw"

NETWORK_CNVW1A1 = "cnvW1A1"
NETWORK_CNVW1A2 = "cnvW1A2"
NETWORK_CNVW2A2 = "cnvW2A2"
NETWORK_LFCW1A1 = "lfcW1A1"
NETWORK_LFCW1A2 = "lfcW1A2"

#: The original's input buffer; more images killed the process, here they are refused.
MAX_CNV_IMAGES = 10_000

Ints = NDArray[np.int32]


def available_params(network: str) -> list[str]:
    """Return the names of the data sets that have parameters for ``network``.

    The list is empty if there is no network of this name.
    """
    names = [dataset for dataset, known, _ in parameter_sets() if known == network]
    names += [dataset for dataset, known, _ in bundled_sets() if known == network]
    return list(dict.fromkeys(names))


def _set_for(network: str, dataset: str) -> Model:
    for name, known, place in parameter_sets():
        if (name, known) == (dataset, network):
            return load_parameter_set(place, network)
    for name, known, bundled in bundled_sets():
        if (name, known) == (dataset, network):
            return load(bundled)
    there = ", ".join(available_params(network)) or "none"
    raise ParameterError(
        f"{dataset}: no parameters for {network} under BNN_PARAMS or bundled; there are: {there}"
    )


class PynqBNN:
    """One network on one runtime.

    Args:
        runtime: :data:`RUNTIME_SW` is the ``cpu`` runtime. :data:`RUNTIME_HW` is the accelerator
            that ``BNN_ACCELERATOR`` names; if it names none, a simulation of the same circuit,
            which is slow.
        network: name of the network, such as ``cnvW1A1``.
        load_overlay: accepted for old scripts, and ignored: there is no overlay to share.

    Attributes:
        classes: names of the classes, after :meth:`load_parameters`.
        usecPerImage: microseconds per image of the last call, for the network only. For a
            simulated accelerator: its cycles divided by its clock, which is the time on a board.

    Raises:
        RuntimeUnavailableError: the runtime is RUNTIME_HW, and this machine has neither an
            accelerator nor a simulator.
        UnknownNameError: no such runtime or network.
    """

    def __init__(self, runtime: str, network: str, load_overlay: bool = True) -> None:
        if network not in NETWORKS:
            raise UnknownNameError(
                f"no network is called {network!r}; there are: {', '.join(NETWORKS)}"
            )
        _check_runtime(runtime)
        self.runtime = runtime
        self.network = network
        self.load_overlay = load_overlay
        self.classes: list[str] = []
        self.usecPerImage = 0.0
        self._model: Model | None = None
        self._runtime: Runtime | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes without the prepared runtime, which another process cannot use."""
        return {**self.__dict__, "_runtime": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._model is not None:
            classes = self.classes
            self._use(self._model)
            self.classes = classes

    def __eq__(self, other: object) -> bool:
        """Whether both have the same network, runtime and parameters."""
        return _identity(self) == _identity(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.runtime, self.network))

    def __repr__(self) -> str:
        return f"PynqBNN({self.runtime!r}, {self.network!r})"

    def load_parameters(self, params: str | os.PathLike[str]) -> None:
        """Load a parameter set.

        Args:
            params: an absolute path, or ``<dataset>/<network>`` under a root in
                ``BNN_PARAMS`` (or the data set of a bundled model).

        Raises:
            ParameterError: there is no such parameter set, or it is damaged.
        """
        self._use(self._find(Path(params)))

    def _find(self, params: Path) -> Model:
        if params.is_absolute():
            return load_parameter_set(params, self.network)
        for root in parameter_roots():
            if (root / params).exists():
                return load_parameter_set(root / params, self.network)
        if params.name == self.network:
            params = params.parent
        return _set_for(self.network, str(params))

    def _use(self, model: Model) -> None:
        self._model = model
        name = hardware() if self.runtime == RUNTIME_HW else "cpu"
        self._runtime = _simulated(model) if name == "sim" else prepare(name, model.program)
        self.classes = list(model.classes)

    def _run(self, images: NDArray[np.uint8]) -> Outputs:
        if self._model is None or self._runtime is None:
            raise ParameterError("load_parameters comes before inference")
        outputs = self._runtime.run(self._model.program.input.check(images))
        self.usecPerImage = max(1e6 * outputs.seconds / len(images), 1e-3)
        return outputs

    def _read(self, path: str | os.PathLike[str]) -> NDArray[np.uint8]:
        """Read the images of a CIFAR or IDX file, as leniently as the original did."""
        if self.network.startswith("cnv"):
            images, _ = cifar.read_records(path, lenient=True)
            return images
        return _fit_lfc(idx.read_images(path, lenient=True))

    def inference(self, path: str | os.PathLike[str]) -> int:
        """Return the class of the first image in a file, by the original's rule for one image.

        For CNV it is the first maximal score. For LFC it is the rounded log2 of the word of the
        classes' bits.
        """
        return self._single(self._read(path))[0]

    def detailed_inference(self, path: str | os.PathLike[str]) -> Ints:
        """Return the scores of the first image in a file, int32 (classes,).

        For LFC the score is 1 for the class that :meth:`inference` returns, and 0 for the others.
        """
        return self._single(self._read(path))[1]

    def inference_multiple(self, path: str | os.PathLike[str]) -> Ints:
        """Return classes of all images in a file, int32 (count,), by the rule for many images.

        For CNV it is the first maximal score, or class 0 if no score is above 0. For LFC it is the
        highest class whose bit is 1.
        """
        return self._multiple(self._read(path))[0]

    def inference_multiple_detail(self, path: str | os.PathLike[str]) -> Ints:
        """Return the scores of all images in a file, flat int32 (classes * count,)."""
        return self._multiple(self._read(path))[1].reshape(-1)

    def class_name(self, index: int) -> str:
        """Return the name of the class ``index``."""
        try:
            return self.classes[index]
        except (IndexError, TypeError):
            raise UnknownNameError(f"there is no class {index}") from None

    def _single(self, images: NDArray[np.uint8]) -> tuple[int, Ints]:
        outputs = self._run(images[:1])
        print(f"Inference took {self.usecPerImage:.2f} microseconds")
        self._print_rate()
        if self.network.startswith("cnv"):
            scores = outputs.scores[0]
            return int(scores.argmax()), scores
        index = self._lfc_single(outputs)
        return index, np.asarray(np.arange(len(self.classes)) == index, dtype=np.int32)

    def _multiple(self, images: NDArray[np.uint8]) -> tuple[Ints, Ints]:
        if self.network.startswith("cnv") and len(images) > MAX_CNV_IMAGES:
            raise DataError(
                f"{len(images)} images in one call; the original's buffers hold {MAX_CNV_IMAGES}"
            )
        outputs = self._run(images)
        total = self.usecPerImage * len(images)
        print(f"Inference took {total:.2f} microseconds, {self.usecPerImage:.2f} usec per image")
        self._print_rate()
        if self.network.startswith("cnv"):
            classes = semantics.arg_max(outputs.scores, "first-positive")
            return classes.astype(np.int32), outputs.scores
        assert self._model is not None
        classes = decide(self._model.program, outputs)
        one_hot = classes[:, None] == np.arange(len(self.classes))
        return classes.astype(np.int32), one_hot.astype(np.int32)

    def _print_rate(self) -> None:
        print(f"Classification rate: {1e6 / self.usecPerImage:.2f} images per second")

    def _lfc_single(self, outputs: Outputs) -> int:
        """Return the class in the same way as the original: log2 of the word of bits, rounded.

        The word has a bit for each class. Halves are rounded up, so the result may be above the
        highest bit that is 1.
        """
        assert self._model is not None
        program = self._model.program
        decision = None if program.decision is None else program.op(program.decision)
        if not isinstance(decision, ArgMax) or decision.rule != "highest-positive":
            return int(decide(program, outputs)[0])
        edges = {program.scores: outputs.scores[:1, None, None, :].astype(np.int64)}
        bits = semantics.apply(program.op(decision.source), edges, program.edges)
        word = sum(1 << c for c in range(len(self.classes)) if bits[0, 0, 0, c] > 0)
        return math.floor(math.log2(word) + 0.5) if word else 0


def _identity(net: PynqBNN) -> tuple[Any, ...]:
    return net.runtime, net.network, net._model


def _simulated(model: Model) -> Runtime:
    """Return a simulated accelerator; print a notice, and show the progress of its build."""
    from bnn.system.progress import building
    from bnn.system.terminal import notice

    notice(
        f"{RUNTIME_HW}: BNN_ACCELERATOR names no accelerator, so a simulated one computes "
        "(slowly); reported times are its cycles at its clock"
    )
    with building() as progress:
        return prepare("sim", model.program, progress=progress)


def _check_runtime(runtime: str) -> None:
    if runtime == RUNTIME_HW:
        check_hardware()
    elif runtime != RUNTIME_SW:
        raise UnknownNameError(
            f"no runtime is called {runtime!r}; there are: {RUNTIME_HW}, {RUNTIME_SW}"
        )


def _fit_lfc(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return IDX images of at most 784 pixels, of any height and width, as (N, 28, 28, 1).

    As in the original, pixels keep their order, whatever the rows and columns are; missing pixels
    are 0. Larger images are refused: the original would multiply the rest by padding weights.
    """
    pixels = images.reshape(len(images), -1)
    if pixels.shape[1] > 784:
        raise DataError(f"images of {images.shape[1:]} pixels; LFC networks take 28 x 28")
    padded = np.zeros((len(images), 784), np.uint8)
    padded[:, : pixels.shape[1]] = pixels
    return padded.reshape(-1, 28, 28, 1)


class _Classifier:
    """Base of the two classifiers."""

    def __init__(self, network: str, params: str, runtime: str = RUNTIME_HW) -> None:
        if network not in NETWORKS or not network.startswith(self._family):
            known = ", ".join(name for name in NETWORKS if name.startswith(self._family))
            raise UnknownNameError(f"no network here is called {network!r}; there are: {known}")
        self.net = network
        self.params = params
        self.runtime = runtime
        self.usecPerImage = 0.0
        self.bnn = PynqBNN(runtime, network)
        self.bnn.load_parameters(Path(params) / network)
        self.classes = self.bnn.classes

    _family = ""

    def __eq__(self, other: object) -> bool:
        """Whether both classify with the same network, parameters and runtime."""
        if type(other) is not type(self):
            return NotImplemented
        return (self.net, self.params, self.bnn) == (other.net, other.params, other.bnn)

    def __hash__(self) -> int:
        return hash((self.net, self.params, self.runtime))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.net!r}, {self.params!r}, {self.runtime!r})"

    def _repr_html_(self) -> str:
        """Return the network's table of layers, and how it runs, as HTML for notebooks."""
        from bnn.model.html import run_html

        assert self.bnn._model is not None  # its parameters were loaded when it was made
        speed = f"{self.usecPerImage:,.1f} us per image" if self.usecPerImage else ""
        return run_html(self.bnn._model, repr(self), speed)

    def class_name(self, index: int) -> str:
        """Return the name of the class ``index``."""
        return self.bnn.class_name(index)

    def _timed(self, call: Callable[[Any], Any], argument: Any) -> Any:
        result = call(argument)
        self.usecPerImage = self.bnn.usecPerImage
        return result


class CnvClassifier(_Classifier):
    """Classify pictures with a CNV network (specification, section 5).

    Args:
        network: ``cnvW1A1``, ``cnvW1A2`` or ``cnvW2A2``.
        params: name of a data set that has parameters for the network.
        runtime: :data:`RUNTIME_SW` or :data:`RUNTIME_HW`.

    Pictures are PIL images. As in the original, the caller's picture is shrunk to 32x32 and stays
    so. Pictures are not turned by EXIF data, and transparent pixels show their stored colour.
    """

    _family = "cnv"

    def image_to_cifar(self, im: Image.Image, fp: IO[bytes]) -> None:
        """Write a picture as one CIFAR-10 record to an open binary file."""
        fp.write(cifar.to_records(_shrunk(im)[None]))

    def classify_image(self, im: Image.Image) -> int:
        """Return the class of one picture."""
        return int(self._timed(self.bnn._single, _cifar([im]))[0])

    def classify_images(self, ims: Sequence[Image.Image]) -> Ints:
        """Return the classes of pictures, int32 (count,)."""
        return self._many(_cifar(ims))[0]

    def classify_image_details(self, im: Image.Image) -> Ints:
        """Return the scores of one picture, int32 (classes,)."""
        scores: Ints = self._timed(self.bnn._single, _cifar([im]))[1]
        return scores

    def classify_images_details(self, ims: Sequence[Image.Image]) -> Ints:
        """Return the scores of pictures, flat int32 (classes * count,)."""
        return self._many(_cifar(ims))[1].reshape(-1)

    def classify_path(self, path: str | os.PathLike[str]) -> int:
        """Return the class of one picture file."""
        return int(self._timed(self.bnn._single, _picture(path)[None])[0])

    def classify_paths(self, paths: Sequence[str | os.PathLike[str]]) -> Ints:
        """Return the classes of picture files, int32 (count,)."""
        _check_several(paths, "paths")
        return self._many(_stack([_picture(path) for path in paths]))[0]

    def classify_cifar(self, path: str | os.PathLike[str]) -> int:
        """Return the class of the first record of a CIFAR-10 file."""
        return int(self._timed(self.bnn.inference, path))

    def classify_cifars(self, path: str | os.PathLike[str]) -> Ints:
        """Return the classes of all records of a CIFAR-10 file, int32 (count,)."""
        classes: Ints = self._timed(self.bnn.inference_multiple, path)
        return classes

    def classify_cifar_details(self, path: str | os.PathLike[str]) -> Ints:
        """Return the scores of the first record of a CIFAR-10 file, int32 (classes,)."""
        scores: Ints = self._timed(self.bnn.detailed_inference, path)
        return scores

    def classify_cifars_details(self, path: str | os.PathLike[str]) -> Ints:
        """Return the scores of all records of a CIFAR-10 file, flat int32 (classes * count,)."""
        scores: Ints = self._timed(self.bnn.inference_multiple_detail, path)
        return scores

    def _many(self, images: NDArray[np.uint8]) -> tuple[Ints, Ints]:
        if not len(images):
            empty = np.zeros(0, np.int32)
            return empty, empty
        results: tuple[Ints, Ints] = self._timed(self.bnn._multiple, images)
        return results


def _cifar(ims: Sequence[Image.Image]) -> NDArray[np.uint8]:
    _check_several(ims, "pictures")
    return _stack([_shrunk(im) for im in ims])


def _check_several(given: Any, what: str) -> None:
    """Refuse one picture or one path if a list is needed.

    A text would otherwise be read letter by letter.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InputError(f"give a list of {what}, not one {type(given).__name__}")


def _shrunk(im: Image.Image) -> NDArray[np.uint8]:
    if not isinstance(im, Image.Image):
        raise InputError(f"give a PIL picture, not a {type(im).__name__}")
    with decoding(picture_name(im)):
        turn_back(im)
        _check_depth(im)
    return image_to_cifar_array(im)


def _check_depth(im: Image.Image) -> None:
    """Refuse pictures with values that are not whole numbers from 0 to 255.

    Pillow would clip or truncate such values without an error.
    """
    if not is_deep(im.mode):
        return
    values = np.asarray(im)
    if not ((values >= 0) & (values <= 255) & (values == np.floor(values))).all():
        raise DataError(
            f"{picture_name(im)}: a picture of mode {im.mode} with values that do not fit 8 bits; "
            "bring it to 8 bits first, or use bnn.Classifier"
        )


def _picture(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    with open_picture(path) as image:
        return _shrunk(image)


def _stack(arrays: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.stack(arrays) if arrays else np.empty((0, 32, 32, 3), np.uint8)


class LfcClassifier(_Classifier):
    """Classify 28x28 grey pictures in MNIST's IDX format with an LFC network.

    The arguments are those of `CnvClassifier` (specification, section 5).
    """

    _family = "lfc"

    def classify_mnist(self, path: str | os.PathLike[str]) -> int:
        """Return the class of the first image of an IDX file."""
        return int(self._timed(self.bnn.inference, path))

    def classify_mnists(self, path: str | os.PathLike[str]) -> Ints:
        """Return the classes of all images of an IDX file, int32 (count,)."""
        classes: Ints = self._timed(self.bnn.inference_multiple, path)
        return classes

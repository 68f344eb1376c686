# SPDX-License-Identifier: BSD-3-Clause
"""The tensors that a served model takes and returns, from its program.

To add an output, add a row in :func:`outputs_of`: the output is then in the metadata, and clients
can request it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn._typing import assert_never
from bnn.classifier import decide, logits, probabilities
from bnn.errors import DataError, InputError
from bnn.model.model import Model
from bnn.program.inputs import Input, IntegerInput, PictureInput, RealInput
from bnn.run import Outputs
from bnn.serve.tensors import BYTES, DTYPES, Spec, Values
from bnn.serve.wire import Tensor

#: Name of the input for arrays; name of the input for picture files.
ARRAYS, PICTURES = "input", "pictures"


@dataclass(frozen=True)
class Output:
    """An output of a served model.

    Attributes:
        spec: description of the tensor.
        values: function from what the runtime returned to the values of the tensor.
    """

    spec: Spec
    values: Callable[[Outputs], Values]


def outputs_of(model: Model) -> dict[str, Output]:
    """Return all outputs of a model, by name."""
    program = model.program
    labels = [name.encode() for name in model.classes]
    rows = [
        Output(Spec("scores", "INT32", (-1, program.score_count)), lambda run: run.scores),
        Output(
            Spec("logits", "FP64", (-1, program.classes)), lambda run: logits(program, run.scores)
        ),
        Output(Spec("classes", "INT64", (-1,)), lambda run: decide(program, run)),
    ]
    if model.calibration is not None:
        spec = Spec("probabilities", "FP64", (-1, program.classes))
        rows.append(Output(spec, lambda run: probabilities(model, run.scores)))
    spec = Spec("labels", BYTES, (-1,))
    rows.append(Output(spec, lambda run: [labels[index] for index in decide(program, run)]))
    return {row.spec.name: row for row in rows}


def datatype(given: Input) -> str:
    """Return the protocol's datatype for the arrays that an input takes."""
    match given:
        case PictureInput():
            return "UINT8"
        case RealInput():
            return "FP32"
        case IntegerInput():
            names = ("UINT8", "UINT16") if given.precision.low >= 0 else ("INT8", "INT16")
            sizes = [np.iinfo(DTYPES[name]).max for name in names]
            return names[given.precision.high > sizes[0] or given.precision.low < -sizes[0] - 1]
        case _:
            assert_never(given)


def inputs_of(model: Model) -> tuple[Spec, ...]:
    """Return the inputs of a model: arrays, and picture files if it has a preparation.

    A request has exactly one of them.
    """
    given = model.program.input
    arrays = Spec(ARRAYS, datatype(given), (-1, *given.shape))
    if model.preprocess is None or not isinstance(given, PictureInput):
        return (arrays,)
    return arrays, Spec(PICTURES, BYTES, (-1,))


def properties(model: Model) -> dict[str, str]:
    """Return further properties for the metadata of a model: name -> text."""
    found = {"classes": json.dumps(list(model.classes))}
    if len(inputs_of(model)) > 1:
        found["inputs"] = f"exactly one: {ARRAYS}, or {PICTURES} (the bytes of JPEG or PNG files)"
    return found


def batch_of(model: Model, inputs: Sequence[Spec], tensor: Tensor, max_pixels: int) -> NDArray[Any]:
    """Return the images of a tensor as a checked batch; arrays are not :func:`ready` yet.

    Args:
        model: the model.
        inputs: what :func:`inputs_of` returned for it.
        tensor: the images of a request.
        max_pixels: largest number of pixels of a picture file.

    Raises:
        InputError: the tensor is not an input of this model; the message names the tensor.
        DataError: a picture file cannot be read; the message names the picture.
    """
    spec = next((spec for spec in inputs if spec.name == tensor.name), None)
    if spec is None:
        known = " or ".join(spec.name for spec in inputs)
        raise InputError(f"input {tensor.name!r}: unknown; this model takes {known}")
    if tensor.datatype != spec.datatype:
        raise InputError(
            f"input {tensor.name!r}: datatype must be {spec.datatype}, not {tensor.datatype}"
        )
    if isinstance(tensor.values, list):
        return _pictures(model, tensor, max_pixels)
    if tensor.shape[1:] != spec.shape[1:]:
        raise InputError(
            f"input {tensor.name!r}: shape must be {list(spec.shape)} with the number of images "
            f"for -1, not {list(tensor.shape)}"
        )
    return model.program.input.check(tensor.values)


def ready(model: Model, batch: NDArray[Any]) -> NDArray[Any]:
    """Return checked arrays as the model's preparation makes them ready.

    It is done for a whole batch, which costs little more than for one image.
    """
    if model.preprocess is None or batch.dtype != np.uint8:
        return batch
    return model.preprocess.ready(batch)


def _pictures(model: Model, tensor: Tensor, max_pixels: int) -> NDArray[Any]:
    if len(tensor.shape) > 2 or tensor.shape[1:] not in ((), (1,)):
        raise InputError(
            f"input {tensor.name!r}: shape must be [-1] with the number of pictures for -1, not "
            f"{list(tensor.shape)}"
        )
    shape = model.program.input.shape
    batch = np.empty((len(tensor.values), *shape), np.uint8)
    for index, data in enumerate(tensor.values):
        batch[index] = picture(model, data, f"picture {index}", max_pixels)
    return model.program.input.check(batch)


def _limit(max_pixels: int) -> str:
    return f"at most {max_pixels}, the limit of this server (bnn serve --max-pixels)"


def picture(model: Model, data: bytes, name: str, max_pixels: int) -> NDArray[np.uint8]:
    """Return the picture of a JPEG or PNG file, prepared for the model.

    ``data`` are the bytes of the file; ``name`` is for messages.

    Raises:
        DataError: it is not a JPEG or PNG file, is damaged, or has more than ``max_pixels`` pixels.
    """
    from PIL import Image

    from bnn.data.pictures.rules import check_sides, decoding

    assert model.preprocess is not None, "the input for pictures is in the metadata"
    height, width, channels = model.program.input.shape
    with decoding(name):
        if not data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
            raise DataError(f"{name}: is not a JPEG or PNG file")
        try:
            image = Image.open(BytesIO(data), formats=("JPEG", "PNG"))
        except Image.DecompressionBombError:
            raise DataError(f"{name}: has too many pixels; {_limit(max_pixels)}") from None
        image.filename = name  # for messages
        if image.width * image.height > max_pixels:
            size = f"{image.width} x {image.height}"
            raise DataError(f"{name}: has {size} pixels; {_limit(max_pixels)}")
        check_sides(image.size, name)
        with image:
            return model.preprocess.to_array(image, (height, width, channels))

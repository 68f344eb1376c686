# SPDX-License-Identifier: BSD-3-Clause
"""Convert any live PyTorch module to a network: trace it, and compare the outputs of both.

The module is the user's own code, in the user's own process; nothing comes from a file. It is
traced to an ONNX graph (a Brevitas module to QONNX, by Brevitas), which
:mod:`bnn.formats.qonnx.read` reads. A trace lacks what the exporter does not see, such as
``x.data = sign(x.data)``. Therefore the module's own outputs are compared with those of the
network that was read, and a module is refused if they differ.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import BnnError, FormatError
from bnn.formats.grids import grid
from bnn.formats.qonnx import read as qonnx
from bnn.formats.report import Converted
from bnn.network import forward
from bnn.network.network import Network
from bnn.program.precision import BIPOLAR

Array = NDArray[Any]

OPSET = 17
#: Number of random inputs for the comparison, besides those that were given.
SAMPLES = 64
#: Allowed difference, as a share of the largest answer: frameworks sum in float32.
TOLERANCE = 1e-4


def from_any(module: Any, example: Any, given_input: str | None = None) -> Converted:
    """Return the network of a live module.

    Args:
        module: a ``torch.nn.Module``. It is put into evaluation mode while it is read.
        example: inputs of the module (N, ...), a tensor or an array.
        given_input: the values that occur at an input that the module does not quantize, a name
            of :func:`bnn.formats.grids.grid`.

    Raises:
        FormatError: the module cannot be traced, a layer cannot be converted, or the network's
            outputs differ from the module's.
        NetworkError: the module's layers are not a valid network.
    """
    import torch

    rows = torch.as_tensor(np.asarray(example), dtype=torch.float32)
    name = type(module).__name__
    if rows.ndim < 2 or not len(rows):
        raise FormatError(
            f"{name}: example has shape {tuple(rows.shape)}; it must be a batch of inputs (N, ...)"
        )
    with _evaluating(module), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.onnx")
        _export(module, rows[:1], path)
        try:
            found = qonnx.read(path, given_input)
        except BnnError as error:
            raise type(error)(str(error).replace(f"{path}: ", f"{name}: ")) from None
        _compare(module, found, rows)
    return found


@contextlib.contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def _export(module: Any, row: Any, path: Path) -> None:
    """Trace the module with one input, and write the graph to ``path``."""
    quiet = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(quiet):
            warnings.simplefilter("ignore")
            if any(type(one).__module__.startswith("brevitas.") for one in module.modules()):
                from brevitas.export import export_qonnx

                export_qonnx(module, args=row, export_path=str(path))
            else:
                import torch

                torch.onnx.export(module, (row,), str(path), dynamo=False, opset_version=OPSET)
    # Exporters raise whatever the module does, and a dozen kinds of their own.
    except Exception as error:
        line = " ".join(str(error).split())[:200]
        raise FormatError(
            f"{type(module).__name__}: cannot be traced: {type(error).__name__}: {line}"
        ) from None


def _compare(module: Any, found: Converted, rows: Any) -> None:
    """Check that the module's own outputs are those of the network.

    Raises:
        FormatError: the outputs differ: the trace does not compute the same function as the module.
    """
    import torch

    network = found.network
    given = np.concatenate([rows.numpy(), _drawn(found, rows.numpy())])
    theirs = np.concatenate(
        [module(torch.from_numpy(one[None])).numpy().reshape(1, -1) for one in given]
    )
    mine = forward.evaluate(network, network.input.check(_as_model(given, network))).logits
    if theirs.shape[1] == 1 and mine.shape[1] == 2:
        mine = mine[:, 1:]
    name = type(module).__name__
    if found.report.final:
        far = mine.argmax(1) != theirs.argmax(1)
    elif theirs.shape != mine.shape:
        raise FormatError(
            f"{name}: has {theirs.shape[1]} outputs, but its trace has {mine.shape[1]}"
        )
    else:
        far = np.abs(mine - theirs).max(1) > TOLERANCE * max(1.0, float(np.abs(theirs).max()))
    if far.any():
        raise FormatError(
            f"{name}: its own answers differ from those of its trace for {int(far.sum())} of "
            f"{len(far)} inputs: the trace lacks a part of it (such as a change of .data), or its "
            "input has other values than were stated (--input)"
        )


def _drawn(found: Converted, rows: Array) -> Array:
    """Return random inputs (SAMPLES, ...) for the module, float32.

    Their values are drawn from the grid that was assumed for the input; without a grid, from the
    values of the examples ``rows``.
    """
    values: Any = rows.reshape(-1)
    if found.report.assumed:
        told = grid(found.report.assumed)
        values = (-1.0, 1.0) if told.precision == BIPOLAR else told.values()
    rng = np.random.default_rng(0)
    return np.asarray(rng.choice(values, (SAMPLES, *rows.shape[1:])), np.float32)


def _as_model(batch: Array, network: Network) -> Array:
    """Return a batch of inputs of the module with the channels last, as the network takes them."""
    shape = network.input.shape
    if batch.ndim == 4 and len(shape) == 3:
        batch = batch.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(batch.reshape(len(batch), *shape))

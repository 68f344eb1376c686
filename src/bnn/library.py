# SPDX-License-Identifier: BSD-3-Clause
"""Models by name or by path: bundled models, ``.bnn`` files, original parameter sets."""

from __future__ import annotations

import difflib
import os
import shlex
import sys
from functools import cache
from pathlib import Path

from bnn.errors import ParameterError, UnknownNameError
from bnn.model.file import SUFFIX, provenance
from bnn.model.file import load as load_file
from bnn.model.model import Model
from bnn.system.files import open_file

MODELS = Path(__file__).parent / "models"


def load(source: str | os.PathLike[str]) -> Model:
    """Return the model whose name or path is ``source``.

    Args:
        source: one of: a bundled name (``lfc-w1a1``, see :func:`bundled`); the path of a ``.bnn``
            file; the path of a parameter folder or tar archive of the original BNN-PYNQ; the name
            ``<dataset>-<network>`` of a parameter set under a root in ``BNN_PARAMS``; the path of
            a parameter file of LSTM-PYNQ; the name of such a network (``plain-w4a4``) under a root
            in ``BNN_PARAMS`` or ``BNN_DATA``.

    Raises:
        UnknownNameError: there is no such model; the message lists the names that there are.
        ModelFileError, ParameterError: the file or folder exists, but is damaged.
    """
    if not isinstance(source, str | os.PathLike) or not isinstance(os.fspath(source), str):
        raise UnknownNameError(f"a model's name or path is needed, not {type(source).__name__}")
    name = os.fspath(source)
    if not name:
        raise UnknownNameError("a model's name or path is needed, not an empty text")
    if name in bundled():
        return load_file(MODELS / (name + SUFFIX))
    path = Path(name)
    if path.suffix == SUFFIX:
        return load_file(path)
    try:
        there = path.exists()
    except OSError as reason:
        raise UnknownNameError(f"{name}: cannot be read: {reason.strerror}") from reason
    if there:
        from bnn.formats import bnn_pynq, lstm_pynq

        if lstm_pynq.is_source(path):
            return lstm_pynq.load(path)
        _refuse_others(path)
        _refuse_topologies(path)
        return bnn_pynq.load(path)
    for dataset, network, place in parameter_sets():
        if name == f"{dataset}-{network}":
            from bnn.formats import bnn_pynq

            return bnn_pynq.load(place, network)
    for kind, network, place in line_sets():
        if name.lower() == f"{kind}-{network.lower()}":
            from bnn.formats import lstm_pynq

            return lstm_pynq.load(place)
    raise UnknownNameError(_unknown(name))


#: First bytes of picture files.
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def _refuse_topologies(path: Path) -> None:
    if path.suffix.lower() == ".toml" and path.is_file():
        raise UnknownNameError(
            f"{path}: is a topology, which has no weights yet; bnn train makes a model of it, "
            "bnn plan estimates whether it fits"
        )


#: First bytes and name endings of other frameworks' files: zip (npz, Keras, PyTorch) and HDF5.
_FOREIGN = (b"PK\x03\x04", b"\x89HDF\r\n\x1a\n")
_FOREIGN_NAMES = (".onnx", ".npz", ".keras", ".h5", ".hdf5", ".pt", ".pth")


def _refuse_others(path: Path) -> None:
    """Refuse pictures and other frameworks' files, with what to do (`ParameterError`)."""
    if not path.is_file():
        return
    with open_file(path, sys.maxsize, ParameterError) as file:
        head = file.read(12)
    if head.startswith(_PICTURES) or (head.startswith(b"RIFF") and head.endswith(b"WEBP")):
        raise ParameterError(
            f"{path}: is a picture, not a model; name the model first, for example lfc-w1a1"
        )
    if head.startswith(_FOREIGN) or path.name.lower().endswith(_FOREIGN_NAMES):
        raise ParameterError(
            f"{path}: is another framework's file; convert it first: "
            f"bnn convert {shlex.quote(str(path))} -o model.bnn"
        )


def _unknown(name: str) -> str:
    known = [*bundled(), *(f"{dataset}-{network}" for dataset, network, _ in parameter_sets())]
    known += [f"{kind}-{network.lower()}" for kind, network, _ in line_sets()]
    from bnn.formats import lstm_pynq

    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known models: {', '.join(known) or 'none'}"
    if name.lower() in (f"{kind}-{network.lower()}" for kind, network in lstm_pynq.NETWORKS):
        hint = "give the folder of LSTM-PYNQ's parameter files in BNN_PARAMS"
        hint += "".join(f" (no folder: {root})" for root in line_roots() if not root.is_dir())
    return f"{name}: no such file, folder or model; {hint}"


@cache
def bundled() -> tuple[str, ...]:
    """Return the names of the models that come with the package."""
    return tuple(sorted(path.stem for path in MODELS.glob(f"*{SUFFIX}")))


def parameter_roots() -> list[Path]:
    """Return the folders that the environment variable ``BNN_PARAMS`` lists, like ``PATH``."""
    return _folders("BNN_PARAMS")


def _folders(variable: str) -> list[Path]:
    return [Path(root) for root in os.environ.get(variable, "").split(os.pathsep) if root]


def line_roots() -> list[Path]:
    """Return the folders in which the parameter files of LSTM-PYNQ are searched."""
    return _folders("BNN_PARAMS") + _folders("BNN_DATA")


def line_sets() -> list[tuple[str, str, Path]]:
    """Return (set, network, parameter file) of every network of LSTM-PYNQ under the roots."""
    from bnn.formats import lstm_pynq

    return list(lstm_pynq.sets(line_roots()))


def parameter_sets() -> list[tuple[str, str, Path]]:
    """Return (data set, network, place) of every original parameter set under the roots."""
    from bnn.formats import bnn_pynq

    return [
        (dataset, network, place)
        for root in parameter_roots()
        for network in bnn_pynq.NETWORKS
        for dataset, place in bnn_pynq.sets_under(root, network).items()
    ]


def bundled_sets() -> list[tuple[str, str, str]]:
    """Return (data set, original network, bundled name) of some of the bundled models.

    They are the models that can replace an original parameter set.
    """
    from bnn.formats import bnn_pynq

    found = []
    for name in bundled():
        origin = provenance(MODELS / (name + SUFFIX))
        if origin.get("network") in bnn_pynq.NETWORKS and isinstance(origin.get("dataset"), str):
            found.append((origin["dataset"], origin["network"], name))
    return found

# SPDX-License-Identifier: BSD-3-Clause
"""BNN-PYNQ re-created: networks of bits on the CPU, in simulation and on PYNQ boards.

    model = bnn.load("lfc-w1a1")                 # a bundled name, a .bnn file, an original folder
    clf = bnn.Classifier(model, runtime="cpu")
    clf.classify(["three.png"])                  # -> int64 (N,)

Everything is imported on first use, so that ``import bnn`` costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if sys.version_info < (3, 10):  # noqa: UP036
    # pip refuses to install it there; a copied folder on an old board gets as far as this.
    raise ImportError(
        "bnn needs Python 3.10 or later, which a board has from PYNQ 3.0 on; this is Python "
        + ".".join(map(str, sys.version_info[:2]))
    )

if TYPE_CHECKING:
    from bnn.classifier import Classifier, Run, Tile
    from bnn.data.pictures.tiles import tiles
    from bnn.errors import (
        BnnError,
        DataError,
        HostLayerError,
        InputError,
        ModelFileError,
        ParameterError,
        ProgramError,
        RuntimeUnavailableError,
        UnknownNameError,
    )
    from bnn.library import bundled, load
    from bnn.model.file import save
    from bnn.model.model import Model
    from bnn.original import (
        NETWORK_CNVW1A1,
        NETWORK_CNVW1A2,
        NETWORK_CNVW2A2,
        NETWORK_LFCW1A1,
        NETWORK_LFCW1A2,
        RUNTIME_HW,
        RUNTIME_SW,
        CnvClassifier,
        LfcClassifier,
        PynqBNN,
        available_params,
    )
    from bnn.program.program import Program
    from bnn.reader import LineReader, SequenceClassifier
    from bnn.run.stages import AddedLayer

    __version__: str

#: Module of each public name.
_HOMES = {
    "bnn.classifier": ["Classifier", "Run", "Tile"],
    "bnn.data.pictures.tiles": ["tiles"],
    "bnn.errors": [
        "BnnError",
        "DataError",
        "HostLayerError",
        "InputError",
        "ModelFileError",
        "ParameterError",
        "ProgramError",
        "RuntimeUnavailableError",
        "UnknownNameError",
    ],
    "bnn.library": ["bundled", "load"],
    "bnn.model.model": ["Model"],
    "bnn.model.file": ["save"],
    "bnn.original": [
        "NETWORK_CNVW1A1",
        "NETWORK_CNVW1A2",
        "NETWORK_CNVW2A2",
        "NETWORK_LFCW1A1",
        "NETWORK_LFCW1A2",
        "RUNTIME_HW",
        "RUNTIME_SW",
        "CnvClassifier",
        "LfcClassifier",
        "PynqBNN",
        "available_params",
    ],
    "bnn.program.program": ["Program"],
    "bnn.reader": ["LineReader", "SequenceClassifier"],
    "bnn.run.stages": ["AddedLayer"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "NETWORK_CNVW1A1",
    "NETWORK_CNVW1A2",
    "NETWORK_CNVW2A2",
    "NETWORK_LFCW1A1",
    "NETWORK_LFCW1A2",
    "RUNTIME_HW",
    "RUNTIME_SW",
    "AddedLayer",
    "BnnError",
    "Classifier",
    "CnvClassifier",
    "DataError",
    "HostLayerError",
    "InputError",
    "LfcClassifier",
    "LineReader",
    "Model",
    "ModelFileError",
    "ParameterError",
    "Program",
    "ProgramError",
    "PynqBNN",
    "Run",
    "RuntimeUnavailableError",
    "SequenceClassifier",
    "Tile",
    "UnknownNameError",
    "__version__",
    "available_params",
    "bundled",
    "load",
    "save",
    "tiles",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("bnn-pynq")
    if name in _HOME:
        value: object = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

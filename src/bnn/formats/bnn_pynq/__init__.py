# SPDX-License-Identifier: BSD-3-Clause
"""Parameter sets of the original BNN-PYNQ: a folder, or a tar archive of one.

Files ``L-P-weights.bin``, ``L-P-thres.bin`` and ``classes.txt`` (specification, section 3).

``networks``    the five networks and their foldings
``reading``     files to numbers
``building``    numbers to a program
``extracting``  a program to numbers
``writing``     numbers to files
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnn.data.pictures.preprocess import Digit, Thumbnail
from bnn.formats.bnn_pynq.building import program_of
from bnn.formats.bnn_pynq.extracting import parameters_of
from bnn.formats.bnn_pynq.networks import (
    MAX_CLASSES,
    NETWORKS,
    Folding,
    Layer,
    OriginalNetwork,
    refold,
)
from bnn.formats.bnn_pynq.reading import (
    Files,
    check_unused,
    parse_classes,
    read,
    read_classes,
    read_layer,
    recognise,
)
from bnn.formats.bnn_pynq.writing import encode, write
from bnn.model.model import Model

__all__ = [
    "MAX_CLASSES",
    "NETWORKS",
    "Files",
    "Folding",
    "Layer",
    "OriginalNetwork",
    "from_files",
    "half_steps",
    "load",
    "parse_classes",
    "refold",
    "save",
    "sets_under",
]


def load(path: str | os.PathLike[str], network: str | None = None) -> Model:
    """Read a parameter set of the original into a model.

    Args:
        path: a folder, or a tar archive (plain, gz, bz2, xz). A ``hw/config.h`` in it, as
            :func:`save` writes it, defines folding and network; else the folding is the original's.
        network: such as ``cnvW1A1``. By default the network of ``hw/config.h``; without that file
            the network that the path names, else the one that most files fit.

    Raises:
        ParameterError: a file is missing or has a wrong size; the message names it.
    """
    location = Path(path)
    files = read(location)
    return from_files(location, files, recognise(location, files, network))


def save(
    model: Model,
    folder: str | os.PathLike[str],
    folding: Folding | None = None,
    fires_at: float | None = None,
) -> tuple[str, ...]:
    """Write ``model`` as a parameter set that the original's overlays run.

    Args:
        model: one of the five networks: read from such a set, or trained and lowered.
        folder: the folder to make; if it exists, it must be empty. Its file ``hw/config.h`` has
            the constants for the original's build.
        folding: (PE, SIMD) of every layer; the original's by default.
        fires_at: only for an LFC network with logits: the output bit of a class is 1 if the logit
            of the class is at least this number. By default it is the entry ``fires at`` of the
            model's provenance, or 0 if there is no such entry.
            :func:`bnn.formats.bnn_pynq.extracting.firing_level` finds a good number.

    Returns:
        Notes on what the files cannot express, one line each.

    Raises:
        ParameterError: the model is not one of the five networks, or the files cannot express its
            values.
    """
    parameters, notes = parameters_of(model, fires_at)
    if folding is not None:
        parameters = replace(parameters, network=refold(parameters.network, folding))
    write(encode(parameters), folder)
    return notes


def from_files(location: Path, files: Files, original: OriginalNetwork) -> Model:
    """Return the model in ``files``; ``location`` is for error messages."""
    classes_text, classes = read_classes(location, files)
    layers = [
        read_layer(location, files, original, index, len(classes))
        for index in range(len(original.layers))
    ]
    check_unused(location, files, original)
    return Model(
        program=program_of(original, layers),
        classes=classes,
        preprocess=Thumbnail() if original.is_cnv else Digit(),
        provenance={
            "format": "bnn-pynq",
            "network": original.name,
            "classes.txt": classes_text,
            "half steps": half_steps(layers[0][1]) if original.is_cnv else "",
        },
        name=original.name,
    )


def half_steps(raw: NDArray[np.int64]) -> str:
    """Return the lowest bits of the thresholds of CNV's first layer, as hexadecimal digits.

    These bits have no effect: the sums are whole numbers, and the thresholds have steps of 1/2.
    They are kept so that the same file can be written again.
    """
    return np.packbits((raw & 1).astype(np.uint8).ravel()).tobytes().hex()


def sets_under(root: Path, network: str) -> dict[str, Path]:
    """Return data set name -> parameter set of ``network`` under ``root``, sorted by name.

    A set is ``<root>/<dataset>/<network>/`` or ``<root>/<dataset>-<network>.tar.xz``.
    A root that is not a folder, or cannot be listed, has none.
    """
    found: dict[str, Path] = {}
    ending = f"-{network}.tar.xz"
    for entry in _entries(root):
        with contextlib.suppress(OSError):  # what cannot be read is skipped
            if (entry / network).is_dir():
                found.setdefault(entry.name, entry / network)
            elif entry.name.endswith(ending) and entry.is_file():
                found.setdefault(entry.name[: -len(ending)], entry)
    return found


def _entries(root: Path) -> list[Path]:
    try:
        return sorted(root.iterdir())
    except OSError:
        return []

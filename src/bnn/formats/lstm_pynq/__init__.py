# SPDX-License-Identifier: BSD-3-Clause
"""Networks of LSTM-PYNQ, the original's sister project: text lines by an LSTM of few bits.

``reading``   LSTM-PYNQ's parameter files to numbers
``tables``    LSTM-PYNQ's sigmoid and tanh
``building``  numbers to a program

The parameters of a plain network (W2A2, W2A4, W4A4, W4A8, W8A8) are in a C++ header,
``r_model_fw_bw.hpp``. Those of the Fraktur network W5A5 are in an ``.npz`` file of the arrays that
the original's library makes when it is loaded. Every network also needs ``alphabet.txt``; Fraktur
also needs ``mean.txt`` and ``std_deviation.txt``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from bnn.errors import BnnError, ParameterError
from bnn.formats.lstm_pynq.building import program_of
from bnn.formats.lstm_pynq.reading import (
    HEADER,
    Fraktur,
    Plain,
    read_alphabet,
    read_fraktur,
    read_numbers,
    read_plain,
)
from bnn.model.lines import FrakturLines, PlainLines
from bnn.model.model import Model
from bnn.system import archives

__all__ = ["NETWORKS", "datasets_folder", "is_source", "load", "place_of", "sets"]

#: Set and network of every network of LSTM-PYNQ.
NETWORKS = (
    ("plain", "W2A2"),
    ("plain", "W2A4"),
    ("plain", "W4A4"),
    ("plain", "W4A8"),
    ("plain", "W8A8"),
    ("fraktur", "W5A5"),
)
#: Name of the Fraktur network's archive.
ARCHIVE = "W5A5.npz"
#: Name of the folder under a root of data, and folders in a copy of the original's repository.
FOLDER = "lstm-pynq"
_PACKED = ("", ".xz", ".gz", ".bz2")
_NETWORK = re.compile(r"W([2-8])A([2-8])", re.IGNORECASE)
#: How far above a parameter file its alphabet is looked for, and in which folders there.
_ABOVE = 6
_TEXT_FOLDERS = ("", "{set}", "datasets/{set}")


def is_source(path: Path) -> bool:
    """Return whether ``path`` is a parameter file, or a folder with one.

    A header is recognised by its name (``.hpp``, maybe packed), an archive by its contents.
    """
    if path.is_dir():
        return _file_in(path) is not None
    if any(path.name.lower().endswith(f".hpp{packed}") for packed in _PACKED):
        return True
    return path.suffix == ".npz" and path.is_file() and _is_archive(path)


def _is_archive(path: Path) -> bool:
    try:
        return {"wgi.npy", "lut_sigmoid.npy"} <= set(archives.members(path))
    except BnnError:
        return False


def load(path: str | os.PathLike[str]) -> Model:
    """Read a network of LSTM-PYNQ.

    Args:
        path: a header of a plain network (maybe packed as xz, gz or bz2), the archive of the
            Fraktur network (``W5A5.npz``), or the folder of one of them. The text files may be in
            the same folder, or where the original's repository has them.

    Raises:
        ParameterError: a file is missing, too large or damaged, or is not understood.
    """
    given = Path(path)
    source = (_file_in(given) or given) if given.is_dir() else given
    if not is_source(source):
        raise ParameterError(f"{given}: is not a parameter file of LSTM-PYNQ ({HEADER}, {ARCHIVE})")
    return _fraktur(source) if source.suffix == ".npz" else _plain(source)


def _plain(path: Path) -> Model:
    given = read_plain(path)
    network = f"W{given.weight_bits}A{given.bits}"
    stated = [
        match[0].upper() for match in map(_NETWORK.match, (path.name, path.parent.name)) if match
    ]
    if stated and network != stated[0]:
        raise ParameterError(f"{path}: contains {network}, its name says {stated[0]}")
    alphabet = read_alphabet(_beside(path, "plain", "alphabet.txt"), given.out_biases.shape[1])
    return _model(given, "plain", network, alphabet, PlainLines(given.bits))


def _fraktur(path: Path) -> Model:
    given = read_fraktur(path)
    rows = given.weights.shape[3] - given.weights.shape[2]
    alphabet = read_alphabet(_beside(path, "fraktur", "alphabet.txt"), given.out_biases.shape[1])
    mean, deviation = (
        read_numbers(_beside(path, "fraktur", name), rows)
        for name in ("mean.txt", "std_deviation.txt")
    )
    if min(deviation) <= 0:
        raise ParameterError(f"{path}: a standard deviation in std_deviation.txt is not positive")
    lines = FrakturLines(mean, deviation, tuple(given.exponentials.tolist()))
    return _model(given, "fraktur", "W5A5", alphabet, lines)


def _model(
    given: Plain | Fraktur,
    set_name: str,
    network: str,
    alphabet: tuple[str, ...],
    lines: PlainLines | FrakturLines,
) -> Model:
    return Model(
        program=program_of(given),
        classes=alphabet,
        provenance={"format": "lstm-pynq", "dataset": set_name, "network": network},
        name=f"{set_name}-{network.lower()}",
        lines=lines,
    )


def _file_in(folder: Path) -> Path | None:
    names = (*(f"{HEADER}{end}" for end in _PACKED), ARCHIVE)
    return next((path for name in names if (path := folder / name).is_file()), None)


def _beside(path: Path, set_name: str, name: str) -> Path:
    """Return the path of the text file ``name`` that belongs to the parameter file ``path``.

    It is searched in the folder of ``path``, and in the folders above.

    Raises:
        ParameterError: there is no such file.
    """
    for folder in list(path.absolute().parents)[:_ABOVE]:
        for inner in _TEXT_FOLDERS:
            found = folder / inner.format(set=set_name) / name
            if found.is_file():
                return found
    raise ParameterError(f"{path}: {name} is not beside it, nor in datasets/{set_name} above it")


def place_of(root: Path, set_name: str, network: str) -> Path | None:
    """Return the parameter file of a network under ``root``, or None.

    ``root`` is a copy of the original's repository, its folder ``lstm``, or a folder with
    ``headers/NETWORK.r_model_fw_bw.hpp``, ``SET/NETWORK/r_model_fw_bw.hpp`` or ``SET/W5A5.npz``.
    """
    headers = [
        *(f"{above}{set_name}/{network}/{HEADER}" for above in _ABOVE_SETS),
        f"headers/{network}.{HEADER}",
    ]
    names = [f"{name}{packed}" for name in headers for packed in _PACKED]
    if set_name == "fraktur":
        names = [
            f"{above}fraktur/{inner}{ARCHIVE}" for above in _ABOVE_SETS for inner in ("", "W5A5/")
        ]
    try:
        return next((root / name for name in names if (root / name).is_file()), None)
    except OSError:  # what cannot be read is skipped
        return None


def datasets_folder(roots: list[Path]) -> str:
    """Return the first folder under ``roots`` that contains ``plain/alphabet.txt``.

    Return "" if there is none.
    """
    for given in roots:
        for root in (given, given / FOLDER):
            for inner in ("", "datasets", "lstm/datasets"):
                if (root / inner / "plain" / "alphabet.txt").is_file():
                    return str(root / inner)
    return ""


_ABOVE_SETS = ("", "src/network/", "lstm/src/network/")


def sets(roots: list[Path]) -> Iterator[tuple[str, str, Path]]:
    """Yield (set, network, parameter file) of every network that is found under ``roots``.

    If several roots have the same network, only the first one is yielded.
    """
    for set_name, network in NETWORKS:
        for root in (each for given in roots for each in (given, given / FOLDER)):
            place = place_of(root, set_name, network)
            if place is not None:
                yield set_name, network, place
                break

# SPDX-License-Identifier: BSD-3-Clause
"""Read the files of a parameter set to numbers (specification, section 3)."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnn.data import tar
from bnn.data.files import open_unpacked
from bnn.errors import DataError, ParameterError
from bnn.formats.bnn_pynq.networks import MAX_CLASSES, NETWORKS, Layer, OriginalNetwork, refold
from bnn.system.files import read_file

#: Most bytes of a file. The largest original set has 2.9 MB in all.
MAX_SET_BYTES = 1 << 26
MAX_MEMBERS = 10_000
#: Name of the C header that :func:`bnn.formats.bnn_pynq.save` writes; it gives the folding.
CONFIG = "hw/config.h"

Files = dict[str, bytes]

_MEMBER = re.compile(r"[0-9]{1,2}-[0-9]{1,4}-(weights|thres)\.bin|classes\.txt")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_CONSTANT = re.compile(rb"#define[ \t]+L([0-9]{1,2})_(PE|SIMD|WPI|API)[ \t]+([0-9]{1,4})\b")


def read(location: Path) -> Files:
    """Return name -> contents of the files of a set; files of other names are not read."""
    return _read_folder(location) if location.is_dir() else _read_archive(location)


def _read_folder(folder: Path) -> Files:
    files: Files = {}
    left = MAX_SET_BYTES
    for name, path in _members_of(folder).items():
        if not path.is_file():  # reading a device or pipe may never end
            raise ParameterError(f"{folder}: {name} is not a file")
        files[name] = read_file(path, left, ParameterError)
        left -= len(files[name])
    return files


def _members_of(folder: Path) -> dict[str, Path]:
    try:
        paths: dict[str, Path] = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                if _MEMBER.fullmatch(entry.name):
                    paths[entry.name] = folder / entry.name
                if len(paths) > MAX_MEMBERS:
                    raise ParameterError(f"{folder}: has more files than any parameter set")
        if (folder / CONFIG).exists():
            paths[CONFIG] = folder / CONFIG
        return paths
    except OSError as reason:
        raise ParameterError(f"{folder}: cannot be read: {reason.strerror}") from reason


def _read_archive(archive: Path) -> Files:
    if not archive.exists():
        raise ParameterError(f"{archive}: no such parameter folder or archive")
    groups: dict[str, Files] = {}
    try:
        with open_unpacked(archive, MAX_SET_BYTES) as stream:
            for path, data in tar.members(stream, _is_member, MAX_SET_BYTES):
                folder, name = _place(path)
                groups.setdefault(folder, {})[name] = data
    except tar.NoTarError as reason:
        raise ParameterError(
            f"{reason}; a model is a bundled name, a .bnn file or an original parameter set, and "
            "bnn convert makes .bnn files of other networks"
        ) from reason
    except DataError as reason:
        raise ParameterError(str(reason)) from reason
    if len(groups) != 1:
        found = "no parameter files" if not groups else f"{len(groups)} parameter folders"
        raise ParameterError(f"{archive}: contains {found}; one folder is needed")
    return next(iter(groups.values()))


def _is_member(path: str) -> bool:
    name = _place(path)[1]
    return name == CONFIG or _MEMBER.fullmatch(name) is not None


def _place(path: str) -> tuple[str, str]:
    """Return the folder and the file name of a member of an archive."""
    if path.endswith(f"/{CONFIG}") or path == CONFIG:
        return path[: -len(CONFIG)].rstrip("/"), CONFIG
    return os.path.split(path)


def _spelled(location: Path, name: str) -> str:
    """Return the original's spelling of ``name``: ``lfcW1A1`` for ``lfc-w1a1``."""
    plain = name.replace("-", "").lower()
    for known in NETWORKS:
        if known.lower() == plain:
            return known
    raise ParameterError(
        f"{location}: no original network is called {name!r}; there are: {', '.join(NETWORKS)}"
    )


def recognise(location: Path, files: Files, name: str | None) -> OriginalNetwork:
    """Return the network of a parameter set.

    If ``name`` is given, this is the network called so. Else it is the network that
    ``hw/config.h`` describes; else the one whose name is in the last part of the path; else the
    one that has the most files of the right size.
    """
    if name is not None and name not in NETWORKS:
        name = _spelled(location, name)
    configured = _configured(files)
    if configured is not None and name in (None, configured.name):
        return configured
    if name is not None:
        return NETWORKS[name]
    fits = {known.name: _fit(known, files) for known in NETWORKS.values()}
    best = max(fits.values())
    if best == 0:
        raise ParameterError(f"{location}: has no parameter files of a known network")
    named = [known for known in NETWORKS if known.lower() in location.name.lower()]
    if len(named) == 1 and fits[named[0]] > 0:
        return NETWORKS[named[0]]
    return next(known for known in NETWORKS.values() if fits[known.name] == best)


def _configured(files: Files) -> OriginalNetwork | None:
    """Return the network and folding that a C header of constants describes, if there is one.

    A header without all constants of one of the five networks is ignored: it is another program's.
    """
    found = {
        (int(index), key.decode()): int(value)
        for index, key, value in _CONSTANT.findall(files.get(CONFIG, b""))
    }
    count = 1 + max((index for index, _ in found), default=-1)
    bits = (found.get((0, "WPI")), found.get((0, "API")))
    folding = [(found.get((n, "PE"), 0), found.get((n, "SIMD"), 0)) for n in range(count)]
    for known in NETWORKS.values():
        same = (known.weight_bits, known.activation_bits) == bits and len(known.layers) == count
        if same and all(map(all, folding)):
            return refold(known, folding)
    return None


def _fit(network: OriginalNetwork, files: Files) -> int:
    """Return how many of the files have the name and the size of a file of this network."""
    fit = 0
    for index, layer in enumerate(network.layers):
        for pe in range(layer.pe):
            fit += len(files.get(f"{index}-{pe}-weights.bin", b"")) == 8 * layer.weight_words
            words = layer.neuron_fold * network.levels(index)
            fit += words > 0 and len(files.get(f"{index}-{pe}-thres.bin", b"")) == 8 * words
    return fit


def read_classes(location: Path, files: Files) -> tuple[str, tuple[str, ...]]:
    """Return the text of ``classes.txt`` and its names; an empty line is a class, too."""
    if "classes.txt" not in files:
        raise ParameterError(f"{location}: classes.txt is missing")
    try:
        text = files["classes.txt"].decode()
    except UnicodeDecodeError:
        text = files["classes.txt"].decode("latin-1")
    try:
        names = parse_classes(text)
    except ParameterError as reason:
        raise ParameterError(f"{location}: {reason}") from None
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ParameterError(
            f"{location}: classes.txt has {len(names)} lines, 1 to {MAX_CLASSES} are possible"
        )
    return text, names


def parse_classes(text: str) -> tuple[str, ...]:
    """Return the names in the text of a ``classes.txt``; an empty line is a class, too.

    Raises:
        ParameterError: the text contains control characters: then the file is not a text, or its
            encoding is not UTF-8 (but UTF-16, for example).
    """
    text = text.removeprefix("\ufeff")  # Windows' editors put it before UTF-8
    if _CONTROL.search(text):
        raise ParameterError("classes.txt contains control characters; it must be text in UTF-8")
    return tuple(line.strip() for line in io.StringIO(text, newline=None))


def check_unused(location: Path, files: Files, network: OriginalNetwork) -> None:
    """Refuse parameter files that the network does not use: they belong to another network.

    Thresholds of the last layer are accepted even if the layer uses none: the original's own sets
    have them (specification, section 3).

    Raises:
        ParameterError: there is an unused file; the message names it.
    """
    known = {CONFIG, "classes.txt"}
    for index, layer in enumerate(network.layers):
        kinds = ("weights", "thres")
        known |= {f"{index}-{pe}-{kind}.bin" for pe in range(layer.pe) for kind in kinds}
    if unused := sorted(set(files) - known):
        raise ParameterError(
            f"{location}: {unused[0]} belongs to no layer of {network.name} in its folding"
        )


def read_layer(
    location: Path, files: Files, network: OriginalNetwork, index: int, classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read weights (rows, columns) and raw thresholds (rows, levels); pad rows are dropped."""
    layer = network.layers[index]
    rows = classes if layer.last else layer.rows
    fold = layer.neuron_fold
    used_folds = [len(range(pe, rows, layer.pe)) for pe in range(layer.pe)]
    weights = np.zeros((fold, layer.pe, layer.columns), np.int64)
    levels = network.levels(index)
    bits = 24 if network.is_cnv and index == 0 else 16
    thresholds = np.zeros((fold, layer.pe, levels), np.int64)
    for pe in range(layer.pe):
        name = f"{index}-{pe}-weights.bin"
        words = _words(location, files, name, (fold, layer.synapse_fold), used_folds[pe])
        weights[:, pe] = _weights(words, layer, network.weight_bits)
        if levels:
            name = f"{index}-{pe}-thres.bin"
            words = _words(location, files, name, (fold, levels), used_folds[pe])
            low = words.astype(np.int64) & ((1 << bits) - 1)
            thresholds[:, pe] = low - ((low >> (bits - 1)) << bits)
    return weights.reshape(layer.rows, -1)[:rows], thresholds.reshape(layer.rows, -1)[:rows]


def _words(
    location: Path, files: Files, name: str, shape: tuple[int, int], used_folds: int
) -> NDArray[np.uint64]:
    """Return the words of the file ``name``, uint64 ``shape`` = (folds, words per fold).

    The file may end after the first ``used_folds`` folds: the others have pad rows only, and
    their words are 0.
    """
    data = files.get(name)
    if data is None:
        raise ParameterError(f"{location}: {name} is missing")
    expected = shape[0] * shape[1]
    if len(data) % 8 or len(data) > 8 * expected or len(data) < 8 * used_folds * shape[1]:
        raise ParameterError(
            f"{location}: {name} has {len(data)} bytes, {8 * expected} are expected"
        )
    words = np.zeros(expected, np.uint64)
    words[: len(data) // 8] = np.frombuffer(data, "<u8")
    return words.reshape(shape)


def _weights(words: NDArray[np.uint64], layer: Layer, bits: int) -> NDArray[np.int64]:
    """Decode words (NF, SF) to weights (NF, columns): weight i of a word is bits [i*b, (i+1)*b)."""
    lanes = np.arange(layer.simd, dtype=np.uint64) * np.uint64(bits)
    codes = (words[:, :, None] >> lanes) & np.uint64((1 << bits) - 1)
    values = codes.astype(np.int64).reshape(len(words), layer.columns)
    if bits == 1:
        return 2 * values - 1
    return values - ((values >> 1) << 2)

# SPDX-License-Identifier: BSD-3-Clause
"""Parameter sets of the original BNN-PYNQ: a folder, or a tar archive of one.

Sections 1 to 3 of the specification: the five networks and their foldings, the
arithmetic of a layer, and the files ``L-P-weights.bin``, ``L-P-thres.bin`` and
``classes.txt``.

The original counts equal bits where weights and activations have one bit. Here
hidden layers take the signed sum s instead (count = (columns + s) / 2, so that
thresholds double); the last layer keeps the count, which is its score: its
input is 0 or 1 and its bias the number of -1 weights.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from lzma import LZMAError
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnn.errors import ParameterError
from bnn.inputs import PictureInput, fixed_point_table, sign_table
from bnn.model import Model
from bnn.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from bnn.preprocess import Digit, Thumbnail
from bnn.program import ArgMax, Dot, Op, Pool, Program, Threshold, Window

MAX_CLASSES = 64
#: The largest original set has 2.9 MB; anything near this bound is no parameter set.
MAX_SET_BYTES = 1 << 26
MAX_MEMBERS = 10_000

ACCUMULATOR_BITS = 16
WORD_BITS = 64

#: The C header that :func:`save` writes beside the parameters; it tells the folding.
CONFIG = "hw/config.h"

Files = dict[str, bytes]
Folding = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Layer:
    """One layer of an original network, with its folding (section 1).

    Attributes:
        rows, columns: of the weight matrix, padded.
        pe, simd: rows and columns computed in parallel.
        used_columns: columns before padding.
        convolution: 3x3 window before the dot.
        pool: 2x2 maximum after the activation.
        last: pad rows beyond the classes.
    """

    rows: int
    columns: int
    pe: int
    simd: int
    used_columns: int
    convolution: bool = False
    pool: bool = False
    last: bool = False

    @property
    def neuron_fold(self) -> int:
        """NF: threshold rows per PE (TMEM)."""
        return self.rows // self.pe

    @property
    def synapse_fold(self) -> int:
        """SF: weight words per row."""
        return self.columns // self.simd

    @property
    def weight_words(self) -> int:
        """WMEM: weight words per PE."""
        return self.neuron_fold * self.synapse_fold


@dataclass(frozen=True)
class OriginalNetwork:
    """One of the five networks."""

    name: str
    weight_bits: int
    activation_bits: int
    layers: tuple[Layer, ...]

    @property
    def is_cnv(self) -> bool:
        """Convolutional (scores), against fully connected (bits)."""
        return self.name.startswith("cnv")

    def levels(self, index: int) -> int:
        """Thresholds per row of a layer; 0 where it has no activation."""
        if index < len(self.layers) - 1:
            return self.activation_bits
        return 0 if self.is_cnv else 1


def _cnv_layers(folding: tuple[tuple[int, int], ...]) -> tuple[Layer, ...]:
    shapes = [(64, 27), (64, 576), (128, 576), (128, 1152), (256, 1152), (256, 2304)]
    shapes += [(512, 256), (512, 512), (64, 512)]
    return tuple(
        Layer(*shape, *fold, shape[1], convolution=index < 6, pool=index in (1, 3), last=index == 8)
        for index, (shape, fold) in enumerate(zip(shapes, folding, strict=True))
    )


_CNV_W1 = _cnv_layers(
    ((16, 3), (32, 32), (16, 32), (16, 32), (4, 32), (1, 32), (1, 4), (1, 8), (4, 1))
)
_CNV_W2 = _cnv_layers(((8, 3), (16, 16), (8, 16), (8, 16), (4, 8), (1, 8), (1, 2), (2, 2), (4, 1)))
_LFC = (
    Layer(1024, 832, 32, 64, 784),
    Layer(1024, 1024, 64, 32, 1024),
    Layer(1024, 1024, 32, 64, 1024),
    Layer(64, 1024, 16, 8, 1024, last=True),
)

NETWORKS = {
    network.name: network
    for network in (
        OriginalNetwork("cnvW1A1", 1, 1, _CNV_W1),
        OriginalNetwork("cnvW1A2", 1, 2, _CNV_W1),
        OriginalNetwork("cnvW2A2", 2, 2, _CNV_W2),
        OriginalNetwork("lfcW1A1", 1, 1, _LFC),
        OriginalNetwork("lfcW1A2", 1, 2, _LFC),
    )
}

_MEMBER = re.compile(r"[0-9]{1,2}-[0-9]{1,4}-(weights|thres)\.bin|classes\.txt")
_CONSTANT = re.compile(rb"#define[ \t]+L([0-9]{1,2})_(PE|SIMD|WPI|API)[ \t]+([0-9]{1,4})\b")


def refold(network: OriginalNetwork, folding: Folding) -> OriginalNetwork:
    """``network`` with another (PE, SIMD) for each layer.

    Raises:
        ParameterError: it does not divide a layer, or a word cannot hold SIMD weights.
    """
    if len(folding) != len(network.layers):
        raise ParameterError(
            f"{network.name} has {len(network.layers)} layers, the folding {len(folding)}"
        )
    for index, (layer, (pe, simd)) in enumerate(zip(network.layers, folding, strict=True)):
        if pe < 1 or simd < 1 or layer.rows % pe or layer.columns % simd:
            raise ParameterError(
                f"{network.name} layer {index}: PE {pe} and SIMD {simd} "
                f"do not divide {layer.rows} rows and {layer.columns} columns"
            )
        if simd * network.weight_bits > WORD_BITS:
            raise ParameterError(
                f"{network.name} layer {index}: {simd} weights of {network.weight_bits} bits "
                f"exceed a word of {WORD_BITS}"
            )
    layers = zip(network.layers, folding, strict=True)
    folded = tuple(replace(layer, pe=pe, simd=simd) for layer, (pe, simd) in layers)
    return replace(network, layers=folded)


def load(path: str | os.PathLike[str], network: str | None = None) -> Model:
    """Read a parameter set.

    Args:
        path: a folder, or a tar archive (plain, gz, bz2, xz). A ``hw/config.h`` in it, as
            :func:`save` writes it, tells the folding and network; else it is the original's.
        network: ``cnvW1A1`` ...; by default what the path says, else what the files fit best.

    Raises:
        ParameterError: something is missing or of a wrong size; the message names the file.
    """
    location = Path(path)
    files = _read_folder(location) if location.is_dir() else _read_archive(location)
    return from_files(location, files, _recognise(location, files, network))


def save(
    model: Model,
    folder: str | os.PathLike[str],
    folding: Folding | None = None,
    fires_at: float | None = None,
) -> tuple[str, ...]:
    """Write ``model`` as a parameter set that the original's overlays run.

    Args:
        model: one of the five networks: read from such a set, or trained and lowered.
        folder: is made; it must not hold anything yet. ``hw/config.h`` in it has the
            constants that the original's build needed.
        folding: (PE, SIMD) of every layer; the original's by default.
        fires_at: the logit from which a class of an LFC network fires, where the model has
            logits; by default what its provenance says (``fires at``), else 0. See
            :func:`bnn.formats.bnn_pynq_program.firing_level`.

    Returns:
        What the set cannot say, a line each.

    Raises:
        ParameterError: the model is no such network, or its values have no place there.
    """
    from bnn.formats.bnn_pynq_files import encode, write
    from bnn.formats.bnn_pynq_program import parameters_of

    parameters, notes = parameters_of(model, fires_at)
    if folding is not None:
        parameters = replace(parameters, network=refold(parameters.network, folding))
    write(encode(parameters), folder)
    return notes


def from_files(location: Path, files: Files, original: OriginalNetwork) -> Model:
    """The model in ``files``; ``location`` is for messages."""
    classes_text, classes = _classes(location, files)
    layers = [
        _read_layer(location, files, original, index, len(classes))
        for index in range(len(original.layers))
    ]
    program = _cnv(original, layers) if original.is_cnv else _lfc(original, layers)
    return Model(
        program=program,
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
    """Lowest bits of CNV's first thresholds, as hexadecimal digits.

    They decide nothing (sums there are whole, thresholds have halves), but a set that is
    written again should have them.
    """
    return np.packbits((raw & 1).astype(np.uint8).ravel()).tobytes().hex()


def _read_folder(folder: Path) -> Files:
    try:
        paths = {path.name: path for path in folder.iterdir() if _MEMBER.fullmatch(path.name)}
        if (folder / CONFIG).is_file():
            paths[CONFIG] = folder / CONFIG
        if sum(path.stat().st_size for path in paths.values()) > MAX_SET_BYTES:
            raise ParameterError(f"{folder}: larger than any parameter set")
        return {name: path.read_bytes() for name, path in paths.items()}
    except OSError as reason:
        raise ParameterError(f"{folder}: cannot be read: {reason.strerror}") from reason


def _read_archive(archive: Path) -> Files:
    groups: dict[str, Files] = {}
    total = 0
    try:
        with tarfile.open(archive, "r|*") as tar:
            for count, member in enumerate(tar):
                total += max(member.size, 0)
                if total > MAX_SET_BYTES or count > MAX_MEMBERS:
                    raise ParameterError(f"{archive}: larger than any parameter set")
                folder, name = os.path.split(member.name)
                if member.name.endswith(f"/{CONFIG}") or member.name == CONFIG:
                    folder, name = member.name[: -len(CONFIG)].rstrip("/"), CONFIG
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is not None and (name == CONFIG or _MEMBER.fullmatch(name)):
                    groups.setdefault(folder, {})[name] = stream.read()
    except FileNotFoundError as reason:
        raise ParameterError(f"{archive}: no such parameter folder or archive") from reason
    except (tarfile.TarError, EOFError, OSError, ValueError, LZMAError, zlib.error) as reason:
        raise ParameterError(f"{archive}: no readable tar archive: {reason}") from reason
    if len(groups) != 1:
        found = "no parameter files" if not groups else f"{len(groups)} parameter folders"
        raise ParameterError(f"{archive}: holds {found}, one folder is wanted")
    return next(iter(groups.values()))


def _recognise(location: Path, files: Files, name: str | None) -> OriginalNetwork:
    """The network asked for, else named by the path, else the one that most files fit."""
    if name is not None and name not in NETWORKS:
        raise ParameterError(f"no network is called {name!r}; there are: {', '.join(NETWORKS)}")
    configured = _configured(files)
    if configured is not None and name in (None, configured.name):
        return configured
    if name is not None:
        return NETWORKS[name]
    fits = {known.name: _fit(known, files) for known in NETWORKS.values()}
    best = max(fits.values())
    if best == 0:
        raise ParameterError(f"{location}: holds no parameter files of a known network")
    named = [known for known in NETWORKS if known.lower() in location.name.lower()]
    if len(named) == 1 and fits[named[0]] > 0:
        return NETWORKS[named[0]]
    return next(known for known in NETWORKS.values() if fits[known.name] == best)


def _configured(files: Files) -> OriginalNetwork | None:
    """The network and folding that a C header of constants describes, if there is one.

    Headers by others, which tell less, are not relied on.
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
    """How many files have the size that this network expects."""
    fit = 0
    for index, layer in enumerate(network.layers):
        for pe in range(layer.pe):
            fit += len(files.get(f"{index}-{pe}-weights.bin", b"")) == 8 * layer.weight_words
            words = layer.neuron_fold * network.levels(index)
            fit += words > 0 and len(files.get(f"{index}-{pe}-thres.bin", b"")) == 8 * words
    return fit


def _classes(location: Path, files: Files) -> tuple[str, tuple[str, ...]]:
    """The text of ``classes.txt`` and its names; an empty line stays a class."""
    if "classes.txt" not in files:
        raise ParameterError(f"{location}: classes.txt is missing")
    try:
        text = files["classes.txt"].decode()
    except UnicodeDecodeError:
        text = files["classes.txt"].decode("latin-1")
    names = parse_classes(text)
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ParameterError(
            f"{location}: classes.txt has {len(names)} lines, 1 to {MAX_CLASSES} are possible"
        )
    return text, names


def parse_classes(text: str) -> tuple[str, ...]:
    """Names in the text of a ``classes.txt``; an empty line stays a class."""
    return tuple(line.strip() for line in io.StringIO(text, newline=None))


def _read_layer(
    location: Path, files: Files, network: OriginalNetwork, index: int, classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Weights (rows, columns), raw thresholds (rows, levels); pad rows are dropped."""
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
    """The words of a file, (folds, words a fold); missing ones are 0 if only pad rows miss them."""
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
    """Words (NF, SF) to weights (NF, columns): lane i of a word is bits [i*b, (i+1)*b)."""
    lanes = np.arange(layer.simd, dtype=np.uint64) * np.uint64(bits)
    codes = (words[:, :, None] >> lanes) & np.uint64((1 << bits) - 1)
    values = codes.astype(np.int64).reshape(len(words), layer.columns)
    if bits == 1:
        return 2 * values - 1
    return values - ((values >> 1) << 2)


Parsed = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def _weight_precision(weights: NDArray[np.int64], bits: int) -> Precision:
    """Two-bit weights are ternary; a -2, which no shipped set has, is computed all the same."""
    if bits == 1:
        return BIPOLAR
    return TERNARY if TERNARY.allows(weights) else INT(2)


def _activation(
    name: str, source: str, reached: NDArray[np.int64], bits: int, *, as_bits: bool
) -> Threshold:
    """Activation whose threshold k is reached from ``reached[row, k]`` on.

    Args:
        as_bits: one-bit outputs are 0 and 1 instead of -1 and +1.
    """
    ascending = np.sort(reached, axis=1)
    if bits == 2:
        return Threshold(name, source, ascending, TERNARY, base=-1, step=1)
    if as_bits:
        return Threshold(name, source, ascending, UINT(1))
    return Threshold(name, source, ascending, BIPOLAR, base=-1, step=2)


def _last_dot(name: str, source: str, weights: NDArray[np.int64], network: OriginalNetwork) -> Dot:
    """The scores: a count of equal bits (inputs 0 and 1), or a signed sum."""
    counts = network.activation_bits == 1
    return Dot(
        name,
        source,
        weights,
        _weight_precision(weights, network.weight_bits),
        bias=(weights < 0).sum(axis=1) if counts else None,
        accumulator_bits=ACCUMULATOR_BITS,
    )


def _hidden(
    network: OriginalNetwork, index: int, parsed: Parsed, source: str
) -> tuple[list[Op], str]:
    """Operations of one hidden layer, and the name of its output."""
    layer, (weights, raw) = network.layers[index], parsed[index]
    used, pads = weights[:, : layer.used_columns], weights[:, layer.used_columns :]
    ops: list[Op] = []
    if layer.convolution:
        ops.append(Window(f"window{index}", source, (3, 3)))
        source = f"window{index}"
    ops.append(
        Dot(
            f"dot{index}",
            source,
            used,
            _weight_precision(weights, network.weight_bits),
            accumulator_bits=ACCUMULATOR_BITS,
        )
    )
    # Pad inputs are -1 throughout: they take the sum of the pad weights off the accumulator.
    pad = -pads.sum(axis=1, keepdims=True)
    if network.is_cnv and index == 0:
        reached = (raw >> 1) + 1  # T < 2 * sum
    elif network.activation_bits == 1:
        reached = 2 * raw - layer.columns + 1 - pad  # T < (columns + sum) / 2
    else:
        reached = raw + 1 - pad  # T < sum
    before_last = index == len(network.layers) - 2
    ops.append(
        _activation(
            f"act{index}", f"dot{index}", reached, network.activation_bits, as_bits=before_last
        )
    )
    if layer.pool:
        ops.append(Pool(f"pool{index}", f"act{index}", (2, 2), (2, 2)))
        return ops, f"pool{index}"
    return ops, f"act{index}"


def _body(network: OriginalNetwork, parsed: Parsed, source: str) -> tuple[list[Op], str]:
    """All layers up to the scores, and the name of these."""
    ops: list[Op] = []
    for index in range(len(parsed) - 1):
        made, source = _hidden(network, index, parsed, source)
        ops += made
    scores = f"dot{len(parsed) - 1}"
    ops.append(_last_dot(scores, source, parsed[-1][0], network))
    return ops, scores


def _cnv(network: OriginalNetwork, parsed: Parsed) -> Program:
    ops, scores = _body(network, parsed, "input")
    given = PictureInput((32, 32, 3), INT(8), fixed_point_table())
    return Program(given, tuple(ops), scores)


def _lfc(network: OriginalNetwork, parsed: Parsed) -> Program:
    """LFC ends in one bit per class; the highest that fires is the class (section 5)."""
    ops, scores = _body(network, parsed, "pixels")
    bits = Threshold("fired", scores, parsed[-1][1] + 1, UINT(1))
    return Program(
        PictureInput((28, 28, 1), BIPOLAR, sign_table()),
        (
            Window("pixels", "input", (28, 28)),
            *ops,
            bits,
            ArgMax("class", "fired", "highest-positive"),
        ),
        scores,
        decision="class",
    )


def sets_under(root: Path, network: str) -> dict[str, Path]:
    """Data set name -> parameter set of ``network`` under ``root``, in order of names.

    A set is ``<root>/<dataset>/<network>/`` or ``<root>/<dataset>-<network>.tar.xz``.
    """
    found: dict[str, Path] = {}
    ending = f"-{network}.tar.xz"
    for entry in sorted(root.iterdir()) if root.is_dir() else ():
        if (entry / network).is_dir():
            found.setdefault(entry.name, entry / network)
        elif entry.name.endswith(ending) and entry.is_file():
            found.setdefault(entry.name[: -len(ending)], entry)
    return found

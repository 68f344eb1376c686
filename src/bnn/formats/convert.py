# SPDX-License-Identifier: BSD-3-Clause
"""From another framework's file to a model, and from a model to other formats.

Each format has a module in :mod:`bnn.formats`. This module recognises the format of a file, calls
the format's module to read it, and lowers and checks the network. Nothing in a file is executed,
and nothing is written before all checks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bnn.errors import (
    BnnError,
    FormatError,
    NetworkError,
    ParameterError,
    UnknownNameError,
)
from bnn.formats.grids import grid
from bnn.formats.report import Converted, Report
from bnn.lower import lower
from bnn.model.file import SUFFIX
from bnn.model.model import Model
from bnn.network.network import Network
from bnn.network.topology import Topology
from bnn.system import archives
from bnn.system.files import read_file

#: Formats that are read, and those that are written.
SOURCES = ("bnn-pynq", "brevitas", "chainer", "keras", "lstm-pynq", "qonnx", "theano")
TARGETS = ("bnn-pynq", "c", "qonnx")

Rounding = Literal["exact", "original"]
Path_ = str | os.PathLike[str]


@dataclass(frozen=True)
class Options:
    """Options of a conversion: what the source file does not specify.

    Attributes:
        topology: order of layers and precisions, or the name of a network in
            :mod:`bnn.network.zoo`, or the path of a TOML file (:mod:`bnn.network.topology`);
            for Keras weights, the path of the JSON of their architecture.
        classes: names of the classes, in order; numbers by default.
        input: the values of an input that the file does not quantize, a name of
            :func:`bnn.formats.grids.grid`.
        rounding: how thresholds of a Theano archive are rounded: ``exact``, or ``original`` as
            the original's own tool rounded them.
        quantizers: meanings of the user's own functions in a Keras file: pairs (name in the file,
            name of a known activation or quantizer), such as ``("my>bsign", "ste_sign")``. No
            code is run.
        flipped: whether the kernels of a Theano archive are applied rotated by 180 degrees, which
            is Lasagne's default. The original's networks do not rotate them.
    """

    topology: Topology | str | None = None
    classes: Sequence[str] | None = None
    input: str | None = None
    rounding: Rounding = "exact"
    flipped: bool = False
    quantizers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Conversion:
    """A converted model.

    Attributes:
        model: the converted model.
        report: which layers were read, what was not used, and what was not kept.
        network: the trained network that was lowered; None if the source contains
            integers already (the original's folders, ``rounding="original"``).
    """

    model: Model
    report: Report
    network: Network | None = None


def convert(
    source: Path_, source_format: str | None = None, options: Options | None = None
) -> Conversion:
    """Convert a file or folder of another framework to a model.

    Args:
        source: the file, or a parameter folder of BNN-PYNQ.
        source_format: one of :data:`SOURCES`; by default recognised by the content.
        options: what the file does not specify.

    Raises:
        FormatError, ParameterError, NetworkError, ProgramError: the file is damaged, or
            something in it cannot be converted; the message names it in one line.
    """
    path, options = Path(source), options or Options()
    name = source_format or recognise(path)
    _check_options(path, name, options)
    try:
        return _read(path, name, options)
    except (FormatError, ParameterError):
        if source_format is not None:
            _check_named(path, source_format)
        raise


def _read(path: Path, name: str, options: Options) -> Conversion:
    if name == "bnn-pynq":
        return _original(path, options)
    if name == "lstm-pynq":
        return _lines(path, options)
    if name == "theano" and options.rounding == "original":
        return _theano_rounded(path, options)
    reader = _READERS.get(name)
    if reader is None:
        raise FormatError(f"no such format: {name!r}; there are {', '.join(SOURCES)}")
    try:
        converted = reader(path, options)
    except NetworkError as error:  # the network refused a layer; add the file's name
        if any(str(name) in str(error) for name in (path, options.topology) if name is not None):
            raise
        raise NetworkError(f"{path}: {error}") from None
    if options.input is not None and not converted.report.assumed:
        raise FormatError(f"{path}: quantizes its input itself; do not use --input")
    try:
        return _lowered(converted, options.classes, path.stem, {"format": name, "file": path.name})
    except BnnError as error:
        raise type(error)(f"{path}: {error}") from None


def _check_named(path: Path, given: str) -> None:
    """Raise an error with the true format of a file that could not be read as ``given``."""
    try:
        found = recognise(path)
    except (FormatError, ParameterError):
        return
    if found != given:
        raise FormatError(f"{path}: is not a {given} file but a {found} one; remove --from {given}")


#: Options that each format takes (all formats take the names of the classes).
_TAKEN: dict[str, frozenset[str]] = {
    "bnn-pynq": frozenset({"topology"}),
    "brevitas": frozenset({"topology", "input"}),
    "chainer": frozenset({"topology", "input"}),
    "keras": frozenset({"topology", "input", "quantizers"}),
    "lstm-pynq": frozenset(),
    "qonnx": frozenset({"input"}),
    "theano": frozenset({"topology", "rounding", "flipped"}),
}


def _check_options(path: Path, source: str, options: Options) -> None:
    """Refuse options that have no effect for this format."""
    for item in fields(options):
        name = item.name
        if name == "classes" or source not in _TAKEN or name in _TAKEN[source]:
            continue
        if getattr(options, name) != item.default:
            takers = ", ".join(sorted(key for key, taken in _TAKEN.items() if name in taken))
            spelled = {"quantizers": "quantizer", "topology": "topology (or --architecture)"}
            option = spelled.get(name, name)
            raise FormatError(f"{path}: --{option} is for {takers}, not for {source}; remove it")


def convert_module(
    module: Any,
    classes: Sequence[str] | None = None,
    *,
    example: Any = None,
    input: str | None = None,  # noqa: A002 (as in Options)
) -> Conversion:
    """Convert a live PyTorch module to a model.

    Brevitas' own bnn_pynq networks (TFC, SFC, LFC, CNV) need no ``example``. Any other module, of
    Brevitas or plain, is exported to an ONNX graph with ``example``; the graph is read, and the
    network's outputs are compared with the module's own. This needs PyTorch and the onnx package,
    and Brevitas for Brevitas' modules.

    Args:
        module: a ``torch.nn.Module``.
        classes: names of the classes, in order; numbers by default.
        example: inputs of the module (N, ...), a tensor or an array; all of them are compared.
        input: if the module does not quantize its input: the values that occur, a name of
            :func:`bnn.formats.grids.grid`.

    Raises:
        FormatError, NetworkError: the module cannot be traced or converted, or its outputs differ
            from those of the network that was read.
    """
    from bnn.formats.brevitas import read as brevitas

    name = type(module).__name__
    if example is not None:
        from bnn.formats import live_module

        found = live_module.from_any(module, example, input)
        return _lowered(found, classes, name, {"format": "pytorch"})
    try:
        return _lowered(brevitas.from_module(module), classes, name, {"format": "brevitas"})
    except FormatError as error:
        raise FormatError(
            f"{error}; or give inputs of the module as example=, so that it can be traced"
        ) from None


def _lowered(
    converted: Converted, names: Sequence[str] | None, name: str, origin: dict[str, Any]
) -> Conversion:
    program = lower(converted.network)
    classes = _classes(converted, names, program.classes)
    origin = {**origin, "not kept": list(converted.report.lost)}
    if converted.report.assumed:
        origin["input"] = f"{converted.report.assumed}: {grid(converted.report.assumed).meaning}"
    if converted.report.approximate:
        origin["approximate"] = list(converted.report.approximate)
    model = Model(program, classes, None, origin, name)
    model = replace(model, preprocess=_preprocess(model))
    return Conversion(model, converted.report, converted.network)


def recognise(path: Path) -> str:
    """Return the format of a file or folder, recognised by its content.

    Raises:
        FormatError: the file cannot be read, or has none of the formats in :data:`SOURCES`.
    """
    from bnn.formats import lstm_pynq
    from bnn.formats.brevitas import torch_file

    if lstm_pynq.is_source(path):
        return "lstm-pynq"
    if path.is_dir():
        return "bnn-pynq"
    try:
        with archives.size_checked(path).open("rb") as file:
            head = file.read(264)
    except OSError as reason:
        raise FormatError(f"{path}: cannot be read: {reason.strerror}") from reason
    if head.startswith(b"PK"):
        return _recognise_zip(path)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    if head.startswith((b"\xfd7zXZ\x00", b"\x1f\x8b", b"BZh")) or head[257:262] == b"ustar":
        return "bnn-pynq"
    if head.startswith(torch_file.OLD):
        return "brevitas"
    if path.suffix == ".onnx" or (head[:1] == b"\x08" and b"onnx" in head):
        return "qonnx"
    if head.lstrip().startswith(b"{"):
        raise FormatError(
            f"{path}: is JSON and has no weights; if it is the architecture of a Keras model, "
            f"convert the file of its weights: bnn convert WEIGHTS.h5 --architecture {path}"
        )
    raise FormatError(f"{path}: is in none of the formats {', '.join(SOURCES)}")


def _recognise_zip(path: Path) -> str:
    from bnn.formats import chainer
    from bnn.formats.brevitas import torch_file

    names = archives.members(path)
    arrays = [name[:-4] for name in names if name.endswith(".npy")]
    if "config.json" in names:
        return "keras"
    if torch_file.is_checkpoint(names):
        return "brevitas"
    if chainer.recognises(arrays):
        return "chainer"
    if any(name.startswith("arr_") for name in arrays):
        return "theano"
    raise FormatError(f"{path}: is a zip archive in none of the formats {', '.join(SOURCES)}")


# --- readers -------------------------------------------------------------------------


def _keras(path: Path, options: Options) -> Converted:
    from bnn.formats.keras import read as keras
    from bnn.formats.keras.told import checked

    given = options.topology
    if given is not None and not _is_json(given):
        shown = given.name if isinstance(given, Topology) else given
        raise FormatError(
            f"{path}: {shown!r} is not the architecture of a Keras model; give the JSON that "
            "model.to_json() returns as --architecture FILE"
        )
    told = checked(options.quantizers)
    return keras.read(path, options.input, None if given is None else str(given), told)


def _is_json(given: Topology | str) -> bool:
    """Whether ``given`` is the path of a file with a JSON object, whatever its name."""
    if isinstance(given, Topology):
        return False
    try:
        return read_file(given, 1 << 26, FormatError).lstrip()[:1] == b"{"
    except FormatError:
        if os.path.lexists(given) or given.endswith(".json"):
            raise
        return False  # the name of a network


def _qonnx(path: Path, options: Options) -> Converted:
    from bnn.formats.qonnx import read as qonnx

    return qonnx.read(path, options.input)


def _chainer(path: Path, options: Options) -> Converted:
    from bnn.formats import chainer

    topology = None if options.topology is None else _topology(options)
    return chainer.read(path, topology, options.input)


def _brevitas(path: Path, options: Options) -> Converted:
    from bnn.formats.brevitas import read as brevitas

    given = options.topology
    if isinstance(given, str) and _is_file(given):
        given = _topology(options)
    return brevitas.read(path, given, options.input)


def _theano(path: Path, options: Options) -> Converted:
    from bnn.formats.theano import archive as theano_npz

    return theano_npz.read(path, _theano_topology(options), flipped=options.flipped)


_READERS: dict[str, Callable[[Path, Options], Converted]] = {
    "keras": _keras,
    "qonnx": _qonnx,
    "chainer": _chainer,
    "brevitas": _brevitas,
    "theano": _theano,
}


def _original(path: Path, options: Options) -> Conversion:
    from bnn.formats import bnn_pynq

    network = options.topology if isinstance(options.topology, str) else None
    model = bnn_pynq.load(path, network)
    if options.classes is not None:
        model = replace(model, classes=tuple(options.classes))
    report = Report("bnn-pynq")
    report.used(model.name, f"{len(model.classes)} classes")
    return Conversion(model, report)


def _lines(path: Path, options: Options) -> Conversion:
    from bnn.formats import lstm_pynq

    if options.classes is not None:
        raise FormatError(f"{path}: has an alphabet of its own; do not use --classes")
    model = lstm_pynq.load(path)
    report = Report("lstm-pynq")
    report.used(model.name, f"{len(model.classes)} classes")
    return Conversion(model, report)


def _theano_rounded(path: Path, options: Options) -> Conversion:
    from bnn.formats.theano import archive as theano_npz

    topology, flipped = _theano_topology(options), options.flipped
    trained = theano_npz.open_archive(path, topology, flipped=flipped)
    model = theano_npz.load(path, topology, options.classes, "original", flipped=flipped)
    trained.report.lost.append(
        "thresholds are rounded as the original's tool did: not exactly what was trained"
    )
    return Conversion(model, trained.report)


def _theano_topology(options: Options) -> Topology | str | None:
    """Return the network's name (also ``lfc`` or ``cnv``), or the topology of a TOML file."""
    if options.topology is None:
        return None
    if isinstance(options.topology, str) and not _is_file(options.topology):
        return options.topology
    return _topology(options)


def _topology(options: Options) -> Topology:
    from bnn.network import topology, zoo

    given = options.topology
    if isinstance(given, Topology):
        return given
    assert given is not None
    if _is_file(given):
        return topology.load(given)
    count = 10 if options.classes is None else len(options.classes)
    return zoo.topology(f"{given}-w1a1" if given in ("lfc", "cnv") else given, count)


def _is_file(given: str) -> bool:
    """Whether a topology is the path of a TOML file, not the name of a network."""
    from bnn.network.zoo import canonical

    if given.endswith(".toml"):
        return True
    try:
        canonical(given)
    except UnknownNameError:
        return given not in ("lfc", "cnv") and Path(given).is_file()
    return False


def _classes(converted: Converted, given: Sequence[str] | None, count: int) -> tuple[str, ...]:
    names = given if given is not None else converted.classes
    if names is None:
        return tuple(map(str, range(count)))
    if len(names) != count:
        raise FormatError(f"{len(names)} class names were given for {count} classes")
    return tuple(names)


def read_classes(path: Path_) -> tuple[str, ...]:
    """Read class names from a text file, one per line (specification, section 3).

    Raises:
        FormatError: the file cannot be read, has no names, has a line without a name, or has a
            name twice.
    """
    from bnn.formats.bnn_pynq import parse_classes

    try:
        names = parse_classes(read_file(path, 1 << 20, FormatError).decode())
    except (UnicodeDecodeError, ParameterError):
        raise FormatError(f"{path}: is not a text file in UTF-8") from None
    while names and not names[-1]:  # blank lines at the end
        names = names[:-1]
    if not names:
        raise FormatError(f"{path}: has no class names")
    if not all(names):
        line = names.index("") + 1
        raise FormatError(f"{path}: line {line} has no class name; write one name per line")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FormatError(
            f"{path}: has the class {twice[0]!r} twice; give each class a name of its own"
        )
    return names


def parse_folding(text: str) -> tuple[tuple[int, int], ...]:
    """Return (PE, SIMD) of every layer from a text such as ``32x64,64x32,32x64,16x8``.

    Raises:
        FormatError: ``text`` is not a list of such pairs.
    """
    pairs = []
    for part in text.split(","):
        sizes = part.strip().split("x")
        if len(sizes) != 2 or not all(size.isdecimal() and len(size) < 6 for size in sizes):
            raise FormatError(f"a folding is PExSIMD of every layer, as 32x64,64x32, not {text!r}")
        pairs.append((int(sizes[0]), int(sizes[1])))
    return tuple(pairs)


# --- pictures ------------------------------------------------------------------------


def _preprocess(model: Model) -> Any:
    from bnn.data.pictures.preprocess import Digit, Stretch, Thumbnail
    from bnn.program.inputs import PictureInput

    given = model.program.input
    shape = given.shape
    if not isinstance(given, PictureInput) or len(shape) != 3 or shape[2] not in (1, 3):
        return None
    return {(28, 28, 1): Digit(), (32, 32, 3): Thumbnail()}.get(shape, Stretch())


_MAPPINGS = ("unit", "symmetric", "bytes")


def check_mapping(mapping: str, given_input: str | None = None) -> None:
    """Check the argument ``mapping`` of :func:`taking_pictures`, and that ``--input`` agrees.

    Raises:
        FormatError: ``mapping`` is not ``unit``, ``symmetric`` or ``bytes``; or ``given_input`` is
            one of these three, but not the same one as ``mapping``.
    """
    if mapping not in _MAPPINGS:
        raise FormatError(f"--pictures is unit, symmetric or bytes, not {mapping!r}")
    if given_input in _MAPPINGS and given_input != mapping:
        raise FormatError(
            f"--input {given_input} and --pictures {mapping} contradict each other; give both the "
            "values that the network was trained on"
        )


def rounded_text(model: Model, mapping: str) -> str:
    """Return a note that says by how much the model's input rounds the scaled bytes of pictures."""
    from bnn.program.inputs import RealInput
    from bnn.program.precision import BIPOLAR

    given = model.program.input
    assert isinstance(given, RealInput)
    shape = (256, *(1,) * (len(given.shape) - 1), given.shape[-1])
    values = np.broadcast_to(byte_values(mapping).reshape(256, *(1,) * len(given.shape)), shape)
    coded = given.quantized(values)
    if given.precision == BIPOLAR:
        return f"of the bytes of pictures ({mapping}) the sign alone is used"
    step = 1 / given.scale if given.multiplied else given.scale
    far = float(np.abs((coded - given.zero_point) * step - values).max())
    return (
        f"the bytes of pictures ({mapping}) are rounded to the steps of --input, by up to {far:.3g}"
    )


def taking_pictures(model: Model, mapping: str) -> Model:
    """Return ``model`` with pictures as its input; ``mapping`` says how their bytes are scaled.

    Args:
        model: a model whose input is real values or integers, in the shape of a picture.
        mapping: how bytes are scaled to the values that the model was trained on: ``unit``
            (byte / 255), ``symmetric`` (byte / 127.5 - 1) or ``bytes`` (not scaled).

    Raises:
        FormatError: ``mapping`` is none of the three, the model takes pictures already, its input
            does not have the shape of a picture, or it scales each channel differently.
    """
    from bnn.program.inputs import IntegerInput, PictureInput, RealInput

    check_mapping(mapping)
    given = model.program.input
    if isinstance(given, PictureInput):
        raise FormatError(f"{model.name}: takes pictures already; do not use --pictures")
    if len(given.shape) != 3:
        raise FormatError(f"{model.name}: its input of shape {given.shape} is not a picture")
    table = byte_values(mapping)
    maps = np.broadcast_to(table[:, None, None, None], (256, *given.shape))
    match given:
        case RealInput():
            coded = given.check(maps)
        case IntegerInput():
            coded = given.check(np.rint(maps).astype(np.int64))
    if (coded != coded[:, :1, :1, :1]).any():
        raise FormatError(
            f"{model.name}: its input scales each channel differently, so it cannot take pictures; "
            "remove --pictures, and give it arrays of real values"
        )
    program = replace(
        model.program, input=PictureInput(given.shape, given.precision, coded[:, 0, 0, 0])
    )
    made = replace(model, program=program)
    preprocess = _preprocess(made)
    if preprocess is None:
        raise FormatError(
            f"{model.name}: its input of shape {given.shape} is not a picture; "
            "those have 1 or 3 channels"
        )
    return replace(made, preprocess=preprocess)


def byte_values(mapping: str) -> Any:
    """Return the value that each byte 0 to 255 stands for, float32 (256,).

    ``mapping`` says how bytes are scaled, see :func:`taking_pictures`.
    """
    byte = np.arange(256, dtype=np.float32)
    match mapping:
        case "unit":
            return byte / np.float32(255)
        case "symmetric":
            return byte / np.float32(127.5) - np.float32(1)
    return byte


# --- writing -------------------------------------------------------------------------


def export(
    model: Model,
    target: str,
    out: Path_,
    folding: Sequence[tuple[int, int]] | None = None,
    fires_at: float | None = None,
) -> tuple[str, ...]:
    """Write ``model`` to another format.

    Args:
        model: any model for ``qonnx`` and ``c``; one of the original's five networks for
            ``bnn-pynq``.
        target: one of :data:`TARGETS`.
        out: a file for ``qonnx``, a new folder for ``bnn-pynq`` and ``c``.
        folding: (PE, SIMD) of every layer, for ``bnn-pynq``; the original's by default.
        fires_at: see :func:`bnn.formats.bnn_pynq.save`.

    Returns:
        Notes on what the format cannot express, one line each.

    Raises:
        FormatError, ParameterError, ModelFileError: the format cannot express the model, or ``out``
            cannot be written; no partial file remains.
    """
    check_export(target, out, folding, fires_at)
    if target == "bnn-pynq":
        from bnn.formats import bnn_pynq

        return bnn_pynq.save(model, out, folding, fires_at=fires_at)
    if target == "c":
        from bnn.formats import c

        return c.save(model, out)
    from bnn.formats.qonnx import write as qonnx_write

    return qonnx_write.save(model, out)


def check_export(
    target: str, out: Path_, folding: object | None = None, fires_at: float | None = None
) -> None:
    """Check the arguments of :func:`export` before a model is read.

    Raises:
        FormatError: ``target`` is not a format, does not take one of the options, or ``out`` is
            not a name that this format can have.
    """
    if target not in TARGETS:
        raise FormatError(f"no such format to write: {target!r}; there are {', '.join(TARGETS)}")
    if target == "bnn-pynq":
        return
    if folding is not None:
        raise FormatError(f"--to {target} takes no folding; --folding is for --to bnn-pynq")
    if fires_at is not None:
        raise FormatError(f"--to {target} takes no --fires-at; it is for --to bnn-pynq")
    if target == "qonnx" and Path(out).suffix == SUFFIX:
        raise FormatError(f"{out}: {SUFFIX} is for models of this package; call it .onnx")
    if target == "c":
        from bnn.formats import c

        c.check_folder(out)

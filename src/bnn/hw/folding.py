# SPDX-License-Identifier: BSD-3-Clause
"""Folding: how many rows, columns and positions of each matrix are computed per cycle.

A folding is not a part of the program: with another folding the same program becomes other
hardware, with other speed and size, but with the same scores. Files have the format of FINN's
folding configuration: a JSON object with one key per node.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bnn.errors import BuildError
from bnn.hw.blocks.block import divisors
from bnn.hw.flat import Circuit, flat
from bnn.program.inputs import PictureInput
from bnn.program.operations import Dot
from bnn.program.program import Program
from bnn.system.files import parse_json, read_file

#: Most bytes of a file; usual files have some thousands.
MAX_FILE_BYTES = 1 << 22
#: Largest depth of a FIFO in words; largest PE, SIMD, pixels or rows.
_MAX_DEPTH, _MAX_PARALLEL = 1 << 20, 1 << 16
STYLES = ("auto", "block", "distributed")
#: Which streams have a probe (``bnn_probe``): none; the two from and to memory; all.
PROBES = ("none", "ends", "all")
#: How images are stored in memory (:mod:`bnn.hw.memory_layout`): as the input needs, bytes, packed.
INPUTS = ("auto", "bytes", "packed")
#: How results are stored in memory (:mod:`bnn.hw.memory_layout`).
OUTPUTS = ("auto", "int32", "packed")


@dataclass(frozen=True)
class LayerFolding:
    """The folding of one matrix.

    Attributes:
        pe, simd, pixels: rows, columns and positions that are computed per cycle.
        rows: only for the last layer: its number of rows with padding; 0: the number of rows
            rounded up to a multiple of ``pe``.
        style: memory style of the weights, one of :data:`STYLES`.
    """

    pe: int = 1
    simd: int = 1
    pixels: int = 1
    rows: int = 0
    style: str = "auto"


@dataclass(frozen=True)
class Folding:
    """The folding of a whole program, and other choices for its hardware.

    Attributes:
        layers: name of each dot -> its folding.
        loadable: True: parameters are written at run time; False: they are constants of the
            circuit.
        fifos: name of a block -> depth in words of the FIFO that is added after the block; if the
            block is a FIFO itself, the depth of this FIFO instead of the depth that the design
            chooses.
        probes: which streams have a probe, which counts words and stalls while the design runs; one
            of :data:`PROBES`. Probes need cells, but change neither scores nor cycles.
        input: how images are stored in memory, one of :data:`INPUTS`. ``auto``: bytes for pictures,
            packed by the host for other inputs and for pictures of fewer than 8 bytes.
        output: how results are stored, one of :data:`OUTPUTS`. ``auto``: int32 if images are
            pictures and the design is not slower with it, else packed.
    """

    layers: Mapping[str, LayerFolding]
    loadable: bool = False
    fifos: Mapping[str, int] = field(default_factory=dict)
    probes: str = "none"
    input: str = "auto"
    output: str = "auto"

    def of(self, name: str) -> LayerFolding:
        """Return the folding of the dot ``name``."""
        if name not in self.layers:
            raise BuildError(f"the folding has no layer {name!r}")
        return self.layers[name]


def dots(program: Program) -> list[Dot]:
    """Return the dots of a program, in order; :mod:`bnn.hw.flat` names those in scans."""
    return [op for op in flat(program).ops if isinstance(op, Dot)]


def cycles(program: Program | Circuit, dot: Dot, fold: LayerFolding) -> int:
    """Return the cycles that the matrix of ``dot`` takes for an image with the folding ``fold``."""
    height, width, _ = program.edges[dot.name].shape
    rows, columns = map(int, dot.weights.shape)
    groups = -(-height * width // fold.pixels)
    return groups * -(-max(rows, fold.rows) // fold.pe) * -(-columns // fold.simd)


def balanced(program: Program, target: int = 1024, *, loadable: bool = False) -> Folding:
    """Return a folding with which each matrix takes at most ``target`` cycles per image.

    Each matrix gets the smallest PE * SIMD that is fast enough; SIMD is a divisor of the input
    channels, at most 256. A matrix that cannot be so fast gets the fastest of these foldings.
    """
    whole = flat(program)
    return Folding({dot.name: _least(whole, dot, target) for dot in dots(program)}, loadable)


def _least(program: Program | Circuit, dot: Dot, target: int) -> LayerFolding:
    rows = dot.weights.shape[0]
    channels = program.edges[dot.source].shape[2]
    widths = [d for d in divisors(channels) if d <= 256]
    choices = [LayerFolding(pe, simd) for pe in divisors(rows) for simd in widths]
    fast = [c for c in choices if cycles(program, dot, c) <= target]
    if not fast:
        return min(choices, key=lambda c: cycles(program, dot, c))
    # The smallest circuit; of equal ones the widest, because columns cost less than rows.
    return min(fast, key=lambda c: (c.pe * c.simd, c.pe))


#: Shapes (rows, columns) of the original's engines and their (PE, SIMD): specification, section 1.
_CNV_SHAPES = (
    *((64, 27), (64, 576), (128, 576), (128, 1152), (256, 1152), (256, 2304)),
    *((512, 256), (512, 512), (64, 512)),
)
_LFC_SHAPES = ((1024, 784), (1024, 1024), (1024, 1024), (64, 1024))
_CNV_1 = ((16, 3), (32, 32), (16, 32), (16, 32), (4, 32), (1, 32), (1, 4), (1, 8), (4, 1))
_CNV_2 = ((8, 3), (16, 16), (8, 16), (8, 16), (4, 8), (1, 8), (1, 2), (2, 2), (4, 1))
_LFC = ((32, 64), (64, 32), (32, 64), (16, 8))
_ORIGINAL = ((_CNV_SHAPES, 1, _CNV_1), (_CNV_SHAPES, 2, _CNV_2), (_LFC_SHAPES, 1, _LFC))


def original(program: Program) -> Folding:
    """Return the original's folding of ``program``: loadable, 64 rows in the last layer.

    Raises:
        BuildError: the layers are not those of LFC, CNV-W1A1, CNV-W1A2 or CNV-W2A2.
    """
    layers = dots(program)
    shapes = [dot.weights.shape for dot in layers]
    for wanted, bits, folds in _ORIGINAL:
        fits = len(shapes) == len(wanted) and shapes[:-1] == list(wanted[:-1])
        if (
            fits
            and shapes[-1][1] == wanted[-1][1]
            and shapes[-1][0] <= 64
            and layers[0].precision.bits == bits
        ):
            chosen = {
                dot.name: LayerFolding(*fold) for dot, fold in zip(layers, folds, strict=True)
            }
            last = layers[-1].name
            chosen[last] = replace(chosen[last], rows=64)
            return Folding(chosen, loadable=True)
    raise BuildError(
        "there is an original folding for LFC and CNV only; this model's layers are "
        + ", ".join(f"{rows}x{columns}" for rows, columns in shapes)
    )


_FINN_MATRIX = re.compile(
    r"(?:MVAU|MatrixVectorActivation|StreamingFCLayer_Batch)\w*?_([0-9]{1,6})"
)
#: FINN nodes that are ignored: their folding follows from the folding of the matrices.
_FINN_OTHER = re.compile(
    r"(?:ConvolutionInputGenerator|StreamingFIFO|StreamingDataWidthConverter|StreamingMaxPool|FMPadding"
    r"|LabelSelect|Thresholding|IODMA|AddStreams|DuplicateStreams|ChannelwiseOp|Pool|Defaults)\w*"
)
_KEYS = {"PE": "pe", "SIMD": "simd", "pixels": "pixels", "MMV": "pixels", "rows": "rows"}
_FINN_ATTRIBUTES = {
    *("mem_mode", "resType", "runtime_writeable_weights", "inFIFODepths", "outFIFODepths"),
    *("preferred_impl_style", "mac_resource", "M"),
}


def read(path: Path, program: Program) -> Folding:
    """Return the folding in a JSON file in the format of FINN's folding configuration.

    A layer's key is the name of its dot, or ``MVAU_hls_<n>`` for the dot with number n:
    ``{"Defaults": {}, "dot0": {"PE": 16, "SIMD": 3, "pixels": 1, "ram_style": "block"}, ...}``.
    Three keys are not FINN's: ``"loadable": true`` makes parameters loadable, ``"fifos": {"dot0":
    64}`` adds FIFOs, ``"probes": "all"`` puts a probe on every stream.

    Raises:
        BuildError: the file cannot be read, has a mistake, or is for other layers.
    """
    try:
        given = parse_json(read_file(path, MAX_FILE_BYTES, BuildError))
    except ValueError as reason:
        raise BuildError(f"{path}: this folding cannot be read: {reason}") from reason
    if not isinstance(given, dict):
        raise BuildError(f"{path}: a folding must be a JSON object, such as bnn plan -o writes")
    names = [dot.name for dot in dots(program)]
    fifos = _fifos(path, given.pop("fifos", {}))
    loadable = given.pop("loadable", False)
    if not isinstance(loadable, bool):
        raise BuildError(f"{path}: key 'loadable' must be true or false")
    probes = check_probes(given.pop("probes", "none"), f"{path}: key 'probes'")
    stored = check_input(given.pop("input", "auto"), f"{path}: key 'input'")
    results = check_output(given.pop("output", "auto"), f"{path}: key 'output'")
    layers: dict[str, LayerFolding] = {}
    foreign = []
    for key, values in given.items():
        name = _layer(key, names)
        if name in layers:
            raise BuildError(f"{path}: key {key!r}: another key is for layer {name!r} too")
        if name is not None:
            layers[name] = _layer_folding(path, key, values)
        elif not _FINN_OTHER.fullmatch(key):
            foreign.append(key)
    if foreign:
        raise BuildError(_foreign(path, foreign, names))
    missing = [name for name in names if name not in layers]
    if missing:
        raise BuildError(f"{path}: no key for layer {missing[0]!r}")
    return Folding(layers, loadable, fifos, probes, stored, results)


def check_probes(given: Any, what: str) -> str:
    """Return ``given`` if it is one of :data:`PROBES`, else raise a BuildError about ``what``."""
    if given not in PROBES:
        raise BuildError(f"{what} must be one of {', '.join(PROBES)}, not {given!r:.40}")
    return str(given)


def check_input(given: Any, what: str) -> str:
    """Return ``given`` if it is one of :data:`INPUTS`, else raise a BuildError about ``what``."""
    if given not in INPUTS:
        raise BuildError(f"{what} must be one of {', '.join(INPUTS)}, not {given!r:.40}")
    return str(given)


def check_output(given: Any, what: str) -> str:
    """Return ``given`` if it is one of :data:`OUTPUTS`, else raise a BuildError about ``what``."""
    if given not in OUTPUTS:
        raise BuildError(f"{what} must be one of {', '.join(OUTPUTS)}, not {given!r:.40}")
    return str(given)


def _fifos(path: Path, given: Any) -> dict[str, int]:
    if not isinstance(given, dict):
        raise BuildError(f"{path}: key 'fifos' must hold an object")
    for name, depth in given.items():
        if type(depth) is not int or not 1 <= depth <= _MAX_DEPTH:
            raise BuildError(
                f"{path}: key fifos.{name} must be a whole number from 1 to {_MAX_DEPTH}"
            )
    return given


def _layer(key: str, names: list[str]) -> str | None:
    """Return the name of the layer that a key of a folding file stands for; None if there is none.

    A key is a layer's name, or the name of FINN's node with the layer's number.
    """
    if key in names:
        return key
    match = _FINN_MATRIX.fullmatch(key)
    return names[int(match[1])] if match and int(match[1]) < len(names) else None


def _foreign(path: Path, keys: list[str], names: list[str]) -> str:
    """Return an error message for keys that are not layers of this model."""
    many = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    what = "is not a layer" if len(keys) == 1 else "are not layers"
    return (
        f"{path}: key {keys[0]!r}{many} {what} of this model; is it a folding of another model? "
        f"Its layers are: {', '.join(names)}"
    )


def _layer_folding(path: Path, key: str, values: Any) -> LayerFolding:
    if not isinstance(values, dict):
        raise BuildError(f"{path}: key {key!r} must hold an object")
    numbers = {}
    style = "auto"
    for item, value in values.items():
        if item == "ram_style":
            if value not in STYLES:
                raise BuildError(f"{path}: key {key}.{item} must be one of {', '.join(STYLES)}")
            style = value
        elif item in _KEYS:
            if type(value) is not int or not 1 <= value <= _MAX_PARALLEL:
                raise BuildError(
                    f"{path}: key {key}.{item} must be a whole number from 1 to {_MAX_PARALLEL}"
                )
            numbers[_KEYS[item]] = value
        elif item not in _FINN_ATTRIBUTES:
            raise BuildError(f"{path}: key {key}.{item} is unknown")
    return LayerFolding(**numbers, style=style)


def as_json(folding: Folding) -> dict[str, Any]:
    """Return the folding as the JSON value of a file that :func:`read` can read."""
    layers = {
        name: {
            "PE": f.pe,
            "SIMD": f.simd,
            "pixels": f.pixels,
            **({"rows": f.rows} if f.rows else {}),
            "ram_style": f.style,
        }
        for name, f in folding.layers.items()
    }
    fifos = {"fifos": dict(folding.fifos)} if folding.fifos else {}
    choices = {
        "loadable": folding.loadable,
        "probes": folding.probes,
        "input": folding.input,
        "output": folding.output,
    }
    return {**choices, **fifos, **layers}


def restricted(whole: Folding, program: Program) -> Folding:
    """Return the folding of a part of a program: that of its dots, without the FIFOs' depths.

    Args:
        whole: the folding of the whole program.
        program: the part, whose dots have the names that they have in the whole.
    """
    layers = {dot.name: whole.of(dot.name) for dot in dots(program)}
    # Only the first part has the input of the whole.
    stored = whole.input if isinstance(program.input, PictureInput) else "auto"
    return replace(whole, layers=layers, fifos={}, input=stored, output="auto")


def bundled() -> dict[str, Path]:
    """Return the paths of the bundled foldings, by name; see docs/hardware.md, "Records"."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "foldings").glob("*.json"))}


def choose(program: Program, given: Folding | str | os.PathLike[str] | None) -> Folding:
    """Return the folding that ``given`` means, the value of the option ``--folding``.

    Args:
        program: the program.
        given: a folding, ``original``, the name of a bundled folding, or the path of a JSON file;
            None: the original's folding if the program has one, else a small balanced folding.
    """
    if isinstance(given, Folding):
        return given
    if given is None:
        try:
            return original(program)
        except BuildError:
            return balanced(program)
    if given == "original":
        return original(program)
    path = bundled().get(os.fspath(given), Path(given))
    if path.suffix != ".json" and not path.exists():
        raise BuildError(
            f"{path}: no such folding; there are original, {', '.join(bundled())}, and JSON files"
        )
    return read(path, program)

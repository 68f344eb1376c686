# SPDX-License-Identifier: BSD-3-Clause
"""Folding: how many rows, columns and positions of each matrix are computed per cycle.

A choice apart from the program: the same program with another folding is other hardware with
the same scores. Files are FINN's folding configuration: JSON objects keyed by node name.
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
from bnn.program.operations import Dot
from bnn.program.program import Program
from bnn.system.files import parse_json, read_file

#: Most bytes of a file; usual ones have some thousands.
MAX_FILE_BYTES = 1 << 22
STYLES = ("auto", "block", "distributed")
#: Which streams have a probe (``bnn_probe``): none; those at both ends of the memory; all.
PROBES = ("none", "ends", "all")


@dataclass(frozen=True)
class LayerFolding:
    """The folding of one matrix.

    Attributes:
        pe, simd, pixels: rows, columns, positions per cycle.
        rows: number of rows to which the last layer is padded; 0: the next multiple of ``pe``.
        style: memory style of the weights, one of :data:`STYLES`.
    """

    pe: int = 1
    simd: int = 1
    pixels: int = 1
    rows: int = 0
    style: str = "auto"


@dataclass(frozen=True)
class Folding:
    """The folding of every dot of a program, by the dot's name.

    Attributes:
        loadable: parameters are written at run time; otherwise they are constants.
        fifos: name of a block -> words of the FIFO after it (of this FIFO, if it is one). It
            replaces the depth that the design chooses.
        probes: streams that are counted while the design runs, one of :data:`PROBES`. A probe
            takes cells, and changes neither scores nor cycles.
    """

    layers: Mapping[str, LayerFolding]
    loadable: bool = False
    fifos: Mapping[str, int] = field(default_factory=dict)
    probes: str = "none"

    def of(self, name: str) -> LayerFolding:
        """Return the folding of the dot ``name``."""
        if name not in self.layers:
            raise BuildError(f"the folding has no layer {name!r}")
        return self.layers[name]


def dots(program: Program) -> list[Dot]:
    """Return the matrices of a program in order."""
    return [op for op in program.ops if isinstance(op, Dot)]


def cycles(program: Program, dot: Dot, fold: LayerFolding) -> int:
    """Return the cycles that a matrix takes for an image."""
    height, width, _ = program.edges[dot.name].shape
    rows, columns = map(int, dot.weights.shape)
    groups = -(-height * width // fold.pixels)
    return groups * -(-max(rows, fold.rows) // fold.pe) * -(-columns // fold.simd)


def balanced(program: Program, target: int = 1024, *, loadable: bool = False) -> Folding:
    """Return the least parallelism for at most ``target`` cycles per image in every matrix.

    A layer that cannot be this fast gets its fastest folding: all rows in parallel, and the
    largest divisor of its input channels up to 256 as columns.
    """
    return Folding({dot.name: _least(program, dot, target) for dot in dots(program)}, loadable)


def _least(program: Program, dot: Dot, target: int) -> LayerFolding:
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
    """Return the original's folding of its five networks: loadable, 64 rows in the last layer."""
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
#: FINN nodes whose folding follows from the matrices' here.
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
    """Return a folding from FINN-style JSON; keys are layer names or FINN's ``MVAU_hls_<n>``.

    ``{"Defaults": {}, "dot0": {"PE": 16, "SIMD": 3, "pixels": 1, "ram_style": "block"}, ...}``;
    ``"loadable": true`` at the top makes parameters loadable, ``"fifos": {"dot0": 64}`` sets FIFOs,
    ``"probes": "all"`` puts a probe on every stream.
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
    return Folding(layers, loadable, fifos, probes)


def check_probes(given: Any, what: str) -> str:
    """Return ``given`` if it is one of :data:`PROBES`; else a BuildError that names ``what``."""
    if given not in PROBES:
        raise BuildError(f"{what} must be one of {', '.join(PROBES)}, not {given!r:.40}")
    return str(given)


def _fifos(path: Path, given: Any) -> dict[str, int]:
    if not isinstance(given, dict):
        raise BuildError(f"{path}: key 'fifos' must hold an object")
    for name, depth in given.items():
        if type(depth) is not int or not 1 <= depth <= 1 << 20:
            raise BuildError(f"{path}: key fifos.{name} must be a whole number from 1")
    return given


def _layer(key: str, names: list[str]) -> str | None:
    """Return the layer that a key names, by our name or by FINN's number."""
    if key in names:
        return key
    match = _FINN_MATRIX.fullmatch(key)
    return names[int(match[1])] if match and int(match[1]) < len(names) else None


def _foreign(path: Path, keys: list[str], names: list[str]) -> str:
    """Return the message for keys that name no layer: mostly a folding of another network."""
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
            if type(value) is not int or not 1 <= value <= 1 << 16:
                raise BuildError(f"{path}: key {key}.{item} must be a whole number from 1")
            numbers[_KEYS[item]] = value
        elif item not in _FINN_ATTRIBUTES:
            raise BuildError(f"{path}: key {key}.{item} is unknown")
    return LayerFolding(**numbers, style=style)


def as_json(folding: Folding) -> dict[str, Any]:
    """Return the folding as plain values, in the form of the files that :func:`read` reads."""
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
    return {"loadable": folding.loadable, "probes": folding.probes, **fifos, **layers}


def restricted(whole: Folding, program: Program) -> Folding:
    """Return the folding of a part of a program: that of its dots, without the FIFOs' depths.

    Args:
        whole: the folding of the whole program.
        program: the part, whose dots have the names that they have in the whole.
    """
    return replace(whole, layers={dot.name: whole.of(dot.name) for dot in dots(program)}, fifos={})


def bundled() -> dict[str, Path]:
    """Return the foldings that come with the package, by name: docs/hardware.md, "Records"."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "foldings").glob("*.json"))}


def choose(program: Program, given: Folding | str | os.PathLike[str] | None) -> Folding:
    """Resolve ``--folding``: a Folding, "original", a bundled name, a JSON file, or None."""
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

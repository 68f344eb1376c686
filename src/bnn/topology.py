# SPDX-License-Identifier: BSD-3-Clause
"""A stack of layers before it is trained: shapes and precisions, no values.

Written in Python with the classes below, or in a short TOML file::

    name = "mine"
    input = [32, 32, 3]          # height, width, channels; or one number of features
    encoding = "fixed-point"     # of the input's bytes: fixed-point, sign or bytes
    weights = "bipolar"          # unless a layer says otherwise
    activations = "bipolar"
    layers = [
      { conv = 64 }, "norm", "act",
      { conv = 64, kernel = [3, 5], stride = 1, padding = 1, weights = "int4n", bias = true },
      { pool = 2 }, "norm", { act = "uint2" },
      { dense = 10 }, { norm = "scalar" },
    ]

The last dense layer's units are the classes. A dense layer on a map flattens it, in the
order row, column, channel. See :mod:`bnn.quantizers` for what a precision means.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnn.check import slid_shape
from bnn.errors import BnnError, NetworkError, ProgramError
from bnn.files import read_file
from bnn.inputs import Shape
from bnn.precision import BIPOLAR, Precision, parse
from bnn.program import Borders, Pair
from bnn.quantizers import ENCODINGS, Encoding

#: A topology file is written by hand; larger ones are refused unread.
MAX_FILE_BYTES = 1 << 20
#: Keys of many parts (a.b.c) take Python's reader quadratic time.
MAX_DOTS = 1 << 12
MAX_LAYERS = 1024
MAX_SIZE = 1 << 16


@dataclass(frozen=True)
class Conv:
    """Convolution; kernel and stride are (vertical, horizontal), padding with zeros."""

    channels: int
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Borders = (0, 0, 0, 0)
    weights: Precision = BIPOLAR
    bias: bool = False


@dataclass(frozen=True)
class Dense:
    """Dense layer."""

    units: int
    weights: Precision = BIPOLAR
    bias: bool = False


@dataclass(frozen=True)
class Pool:
    """Max pool without padding."""

    kernel: Pair = (2, 2)
    stride: Pair = (2, 2)


@dataclass(frozen=True)
class Norm:
    """Batch normalization, with one set of parameters a channel, or one in all."""

    scalar: bool = False
    epsilon: float = 1e-4


@dataclass(frozen=True)
class Act:
    """Activation: quantized hard tanh, or for unsigned precision, ReLU."""

    precision: Precision = BIPOLAR


Layer = Conv | Dense | Pool | Norm | Act


@dataclass(frozen=True)
class Topology:
    """A checked stack; :class:`NetworkError` names the layer that cannot be.

    Attributes:
        name: of the network.
        input: (height, width, channels) or (features,).
        layers: in order.
        encoding: of the input's bytes, see :func:`bnn.quantizers.encoded_input`.
    """

    name: str
    input: Shape
    layers: tuple[Layer, ...]
    encoding: Encoding = "fixed-point"

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise NetworkError(f"{self.name}: a topology has 1 to {MAX_LAYERS} layers")
        if self.encoding not in ENCODINGS:
            raise NetworkError(
                f"{self.name}: encoding is one of {', '.join(ENCODINGS)}, not {self.encoding!r}"
            )
        if len(self.input) not in (1, 3) or any(not 1 <= n <= MAX_SIZE for n in self.input):
            raise NetworkError(f"{self.name}: input is [height, width, channels] or [features]")
        self.shapes()

    @property
    def classes(self) -> int:
        """Units of the last dense layer."""
        return self.shapes()[-1][2]

    def shapes(self) -> list[tuple[int, int, int]]:
        """Shape of the input, then of each layer's result, as (height, width, channels)."""
        first = self.input if len(self.input) == 3 else (1, 1, *self.input)
        shapes = [(first[0], first[1], first[2])]
        quantized = True
        for number, layer in enumerate(self.layers):
            where = f"{self.name}: layers[{number}]"
            if isinstance(layer, Conv | Dense) and not quantized:
                raise NetworkError(f"{where}: an activation must stand before it")
            quantized = isinstance(layer, Act) or (isinstance(layer, Pool) and quantized)
            shapes.append(_result(where, layer, shapes[-1]))
        self._check_end()
        return shapes

    def _check_end(self) -> None:
        last = next((one for one in reversed(self.layers) if not isinstance(one, Norm)), None)
        if not isinstance(last, Dense):
            raise NetworkError(f"{self.name}: it must end with a dense layer, or norm after it")


def _result(where: str, layer: Layer, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        match layer:
            case Conv():
                slid = slid_shape(where, shape, layer.kernel, layer.stride, layer.padding)
                return (*slid[:2], layer.channels)
            case Pool():
                return slid_shape(where, shape, layer.kernel, layer.stride, (0, 0, 0, 0))
            case Dense():
                return (1, 1, layer.units)
            case Norm() | Act():
                return shape
    except ProgramError as error:
        raise NetworkError(str(error)) from None


# --- TOML ----------------------------------------------------------------------------


def load(path: str | Path) -> Topology:
    """The topology in a TOML file.

    Raises:
        NetworkError: it cannot be read, or says something that cannot be; names the file.
    """
    path = Path(path)
    data = read_file(path, MAX_FILE_BYTES, NetworkError)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise NetworkError(f"{path}: no topology file: {error}") from None
    try:
        return loads(text)
    except BnnError as error:
        raise NetworkError(f"{path}: {error}") from None


def loads(text: str) -> Topology:
    """The topology in a TOML document; see :func:`load`."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    if text.count(".") > MAX_DOTS:
        raise NetworkError(f"has more than {MAX_DOTS} points, which no topology needs")
    try:
        document = tomllib.loads(text)
    # TOMLDecodeError is a ValueError, and so is what Python says to numbers of too many digits.
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"no TOML: {' '.join(str(error).split())[:200]}") from None
    return _topology(document)


def _topology(document: Mapping[str, Any]) -> Topology:
    keys = {"name", "input", "encoding", "weights", "activations", "layers"}
    _only("topology", document, keys)
    for key in ("input", "layers"):
        if key not in document:
            raise NetworkError(f"topology: {key!r} is missing")
    size = document["input"]
    defaults = {
        "weights": _precision("weights", document.get("weights", "bipolar")),
        "act": _precision("activations", document.get("activations", "bipolar")),
    }
    if not isinstance(document["layers"], list):
        raise NetworkError("topology: layers must be a list")
    return Topology(
        str(document.get("name", "network")),
        tuple(_sizes("input", size if isinstance(size, list) else [size])),
        tuple(_layer(f"layers[{n}]", one, defaults) for n, one in enumerate(document["layers"])),
        document.get("encoding", "fixed-point"),
    )


def _layer(where: str, given: Any, defaults: Mapping[str, Precision]) -> Layer:
    """A layer from its table, or from its kind's name alone."""
    table: dict[str, Any] = {given: None} if isinstance(given, str) else given
    if not isinstance(table, dict):
        raise NetworkError(f"{where}: a layer is a name or a table, not {given!r}")
    kinds = [key for key in table if key in _KINDS]
    if len(kinds) != 1:
        raise NetworkError(f"{where}: must have exactly one of {', '.join(_KINDS)}: {given!r}")
    return _KINDS[kinds[0]](where, table, defaults)


def _conv(where: str, table: Mapping[str, Any], defaults: Mapping[str, Precision]) -> Layer:
    _only(where, table, {"conv", "kernel", "stride", "padding", "weights", "bias"})
    return Conv(
        _size(f"{where}: conv", table["conv"]),
        _pair(f"{where}: kernel", table.get("kernel", 3)),
        _pair(f"{where}: stride", table.get("stride", 1)),
        _borders(f"{where}: padding", table.get("padding", 0)),
        _precision(f"{where}: weights", table.get("weights", defaults["weights"])),
        _flag(f"{where}: bias", table.get("bias", False)),
    )


def _dense(where: str, table: Mapping[str, Any], defaults: Mapping[str, Precision]) -> Layer:
    _only(where, table, {"dense", "weights", "bias"})
    return Dense(
        _size(f"{where}: dense", table["dense"]),
        _precision(f"{where}: weights", table.get("weights", defaults["weights"])),
        _flag(f"{where}: bias", table.get("bias", False)),
    )


def _pool(where: str, table: Mapping[str, Any], _: Mapping[str, Precision]) -> Layer:
    _only(where, table, {"pool", "stride"})
    kernel = _pair(f"{where}: pool", 2 if table["pool"] is None else table["pool"])
    return Pool(kernel, _pair(f"{where}: stride", table.get("stride", list(kernel))))


def _norm(where: str, table: Mapping[str, Any], _: Mapping[str, Precision]) -> Layer:
    _only(where, table, {"norm", "epsilon"})
    epsilon = table.get("epsilon", 1e-4)
    if type(epsilon) not in (int, float) or not 0 < epsilon < 1:
        raise NetworkError(f"{where}: epsilon must be between 0 and 1, not {epsilon!r}")
    if table["norm"] not in (None, "channel", "scalar"):
        raise NetworkError(f"{where}: norm is 'channel' or 'scalar', not {table['norm']!r}")
    return Norm(table["norm"] == "scalar", float(epsilon))


def _act(where: str, table: Mapping[str, Any], defaults: Mapping[str, Precision]) -> Layer:
    _only(where, table, {"act"})
    return Act(_precision(f"{where}: act", table["act"] or defaults["act"]))


_KINDS: dict[str, Callable[[str, Mapping[str, Any], Mapping[str, Precision]], Layer]] = {
    "conv": _conv,
    "dense": _dense,
    "pool": _pool,
    "norm": _norm,
    "act": _act,
}


def _only(where: str, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            listed = ", ".join(sorted(known))
            raise NetworkError(f"{where}: unknown key {key!r}; known are {listed}")


def _size(where: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_SIZE:
        raise NetworkError(f"{where} must be a whole number from 1 to {MAX_SIZE}, not {value!r}")
    return value


def _sizes(where: str, values: list[Any]) -> list[int]:
    return [_size(where, value) for value in values]


def _pair(where: str, value: Any) -> Pair:
    values = value if isinstance(value, list) else [value, value]
    if len(values) != 2:
        raise NetworkError(f"{where} must be one number or two (vertical, horizontal): {value!r}")
    return (_size(where, values[0]), _size(where, values[1]))


def _borders(where: str, value: Any) -> Borders:
    values = value if isinstance(value, list) else [value] * 4
    if len(values) == 2:
        values = values * 2
    if len(values) != 4 or any(type(n) is not int or not 0 <= n <= MAX_SIZE for n in values):
        wanted = "one number, two (vertical, horizontal) or four (top, left, bottom, right)"
        raise NetworkError(f"{where} must be {wanted}: {value!r}")
    return (values[0], values[1], values[2], values[3])


def _precision(where: str, value: Any) -> Precision:
    if isinstance(value, Precision):
        return value
    try:
        precision = parse(value)
    except ProgramError as error:
        raise NetworkError(f"{where}: {error}") from None
    if precision.bits > 8 or (precision.bits == 1 and precision.kind == "signed"):
        raise NetworkError(f"{where}: {precision} is not among bipolar, uint1-8, int2-8, int2n-8n")
    return precision


def _flag(where: str, value: Any) -> bool:
    if type(value) is not bool:
        raise NetworkError(f"{where} must be true or false, not {value!r}")
    return value

# SPDX-License-Identifier: BSD-3-Clause
"""A stack of layers before training: shapes and precisions, without values.

It is written in Python with the classes below, or in a short TOML file::

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

A layer with parameters may state which name its arrays have in a file of another framework: ``{
dense = 10, name = "output" }``.

The number of classes is the number of units of the last dense layer. A dense layer that reads a map
flattens it first, in the order row, column, channel. :mod:`bnn.network.quantizers` says what a
precision means.
"""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnn._typing import assert_never
from bnn.errors import BnnError, NetworkError, ProgramError
from bnn.network.quantizers import ENCODINGS, Encoding
from bnn.program.check import slid_shape
from bnn.program.inputs import Shape
from bnn.program.operations import Borders, Pair
from bnn.program.precision import BIPOLAR, Precision, parse
from bnn.system.files import read_file

#: A topology file is written by hand; larger files are refused without reading.
MAX_FILE_BYTES = 1 << 20
MAX_LAYERS = 1024
MAX_SIZE = 1 << 16
#: Weights of all layers together; the networks here have up to 3 million.
MAX_WEIGHTS = 1 << 28
#: Values of the input, and of any layer's result, for one picture.
MAX_VALUES = 1 << 26
#: Dots of a line and of a file: keys of many parts (a.b.c) take Python's reader quadratic time.
MAX_DOTS, MAX_ALL_DOTS = 512, 1 << 12
#: Digits of a number: reading n of them takes time in proportion to n * n.
MAX_DIGITS = 500
MAX_NAME = 200
#: Characters of a value, or of another reader's reason, in a message.
MAX_QUOTED = 200


@dataclass(frozen=True)
class Conv:
    """Convolution.

    Attributes:
        channels: number of output channels.
        kernel, stride: (vertical, horizontal).
        padding: (top, left, bottom, right) zeros around the map.
        weights: precision of the weights.
        bias: whether it has a bias.
        name: name of the layer's arrays in a file of another framework, or "".
    """

    channels: int
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Borders = (0, 0, 0, 0)
    weights: Precision = BIPOLAR
    bias: bool = False
    name: str = ""


@dataclass(frozen=True)
class Dense:
    """Dense layer of ``units`` outputs, which flattens a map first.

    ``weights``, ``bias`` and ``name`` mean the same as in :class:`Conv`.
    """

    units: int
    weights: Precision = BIPOLAR
    bias: bool = False
    name: str = ""


@dataclass(frozen=True)
class Pool:
    """Max pool without padding; kernel and stride are (vertical, horizontal)."""

    kernel: Pair = (2, 2)
    stride: Pair = (2, 2)


@dataclass(frozen=True)
class Norm:
    """Batch normalization.

    Attributes:
        scalar: True: one set of parameters for all channels; False: parameters per channel.
        epsilon: is added to the variance.
        is_stated: whether the topology states ``epsilon``. Then it is also used for files of other
            frameworks; else the framework's default is used for them.
        name: name of the layer's arrays in a file of another framework, or "".
    """

    scalar: bool = False
    epsilon: float = 1e-4
    is_stated: bool = field(default=False, compare=False)
    name: str = ""


@dataclass(frozen=True)
class Act:
    """Activation: quantized hard tanh; for unsigned precision, ReLU that is clipped at 1."""

    precision: Precision = BIPOLAR


Weighted = Conv | Dense
Layer = Weighted | Pool | Norm | Act


@dataclass(frozen=True)
class Topology:
    """A checked stack of layers.

    Attributes:
        name: name of the network.
        input: (height, width, channels) or (features,).
        layers: the layers in order.
        encoding: encoding of the input's bytes, see :func:`bnn.network.quantizers.encoded_input`.
    """

    name: str
    input: Shape
    layers: tuple[Layer, ...]
    encoding: Encoding = "fixed-point"

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise NetworkError(
                f"{self.name}: has {len(self.layers)} layers; from 1 to {MAX_LAYERS} are possible"
            )
        if self.encoding not in ENCODINGS:
            raise NetworkError(
                f"{self.name}: encoding is one of {', '.join(ENCODINGS)}, not {self.encoding!r}"
            )
        if len(self.input) not in (1, 3) or any(not 1 <= n <= MAX_SIZE for n in self.input):
            raise NetworkError(f"{self.name}: input is [height, width, channels] or [features]")
        self._check_size(self.shapes())

    def _check_size(self, shapes: list[tuple[int, int, int]]) -> None:
        weights = 0
        for number, (layer, before) in enumerate(zip(self.layers, shapes, strict=False)):
            where = f"{self.name}: layers[{number}]"
            if math.prod(shapes[number + 1]) > MAX_VALUES or math.prod(before) > MAX_VALUES:
                raise NetworkError(f"{where}: has more than {MAX_VALUES} values")
            weights += _weights(layer, before)
            if weights > MAX_WEIGHTS:
                raise NetworkError(
                    f"{where}: the layers up to here have more than {MAX_WEIGHTS} weights"
                )

    @property
    def classes(self) -> int:
        """Number of classes: the units of the last dense layer."""
        return self.shapes()[-1][2]

    def shapes(self) -> list[tuple[int, int, int]]:
        """Return the shapes (height, width, channels) of the input and of each layer's result.

        Raises:
            NetworkError: a layer does not fit the map that it reads.
        """
        first = self.input if len(self.input) == 3 else (1, 1, *self.input)
        shapes = [(first[0], first[1], first[2])]
        quantized = True
        for number, layer in enumerate(self.layers):
            where = f"{self.name}: layers[{number}]"
            quantized = _is_quantized(where, layer, quantized)
            shapes.append(_result(where, layer, shapes[-1]))
        self._check_end()
        return shapes

    def _check_end(self) -> None:
        last = next((one for one in reversed(self.layers) if not isinstance(one, Norm)), None)
        if not isinstance(last, Dense):
            raise NetworkError(
                f"{self.name}: it must end with a dense layer, or with a norm after one"
            )


def _is_quantized(where: str, layer: Layer, before: bool) -> bool:
    """Return whether the result of ``layer`` is quantized.

    ``before``: whether the map that ``layer`` reads is quantized.

    Raises:
        NetworkError: a convolution or dense layer reads a map that is not quantized.
    """
    match layer:
        case Conv() | Dense():
            if not before:
                raise NetworkError(f"{where}: reads real values; put an activation before it")
            return False
        case Norm():
            return False
        case Pool():
            return before
        case Act():
            return True
    assert_never(layer)


def _weights(layer: Layer, before: tuple[int, int, int]) -> int:
    match layer:
        case Conv():
            return math.prod(layer.kernel) * before[2] * layer.channels
        case Dense():
            return math.prod(before) * layer.units
        case Pool() | Norm() | Act():
            return 0
    assert_never(layer)


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
    """Return the topology in a TOML file.

    Raises:
        NetworkError: the file cannot be read, or a layer is wrong; the message names the file.
    """
    data = read_file(path, MAX_FILE_BYTES, NetworkError)
    try:
        return loads(data.decode())
    except UnicodeDecodeError as error:
        raise NetworkError(f"{path}: not a topology file: {error}") from None
    except BnnError as error:
        raise NetworkError(f"{path}: {error}") from None


def loads(text: str) -> Topology:
    """Return the topology in the TOML document ``text``; errors are those of :func:`load`."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    text = text.removeprefix("\ufeff")  # Windows' editors write it
    deepest = max((line.count(".") for line in text.splitlines()), default=0)
    if deepest > MAX_DOTS:  # tables within tables; the reader's time grows with their square
        raise NetworkError(f"not a topology: a line has {deepest} dots, more than {MAX_DOTS}")
    if text.count(".") > MAX_ALL_DOTS:
        raise NetworkError(f"not a topology: it has more than {MAX_ALL_DOTS} dots")
    if re.search(f"[0-9_]{{{MAX_DIGITS + 1}}}", text):
        raise NetworkError(f"not a topology: a number has more than {MAX_DIGITS} digits")
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise NetworkError("not TOML: nested too deeply") from None
    # Besides the reader's own errors: integers of thousands of digits, impossible dates.
    except (ValueError, OverflowError) as error:
        raise NetworkError(f"not TOML: {' '.join(str(error).split())[:MAX_QUOTED]}") from None
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
        _name(document.get("name", "network")),
        tuple(_sizes("input", size if isinstance(size, list) else [size])),
        tuple(_layer(f"layers[{n}]", one, defaults) for n, one in enumerate(document["layers"])),
        _encoding(document.get("encoding", "fixed-point")),
    )


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= MAX_NAME:
        raise NetworkError(
            f"name must be a text of up to {MAX_NAME} printable characters, not {_quoted(value)}"
        )
    return value


def _encoding(value: Any) -> Encoding:
    for known in ENCODINGS:
        if value == known:
            return known
    raise NetworkError(f"encoding is one of {', '.join(ENCODINGS)}, not {_quoted(value)}")


def _quoted(value: Any) -> str:
    """Return ``value`` as a short text, for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of too many digits, tables in tables
        return f"this {type(value).__name__}"
    return text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 3] + "..."


def _layer(where: str, given: Any, defaults: Mapping[str, Precision]) -> Layer:
    """Return the layer that a table describes, or the name of a kind, such as ``"norm"``."""
    table: dict[str, Any] = {given: None} if isinstance(given, str) else given
    if not isinstance(table, dict):
        raise NetworkError(f"{where}: a layer is a name or a table, not {_quoted(given)}")
    kinds = [key for key in table if key in _KINDS]
    if len(kinds) != 1:
        raise NetworkError(
            f"{where}: must have exactly one of {', '.join(_KINDS)}, but is {_quoted(given)}"
        )
    return _KINDS[kinds[0]](where, table, defaults)


def _conv(where: str, table: Mapping[str, Any], defaults: Mapping[str, Precision]) -> Layer:
    _only(where, table, {"conv", "kernel", "stride", "padding", "weights", "bias", "name"})
    return Conv(
        _size(f"{where}: conv", table["conv"]),
        _pair(f"{where}: kernel", table.get("kernel", 3)),
        _pair(f"{where}: stride", table.get("stride", 1)),
        _borders(f"{where}: padding", table.get("padding", 0)),
        _precision(f"{where}: weights", table.get("weights", defaults["weights"])),
        _flag(f"{where}: bias", table.get("bias", False)),
        _arrays(where, table),
    )


def _dense(where: str, table: Mapping[str, Any], defaults: Mapping[str, Precision]) -> Layer:
    _only(where, table, {"dense", "weights", "bias", "name"})
    return Dense(
        _size(f"{where}: dense", table["dense"]),
        _precision(f"{where}: weights", table.get("weights", defaults["weights"])),
        _flag(f"{where}: bias", table.get("bias", False)),
        _arrays(where, table),
    )


def _pool(where: str, table: Mapping[str, Any], _: Mapping[str, Precision]) -> Layer:
    _only(where, table, {"pool", "stride"})
    kernel = _pair(f"{where}: pool", 2 if table["pool"] is None else table["pool"])
    return Pool(kernel, _pair(f"{where}: stride", table.get("stride", list(kernel))))


def _norm(where: str, table: Mapping[str, Any], _: Mapping[str, Precision]) -> Layer:
    _only(where, table, {"norm", "epsilon", "name"})
    epsilon = table.get("epsilon", 1e-4)
    if type(epsilon) not in (int, float) or not 0 < epsilon < 1:
        raise NetworkError(f"{where}: epsilon must be between 0 and 1, not {_quoted(epsilon)}")
    if table["norm"] not in (None, "channel", "scalar"):
        raise NetworkError(f"{where}: norm is 'channel' or 'scalar', not {_quoted(table['norm'])}")
    is_scalar, is_stated = table["norm"] == "scalar", "epsilon" in table
    return Norm(is_scalar, float(epsilon), is_stated, _arrays(where, table))


def _act(where: str, table: Mapping[str, Any], defaults: Mapping[str, Precision]) -> Layer:
    _only(where, table, {"act"})
    given = table["act"]
    return Act(defaults["act"] if given is None else _precision(f"{where}: act", given))


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
            close = difflib.get_close_matches(key[:MAX_QUOTED], known, 1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise NetworkError(f"{where}: unknown key {_quoted(key)}; known are {listed}{meant}")


def _size(where: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_SIZE:
        raise NetworkError(
            f"{where} must be a whole number from 1 to {MAX_SIZE}, not {_quoted(value)}"
        )
    return value


def _sizes(where: str, values: list[Any]) -> list[int]:
    return [_size(where, value) for value in values]


def _pair(where: str, value: Any) -> Pair:
    values = value if isinstance(value, list) else [value, value]
    if len(values) != 2:
        raise NetworkError(
            f"{where} must be one number or two (vertical, horizontal), not {_quoted(value)}"
        )
    return (_size(where, values[0]), _size(where, values[1]))


def _borders(where: str, value: Any) -> Borders:
    values = value if isinstance(value, list) else [value] * 4
    if len(values) == 2:
        values = values * 2
    if len(values) != 4 or any(type(n) is not int or not 0 <= n <= MAX_SIZE for n in values):
        wanted = "one number, two (vertical, horizontal) or four (top, left, bottom, right)"
        raise NetworkError(f"{where} must be {wanted}, not {_quoted(value)}")
    return (values[0], values[1], values[2], values[3])


_PRECISIONS = (
    "there are bipolar (1 bit), int2n (ternary: -1, 0, 1), int2, uint2 and so on to 16 bits"
)


def _precision(where: str, value: Any) -> Precision:
    if isinstance(value, Precision):
        return value
    if not isinstance(value, str):
        raise NetworkError(f"{where}: no such precision: {_quoted(value)}; {_PRECISIONS}")
    try:
        precision = parse(value)
    except ProgramError as error:
        raise NetworkError(f"{where}: {str(error)[:MAX_QUOTED]}; {_PRECISIONS}") from None
    if precision.bits > 8 or (precision.bits == 1 and precision.kind == "signed"):
        raise NetworkError(
            f"{where}: {precision} is not possible; use bipolar, uint1 to uint8, int2 to int8, or "
            "int2n to int8n (n: narrow, symmetric around 0)"
        )
    return precision


def _arrays(where: str, table: Mapping[str, Any]) -> str:
    """Return the name of a layer's arrays in a file; "" if the table does not have the name."""
    value = table.get("name", "")
    if not isinstance(value, str) or not value.isprintable() or len(value) > MAX_NAME:
        raise NetworkError(
            f"{where}: name must be a text of up to {MAX_NAME} printable characters, "
            f"not {_quoted(value)}"
        )
    return value


def _flag(where: str, value: Any) -> bool:
    if type(value) is not bool:
        raise NetworkError(f"{where} must be true or false, not {_quoted(value)}")
    return value

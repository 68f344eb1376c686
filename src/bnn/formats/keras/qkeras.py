# SPDX-License-Identifier: BSD-3-Clause
"""QKeras' quantizers (qkeras.quantizers 0.9), and BinaryNet's and TernaryNet's for Keras.

Each quantizer is computed in float32, with the operations in the same order as in its package. For
training, QKeras returns ``x + (q - x)`` instead of the quantized value q of x. Here q itself is
used, and :func:`inexact` counts the weights for which float32 rounds this sum to another number
than q.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.qonnx.quantizers import float_thresholds
from bnn.formats.weights import Weights, whole
from bnn.network.network import Activation, MultiThreshold, Quantize, Sign
from bnn.program.precision import INT, UINT, Precision

Real = NDArray[np.float32]
_F = np.float32
#: Keras' epsilon, which is added to divisors.
_EPSILON = _F(1e-7)
_LOG_2 = _F(np.log(2.0))
_ALIASES = {"stochastic_binary": "binary", "stochastic_ternary": "ternary"}
_DEFAULT_THRESHOLD = 0.33

#: Quantizers by name; their random rounding is used in training only.
NAMES = {
    "quantized_bits",
    "quantized_relu",
    "binary",
    "stochastic_binary",
    "ternary",
    "stochastic_ternary",
    "quantized_tanh",
    "quantized_sigmoid",
    "quantized_po2",
    "quantized_relu_po2",
}
#: Activations of BinaryNet and TernaryNet for Keras.
PLAIN = {"binary_tanh", "binary_sigmoid", "ternary_tanh"}


# --- text ----------------------------------------------------------------------------

#: Arguments by position, in the order of QKeras 0.9.
_POSITIONS = {
    "quantized_bits": ("bits", "integer", "symmetric", "keep_negative", "alpha"),
    "quantized_relu": ("bits", "integer", "use_sigmoid", "negative_slope"),
    "binary": ("use_01", "alpha"),
    "stochastic_binary": ("alpha",),
    "ternary": ("alpha", "threshold"),
    "stochastic_ternary": ("alpha", "threshold"),
    "quantized_tanh": ("bits",),
    "quantized_sigmoid": ("bits", "symmetric"),
    "quantized_po2": ("bits", "max_value"),
    "quantized_relu_po2": ("bits", "max_value", "negative_slope"),
}
MAX_TEXT = 300


def called(text: str) -> tuple[str, Mapping[str, Any]] | None:
    """Return name and settings of a quantizer written as a call, ``quantized_bits(8, 0, 1)``.

    The arguments must be numbers, texts, True, False or None; nothing is run. Return None if
    ``text`` is anything else than a call of a known quantizer with such arguments.
    """
    if len(text) > MAX_TEXT or "(" not in text:
        return None
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            return None
        names = _POSITIONS.get(node.func.id, ())
        if node.func.id not in NAMES or len(node.args) > len(names):
            return None
        found = {key: _literal(value) for key, value in zip(names, node.args, strict=False)}
        for word in node.keywords:
            if word.arg is None or word.arg in found:
                return None
            found[word.arg] = _literal(word.value)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return node.func.id, found


def _literal(node: ast.expr) -> Any:
    return ast.literal_eval(node)


# --- values --------------------------------------------------------------------------


@dataclass(frozen=True)
class Grid:
    """The values that a quantizer can give: ``unit * v`` for all whole numbers v, low to high."""

    unit: float
    low: int
    high: int


def grid_of(where: str, name: str, settings: Mapping[str, Any]) -> Grid:
    """Return the values that a quantizer can give.

    Raises:
        FormatError: the values are not multiples of one number, or the quantizer computes their
            scale from the batch.
    """
    match _ALIASES.get(name, name):
        case "quantized_bits":
            return _bits_grid(where, settings)
        case "quantized_relu":
            bits, slope = settings["bits"], settings["negative_slope"]
            _check_slope(where, slope)
            positive = 1 << (bits - (slope != 0))
            unit = 2.0 ** settings["integer"] / positive
            below = positive * slope
            if below != round(below):
                raise FormatError(
                    f"{where}: quantized_relu of {bits} bits with negative_slope {slope:g} cannot "
                    "be converted"
                )
            return Grid(unit, -int(below), positive - 1)
        case "binary":
            scale = _number(where, name, settings)
            return Grid(scale, 0 if settings.get("use_01") else -1, 1)
        case "ternary":
            return Grid(_number(where, name, settings), -1, 1)
        case "quantized_tanh":
            steps = 1 << (settings["bits"] - 1)
            return Grid(1 / steps, -steps + int(settings["symmetric"]), steps - 1)
        case "quantized_sigmoid":
            steps = 1 << settings["bits"]
            return Grid(1 / steps, int(settings["symmetric"]), steps - 1)
        case "quantized_po2" | "quantized_relu_po2" as kind:
            if settings["quadratic_approximation"]:
                raise FormatError(
                    f"{where}: {kind} with quadratic_approximation cannot be converted"
                )
            least, most = _exponents(where, kind, settings)
            if most - least > 30:
                raise FormatError(f"{where}: {kind} of {settings['bits']} bits cannot be converted")
            count = 1 << (most - least)
            return Grid(2.0**least, -count if kind == "quantized_po2" else 1, count)
        case "binary_tanh" | "ternary_tanh":
            return Grid(1.0, -1, 1)
        case "binary_sigmoid":
            return Grid(1.0, 0, 1)
    raise FormatError(f"{where}: {name!r} cannot be converted")


def _bits_grid(where: str, settings: Mapping[str, Any]) -> Grid:
    alpha, bits = _number(where, "quantized_bits", settings), settings["bits"]
    signed = settings["keep_negative"]
    if bits == 1 and signed:
        return Grid(alpha, -1, 1)  # the sign alone, whatever the integer bits
    steps = 1 << (bits - signed)
    low = -steps + settings["symmetric"] if signed else 0
    return Grid(alpha * 2.0 ** settings["integer"] / steps, low, steps - 1)


def _number(where: str, name: str, settings: Mapping[str, Any]) -> float:
    alpha = settings["alpha"]
    if isinstance(alpha, str):
        raise FormatError(
            f"{where}: {name} with alpha={alpha!r} takes its scale from all values of a batch; "
            "that cannot be converted"
        )
    return 1.0 if alpha is None else float(alpha)


def _check_slope(where: str, slope: float) -> None:
    if slope and np.log2(slope) % 1:
        raise FormatError(f"{where}: negative_slope {slope:g} is not a power of two")


def _exponents(where: str, kind: str, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Return the least and the largest exponent of a quantizer to powers of two."""
    most_value = settings["max_value"]
    if most_value is not None and most_value <= 0:
        raise FormatError(f"{where}: {kind} has max_value {most_value:g}; it must be positive")
    with_sign = most_value is None or most_value > 1
    bits = settings["bits"] - (kind == "quantized_po2") - with_sign
    if not 0 <= bits <= 6:
        raise FormatError(f"{where}: {kind} of {settings['bits']} bits cannot be converted")
    least, most = -(1 << bits), (1 << bits) - 1
    if settings["quadratic_approximation"]:
        return least, 2 * (most // 2)
    if most_value is not None:
        most = min(most, int(_power(np.full(1, most_value, _F), settings, least, most)[0]))
    return least, most


def values(name: str, settings: Mapping[str, Any], grid: Grid, x: Real) -> Real:
    """Return ``x`` quantized, as whole numbers v: the quantized value is ``grid.unit * v``.

    ``x`` and the result are float32, of any shape.
    """
    low, unit = _F(grid.low), _F(grid.unit)
    match _ALIASES.get(name, name):
        case "quantized_bits":
            alpha = 1.0 if settings["alpha"] is None else float(settings["alpha"])
            if settings["bits"] == 1 and settings["keep_negative"]:
                return np.where(x >= 0, _F(1), _F(-1))
            with np.errstate(over="ignore"):  # infinite ones are clipped, as in QKeras
                return _clipped(np.rint(x / _F(grid.unit / alpha)), grid)
        case "quantized_relu":
            return _relu(settings, grid, x)
        case "binary":
            return np.asarray(np.where(x >= 0, _F(1), low), _F)
        case "ternary":
            threshold = settings["threshold"]
            least = _F(_DEFAULT_THRESHOLD if threshold is None else threshold)
            return np.asarray((np.abs(x) >= least).astype(_F) * np.sign(x))
        case "quantized_tanh":
            p = np.tanh(x) if settings["use_real_tanh"] else _F(2) * _hard(x) - _F(1)
            return _clipped(np.rint(p / unit), grid)
        case "quantized_sigmoid":
            p = _F(1) / (_F(1) + np.exp(-x)) if settings["use_real_sigmoid"] else _hard(x)
            return _clipped(np.rint(p / unit), grid)
        case "quantized_po2" | "quantized_relu_po2" as kind:
            return _powers(kind, settings, grid, x)
        case "binary_tanh":
            return _F(2) * np.rint(_hard(x)) - _F(1)
        case "binary_sigmoid":
            return np.rint(_hard(x))
        case "ternary_tanh":
            return np.rint(np.clip(x, _F(-1), _F(1)))
    raise AssertionError(name)


def _clipped(x: Real, grid: Grid) -> Real:
    return np.asarray(np.clip(x, _F(grid.low), _F(grid.high)))


def _hard(x: Real) -> Real:
    """Return BinaryNet's piecewise linear sigmoid of ``x``. QKeras uses it too, by default."""
    made: Real = np.clip(_F(0.5) * x + _F(0.5), _F(0), _F(1))
    return made


def _relu(settings: Mapping[str, Any], grid: Grid, x: Real) -> Real:
    steps, unit = _F(grid.high + 1), _F(grid.unit)
    if settings["use_sigmoid"]:
        p = _hard(x / (unit * steps)) * steps
        return _clipped(_F(2) * np.rint(p) - steps, grid)
    p = x / unit
    made: Real = np.clip(np.rint(p), _F(0), _F(grid.high))
    slope = _F(settings["negative_slope"])
    return made + np.clip(np.rint(p * slope), _F(grid.low), _F(0)) if slope else made


def _power(sizes: Real, settings: Mapping[str, Any], least: int, most: int) -> Real:
    """Return the exponents of the powers of two to which ``sizes`` are rounded.

    ``sizes`` are absolute values, float32; the exponents are float32 too.
    """
    limited = np.maximum(sizes, _EPSILON)
    if settings["max_value"] is not None:
        limited = np.minimum(limited, _F(settings["max_value"]))
    twice = 2 if settings["quadratic_approximation"] else 1
    logs = np.log(np.sqrt(limited) if twice == 2 else limited) / _LOG_2
    rounded = np.floor(logs) if settings["log2_rounding"] == "floor" else np.rint(logs)
    chosen = _F(twice) * np.clip(rounded, _F(least), _F(most))
    return np.asarray(np.where(sizes < _EPSILON, _F(least), chosen))


def _powers(kind: str, settings: Mapping[str, Any], grid: Grid, x: Real) -> Real:
    least = round(float(np.log2(grid.unit)))
    most = least + grid.high.bit_length() - 1
    if kind == "quantized_po2":
        sign = np.where(x >= 0, _F(1), _F(-1))
        return np.asarray(sign * _F(2) ** (_power(np.abs(x), settings, least, most) - _F(least)))
    return np.asarray(_F(2) ** (_power(np.maximum(x, _F(0)), settings, least, most) - _F(least)))


def quantized(where: str, name: str, settings: Mapping[str, Any], x: Real) -> Real:
    """Return ``x`` quantized, as real values. ``x`` is a bias or a parameter of a batch norm."""
    if name in ("quantized_po2", "quantized_relu_po2"):
        sizes = np.abs(x) if name == "quantized_po2" else np.maximum(x, _F(0))
        powers = _F(2) ** _power(sizes, settings, *_exponents(where, name, settings))
        return np.asarray(np.where((x < 0) & (name == "quantized_po2"), -powers, powers), _F)
    grid = grid_of(where, name, settings)
    made: Real = _F(grid.unit) * values(name, settings, grid, x)
    return made


# --- activations ---------------------------------------------------------------------


def activation_of(
    where: str, name: str, settings: Mapping[str, Any], layer: str, source: str
) -> Activation:
    """Return the quantizer as an activation called ``layer``.

    Raises:
        FormatError: the quantizer needs a threshold for each value, and has more than 256 values;
            or one of its settings cannot be converted.
    """
    grid = grid_of(where, name, settings)
    precision = _plain(name, settings, grid)
    if precision is not None:
        return Quantize(layer, precision, grid.unit, 0, "even", source)
    is_sign = grid.low == -1 and _ALIASES.get(name, name) in ("binary", "quantized_bits")
    if is_sign:
        return Sign(layer, grid.unit, source=source)
    levels = grid.high - grid.low
    if levels > 255:
        raise FormatError(
            f"{where}: {name} has {levels + 1} values; at most 256 can be represented"
        )

    def level(x: Real) -> Real:
        return values(name, settings, grid, x) - _F(grid.low)

    table = float_thresholds(level, levels)[None, :]
    return MultiThreshold(layer, table, grid.unit, 1, grid.low, source)


def _plain(name: str, settings: Mapping[str, Any], grid: Grid) -> Precision | None:
    """Return the precision of a quantizer that only divides, clips and rounds; else None."""
    if name == "quantized_bits" and settings["alpha"] in (None, 1) and grid.high > 1:
        return _held(grid)
    is_plain_relu = name == "quantized_relu" and not settings["use_sigmoid"] and grid.low == 0
    return _held(grid) if is_plain_relu else None


def _held(grid: Grid) -> Precision | None:
    bits = (grid.high - grid.low + 1).bit_length() - (grid.low >= 0 or grid.low == -grid.high - 1)
    for precision in (UINT(bits), INT(bits), INT(bits, narrow=bits > 1)):
        if (precision.low, precision.high) == (grid.low, grid.high):
            return precision
    return None


def remark(name: str, settings: Mapping[str, Any]) -> str:
    """Return a note on an activation whose arithmetic differs between machines, or ""."""
    if settings.get("use_real_tanh") or settings.get("use_real_sigmoid"):
        return "TensorFlow's own tanh and sigmoid differ in their last bits from machine to machine"
    if name in ("quantized_po2", "quantized_relu_po2"):
        return "TensorFlow's own logarithm differs in its last bits from machine to machine"
    if name in PLAIN:
        return "the file has no code of it; taken as BinaryNet's and TernaryNet's for Keras"
    return ""


# --- weights -------------------------------------------------------------------------


def weights_of(
    where: str, name: str, settings: Mapping[str, Any], latent: Real, multiplier: int = 0
) -> Weights:
    """Return latent weights (out, ...) quantized by the kernel quantizer ``name``.

    For ``multiplier`` see :func:`bnn.formats.keras.quantizers.weights_of`. If ``alpha`` is not
    set, the scale is computed as for ``auto_po2``, as QKeras' layers do.

    Raises:
        FormatError: the quantizer, or one of its settings, cannot be converted for a kernel.
    """
    kind = _ALIASES.get(name, name)
    with_scale = kind in ("quantized_bits", "binary", "ternary")
    if with_scale and (settings["alpha"] is None or isinstance(settings["alpha"], str)):
        return _scaled(where, kind, settings, latent, multiplier)
    grid = grid_of(where, name, settings)
    integers = values(name, settings, grid, latent)
    low, high, unit = grid.low, grid.high, grid.unit
    if kind in ("quantized_po2", "quantized_relu_po2"):
        least = np.abs(integers).min()  # a power of two; others are multiples of it
        integers, unit = integers / least, unit * float(least)
        low, high = int(integers.min()), int(integers.max())
    if np.abs(integers).max(initial=0) >= 1 << 15:
        raise FormatError(f"{where}: {name} makes weights of more than 16 bits")
    return whole(integers, np.full(1, unit), low, high)


def _scaled(
    where: str, kind: str, settings: Mapping[str, Any], latent: Real, multiplier: int
) -> Weights:
    """Return ``latent`` quantized, with a scale per output that is computed from the weights."""
    alpha = settings["alpha"] or "auto_po2"
    rows = latent.reshape(len(latent), -1)
    if multiplier:  # the last axis of a depthwise kernel is the multiplier
        grouped = rows.reshape(-1, multiplier, rows.shape[1]).transpose(1, 0, 2)
        x = grouped.reshape(multiplier, -1)
    else:
        x = rows
    match kind:
        case "quantized_bits":
            q, scale, most = _bits_scaled(where, settings, x, alpha)
        case "binary":
            low = _F(0) if settings.get("use_01") else _F(-1)
            q, most = np.where(x >= 0, _F(1), low), 1
            scale = _least_squares(x, q, alpha)
        case _:
            q, scale = _ternary_scaled(where, settings, x, alpha)
            most = 1
    scale = scale[:, 0]
    if multiplier:
        count = len(latent) // multiplier
        q = q.reshape(multiplier, count, -1).transpose(1, 0, 2).reshape(rows.shape)
        scale = np.tile(scale, count)
    # A row of zeros has the scale 0 or a tiny one: any other gives the same.
    scale = np.where((q == 0).all(axis=1), _F(1), scale)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise FormatError(f"{where}: the scale of its weights is not a positive number")
    low_value = int(min(q.min(), 0)) if settings.get("use_01") else -most
    return whole(q.reshape(latent.shape), scale, low_value, most)


def _bits_scaled(
    where: str, settings: Mapping[str, Any], latent: Real, alpha: str
) -> tuple[Real, Real, int]:
    if settings["bits"] < 2:
        raise FormatError(
            f"{where}: quantized_bits of 1 bit with alpha={alpha!r} cannot be converted"
        )
    x = latent / _F(2.0 ** settings["integer"])
    most = (1 << (settings["bits"] - 1)) - 1
    scale = np.abs(x).max(axis=1, keepdims=True) * _F(2) / _F(2 * most)

    def steps(by: Real) -> Real:
        with np.errstate(all="ignore"):  # rows of zeros: 0 / 0
            v = np.floor(np.abs(x) / by + _F(0.5))
        return np.asarray(np.sign(x) * np.where(v < most, v, _F(most)))

    if alpha == "auto_po2":
        scale = _power_of_two(scale)
        for _ in range(5):
            z = steps(scale)
            scale = _least_squares(x, z, alpha)
    else:
        z = steps(scale)
    z = np.where(x == 0, _F(0), z)
    return z, scale * _F(2.0 ** settings["integer"]), most


def _ternary_scaled(
    where: str, settings: Mapping[str, Any], x: Real, alpha: str
) -> tuple[Real, Real]:
    if settings["threshold"] is not None:
        raise FormatError(
            f"{where}: ternary with a threshold and alpha={alpha!r} cannot be converted"
        )
    scale = _F(2) * np.abs(x).max(axis=1, keepdims=True) / _F(3)
    scale = _power_of_two(scale) if alpha == "auto_po2" else scale
    q = np.zeros_like(x)
    for _ in range(settings["number_of_unrolls"]):
        with np.errstate(all="ignore"):
            v = scale * np.rint(x / scale)
            q = (np.abs(v) >= scale / _F(2)).astype(_F) * np.sign(x)
        scale = _least_squares(x, q, alpha)
    return q, scale


def _power_of_two(scale: Real) -> Real:
    return np.asarray(_F(2) ** np.rint(np.log(scale + _EPSILON) / _LOG_2))


def _least_squares(x: Real, q: Real, alpha: str) -> Real:
    """Return the scale (rows, 1) with which ``scale * q`` is closest to ``x``."""
    dot = (x * q).mean(axis=1, keepdims=True, dtype=_F)
    size = (q * q).mean(axis=1, keepdims=True, dtype=_F)
    scale = np.asarray(dot / (size + _EPSILON))
    return _power_of_two(scale) if alpha == "auto_po2" else scale


def inexact(weights: Weights, latent: Real) -> int:
    """Return for how many weights QKeras' ``x + (q - x)`` in float32 differs from q."""
    scale = weights.scale.reshape(-1, *[1] * (latent.ndim - 1))
    q = (weights.integers * scale).astype(_F)
    return int((latent + (q - latent) != q).sum())


def plain_kernel(where: str, kind: str, factor: float, latent: Real) -> Weights:
    """Return the weights of BinaryNet's (``Binary...``) and TernaryNet's (``Ternary...``) layers.

    As in hls4ml, a binary weight is the sign of the latent weight. A ternary weight is +1 if the
    latent weight is above 0.5, -1 if it is at most -0.5, else 0.

    Raises:
        FormatError: a weight of a binary layer is 0, which has no sign.
    """
    if factor <= 0:
        raise FormatError(f"{where}: H is {factor:g}; it must be positive")
    x = latent / _F(factor)
    if kind.startswith("Ternary"):
        q = (x > _F(0.5)).astype(_F) - (x <= _F(-0.5)).astype(_F)
        return whole(q, np.full(1, factor), -1, 1)
    if (x == 0).any():
        raise FormatError(
            f"{where}: has a weight of 0, which is -1 in some versions of {kind} and +1 in others"
        )
    return whole(np.where(x < 0, _F(-1), _F(1)), np.full(1, factor), -1, 1)


def nearly_zero(kind: str, factor: float, latent: Real) -> int:
    """Return how many weights are positive, but become -1 in BinaryNet.

    BinaryNet computes ``2 * round(0.5 * x + 0.5) - 1`` in float32.
    """
    if kind.startswith("Ternary"):
        return 0
    x = latent / _F(factor)
    return int(((x > 0) & (np.rint(_hard(x)) == 0)).sum())

# SPDX-License-Identifier: BSD-3-Clause
"""QKeras' quantizers, from their documentation, written a second time; and what is refused.

``value`` is a quantizer's definition in exact arithmetic on numbers whose results are no ties.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from bnn.errors import FormatError
from bnn.formats.keras import qkeras
from bnn.formats.keras.settings import THINGS, Settings
from bnn.program.precision import BIPOLAR, UINT

#: Numbers that lie on no boundary of the quantizers below.
X = np.concatenate([np.linspace(-9, 9, 301) * 0.997 + 0.00013, [1e-3, -1e-3, 40, -40]])


def settings(name: str, **given: Any) -> Settings:
    return Settings("here", THINGS[name], given)


def hard(x: float) -> float:
    """QKeras' piecewise linear sigmoid."""
    return min(max(0.5 * x + 0.5, 0.0), 1.0)


def bits(x: float, s: Settings) -> float:
    """quantized_bits: ``integer`` bits before the point, the rest after it."""
    signed = s["keep_negative"]
    if s["bits"] == 1 and signed:
        return (1.0 if x >= 0 else -1.0) * (s["alpha"] or 1)
    unit = 2.0 ** (s["integer"] - (s["bits"] - signed))
    high = 2 ** (s["bits"] - signed) - 1
    low = -(high + 1) + s["symmetric"] if signed else 0
    return min(max(round(x / unit), low), high) * unit * (s["alpha"] or 1)


def relu(x: float, s: Settings) -> float:
    """quantized_relu: as above without a sign; below zero a part of its own."""
    slope = s["negative_slope"]
    positive = 2 ** (s["bits"] - (1 if slope else 0))
    unit = 2.0 ** s["integer"] / positive
    if s["use_sigmoid"]:
        q = round(hard(x / 2.0 ** s["integer"]) * positive)
        return min(max(2 * q - positive, 0), positive - 1) * unit
    above = min(max(round(x / unit), 0), positive - 1)
    below = min(max(round(x * slope / unit), -round(positive * slope)), 0) if slope else 0
    return (above + below) * unit


def tanh(x: float, s: Settings) -> float:
    steps = 2 ** (s["bits"] - 1)
    p = math.tanh(x) if s["use_real_tanh"] else 2 * hard(x) - 1
    return min(max(round(p * steps), -steps + s["symmetric"]), steps - 1) / steps


def sigmoid(x: float, s: Settings) -> float:
    steps = 2 ** s["bits"]
    p = 1 / (1 + math.exp(-max(x, -99.0))) if s["use_real_sigmoid"] else hard(x)
    return min(max(round(p * steps), int(s["symmetric"])), steps - 1) / steps


def binary(x: float, s: Settings) -> float:
    return (1.0 if x >= 0 else 0.0 if s["use_01"] else -1.0) * (s["alpha"] or 1)


def ternary(x: float, s: Settings) -> float:
    least = 0.33 if s["threshold"] is None else s["threshold"]
    return (0.0 if abs(x) < least else math.copysign(1, x)) * (s["alpha"] or 1)


def power(x: float, s: Settings, signed: bool) -> float:
    """quantized_po2: the exponent has the bits that are left by the sign of x and its own sign."""
    most_value = s["max_value"]
    left = s["bits"] - signed - (most_value is None or most_value > 1)
    least, most = -(2**left), 2**left - 1
    whole = math.floor if s["log2_rounding"] == "floor" else round
    size = abs(x) if signed else max(x, 0.0)
    exponent = least
    if size >= 1e-7:
        limited = size if most_value is None else min(size, most_value)
        exponent = min(max(whole(math.log2(limited)), least), most)
    return math.copysign(2.0**exponent, x) if signed else 2.0**exponent


VALUES: dict[str, tuple[Any, dict[str, list[Any]]]] = {
    "quantized_bits": (
        bits,
        {
            "bits": [1, 2, 3, 8],
            "integer": [-1, 0, 2],
            "symmetric": [0, 1],
            "keep_negative": [0, 1],
            "alpha": [None, 0.5],
        },
    ),
    "quantized_relu": (
        relu,
        {
            "bits": [3, 6],
            "integer": [0, 2],
            "use_sigmoid": [0],
            "negative_slope": [0.0, 0.25, 0.5],
        },
    ),
    "quantized_tanh": (tanh, {"bits": [2, 4], "symmetric": [0, 1], "use_real_tanh": [0, 1]}),
    "quantized_sigmoid": (
        sigmoid,
        {"bits": [1, 2, 4], "symmetric": [0, 1], "use_real_sigmoid": [0, 1]},
    ),
    "binary": (binary, {"use_01": [0, 1], "alpha": [None, 0.75]}),
    "ternary": (ternary, {"threshold": [None, 0.2, 1.0], "alpha": [None, 3.0]}),
    "quantized_po2": (
        lambda x, s: power(x, s, signed=True),
        {"bits": [2, 3, 4], "max_value": [None, 0.5, 2.0], "log2_rounding": ["rnd", "floor"]},
    ),
    "quantized_relu_po2": (
        lambda x, s: power(x, s, signed=False),
        {"bits": [1, 2, 4], "max_value": [None, 0.5, 2.0], "log2_rounding": ["rnd", "floor"]},
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    value, choices = VALUES[name]
    for chosen in itertools.product(*choices.values()):
        given = settings(name, **dict(zip(choices, chosen, strict=True)))
        expected = [value(float(x), given) for x in X.astype(np.float32)]
        found = qkeras.quantized("here", name, given, X.astype(np.float32))
        np.testing.assert_array_equal(found, np.float32(expected), err_msg=f"{name} {chosen}")


@pytest.mark.parametrize("name", VALUES)
def test_the_grid_has_the_values_and_no_more(name: str) -> None:
    """All values are units of the grid; of evenly spaced quantizers its ends are reached."""
    value, choices = VALUES[name]
    for chosen in itertools.product(*choices.values()):
        given = settings(name, **dict(zip(choices, chosen, strict=True)))
        grid = qkeras.grid_of("here", name, given)
        found = {value(float(x), given) / grid.unit for x in (*X, -1e6, 1e6)}
        assert all(v == round(v) for v in found), (name, chosen)
        ends = (min(found), max(found))
        assert ends == (grid.low, grid.high), (name, chosen)


#: A name and settings; a change that is refused; words of the message.
REFUSED = [
    ("quantized_relu", {"negative_slope": 0.25}, {"negative_slope": 0.3}, "not a power of two"),
    ("quantized_relu", {"negative_slope": 0.5}, {"negative_slope": 0.75}, "not a power of two"),
    *(
        (
            "quantized_relu",
            {"bits": 2 + n, "negative_slope": 0.5 ** (n + 1)},
            {"bits": 1 + n},
            "cannot be",
        )
        for n in (0, 1, 2)
    ),
    ("quantized_bits", {"alpha": 1.0}, {"alpha": "auto"}, "all values of a batch"),
    ("quantized_bits", {"alpha": None}, {"alpha": "auto_po2"}, "all values of a batch"),
    ("binary", {"alpha": 1.0}, {"alpha": "auto"}, "all values of a batch"),
    ("ternary", {"alpha": 1.0}, {"alpha": "auto_po2"}, "all values of a batch"),
    ("quantized_po2", {"bits": 4, "max_value": 0.1}, {"max_value": 0}, "must be positive"),
    ("quantized_po2", {"bits": 4, "max_value": 0.1}, {"max_value": -1}, "must be positive"),
    ("quantized_relu_po2", {"bits": 4, "max_value": 0.1}, {"max_value": 0}, "must be positive"),
    ("quantized_po2", {"bits": 5}, {"bits": 8}, "of 8 bits cannot be converted"),
    ("quantized_po2", {"bits": 5}, {"bits": 7}, "of 7 bits cannot be converted"),
    ("quantized_relu_po2", {"bits": 4}, {"bits": 7}, "of 7 bits cannot be converted"),
    ("quantized_po2", {"bits": 4}, {"quadratic_approximation": 1}, "with quadratic_approximation"),
]


@pytest.mark.parametrize(("name", "given", "change", "words"), REFUSED)
def test_refused(name: str, given: dict[str, Any], change: dict[str, Any], words: str) -> None:
    qkeras.grid_of("here", name, settings(name, **given))
    with pytest.raises(FormatError, match=f"^here: .*{words}"):
        qkeras.grid_of("here", name, settings(name, **{**given, **change}))


def test_values_of_an_activation_that_can_be_held() -> None:
    """At most 256 values that are not those of a plain quantizer."""
    for count, taken in ((8, True), (9, False)):
        given = settings("quantized_tanh", bits=count, symmetric=1)
        if taken:
            made = qkeras.activation_of("here", "quantized_tanh", given, "a", "b")
            assert made.levels == 2**count - 2
            continue
        with pytest.raises(FormatError, match="has 511 values; at most 256"):
            qkeras.activation_of("here", "quantized_tanh", given, "a", "b")


def test_a_kernel_of_at_most_16_bits() -> None:
    for count, taken in ((15, True), (16, True), (17, False)):
        given = settings("quantized_bits", bits=count, alpha=1.0)
        most = np.float32([[1.0]])
        if taken:
            weights = qkeras.weights_of("here", "quantized_bits", given, most)
            assert weights.integers.item() == 2 ** (count - 1) - 1
            continue
        with pytest.raises(FormatError, match="makes weights of more than 16 bits"):
            qkeras.weights_of("here", "quantized_bits", given, most)


@pytest.mark.parametrize("alpha", ["auto", "auto_po2"])
def test_what_no_scale_is_computed_for(alpha: str) -> None:
    latent = np.float32([[0.5, -0.25], [0.1, 0.9]])
    qkeras.weights_of(
        "here", "quantized_bits", settings("quantized_bits", bits=2, alpha=alpha), latent
    )
    with pytest.raises(FormatError, match="quantized_bits of 1 bit with alpha"):
        qkeras.weights_of(
            "here", "quantized_bits", settings("quantized_bits", bits=1, alpha=alpha), latent
        )
    qkeras.weights_of("here", "ternary", settings("ternary", alpha=alpha), latent)
    with pytest.raises(FormatError, match="ternary with a threshold and alpha"):
        qkeras.weights_of(
            "here", "ternary", settings("ternary", alpha=alpha, threshold=0.5), latent
        )


@pytest.mark.parametrize("kind", ["BinaryDense", "TernaryDense"])
def test_kernels_of_binarynet_and_ternarynet(kind: str) -> None:
    latent = np.float32([[1.0, 0.51, 0.49, 1e-4, -1e-4, -0.5, -1.0]])
    found = qkeras.plain_kernel("here", kind, 2.0, 2 * latent)
    expected = [1, 1, 1, 1, -1, -1, -1] if kind == "BinaryDense" else [1, 1, 0, 0, 0, -1, -1]
    assert found.integers.tolist() == [expected]
    assert found.scale.tolist() == [2.0]
    for factor in (0.0, -1.0):
        with pytest.raises(FormatError, match="it must be positive"):
            qkeras.plain_kernel("here", kind, factor, latent)
    zero = np.float32([[1.0, 0.0]])
    if kind == "TernaryDense":
        assert qkeras.plain_kernel("here", kind, 1.0, zero).integers.tolist() == [[1, 0]]
        return
    with pytest.raises(FormatError, match="has a weight of 0"):
        qkeras.plain_kernel("here", kind, 1.0, zero)


def test_weights_that_binarynet_rounds_down() -> None:
    """2 * round(0.5 * x + 0.5) - 1 in float32, which rounds 0.5 and a little to 0.5, that to 0."""
    latent = np.float32([1e-9, 1e-8, 1e-6, 0.5, -1e-9, -0.5, 0.0])
    assert qkeras.nearly_zero("BinaryDense", 1.0, latent) == 2
    assert qkeras.nearly_zero("BinaryDense", 100.0, latent) == 3
    assert qkeras.nearly_zero("TernaryDense", 1.0, latent) == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("quantized_bits(4, 1, 1)", {"bits": 4, "integer": 1, "symmetric": 1}),
        ("quantized_bits(4, integer=1, alpha='auto')", {"bits": 4, "integer": 1, "alpha": "auto"}),
        (
            "quantized_bits(4, 0, 1, True, 0.5)",
            {"bits": 4, "integer": 0, "symmetric": 1, "keep_negative": True, "alpha": 0.5},
        ),
        ("binary()", {}),
        ("binary(alpha=None)", {"alpha": None}),
        ("quantized_bits(4, bits=4)", None),
        ("quantized_bits(4, 0, 1, True, 0.5, 6)", None),
        ("quantized_bits(*[4])", None),
        ("quantized_bits(**{'bits': 4})", None),
        ("quantized_bits(f(4))", None),
        ("quantized_bits", None),
        ("other(4)", None),
        ("a.binary()", None),
        ("binary() + 1", None),
        ("binary(", None),
        ("binary(" + " " * (qkeras.MAX_TEXT - 8) + ")", {}),
        ("binary(" + " " * (qkeras.MAX_TEXT - 7) + ")", None),
    ],
)
def test_calls_as_text(text: str, found: dict[str, Any] | None) -> None:
    made = qkeras.called(text)
    assert made == (None if found is None else (text.partition("(")[0], found))


@pytest.mark.parametrize("alpha", ["auto", "auto_po2", 1.0])
@pytest.mark.parametrize(("use_01", "precision"), [(0, BIPOLAR), (1, UINT(1))])
def test_binary_weights_have_one_bit(alpha: Any, use_01: int, precision: Any) -> None:
    latent = np.float32([[0.5, -0.25, 0.75], [0.1, 0.9, -0.3]])
    given = settings("binary", alpha=alpha, use_01=use_01)
    weights = qkeras.weights_of("here", "binary", given, latent)
    assert weights.precision == precision
    np.testing.assert_array_equal(weights.integers, np.where(latent >= 0, 1, use_01 - 1))


#: What QKeras 0.9 takes where a file says nothing.
DEFAULTS: dict[str, dict[str, Any]] = {
    "quantized_bits": {"bits": 8, "integer": 0, "symmetric": 0, "keep_negative": 1, "alpha": None},
    "quantized_relu": {
        "bits": 8, "integer": 0, "use_sigmoid": 0, "negative_slope": 0.0, "relu_upper_bound": None,
        "is_quantized_clip": 1,
    },
    "binary": {"use_01": 0, "alpha": None},
    "ternary": {"alpha": None, "threshold": None, "number_of_unrolls": 5},
    "quantized_tanh": {"bits": 8, "symmetric": 0, "use_real_tanh": 0},
    "quantized_sigmoid": {"bits": 8, "symmetric": 0, "use_real_sigmoid": 0},
    "quantized_po2": {
        "bits": 8, "max_value": None, "quadratic_approximation": 0, "log2_rounding": "rnd",
    },
    "quantized_relu_po2": {
        "bits": 8, "max_value": None, "quadratic_approximation": 0, "log2_rounding": "rnd",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name: str) -> None:
    given = settings(name)
    assert {key: given[key] for key in DEFAULTS[name]} == DEFAULTS[name]
    assert {*given} == {*DEFAULTS[name]}

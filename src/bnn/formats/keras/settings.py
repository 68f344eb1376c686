# SPDX-License-Identifier: BSD-3-Clause
"""All settings that a Keras or Larq layer may have, and their allowed values.

The reader sees a layer's configuration only through :class:`Settings`. Each key of each class is
listed here as *read* (its value is checked, and given to the reader), *fixed* (it must have a value
with which it has no effect) or *inert* (it has no effect on a trained layer). Three things are
refused, with a message that names layer and key: a key that is not listed, a value that is not
allowed, and a key listed as *read* that the reader did not read.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bnn.errors import FormatError

#: Largest whole number that a size, a stride or a count may be.
MAX_WHOLE = 1 << 20
#: Largest size of one axis of a window.
MAX_WINDOW = 1 << 16


class _WrongError(ValueError):
    """A value is refused; the message gives the reason."""


@dataclass(frozen=True)
class Rule:
    """Allowed values of one key.

    Attributes:
        parse: returns the value for the reader, or raises :class:`_WrongError`.
        default: the value that ``parse`` gets if the key is absent.
        is_read: whether a reader has to read the value.
    """

    parse: Callable[[Any], Any]
    default: Any = None
    is_read: bool = True


# --- kinds of values -----------------------------------------------------------------


def whole(default: int | None, low: int = 1, high: int = MAX_WHOLE) -> Rule:
    """Return the rule of a whole number; null is allowed only if ``default`` is None."""

    def parse(value: Any) -> int | None:
        if value is None and default is None:
            return None
        if type(value) is not int or not low <= value <= high:
            raise _WrongError(f"must be a whole number from {low} to {high}")
        return value

    return Rule(parse, default)


def real(value: Any) -> float:
    """Parse a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongError("must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or abs(number) > 1e30:
        raise _WrongError("must fit float32")
    return number


def number(default: float | None, low: float = -math.inf) -> Rule:
    """Return the rule of a finite number; null is allowed only if ``default`` is None."""

    def parse(value: Any) -> float | None:
        if value is None and default is None:
            return None
        found = real(value)
        if found < low:
            raise _WrongError(f"must be at least {low:g}")
        return found

    return Rule(parse, default)


def flag(default: bool) -> Rule:
    """Return the rule of true or false."""

    def parse(value: Any) -> bool:
        if type(value) is not bool:
            raise _WrongError("must be true or false")
        return value

    return Rule(parse, default)


def switch(default: int) -> Rule:
    """Return the rule of a setting that is on or off: true, false, 0 or 1."""

    def parse(value: Any) -> bool:
        if value not in (0, 1) or not isinstance(value, bool | int | float):
            raise _WrongError("must be 0 or 1")
        return bool(value)

    return Rule(parse, default)


def choice(default: str, *others: str) -> Rule:
    """Return the rule of a text that must be one of the given ones."""

    def parse(value: Any) -> str:
        if not isinstance(value, str) or value not in (default, *others):
            raise _WrongError(f"only {' and '.join((default, *others))} can be converted")
        return value

    return Rule(parse, default)


def pair(default: tuple[int, int] | None) -> Rule:
    """Return the rule of a size or stride: two whole numbers, or one for both."""

    def parse(value: Any) -> tuple[int, int] | None:
        if value is None and default is None:
            return None
        sizes = value if isinstance(value, list | tuple) else [value, value]
        if len(sizes) != 2 or any(type(n) is not int or not 1 <= n < MAX_WINDOW for n in sizes):
            raise _WrongError(f"must be two whole numbers from 1 to {MAX_WINDOW - 1}")
        return (sizes[0], sizes[1])

    return Rule(parse, default)


def single(default: int | None) -> Rule:
    """Return the rule of a size or stride of one dimension, which becomes (1, size)."""

    def parse(value: Any) -> tuple[int, int] | None:
        if value is None and default is None:
            return None
        size = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
        if type(size) is not int or not 1 <= size < MAX_WINDOW:
            raise _WrongError(f"must be a whole number from 1 to {MAX_WINDOW - 1}")
        return (1, size)

    return Rule(parse, default)


def fixed(*allowed: Any, why: str = "") -> Rule:
    """Return the rule of a setting that must have one of the values ``allowed``.

    The first of them is the default. ``why`` is the message for other values.
    """

    def parse(value: Any) -> None:
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise _WrongError(why or f"only {allowed[0]!r} can be converted")

    return Rule(parse, allowed[0], is_read=False)


#: Rule of settings without effect on the results of a trained layer.
INERT = Rule(lambda _: None, is_read=False)
#: Rule of what :func:`bnn.formats.keras.quantizers.named` parses.
THING = Rule(lambda value: value)


def _shape(value: Any) -> list[int | None] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= 8:
        raise _WrongError("must be a list of sizes: positive numbers or null")
    if any(n is not None and (type(n) is not int or not 1 <= n <= MAX_WHOLE) for n in value):
        raise _WrongError("must be a list of sizes: positive numbers or null")
    return list(value)


def _axes(value: Any) -> list[int]:
    axes = value if isinstance(value, list | tuple) else [value]
    if not 1 <= len(axes) <= 8 or any(type(axis) is not int for axis in axes):
        raise _WrongError("must be the number of an axis, or a list of them")
    return list(axes)


def _shared_axes(value: Any) -> list[int]:
    return [] if value is None else _axes(value)


def _target(value: Any) -> list[int]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 4:
        raise _WrongError("must be a shape of 1 to 4 axes")
    if any(type(n) is not int or not -1 <= n <= MAX_WHOLE or n == 0 for n in value):
        raise _WrongError("must be a list of positive numbers, or -1 for the rest")
    if list(value).count(-1) > 1:
        raise _WrongError("must have -1 at most once")
    return list(value)


def _borders(value: Any) -> tuple[int, int, int, int]:
    """Parse Keras' ``padding`` or ``cropping`` to (top, left, bottom, right)."""
    pairs = value if isinstance(value, list | tuple) else [value, value]
    rows = [row if isinstance(row, list | tuple) else [row, row] for row in pairs]
    if len(rows) != 2 or any(
        len(row) != 2 or any(type(n) is not int or not 0 <= n < MAX_WINDOW for n in row)
        for row in rows
    ):
        raise _WrongError("must be ((top, bottom), (left, right)) in whole numbers")
    return (rows[0][0], rows[1][0], rows[0][1], rows[1][1])


def _row_borders(value: Any) -> tuple[int, int, int, int]:
    """Parse the ``padding`` of a layer of one dimension to (0, left, 0, right)."""
    ends = value if isinstance(value, list | tuple) else [value, value]
    return _borders([[0, 0], ends])


def _policy(value: Any) -> None:
    """Refuse a dtype policy that does not compute in float32."""
    name = value
    if isinstance(value, Mapping):
        inner = value.get("config")
        name = inner.get("name") if isinstance(inner, Mapping) else None
        if value.get("class_name") not in ("Policy", "DTypePolicy", "FloatDTypePolicy"):
            name = value.get("class_name")
        if isinstance(inner, Mapping) and set(inner) - {"name", "source_name"}:
            raise _WrongError(
                f"the setting {min(set(inner) - {'name'})!r} of a policy cannot be converted"
            )
    if name not in (None, "float32"):
        raise _WrongError("only float32 can be converted")


POLICY = Rule(_policy, is_read=False)


def _alpha(value: Any) -> Any:
    """Return QKeras' scale: None, a positive number, or the name of a rule that computes it."""
    if value is None or value in ("auto", "auto_po2"):
        return value
    if isinstance(value, list | tuple):
        raise _WrongError("a scale per channel cannot be converted")
    found = real(value)
    if found <= 0:
        raise _WrongError("must be positive")
    return found


def _maximum(value: Any) -> float | None:
    return None if value is None else real(value)


# --- classes -------------------------------------------------------------------------

Schema = Mapping[str, Rule]

_ANY: dict[str, Rule] = {
    "name": INERT,
    "trainable": INERT,
    "dtype": POLICY,
    # Only the first layer's is used; see Settings.shape.
    "batch_input_shape": Rule(_shape, is_read=False),
    "batch_shape": Rule(_shape, is_read=False),
}
_FORMAT = {
    "data_format": fixed(
        "channels_last", None, why="is channels first; only channels last can be converted"
    )
}


def _trained(*variables: str) -> dict[str, Rule]:
    """Return the rules of settings that only matter in training."""
    kinds = ("initializer", "regularizer", "constraint")
    return {f"{name}_{kind}": INERT for name in variables for kind in kinds}


_WEIGHTED = {
    **_ANY,
    **_trained("kernel", "bias"),
    "activity_regularizer": INERT,
    "activation": THING,
    "use_bias": flag(True),
    "quantization_config": fixed(None),
    "lora_rank": fixed(None),
}
_DENSE = {**_WEIGHTED, "units": whole(None)}
_WINDOW = {
    **_FORMAT,
    "kernel_size": pair(None),
    "strides": pair((1, 1)),
    "padding": choice("valid", "same"),
    "dilation_rate": pair((1, 1)),
}
_CONV = {**_WEIGHTED, **_WINDOW, "filters": whole(None), "groups": whole(1)}
_DEPTHWISE = {
    **_WEIGHTED,
    **_WINDOW,
    **_trained("depthwise"),
    "groups": fixed(1),
    "depth_multiplier": whole(1),
}
_SEPARABLE = {
    **_CONV,
    **_trained("depthwise", "pointwise"),
    "groups": fixed(1),
    "depth_multiplier": whole(1),
}
_ROW = {
    "kernel_size": single(None),
    "strides": single(1),
    "dilation_rate": single(1),
}
_INPUT_QUANTIZER = {"input_quantizer": THING}
_PAD_VALUES = {"pad_values": number(0.0)}
_POOL = {
    **_ANY,
    **_FORMAT,
    "pool_size": pair((2, 2)),
    "strides": pair(None),
    "padding": choice("valid", "same"),
}
_ROW_POOL = {**_POOL, "pool_size": single(2), "strides": single(None)}
_GLOBAL = {**_ANY, **_FORMAT, "keepdims": flag(False)}
_NORM = {
    **_ANY,
    **_trained("beta", "gamma", "moving_mean", "moving_variance"),
    "axis": Rule(_axes, -1),
    "epsilon": number(1e-3, low=0.0),
    "center": flag(True),
    "scale": flag(True),
    "momentum": INERT,
    "synchronized": INERT,
    "renorm": fixed(False),
    "renorm_clipping": fixed(None),
    "renorm_momentum": INERT,
    "virtual_batch_size": fixed(None),
}
_NOISE = {**_ANY, "rate": INERT, "stddev": INERT, "seed": INERT, "noise_shape": INERT}
_SIGN = {**_ANY, "clip_value": INERT, "metrics": INERT}
_PLAIN_ZERO = fixed(0.0, 0, None)

# --- QKeras --------------------------------------------------------------------------

#: Settings for training; a trained quantizer does not round at random, whatever these are.
_STOCHASTIC = {
    "use_stochastic_rounding": INERT,
    "var_name": INERT,
    "use_ste": INERT,
    "use_variables": INERT,
    # The part of the quantized value in a mixture with the unquantized one.
    "qnoise_factor": fixed(1.0, 1),
}
_ALPHA = {"alpha": Rule(_alpha)}
_FIXED_POINT = {"bits": whole(8, 1, 32), "integer": whole(0, -32, 32)}
_NUMBER_OF_UNROLLS = {"number_of_unrolls": whole(5, 0, 64)}
_TEMPERATURE = {"temperature": INERT, "use_real_sigmoid": INERT}  # while it is trained
_POWER = {
    **_STOCHASTIC,
    "bits": whole(8, 2, 8),
    "max_value": Rule(_maximum),
    "quadratic_approximation": switch(0),
    "log2_rounding": choice("rnd", "floor"),
}
_QKERAS: dict[str, Schema] = {
    "quantized_bits": {
        **_STOCHASTIC,
        **_FIXED_POINT,
        **_ALPHA,
        "symmetric": switch(0),
        "keep_negative": switch(1),
        "scale_axis": fixed(None),
        "post_training_scale": fixed(None),
        "elements_per_scale": fixed(None),
        "min_po2_exponent": fixed(None),
        "max_po2_exponent": fixed(None),
    },
    "quantized_relu": {
        **_STOCHASTIC,
        **_FIXED_POINT,
        "use_sigmoid": switch(0),
        "negative_slope": number(0.0, low=0.0),
        "relu_upper_bound": Rule(_maximum),
        "is_quantized_clip": switch(1),
        "enable_bn_folding": INERT,
    },
    "binary": {**_STOCHASTIC, **_ALPHA, "use_01": switch(0), "scale_axis": fixed(None)},
    "stochastic_binary": {**_STOCHASTIC, **_ALPHA, **_TEMPERATURE},
    "ternary": {
        **_STOCHASTIC,
        **_ALPHA,
        **_NUMBER_OF_UNROLLS,
        "threshold": Rule(_maximum),
    },
    "stochastic_ternary": {
        **_STOCHASTIC,
        **_ALPHA,
        **_NUMBER_OF_UNROLLS,
        **_TEMPERATURE,
        "threshold": Rule(_maximum),
    },
    "quantized_tanh": {
        **_STOCHASTIC,
        "bits": whole(8, 2, 16),
        "symmetric": switch(0),
        "use_real_tanh": switch(0),
    },
    "quantized_sigmoid": {
        **_STOCHASTIC,
        "bits": whole(8, 1, 16),
        "symmetric": switch(0),
        "use_real_sigmoid": switch(0),
    },
    "quantized_po2": _POWER,
    "quantized_relu_po2": {**_POWER, "bits": whole(8, 1, 8), "negative_slope": _PLAIN_ZERO},
}
_RANGES = {"kernel_range": INERT, "bias_range": INERT}  # not used any more
_QUANTIZED = {**_RANGES, "kernel_quantizer": THING, "bias_quantizer": THING}
_MASK = {"mask": fixed(None)}
_FOLDED = {
    **{key: rule for key, rule in _NORM.items() if key not in _ANY},
    "ema_freeze_delay": INERT,  # while it is trained
    "folding_mode": fixed("ema_stats_folding", "batch_stats_folding"),  # while it is trained
    "fused": INERT,
    "adjustment": fixed(None),
}
_AVERAGE = {"average_quantizer": THING, "activation": THING}
#: Layers of BinaryNet and TernaryNet for Keras, which hls4ml reads: their code is in no package.
_BINARY = {
    "H": number(1.0),
    "kernel_lr_multiplier": INERT,
    "bias_lr_multiplier": INERT,
}

#: What a quantizer or activation object may hold, by its plain name.
THINGS: dict[str, Schema] = {
    "ste_sign": _SIGN,
    "approx_sign": _SIGN,
    "swish_sign": {**_SIGN, "beta": INERT},
    "magnitude_aware_sign": _SIGN,
    "ste_heaviside": _SIGN,
    "ste_tern": {
        **_SIGN,
        "threshold_value": number(0.05),
        "ternary_weight_networks": flag(False),
    },
    "dorefa_quantizer": {
        **_SIGN,
        "k_bit": whole(2, 1, 8),
        "mode": choice("activations", "weights"),
    },
    "no_op": {**_SIGN, "precision": INERT},
    "re_lu": {
        **_ANY,
        "max_value": number(None, low=0.0),
        "negative_slope": _PLAIN_ZERO,
        "threshold": _PLAIN_ZERO,
    },
    "softmax": {**_ANY, "axis": Rule(_axes, -1)},
    **_QKERAS,
}

#: Settings of layers, by class.
LAYERS: dict[str, Schema] = {
    "InputLayer": {
        **_ANY,
        "dtype": choice("float32", "uint8"),
        "input_dtype": fixed(None, "float32"),
        "sparse": fixed(False, None),
        "ragged": fixed(False, None),
        "optional": fixed(False),
    },
    "Dense": _DENSE,
    "QuantDense": {**_DENSE, **_INPUT_QUANTIZER, "kernel_quantizer": THING},
    "Conv2D": _CONV,
    "QuantConv2D": {**_CONV, **_INPUT_QUANTIZER, **_PAD_VALUES, "kernel_quantizer": THING},
    "DepthwiseConv2D": _DEPTHWISE,
    "QuantDepthwiseConv2D": {
        **_DEPTHWISE,
        **_INPUT_QUANTIZER,
        **_PAD_VALUES,
        "depthwise_quantizer": THING,
    },
    "SeparableConv2D": _SEPARABLE,
    "QuantSeparableConv2D": {
        **_SEPARABLE,
        **_INPUT_QUANTIZER,
        **_PAD_VALUES,
        "depthwise_quantizer": THING,
        "pointwise_quantizer": THING,
    },
    "Conv1D": {**_CONV, **_ROW},
    "QuantConv1D": {
        **_CONV,
        **_ROW,
        **_INPUT_QUANTIZER,
        **_PAD_VALUES,
        "kernel_quantizer": THING,
    },
    "MaxPooling1D": _ROW_POOL,
    "AveragePooling1D": _ROW_POOL,
    "GlobalMaxPooling1D": _GLOBAL,
    "GlobalAveragePooling1D": _GLOBAL,
    "SpatialDropout1D": _NOISE,
    "ZeroPadding1D": {**_ANY, **_FORMAT, "padding": Rule(_row_borders, 1)},
    "BatchNormalization": _NORM,
    "BatchNormalizationV1": _NORM,
    "MaxPooling2D": _POOL,
    "MaxPool2D": _POOL,
    "AveragePooling2D": _POOL,
    "GlobalMaxPooling2D": _GLOBAL,
    "GlobalAveragePooling2D": _GLOBAL,
    "Dropout": _NOISE,
    "SpatialDropout2D": {**_NOISE, **_FORMAT},
    "GaussianNoise": _NOISE,
    "GaussianDropout": _NOISE,
    "AlphaDropout": _NOISE,
    "ActivityRegularization": {**_ANY, "l1": INERT, "l2": INERT},
    "Identity": _ANY,
    "Activation": {**_ANY, "activation": THING},
    "ReLU": THINGS["re_lu"],
    "Softmax": THINGS["softmax"],
    "SteSign": THINGS["ste_sign"],
    "ApproxSign": THINGS["approx_sign"],
    "SwishSign": THINGS["swish_sign"],
    "SteTern": THINGS["ste_tern"],
    "SteHeaviside": THINGS["ste_heaviside"],
    "DoReFa": THINGS["dorefa_quantizer"],
    "Flatten": {**_ANY, **_FORMAT},
    "Reshape": {**_ANY, "target_shape": Rule(_target)},
    "ZeroPadding2D": {**_ANY, **_FORMAT, "padding": Rule(_borders, 1)},
    "Rescaling": {**_ANY, "scale": number(1.0), "offset": number(0.0)},
    "Add": _ANY,
    # --- QKeras
    "QDense": {**_DENSE, **_QUANTIZED},
    "QConv2D": {**_CONV, **_QUANTIZED, **_MASK},
    "QConv1D": {**_CONV, **_ROW, **_QUANTIZED},
    "QSeparableConv2D": {
        **_SEPARABLE,
        "depthwise_quantizer": THING,
        "pointwise_quantizer": THING,
        "bias_quantizer": THING,
    },
    "QDepthwiseConv2D": {
        **_DEPTHWISE,
        **_RANGES,
        "depthwise_range": INERT,
        "depthwise_quantizer": THING,
        "bias_quantizer": THING,
    },
    "QDenseBatchnorm": {**_DENSE, **_QUANTIZED, **_FOLDED},
    "QConv2DBatchnorm": {**_CONV, **_QUANTIZED, **_MASK, **_FOLDED},
    "QDepthwiseConv2DBatchnorm": {
        **_DEPTHWISE,
        **_RANGES,
        "depthwise_range": INERT,
        "depthwise_quantizer": THING,
        "bias_quantizer": THING,
        **_FOLDED,
    },
    "QActivation": {**_ANY, "activation": THING},
    "QBatchNormalization": {
        **_NORM,
        "gamma_quantizer": THING,
        "beta_quantizer": THING,
        "mean_quantizer": THING,
        "variance_quantizer": THING,
        "inverse_quantizer": fixed(None),
        "gamma_range": INERT,
        "beta_range": INERT,
        "activation": fixed(None, "linear"),
        "fused": INERT,
    },
    "QAveragePooling2D": {**_POOL, **_AVERAGE},
    "QGlobalAveragePooling2D": {**_GLOBAL, **_AVERAGE},
    # --- HGQ
    "FixedPointQuantizer": {
        **_ANY,
        "RND": choice("TRN", "RND", "RND_CONV", "TRN_ZERO"),
        "SAT": choice("WRAP", "SAT"),
        "shape": INERT,  # of its arrays
        "overrides": INERT,  # notes for hls4ml, which follow from the arrays
        "fusible": INERT,
    },
    # --- BinaryNet and TernaryNet
    "BinaryDense": {**_DENSE, **_BINARY},
    "TernaryDense": {**_DENSE, **_BINARY},
    "BinaryConv2D": {**_CONV, **_BINARY},
    "TernaryConv2D": {**_CONV, **_BINARY},
    "Concatenate": {**_ANY, "axis": Rule(_axes, -1)},
    # Keras 2 and 3 name the slope otherwise.
    "LeakyReLU": {**_ANY, "alpha": number(None), "negative_slope": number(None)},
    "PReLU": {**_ANY, **_trained("alpha"), "shared_axes": Rule(_shared_axes, None)},
}

#: Settings of a model.
MODEL: Schema = {
    "name": INERT,
    "trainable": INERT,
    "dtype": POLICY,
    "layers": INERT,
    "input_layers": INERT,
    "output_layers": INERT,
    "build_input_shape": INERT,
}


class Settings(Mapping[str, Any]):
    """The checked settings of one layer or object, by key.

    Args:
        where: the layer or object, for messages.
        schema: the rules of its class, by key.
        given: its settings in the file.

    Raises:
        FormatError: a key is not known, or its value cannot be converted; the message names both.
    """

    def __init__(self, where: str, schema: Schema, given: Mapping[Any, Any]) -> None:
        self._where = where
        self._values: dict[str, Any] = {}
        self._passed_over: set[str] = set()
        self.shape: list[int | None] | None = None
        for key in given:
            if key not in schema:
                raise FormatError(
                    f"{where}: has a setting {short(key)} ({short(given[key])}), which is not "
                    "known and cannot be converted"
                )
        for key, rule in schema.items():
            value = given.get(key, rule.default)
            try:
                parsed = rule.parse(value)
            except _WrongError as reason:
                raise FormatError(f"{where}: {key} {short(value)}: {reason}") from None
            if rule.is_read:
                self._values[key] = parsed
                if key in given and value != rule.default:
                    self._passed_over.add(key)
            elif rule.parse is _shape and parsed is not None:
                self.shape = parsed

    def __getitem__(self, key: str) -> Any:
        self._passed_over.discard(key)
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values  # "in" does not count as reading

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def all_read(self) -> None:
        """Raise FormatError if there are settings that the reader did not read."""
        if self._passed_over:
            key = min(self._passed_over)
            raise FormatError(
                f"{self._where}: {key} {short(self._values[key])} cannot be converted here"
            )


def short(value: Any) -> str:
    """Return ``value`` as one short line, for a message."""
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return "(a huge number)"
    text = reprlib.repr(value).replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "..."

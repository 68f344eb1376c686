# SPDX-License-Identifier: BSD-3-Clause
"""Larq's quantizers (larq.quantizers 0.14) and Keras' activations, from their configuration.

Each of them is computed in float32, with the operations in the same order as in its package.
QKeras' quantizers are in :mod:`bnn.formats.keras.qkeras`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.keras import qkeras
from bnn.formats.keras.settings import THINGS, Settings, short
from bnn.formats.qonnx.quantizers import float_thresholds
from bnn.formats.weights import Weights, from_any, signs, whole
from bnn.network.network import Activation, Clip, MultiThreshold, RealLayer, Sign
from bnn.program.precision import BIPOLAR

Real = NDArray[np.float32]

SIGNS = {"ste_sign", "approx_sign", "swish_sign"}
_ALIASES = {
    "do_re_fa": "dorefa_quantizer",
    "do_re_fa_quantizer": "dorefa_quantizer",
    "no_op_quantizer": "no_op",
    "dorefa": "dorefa_quantizer",
    "relu": "re_lu",
}
#: Packages whose registered names are known.
_PACKAGES = ("keras", "tf_keras", "larq", "qkeras")
#: Keys of a serialized object.
_OBJECT = {
    "class_name",
    "config",
    "module",
    "registered_name",
    "build_config",
    "shared_object_id",
    "__passive_serialization__",
}
_F = np.float32
#: Relative tolerance: a few roundings of float32.
_ULPS = 2.0**-21


@dataclass(frozen=True, eq=False)
class Named:
    """A quantizer or activation: its name (lower case, underscores) and its settings."""

    name: str
    settings: Settings

    @classmethod
    def plain(cls, where: str, name: str, config: Mapping[str, Any] | None = None) -> Named:
        """Return the quantizer or activation with the plain name ``name``.

        Its settings are those of ``config``, checked; for missing ones their defaults.
        """
        schema = THINGS.get(name, {})
        if config and name not in THINGS:
            raise FormatError(f"{where}: {name!r} cannot be converted")
        return cls(name, Settings(f"{where}: {name}", schema, config or {}))


def named(where: str, given: Any) -> Named | None:
    """Return the quantizer or activation in a configuration: a name, an object, or None.

    Raises:
        FormatError: the quantizer or activation is unknown, is a class or function of the user, or
            has a setting that cannot be converted.
    """
    if given is None or given == "linear":
        return None
    if isinstance(given, str):
        call = qkeras.called(given)
        if call is not None:
            return Named.plain(where, *call)
        return Named.plain(where, plain(where, given))
    if not isinstance(given, Mapping) or not isinstance(given.get("class_name"), str):
        raise FormatError(
            f"{where}: {short(given)} is not a quantizer or activation that can be read"
        )
    for key in given:
        if key not in _OBJECT:
            raise FormatError(
                f"{where}: {short(given['class_name'])} has an unknown key {short(key)}, which "
                "cannot be converted"
            )
    kind, inner = given["class_name"], given.get("config", {})
    module, registered = given.get("module"), given.get("registered_name")
    for name in (registered, kind):
        if isinstance(name, str):
            plain(where, name)  # raises for other packages
    if module is not None and str(module).split(".")[0] not in (
        *_PACKAGES,
        "builtins",
        "tensorflow",
    ):
        raise FormatError(f"{where}: {short(kind)} is code of {short(module)}, which is not run")
    if kind == "function" and isinstance(inner, str):
        return Named.plain(where, plain(where, inner))
    if registered not in (None, kind) and str(registered).split(">")[-1] != kind:
        raise FormatError(
            f"{where}: its class {short(kind)} and its registered name {short(registered)} differ"
        )
    if not isinstance(inner, Mapping):
        raise FormatError(
            f"{where}: the settings of {short(kind)} are {short(inner)}, not a JSON object"
        )
    return Named.plain(where, plain(where, kind), inner)


def plain(where: str, name: str) -> str:
    """Return ``ste_sign`` for ``SteSign`` or ``Larq>ste_sign``; refuse names of other packages."""
    package, _, last = name.rpartition(">")
    if package and package.lower() not in _PACKAGES:
        raise FormatError(
            f"{where}: {name!r} is the user's own code, which is not run; if it computes the same "
            f"as a known function, name that: --quantizer '{name}=ste_sign'"
        )
    if not re.fullmatch(r"\w{1,64}", last):
        raise FormatError(
            f"{where}: {short(name)} is not a quantizer or activation that can be read"
        )
    snake = re.sub("([a-z0-9])([A-Z])", r"\1_\2", last).lower()
    return _ALIASES.get(snake, snake)


# --- weights -------------------------------------------------------------------------


def weights_of(where: str, given: Named | None, latent: Real, multiplier: int = 0) -> Weights:
    """Return latent weights (out, ...) quantized by ``given``.

    If ``given`` is None, the weights must be small integers times a scale already; other weights
    get 24 bits (:func:`bnn.formats.weights.from_any`). ``multiplier``: how many successive rows of
    a depthwise layer belong to one channel; 0 for other layers.
    """
    latent = latent.astype(np.float32)
    if not np.isfinite(latent).all():
        raise FormatError(f"{where}: weights are not finite")
    if given is None or given.name == "no_op":
        return from_any(latent, where)
    match given.name:
        case name if name in qkeras.NAMES:
            return qkeras.weights_of(where, name, given.settings, latent, multiplier)
        case name if name in SIGNS:
            return signs(latent)
        case "magnitude_aware_sign":
            return Weights(signs(latent).integers, BIPOLAR, _magnitudes(latent, multiplier))
        case "ste_tern":
            return whole(_ternary(given, latent), np.ones(1), -1, 1)
        case "ste_heaviside":
            return whole((latent > 0).astype(np.float32), np.ones(1), 0, 1)
        case "dorefa_quantizer" if given.settings["mode"] == "weights":
            return _dorefa_weights(given.settings["k_bit"], latent)
        case "dorefa_quantizer":
            raise FormatError(
                f"{where}: dorefa_quantizer in the mode 'activations' as kernel quantizer "
                "cannot be converted"
            )
    raise FormatError(f"{where}: kernel quantizer {given.name!r} cannot be converted")


def _magnitudes(latent: Real, multiplier: int) -> Real:
    """Return the scale of each output (out,): a mean of absolute weights, as Larq computes it.

    Larq takes the mean over all axes of its kernel except the last. The last axis of a dense or
    convolution kernel is the outputs. The last axis of a depthwise kernel (height, width,
    channels, multiplier) is the multiplier, so all channels share a scale.
    """
    sizes = np.abs(latent).reshape(len(latent), -1)
    if not multiplier:
        means: Real = sizes.mean(axis=1, dtype=np.float32)
        return means
    of_each = sizes.reshape(-1, multiplier, sizes.shape[1]).mean(axis=(0, 2), dtype=np.float32)
    return np.tile(of_each, len(latent) // multiplier)


def _ternary(given: Named, x: Real) -> Real:
    delta = _F(given.settings["threshold_value"])
    if given.settings["ternary_weight_networks"]:
        delta = _F(0.7) * np.abs(x).sum(dtype=np.float32) / _F(x.size)
    signs_of: Real = np.sign(np.sign(x + delta) + np.sign(x - delta))
    return signs_of


def _dorefa_weights(bits: int, latent: Real) -> Weights:
    limited = np.tanh(latent)
    largest = _F(2) * np.abs(limited).max()
    normed = limited / largest + _F(0.5) if largest else np.full_like(limited, 0.5)
    steps = (1 << bits) - 1
    levels = np.rint(normed * _F(steps))
    return whole(2 * levels - steps, np.full(1, 1 / steps), -steps, steps)


def unsure(given: Named | None, latent: Real) -> int:
    """Return how many weights are so close to a step that rounding in float32 decides.

    TensorFlow's tanh and its sums in float32 differ between machines; Larq's integer of such a
    weight may be the neighbouring one.
    """
    if given is None:
        return 0
    x = latent.astype(np.float64)
    if given.name == "dorefa_quantizer" and given.settings["mode"] == "weights":
        limited = np.tanh(x)
        largest = np.abs(limited).max()
        steps = (1 << given.settings["k_bit"]) - 1
        place = (limited / (2 * largest) + 0.5) * steps if largest else np.zeros(x.shape)
        return int((np.abs(place - np.floor(place) - 0.5) < _ULPS * steps).sum())
    if given.name == "ste_tern" and given.settings["ternary_weight_networks"]:
        delta = 0.7 * np.abs(x).mean()
        return int((np.abs(np.abs(x) - delta) < _ULPS * delta).sum()) if delta else 0
    return 0


# --- activations ---------------------------------------------------------------------


def activation_of(where: str, given: Named, name: str, source: str) -> Activation:
    """Return the quantizing activation ``given`` as a layer called ``name``."""
    match given.name:
        case kind if kind in qkeras.NAMES | qkeras.PLAIN:
            return qkeras.activation_of(where, kind, given.settings, name, source)
        case kind if kind in SIGNS:
            return Sign(name, source=source)
        case "sign":
            return Sign(name, at_zero=0, source=source)
        case "magnitude_aware_sign":
            raise FormatError(f"{where}: magnitude_aware_sign is for weights, not for inputs")
        case "ste_heaviside":
            above = np.nextafter(_F(0), _F(1))
            return MultiThreshold(name, np.full((1, 1), above), source=source)
        case "ste_tern":
            if given.settings["ternary_weight_networks"]:
                raise FormatError(
                    f"{where}: ternary_weight_networks is for weights, not for inputs"
                )
            if given.settings["threshold_value"] < 0:
                raise FormatError(f"{where}: the threshold_value of ste_tern must not be negative")
            table = float_thresholds(lambda x: _ternary(given, x) + 1, 2)
            return MultiThreshold(name, table[None, :], 1.0, 1, -1, source)
        case "dorefa_quantizer" if given.settings["mode"] == "activations":
            steps = (1 << given.settings["k_bit"]) - 1
            table = float_thresholds(lambda x: np.rint(np.clip(x, _F(0), _F(1)) * _F(steps)), steps)
            return MultiThreshold(name, table[None, :], float(_F(1) / _F(steps)), source=source)
    raise FormatError(f"{where}: activation {given.name!r} cannot be converted")


def real_activation(given: Named, name: str, source: str) -> RealLayer | None:
    """Return ``given`` as a real-valued layer; None if it is not a ReLU or hard tanh."""
    match given.name:
        case "re_lu":
            most = given.settings["max_value"]
            return Clip(name, 0.0, np.inf if most is None else most, source)
        case "relu6":
            return Clip(name, 0.0, 6.0, source)
        case "hard_tanh":
            return Clip(name, -1.0, 1.0, source)
    return None


def of_zero(where: str, given: Named) -> float:
    """Return the real value that the quantizing activation ``given`` makes of 0."""
    made = activation_of(where, given, "zero", "")
    level = int(made.level(np.zeros((1, 1), np.float32))[0, 0])
    return float(_F(made.scale) * _F(made.base + made.step * level))

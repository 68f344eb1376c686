# SPDX-License-Identifier: BSD-3-Clause
"""Reading Keras model files as data: layers with their configuration and arrays.

The files are ``.keras`` (a zip archive of JSON and HDF5; Keras 3 and the last versions of Keras 2),
``.h5`` with a whole model, and ``.h5`` with weights only, next to a JSON file of the architecture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.keras import told
from bnn.formats.keras.graph import node_sources, output_name
from bnn.formats.keras.settings import LAYERS, MODEL, Settings, short
from bnn.system import archives
from bnn.system.files import parse_json, read_file

MAX_CONFIG = 1 << 26
MAX_LAYERS = 4096


@dataclass(frozen=True, eq=False)
class KerasLayer:
    """One layer of a Keras model.

    Attributes:
        name: name of the layer.
        kind: name of the layer's class.
        settings: the layer's configuration, checked against the settings of its class.
        sources: names of the layers that the layer reads.
        arrays: the layer's variables by name. If the file has no names of variables, they are
            called ``0``, ``1``, ... in their order.
    """

    name: str
    kind: str
    settings: Settings
    sources: tuple[str, ...]
    arrays: Mapping[str, NDArray[Any]]

    def __str__(self) -> str:
        return _called(self.name, self.kind)


def _called(name: str, kind: str) -> str:
    return f"layer {name!r} ({kind})"


@dataclass(frozen=True, eq=False)
class KerasModel:
    """The layers of a model: each comes after the layers that it reads; the last is the output.

    Attributes:
        unused: names of layers that the output does not depend on.
        version: Keras' major version, 2 or 3.
    """

    layers: tuple[KerasLayer, ...]
    unused: tuple[str, ...]
    version: int


@dataclass(frozen=True, eq=False)
class _Listed:
    """A layer in the configuration, not checked yet."""

    name: str
    kind: str
    config: Mapping[str, Any]
    nodes: Any

    def __str__(self) -> str:
        return _called(self.name, self.kind)


Quantizers = Mapping[str, str]


def read(
    path: Path, architecture: Path | None = None, quantizers: Quantizers | None = None
) -> KerasModel:
    """Read the model in a ``.keras`` or ``.h5`` file.

    Args:
        path: the file.
        architecture: the JSON file (``model.to_json()``) of the model, if ``path`` contains
            weights only.
        quantizers: the user's own functions: name in the file -> name of a known one.

    Raises:
        FormatError: the file is damaged, its architecture is missing, its model is not a stack or
            graph of layers, or a layer has a setting that cannot be converted.
    """
    with archives.size_checked(path).open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if is_zip:
        if architecture is not None:
            raise FormatError(f"{path}: is a whole model; do not use --architecture")
        return _read_zip(path, quantizers or {})
    return _read_hdf5(path, architecture, quantizers or {})


def _read_zip(path: Path, quantizers: Quantizers) -> KerasModel:
    if "config.json" not in archives.members(path):
        raise FormatError(f"{path}: is not a Keras model: it has no config.json")
    config = _json(path, archives.member(path, "config.json"), quantizers)
    listed = _listed(path, config)
    version = 3
    if "metadata.json" in archives.members(path):
        version = _version(path, _parsed(path, archives.member(path, "metadata.json")))
    with archives.Hdf5(path, archives.member(path, "model.weights.h5")) as weights:
        top = "_layer_checkpoint_dependencies" if "layers" not in weights.keys("") else "layers"
        places = _places(path, weights, top, listed)
        return _model(path, config, listed, version, lambda one: _numbered(weights, places[one]))


def _version(path: Path, given: Any) -> int:
    """Return Keras' major version, from the configuration or from ``metadata.json``."""
    text = given.get("keras_version") if isinstance(given, dict) else given
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    known = re.match(r"([123])\.", text) if isinstance(text, str) else None
    if known is None:
        raise FormatError(
            f"{path}: was written by a Keras of version {short(text)}; 2 and 3 are read"
        )
    return 3 if known[1] == "3" else 2


def _places(
    path: Path, weights: archives.Hdf5, top: str, listed: list[_Listed]
) -> dict[str, str | None]:
    """Return layer -> HDF5 group with the layer's arrays; None if the layer has no group.

    A group notes the name of its layer, or is called after the layer's class and a number.
    """
    named: dict[str, str] = {}
    for key in weights.keys(top):
        name = weights.attribute(f"{top}/{key}/vars", "name")
        if isinstance(name, bytes):
            name = name.decode("utf-8", "replace")
        if isinstance(name, str):
            if name in named:
                raise FormatError(f"{path}: two groups of weights are called {name!r}")
            named[name] = f"{top}/{key}"
    counts: dict[str, int] = {}
    places: dict[str, str | None] = {}
    for layer in listed:
        snake = _snake(layer.kind)
        number = counts.get(snake, 0)
        counts[snake] = number + 1
        numbered = f"{top}/{snake}" + (f"_{number}" if number else "")
        taken = numbered in named.values()  # by the layer whose name is noted in it
        places[layer.name] = named.get(layer.name, None if taken else numbered)
    return places


def _snake(name: str) -> str:
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _numbered(weights: archives.Hdf5, place: str | None) -> dict[str, NDArray[Any]]:
    if place is None:
        return {}
    keys = sorted(weights.keys(f"{place}/vars"), key=lambda key: (len(key), key))
    return {key: weights.array(f"{place}/vars/{key}") for key in keys}


def _read_hdf5(path: Path, architecture: Path | None, quantizers: Quantizers) -> KerasModel:
    with archives.Hdf5(path) as file:
        text = file.attribute("", "model_config")
        if text is None:
            if architecture is None:
                raise FormatError(
                    f"{path}: holds weights alone; give the JSON of their architecture "
                    "(model.to_json()) with --architecture, or save the whole model"
                )
            return _read_weights(path, file, architecture, quantizers)
        if architecture is not None:
            raise FormatError(f"{path}: is a whole model; do not use --architecture")
        config = _json(path, text, quantizers)
        version = _version(path, file.attribute("", "keras_version"))
        listed = _listed(path, config)
        kinds = {one.name: one.kind for one in listed}
        return _model(
            path,
            config,
            listed,
            version,
            lambda one: _named(path, file, "model_weights/", one, kinds[one]),
        )


def _read_weights(
    path: Path, file: archives.Hdf5, architecture: Path, quantizers: Quantizers
) -> KerasModel:
    """Read a file of weights, whose groups are called after layers, or numbered (Keras 3)."""
    text = read_file(architecture, MAX_CONFIG, FormatError)
    config = _json(architecture, text, quantizers)
    listed = _listed(architecture, config)
    kinds = {one.name: one.kind for one in listed}
    groups = file.keys("")
    if "layers" in groups or "_layer_checkpoint_dependencies" in groups:
        top = "layers" if "layers" in groups else "_layer_checkpoint_dependencies"
        places = _places(path, file, top, listed)
        version = _version(architecture, config.get("keras_version", "3."))
        return _model(
            architecture, config, listed, version, lambda one: _numbered(file, places[one])
        )
    stated = config.get("keras_version", file.attribute("", "keras_version"))
    for name in file.keys(""):
        extra = file.attribute(name, "weight_names")
        if name not in kinds and extra is not None and np.size(extra):
            raise FormatError(
                f"{path}: has weights of a layer {short(name)}, which {architecture} does not have"
            )
    return _model(
        architecture,
        config,
        listed,
        _version(architecture, stated),
        lambda one: _named(path, file, "", one, kinds[one]),
    )


def _named(
    path: Path, file: archives.Hdf5, top: str, layer: str, kind: str
) -> dict[str, NDArray[Any]]:
    """Return a layer's arrays by their short names, such as ``kernel`` for ``a/b/kernel:0``."""
    names = file.attribute(f"{top}{layer}", "weight_names")
    found: dict[str, NDArray[Any]] = {}
    for name in [] if names is None else np.asarray(names).reshape(-1):
        if not isinstance(name, bytes | str):
            raise FormatError(f"{path}: the names of the weights of layer {layer!r} are not text")
        text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        short_name = text.rsplit("/", 1)[-1].split(":")[0]
        if short_name in found:
            raise FormatError(f"{path}: layer {layer!r} has two arrays called {short_name!r}")
        found[short_name] = file.array(f"{top}{layer}/{text}")
    # Keras takes the arrays of this format by their order, whatever they are called.
    right = _FOLDED_ORDER if kind.endswith("Batchnorm") else _ORDER
    order = [name for name in found if name in right]
    if order != sorted(order, key=right.index):
        raise FormatError(
            f"{path}: layer {layer!r} lists its arrays as {', '.join(order)}: Keras takes them by "
            "position and would exchange them; save the model again"
        )
    return found


#: Order of the arrays in Keras' layers.
_ORDER = (
    *("depthwise_kernel", "pointwise_kernel", "kernel", "gamma", "beta", "bias"),
    *("moving_mean", "moving_variance"),
)
#: Order of the arrays in QKeras' layers with a batch norm of their own.
_FOLDED_ORDER = (
    *("depthwise_kernel", "kernel", "bias", "gamma", "beta"),
    *("iteration", "moving_mean", "moving_variance"),
)


def _parsed(path: Path, text: Any) -> Any:
    if not isinstance(text, str | bytes):
        raise FormatError(f"{path}: its configuration is not text")
    if len(text) > MAX_CONFIG:
        raise FormatError(f"{path}: its configuration is larger than {MAX_CONFIG >> 20} MiB")
    try:
        return parse_json(text, finite=True)
    except ValueError as reason:
        raise FormatError(f"{path}: its configuration is not JSON: {reason}") from None


def _json(path: Path, text: Any, quantizers: Quantizers) -> dict[str, Any]:
    config = _parsed(path, text)
    seen: set[str] = set()
    config = _told(config, quantizers, seen)
    for name in quantizers:
        if name not in seen:
            raise told.missing(path, name, seen)
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict | list):
        raise FormatError(f"{path}: its configuration does not describe a model")
    return config


def _told(config: Any, quantizers: Quantizers, seen: set[str], is_function: bool = False) -> Any:
    """Return ``config`` with the user's functions replaced by the known ones of ``quantizers``.

    The names of all functions in ``config`` are added to ``seen``.
    """
    if isinstance(config, list):
        return [_told(item, quantizers, seen) for item in config]
    name = config
    if isinstance(config, dict):
        is_plain = config.get("class_name") == "function"
        name = config.get("config") if is_plain else config.get("registered_name")
    if is_function and isinstance(name, str):
        seen.add(name)
        if name in quantizers:
            return quantizers[name]
    if not isinstance(config, dict):
        return config
    return {
        key: _told(value, quantizers, seen, key == "activation" or key.endswith("quantizer"))
        for key, value in config.items()
    }


def _listed(path: Path, config: dict[str, Any]) -> list[_Listed]:
    kind, inner = config.get("class_name"), config["config"]
    if kind not in ("Sequential", "Functional", "Model"):
        raise FormatError(
            f"{path}: is a {short(kind)} model, whose layers are defined by code; "
            "Sequential and Functional models can be read"
        )
    _from_keras(f"{path}: the model", config)
    if isinstance(inner, dict):
        Settings(f"{path}: the model", MODEL, inner)
    layers = inner if isinstance(inner, list) else inner.get("layers")
    if not isinstance(layers, list) or not 1 <= len(layers) <= MAX_LAYERS:
        raise FormatError(f"{path}: its configuration lists no layers")
    return [_one(path, layer) for layer in layers]


#: Keys that a layer may have in addition to ``config``; others are refused.
_OTHER_KEYS = {
    "class_name",
    "config",
    "name",
    "inbound_nodes",
    "module",
    "registered_name",
    "build_config",
    "compile_config",
    "shared_object_id",
}


def _one(path: Path, layer: Any) -> _Listed:
    if not (
        isinstance(layer, dict)
        and isinstance(layer.get("class_name"), str)
        and isinstance(layer.get("config"), dict)
    ):
        raise FormatError(f"{path}: its configuration has a layer without class or settings")
    config = layer["config"]
    name = config.get("name", layer.get("name"))
    if not isinstance(name, str) or layer.get("name", name) != name:
        raise FormatError(f"{path}: its configuration has a layer without a name, or with two")
    made = _Listed(name, layer["class_name"], config, layer.get("inbound_nodes"))
    for key in layer:
        if key not in _OTHER_KEYS:
            raise FormatError(
                f"{path}: {made}: has an unknown key {short(key)} ({short(layer[key])}), which "
                "cannot be converted"
            )
    _from_keras(f"{path}: {made}", layer)
    return made


def _from_keras(where: str, layer: Mapping[str, Any]) -> None:
    """Refuse custom classes with the name of a class of Keras, Larq or QKeras."""
    module, registered = layer.get("module"), layer.get("registered_name")
    packages = ("keras", "tf_keras", "tensorflow", "larq", "qkeras", "HGQ")
    foreign = module is not None and str(module).split(".")[0] not in packages
    kind = layer.get("class_name")
    names = {None, kind, f"Larq>{kind}", f"qkeras>{kind}", f"HGQ>{kind}"}
    if foreign or not isinstance(registered, str | None) or registered not in names:
        raise FormatError(
            f"{where}: is a custom class ({short(registered or module)}), whose code is not run"
        )


def _model(
    path: Path,
    config: dict[str, Any],
    listed: list[_Listed],
    version: int,
    arrays: Callable[[str], Mapping[str, NDArray[Any]]],
) -> KerasModel:
    sequential = config["class_name"] == "Sequential"
    layers: dict[str, _Listed] = {}
    sources: dict[str, tuple[str, ...]] = {}
    before: tuple[str, ...] = ()
    for one in listed:
        if one.name in layers:
            raise FormatError(f"{path}: two layers are called {one.name!r}")
        layers[one.name] = one
        where = f"{path}: {one}"
        if sequential and one.nodes:
            raise FormatError(
                f"{where}: has inbound_nodes, which a layer of a Sequential model must not have"
            )
        sources[one.name] = before if sequential else node_sources(where, one.nodes)
        before = (one.name,)
    output = listed[-1].name if sequential else output_name(path, config["config"])
    ordered = _ordered(path, sources, output)
    made = tuple(
        KerasLayer(
            name, layers[name].kind, _settings(path, layers[name]), sources[name], arrays(name)
        )
        for name in ordered
    )
    return KerasModel(made, tuple(name for name in layers if name not in ordered), version)


def _settings(path: Path, layer: _Listed) -> Settings:
    schema = LAYERS.get(layer.kind)
    if schema is None:
        why = "holds code, which is not run" if layer.kind == "Lambda" else "cannot be converted"
        raise FormatError(f"{path}: {layer}: {why}")
    return Settings(f"{path}: {layer}", schema, layer.config)


def _ordered(path: Path, sources: Mapping[str, tuple[str, ...]], output: str) -> dict[str, None]:
    """Return the names of the layers that ``output`` depends on, each after those that it reads."""
    done: dict[str, None] = {}
    waiting = [(output, False)]
    active: set[str] = set()
    while waiting:
        name, ready = waiting.pop()
        if name in done:
            continue
        if name not in sources or (name in active and not ready):
            raise FormatError(f"{path}: layer {name!r} is missing, or reads itself")
        if ready:
            done[name] = None
            continue
        active.add(name)
        waiting.append((name, True))
        waiting += [(source, False) for source in sources[name] if source not in done]
    return done

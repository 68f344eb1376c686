# SPDX-License-Identifier: BSD-3-Clause
"""Keras model files as data: layers with their configuration, and the arrays of each.

``.keras`` (a zip of JSON and HDF5, Keras 3 and late Keras 2) and whole-model ``.h5``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats import archives

MAX_CONFIG = 1 << 26
MAX_LAYERS = 4096


@dataclass(frozen=True, eq=False)
class KerasLayer:
    """One layer.

    Attributes:
        name: its own. kind: class name.
        config: its configuration.
        sources: names of the layers that it reads.
        arrays: its variables by name where names are known (``.h5``), else in their
            order as ``0``, ``1``, ...
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    sources: tuple[str, ...]
    arrays: Mapping[str, NDArray[Any]]

    def __str__(self) -> str:
        return f"layer {self.name!r} ({self.kind})"


@dataclass(frozen=True, eq=False)
class KerasModel:
    """Layers in an order in which each comes after what it reads; the last is the output.

    Attributes:
        unused: names of layers that the output does not depend on.
        version: Keras' own, 2 or 3.
    """

    layers: tuple[KerasLayer, ...]
    unused: tuple[str, ...]
    version: int


def read(path: Path) -> KerasModel:
    """The model in a ``.keras`` or ``.h5`` file.

    Raises:
        FormatError: it is damaged, or holds weights only, or a model that is no stack or
            graph of layers.
    """
    with archives.size_checked(path).open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    return _read_zip(path) if is_zip else _read_hdf5(path)


def _read_zip(path: Path) -> KerasModel:
    if "config.json" not in archives.members(path):
        raise FormatError(f"{path}: is no Keras model: it holds no config.json")
    config = _json(path, archives.member(path, "config.json"))
    with archives.Hdf5(path, archives.member(path, "model.weights.h5")) as weights:
        listed = _listed(path, config)
        top = "_layer_checkpoint_dependencies" if "layers" not in weights.keys("") else "layers"
        places = _places(weights, top, listed)
        arrays = {name: _numbered(weights, place) for name, place in places.items()}
    version = 3
    if "metadata.json" in archives.members(path):
        version = _version(_parsed(path, archives.member(path, "metadata.json")))
    return _model(path, config, listed, arrays, version)


def _version(metadata: Any) -> int:
    text = metadata.get("keras_version") if isinstance(metadata, dict) else metadata
    return 2 if str(text).startswith(("1.", "2.")) else 3


def _places(weights: archives.Hdf5, top: str, listed: list[dict[str, Any]]) -> dict[str, str]:
    """Group of each layer: by the name noted in it, else by its class and a running number."""
    named = {}
    for key in weights.keys(top):
        name = weights.attribute(f"{top}/{key}/vars", "name")
        if isinstance(name, bytes):
            name = name.decode("utf-8", "replace")
        if isinstance(name, str):
            named[name] = f"{top}/{key}"
    counts: dict[str, int] = {}
    places = {}
    for layer in listed:
        snake = _snake(layer["class_name"])
        number = counts.get(snake, 0)
        counts[snake] = number + 1
        numbered = f"{top}/{snake}" + (f"_{number}" if number else "")
        name = layer["config"]["name"]
        places[name] = named.get(name, numbered)
    return places


def _snake(name: str) -> str:
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _numbered(weights: archives.Hdf5, place: str) -> dict[str, NDArray[Any]]:
    keys = sorted(weights.keys(f"{place}/vars"), key=lambda key: (len(key), key))
    return {key: weights.array(f"{place}/vars/{key}") for key in keys}


def _read_hdf5(path: Path) -> KerasModel:
    with archives.Hdf5(path) as file:
        text = file.attribute("", "model_config")
        if text is None:
            raise FormatError(
                f"{path}: holds no Keras model configuration; save the whole model, "
                "not its weights alone"
            )
        config = _json(path, text)
        listed = _listed(path, config)
        arrays = {one["config"]["name"]: _named(file, one["config"]["name"]) for one in listed}
        version = _version(file.attribute("", "keras_version"))
    return _model(path, config, listed, arrays, version)


def _named(file: archives.Hdf5, layer: str) -> dict[str, NDArray[Any]]:
    """Arrays of a layer; names lose their scope and number: ``a/b/kernel:0`` is ``kernel``."""
    names = file.attribute(f"model_weights/{layer}", "weight_names")
    found = {}
    for name in [] if names is None else np.asarray(names).reshape(-1):
        text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        short = text.rsplit("/", 1)[-1].split(":")[0]
        found[short] = file.array(f"model_weights/{layer}/{text}")
    return found


def _parsed(path: Path, text: str | bytes) -> Any:
    if len(text) > MAX_CONFIG:
        raise FormatError(f"{path}: its configuration is larger than {MAX_CONFIG >> 20} MiB")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise FormatError(f"{path}: its configuration is no JSON") from None


def _json(path: Path, text: str | bytes) -> dict[str, Any]:
    config = _parsed(path, text)
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict | list):
        raise FormatError(f"{path}: its configuration describes no model")
    return config


def _listed(path: Path, config: dict[str, Any]) -> list[dict[str, Any]]:
    kind, inner = config.get("class_name"), config["config"]
    if kind not in ("Sequential", "Functional", "Model"):
        raise FormatError(
            f"{path}: is a {kind} model, whose layers only its code knows; "
            "Sequential and Functional models can be read"
        )
    layers = inner if isinstance(inner, list) else inner.get("layers")
    if not isinstance(layers, list) or not 1 <= len(layers) <= MAX_LAYERS:
        raise FormatError(f"{path}: its configuration lists no layers")
    for layer in layers:
        if not (
            isinstance(layer, dict)
            and isinstance(layer.get("class_name"), str)
            and isinstance(layer.get("config"), dict)
        ):
            raise FormatError(f"{path}: its configuration has a layer without class or settings")
        layer["config"].setdefault("name", layer.get("name"))
        if not isinstance(layer["config"]["name"], str):
            raise FormatError(f"{path}: its configuration has a layer without a name")
    return layers


def _model(
    path: Path,
    config: dict[str, Any],
    listed: list[dict[str, Any]],
    arrays: Mapping[str, Mapping[str, NDArray[Any]]],
    version: int,
) -> KerasModel:
    sequential = config["class_name"] == "Sequential"
    layers: dict[str, KerasLayer] = {}
    before: tuple[str, ...] = ()
    for one in listed:
        name = one["config"]["name"]
        sources = before if sequential else _sources(path, one)
        if name in layers:
            raise FormatError(f"{path}: two layers are called {name!r}")
        layers[name] = KerasLayer(
            name, one["class_name"], one["config"], sources, arrays.get(name, {})
        )
        before = (name,)
    output = listed[-1]["config"]["name"] if sequential else _output(path, config)
    ordered = _ordered(path, layers, output)
    unused = tuple(name for name, layer in layers.items() if layer not in ordered)
    return KerasModel(ordered, unused, version)


def _output(path: Path, config: dict[str, Any]) -> str:
    outputs = config["config"].get("output_layers")
    if isinstance(outputs, list) and outputs and isinstance(outputs[0], str):
        return str(outputs[0])
    if isinstance(outputs, list) and len(outputs) == 1 and isinstance(outputs[0], list):
        return str(outputs[0][0])
    raise FormatError(f"{path}: has several outputs; one can be read")


def _sources(path: Path, layer: dict[str, Any]) -> tuple[str, ...]:
    """Names from ``inbound_nodes``, in the way of Keras 2 or 3."""
    nodes = layer.get("inbound_nodes") or []
    if len(nodes) > 1:
        raise FormatError(f"{path}: layer {layer['config']['name']!r} is used twice")
    found: list[str] = []
    _collect(nodes, found, depth=0)
    return tuple(found)


def _collect(item: Any, found: list[str], depth: int) -> None:
    if depth > 16:
        return
    if isinstance(item, dict):
        history = item.get("config", {}).get("keras_history") if "config" in item else None
        if isinstance(history, list) and history:
            found.append(str(history[0]))
            return
        for value in item.values():
            _collect(value, found, depth + 1)
    elif isinstance(item, list):
        if len(item) >= 3 and isinstance(item[0], str) and isinstance(item[1], int):
            found.append(item[0])
            return
        for value in item:
            _collect(value, found, depth + 1)


def _ordered(path: Path, layers: dict[str, KerasLayer], output: str) -> tuple[KerasLayer, ...]:
    done: dict[str, KerasLayer] = {}
    waiting = [(output, False)]
    active: set[str] = set()
    while waiting:
        name, ready = waiting.pop()
        if name in done:
            continue
        if name not in layers or (name in active and not ready):
            raise FormatError(f"{path}: layer {name!r} is missing, or reads itself")
        if ready:
            done[name] = layers[name]
            continue
        active.add(name)
        waiting.append((name, True))
        waiting += [(source, False) for source in layers[name].sources if source not in done]
    return tuple(done.values())

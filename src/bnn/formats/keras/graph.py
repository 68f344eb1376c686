# SPDX-License-Identifier: BSD-3-Clause
"""Which layers a layer of a Functional Keras model reads, as Keras 2 and 3 write it.

Each layer must be called once, may read only the first output of another layer's first call, and
must not have an argument that changes what it computes. Everything else is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bnn.errors import FormatError
from bnn.formats.keras.settings import short

#: Arguments of a call, and the values with which they have no effect.
_ARGUMENTS: dict[str, tuple[Any, ...]] = {"training": (None, False), "mask": (None,)}
#: Most inputs of a layer.
MAX_SOURCES = 64


def node_sources(where: str, nodes: Any) -> tuple[str, ...]:
    """Return the names of the layers that a layer reads, in order.

    Args:
        where: the layer, for messages.
        nodes: the layer's ``inbound_nodes``.

    Raises:
        FormatError: the layer is called twice, or in a way that cannot be converted.
    """
    if nodes is None or nodes == []:
        return ()
    if not isinstance(nodes, list):
        raise FormatError(f"{where}: inbound_nodes {short(nodes)} is not valid")
    if len(nodes) > 1:
        raise FormatError(
            f"{where}: is used {len(nodes)} times; a shared layer cannot be converted"
        )
    node = nodes[0]
    found = _keras3(where, node) if isinstance(node, dict) else _keras2(where, node)
    if len(found) > MAX_SOURCES:
        raise FormatError(f"{where}: reads {len(found)} tensors; at most {MAX_SOURCES} can be read")
    return tuple(found)


def _keras2(where: str, node: Any) -> list[str]:
    """Parse Keras 2's inputs of a layer: ``[["name", 0, 0, {}], ...]``."""
    if not isinstance(node, list):
        raise FormatError(f"{where}: inbound_nodes {short(node)} is not valid")
    found = []
    for tensor in node:
        found.append(_tensor(where, tensor))
        _check_arguments(where, tensor[3] if len(tensor) > 3 else {})
    return found


def _keras3(where: str, node: dict[Any, Any]) -> list[str]:
    """Parse Keras 3's inputs of a layer: ``{"args": [tensor or tensors], "kwargs": {...}}``."""
    arguments = node.get("args")
    if set(node) - {"args", "kwargs"} or not isinstance(arguments, list):
        raise FormatError(f"{where}: inbound_nodes {short(node)} is not valid")
    _check_arguments(where, node.get("kwargs", {}))
    if len(arguments) != 1:
        raise FormatError(f"{where}: is called with {len(arguments)} arguments, not one")
    first = arguments[0]
    tensors = first if isinstance(first, list) else [first]
    return [_tensor(where, _history(where, tensor)) for tensor in tensors]


def _history(where: str, tensor: Any) -> Any:
    config = tensor.get("config") if isinstance(tensor, dict) else None
    if not isinstance(config, dict) or tensor.get("class_name") != "__keras_tensor__":
        raise FormatError(f"{where}: reads {short(tensor)}, which is not a layer's result")
    if config.get("dtype", "float32") not in ("float32", "uint8"):
        raise FormatError(
            f"{where}: reads values of type {short(config['dtype'])}; float32 and uint8 can be read"
        )
    return config.get("keras_history")


def _tensor(where: str, history: Any) -> str:
    """Return the layer's name in ``[name, call, output]``."""
    if (
        not isinstance(history, list)
        or not 3 <= len(history) <= 4
        or not isinstance(history[0], str)
    ):
        raise FormatError(f"{where}: reads {short(history)}, which is not a layer's result")
    if any(type(n) is not int or n for n in history[1:3]):
        raise FormatError(
            f"{where}: reads call {short(history[1])}, output {short(history[2])} of "
            f"{short(history[0])}; only the first ones can be converted"
        )
    return history[0]


def _check_arguments(where: str, given: Any) -> None:
    if not isinstance(given, dict):
        raise FormatError(f"{where}: its arguments {short(given)} are not a JSON object")
    for key, value in given.items():
        if not any(value is allowed for allowed in _ARGUMENTS.get(key, ())):
            raise FormatError(
                f"{where}: is called with {short(key)} {short(value)}; that cannot be converted"
            )


def output_name(path: Path, config: dict[str, Any]) -> str:
    """Return the name of the layer whose result is the model's output.

    Raises:
        FormatError: the model does not have exactly one output.
    """
    outputs = config.get("output_layers")
    if isinstance(outputs, list) and len(outputs) == 1 and isinstance(outputs[0], list):
        outputs = outputs[0]
    if isinstance(outputs, list) and outputs and not isinstance(outputs[0], list):
        return _tensor(f"{path}: its output", outputs)
    raise FormatError(f"{path}: must have exactly one output")

# SPDX-License-Identifier: BSD-3-Clause
"""Requests of the Open Inference Protocol as tests send them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATATYPES = {"uint8": "UINT8", "int8": "INT8", "int16": "INT16", "float32": "FP32"}
TYPES = {"INT32": np.int32, "INT64": np.int64, "FP64": np.float64}


def tensor(array: NDArray[Any], name: str = "input", **changed: Any) -> dict[str, Any]:
    """An input with its data as JSON."""
    described = {
        "name": name,
        "datatype": DATATYPES[array.dtype.name],
        "shape": list(array.shape),
        "data": array.ravel().tolist(),
    }
    return {**described, **changed}


def binary(array: NDArray[Any], *outputs: str, size: int | None = None) -> tuple[bytes, int]:
    """A body with a binary tensor, and the bytes of its JSON."""
    one = tensor(array)
    del one["data"]
    one["parameters"] = {"binary_data_size": array.nbytes if size is None else size}
    top: dict[str, Any] = {"inputs": [one]}
    if outputs:
        top["outputs"] = [{"name": each, "parameters": {"binary_data": True}} for each in outputs]
    else:
        top["parameters"] = {"binary_data_output": True}
    text = json.dumps(top).encode()
    return text + array.tobytes(), len(text)


def outputs(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """The outputs of an answer by name: arrays, or lists of texts."""
    length = int(headers.get("inference-header-content-length", len(body)))
    rest = body[length:]
    found: dict[str, Any] = {}
    for each in json.loads(body[:length])["outputs"]:
        size = each.get("parameters", {}).get("binary_data_size")
        if each["datatype"] == "BYTES":
            assert size is None
            found[each["name"]] = each["data"]
            continue
        dtype = TYPES[each["datatype"]]
        if size is None:
            values = np.array(each["data"], dtype)
        else:
            values, rest = np.frombuffer(rest[:size], dtype), rest[size:]
        found[each["name"]] = values.reshape(each["shape"])
    assert not rest
    return found

# SPDX-License-Identifier: BSD-3-Clause
"""Requests with one change each: parsed as something else, or refused, as before."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from bnn.errors import InputError
from bnn.serve import wire
from support.changes import json_changes, some
from support.golden import compare

#: Bytes of JSON, images of a request.
MAX_JSON, MAX_IMAGES = 4000, 5


def parsed(body: bytes, length: int | None) -> Any:
    try:
        made = wire.parse(body, length, MAX_JSON, MAX_IMAGES)
    except InputError as error:
        return str(error)
    inputs = [
        [one.name, one.datatype, list(one.shape), np.asarray(one.values).tolist()]
        for one in made.inputs
    ]
    told = None if made.outputs is None else [[one.name, one.binary] for one in made.outputs]
    return repr([inputs, told, made.binary, made.id])


def test_changed_requests() -> None:
    own = {"name": "input", "datatype": "UINT8", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 255]}
    asked = {"name": "scores", "parameters": {"binary_data": False}}
    bytes_ = {"name": "input", "datatype": "BYTES", "shape": [1], "data": ["aGk="]}
    real = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[0.5, -3.0]]}
    requests: dict[str, Any] = {
        "whole": {"id": "a", "inputs": [own], "outputs": [asked]},
        "plain": {"inputs": [real], "parameters": {"binary_data_output": True}},
        "bytes": {"inputs": [bytes_]},
        "nested": {"inputs": [{**own, "data": [[1, 2, 3], [4, 5, 6]]}]},
    }
    found: dict[str, Any] = {}
    for name, request in requests.items():
        found[name] = parsed(json.dumps(request).encode(), None)
        for what, made in some(json_changes(request), 120):
            found[f"{name} {what}"] = parsed(json.dumps(made()).encode(), None)
    for count in (MAX_IMAGES, MAX_IMAGES + 1):
        many = {**own, "shape": [count, 1], "data": [7] * count}
        found[f"{count} images"] = parsed(json.dumps({"inputs": [many]}).encode(), None)
    for size in (MAX_JSON, MAX_JSON + 1):
        text = json.dumps({"inputs": [own]})
        found[f"{size} bytes"] = parsed(text.ljust(size).encode(), None)
    compare("requests", found)


def test_changed_binary_requests() -> None:
    own = {
        "name": "input", "datatype": "INT16", "shape": [1, 2],
        "parameters": {"binary_data_size": 4},
    }  # fmt: skip
    texts = {
        "name": "input", "datatype": "BYTES", "shape": [2],
        "parameters": {"binary_data_size": 11},
    }  # fmt: skip
    found: dict[str, Any] = {}
    tails = {
        "own": (own, b"\1\0\xfe\xff"),
        "texts": (texts, b"\1\0\0\0a\2\0\0\0bc"),
    }
    for name, (one, tail) in tails.items():
        request = {"inputs": [one]}
        text = json.dumps(request).encode()
        found[name] = parsed(text + tail, len(text))
        for cut in range(len(tail)):
            found[f"{name} cut at {cut}"] = parsed(text + tail[:cut], len(text))
        found[f"{name} more"] = parsed(text + tail + b"x", len(text))
        for more in (-1, 1, len(tail), len(tail) + 1, -len(text) - 1):
            found[f"{name} length {more:+}"] = parsed(text + tail, len(text) + more)
        for what, made in some(json_changes(request), 80):
            changed = json.dumps(made()).encode()
            found[f"{name} {what}"] = parsed(changed + tail, len(changed))
    compare("binary-requests", found)

# SPDX-License-Identifier: BSD-3-Clause
"""Each limit of a Keras setting from both sides, and what a Keras file may hold."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bnn.errors import FormatError
from bnn.formats.keras import file as keras_file
from bnn.formats.keras.settings import LAYERS, THINGS, Settings
from support.keras_models import dense, given, layer, write

SCHEMAS = {**LAYERS, **THINGS}
MANY = 1 << 20
WIDE = (1 << 16) - 1
#: Smallest and largest whole number of a setting, from Keras', Larq's and QKeras' documentation
#: (a count is positive), and what can be converted.
WHOLE = {
    "units": (1, MANY),
    "filters": (1, MANY),
    "groups": (1, MANY),
    "depth_multiplier": (1, MANY),
    "k_bit": (1, 8),
    "integer": (-32, 32),
    "number_of_unrolls": (0, 64),
}
BITS = {
    "quantized_bits": (1, 32),
    "quantized_relu": (1, 32),
    "quantized_tanh": (2, 16),
    "quantized_sigmoid": (1, 16),
    "quantized_po2": (2, 8),
    "quantized_relu_po2": (1, 8),
}
NEEDED = {"Reshape": {"target_shape": [3]}}


def limits(kind: str, key: str) -> tuple[int, int] | None:
    if key == "bits":
        return BITS[kind]
    if key == "groups" and kind not in ("Conv2D", "Conv1D"):
        return None if "parable" in kind or "epthwise" in kind else WHOLE[key]
    return WHOLE.get(key)


ALL = [
    (kind, key, *found)
    for kind, schema in SCHEMAS.items()
    for key in schema
    if (found := limits(kind, key)) is not None
]


def taken(kind: str, key: str, value: Any) -> bool:
    try:
        Settings("here", SCHEMAS[kind], {**NEEDED.get(kind, {}), key: value})
    except FormatError as reason:
        if str(reason).startswith(f"here: {key} "):
            return False
        raise
    return True


@pytest.mark.parametrize(("kind", "key", "low", "high"), ALL)
def test_whole_numbers(kind: str, key: str, low: int, high: int) -> None:
    values = (low - 1, low, high, high + 1, float(low), str(low), True)
    found = [taken(kind, key, value) for value in values]
    assert found == [False, True, True, False, False, False, False]


SIZES = ("kernel_size", "strides", "dilation_rate", "pool_size")


@pytest.mark.parametrize(
    ("kind", "key"), [(k, key) for k, schema in LAYERS.items() for key in schema if key in SIZES]
)
def test_sizes(kind: str, key: str) -> None:
    rows = "1D" in kind
    singles = (1, WIDE, 0, WIDE + 1, "1", 1.0, True, [], [1], [1, 1, 1], [1.0, 1], (2, 3))
    pairs = ([1, 1], [1, WIDE], [WIDE, 1], [1, 0], [0, 1], [1, WIDE + 1], [WIDE + 1, 1])
    for value in (*singles, *pairs):
        whole = [value] if not isinstance(value, list | tuple) else list(value)
        count = (1,) if rows else (1, 2) if not isinstance(value, list | tuple) else (2,)
        fits = all(type(n) is int and 1 <= n <= WIDE for n in whole) and len(whole) in count
        assert taken(kind, key, value) == fits, value


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if "axis" in LAYERS[kind]])
def test_axes(kind: str) -> None:
    for value, fits in (
        *((-1, True), ([3], True), ([1, 2], True), ([0] * 8, True), ([0] * 9, False)),
        *(([], False), (1.0, False), (True, False), ([True], False), ("1", False), (None, False)),
    ):
        assert taken(kind, "axis", value) == fits, value


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ([1], True),
        ([1, 2, 3, 4], True),
        ([1, 2, 3, 4, 5], False),
        ([], False),
        ([-1, 2], True),
        ([-1, -1], False),
        ([0], False),
        ([-2], False),
        ([MANY], True),
        ([MANY + 1], False),
        ([1.0], False),
        (3, False),
        (None, False),
    ],
)
def test_shapes_of_a_reshape(value: Any, fits: bool) -> None:
    assert taken("Reshape", "target_shape", value) == fits


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ([None, 4], True),
        ([None] * 8, True),
        ([None] * 9, False),
        ([4], False),
        ([None, 0], False),
        ([None, 1], True),
        ([None, MANY], True),
        ([None, MANY + 1], False),
        ([None, 1.0], False),
        (4, False),
        (None, True),
    ],
)
def test_shapes_of_an_input(value: Any, fits: bool) -> None:
    assert taken("InputLayer", "batch_input_shape", value) == fits
    assert taken("InputLayer", "batch_shape", value) == fits


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (2, (2, 2, 2, 2)),
        ([1, 2], (1, 2, 1, 2)),
        ([[1, 2], [3, 4]], (1, 3, 2, 4)),
        ([[0, WIDE], 0], (0, 0, WIDE, 0)),
        ([[0, WIDE + 1], 0], None),
        (-1, None),
        ([1, 2, 3], None),
        ([[1, 2, 3], [1, 2, 3]], None),
        (1.0, None),
        (True, None),
    ],
)
def test_borders(value: Any, found: tuple[int, ...] | None) -> None:
    assert taken("ZeroPadding2D", "padding", value) == (found is not None)
    if found is not None:
        made = Settings("here", LAYERS["ZeroPadding2D"], {"padding": value})
        assert made["padding"] == found


@pytest.mark.parametrize(
    ("value", "found"),
    [(2, (0, 2, 0, 2)), ([1, 3], (0, 1, 0, 3)), ([1], None), ([1, 2, 3], None), (-1, None)],
)
def test_borders_of_signals(value: Any, found: tuple[int, ...] | None) -> None:
    assert taken("ZeroPadding1D", "padding", value) == (found is not None)
    if found is not None:
        assert Settings("here", LAYERS["ZeroPadding1D"], {"padding": value})["padding"] == found


NUMBERS = {"epsilon": 0.0, "pad_values": None, "H": None, "threshold_value": None, "scale": None}
REAL = [
    (kind, key, low)
    for kind, schema in SCHEMAS.items()
    for key, low in NUMBERS.items()
    if key in schema and (key != "scale" or kind == "Rescaling")
]


@pytest.mark.parametrize(("kind", "key", "low"), REAL)
def test_numbers(kind: str, key: str, low: float | None) -> None:
    for value in (0, 0.5, 1e30):
        assert taken(kind, key, value), value
    for value in (1.1e30, -1.1e30, float("nan"), float("inf"), True, "1", None, 10**400):
        assert not taken(kind, key, value), value
    assert taken(kind, key, -1e-3) == (low is None)


@pytest.mark.parametrize("kind", [kind for kind, s in THINGS.items() if "alpha" in s])
def test_scales_of_qkeras(kind: str) -> None:
    for value in (None, "auto", "auto_po2", 1e-9, 2):
        assert taken(kind, "alpha", value), value
    for value in (0, -1, "other", [1.0], True, 1e31):
        assert not taken(kind, "alpha", value), value


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("float32", True),
        (None, True),
        ("float16", False),
        ({"class_name": "DTypePolicy", "config": {"name": "float32"}}, True),
        ({"class_name": "FloatDTypePolicy", "config": {"name": "float32"}}, True),
        ({"class_name": "Policy", "config": {"name": "float32", "source_name": None}}, True),
        ({"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}, False),
        ({"class_name": "DTypePolicy", "config": {"name": "float32", "made_up": 1}}, False),
        ({"class_name": "QuantizedDTypePolicy", "config": {"name": "float32"}}, False),
        ({"class_name": "DTypePolicy", "config": None}, True),
    ],
)
def test_policies(value: Any, fits: bool) -> None:
    assert taken("Dense", "dtype", value) == fits


# --- files ---------------------------------------------------------------------------

STACK = [given(4), dense(4, 3, name="one"), layer("Softmax")]


def h5(path: Path, change: Callable[[Any], Any]) -> Path:
    write(path, STACK)
    with h5py.File(path, "a") as file:
        change(file)
    return path


def _config(key: str, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        config = json.loads(file.attrs["model_config"])
        (config if key == "class_name" else config["config"])[key] = value
        file.attrs["model_config"] = json.dumps(config)

    return change


def _double(file: Any) -> None:
    config = json.loads(file.attrs["model_config"])
    config["config"]["layers"][2]["config"]["name"] = "one"
    file.attrs["model_config"] = json.dumps(config)


def _nodes(file: Any) -> None:
    config = json.loads(file.attrs["model_config"])
    config["config"]["layers"][2]["inbound_nodes"] = [[["one", 0, 0, {}]]]
    file.attrs["model_config"] = json.dumps(config)


def _number(file: Any) -> None:
    del file.attrs["model_config"]
    file.attrs["model_config"] = 3


def _version(text: Any) -> Callable[[Any], None]:
    return lambda file: file.attrs.modify("keras_version", text)


def _bytes(file: Any) -> None:
    text = file.attrs["model_config"]
    del file.attrs["model_config"]
    file.attrs["model_config"] = np.bytes_(text)
    _version(np.bytes_("2.4.0"))(file)


def _order(file: Any) -> None:
    group = file["model_weights/one"]
    group.attrs["weight_names"] = np.array(group.attrs["weight_names"][::-1])


def _same(file: Any) -> None:
    group = file["model_weights/one"]
    names = group.attrs["weight_names"]
    group.attrs["weight_names"] = np.array([names[0], names[0]])


HDF5: dict[str, tuple[Callable[[Any], Any], str]] = {
    "nothing": (lambda _: None, ""),
    "bytes": (_bytes, ""),
    "Keras 3": (_version("3.0.1"), ""),
    "Keras 1": (_version("1.2"), ""),
    "Keras 4": (_version("4.0.0"), "of version '4.0.0'; 2 and 3 are read"),
    "Keras 30": (_version("30.0"), "of version '30.0'"),
    "no version": (lambda f: f.attrs.pop("keras_version"), "of version None"),
    "no layers": (_config("layers", []), "lists no layers"),
    "layers of another kind": (_config("layers", {}), "lists no layers"),
    "a subclass": (_config("class_name", "Mine"), "layers are defined by code"),
    "a number": (_number, "configuration is not text"),
    "no JSON": (lambda f: f.attrs.modify("model_config", "{"), "is not JSON"),
    "another JSON": (lambda f: f.attrs.modify("model_config", "[]"), "does not describe a model"),
    "a name twice": (_double, "two layers are called 'one'"),
    "nodes": (_nodes, "has inbound_nodes, which a layer of a Sequential"),
    "another order": (_order, "lists its arrays as bias, kernel"),
    "an array twice": (_same, "has two arrays called 'kernel'"),
    "no configuration": (lambda f: f.attrs.pop("model_config"), "holds weights alone"),
}


@pytest.mark.parametrize("name", HDF5)
def test_hdf5(name: str, tmp_path: Path) -> None:
    change, words = HDF5[name]
    path = h5(tmp_path / "x.h5", change)
    if not words:
        model = keras_file.read(path)
        assert [one.name for one in model.layers] == [one.name for one in STACK]
        assert model.version == (3 if name == "Keras 3" else 2)
        return
    with pytest.raises(FormatError, match=words) as raised:
        keras_file.read(path)
    assert str(raised.value).startswith(f"{path}: ")


def test_a_configuration_of_the_largest_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.h5", STACK)
    with h5py.File(path) as file:
        size = len(file.attrs["model_config"])
    monkeypatch.setattr(keras_file, "MAX_CONFIG", size)
    keras_file.read(path)
    monkeypatch.setattr(keras_file, "MAX_CONFIG", size - 1)
    with pytest.raises(FormatError, match="its configuration is larger than"):
        keras_file.read(path)
    monkeypatch.undo()
    monkeypatch.setattr(keras_file, "MAX_LAYERS", 3)
    keras_file.read(path)
    monkeypatch.setattr(keras_file, "MAX_LAYERS", 2)
    with pytest.raises(FormatError, match="lists no layers"):
        keras_file.read(path)


def test_weights_with_their_architecture(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.h5", STACK)
    weights, text = tmp_path / "w.h5", tmp_path / "a.json"
    with h5py.File(whole) as file, h5py.File(weights, "w") as other:
        config = json.loads(file.attrs["model_config"])
        for name in file["model_weights"]:
            file.copy(f"model_weights/{name}", other)
        other.attrs["keras_version"] = "2.4.0"
    text.write_text(json.dumps(config))
    found = keras_file.read(weights, text)
    assert [sorted(one.arrays) for one in found.layers][1] == ["bias", "kernel"]
    assert found.version == 2
    with pytest.raises(FormatError, match="is a whole model; do not use --architecture"):
        keras_file.read(whole, text)
    with h5py.File(weights, "a") as other:
        group = other.create_group("foreign")
        group.attrs["weight_names"] = np.zeros(0, "S1")
    keras_file.read(weights, text)
    with h5py.File(weights, "a") as other:
        other["foreign"].attrs["weight_names"] = np.array(["a"], "S")
    with pytest.raises(FormatError, match="has weights of a layer 'foreign'"):
        keras_file.read(weights, text)


def test_a_zip_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.json", "{}")
    with pytest.raises(FormatError, match=r"it has no config\.json"):
        keras_file.read(path)
    with pytest.raises(FormatError, match="is a whole model; do not use --architecture"):
        keras_file.read(path, tmp_path / "a.json")


def test_layers_that_the_output_does_not_need() -> None:
    sources = {"in": (), "a": ("in",), "b": ("in",), "c": ("a", "in")}
    assert list(keras_file._ordered(Path("x"), sources, "c")) == ["in", "a", "c"]
    for wrong in ({**sources, "a": ("c",)}, {**sources, "a": ("d",)}, {"c": ("c",)}):
        with pytest.raises(FormatError, match="is missing, or reads itself"):
            keras_file._ordered(Path("x"), wrong, "c")


@pytest.mark.parametrize(
    ("name", "snake"),
    [("Dense", "dense"), ("QuantConv2D", "quant_conv2d"), ("ReLU", "re_lu"), ("A>B", "ab")],
)
def test_names_of_groups(name: str, snake: str) -> None:
    assert keras_file._snake(name) == snake

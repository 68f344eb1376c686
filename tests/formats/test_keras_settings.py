# SPDX-License-Identifier: BSD-3-Clause
"""Every setting of a Keras layer is read, fixed or inert; all else is refused by name."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import bnn
from bnn.errors import BnnError, FormatError
from bnn.formats.convert import Options, convert
from bnn.formats.keras.graph import node_sources, output_name
from bnn.formats.keras.quantizers import named
from bnn.formats.keras.read import _HANDLERS
from bnn.formats.keras.settings import LAYERS, THINGS, Rule, Settings, fixed, short, whole
from support.converted import FIXTURES

SCHEMAS = {**LAYERS, **THINGS}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["same", "channels_first", "float16", "mixed_float16", "valid"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def cases() -> Path:
    """The folder of inputs that failed once; the test is skipped without it."""
    folder = os.environ.get("BNN_CASES", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("BNN_CASES names no folder")
    return Path(folder)


def test_every_class_has_a_handler() -> None:
    assert set(LAYERS) - {"InputLayer"} == set(_HANDLERS)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_defaults_are_allowed_and_foreign_keys_are_not(kind: str) -> None:
    needed = {"target_shape": [3]} if kind == "Reshape" else {}
    Settings("here", SCHEMAS[kind], needed)
    with pytest.raises(FormatError, match="here: has a setting 'made_up' \\(3\\)"):
        Settings("here", SCHEMAS[kind], {**needed, "made_up": 3})


_CONV = {"use_bias": True, "strides": (1, 1), "padding": "valid", "dilation_rate": (1, 1)}
_TERN = {"threshold_value": 0.05, "ternary_weight_networks": False}
_NORM = {"axis": [-1], "epsilon": 0.001, "center": True, "scale": True}
_DOREFA = {"k_bit": 2, "mode": "activations"}
#: What Keras 3 and Larq 0.13 take where a file says nothing, from their documentation.
DEFAULTS: dict[str, dict[str, Any]] = {
    "InputLayer": {"dtype": "float32"},
    **{kind: {"use_bias": True} for kind in ("Dense", "QuantDense")},
    "Conv2D": {**_CONV, "groups": 1},
    "QuantConv2D": {**_CONV, "groups": 1, "pad_values": 0.0},
    "DepthwiseConv2D": {**_CONV, "depth_multiplier": 1},
    "QuantDepthwiseConv2D": {**_CONV, "depth_multiplier": 1, "pad_values": 0.0},
    "SeparableConv2D": {**_CONV, "depth_multiplier": 1},
    "QuantSeparableConv2D": {**_CONV, "depth_multiplier": 1, "pad_values": 0.0},
    "QSeparableConv2D": {**_CONV, "depth_multiplier": 1},
    # of signals: maps of one row
    "Conv1D": {**_CONV, "groups": 1},
    "QuantConv1D": {**_CONV, "groups": 1, "pad_values": 0.0},
    "QConv1D": {**_CONV, "groups": 1},
    **{
        f"{kind}Pooling1D": {"pool_size": (1, 2), "padding": "valid"} for kind in ("Max", "Average")
    },
    **{f"Global{kind}Pooling1D": {"keepdims": False} for kind in ("Max", "Average")},
    "ZeroPadding1D": {"padding": (0, 1, 0, 1)},
    **{f"BatchNormalization{version}": _NORM for version in ("", "V1")},
    **{
        kind: {"pool_size": (2, 2), "padding": "valid"}
        for kind in ("MaxPooling2D", "MaxPool2D", "AveragePooling2D")
    },
    **{f"Global{kind}Pooling2D": {"keepdims": False} for kind in ("Max", "Average")},
    **{kind: {"axis": [-1]} for kind in ("Softmax", "softmax")},
    **dict.fromkeys(("SteTern", "ste_tern"), _TERN),
    **dict.fromkeys(("DoReFa", "dorefa_quantizer"), _DOREFA),
    "ZeroPadding2D": {"padding": (1, 1, 1, 1)},
    "Rescaling": {"scale": 1.0, "offset": 0.0},
    "Reshape": {"target_shape": [3]},
    "Concatenate": {"axis": [-1]},
    "PReLU": {"shared_axes": []},
    # QKeras 0.9
    "QDense": {"use_bias": True},
    "QConv2D": {**_CONV, "groups": 1},
    "QDepthwiseConv2D": {**_CONV, "depth_multiplier": 1},
    "QDenseBatchnorm": {"use_bias": True, **_NORM},
    "QConv2DBatchnorm": {**_CONV, "groups": 1, **_NORM},
    "QDepthwiseConv2DBatchnorm": {**_CONV, "depth_multiplier": 1, **_NORM},
    "QBatchNormalization": _NORM,
    "QAveragePooling2D": {"pool_size": (2, 2), "padding": "valid"},
    "QGlobalAveragePooling2D": {"keepdims": False},
    "binary": {"use_01": False},
    **{kind: {"number_of_unrolls": 5} for kind in ("ternary", "stochastic_ternary")},
    "quantized_bits": {"bits": 8, "integer": 0, "symmetric": False, "keep_negative": True},
    "quantized_relu": {
        "bits": 8,
        "integer": 0,
        "use_sigmoid": False,
        "negative_slope": 0.0,
        "is_quantized_clip": True,
    },
    **{
        kind: {"bits": 8, "quadratic_approximation": False, "log2_rounding": "rnd"}
        for kind in ("quantized_po2", "quantized_relu_po2")
    },
    "quantized_sigmoid": {"bits": 8, "symmetric": False, "use_real_sigmoid": False},
    "quantized_tanh": {"bits": 8, "symmetric": False, "use_real_tanh": False},
    # HGQ 0.2, and the binary and ternary layers of BinaryNet's Keras ports
    "FixedPointQuantizer": {"RND": "TRN", "SAT": "WRAP"},
    **{kind: {"use_bias": True, "H": 1.0} for kind in ("BinaryDense", "TernaryDense")},
    **{kind: {**_CONV, "groups": 1, "H": 1.0} for kind in ("BinaryConv2D", "TernaryConv2D")},
}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_what_a_file_leaves_out_is_what_keras_takes(kind: str) -> None:
    found = Settings("here", SCHEMAS[kind], {"target_shape": [3]} if kind == "Reshape" else {})
    told = {key: value for key, value in found.items() if value is not None}
    assert told == DEFAULTS.get(kind, {})


@given(kind=st.sampled_from(sorted(SCHEMAS)), value=JSON, data=st.data())
def test_any_value_is_parsed_or_refused_with_its_key(kind: str, value: Any, data: Any) -> None:
    key = data.draw(st.sampled_from(sorted(SCHEMAS[kind])))
    assume(kind != "Reshape" or key == "target_shape")
    try:
        made = Settings("here", SCHEMAS[kind], {key: value})
    except FormatError as error:
        line = str(error)
    else:
        line = ""
    if line:
        assert line.startswith(f"here: {key} ")
        assert "\n" not in line
        assert len(line) < 300
        return
    if key in made and value != SCHEMAS[kind][key].default:
        with pytest.raises(FormatError, match=key):
            made.all_read()
        _ = made[key]
    made.all_read()


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("Dense", "dtype", "mixed_float16"),
        ("Dense", "dtype", {"class_name": "DTypePolicy", "config": {"name": "bfloat16"}}),
        ("Dense", "dtype", {"class_name": "QuantizedDTypePolicy", "config": {"name": "float32"}}),
        ("Dense", "dtype", "float64"),
        ("Dense", "use_bias", 1),
        ("Dense", "quantization_config", {}),
        ("Conv2D", "data_format", "channels_first"),
        ("Conv2D", "padding", "causal"),
        ("Conv2D", "groups", "int32"),
        ("Conv2D", "groups", 0),
        ("Conv2D", "strides", [1, 2, 3]),
        ("Conv2D", "dilation_rate", True),
        ("QuantConv2D", "pad_values", "1"),
        ("DepthwiseConv2D", "groups", 2),
        ("BatchNormalization", "renorm", True),
        ("BatchNormalization", "epsilon", -1e-3),
        ("BatchNormalization", "epsilon", True),
        ("Flatten", "data_format", "channels_first"),
        ("ReLU", "negative_slope", 0.1),
        ("ReLU", "threshold", 1.0),
        ("ReLU", "max_value", -1.0),
        ("Rescaling", "scale", [1.0, 2.0]),
        ("Rescaling", "scale", 1e39),
        ("Rescaling", "scale", 10**400),
        ("ZeroPadding2D", "padding", [[1, 1], [1, -1]]),
        ("InputLayer", "dtype", "int32"),
        ("InputLayer", "sparse", True),
        ("InputLayer", "ragged", True),
        ("InputLayer", "batch_shape", [None, 4, "a"]),
        ("SteTern", "ternary_weight_networks", 0),
        ("DoReFa", "k_bit", 9),
        ("DoReFa", "mode", "weight"),
    ],
)
def test_values_that_change_answers_are_refused(kind: str, key: str, value: Any) -> None:
    with pytest.raises(FormatError, match=f"here: {key} "):
        Settings("here", LAYERS[kind], {key: value})


@pytest.mark.parametrize("key", ["negative_slope", "threshold"])
@pytest.mark.parametrize("zero", [0, 0.0, None])
def test_zeros_that_change_nothing(key: str, zero: Any) -> None:
    Settings("here", LAYERS["ReLU"], {key: zero})
    with pytest.raises(FormatError, match=f"here: {key} "):
        Settings("here", LAYERS["ReLU"], {key: -1})


def test_objects_have_no_keys_of_their_own() -> None:
    relu = {"class_name": "ReLU", "config": {}, "module": "keras.layers"}
    found = named("here", relu)
    assert found is not None
    with pytest.raises(FormatError, match="here: 'ReLU' has an unknown key 'twist'"):
        named("here", {**relu, "twist": 2})


def test_rules() -> None:
    assert whole(3).parse(4) == 4
    none: Rule = fixed(False)
    with pytest.raises(ValueError, match="only False"):
        none.parse(0)  # equal to False, but another type
    assert short(1 << 5000) == "(a huge number)"
    assert len(short("x" * 1000)) < 100
    made = Settings("here", {"a": whole(3)}, {"a": 3})
    assert dict(made) == {"a": 3}
    assert len(made) == 1


@pytest.mark.parametrize(
    ("kind", "key", "least", "most"),
    [
        ("quantized_bits", "bits", 1, 32),
        ("quantized_bits", "integer", -32, 32),
        ("quantized_relu", "bits", 1, 32),
        ("quantized_tanh", "bits", 2, 16),
        ("quantized_sigmoid", "bits", 1, 16),
        ("quantized_po2", "bits", 2, 8),
        ("quantized_relu_po2", "bits", 1, 8),
        ("dorefa_quantizer", "k_bit", 1, 8),
        ("ternary", "number_of_unrolls", 0, 64),
        ("Dense", "units", 1, 1 << 20),
        ("Conv2D", "groups", 1, 1 << 20),
        ("Conv2D", "strides", 1, (1 << 16) - 1),
        ("ZeroPadding2D", "padding", 0, (1 << 16) - 1),
    ],
)
def test_the_least_and_the_most_of_a_number(kind: str, key: str, least: int, most: int) -> None:
    for value in (least, most):
        assert np.unique(Settings("here", SCHEMAS[kind], {key: value})[key]).tolist() == [value]
    for value in (least - 1, most + 1, float(most), str(most), [most] * 3):
        with pytest.raises(FormatError, match=f"^here: {key} .*: must be ") as raised:
            Settings("here", SCHEMAS[kind], {key: value})
        if "from" in str(raised.value):
            assert str(raised.value).endswith(f"from {least} to {most}")


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        *(([None], False), ([None, 3], True), ([None, *[1] * 7], True), ([None, *[1] * 8], False)),
        *(([None, 1 << 20], True), ([None, (1 << 20) + 1], False), ([None, 0], False), (3, False)),
    ],
)
def test_shapes_have_a_batch_and_one_to_seven_axes(shape: Any, fits: bool) -> None:
    if fits:
        assert Settings("here", LAYERS["Dense"], {"batch_shape": shape}).shape == shape
    else:
        with pytest.raises(FormatError, match=r"here: batch_shape .*: must be a list of sizes"):
            Settings("here", LAYERS["Dense"], {"batch_shape": shape})


def test_long_values_are_short_in_a_message() -> None:
    assert short((1 << 64) - 1) == str((1 << 64) - 1)
    assert short(1 << 64) == short(-1 << 64) == "(a huge number)"
    assert short("a\nb") == r"'a\nb'"
    assert len(short({f"{n}" * 20: f"{n}" * 20 for n in range(4)})) == 80


# --- graphs --------------------------------------------------------------------------


def tensor(name: str, *places: Any, dtype: str = "float32") -> Any:
    config = {"shape": [None, 3], "dtype": dtype, "keras_history": [name, *(places or (0, 0))]}
    return {"class_name": "__keras_tensor__", "config": config}


def call(*arguments: Any, **named: Any) -> Any:
    return [{"args": list(arguments), "kwargs": named}]


@pytest.mark.parametrize(
    ("nodes", "sources"),
    [
        (None, ()),
        ([], ()),
        ([[["a", 0, 0, {}]]], ("a",)),
        ([[["a", 0, 0]]], ("a",)),
        ([[["a", 0, 0, {"training": False, "mask": None}], ["b", 0, 0, {}]]], ("a", "b")),
        (call(tensor("a"), training=None), ("a",)),
        (call([tensor("a"), tensor("b")], mask=None), ("a", "b")),
    ],
)
def test_nodes(nodes: Any, sources: tuple[str, ...]) -> None:
    assert node_sources("here", nodes) == sources


@pytest.mark.parametrize(
    "nodes",
    [
        5,
        [5],
        [[["a", 0, 0, {}]], [["b", 0, 0, {}]]],
        [[["a", 1, 0, {}]]],
        [[["a", 0, 1, {}]]],
        [[["a", 0, 0, {"training": True}]]],
        [[["a", 0, 0, {"scale": 2}]]],
        [[["a", 0, 0, 7]]],
        [[["a", 0]]],
        [[[3, 0, 0, {}]]],
        [["a", 0, 0, {}]],
        call(tensor("a"), training=True),
        call(tensor("a"), training=0),
        call(tensor("a"), other=None),
        call(tensor("a"), tensor("b")),
        call(tensor("a", 1, 0)),
        call(tensor("a", 0, 1)),
        call(tensor("a", False, 0)),
        call(tensor("a", dtype="float16")),
        call(7),
        call([[tensor("a")]]),
        [{"args": [tensor("a")], "kwargs": {}, "more": 1}],
        [{"args": tensor("a")}],
        [[["a", 0, 0, {}]] * 100],
    ],
)
def test_nodes_that_are_not_understood(nodes: Any) -> None:
    with pytest.raises(FormatError, match="here: "):
        node_sources("here", nodes)


@given(JSON)
def test_any_nodes(nodes: Any) -> None:
    try:
        found = node_sources("here", nodes)
    except FormatError:
        return
    assert all(isinstance(name, str) for name in found)


@pytest.mark.parametrize("outputs", [["a", 0, 0], [["a", 0, 0]]])
def test_outputs(outputs: Any) -> None:
    assert output_name(Path("x"), {"output_layers": outputs}) == "a"


@pytest.mark.parametrize(
    "outputs",
    [None, [], {}, [["a", 0, 0], ["b", 0, 0]], ["a"], ["a", 0, 1], ["a", 1, 0], [[]], "a"],
)
def test_other_outputs(outputs: Any) -> None:
    with pytest.raises(FormatError, match="x: "):
        output_name(Path("x"), {"output_layers": outputs})


# --- whole files ---------------------------------------------------------------------


def changed(tmp_path: Path, change: Callable[[Any], Any], name: str = "keras3-cnn") -> Path:
    """A Keras 3 file with a changed configuration."""
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(FIXTURES / "keras" / f"{name}.keras") as source:
        members = {one: source.read(one) for one in source.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for one, data in members.items():
            archive.writestr(one, data)
    return path


def layer(config: Any, kind: str) -> Any:
    return next(one for one in config["config"]["layers"] if one["class_name"] == kind)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(class_name=["Sequential"]), ["Sequential"]),
        (lambda c: c.update(module="my.models"), ["my.models", "not run"]),
        (lambda c: c["config"].update(made_up=1), ["made_up"]),
        (lambda c: c["config"].update(dtype="mixed_bfloat16"), ["mixed_bfloat16"]),
        (lambda c: c["config"].update(layers=[5]), ["without class"]),
        (lambda c: layer(c, "Conv2D").update(config=[1]), ["without class"]),
        (lambda c: layer(c, "Conv2D").update(module="mine"), ["Conv2D", "mine"]),
        (lambda c: layer(c, "Conv2D").update(registered_name="My>Conv2D"), ["My>Conv2D"]),
        (lambda c: layer(c, "Conv2D").update(made_up={}), ["made_up"]),
        (lambda c: layer(c, "Conv2D").update(name="another"), ["with two"]),
        (lambda c: layer(c, "Conv2D")["config"].update(filters=5), ["filters is 5"]),
        (lambda c: layer(c, "Conv2D")["config"].update(kernel_size=[2, 2]), ["kernel_size"]),
        (lambda c: layer(c, "Conv2D")["config"].update(groups=7), ["7 groups"]),
        (lambda c: layer(c, "Dense")["config"].update(units=4), ["units is 4"]),
        (lambda c: layer(c, "Dense")["config"].update(activation=5), ["5 is not a quantizer"]),
        (
            lambda c: layer(c, "Dense")["config"].update(activation="My>relu"),
            ["My>relu", "not run"],
        ),
        (
            lambda c: layer(c, "Dense")["config"].update(
                activation={"class_name": "ReLU", "config": {"negative_slope": 1}}
            ),
            ["negative_slope"],
        ),
        (
            lambda c: layer(c, "Dense")["config"].update(
                activation={"class_name": "ReLU", "module": "mine", "config": {}}
            ),
            ["mine"],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_configurations(change: Any, words: list[str], tmp_path: Path) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(BnnError) as caught:
        convert(path)
    line = str(caught.value)
    assert line.count(str(path)) == 1
    for word in words:
        assert word in line


@pytest.mark.parametrize("version", ["4.0.0", "", "x", None])
def test_versions(version: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    shutil.copyfile(FIXTURES / "keras" / "keras3-cnn.h5", path)
    with h5py.File(path, "r+") as file:
        del file.attrs["keras_version"]
        if version is not None:
            file.attrs["keras_version"] = version
    with pytest.raises(FormatError, match="version"):
        convert(path)


def test_names_that_are_doubled_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    shutil.copyfile(FIXTURES / "keras" / "larq-quantizers.h5", path)
    with h5py.File(path, "r+") as file:
        group = next(
            one for one in file["model_weights"].values() if len(one.attrs.get("weight_names", ()))
        )
        names = list(group.attrs["weight_names"])
        group.attrs["weight_names"] = [*names, names[0]]
    with pytest.raises(FormatError, match="two arrays called"):
        convert(path)


def test_arrays_in_another_order_are_refused(tmp_path: Path) -> None:
    """Keras takes them by position, whatever they are called."""
    path = tmp_path / "x.h5"
    shutil.copyfile(FIXTURES / "keras" / "larq-tutorial.h5", path)
    with h5py.File(path, "r+") as file:
        group = next(
            one
            for one in file["model_weights"].values()
            if len(one.attrs.get("weight_names", ())) > 1
        )
        group.attrs["weight_names"] = list(group.attrs["weight_names"])[::-1]
    with pytest.raises(FormatError, match="by position"):
        convert(path)


@pytest.mark.parametrize("name", ["keras3-cnn", "larq-tutorial"])
def test_arrays_of_other_shapes_are_refused(name: str, tmp_path: Path) -> None:
    """Each one of a file: a row short, flat, and with one axis more."""
    source = FIXTURES / "keras" / f"{name}.h5"
    places: list[str] = []
    with h5py.File(source) as file:
        file["model_weights"].visititems(
            lambda place, one: places.append(place) if isinstance(one, h5py.Dataset) else None
        )
    assert len(places) > 8
    for place in places:
        for change in (lambda a: a[1:], np.ravel, lambda a: a[None]):
            path = tmp_path / "x.h5"
            shutil.copyfile(source, path)
            with h5py.File(path, "r+") as file:
                group = file["model_weights"]
                whole = group[place][...]
                wrong = change(whole)
                if wrong.shape == whole.shape or not wrong.size:
                    continue
                del group[place]
                group[place] = wrong
            with pytest.raises(FormatError):
                convert(path)


def test_bytes_can_only_be_bytes(tmp_path: Path) -> None:
    def change(config: Any) -> None:
        layer(config, "InputLayer")["config"]["dtype"] = "uint8"

    path = changed(tmp_path, change)
    with pytest.raises(FormatError, match="takes bytes"):
        convert(path, None, bnn.formats.convert.Options(input="unit"))
    assert convert(path).report.assumed == "bytes"


# --- what failed once ----------------------------------------------------------------


def test_zeros_around_a_map_are_quantized_as_larq_does(cases: Path) -> None:
    model = convert(cases / "convert" / "l_zpad_first.h5").model
    with np.load(cases / "convert" / "l_zpad_first.npz") as arrays:
        inputs = arrays["inputs"]
        wanted = arrays["predictions"] if "predictions" in arrays else arrays["logits"].argmax(1)
    found = bnn.Classifier(model, "reference").classify(inputs)
    np.testing.assert_array_equal(found, wanted)


def test_a_setting_of_another_type_is_one_line(cases: Path) -> None:
    with pytest.raises(FormatError, match="groups 'int32'"):
        convert(cases / "robustness" / "attribute-no-int.h5")


def test_keras_3_calls_the_kernel_of_a_depthwise_layer_kernel_in_h5(tmp_path: Path) -> None:
    layers = [
        {
            "class_name": "InputLayer",
            "config": {"name": "in", "batch_input_shape": [None, 4, 4, 2], "dtype": "float32"},
        },
        {"class_name": "DepthwiseConv2D", "config": {"name": "dw", "kernel_size": [4, 4]}},
    ]
    kernel = np.random.default_rng(0).choice([-1.0, 1.0], (4, 4, 2, 1)).astype(np.float32)
    bias = np.array([1.0, -2.0], np.float32)
    inputs = np.random.default_rng(1).integers(-8, 8, (5, 4, 4, 2)).astype(np.float32)
    models = []
    for name in ("kernel", "depthwise_kernel"):
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
            file.attrs["model_config"] = json.dumps(config)
            file.attrs["keras_version"] = "3.15.1" if name == "kernel" else "2.15.0"
            group = file.create_group("model_weights/dw")
            group.attrs["weight_names"] = [f"dw/{name}", "dw/bias"]
            group[f"dw/{name}"], group["dw/bias"] = kernel, bias
        models.append(convert(path, options=Options(input="int4")).model)
    wanted = np.einsum("nhwc,hwc->nc", inputs, kernel[..., 0]) + bias
    for model in models:
        logits = bnn.Classifier(model, "reference").logits(inputs)
        np.testing.assert_array_equal(logits, wanted)

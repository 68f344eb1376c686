# SPDX-License-Identifier: BSD-3-Clause
"""Bad files are refused: one line that names the file and the reason, and nothing written."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bnn.commands.main import main
from bnn.errors import BnnError
from bnn.formats.convert import Options, convert
from support.converted import FIXTURES

SAME_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def refused(path: Path, *words: str, topology: str | None = None) -> str:
    """The one line with which ``path`` is refused; it holds ``words``."""
    with pytest.raises(BnnError) as caught:
        convert(path, None, Options(topology=topology))
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    for word in words:
        assert word in line
    return line


# --- npz -----------------------------------------------------------------------------


def npz(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Chainer's fixture with changed arrays."""
    with np.load(FIXTURES / "chainer" / "mlp.npz") as given:
        arrays = {name: given[name] for name in given.files}
    change(arrays)
    np.savez(tmp_path / "x.npz", **arrays)
    return tmp_path / "x.npz"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("l2/W"), ["l2/W", "missing"]),
        (lambda a: a.pop("b1/avg_mean"), ["b1/avg_mean", "missing"]),
        (lambda a: a.update({"l1/foo": np.ones(3)}), ["l1/foo"]),
        (lambda a: a.update({"b9/avg_mean": np.ones(3)}), ["4 batch norms"]),
        (lambda a: a.update({"l2/W": np.ones((48, 47))}), ["l2/W", "(48, 47)"]),
        (lambda a: a.update({"l2/b": np.ones(7)}), ["l2/b", "(7,)"]),
        (lambda a: a.update({"b2/gamma": np.ones(7)}), ["b2/gamma", "(7,)"]),
        (lambda a: a.update({"l1/W": np.full((48, 784), np.nan)}), ["finite"]),
        (lambda a: a.update({"b2/avg_var": -a["b2/avg_var"]}), ["b2/avg_var", "not a variance"]),
        (lambda a: a.update({"l1/W": np.array([{}, None])}), ["pickled"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_chainer_arrays(change: Any, words: list[str], tmp_path: Path) -> None:
    refused(npz(tmp_path, change), *words)


def test_chainer_convolutions_need_a_topology(tmp_path: Path) -> None:
    refused(FIXTURES / "chainer" / "cnn.npz", "topology")
    wrong = (FIXTURES / "chainer" / "cnn.toml").read_text().replace("conv = 16", "conv = 17")
    (tmp_path / "x.toml").write_text(wrong)
    refused(FIXTURES / "chainer" / "cnn.npz", "conv2/W", topology=str(tmp_path / "x.toml"))
    wrong = (FIXTURES / "chainer" / "cnn.toml").read_text().replace("dense = 10", "dense = 11")
    (tmp_path / "x.toml").write_text(wrong)
    told = "l3/W has shape (10, 400), not (11, 400)"  # of a map of 5 x 5 x 16
    refused(FIXTURES / "chainer" / "cnn.npz", told, topology=str(tmp_path / "x.toml"))


def test_npz_bombs_and_torn_files(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": "<f4", "fortran_order": False, "shape": (1 << 27, 4)}
        )
        archive.writestr("l1/W.npy", head.getvalue() + bytes(1 << 29))
    assert path.stat().st_size < 1 << 20
    refused(path)
    path.write_bytes((FIXTURES / "chainer" / "mlp.npz").read_bytes()[:5000])
    refused(path)


# --- Keras ---------------------------------------------------------------------------


def keras(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A Keras fixture with a changed configuration."""
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(FIXTURES / "keras" / "keras3-cnn.keras") as given:
        members = {name: given.read(name) for name in given.namelist()}
    config = json.loads(members["config.json"])
    change(config["config"]["layers"])
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _layer(layers: Any, kind: str) -> Any:
    return next(layer for layer in layers if layer["class_name"] == kind)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ls: _layer(ls, "Dropout").update(class_name="Lambda"), ["Lambda", "not run"]),
        (lambda ls: _layer(ls, "Dropout").update(class_name="LSTM"), ["LSTM", "dropout"]),
        (lambda ls: _layer(ls, "Dense")["config"].update(activation="selu"), ["selu", "dense"]),
        (lambda ls: _layer(ls, "Conv2D")["config"].update(strides=[0, 1]), ["strides"]),
        (lambda ls: _layer(ls, "Conv2D")["config"].update(padding="causal"), ["causal"]),
        (lambda ls: _layer(ls, "Conv2D")["config"].update(use_bias=False), ["too many"]),
        (lambda ls: _layer(ls, "BatchNormalization")["config"].update(axis=1), ["axis"]),
        (lambda ls: _layer(ls, "Flatten").update(config={}), ["without a name"]),
        (lambda ls: _layer(ls, "InputLayer")["config"].update(batch_shape=[None, None]), ["shape"]),
        (lambda ls: ls.remove(_layer(ls, "Flatten")), ["dense", "256"]),
        (lambda ls: ls.clear(), ["no layers"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_keras_configurations(change: Any, words: list[str], tmp_path: Path) -> None:
    refused(keras(tmp_path, change), *words)


def _h5(tmp_path: Path) -> Path:
    shutil.copy(FIXTURES / "keras" / "keras3-cnn.h5", tmp_path / "x.h5")
    (tmp_path / "x.h5").chmod(0o644)
    return tmp_path / "x.h5"


def test_keras_truncated_weights_only_and_missing_arrays(tmp_path: Path) -> None:
    path = _h5(tmp_path)
    path.write_bytes(path.read_bytes()[:-3000])
    refused(path)
    path = _h5(tmp_path)
    with h5py.File(path, "a") as file:
        del file.attrs["model_config"]
    refused(path, "whole model")
    path = _h5(tmp_path)
    with h5py.File(path, "a") as file:
        del file["model_weights/dense/sequential_1/dense/kernel"]
    refused(path, "kernel")


def test_keras_links_out_of_the_file_are_not_followed(tmp_path: Path) -> None:
    path = _h5(tmp_path)
    with h5py.File(path, "a") as file:
        place = "model_weights/dense/sequential_1/dense/kernel"
        shutil.copy(FIXTURES / "keras" / "keras3-cnn.h5", tmp_path / "other.h5")
        del file[place]
        file[place] = h5py.ExternalLink("other.h5", place)
    refused(path, "kernel")


def test_keras_real_weights_are_told(tmp_path: Path) -> None:
    path = _h5(tmp_path)
    with h5py.File(path, "a") as file:
        weights = file["model_weights/dense/sequential_1/dense/kernel"]
        weights[...] = np.random.default_rng(0).normal(size=weights.shape)
    told = convert(path).report.approximate
    assert told
    assert told[0].startswith("dense: real weights, in fixed point")


def test_keras_bombs(tmp_path: Path) -> None:
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "[" * 100_000)
        archive.writestr("model.weights.h5", bytes(1 << 20))
    refused(path, "JSON")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes((1 << 29) + 1))
    refused(path, "too large")
    huge = _h5(tmp_path)
    with h5py.File(huge, "a") as file:
        place = "model_weights/dense/sequential_1/dense/kernel"
        del file[place]
        file.create_dataset(place, (1 << 20, 1 << 12), "f4", chunks=(1024, 1024), compression=9)
    refused(huge, "too large")


# --- ONNX ----------------------------------------------------------------------------


DOMAIN = "qonnx.custom_op.general"


def small(weights: Any, *nodes: Any, bits: float = 3) -> Any:
    """input - Quant - ``nodes`` - MatMul."""
    constants = {"w": weights, "one": np.ones(()), "zero": np.zeros(()), "bits": np.array(bits)}
    start = helper.make_node("Quant", ["x", "one", "zero", "bits"], ["q"], "in", domain=DOMAIN)
    last = nodes[-1].output[0] if nodes else "q"
    end = helper.make_node("MatMul", [last, "w"], ["y"], "end")
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
        for name, size in (("x", 3), ("y", 2))
    ]
    tensors = [
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph([start, *nodes, end], "g", values[:1], values[1:], tensors)
    return helper.make_model(graph)


SIGNS = np.array([[1, -1], [1, 1], [-1, 1]])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (small(SIGNS, helper.make_node("Erf", ["q"], ["r"], "bend")), ["bend", "Erf"]),
        (small(SIGNS, helper.make_node("Tanh", ["q"], ["r"])), ["Tanh_1"]),
        (small(SIGNS, helper.make_node("Add", ["q", "none"], ["r"], "plus")), ["plus", "none"]),
        (small(SIGNS, bits=17), ["'in'", "16 bits"]),
        (small(SIGNS, bits=0.5), ["in", "from 1 to 32"]),
        (small(np.full((3, 2), np.nan)), ["end", "not finite"]),
        (small(np.ones((4, 2))), ["end", "(4, 2)"]),
        (small(np.full((3, 2), np.nan)), ["finite"]),
        (small(SIGNS, helper.make_node("Softmax", ["q"], ["r"], "soft")), ["softmax"]),
        (small(SIGNS, helper.make_node("BatchNormalization", ["q"] * 5, ["r"], "bn")), ["bn"]),
        (small(SIGNS, helper.make_node("Reshape", ["q", "bits"], ["r"], "bent")), ["bent"]),
        (small(SIGNS, helper.make_node("Conv", ["q", "w"], ["r"], "conv")), ["conv"]),
        (small(SIGNS, helper.make_node("Add", ["q", "w"], ["r"], "sum")), ["sum", "does not fit"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_onnx_graphs(model: Any, words: list[str], tmp_path: Path) -> None:
    onnx.save(model, tmp_path / "x.onnx")
    refused(tmp_path / "x.onnx", *words)


def fed(kind: int) -> Any:
    """A small graph that is fed numbers of the type ``kind``, cast to float32."""
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node("MatMul", ["f", "w"], ["y"])]
    values = [
        helper.make_tensor_value_info(name, kind_, [1, size])
        for name, kind_, size in (("x", kind, 3), ("y", TensorProto.FLOAT, 2))
    ]
    weights = numpy_helper.from_array(SIGNS.astype(np.float32), "w")
    graph = helper.make_graph(nodes, "fed", values[:1], values[1:], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(
    ("kind", "taken", "others"),
    [
        ("UINT8", "bytes", ["int4", "int8", "unit", "symmetric", "bipolar", "int8/16"]),
        ("UINT16", "bytes", ["int8", "unit", "bipolar"]),
        ("INT8", "int8", ["bytes", "unit", "int8/16"]),
        ("INT16", "int8", ["unit", "int8/16"]),
        ("FLOAT16", "int8", ["unit", "symmetric"]),
        ("DOUBLE", "int8", []),
    ],
)
def test_an_input_is_taken_for_what_its_type_holds(
    kind: str, taken: str, others: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "x.onnx"
    onnx.save(fed(getattr(TensorProto, kind)), path)
    assert convert(path).report.assumed == taken
    for other in others:
        with pytest.raises(BnnError, match=f"which does not hold the values of {other} "):
            convert(path, options=Options(input=other))


def test_onnx_damage_sizes_and_outside_data(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    for data in (b"", b"\x08\x07onnx", b"not a model", small(SIGNS).SerializeToString()[:-9]):
        path.write_bytes(data)
        refused(path)
    model = small(SIGNS)
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]
    path.write_bytes(model.SerializeToString())
    refused(path, "'w'")
    secret = tmp_path.parent / "secret"
    secret.write_bytes(bytes(24))
    model = small(SIGNS)
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../secret")
    path.write_bytes(model.SerializeToString())
    refused(path, "../secret")


@pytest.mark.parametrize(("change", "is_read"), [(0, True), (1, False), (-1, False), (None, True)])
def test_a_stated_shape_of_the_output_is_the_real_one(
    change: int | None, is_read: bool, tmp_path: Path
) -> None:
    path = tmp_path / "x.onnx"
    model = small(SIGNS)
    dims = model.graph.output[0].type.tensor_type.shape.dim
    real = convert(saved(model, path)).network
    classes = real.signals[real.layers[-1].name].shape[2]
    del dims[:]
    dims.add(dim_param="N")
    if change is None:
        dims.add(dim_param="classes")
    else:
        dims.add(dim_value=classes + change)
    saved(model, path)
    if is_read:
        convert(path)
    else:
        refused(path, "states the shape")


def saved(model: Any, path: Path) -> Path:
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("told", "is_read"),
    [
        ({"offset": 8, "length": 24}, True),
        ({"offset": 8}, True),  # to the end
        ({"offset": 0}, False),  # more than the constant follows
        ({}, False),
        ({"offset": 9}, False),
        ({"offset": 16, "length": 24}, False),
        ({"offset": 0, "length": 32}, False),
        ({"offset": 8, "length": 20}, False),
        ({"offset": -8, "length": 24}, False),
    ],
)
def test_outside_data_is_as_long_as_the_constant(
    told: dict[str, int], is_read: bool, tmp_path: Path
) -> None:
    path = tmp_path / "x.onnx"
    model = small(SIGNS)
    weights = model.graph.initializer[0]
    (tmp_path / "data").write_bytes(bytes(8) + weights.raw_data)
    assert len(weights.raw_data) == 24
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "data", **told}.items():
        weights.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString())
    if is_read:
        convert(path)
    else:
        refused(path, "'w'")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"epsilon"', '"epsilon": 0.5, "epsilon"', "key 'epsilon' occurs twice"),
        ('"class_name"', '"class_name": "Dense", "class_name"', "key 'class_name' occurs twice"),
        ('"momentum": 0.', '"momentum": NaN, "other": 0.', "NaN is not a finite number"),
        ('"momentum": 0.', f'"momentum": {"9" * 5000}, "other": 0.', "has 5000 digits"),
    ],
)
def test_a_configuration_that_nobody_can_read_in_one_way_only(
    old: str, new: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes((FIXTURES / "keras/larq-tutorial.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"]
        assert old in text
        file.attrs["model_config"] = text.replace(old, new, 1)
    refused(path, words)


@SAME_FILE
@given(data=st.data())
def test_damage_anywhere_is_an_error_or_harmless(data: Any, tmp_path: Path) -> None:
    """Whatever bytes are changed: no other exception than ours gets out."""
    source = data.draw(
        st.sampled_from(
            [
                "chainer/snapshot_iter_800",
                "keras/larq-tutorial.h5",
                "keras/larq-padded.keras",
                "brevitas/cnv-w1a1.onnx",
                "brevitas/cnv-w1a1.tar",
                "brevitas/narrow.onnx",
            ]
        )
    )
    given_bytes = bytearray((FIXTURES / source).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(given_bytes) - 1))
        given_bytes[place] = data.draw(st.integers(0, 255))
    path = tmp_path / Path(source).name
    path.write_bytes(given_bytes)
    with contextlib.suppress(BnnError):
        convert(path)


# --- PyTorch -------------------------------------------------------------------------


class _Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("created-by-a-pickle",)


def test_checkpoints_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle  # noqa: TID251  (to make a hostile file)

    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tfc-w1a1.tar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({"state_dict": _Evil()}, protocol=2))
    refused(path)
    assert not (tmp_path / "created-by-a-pickle").exists()


def test_checkpoints_need_a_network_name(tmp_path: Path) -> None:
    path = tmp_path / "model.tar"
    shutil.copy(FIXTURES / "brevitas" / "tfc-w1a1.tar", path)
    refused(path, "topology")
    assert convert(path, None, Options(topology="TFC_1W1A")).model.program.classes == 10


def _checkpoint(tmp_path: Path, change: Callable[[dict[str, bytes]], Any]) -> Path:
    """Brevitas' fixture with changed members."""
    path = tmp_path / "tfc-w1a1.tar"
    with zipfile.ZipFile(FIXTURES / "brevitas" / "tfc-w1a1.tar") as source:
        members = {name: source.read(name) for name in source.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _set(members: dict[str, bytes], end: str, data: bytes) -> None:
    folder = next(name for name in members if name.endswith("data.pkl"))[: -len("data.pkl")]
    members[folder + end] = data


def test_checkpoints_in_another_byte_order(tmp_path: Path) -> None:
    refused(_checkpoint(tmp_path, lambda m: _set(m, "byteorder", b"big")), "big")
    path = _checkpoint(tmp_path, lambda m: _set(m, "byteorder", b"little"))
    assert convert(path).model.program.classes == 10


def test_checkpoints_hold_plain_tensors_only(tmp_path: Path) -> None:
    import pickle  # noqa: TID251  (to make a file)

    def change(members: dict[str, bytes]) -> None:
        state = {"features.0.weight": 5, "epoch": 3}
        _set(members, "data.pkl", pickle.dumps({"state_dict": state}, protocol=2))

    refused(_checkpoint(tmp_path, change), "features.0.weight", "not a plain tensor")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("l2", "b2"), ()),
        (("mid_a", "b2"), ("mid_a", "l3", "which comes first")),
        (("l2", "other"), ("which comes first",)),
    ],
)
def test_chainer_links_of_one_size_need_numbers(
    names: tuple[str, str], words: tuple[str, ...], tmp_path: Path
) -> None:
    """Four layers of which two have the same sizes; the names of one pair are changed."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for number, (units, inputs) in enumerate([(8, 4), (8, 8), (8, 8), (3, 8)], 1):
        link, norm = names if number == 2 else (f"l{number}", f"b{number}")
        arrays[f"{link}/W"] = rng.choice([-1.0, 1.0], (units, inputs))
        for key in ("gamma", "beta", "avg_mean", "avg_var"):
            arrays[f"{norm}/{key}"] = rng.uniform(0.5, 1, units)
    np.savez(tmp_path / "x.npz", **arrays)
    if words:
        refused(tmp_path / "x.npz", *words)
    else:
        report = convert(tmp_path / "x.npz").report
        assert any("order of its links" in line for line in report.lost)


# --- the command line ----------------------------------------------------------------


def test_nothing_is_written_for_a_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = npz(tmp_path, lambda arrays: arrays.pop("l2/W"))
    for extra in ([], ["--to", "qonnx"], ["--to", "bnn-pynq"]):
        arguments = ["bnn", "convert", str(bad), "-o", str(tmp_path / "out.bnn"), *extra]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 1
        assert capsys.readouterr().err.count("\n") == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npz"]

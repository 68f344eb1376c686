# SPDX-License-Identifier: BSD-3-Clause
"""The .bnn file: what goes in comes out, and nothing hostile gets further."""

from __future__ import annotations

import contextlib
import copy
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialize

from bnn.classifier import Classifier
from bnn.errors import BnnError, ModelFileError
from bnn.model.calibration import Calibration
from bnn.model.file import _digest, load, pack_planes, provenance, save, unpack_planes
from bnn.model.model import Model
from bnn.program.inputs import IntegerInput, PictureInput, identity_table
from bnn.program.operations import Affine, Concat, Dense, Dot, Rescale
from bnn.program.precision import BIPOLAR, INT, UINT
from bnn.program.program import Program
from support import programs
from support.models import small

SAME_FILE = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.bnn"
    save(small(), path)
    return path


def _rewrite(path: Path, change: Any, tensors: Any = None) -> None:
    """Change a model file's JSON head with ``change`` and its tensors with ``tensors``."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    head = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["bnn"])
    head = change(head) or head
    arrays = parse(data)
    if tensors is not None:
        tensors(arrays)
    if isinstance(head, dict) and "digest" in head:
        head["digest"] = _digest(head, arrays)  # so that the checks after it are tested
    path.write_bytes(serialize(arrays, {"bnn": json.dumps(head)}))


@pytest.mark.parametrize(
    "calibration", [Calibration(1e-6, 0.25), Calibration(0.7), Calibration(1e9, 4.0)]
)
def test_a_calibration_comes_back_and_changes_nothing_else(
    calibration: Calibration, path: Path
) -> None:
    before = path.read_bytes()
    save(replace(small(), calibration=calibration), path)
    after = load(path)
    assert after.calibration == calibration
    assert replace(after, calibration=None) == small()
    save(replace(after, calibration=None), path)
    assert path.read_bytes() == before


def test_everything_comes_back(path: Path) -> None:
    before, after = small(), load(path)
    assert after.program.digest() == before.program.digest()
    assert after.classes == before.classes
    assert after.preprocess == before.preprocess
    assert dict(after.provenance) == dict(before.provenance)
    assert after.name == "small"


@SAME_FILE
@given(program=programs.networks() | programs.networks(programs.FULL))
def test_random_programs_come_back(program: Program, tmp_path: Path) -> None:
    names = tuple(f"class {index}" for index in range(program.classes))
    save(Model(program, names), tmp_path / "random.bnn")
    assert load(tmp_path / "random.bnn").program.digest() == program.digest()


def test_provenance_alone(path: Path, tmp_path: Path) -> None:
    assert provenance(path) == load(path).provenance
    other = tmp_path / "other.bnn"
    other.write_bytes(b"no model")
    with pytest.raises(ModelFileError, match=r"other\.bnn: is not a \.bnn file"):
        provenance(other)


def test_a_copied_model_is_the_same(path: Path) -> None:
    model = load(path)
    again = copy.deepcopy(model)
    assert again.program.digest() == model.program.digest()
    assert (again.classes, again.name, again.provenance, again.preprocess) == (
        model.classes,
        model.name,
        model.provenance,
        model.preprocess,
    )


def test_weights_in_column_order_come_back(tmp_path: Path) -> None:
    weights = np.asfortranarray(np.where(np.arange(33).reshape(3, 11) % 4, 1, -1))
    dot = Dot("dot", "input", weights, BIPOLAR)
    image = PictureInput((11,), UINT(8), identity_table())
    save(Model(Program(image, (dot,), "dot"), ("a", "b", "c")), tmp_path / "x.bnn")
    again = load(tmp_path / "x.bnn").program.op("dot")
    assert isinstance(again, Dot)
    np.testing.assert_array_equal(again.weights, weights)


@pytest.mark.parametrize("columns", [1, 7, 8, 9, 17])
@pytest.mark.parametrize("precision", [BIPOLAR, UINT(3), INT(8)], ids=str)
def test_planes(precision: Any, columns: int) -> None:
    values = programs.numbers(np.random.default_rng(columns), precision, (3, columns))
    planes = pack_planes(values, precision)
    assert planes.shape == (precision.bits, 3, (columns + 7) // 8)
    assert (unpack_planes(planes, precision, columns) == values).all()


def _set(*keys: Any, value: Any) -> Any:
    def change(head: Any) -> None:
        for key in keys[:-1]:
            head = head[key]
        head[keys[-1]] = value

    return change


def _drop(key: str) -> Any:
    def change(head: Any) -> None:
        del head[key]

    return change


HOSTILE_HEADS = [
    lambda _head: [1],
    *(_set("format", value=value) for value in (3, 10**9, 0, -1, 2.0, "2", True, None, 1)),
    _drop("format"),
    *(_drop(key) for key in ("ops", "input", "classes", "scores", "name", "provenance")),
    _set("classes", value=["one"]),
    _set("classes", value=[1, 2]),
    _set("classes", value="no"),
    _set("scores", value="d9"),
    _set("scores", value={}),
    _set("decision", value="d1"),
    _set("ops", value=[]),
    _set("ops", value=[3]),
    _set("ops", 0, "kind", value="eval"),
    _set("ops", 0, "kind", value=[]),
    _set("ops", 0, "kernel", value=[10**9, 10**9]),
    _set("ops", 0, "kernel", value=[1.0, 1.0]),
    _set("ops", 0, "kernel", value="22"),
    _set("ops", 0, "stride", value=[0, 0]),
    _set("ops", 0, "padding", value=[60000, 60000, 60000, 60000]),
    _set("ops", 0, "pad_value", value=10**400),
    _set("ops", 0, "source", value=["input"]),
    _set("ops", 0, "name", value="__class__.x"),
    _set("ops", 0, "surprise", value=1),
    _set("ops", 1, "columns", value=13),
    _set("ops", 1, "columns", value=-1),
    _set("ops", 1, "columns", value=10**30),
    _set("ops", 1, "columns", value=None),
    _set("ops", 1, "precision", value="int9"),
    _set("ops", 1, "precision", value="int4"),
    _set("ops", 1, "precision", value=3),
    _set("ops", 1, "accumulator_bits", value=4),
    _set("ops", 1, "accumulator_bits", value=True),
    _set("ops", 2, "base", value=10**100),
    _set("ops", 2, "step", value=1.5),
    _set("ops", 2, "precision", value="uint1"),
    _set("input", "kind", value="picture()"),
    _set("input", "shape", value=[2, 2]),
    _set("input", "shape", value=[10**6, 10**6, 3]),
    _set("input", "shape", value=[2, 2, -3]),
    _set("input", "precision", value="uint7"),
    _set("preprocess", value={"kind": "os.system"}),
    _set("preprocess", value={}),
    _set("provenance", value=[]),
    _set("calibration", value=[]),
    _set("calibration", value={}),
    _set("calibration", value={"temperature": 1.0}),
    _set("calibration", value={"temperature": 1.0, "exponent": 1.0, "bias": 0.0}),
    _set("calibration", value={"temperature": 1, "exponent": 1.0}),
    _set("calibration", value={"temperature": 0.0, "exponent": 1.0}),
    _set("calibration", value={"temperature": -1.0, "exponent": 1.0}),
    _set("calibration", value={"temperature": float("nan"), "exponent": 1.0}),
    _set("calibration", value={"temperature": 2e9, "exponent": 1.0}),
    _set("calibration", value={"temperature": 1.0, "exponent": 0.2}),
    _set("calibration", value={"temperature": 1.0, "exponent": 4.1}),
]


@pytest.mark.parametrize("index", range(len(HOSTILE_HEADS)))
def test_hostile_heads_are_refused_in_one_line(path: Path, index: int) -> None:
    _rewrite(path, HOSTILE_HEADS[index])
    _refused(path)


def _refused(path: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < 500 + len(str(path))


def _replace(name: str, array: Any) -> Any:
    def change(tensors: dict[str, Any]) -> None:
        if array is None:
            del tensors[name]
        else:
            tensors[name] = array

    return change


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("d0.weights", None),
        ("d0.weights", np.zeros((3, 5, 3), np.uint8)),
        ("d0.weights", np.zeros((2, 5, 2), np.uint8)),
        ("d0.weights", np.zeros((3, 0, 2), np.uint8)),
        ("d0.weights", np.zeros((3, 5, 2), np.float32)),
        ("d0.weights", np.full((3, 5, 2), 255, np.uint8)),
        ("d0.bias", np.zeros(4, np.int32)),
        ("d0.bias", np.zeros(5, np.int64)),
        ("d0.bias", np.full(5, 2**31 - 1, np.int32)),
        ("t0.thresholds", None),
        ("t0.thresholds", np.zeros((5, 0), np.int32)),
        ("t0.thresholds", np.zeros((5, 2), np.int32)),
        ("t0.signs", np.zeros(5, np.int8)),
        ("input.table", np.zeros(255, np.int16)),
        ("input.table", np.full(256, 300, np.int16)),
        ("affine.scale", None),
        ("affine.scale", np.ones(2, np.float32)),
        ("affine.scale", np.array([1.0, np.nan])),
        ("affine.offset", np.ones(3)),
        ("stowaway", np.ones(3)),
    ],
)
def test_hostile_tensors_are_refused(path: Path, name: str, array: Any) -> None:
    _rewrite(path, lambda head: head, _replace(name, array))
    _refused(path)


def _wide() -> Model:
    """16 bits, a rescale, a join, and a last layer on the host."""
    ops = (
        Rescale("r", "input", [3, -1], 1, INT(12), -2000, 2000, [7, 9], "up"),
        Concat("c", "input", "r", INT(16)),
        Dot("d", "c", [[300, -300, 1, 2]], INT(10)),
    )
    dense = Dense(np.array([[0.5], [-1.0], [2.0]]), np.array([0.0, 1.0, -1.0]), -9.0, 9.0)
    affine = Affine(np.array([0.25]), np.array([0.5]), dense)
    return Model(Program(IntegerInput((2,), INT(16)), ops, "d", affine=affine), ("a", "b", "c"))


def test_sixteen_bits_and_the_hosts_layer_come_back(tmp_path: Path) -> None:
    model = _wide()
    save(model, tmp_path / "wide.bnn")
    again = load(tmp_path / "wide.bnn")
    assert again.program.digest() == model.program.digest()
    x = np.int16([[-32768, 32767], [5, -9]])
    logits = Classifier(again, "reference").logits(x)
    np.testing.assert_array_equal(logits, Classifier(model, "cpu").logits(x))
    assert logits.shape == (2, 3)
    other = replace(model.program.affine, dense=None)  # type: ignore[type-var]
    assert replace(model.program, affine=other).digest() != model.program.digest()


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("r.multipliers", None),
        ("r.multipliers", np.ones(3, np.int32)),
        ("r.multipliers", np.ones(2, np.int64)),
        ("r.offsets", np.full(2, 1 << 62)),
        ("r.offsets", np.ones(2, np.int32)),
        ("dense.matrix", None),
        ("dense.matrix", np.ones((3, 2))),
        ("dense.matrix", np.ones((2, 1))),
        ("dense.matrix", np.full((3, 1), np.nan)),
        ("dense.matrix", np.ones((3, 1), np.float32)),
        ("dense.bias", None),
        ("dense.bias", np.ones(2)),
        ("dense.ends", np.ones(3)),
        ("dense.ends", np.array([1.0, 0.0])),
        ("dense.ends", np.array([np.nan, 0.0])),
        ("affine.scale", np.ones(2)),
        ("d.weights", np.zeros((17, 1, 1), np.uint8)),
    ],
)
def test_hostile_tensors_of_wide_models_are_refused(tmp_path: Path, name: str, array: Any) -> None:
    path = tmp_path / "wide.bnn"
    save(_wide(), path)
    _rewrite(path, lambda head: head, _replace(name, array))
    _refused(path)


@pytest.mark.parametrize(
    ("op", "key", "value"),
    [
        (0, "shift", 63),
        (0, "shift", 1.5),
        (0, "rounding", "down"),
        (0, "rounding", None),
        (0, "low", -3000),
        (0, "high", "2000"),
        (0, "precision", "int33"),
        (1, "other", "nowhere"),
        (1, "precision", "uint4"),
        (2, "precision", "int17"),
    ],
)
def test_hostile_operations_of_wide_models_are_refused(
    tmp_path: Path, op: int, key: str, value: Any
) -> None:
    path = tmp_path / "wide.bnn"
    save(_wide(), path)

    def change(head: dict[str, Any]) -> None:
        head["ops"][op][key] = value

    _rewrite(path, change)
    _refused(path)


@pytest.mark.parametrize("name", ["d0.weights", "t0.thresholds", "input.table"])
def test_a_missing_tensor_is_named(path: Path, name: str) -> None:
    _rewrite(path, lambda head: head, _replace(name, None))
    owner, array = name.split(".")
    with pytest.raises(ModelFileError, match=rf"{owner}: '{array}' is missing"):
        load(path)


def test_huge_sizes_in_the_container_are_refused(path: Path) -> None:
    data = path.read_bytes()
    for size in (0, 1, 1 << 40, (1 << 64) - 1):
        path.write_bytes(struct.pack("<Q", size) + data[8:])
        _refused(path)
    head = {"x": {"dtype": "U8", "shape": [1 << 60], "data_offsets": [0, 1 << 60]}}
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    _refused(path)


def test_deep_json_is_refused(path: Path) -> None:
    path.write_bytes(serialize({"x": np.ones(1)}, {"bnn": "[" * 100_000}))
    _refused(path)


def test_other_safetensors_missing_files_and_folders(tmp_path: Path, path: Path) -> None:
    path.write_bytes(serialize({"x": np.ones(1)}))
    _refused(path)
    _refused(tmp_path / "missing.bnn")
    (tmp_path / "folder.bnn").mkdir()
    _refused(tmp_path / "folder.bnn")


@SAME_FILE
@given(data=st.data())
def test_damage_anywhere_is_an_error_or_harmless(data: Any, tmp_path: Path) -> None:
    path = tmp_path / "damaged.bnn"
    save(small(), path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(content), data.draw(st.integers(0, len(content)))]))
    path.write_bytes(content[:cut])
    with contextlib.suppress(BnnError):
        load(path)


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be written"):
        save(small(), tmp_path / "no" / "m.bnn")
    hopeless = Model(small().program, ("a", "b"), None, {"x": object()})
    with pytest.raises(ModelFileError, match="cannot be written"):
        save(hopeless, tmp_path / "m.bnn")
    assert list(tmp_path.iterdir()) == []

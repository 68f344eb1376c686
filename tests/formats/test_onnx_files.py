# SPDX-License-Identifier: BSD-3-Clause
"""What the reader of ONNX files refuses, beside a file that is nearly the same and is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bnn.errors import FormatError
from bnn.formats.qonnx import onnx_file
from bnn.formats.qonnx.onnx_file import Graph, read

Model = onnx.ModelProto


def model(shape: tuple[Any, ...] = (1, 4)) -> Model:
    """x * one + one, then a sign."""
    one = np.ones(4, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "a"], ["m"], name="mul"),
            helper.make_node("Add", ["m", "b"], ["s"], name="add"),
            helper.make_node("LeakyRelu", ["s"], ["y"], name="sign", alpha=0.5),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4])],
        [numpy_helper.from_array(one, name) for name in ("a", "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def readable(path: Path, made: Model) -> Graph:
    path.write_bytes(made.SerializeToString())
    return read(path)


def twice(made: Model) -> None:
    made.graph.initializer.append(made.graph.initializer[0])


def _input(made: Model) -> None:
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4]))


def _no_input(made: Model) -> None:
    del made.graph.input[:]


def _output(made: Model) -> None:
    made.graph.output.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, [1, 4]))


def _makes(made: Model) -> None:
    made.graph.node.append(helper.make_node("Add", ["x", "b"], ["m"]))


def _makes_a_constant(made: Model) -> None:
    made.graph.node.append(helper.make_node("Add", ["x", "b"], ["a"]))


def _own(made: Model) -> None:
    made.functions.append(helper.make_function("mine", "Mul", ["p"], ["q"], [], []))
    made.graph.node[0].domain = "mine"


def _sparse(made: Model) -> None:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def _opsets(made: Model) -> None:
    made.opset_import.append(helper.make_opsetid("ai.onnx", 12))


def _text(made: Model) -> None:
    made.graph.input[0].type.tensor_type.elem_type = 99


def _attribute(made: Model) -> None:
    made.graph.node[2].attribute.append(helper.make_attribute("alpha", 0.5))


def _inner(made: Model) -> None:
    made.graph.node[2].attribute.append(helper.make_attribute("body", made.graph))


def _parameter(made: Model) -> None:
    made.graph.node[2].attribute[0].ref_attr_name = "alpha"


def _no_type(made: Model) -> None:
    made.graph.node[2].attribute[0].type = onnx.AttributeProto.UNDEFINED


def _unmade(made: Model) -> None:
    made.graph.node[0].input[1] = "c"


def _circle(made: Model) -> None:
    made.graph.node[0].input[0] = "s"


def _texts(made: Model) -> None:
    made.graph.initializer[0].CopyFrom(helper.make_tensor("a", TensorProto.STRING, [1], ["t"]))


def _negative(made: Model) -> None:
    made.graph.initializer[0].dims[0] = -4


def _short(made: Model) -> None:
    made.graph.initializer[0].raw_data = b"\0" * 12


def _empty(made: Model) -> None:
    del made.graph.node[:]


REFUSED: dict[str, tuple[Callable[[Model], None], str]] = {
    "a constant twice": (twice, "two constants of one name"),
    "two inputs": (_input, "has 2 inputs and 1 outputs"),
    "no input": (_no_input, "has 0 inputs and 1 outputs"),
    "two outputs": (_output, "has 1 inputs and 2 outputs"),
    "a tensor made twice": (_makes, "makes 'm', which exists already"),
    "a constant made": (_makes_a_constant, "makes 'a', which exists already"),
    "a function of its own": (_own, "is a function of the file's own"),
    "sparse constants": (_sparse, "has sparse constants"),
    "two opsets": (_opsets, "two versions of operator set ''"),
    "an unknown type": (_text, "input 'x' has no type"),
    "an attribute twice": (_attribute, "node 'sign' has an attribute twice"),
    "a graph within": (_inner, "node 'sign' contains a graph"),
    "a parameter of a function": (_parameter, "alpha is a parameter of an ONNX function"),
    "no type": (_no_type, "attribute alpha has no type"),
    "what no node makes": (_unmade, "reads 'c', which no node makes"),
    "a circle": (_circle, "reads .*, which no node makes"),
    "texts": (_texts, "constant 'a' holds object|constant 'a' holds <U|is damaged|not numbers"),
    "a negative size": (_negative, "is too large"),
    "too few bytes": (_short, "constant 'a' is damaged"),
    "nothing": (_empty, "is not an ONNX file, or is empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    made = model()
    readable(tmp_path / "plain.onnx", made)
    change, words = REFUSED[name]
    change(made)
    with pytest.raises(FormatError, match=words) as raised:
        readable(tmp_path / "x.onnx", made)
    assert str(raised.value).startswith(f"{tmp_path / 'x.onnx'}: ")


def test_what_a_graph_says(tmp_path: Path) -> None:
    made = model(("N", 4))
    made.graph.node[0].name = made.graph.node[1].name = ""
    made.graph.node[1].op_type = "Mul"
    made.graph.node[2].name = "Mul_0"
    made.opset_import.append(helper.make_opsetid("qonnx.custom_op.general", 2))
    nodes = list(made.graph.node)
    del made.graph.node[:]
    made.graph.node.extend(reversed(nodes))
    helper.set_model_props(made, {"other": "[]", "classes": '["zero", "one"]'})
    note = made.graph.quantization_annotation.add(tensor_name="x")
    note.quant_parameter_tensor_names.add(key="scale", value="1")
    note.quant_parameter_tensor_names.add(key="finn_datatype", value="INT4")
    graph = readable(tmp_path / "x.onnx", made)
    assert [(node.kind, node.inputs, node.outputs) for node in graph.nodes] == [
        ("Mul", ("x", "a"), ("m",)),
        ("Mul", ("m", "b"), ("s",)),
        ("LeakyRelu", ("s",), ("y",)),
    ]
    assert len({node.name for node in graph.nodes}) == 3
    assert dict(graph.nodes[2].attributes) == {"alpha": 0.5}
    assert (graph.input, graph.output, graph.shape, graph.kind) == ("x", "y", (1, 4), "float32")
    assert (graph.datatype, graph.classes, graph.declared) == ("INT4", ("zero", "one"), (0, 4))
    assert graph.opsets == {"": 13, "qonnx.custom_op.general": 2}
    np.testing.assert_array_equal(graph.constants["a"], np.ones(4))


@pytest.mark.parametrize(
    ("classes", "found"),
    [('["a"]', ("a",)), ("[1]", ()), ('["a", 2]', ()), ('{"a": 1}', ()), ("[", ()), ('"a"', ())],
)
def test_names_of_classes(tmp_path: Path, classes: str, found: tuple[str, ...]) -> None:
    made = model()
    helper.set_model_props(made, {"classes": classes})
    assert readable(tmp_path / "x.onnx", made).classes == found


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((1, 4), (1, 4)),
        ((None, 4), (1, 4)),
        ((2, 3, 5), (2, 3, 5)),
        ((1, 2, 3, 4), (1, 2, 3, 4)),
        ((4,), None),
        ((), None),
        ((1, 1, 2, 3, 4), None),
    ],
)
def test_shapes_of_an_input(
    tmp_path: Path, shape: tuple[int, ...], found: tuple[int, ...] | None
) -> None:
    if found is not None:
        assert readable(tmp_path / "x.onnx", model(shape)).shape == found
        return
    with pytest.raises(FormatError, match=r"vectors .N, features., signals"):
        readable(tmp_path / "x.onnx", model(shape))


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each limit is reached exactly, then passed by one."""
    data = model().SerializeToString()
    count = _fields(data, monkeypatch, tmp_path)
    monkeypatch.setattr(onnx_file, "MAX_FIELDS", count)
    readable(tmp_path / "x.onnx", model())
    monkeypatch.setattr(onnx_file, "MAX_FIELDS", count - 1)
    with pytest.raises(FormatError, match=f"has more than {count - 1} fields"):
        readable(tmp_path / "x.onnx", model())
    monkeypatch.undo()
    monkeypatch.setattr(onnx_file, "MAX_NODES", 3)
    readable(tmp_path / "x.onnx", model())
    monkeypatch.setattr(onnx_file, "MAX_NODES", 2)
    with pytest.raises(FormatError, match="has 3 nodes, at most 2"):
        readable(tmp_path / "x.onnx", model())
    monkeypatch.undo()
    monkeypatch.setattr(onnx_file, "MAX_VALUES", 9)  # of both constants, and one of the attribute
    readable(tmp_path / "x.onnx", model())
    readable(tmp_path / "x.onnx", model((2, 4)))
    with pytest.raises(FormatError, match=r"input 'x' of shape \(3, 4\) is too large"):
        readable(tmp_path / "x.onnx", model((3, 4)))
    monkeypatch.setattr(onnx_file, "MAX_VALUES", 7)
    with pytest.raises(FormatError, match=r"constant 'b' .* together may have 7 values"):
        readable(tmp_path / "x.onnx", model())


def _fields(data: bytes, monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    """The number of fields of a file, by trying."""
    for count in range(1, 200):
        monkeypatch.setattr(onnx_file, "MAX_FIELDS", count)
        try:
            onnx_file.check_fields(folder, data, Model.DESCRIPTOR)
        except FormatError:
            continue
        return count
    raise AssertionError


def external(made: Model, folder: Path, count: int = 4, **told: str) -> None:
    """The first constant in a file beside the model."""
    (folder / "data.bin").write_bytes(b"\7\7\7\7" + np.arange(count, dtype=np.float32).tobytes())
    item = made.graph.initializer[0]
    item.ClearField("raw_data")
    item.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "data.bin", "offset": "4", "length": "16", **told}.items():
        if value:
            item.external_data.add(key=key, value=value)


SHA1 = "0" * 40


@pytest.mark.parametrize(
    ("count", "told", "words"),
    [
        (4, {}, ""),
        (4, {"length": ""}, ""),
        (5, {}, ""),
        (3, {}, "is damaged"),
        (5, {"length": ""}, "is damaged"),
        (4, {"length": "15"}, "is damaged"),
        (4, {"length": "17"}, "is damaged"),
        (4, {"offset": "5"}, "is damaged"),
        (4, {"offset": "-4"}, "is damaged"),
        (4, {"offset": "4.0"}, "is damaged"),
        (4, {"offset": "0" * 12 + "4"}, "is damaged"),
        (4, {"offset": "0" * 11 + "4"}, ""),
        (4, {"location": ""}, "is not in the same folder"),
        (4, {"location": "../data.bin"}, "is not in the same folder"),
        (4, {"made_up": "1"}, "made_up of its data file is not understood"),
        (4, {"checksum": SHA1}, "does not match the checksum"),
    ],
)
def test_external_data(tmp_path: Path, count: int, told: dict[str, str], words: str) -> None:
    made = model()
    external(made, tmp_path, count, **told)
    if words:
        with pytest.raises(FormatError, match=words):
            readable(tmp_path / "x.onnx", made)
        return
    found = readable(tmp_path / "x.onnx", made).constants["a"]
    np.testing.assert_array_equal(found, np.arange(4))

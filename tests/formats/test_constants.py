# SPDX-License-Identifier: BSD-3-Clause
"""Constants of an ONNX graph are folded to what ``onnx.reference`` computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from bnn.errors import FormatError
from bnn.formats.qonnx.constants import Constant, fold
from bnn.formats.qonnx.onnx_file import Node
from bnn.formats.qonnx.operators import understood
from bnn.formats.qonnx.weights import quantized_constant

A = np.arange(-12, 12, dtype=np.float32).reshape(2, 3, 4) / 4
B = np.linspace(0.5, 3, 4, dtype=np.float32)
WHOLE = np.array([[7, -7, 6], [-9, 8, 1]], np.int64)
TWO = np.array([[2, 2, -4], [4, -3, 5]], np.int64)

BYTES = np.arange(-12, 12, dtype=np.int8).reshape(2, 3, 4)
UNSIGNED = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)

CASES: list[tuple[str, int, dict[str, Any], tuple[Any, ...]]] = [
    *((kind, 13, {}, (A, B)) for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min")),
    ("Div", 13, {}, (WHOLE, TWO)),
    ("Pow", 13, {}, (np.abs(A), B)),
    *((kind, 13, {}, (A, B, -A)) for kind in ("Max", "Min")),
    *((kind, 13, {}, (np.abs(A) + 1,)) for kind in ("Sqrt", "Reciprocal", "Exp", "Log")),
    *((kind, 13, {}, (A,)) for kind in ("Neg", "Abs", "Sign", "Floor", "Ceil", "Relu", "Identity")),
    ("Round", 11, {}, (A * 2,)),
    ("Transpose", 13, {"perm": [2, 0, 1]}, (A,)),
    ("Reshape", 13, {}, (A, np.array([0, -1, 2], np.int64))),
    *(("Flatten", 13, {"axis": axis}, (A,)) for axis in (0, 1, 2, -1)),
    ("Squeeze", 13, {}, (A[:1, :, :1], np.array([0, 2], np.int64))),
    ("Squeeze", 11, {"axes": [0, 2]}, (A[:1, :, :1],)),
    ("Squeeze", 13, {}, (A[:1, :, :1],)),
    ("Unsqueeze", 13, {}, (A, np.array([0, -1], np.int64))),
    ("Unsqueeze", 11, {"axes": [1, 3]}, (A,)),
    ("Slice", 9, {"starts": [1, 0], "ends": [3, 2], "axes": [1, 2]}, (A,)),
    ("Slice", 9, {"starts": [1, 1], "ends": [2, 3]}, (A,)),
    *(
        ("Slice", 13, {}, (A, *(np.array(each, np.int64) for each in given)))
        for given in (
            ([0, 1], [2, 3]),
            ([1, -3], [1 << 40, -1], [1, 2]),
            ([0, 0], [3, 4], [1, 2], [2, 3]),
            ([1], [2], [-1]),
        )
    ),
    *(
        ("Clip", 13, {}, (A, *bounds))
        for bounds in (
            (np.float32(-1), np.float32(1.5)),
            (np.float32(-1),),
            (None, np.float32(1.5)),
            (),
        )
    ),
    ("Clip", 6, {"min": -1.0, "max": 0.5}, (A,)),
    ("Clip", 6, {}, (A,)),
    *(("Gather", 13, {"axis": axis}, (A, np.array([[1, 0]], np.int64))) for axis in (0, 1, -1)),
    *(("Concat", 13, {"axis": axis}, (A, A + 1, A)) for axis in (0, 1, -1)),
    ("ReduceMean", 13, {"axes": [1, 2], "keepdims": 0}, (A,)),
    ("ReduceMean", 13, {"axes": [-1]}, (A,)),
    ("ReduceMean", 13, {}, (A,)),
    ("Shape", 13, {}, (A,)),
    ("Shape", 15, {"start": 1}, (A,)),
    ("Shape", 15, {"start": -2, "end": -1}, (A,)),
    ("MatMul", 13, {}, (A, A.transpose(0, 2, 1).copy())),
    *(
        ("Cast", 13, {"to": to}, (A * 4 if to in (3, 5, 6, 7, 10, 11) else np.abs(A),))
        for to in (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13)
    ),
    *(
        ("QuantizeLinear", 19, {"axis": -1}, (A * 40, scale, zero))
        for scale, zero in (
            (np.float32(0.25), np.int8(3)),
            (np.float32(0.5), np.uint8(7)),
            (B, np.array([0, 1, -2, 3], np.int8)),
        )
    ),
    ("QuantizeLinear", 19, {}, (A, np.float32(0.25))),
    *(
        ("DequantizeLinear", 19, {"axis": -1}, given)
        for given in (
            (BYTES, np.float32(0.25)),
            (BYTES, np.float32(0.25), np.int8(-3)),
            (UNSIGNED, B, np.array([0, 1, 2, 3], np.uint8)),
            (BYTES.astype(np.int32) * 1000, B),
        )
    ),
    *((kind, 13, {"axes": [1]}, (A,)) for kind in ("ReduceMax", "ReduceMin")),
    *((kind, 13, {"axes": [0, -1], "keepdims": 0}, (A,)) for kind in ("ReduceMax", "ReduceMin")),
    *((kind, 13, {}, (A,)) for kind in ("ReduceMax", "ReduceMin")),
    ("ConstantOfShape", 9, {"value": np.array([2.5], np.float32)}, (np.array([2, 3], np.int64),)),
    ("ConstantOfShape", 9, {}, (np.array([2, 1], np.int64),)),
    ("Where", 9, {}, (A > 0, A, -A)),
    *((kind, 7, {}, (A > 0, A < 1)) for kind in ("And", "Or", "Xor")),
    ("Not", 1, {}, (A > 0,)),
    *((kind, 13, {}, (A, B)) for kind in ("Greater", "Less", "Equal")),
    *((kind, 12, {}, (A, A[:, ::-1])) for kind in ("GreaterOrEqual", "LessOrEqual")),
    ("Cast", 13, {"to": 9}, (A,)),
    ("Constant", 13, {"value": B}, ()),
    ("Constant", 13, {"value_float": 1.5}, ()),
    ("Constant", 13, {"value_floats": [1.5, 2.5]}, ()),
    ("Constant", 13, {"value_int": 3}, ()),
    ("Constant", 13, {"value_ints": [3, 4]}, ()),
]


def _folded(
    kind: str, version: int, attributes: dict[str, Any], inputs: tuple[Any, ...]
) -> Constant | None:
    names = tuple("" if each is None else f"i{at}" for at, each in enumerate(inputs))
    node = Node("here", kind, "", names, ("out",), attributes)
    given = [None if each is None else Constant(np.asarray(each)) for each in inputs]
    return fold(understood(node, {"": version}), given)


@pytest.mark.parametrize(("kind", "version", "attributes", "inputs"), CASES)
def test_constants_are_what_the_reference_computes(
    kind: str, version: int, attributes: dict[str, Any], inputs: tuple[Any, ...]
) -> None:
    arrays = {f"i{at}": np.asarray(each) for at, each in enumerate(inputs) if each is not None}
    names = ["" if each is None else f"i{at}" for at, each in enumerate(inputs)]
    stored = {
        key: onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for key, value in attributes.items()
    }
    node = onnx.helper.make_node(kind, names, ["out"], **stored)
    info = onnx.helper.make_tensor_value_info
    float_ = onnx.TensorProto.FLOAT
    types = {name: onnx.helper.np_dtype_to_tensor_dtype(a.dtype) for name, a in arrays.items()}
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [info(name, types[name], array.shape) for name, array in arrays.items()],
        [info("out", float_, None)],
    )
    opsets = [onnx.helper.make_opsetid("", version)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    wanted = ReferenceEvaluator(model).run(None, arrays)[0]
    found = _folded(kind, version, attributes, inputs)
    assert found is not None
    assert found.value.shape == np.shape(wanted)
    assert found.value.dtype == np.asarray(wanted).dtype
    np.testing.assert_allclose(found.value, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"value_int": 3, "value_float": 1.5}, {"value_ints": [1], "value": B}],
)
def test_a_constant_holds_one_value(attributes: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="must hold one constant"):
        _folded("Constant", 13, attributes, ())


@pytest.mark.parametrize(
    ("scale", "zero"), [(np.ones((3, 4)), np.zeros(1)), (np.ones(1), np.zeros((2, 1, 4)))]
)
def test_quantizers_that_are_larger_than_the_weights_are_refused(scale: Any, zero: Any) -> None:
    """NumPy would make more weights of them."""
    attributes = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    names = ("w", "scale", "zero", "bits")
    node = Node("here", "Quant", "qonnx.custom_op.general", names, ("out",), attributes)
    given = [np.ones((1, 4)), scale, zero, np.array(4.0)]
    op = understood(node, {"": 13, "qonnx.custom_op.general": 1})
    with pytest.raises(FormatError, match="scale or zero point do not fit the weights' shape"):
        quantized_constant(op, [Constant(each.astype(np.float32)) for each in given])


@pytest.mark.parametrize(
    ("kind", "inputs", "reason"),
    [
        ("DequantizeLinear", (BYTES, np.float16(0.5)), "turns int8 into float16"),
        ("DequantizeLinear", (A, np.float32(0.5)), "turns float32 into float32"),
        ("DequantizeLinear", (BYTES, np.float32(1), np.uint8(1)), "its zero point is uint8"),
        ("DequantizeLinear", (BYTES, B[:3]), None),
        ("QuantizeLinear", (A, np.float16(0.5)), "quantizes float32 to uint8"),
        ("QuantizeLinear", (A.astype(np.float64), np.float32(1)), "quantizes float64 to uint8"),
        ("QuantizeLinear", (A, np.float32(0)), "its scale must be positive"),
        ("QuantizeLinear", (A, np.float32(np.inf)), "its scale must be positive"),
        (
            "QuantizeLinear",
            (A, np.float32(1), np.int32(0)),
            "quantizes to int32; only integers of 8",
        ),
        ("QuantizeLinear", (A, np.float32(1), np.float32(0)), "quantizes float32 to float32"),
    ],
)
def test_scaled_constants_that_are_refused(
    kind: str, inputs: tuple[Any, ...], reason: str | None
) -> None:
    with pytest.raises(FormatError, match=reason):
        _folded(kind, 19, {"axis": 2}, inputs)


@pytest.mark.parametrize(
    ("axis", "inputs"),
    [
        (0, (BYTES, np.float32(0.25))),
        (0, (BYTES, np.float32(0.25), np.int8(-3))),
        (2, (UNSIGNED, B, np.array([0, 1, 2, 3], np.uint8))),
        (1, (BYTES, B[:3])),
    ],
)
def test_weights_that_were_stored_as_integers_keep_them(axis: int, inputs: tuple[Any, ...]) -> None:
    found = _folded("DequantizeLinear", 19, {"axis": axis}, inputs)
    assert found is not None
    assert found.integers is not None
    zero = inputs[2].astype(np.int64) if len(inputs) > 2 else 0
    whole = inputs[0].astype(np.int64) - zero
    np.testing.assert_array_equal(found.integers, whole)
    assert (found.low, found.high) == (whole.min(), whole.max())
    np.testing.assert_array_equal(found.value, found.integers * found.scale)
    sizes = [1, 1, 1]
    sizes[axis] = -1
    np.testing.assert_array_equal(
        found.scale, np.broadcast_to(np.asarray(inputs[1]).reshape(sizes), BYTES.shape)
    )


@pytest.mark.parametrize(
    ("kind", "version", "attributes", "inputs", "reason"),
    [
        ("Add", 13, {}, (A, WHOLE[:1, :1]), "its inputs have different types"),
        ("Greater", 13, {}, (A, WHOLE[:1, :1]), "its inputs have different types"),
        ("And", 7, {}, (A, A), "needs bool inputs, not numbers"),
        ("Neg", 13, {}, (A > 0,), "needs numbers, not bool inputs"),
        ("Where", 9, {}, (A, A, A), "of one type, not float32, float32, float32"),
        ("Where", 9, {}, (A > 0, A, WHOLE[:1, :1]), "of one type, not bool, float32, int64"),
        (
            *("Reshape", 14, {"allowzero": 1}, (A, np.array([0, 24], np.int64))),
            "allowzero=1 with a size of 0",
        ),
        ("Slice", 13, {}, (A, *(np.array([n], np.int64) for n in (2, 0, 1, -1))), "backwards"),
        ("Cast", 13, {"to": 3}, (A * 1000,), "casts constants that are outside int8"),
    ],
)
def test_operations_on_constants_that_are_refused(
    kind: str, version: int, attributes: dict[str, Any], inputs: tuple[Any, ...], reason: str
) -> None:
    with pytest.raises(FormatError, match=reason):
        _folded(kind, version, attributes, inputs)

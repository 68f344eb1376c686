# SPDX-License-Identifier: BSD-3-Clause
"""Small ONNX graphs that cannot be converted are refused, each for its own reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bnn.classifier import Classifier
from bnn.errors import FormatError
from bnn.formats.convert import Options, convert
from bnn.formats.qonnx.executor import Executor
from support.qonnx_graphs import DOMAIN

RNG = np.random.default_rng(5)
WEIGHTS = {
    "conv": RNG.choice([-1, 1], (3, 2, 2, 2)),  # 4x4 -> 3x3
    "whole": RNG.choice([-1, 1], (3, 2, 4, 4)),  # 4x4 -> 1x1
    "dense": RNG.choice([-1, 1], (27, 5)),
    "patch": RNG.choice([-1, 1], (8, 3)),
    "rows": RNG.choice([-1, 1], (2, 3)),
    "wide": RNG.choice([-1, 1], (48, 5)),
    "twelve": RNG.choice([-1, 1], (12, 5)),
    "bits": RNG.choice([0, 1], (32, 3)),
}
QONNX = ("Quant", "Im2Col", "BipolarQuant", "XnorPopcountMatMul", "MultiThreshold")


def graph(path: Path, *steps: tuple[Any, ...]) -> Path:
    """Maps of 2x4x4 numbers and these steps: kind, names of constants, attributes."""
    nodes, at, constants = [], "x", dict(WEIGHTS)
    for number, (kind, others, attributes) in enumerate(steps):
        names = []
        for other in others:
            name = other if isinstance(other, str) else f"c{len(constants)}"
            constants.setdefault(name, other)
            names.append(name)
        domain = DOMAIN if kind in QONNX else ""
        out = f"t{number}"
        nodes.append(helper.make_node(kind, [at, *names], [out], domain=domain, **attributes))
        at = out
    read = {name for node in nodes for name in node.input}
    tensors = [
        numpy_helper.from_array(
            array if array.dtype == np.int64 and name not in WEIGHTS else array.astype(np.float32),
            name,
        )
        for name, array in ((k, np.asarray(v)) for k, v in constants.items())
        if name in read
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2, 4, 4))],
        [helper.make_tensor_value_info(at, TensorProto.FLOAT, None)],
        tensors,
    )
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid(DOMAIN, 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=8), path)
    return path


def step(kind: str, *others: Any, **attributes: Any) -> tuple[Any, ...]:
    return kind, others, attributes


QUANT = step("Quant", np.float32(1), np.float32(0), np.float32(4))
CONV, WHOLE, FLAT = step("Conv", "conv"), step("Conv", "whole"), step("Flatten")
LAST = step("Transpose", perm=[0, 2, 3, 1])
DENSE = step("MatMul", "dense")


def padded(*amounts: int) -> tuple[Any, ...]:
    return step("Pad", np.array(amounts, np.int64))


def patches(size: int = 2) -> tuple[Any, ...]:
    return step("Im2Col", kernel_size=[size, size], stride=[1, 1], pad_amount=[0, 0, 0, 0])


def signs(*shape: int) -> Any:
    return RNG.choice(np.array([-1, 1], np.float32), shape)


def quant(bits: float, zero: float = 0, **attributes: Any) -> tuple[Any, ...]:
    return step("Quant", np.float32(1), np.float32(zero), np.float32(bits), **attributes)


BIT, XNOR = quant(1, signed=0, narrow=0), step("XnorPopcountMatMul", "bits")
ROWS = np.array([[2, 1, 4], [1, 2, -1], [0, 1, 2], [1, 4, 1]], np.float32)
NORM = step("BatchNormalization", *ROWS, epsilon=0.0)
TAKEN = {
    "a product along the channels": (
        QUANT,
        LAST,
        step("MatMul", "rows"),
        FLAT,
        step("MatMul", "wide"),
    ),
    "spread kernels": (
        QUANT,
        step("Conv", "conv", dilations=[2, 2]),
        LAST,
        FLAT,
        step("MatMul", "twelve"),
    ),
    "a count of equal bits": (BIT, FLAT, XNOR),
    "a norm": (QUANT, CONV, NORM, quant(4), LAST, FLAT, DENSE),
    "one output of a quantizer": (
        QUANT,
        FLAT,
        step("MatMul", signs(32, 1)),
        quant(8),
    ),
    "a map padded": (
        QUANT,
        padded(0, 0, 0, 0, 0, 0, 1, 1),
        step("Conv", "whole", strides=[2, 2]),
        FLAT,
    ),
    "patches": (QUANT, LAST, patches(), step("MatMul", "patch"), FLAT, DENSE),
    "another order that a layer reads": (QUANT, CONV, LAST, FLAT, DENSE),
    "one place": (QUANT, WHOLE, LAST, FLAT),
    "a map flattened in our order": (QUANT, CONV, LAST, FLAT),
    "a shape that is stated": (QUANT, CONV, LAST, step("Reshape", np.array([1, 27], np.int64))),
    "a vector": (QUANT, CONV, FLAT, DENSE),
}
REFUSED = {
    "too few inputs": ((QUANT, step("Conv"), FLAT), r"has 1 inputs, not 2 to 3$"),
    "too many inputs": ((QUANT, CONV, step("Relu", np.float32(1)), FLAT), "has 2 inputs, not 1$"),
    "a product along the width": (
        (QUANT, CONV, step("MatMul", signs(3, 3)), FLAT),
        "multiplies along axis W",
    ),
    "a Gemm of a map": ((QUANT, LAST, step("Gemm", "rows"), FLAT), "reads a map; it must be"),
    "no spread": (
        (QUANT, step("Conv", "conv", dilations=[0, 1]), FLAT),
        "dilations must be two positive numbers, not",
    ),
    "bits that are 2": (
        (BIT, FLAT, step("XnorPopcountMatMul", 2 * WEIGHTS["bits"])),
        "its constant must hold 0 and 1 only",
    ),
    "fewer bits": (
        (BIT, FLAT, step("XnorPopcountMatMul", WEIGHTS["bits"][:31])),
        r"its constant must have 32 rows, not shape \(31, 3\)",
    ),
    "bits of larger values": ((quant(2, signed=0), FLAT, XNOR), "reads other values than 0 and 1"),
    "bits of signs": (
        (step("BipolarQuant", np.float32(1)), FLAT, XNOR),
        "reads other values than 0 and 1",
    ),
    "a norm of other channels": (
        (QUANT, CONV, step("BatchNormalization", *np.ones((4, 2))), FLAT),
        "its parameters do not fit the tensor's channels",
    ),
    "a norm that is not finite": (
        (QUANT, CONV, step("BatchNormalization", *np.full((4, 3), np.inf)), FLAT),
        "its parameters must be finite float32 numbers",
    ),
    "a norm of a negative variance": (
        (QUANT, CONV, step("BatchNormalization", *ROWS[[0, 1, 2, 1]]), FLAT),
        r"variance \+ epsilon .* must be positive",
    ),
    "a kernel larger than the map": (
        (QUANT, step("Conv", signs(3, 2, 5, 2)), FLAT),
        "is larger than the padded map",
    ),
    "a class whose number is read": (
        (QUANT, WHOLE, FLAT, step("ArgMax", axis=1), step("Neg")),
        "follows a softmax or the like",
    ),
    "a sigmoid before a class": (
        (QUANT, WHOLE, FLAT, step("Sigmoid"), step("ArgMax", axis=1)),
        "has more than 256 values; put a quantizer after it",
    ),
    "three axes padded": (
        (QUANT, step("Pad", np.array([0, 0, 0, 1, 1, 1], np.int64)), WHOLE, FLAT),
        "must be 8 numbers, none negative",
    ),
    "padding with infinity": (
        (
            QUANT,
            step("Pad", np.array([0, 0, 1, 1, 0, 0, 0, 0], np.int64), np.float32(np.inf)),
            CONV,
        ),
        "only padding with a finite constant",
    ),
    "patches with a negative border": (
        (QUANT, LAST, step("Im2Col", kernel_size=[2, 2], stride=[1, 1], pad_amount=[0, 0, -1, 0])),
        "pad_amount must be four numbers, none negative",
    ),
    "patches with two borders": (
        (QUANT, LAST, step("Im2Col", kernel_size=[2, 2], stride=[1, 1], pad_amount=[0, 0])),
        "pad_amount must be four numbers",
    ),
    "a vector made a map": (
        (QUANT, FLAT, step("Reshape", np.array([1, 4, 4, 2], np.int64)), CONV),
        "a vector cannot be made a map of shape",
    ),
    "samples padded": (
        (QUANT, padded(1, 0, 0, 0, 0, 0, 0, 0), WHOLE, FLAT),
        "only padding of height and width",
    ),
    "channels padded": (
        (QUANT, padded(0, 1, 0, 0, 0, 0, 0, 0), WHOLE, FLAT),
        "only padding of height and width",
    ),
    "negative padding": ((QUANT, padded(0, 0, -1, 0, 0, 0, 0, 0), WHOLE, FLAT), "none negative"),
    "a pad before a sum": (
        (QUANT, padded(0, 0, 1, 1, 0, 0, 1, 1), step("MaxPool", kernel_shape=[2, 2]), CONV, FLAT),
        "follows a Pad; only a convolution may follow it",
    ),
    "patches in a quantizer": (
        (
            QUANT,
            LAST,
            patches(),
            step("BipolarQuant", np.float32(1)),
            step("MatMul", "patch"),
            FLAT,
        ),
        "follows an Im2Col; only a matrix product may follow it",
    ),
    "patches in a layout": (
        (QUANT, LAST, patches(), FLAT, step("MatMul", signs(72, 3))),
        "follows an Im2Col; only a matrix product may follow it",
    ),
    "patches of a map with channels first": (
        (QUANT, CONV, patches(), step("MatMul", "patch"), FLAT),
        "only patches of a channels-last map",
    ),
    "patches at the end": (
        (QUANT, LAST, patches()),
        "the output is padded, or consists of patches",
    ),
    "padded at the end": (
        (QUANT, WHOLE, padded(0, 0, 1, 0, 0, 0, 0, 0)),
        "the output is padded, or consists of patches",
    ),
    "a flattened map": (
        (QUANT, CONV, FLAT),
        "the output is a map that was flattened in another order",
    ),
    "a shape that is one number": (
        (QUANT, CONV, step("Reshape", np.array(27, np.int64))),
        "its shape is not a vector of 64-bit integers",
    ),
    "a shape that is a table": (
        (QUANT, CONV, step("Reshape", np.array([[1, 27]], np.int64))),
        "its shape is not a vector of 64-bit integers",
    ),
    "a shape of real numbers": (
        (QUANT, CONV, step("Reshape", np.array([1, 27], np.float32))),
        "its shape is not a vector of 64-bit integers",
    ),
    "samples that are not first": (
        (QUANT, WHOLE, step("Transpose", perm=[1, 0, 2, 3])),
        "samples must be first",
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_taken(name: str, tmp_path: Path) -> None:
    path = graph(tmp_path / "x.onnx", *TAKEN[name])
    model = convert(path, None, Options(input="int4")).model
    inputs = RNG.integers(-8, 8, (5, 2, 4, 4)).astype(np.float32)
    found = Classifier(model, "reference").logits(inputs.transpose(0, 2, 3, 1))
    wanted = Executor(path).run(inputs, 60)
    # One output becomes two classes; the second has its score.
    np.testing.assert_array_equal(found[:, -wanted.shape[1] :], wanted)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    steps, reason = REFUSED[name]
    path = graph(tmp_path / "x.onnx", *steps)
    with pytest.raises(FormatError, match=reason):
        convert(path, None, Options(input="int4"))

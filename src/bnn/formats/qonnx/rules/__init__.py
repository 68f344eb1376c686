# SPDX-License-Identifier: BSD-3-Clause
"""Rules: what each ONNX operation becomes, a layer or a change of a tensor's layout.

``activations``  quantizers and thresholds
``affine``       scales, offsets, sums, batch norms
``clips``        Relu, Clip and similar functions
``curves``       comparisons, choices and straight-through sums, as one function of each value
``joins``        Concat
``products``     convolutions and dense layers
``borders``      Pad and Im2Col, for the convolution after them
``pools``        maxima and means
``sliding``      strides and padding, for the three above
``layout``       reshapes and transposes
``ending``       softmax and similar operations, and the output
"""

from __future__ import annotations

from collections.abc import Callable

from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.quantizers import QUANTS
from bnn.formats.qonnx.rules import (
    activations,
    affine,
    borders,
    clips,
    curves,
    ending,
    joins,
    layout,
    pools,
    products,
)
from bnn.formats.qonnx.walk import Inputs, Value, Walk

#: A rule: returns a node's value from its inputs, of which at least one is not a constant.
Rule = Callable[[Walk, Op, Inputs], Value]

#: Operations that only move numbers or change their dtype.
LAYOUT = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Transpose"}
FINAL = {"Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK", "Hardmax"}
#: Rules by operator type; others cannot be converted.
RULES: dict[str, Rule] = {
    **dict.fromkeys(QUANTS, activations.quantize),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), affine.elementwise),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), layout.reshape),
    "Identity": layout.passed,
    "Dropout": layout.dropout,
    "Cast": layout.cast,
    **dict.fromkeys(("MaxPool", "GlobalMaxPool", "MaxPoolNHWC"), pools.max_pool),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "ReduceMean"), pools.average_pool),
    **dict.fromkeys(("Relu", "Clip"), clips.clip),
    **dict.fromkeys(("LeakyRelu", "PRelu"), clips.leaky),
    "HardSigmoid": clips.hard_sigmoid,
    "Concat": joins.concat,
    **dict.fromkeys(("MatMul", "Gemm"), products.matmul),
    **dict.fromkeys(FINAL, ending.final),
    "Trunc": activations.trunc,
    "MultiThreshold": activations.multi_threshold,
    "Sign": activations.sign,
    "BatchNormalization": affine.batch_norm,
    "Conv": products.conv,
    "Transpose": layout.transpose,
    "Shape": layout.shape,
    "Pad": borders.pad,
    "Im2Col": borders.im2col,
    **dict.fromkeys(curves.STARTING, curves.start),
    "XnorPopcountMatMul": products.xnor_popcount,
}

# SPDX-License-Identifier: BSD-3-Clause
"""Operators that can be read, with each version, attribute and input that they may have.

The meaning of an ONNX operator changes with the version of its operator set: defaults and axes
change, and attributes become inputs. :func:`understood` looks up which version a node has, and
which attributes and inputs this version has (in ONNX's own schemas; the schemas of QONNX are
below). What :data:`OPERATORS` does not list is refused by name. Rules read a node as an
:class:`Op`: only :func:`understood` makes one, and it gives only the attributes listed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from bnn.errors import FormatError
from bnn.formats.qonnx.onnx_file import Node

Kind = Literal["INT", "FLOAT", "STRING", "INTS", "FLOATS", "TENSOR"]

#: Domains of QONNX's quantizers: QONNX, FINN, Brevitas, and their old files.
QONNX_DOMAINS = (
    "qonnx.custom_op.general",
    "finn.custom_op.general",
    "onnx.brevitas",
    "finn",
    "",
)
#: QONNX's copies of ONNX operators for maps with the channels last.
CHANNELS_LAST = "qonnx.custom_op.channels_last"


@dataclass(frozen=True)
class Operator:
    """How an operator is read.

    Attributes:
        versions: versions of the operator that the rule knows. A version is called after the first
            operator set that has it.
        tensors: positions of inputs that may depend on the graph's input; the others
            must be constants.
        read: attributes that the rule interprets.
        fixed: attribute -> the values that are allowed; with these it has no effect.
        idle: attributes that have no effect on the result, whatever their value.
        result: position of the output that is computed; no node may read another one.
        outputs: number of outputs that may have a name.
    """

    versions: tuple[int, ...]
    tensors: tuple[int, ...] = (0,)
    read: tuple[str, ...] = ()
    fixed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    idle: tuple[str, ...] = ()
    result: int = 0
    outputs: int = 1


_LATE = (13, 21, 23, 24, 25)  # versions that only added dtypes
_UNARY = Operator((6, 13), tensors=())
_EITHER = Operator((7, 9, 13), tensors=(0, 1))
_LOGIC = Operator((7,), tensors=(0, 1))
_LINEAR_VERSIONS = (10, 13, 19, 21, 23, 24, 25)
_POOL = ("kernel_shape", "strides", "pads", "auto_pad", "ceil_mode", "dilations")
_SOFTMAX = Operator((1, 11, 13), read=("axis",))

#: Operators by type; others cannot be converted.
OPERATORS: dict[str, Operator] = {
    # --- with a tensor and constants
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), Operator((7, 13, 14), tensors=(0, 1))),
    "MatMul": Operator((1, 9, 13), tensors=(0, 1)),
    "Gemm": Operator((7, 9, 11, 13), read=("alpha", "beta", "transA", "transB")),
    "Conv": Operator(
        (1, 11, 22), read=("kernel_shape", "strides", "pads", "auto_pad", "dilations", "group")
    ),
    "BatchNormalization": Operator(
        (7, 9, 14, 15),
        read=("epsilon",),
        fixed={"training_mode": (0,), "spatial": (1,)},
        idle=("momentum",),  # of the statistics, while training
    ),
    "Relu": Operator((6, 13, 14)),
    "Clip": Operator((6, 11, 12, 13), read=("min", "max")),
    "Sign": Operator((9, 13)),
    # --- of each value, in a chain that has few values
    **dict.fromkeys(("Greater", "Less"), _EITHER),
    **dict.fromkeys(("GreaterOrEqual", "LessOrEqual"), Operator((12, 16), tensors=(0, 1))),
    "Equal": Operator((7, 11, 13, 19), tensors=(0, 1)),
    "Not": Operator((1,)),
    **dict.fromkeys(("And", "Or", "Xor"), _LOGIC),
    "Where": Operator((9, 16), tensors=(0, 1, 2)),
    **dict.fromkeys(("Neg", "Abs", "Floor", "Ceil", "Tanh"), Operator((6, 13))),
    "Round": Operator((11, 22)),
    **dict.fromkeys(("Max", "Min"), Operator((8, 12, 13), tensors=tuple(range(8)))),
    "QuantizeLinear": Operator(
        _LINEAR_VERSIONS,
        read=("axis",),
        fixed={"block_size": (0,), "output_dtype": (0,), "precision": (0,)},
        idle=("saturate",),  # of 8-bit floats, which are refused
    ),
    "DequantizeLinear": Operator(
        _LINEAR_VERSIONS, read=("axis",), fixed={"block_size": (0,), "output_dtype": (0,)}
    ),
    "LeakyRelu": Operator((6, 16), read=("alpha",)),
    "PRelu": Operator((7, 9, 16)),
    "HardSwish": Operator((14, 22)),
    "HardSigmoid": Operator((6, 22), read=("alpha", "beta")),
    # --- windows
    "MaxPool": Operator(
        (1, 8, 10, 11, 12, 22),
        read=_POOL,
        idle=("storage_order",),  # of the second output
    ),
    "AveragePool": Operator(
        (1, 7, 10, 11, 19, 22),
        read=_POOL,
        idle=("count_include_pad",),  # pads are refused
    ),
    "GlobalMaxPool": Operator((1, 22)),
    "GlobalAveragePool": Operator((1, 22)),
    "ReduceMean": Operator(
        (1, 11, 13, 18), read=("axes", "keepdims"), fixed={"noop_with_empty_axes": (0,)}
    ),
    "Pad": Operator((2, 11, 13, 18, 19, *_LATE[1:]), read=("pads", "mode", "value")),
    # --- layout
    "Transpose": Operator((1, *_LATE), read=("perm",)),
    "Reshape": Operator((5, 13, 14, 19, *_LATE[1:]), read=("allowzero",)),
    "Flatten": Operator((1, 9, 11, *_LATE), read=("axis",)),
    "Squeeze": Operator((1, 11, *_LATE), read=("axes",)),
    "Unsqueeze": Operator((1, 11, *_LATE), read=("axes",)),
    "Shape": Operator((1, 13, 15, 19, *_LATE[1:]), read=("start", "end")),
    "Identity": Operator((1, 13, 14, 16, 19, *_LATE[1:])),
    "Dropout": Operator(
        # Version 7 and 10 do nothing; from 12 on an input tells whether it is training.
        (7, 10, 12, 13, 22),
        idle=("ratio", "seed"),
        outputs=2,
    ),
    "Cast": Operator(
        (6, 9, 13, 19, *_LATE[1:], 28),
        read=("to",),
        idle=("saturate", "round_mode"),  # of 8-bit floats, which are refused
    ),
    # --- the end
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _SOFTMAX),
    "Sigmoid": Operator((6, 13)),
    "ArgMax": Operator(
        (1, 11, 12, 13), read=("axis",), fixed={"select_last_index": (0,)}, idle=("keepdims",)
    ),
    "TopK": Operator(
        (1, 10, 11, 24),
        read=("axis", "k"),
        fixed={"largest": (1,)},
        idle=("sorted",),  # of one there is one order
        result=1,
        outputs=2,
    ),
    # --- of constants only
    **dict.fromkeys(("Sqrt", "Reciprocal", "Exp", "Log"), _UNARY),
    "Pow": Operator((7, 12, 13, 15), tensors=()),
    "Sum": Operator((8, 13), tensors=()),
    **dict.fromkeys(
        ("ReduceMax", "ReduceMin"),
        Operator(
            (1, 11, 12, 13, 18, 20),
            tensors=(),
            read=("axes", "keepdims"),
            fixed={"noop_with_empty_axes": (0,)},
        ),
    ),
    "ReduceSum": Operator(
        (1, 11, 13),
        tensors=(),
        read=("axes", "keepdims"),
        fixed={"noop_with_empty_axes": (0,)},
    ),
    "Expand": Operator((8, 13), tensors=()),
    "ConstantOfShape": Operator((9, 20, 21, 23, 24, 25), tensors=(), read=("value",)),
    "Gather": Operator((1, 11, 13), tensors=(), read=("axis",)),
    "Concat": Operator((4, 11, 13), tensors=tuple(range(64)), read=("axis",)),
    "Slice": Operator((1, 10, 11, 13), tensors=(), read=("starts", "ends", "axes")),
    "Constant": Operator(
        (1, 9, 11, 12, 13, 19, *_LATE[1:]),
        tensors=(),
        read=("value", "value_float", "value_int", "value_floats", "value_ints"),
    ),
    # --- QONNX
    "BipolarQuant": Operator((1,)),
    **dict.fromkeys(
        ("Quant", "IntQuant"), Operator((1,), read=("signed", "narrow", "rounding_mode"))
    ),
    "Trunc": Operator((1, 2), read=("signed", "narrow", "rounding_mode")),
    "MultiThreshold": Operator(
        (1,),
        read=("out_scale", "out_bias", "data_layout"),
        idle=("out_dtype",),  # a note for compilers; the numbers are real
    ),
    "Im2Col": Operator(
        (1,),
        read=("kernel_size", "stride", "dilations", "pad_amount", "pad_value"),
        fixed={"depthwise": (0,)},  # another order of what is made
        idle=("input_shape",),  # a note of the tensor's dtype
    ),
    "MaxPoolNHWC": Operator((1,), read=("kernel_shape", "strides", "pads", "ceil_mode")),
    "XnorPopcountMatMul": Operator((1,)),
}


@dataclass(frozen=True)
class Signature:
    """One version of an operator: how many inputs it has, and its attributes.

    ``attributes`` has the name -> (type, default) of each attribute. The default is None if it
    means something that the attribute is absent, and :data:`REQUIRED` if it must be present.
    """

    least: int
    most: int
    attributes: Mapping[str, tuple[Kind, Any]]


REQUIRED = object()
_QUANT = Signature(
    4, 4, {"signed": ("INT", 1), "narrow": ("INT", 0), "rounding_mode": ("STRING", "ROUND")}
)
#: Signatures of QONNX's own operators, by type and version.
_QONNX: dict[str, dict[int, Signature]] = {
    "BipolarQuant": {1: Signature(2, 2, {})},
    "Quant": {1: _QUANT},
    "IntQuant": {1: _QUANT},
    "Trunc": {
        1: Signature(5, 5, {"rounding_mode": ("STRING", "FLOOR")}),
        2: Signature(
            6,
            6,
            {
                "rounding_mode": ("STRING", "FLOOR"),
                "signed": ("INT", 1),
                "narrow": ("INT", 0),
            },
        ),
    },
    "MultiThreshold": {
        1: Signature(
            2,
            2,
            {
                "out_dtype": ("STRING", ""),
                "out_scale": ("FLOAT", 1.0),
                "out_bias": ("FLOAT", 0.0),
                "data_layout": ("STRING", ""),
            },
        )
    },
    "Im2Col": {
        1: Signature(
            1,
            1,
            {
                "kernel_size": ("INTS", REQUIRED),
                "stride": ("INTS", REQUIRED),
                "input_shape": ("STRING", ""),
                "dilations": ("INTS", [1, 1]),
                "pad_amount": ("INTS", [0, 0, 0, 0]),
                "pad_value": ("INT", 0),
                "depthwise": ("INT", 0),
            },
        )
    },
    "XnorPopcountMatMul": {1: Signature(2, 2, {})},
    "MaxPoolNHWC": {
        1: Signature(
            1,
            1,
            {
                "kernel_shape": ("INTS", REQUIRED),
                "strides": ("INTS", REQUIRED),
                "pads": ("INTS", REQUIRED),
                "ceil_mode": ("INT", 0),
            },
        )
    },
}
#: Newest operator set of QONNX that is known; only Trunc has changed since the first.
_QONNX_NEWEST = 2
_IN_CHANNELS_LAST = ("Conv", "MaxPool", "BatchNormalization")


@dataclass(frozen=True, eq=False)
class Op:
    """A node whose attributes and inputs are all known.

    Attributes:
        name, kind, domain, inputs, outputs: as in :class:`bnn.formats.qonnx.onnx_file.Node`.
        version: version of the operator, called after the first operator set that has it.
        values: the attributes that the rule reads: name -> value. Absent attributes have their
            default, or None if they have no default.
    """

    name: str
    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    version: int
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.kind})"

    def attribute(self, name: str) -> Any:
        """Return the value of the attribute ``name``.

        Return None if the node does not have the attribute and it has no default, or if this
        version of the operator does not have it.
        """
        if name not in OPERATORS[self.kind].read:
            raise KeyError(f"{self.kind}: attribute {name} is not listed as read")
        return self.values.get(name)

    @property
    def is_last(self) -> bool:
        """Whether the node reads maps with the channels last."""
        return self.domain == CHANNELS_LAST or self.kind in ("Im2Col", "MaxPoolNHWC")


def understood(node: Node, opsets: Mapping[str, int]) -> Op:
    """Check ``node`` against the known operators, and return it as :class:`Op`.

    Args:
        node: the node in the file.
        opsets: domain -> version of the operator set that the file declares.

    Raises:
        FormatError: the operator, its version, or one of its attributes or inputs is not
            known, or an attribute has a value that cannot be converted; the message names it.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    operator = OPERATORS.get(node.kind)
    if operator is None:
        where = f" of {domain!r}" if domain else ""
        raise FormatError(f"{node}: this operation{where} cannot be converted")
    version, signature = _signature(node, domain, opsets)
    if version not in operator.versions:
        raise FormatError(f"{node}: version {version} of this operation cannot be converted")
    _check_inputs(node, signature)
    _check_outputs(node, operator, domain, version)
    values = _attributes(node, operator, signature)
    return Op(node.name, node.kind, domain, node.inputs, node.outputs, version, values)


def _signature(node: Node, domain: str, opsets: Mapping[str, int]) -> tuple[int, Signature]:
    if node.kind in _QONNX:
        if domain not in QONNX_DOMAINS:
            raise FormatError(f"{node}: {node.kind} of {domain!r} is not known")
        return _qonnx_signature(node, domain, opsets)
    if domain == CHANNELS_LAST and node.kind in _IN_CHANNELS_LAST:
        return _onnx_signature(node, opsets.get(domain, opsets.get("", 0)))
    if domain:
        raise FormatError(f"{node}: {node.kind} of {domain!r} is not known")
    return _onnx_signature(node, opsets.get("", 0))


def _qonnx_signature(node: Node, domain: str, opsets: Mapping[str, int]) -> tuple[int, Signature]:
    # Old exporters do not declare the domain; then the number of inputs gives the version.
    declared = opsets.get(domain) if domain else None
    if declared is None:
        declared = _QONNX_NEWEST if len(node.inputs) > 5 else 1
    if not 1 <= declared <= _QONNX_NEWEST:
        raise FormatError(f"{node}: operator set {declared} of {domain!r} is not known")
    versions = _QONNX[node.kind]
    version = max(v for v in versions if v <= declared)
    return version, versions[version]


def _onnx_signature(node: Node, opset: int) -> tuple[int, Signature]:
    from onnx import defs, helper

    newest = defs.onnx_opset_version()
    if not 1 <= opset <= newest:
        raise FormatError(
            f"{node}: the file declares operator set {opset}; the installed onnx package "
            f"supports 1 to {newest}"
        )
    try:
        schema = defs.get_schema(node.kind, opset, "")
    except defs.SchemaError:
        raise FormatError(f"{node}: operator set {opset} has no such operation") from None
    attributes: dict[str, tuple[Any, Any]] = {}
    for name, item in schema.attributes.items():
        default: Any = REQUIRED if item.required else None
        if item.default_value.name:
            default = helper.get_attribute_value(item.default_value)
            default = default.decode() if isinstance(default, bytes) else default
        attributes[name] = (str(item.type).rpartition(".")[2], default)
    signature = Signature(schema.min_input, schema.max_input, attributes)
    return schema.since_version, signature


def _check_inputs(node: Node, signature: Signature) -> None:
    least, most = signature.least, signature.most
    if not least <= len(node.inputs) <= most or "" in node.inputs[:least]:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise FormatError(f"{node}: has {len(node.inputs)} inputs, not {wanted}")


def _check_outputs(node: Node, operator: Operator, domain: str, version: int) -> None:
    named = [index for index, name in enumerate(node.outputs) if name]
    # MaxPool's second output has no effect; more outputs of a batch norm mean training.
    most = 2 if node.kind == "MaxPool" and not domain and version >= 8 else operator.outputs
    if operator.result not in named or any(index >= most for index in named):
        raise FormatError(
            f"{node}: has outputs with index {', '.join(map(str, named)) or 'none'}; it must have "
            f"the one with index {operator.result}, and none above {most - 1}"
        )


def _attributes(node: Node, operator: Operator, signature: Signature) -> dict[str, Any]:
    for name, value in node.attributes.items():
        if name not in signature.attributes:
            raise FormatError(f"{node}: has an attribute {name}={_short(value)} that is not known")
        if not _fits(value, signature.attributes[name][0]):
            raise FormatError(f"{node}: attribute {name}={_short(value)} has the wrong type")
    read = {}
    for name, (_, default) in signature.attributes.items():
        value = node.attributes.get(name, default)
        if value is REQUIRED:
            raise FormatError(f"{node}: has no attribute {name}")
        if name in operator.read:
            read[name] = value
        elif name not in operator.idle and value is not None:
            _check_fixed(node, operator, name, value)
    return read


def _check_fixed(node: Node, operator: Operator, name: str, value: Any) -> None:
    allowed = operator.fixed.get(name, ())
    if value not in allowed:
        known = f"; {' and '.join(map(str, allowed))} can" if allowed else ""
        raise FormatError(f"{node}: {name}={_short(value)} cannot be converted{known}")


def _fits(value: Any, kind: str) -> bool:
    match kind:
        case "INT":
            return type(value) is int
        case "FLOAT":
            return type(value) is float
        case "STRING":
            return isinstance(value, str)
        case "INTS":
            return isinstance(value, list) and all(type(item) is int for item in value)
        case "FLOATS":
            return isinstance(value, list) and all(type(item) is float for item in value)
        case "TENSOR":
            return isinstance(value, np.ndarray)
    return False


def _short(value: Any) -> str:
    text = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

# SPDX-License-Identifier: BSD-3-Clause
"""QONNX (and plain ONNX with quantized weights) to a network, by walking its graph.

QONNX is ONNX plus quantizers that compute in real numbers (arXiv 2206.07527). The walk
turns every node into a layer, into a constant, or into nothing but a remembered change
of layout; what it cannot say it refuses, naming the node.

``operators``  which operators, versions and attributes are known
``walk``       what the walk knows so far
``rules``      what each operation becomes
``tensor``     where a tensor's numbers lie in our layout
``axes``       which axis of a picture has the channels
``quantizers`` what quantizers compute
``weights``    weights in the order of our layers
``input``      the input's quantizer
``write``      the other way: a program to QONNX
"""

from __future__ import annotations

from pathlib import Path

from bnn.errors import BnnError, FormatError, NetworkError
from bnn.formats.grids import grid
from bnn.formats.qonnx import onnx_file
from bnn.formats.qonnx.constants import Constant, fold
from bnn.formats.qonnx.operators import OPERATORS, Op
from bnn.formats.qonnx.rules import FINAL, LAYOUT, RULES
from bnn.formats.qonnx.rules.ending import finish
from bnn.formats.qonnx.tensor import RawInput, Tensor
from bnn.formats.qonnx.walk import Inputs, Value, Walk
from bnn.formats.qonnx.weights import quantized_constant
from bnn.formats.report import Converted
from bnn.formats.stack import zeros_fit


def read(path: str | Path, given_input: str | None = None) -> Converted:
    """The network in the ONNX file ``path``.

    Args:
        path: of the file.
        given_input: where the graph does not quantize its input: the values that occur,
            a name of :func:`bnn.formats.grids.grid`.

    Raises:
        FormatError: the file is damaged, or a node cannot be converted; names it.
        NetworkError: what it says makes no network.
    """
    path = Path(path)
    graph = onnx_file.read(path)
    try:
        return _converted(Walk(graph, None if given_input is None else grid(given_input)))
    except (FormatError, NetworkError) as error:
        text = str(error)
        raise type(error)(text if text.startswith(str(path)) else f"{path}: {text}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Missing inputs of a node, attributes of a type that its operator does not have.
        raise FormatError(f"{path}: a node is damaged, or of an unknown kind: {error}") from error


def _converted(walk: Walk) -> Converted:
    for node in walk.nodes:
        inputs = [walk.value(node, name) if name else None for name in node.inputs]
        walk.note_constants(node, inputs)
        walk.values[node.outputs[OPERATORS[node.kind].result]] = _fitting(walk, node, inputs)
    if not walk.nodes:
        raise FormatError("the output does not depend on any node")
    finish(walk, walk.value(walk.nodes[-1], walk.graph.output))
    assert walk.input is not None
    given = zeros_fit(walk.input, walk.stack.layers)
    network = walk.report.network(given, walk.stack.layers, walk.lattice)
    walk.report.ignored += [k for k in walk.graph.constants if k not in walk.used]
    classes = walk.graph.classes
    count = network.signals[network.layers[-1].name].shape[2]
    return Converted(network, walk.report, classes if len(classes) == count else None)


def _fitting(walk: Walk, node: Op, inputs: Inputs) -> Value:
    """The node's result; arrays that NumPy finds not to fit each other are the file's fault."""
    try:
        return _result(walk, node, inputs)
    except BnnError:
        raise
    except (ValueError, OverflowError, IndexError) as error:
        raise FormatError(f"{node}: its values do not fit: {error}") from error


def _result(walk: Walk, node: Op, inputs: Inputs) -> Value:
    if all(item is None or isinstance(item, Constant) for item in inputs):
        return _folded(node, [item for item in inputs if not isinstance(item, Tensor | RawInput)])
    operator, rule = OPERATORS[node.kind], RULES.get(node.kind)
    for index, item in enumerate(inputs):
        if isinstance(item, Tensor | RawInput) and index not in operator.tensors:
            raise FormatError(f"{node}: its input {node.inputs[index]!r} must be a constant")
    if rule is None:
        raise FormatError(f"{node}: of this operation, constants alone can be converted")
    for item in inputs:
        if isinstance(item, Tensor | RawInput):
            _check_waiting(node, item)
    first = inputs[0]
    if isinstance(first, Tensor) and first.ending == "class" and node.kind in LAYOUT - {"Cast"}:
        return first  # one number a sample, however it lies
    return rule(walk, node, inputs)


def _folded(node: Op, inputs: list[Constant | None]) -> Constant:
    given = [item for item in inputs if item is not None]
    result = quantized_constant(node, given) or fold(node, inputs)
    if result is None:
        raise FormatError(f"{node}: of constants, this operation cannot be converted")
    return result


def _check_waiting(node: Op, tensor: Tensor | RawInput) -> None:
    """Refuse ``tensor`` if its pending operations cannot be moved after ``node``."""
    if tensor.kind != "float32" and node.kind not in LAYOUT | FINAL | {"Shape"}:
        raise FormatError(f"{node}: computes in {tensor.kind}; float32 can be converted")
    if isinstance(tensor, RawInput):
        return
    if tensor.ending and node.kind not in LAYOUT | FINAL:
        raise FormatError(f"{node}: follows a softmax or the like; that cannot be converted")
    if any(tensor.padding) and not tensor.patches and node.kind != "Conv":
        raise FormatError(f"{node}: follows a Pad; only a convolution can")
    if tensor.patches and node.kind != "MatMul":
        raise FormatError(f"{node}: follows an Im2Col; only a product can")

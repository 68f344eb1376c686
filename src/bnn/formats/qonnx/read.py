# SPDX-License-Identifier: BSD-3-Clause
"""QONNX (and plain ONNX with quantized weights) to a network, by walking its graph.

QONNX is ONNX plus quantizers that compute in real numbers (arXiv 2206.07527). The walk turns
every node into a layer, a constant, or a change of layout that is noted for later nodes; a node
that it cannot turn into one of these is refused by name.

``operators``  which operators, versions and attributes are known
``walk``       state of the walk: tensors and layers so far
``rules``      what each operation becomes
``tensor``     the order of a tensor's elements in the network's layout (channels last)
``axes``       which axis of a picture has the channels
``quantizers`` what quantizers compute
``weights``    weights in the layout of the network's layers
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
from bnn.formats.qonnx.rules import FINAL, LAYOUT, RULES, curves
from bnn.formats.qonnx.rules.ending import finish
from bnn.formats.qonnx.tensor import Curve, RawInput, Tensor
from bnn.formats.qonnx.walk import Inputs, Value, Walk
from bnn.formats.qonnx.weights import quantized_constant
from bnn.formats.report import Converted
from bnn.formats.stack import zeros_fit
from bnn.network.layers import used_layers, with_sources


def read(path: str | Path, given_input: str | None = None) -> Converted:
    """Return the network in the ONNX file ``path``.

    Args:
        path: path of the file.
        given_input: for a graph that does not quantize its input: the values of the input,
            a name of :func:`bnn.formats.grids.grid`.

    Raises:
        FormatError: the file is damaged, or a node cannot be converted; the message names it.
        NetworkError: the layers are not a valid network.
    """
    path = Path(path)
    graph = onnx_file.read(path)
    try:
        return _converted(Walk(graph, None if given_input is None else grid(given_input)))
    except (FormatError, NetworkError) as error:
        text = str(error)
        raise type(error)(text if text.startswith(str(path)) else f"{path}: {text}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Missing inputs of a node, or attributes of a wrong type.
        raise FormatError(f"{path}: a node is damaged, or of an unknown kind: {error}") from error


def _converted(walk: Walk) -> Converted:
    for node in walk.nodes:
        inputs = [walk.value(node, name) if name else None for name in node.inputs]
        walk.note_constants(node, inputs)
        value = _fitting(walk, node, inputs)
        walk.note_values(value)
        walk.values[node.outputs[OPERATORS[node.kind].result]] = value
    if not walk.nodes:
        raise FormatError("the output does not depend on any node")
    last = walk.value(walk.nodes[-1], walk.graph.output)
    finish(walk, curves.settled(walk, walk.nodes[-1], last) if isinstance(last, Curve) else last)
    assert walk.input is not None
    layers = used_layers(with_sources(walk.stack.layers))
    given = zeros_fit(walk.input, layers)
    network = walk.report.network(given, layers, walk.lattice)
    walk.report.ignored += [k for k in walk.graph.constants if k not in walk.used]
    classes = walk.graph.classes
    count = network.signals[network.layers[-1].name].shape[2]
    return Converted(network, walk.report, classes if len(classes) == count else None)


def _fitting(walk: Walk, node: Op, inputs: Inputs) -> Value:
    """Return the node's result; raise FormatError if its arrays do not fit each other."""
    try:
        return _result(walk, node, inputs)
    except BnnError:
        raise
    except (ValueError, OverflowError, IndexError) as error:
        raise FormatError(f"{node}: its values do not fit: {error}") from error


def _result(walk: Walk, node: Op, inputs: Inputs) -> Value:
    constants = [item for item in inputs if item is None or isinstance(item, Constant)]
    if len(constants) == len(inputs):
        return _folded(node, constants)
    operator, rule = OPERATORS[node.kind], RULES.get(node.kind)
    for index, item in enumerate(inputs):
        if isinstance(item, Tensor | RawInput | Curve) and index not in operator.tensors:
            raise FormatError(f"{node}: its input {node.inputs[index]!r} must be a constant")
    if rule is None:
        raise FormatError(f"{node}: this operation can be converted on constants only")
    for item in inputs:
        if isinstance(item, Tensor | RawInput):
            _check_waiting(node, item)
    if curves.goes_on(walk, node, inputs):
        return curves.start(walk, node, inputs)
    inputs = [
        curves.settled(walk, node, item) if isinstance(item, Curve) else item for item in inputs
    ]
    first = inputs[0]
    if isinstance(first, Tensor) and first.ending == "class" and node.kind in LAYOUT - {"Cast"}:
        return first  # one number per sample: the layout does not matter
    return rule(walk, node, inputs)


def _folded(node: Op, inputs: list[Constant | None]) -> Constant:
    given = [item for item in inputs if item is not None]
    result = quantized_constant(node, given) or fold(node, inputs)
    if result is None:
        raise FormatError(f"{node}: this operation on constants cannot be converted")
    return result


def _check_waiting(node: Op, tensor: Tensor | RawInput) -> None:
    """Refuse ``tensor`` as an input of ``node`` if ``node`` cannot follow what made ``tensor``.

    These are a softmax, a Pad, an Im2Col, and a dtype in which ``node`` cannot compute.
    """
    if tensor.kind != "float32" and node.kind not in LAYOUT | FINAL | {"Shape"}:
        raise FormatError(f"{node}: computes in {tensor.kind}; only float32 can be converted")
    if isinstance(tensor, RawInput):
        return
    if tensor.ending and node.kind not in LAYOUT | FINAL:
        raise FormatError(f"{node}: follows a softmax or the like; that cannot be converted")
    if any(tensor.padding) and not tensor.patches and node.kind != "Conv":
        raise FormatError(f"{node}: follows a Pad; only a convolution may follow it")
    if tensor.patches and node.kind != "MatMul":
        raise FormatError(f"{node}: follows an Im2Col; only a matrix product may follow it")

# SPDX-License-Identifier: BSD-3-Clause
"""Which axis of a QONNX graph's picture has the channels."""

from __future__ import annotations

from bnn.formats.onnx_file import Graph, Node
from bnn.formats.qonnx_tensor import FIRST, LAST

#: Operations that know which axis of a picture has the channels.
_PINNING = {
    "Conv",
    "MaxPool",
    "AveragePool",
    "BatchNormalization",
    "MultiThreshold",
    "Im2Col",
    "MatMul",
}


def input_axes(graph: Graph, nodes: list[Node]) -> tuple[str, ...]:
    """Whether a picture input is channels first or last, by what reads it."""
    names, perm = {graph.input}, list(range(4))
    for node in nodes:
        if not node.inputs or node.inputs[0] not in names:
            continue
        if node.kind == "Transpose" and "perm" in node.attributes:
            perm = [perm[int(i)] for i in node.attributes["perm"]]
            names = {node.outputs[0]}
        elif node.kind in _PINNING:
            inner = LAST if _reads_last(node) else FIRST
            axes = [""] * 4
            for axis, source in zip(inner, perm, strict=True):
                axes[source] = axis
            return tuple(axes)
        elif node.kind in ("Reshape", "Flatten"):
            break
        else:
            names.add(node.outputs[0])
    return picture_axes(graph.shape, nodes)


def picture_axes(shape: tuple[int, ...], nodes: list[Node]) -> tuple[str, ...]:
    """The axes that a picture of ``shape`` seems to have."""
    few = (1, 2, 3, 4)
    if shape[3] in few and shape[1] not in few:
        return LAST
    last = any(node.domain.endswith("channels_last") for node in nodes)
    return LAST if last else FIRST


def _reads_last(node: Node) -> bool:
    """Whether ``node`` reads channels last."""
    last = node.domain.endswith("channels_last") or node.kind in ("Im2Col", "MatMul")
    return last or node.attributes.get("data_layout") == "NHWC"

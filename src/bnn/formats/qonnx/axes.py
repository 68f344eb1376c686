# SPDX-License-Identifier: BSD-3-Clause
"""Find which axis of a QONNX graph's picture input has the channels."""

from __future__ import annotations

from bnn.formats.qonnx.onnx_file import Graph
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.tensor import FIRST, LAST, ROW_FIRST

#: Operations whose definition says which axis of a picture is the channels.
_PINNING = {
    "Conv",
    "MaxPool",
    "MaxPoolNHWC",
    "AveragePool",
    "BatchNormalization",
    "MultiThreshold",
    "Im2Col",
    "MatMul",
}


def input_axes(graph: Graph, nodes: list[Op]) -> tuple[str, ...]:
    """Return the meaning of each axis of the graph's input, such as N, C, H, W.

    The first operations that read a picture show where it has its channels. If they do not show
    it, the axes are guessed from the shape.
    """
    if len(graph.shape) == 3:
        return ROW_FIRST
    names, perm = {graph.input}, list(range(4))
    for node in nodes:
        if not node.inputs or node.inputs[0] not in names:
            continue
        if node.kind == "Transpose":
            given = node.attribute("perm") or [3, 2, 1, 0]
            if sorted(given) != [0, 1, 2, 3]:
                break
            perm = [perm[i] for i in given]
            names = {node.outputs[0]}
        elif node.kind in _PINNING:
            # The user's picture has its height first, even if the graph transposes it.
            channels = perm[(LAST if _reads_last(node) else FIRST).index("C")]
            return {1: FIRST, 3: LAST}.get(channels) or picture_axes(graph.shape, nodes)
        elif node.kind in ("Reshape", "Flatten"):
            break
        else:
            names.add(node.outputs[0])
    return picture_axes(graph.shape, nodes)


def picture_axes(shape: tuple[int, ...], nodes: list[Op]) -> tuple[str, ...]:
    """Guess the axes of a picture of ``shape``: channels last if that axis alone is at most 4.

    Else channels are last if a node reads maps with the channels last; otherwise they are first.
    """
    few = (1, 2, 3, 4)
    if shape[3] in few and shape[1] not in few:
        return LAST
    last = any(node.is_last for node in nodes)
    return LAST if last else FIRST


def _reads_last(node: Op) -> bool:
    """Return whether ``node`` reads maps with the channels last."""
    if node.kind == "MultiThreshold":
        return threshold_axis(node, 4) == 3
    return node.is_last or node.kind == "MatMul"


def threshold_axis(node: Op, rank: int) -> int:
    """Return the index of the channel axis of a MultiThreshold.

    If the node has no ``data_layout``, it is guessed from the number of axes, ``rank``.
    """
    layout = node.attribute("data_layout") or {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank, "")
    return layout.index("C") if "C" in layout else 1

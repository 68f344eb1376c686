# SPDX-License-Identifier: BSD-3-Clause
"""An HTML page that shows every edge of a program for one image.

Maps are shown as tiles, and sums as histograms with their thresholds. The page contains its
pictures and loads no other files.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.data.pictures.pillow import Resampling
from bnn.model.html import escape
from bnn.model.model import Model
from bnn.program.operations import INPUT, Dot, Op, Threshold, Window
from bnn.system import page as frame

#: Number of tiles side by side; number of columns in the picture of a vector.
_ACROSS, _VECTOR = 16, 32
#: Channels whose sums are drawn.
MAX_DRAWN = 8
_BINS = 40
_STYLE = """section { border-top: 1px solid var(--line); margin-top: 1rem }
img { image-rendering: pixelated; max-width: 100%; background: #7a93ad }
figure { display: inline-block; margin: 0.3rem 0.6rem 0.3rem 0; max-width: 100% }
figcaption { font-size: 0.85rem }
.sums rect { fill: var(--accent) }
.sums line { stroke: var(--error); stroke-width: 2 }
"""


def page(
    model: Model,
    edges: Mapping[str, NDArray[np.int32]],
    title: str,
    answer: str,
    compared: str = "",
) -> str:
    """Return the page for the first image of ``edges``.

    Args:
        model: the model.
        edges: every edge of the model's program by name, int32 (N, height, width, channels).
        title: name of the image.
        answer: name of the class that was decided.
        compared: sentence that says what a comparison with another runtime found; "" without one.
    """
    program = model.program
    ops: dict[str, Op | None] = {INPUT: None, **{op.name: op for op in program.ops}}
    sections = "".join(_section(model, name, op, edges) for name, op in ops.items())
    told = f"<p>{escape(compared)}</p>" if compared else ""
    said = f"<b>{escape(answer)}</b>"
    first = frame.both(f"The answer is {said}.", f"答えは {said} です。")
    heading = f"{escape(model.name)}: {escape(title)}"
    return frame.page(heading, f"<p>{first}</p>{told}{sections}", _STYLE)


def _section(model: Model, name: str, op: Op | None, edges: Mapping[str, NDArray[np.int32]]) -> str:
    edge = model.program.edges[name]
    values = edges[name][0]
    kind = "input" if op is None else type(op).__name__.lower()
    height, width, channels = edge.shape
    low, high = int(values.min()), int(values.max())
    size = f"{height} x {width} x {channels}, {edge.precision}"
    values_told = frame.both(f"values from {low} to {high}", f"値は {low} から {high}")
    head = f"<section><h2>{escape(name)}: {kind}</h2><p>{size}; {values_told}</p>"
    if isinstance(op, Window):
        patch = f"{op.kernel[0]} x {op.kernel[1]}"
        told = frame.both(f"Patches of {patch}.", f"{patch} の領域を順に切り出します。")
        return f"{head}<p>{told}</p></section>"
    grey = (edge.low, edge.high) if edge.is_narrow else (low, high)
    shades = frame.both(
        f"black is {grey[0]}, white is {grey[1]}", f"黒は {grey[0]}、白は {grey[1]}"
    )
    image = (
        f'<figure><img src="{_png(tiles(values, *grey))}" alt="{escape(name)}">'
        f"<figcaption>{shades}</figcaption></figure>"
    )
    sums = _histograms(model, op, values) if isinstance(op, Dot) else ""
    return f"{head}{image}{sums}</section>"


def tiles(values: NDArray[np.int32], low: int, high: int) -> NDArray[np.uint8]:
    """Return the channels of a map (height, width, channels) as tiles of one grey picture.

    The picture is uint8 (rows, columns, 2): grey level, and alpha, which is 0 between tiles. The
    value ``low`` is black, ``high`` is white.
    """
    height, width, channels = values.shape
    grey = np.round(255 * (values - low) / max(high - low, 1)).astype(np.uint8)
    if height * width == 1:
        across = min(channels, _VECTOR)
        flat = np.zeros((-(-channels // across) * across, 2), np.uint8)
        flat[:channels, 0], flat[:channels, 1] = grey.reshape(-1), 255
        return flat.reshape(-1, across, 2)
    across = min(channels, _ACROSS)
    down = -(-channels // across)
    sheet = np.zeros((down * (height + 1) + 1, across * (width + 1) + 1, 2), np.uint8)
    for channel in range(channels):
        top = channel // across * (height + 1) + 1
        left = channel % across * (width + 1) + 1
        sheet[top : top + height, left : left + width, 0] = grey[:, :, channel]
        sheet[top : top + height, left : left + width, 1] = 255
    return sheet


def _png(sheet: NDArray[np.uint8]) -> str:
    from PIL import Image

    image = Image.fromarray(sheet)  # of mode LA
    scale = max(1, min(10, 1000 // image.width))
    size = (image.width * scale, image.height * scale)
    file = BytesIO()
    image.resize(size, Resampling.NEAREST).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _histograms(model: Model, op: Dot, values: NDArray[np.int32]) -> str:
    """Return an SVG histogram of the sums for each of the first channels, as HTML.

    Lines in a histogram show the thresholds of the channel.
    """
    reader = next(
        (each for each in model.program.ops if getattr(each, "source", None) == op.name), None
    )
    threshold = reader if isinstance(reader, Threshold) else None
    channels = (
        range(min(values.shape[2], MAX_DRAWN)) if values.shape[0] * values.shape[1] > 1 else ()
    )
    return "".join(
        _histogram(values[:, :, channel].reshape(-1), channel, _lines(threshold, channel))
        for channel in channels
    )


def _lines(op: Threshold | None, channel: int) -> list[int]:
    if op is None:
        return []
    levels = op.thresholds[channel].astype(int)
    falling = op.signs is not None and op.signs[channel] < 0
    return [int(-level if falling else level) for level in levels]


def _histogram(sums: NDArray[np.int32], channel: int, lines: list[int]) -> str:
    low, high = min(int(sums.min()), *lines, 0), max(int(sums.max()), *lines, 0)
    bins = max(1, min(_BINS, high - low + 1))
    counts, ends = np.histogram(sums, bins, (low, high + 1))
    scale = 220 / (high + 1 - low)

    def place(value: Any) -> float:
        return round(float(value - low) * scale, 1)

    bars = "".join(
        f'<rect x="{place(left)}" y="{80 - size}" width="{220 / bins:.1f}" height="{size}"/>'
        for left, size in zip(ends, (70 * counts // counts.max()).tolist(), strict=False)
    )
    marks = "".join(
        f'<line x1="{place(line)}" x2="{place(line)}" y1="2" y2="84"/>' for line in lines
    )
    least, most, told = int(sums.min()), int(sums.max()), ", ".join(map(str, lines))
    label = frame.both(
        f"channel {channel}: sums from {least} to {most}, threshold {told or 'none'}",
        f"チャネル {channel}：和は {least} から {most}、しきい値 {told or 'なし'}",
    )
    return (
        f'<figure><svg class="sums" width="220" height="86" aria-hidden="true">'
        f"{bars}{marks}</svg><figcaption>{label}</figcaption></figure>"
    )

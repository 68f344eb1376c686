# SPDX-License-Identifier: BSD-3-Clause
"""The report on a design as a page, in English and Japanese, with a picture of the pipeline."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from bnn.hw.report import as_text, parallelism
from bnn.system.page import STRIPED, both, page

#: Value of ``clock_is`` -> sentence about the clock in Japanese.
_CLOCKS_JA = {
    "routed": "設計全体の配置配線で達成",
    "not reached": "設計全体の配置配線では達成できず",
    "estimated": "推定：各種類のブロックを単独で配置配線したときに達成",
    "hoped for": "未確認：単独の配置配線で達成していない種類のブロックがある",
}


def as_html(report: dict[str, Any]) -> str:
    """Return the report as an HTML page: summary, picture of the pipeline, tables."""
    blocks = [
        (
            block["name"],
            str(block["cycles"]),
            f"{100 * block['busy']:.0f} %",
            str(block["bits"]),
            parallelism(block),
        )
        for block in report["blocks"]
    ]
    heads = (
        both("block", "ブロック"),
        both("cycles", "サイクル数"),
        both("busy", "稼働率"),
        both("bits", "ビット数"),
        both("parallelism", "並列度"),
    )
    tables = _table(heads, blocks)
    if "cells" in report:
        kinds = ("LUT", "FF", "BRAM36", "DSP")
        cells = [
            (name, *(f"{counts.get(kind, 0):g}" for kind in kinds))
            for name, counts in report["cells"].items()
        ]
        tables += f"<h2>{both('Cells', 'セル')}</h2>" + _table((heads[0], *kinds), cells)
    told = f'<p lang="en">{_summary(report)}</p><p lang="ja">{_summary_ja(report)}</p>'
    return page(
        title=f"bnn accelerator for {html.escape(report['board'])}",
        body=f"{told}\n{_picture(report['blocks'])}\n{tables}",
        style=STRIPED,
    )


def _summary(report: dict[str, Any]) -> str:
    """Return what the text says first, as HTML."""
    lines = as_text(report).splitlines()
    chosen = lines[:4] + (lines[-1:] if "route" in report else [])
    return "<br>".join(html.escape(line) for line in chosen)


def _summary_ja(report: dict[str, Any]) -> str:
    """Return the same in Japanese, as HTML."""
    where = "実行時に書き込む" if report["loadable"] else "定数"
    stored = "画像はバイト列のまま" if report["input"] == "bytes" else "画像はホストが詰める"
    scores = "、スコアは int32" if report["output"] == "int32" else ""
    slowest = f"最も遅いブロック：{report['bottleneck']}"
    sizes = f"1枚 {report['bytes_in']} バイト、結果 {8 * report['words_out']} バイト"
    lines = [
        f"{report['board']}（{report['part']}）、{report['clock_mhz']:g} MHz",
        f"クロック：{_CLOCKS_JA[report['clock_is']]}",
        f"1枚あたり {report['cycles']} サイクル、毎秒 {report['fps']:.0f} 枚。{slowest}",
        f"パラメータ：{where}、プローブ：{report['probes']}、{sizes}、{stored}{scores}",
    ]
    if "route" in report:
        path = report["route"]["path"]
        ends = f"（{path[0]['source']} から {path[-1]['sink']} まで）" if path else ""
        lines.append(f"配置配線：最大 {report['route']['fmax_mhz']:.1f} MHz{ends}、bnn.bit")
    return "<br>".join(html.escape(line) for line in lines)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table as HTML; ``head`` is HTML, ``rows`` are texts."""
    lines = [("th", head), *(("td", tuple(map(html.escape, row))) for row in rows)]
    return '<div class="wide" tabindex="0" role="group"><table>{}</table></div>'.format(
        "".join(
            f"<tr>{''.join(f'<{cell}>{text}</{cell}>' for text in line)}</tr>"
            for cell, line in lines
        )
    )


def _picture(blocks: list[dict[str, Any]]) -> str:
    """Return an SVG with a box per block, in order; a bar in the box shows its busy cycles."""
    width, height, across = 150, 54, 6
    parts = []
    for place, block in enumerate(blocks):
        row, column = divmod(place, across)
        if row % 2:  # every other row runs back, so that neighbours stay neighbours
            column = across - 1 - column
        x, y = 10 + column * (width + 20), 10 + row * (height + 30)
        busy = block["busy"]
        colour = "#d1495b" if busy == 1 else "#30638e" if "pe" in block else "#8d99ae"
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="#fff" '
            f'stroke="{colour}" stroke-width="2"/>'
            f'<rect x="{x + 6}" y="{y + height - 14}" width="{(width - 12) * busy:.1f}" '
            f'height="8" fill="{colour}"/>'
            f'<text x="{x + 8}" y="{y + 17}" font-weight="bold">{html.escape(block["name"])}</text>'
            f'<text x="{x + 8}" y="{y + 33}">{block["cycles"]} cycles</text>'
        )
        if place + 1 < len(blocks):
            parts.append(_arrow(x, y, width, height, row, (place + 1) % across == 0))
    rows = -(-len(blocks) // across)
    size = f"0 0 {across * (width + 20) + 10} {rows * (height + 30) + 10}"
    head = f'<svg viewBox="{size}" font-size="12" role="img" aria-label="pipeline">'
    return f"{head}{''.join(parts)}</svg>"


def _arrow(x: int, y: int, width: int, height: int, row: int, down: bool) -> str:
    if down:
        middle = x + width // 2
        points = f"{middle},{y + height} {middle},{y + height + 30}"
    elif row % 2:
        points = f"{x},{y + height // 2} {x - 20},{y + height // 2}"
    else:
        points = f"{x + width},{y + height // 2} {x + width + 20},{y + height // 2}"
    return f'<polyline points="{points}" fill="none" stroke="#444" stroke-width="2"/>'

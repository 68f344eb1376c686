# SPDX-License-Identifier: BSD-3-Clause
"""The figures of ``bnn bench`` as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence

from bnn.measure.speed import Timing
from bnn.model.html import escape
from bnn.system import page as frame
from bnn.system.page import both

_STYLE = """td, th { white-space: nowrap; font-variant-numeric: tabular-nums }
.bar { width: 12rem } .bar div { height: .8rem; background: var(--accent); border-radius: .2rem }
"""
_HEADS = (
    ("runtime", "ランタイム"),
    ("batch", "バッチ"),
    ("threads", "スレッド"),
    ("images/s", "画像/s"),
    ("µs/image", "µs/画像"),
    ("slow/fast", "遅/速"),
    ("images/CPU s", "画像/CPU s"),
    ("GOP/s", "GOP/s"),
)


def speed_page(name: str, machine: str, timings: Sequence[Timing]) -> str:
    """Return one self-contained HTML page.

    Args:
        name: name of the model.
        machine: name of the processor that was measured.
        timings: a timing for each batch size and number of threads.
    """
    most = max(timing.images_per_second for timing in timings)
    head = "".join(f'<th scope="col">{both(*one)}</th>' for one in _HEADS)
    body = "".join(_row(timing, most) for timing in timings)
    told = both(
        f"Random inputs, {len(timings[0].wall)} rounds, the median of each.",
        f"乱数入力、{len(timings[0].wall)} 回の中央値。",
    )
    return frame.page(
        f"{escape(name)}: {escape(machine)}",
        f'<p>{told}</p><div class="wide" tabindex="0" role="group"><table>'
        f"<thead><tr>{head}<td></td></tr></thead><tbody>{body}</tbody></table></div>",
        frame.STRIPED + _STYLE,
    )


def _row(timing: Timing, most: float) -> str:
    cells = (f"{timing.batch:,}", str(timing.threads), *timing.texts)
    numbers = "".join(f"<td>{cell}</td>" for cell in cells)
    share = 100 * timing.images_per_second / most
    bar = f'<td class="bar"><div style="width:{share:.1f}%"></div></td>'
    return f'<tr><th scope="row">{escape(timing.label)}</th>{numbers}{bar}</tr>'

# SPDX-License-Identifier: BSD-3-Clause
"""The figures of ``bnn split`` as one HTML page: a picture and a table, in two languages."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence

from bnn.plan import arm
from bnn.plan.drawing import Drawing
from bnn.plan.split import Assumed, Cut, Pays, Whole, pays, slower, software_times, whole_times
from bnn.system import page as frame
from bnn.system.page import both

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 900, 110, 30, 60, 30
_CHIP, _ARM, _SERIAL, _OVERLAPPED = "#3a7d44", "#b7791f", "#d1495b", "#30638e"
PAYS: dict[Pays, tuple[str, str]] = {
    "free": ("nearly free", "ほぼ損失なし"),
    "always": ("always", "常に"),
    "batch": ("in batches", "バッチなら"),
    "overlap": ("overlapped", "重ねれば"),
    "never": ("never", "得にならない"),
}
_HEADS = (
    ("in software", "ソフトウェアの層"),
    ("its ARM", "その ARM 時間"),
    ("its x86", "その x86 時間"),
    ("copies", "コピー"),
    ("lost", "重なりの損失"),
    ("one image", "1 枚"),
    ("batch", "バッチ"),
    ("overlapped", "重ねて実行"),
    ("slower", "何倍遅いか"),
    ("pays", "得か"),
)


def page(model: str, whole: Whole, cuts: Sequence[Cut], assumed: Assumed) -> str:
    """Return one self-contained HTML page.

    Args:
        model: its name.
        whole: the whole program.
        cuts: one for each layer.
        assumed: what is assumed of the board.
    """
    name = html.escape(model)
    return frame.page(
        f"{name}: one layer in software",
        f"<p>{_summary(assumed)}</p>\n{draw(whole, cuts, assumed).svg()}\n"
        f'<div class="wide" tabindex="0" role="group">{_table(whole, cuts, assumed)}</div>\n'
        f'<p class="hint">{_told(assumed)}</p>{_refused(cuts)}',
        frame.STRIPED,
    )


def draw(whole: Whole, cuts: Sequence[Cut], assumed: Assumed) -> Drawing:
    """Return a picture: microseconds per image of each cut between chip only and software only."""
    shown = [cut for cut in cuts if cut.software is not None]
    drawing = Drawing(_WIDTH, _TOP + _ROW * len(shown) + 60)
    chip, software = whole_times(whole, assumed).batch, software_times(whole, assumed).batch
    times = [cut.times(assumed) for cut in shown]
    all_times = [chip, software, *(t for each in times for t in (each.batch, each.overlapped))]
    x = _scale(all_times)
    bottom = _TOP + _ROW * len(shown)
    for power in range(
        math.floor(math.log10(min(all_times))), 1 + math.ceil(math.log10(max(all_times)))
    ):
        at = x(10.0**power)
        if _LEFT <= at <= _WIDTH - _RIGHT:
            drawing.line([(at, _TOP), (at, bottom)], "#e3e5ec")
            drawing.text(at, bottom + 16, f"{10.0**power:,g}", anchor="middle")
    drawing.text(_WIDTH / 2, bottom + 38, "us per image", anchor="middle")
    for value, colour, text in (
        (chip, _CHIP, "all on the chip"),
        (software, _ARM, "all on the ARM"),
    ):
        drawing.line([(x(value), _TOP - 8), (x(value), bottom)], colour, dashed=True)
        drawing.text(x(value), _TOP - 14, text, anchor="middle", colour=colour)
    for number, (cut, each) in enumerate(zip(shown, times, strict=True)):
        y = _TOP + _ROW * (number + 0.5)
        drawing.text(_LEFT - 12, y + 4, cut.layer.name, anchor="end")
        drawing.line([(x(each.overlapped), y), (x(each.batch), y)], "#888")
        tooltip = f"{cut.layer.name}: {each.batch:,.1f} us one after the other"
        drawing.dot(x(each.batch), y, _SERIAL, full=False, title=tooltip)
        tooltip = f"{cut.layer.name}: {each.overlapped:,.1f} us overlapped"
        drawing.dot(x(each.overlapped), y, _OVERLAPPED, title=tooltip)
    return drawing


def _scale(values: Sequence[float]) -> Callable[[float], float]:
    """Return the function that maps microseconds to a position x, logarithmic."""
    low, high = math.log10(min(values)), math.log10(max(values))
    span = max(high - low, 0.1)
    width = _WIDTH - _LEFT - _RIGHT - 100
    return lambda value: _LEFT + 50 + (math.log10(value) - low) / span * width


def _table(whole: Whole, cuts: Sequence[Cut], assumed: Assumed) -> str:
    head = "".join(f'<th scope="col">{both(*each)}</th>' for each in _HEADS)
    chip, software = whole_times(whole, assumed), software_times(whole, assumed)
    rows = [
        _row(
            both("nothing", "なし"),
            ["", "", "", "", *map(us, (chip.one, chip.batch, chip.overlapped)), "1"],
            "",
        )
    ]
    for cut in cuts:
        name = html.escape(cut.layer.name)
        if cut.software is None:
            rows.append(_row(name, 8 * ["-"], both("not possible", "不可能")))
            continue
        times = cut.times(assumed)
        values = [
            cut.host_us(assumed),
            cut.software.here_many_us,
            cut.copies_us(assumed),
            max(0.0, cut.lost_us(whole, assumed)),
            times.one,
            times.batch,
            times.overlapped,
        ]
        ratio = f"{slower(cut, whole, assumed):.3g}"
        verdict = both(*PAYS[pays(cut, whole, assumed)])
        rows.append(_row(name, [*map(us, values), ratio], verdict))
    everything = [us(software.batch), us(whole.software.here_many_us), "", ""]
    everything += [*map(us, (software.one, software.batch, software.overlapped))]
    everything.append(f"{software.batch / chip.batch:.3g}")
    rows.append(_row(both("everything", "すべて"), everything, ""))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _row(name: str, numbers: Sequence[str], verdict: str) -> str:
    cells = "".join(f"<td>{cell}</td>" for cell in numbers)
    return f'<tr><th scope="row">{name}</th>{cells}<td>{verdict}</td></tr>'


def us(value: float) -> str:
    """Return microseconds as text, with three digits at least."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _summary(assumed: Assumed) -> str:
    return both(
        "The layer that is named runs on the board's processor, the others on the accelerator. "
        f"Microseconds per image, in batches of {assumed.batch:,}. Rings: one part after the "
        f"other. Dots: chip and processor work at the same time, {assumed.chunk} images at a time.",
        "名前のある層はボードのプロセッサで、ほかの層はアクセラレータで動きます。"
        f"値は 1 枚あたりのマイクロ秒で、バッチは {assumed.batch:,} 枚です。"
        "輪は部分を 1 つずつ順に実行した場合、"
        f"点はチップとプロセッサが同時に {assumed.chunk} 枚ずつ処理した場合です。",
    )


def _told(assumed: Assumed) -> str:
    mean, largest = (100 * each for each in arm.errors())
    return both(
        f"Accelerator: {assumed.mhz:g} MHz, cycles from the event model. ARM: one core of a "
        f"Cortex-A9 at {assumed.arm_mhz:g} MHz, instructions counted under qemu (of layers that "
        f"were not counted estimated: {mean:.0f} % mean error, {largest:.0f} % the largest); "
        f"assumed: {assumed.neon_cycles:g} cycles per NEON instruction, 1 per other. Copies: "
        f"{assumed.copy_mbytes:g} million bytes/s and {assumed.call_us:g} µs per start, assumed. "
        "x86: one core of the machine that made this page, measured.",
        f"アクセラレータ: {assumed.mhz:g} MHz、サイクル数はイベントモデルの値です。"
        f"ARM: Cortex-A9 の 1 コア、{assumed.arm_mhz:g} MHz。命令数は qemu で数えました"
        f"（数えていない層は見積もりで、平均誤差 {mean:.0f} %、最大 {largest:.0f} %）。"
        f"仮定: NEON 命令は {assumed.neon_cycles:g} サイクル、ほかは 1 サイクル。"
        f"コピー: 毎秒 {assumed.copy_mbytes:g} 百万バイト、"
        f"1 回の起動に {assumed.call_us:g} µs（仮定）。"
        "x86: このページを作った計算機の 1 コアでの測定値です。",
    )


def _refused(cuts: Sequence[Cut]) -> str:
    lines = [
        f"<li>{html.escape(f'{cut.layer.name}: {cut.refused}')}</li>" for cut in cuts if cut.refused
    ]
    return f"<ul>{''.join(lines)}</ul>" if lines else ""

# SPDX-License-Identifier: BSD-3-Clause
"""Parts of pages about answers: confusion matrix, reliability, wrong answers; and the report.

The report is for ``bnn evaluate --report``; training's page has the same parts.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bnn.measure.calibration import Bin, Trade
from bnn.model.html import escape
from bnn.system import page as frame
from bnn.system.page import both

if TYPE_CHECKING:
    from bnn.measure.accuracy import Evaluation, Wrong
    from bnn.measure.sureness import Sureness

#: Up to so many classes a matrix has numbers in its cells; more make it too wide.
MAX_NUMBERED = 16

STYLE = """td, th { white-space: nowrap }
.confusion td { min-width: 2.2em; text-align: center; padding: .2em;
  font-variant-numeric: tabular-nums }
.confusion th { font-weight: 400; white-space: nowrap; padding: .1em .4em }
.confusion.small td { min-width: 0; width: 14px; height: 14px; padding: 0; font-size: 0;
  border: 1px solid var(--paper) }
.confusion.small th { font-size: .7rem; padding: 0 .25rem; line-height: 1 }
.confusion thead th { vertical-align: bottom }
.confusion thead th span.name { writing-mode: vertical-rl; transform: rotate(180deg) }
figure { display: inline-block; margin: .4em; text-align: center; font-size: .8rem; max-width: 9em;
  vertical-align: top }
figure img { width: 84px; image-rendering: pixelated; border: 1px solid var(--line) }
.reliability { width: 100%; max-width: 30rem }
.reliability rect { fill: var(--accent) } .reliability .count { fill: var(--line) }
.reliability line { stroke: var(--faint); stroke-dasharray: 4 }
.reliability text { font-size: 11px; fill: var(--faint) }
"""


def report(name: str, data: str, result: Evaluation, sure: Sureness | None) -> str:
    """Return one self-contained HTML page about a model on a test set.

    Args:
        name: name of the model.
        data: name of the data; for a folder the last part of its path, because pages must not
            contain paths of this machine.
        result: answers, confusion matrix and worst pictures.
        sure: how reliable the probabilities are; None if the model has no calibration.
    """
    classes = result.classes
    parts = [
        _summary(result),
        f"<h2>{both('Each class', 'クラスごと')}</h2>",
        _each_class(classes, result.confusion),
        f"<h2>{both('Confusion matrix', '混同行列')}</h2>",
        _matrix_told(),
        confusion(classes, result.confusion),
        f"<h2>{both('How sure', '確からしさ')}</h2>",
        _how_sure(sure),
        f"<h2>{both('Worst answers', '最も大きな誤り')}</h2>",
        _worst(classes, result.worst),
    ]
    title = f"{escape(name)}: {escape(data)}"
    return frame.page(title, "\n".join(parts), frame.STRIPED.replace("tr:", ".classes tr:") + STYLE)


def _summary(result: Evaluation) -> str:
    share = f"<b>{100 * result.accuracy:.2f} %</b>"
    speed = f"{result.us_per_image:,.1f}"
    return "<p>{}</p>".format(
        both(
            f"{share} of {result.images:,} pictures right, {speed} µs per picture.",
            f"{result.images:,} 枚のうち {share} が正解、1枚あたり {speed} µs。",
        )
    )


def _matrix_told() -> str:
    told = both("Rows: the true class. Columns: the answer.", "行：正解。列：答え。")
    return f'<p class="hint">{told}</p>'


def _each_class(classes: Sequence[str], matrix: NDArray[np.int64]) -> str:
    heads = (
        ("class", "クラス"),
        ("pictures", "枚数"),
        ("found", "再現率"),
        ("right when answered", "適合率"),
        ("most often taken for", "最も多い誤り"),
    )
    head = "".join(f'<th scope="col">{both(*one)}</th>' for one in heads)
    rows = []
    for own, name in enumerate(classes):
        row, column = matrix[own], matrix[:, own]
        wrong = np.where(np.arange(len(row)) == own, 0, row)
        worst = int(wrong.argmax())
        other = f"{escape(classes[worst])} ({int(wrong[worst]):,})" if wrong[worst] else ""
        found = f"{100 * row[own] / row.sum():.1f} %" if row.sum() else "-"
        right = f"{100 * row[own] / column.sum():.1f} %" if column.sum() else "-"
        rows.append(
            f'<tr><th scope="row">{escape(name)}</th><td>{int(row.sum()):,}</td><td>{found}</td>'
            f"<td>{right}</td><td>{other}</td></tr>"
        )
    return _wide("classes", f"<tr>{head}</tr>", rows)


def _wide(kind: str, head: str, rows: Sequence[str]) -> str:
    """Return a table in a box; if it is too wide, it scrolls in the box, also by the keyboard."""
    return (
        f'<div class="wide" tabindex="0" role="group"><table class="{kind}">'
        f"<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def confusion(classes: Sequence[str], matrix: NDArray[np.int64]) -> str:
    """Return the confusion matrix as a table; with more than 16 classes, cells show no numbers.

    The larger the share of a cell in its row is, the stronger is its colour: a cell with 3 of 1000
    pictures is pale.
    """
    small = len(classes) > MAX_NUMBERED
    names = [escape(name) for name in classes]
    head = "".join(f'<th scope="col"><span class="name">{name}</span></th>' for name in names)
    rows = [
        f'<tr><th scope="row">{names[own]}</th>'
        + "".join(_cell(names, row, own, column) for column in range(len(row)))
        + "</tr>"
        for own, row in enumerate(matrix)
    ]
    kind = "grid confusion small" if small else "grid confusion"
    return _wide(kind, f"<tr><td></td>{head}</tr>", rows)


def _cell(names: Sequence[str], row: NDArray[np.int64], own: int, column: int) -> str:
    count = int(row[column])
    share = count / max(1, int(row.sum()))
    colour = "40,160,110" if column == own else "210,50,40"
    # The square root: an error of one in a hundred is seen, and one in two is not twice as red.
    strength = 0.7 * share if column == own else min(0.8, share**0.5)
    title = f"{names[own]} → {names[column]}: {count}"
    text = count or ""
    return f'<td style="background:rgba({colour},{strength:.2f})" title="{title}">{text}</td>'


def _how_sure(sure: Sureness | None) -> str:
    if sure is None:
        told = both(
            "The model file has no calibration, so there are no probabilities.",
            "モデルファイルに較正がないため、確率はありません。",
        )
        return f"<p>{told}</p>"
    error = f"{100 * sure.error:.2f} %"
    told = both(
        f"Expected calibration error: {error}. Of answers with 80 %, about 80 % should be right.",
        f"期待較正誤差：{error}。80 % の答えは、約 80 % が正しいはずです。",
    )
    lines = "".join(f"<li>{trade(one)}</li>" for one in sure.trades)
    return f"<p>{told}</p>{reliability_svg(sure.bins)}" + (f"<ul>{lines}</ul>" if lines else "")


def trade(one: Trade) -> str:
    """Return a text in English and Japanese: how many answers a limit keeps and rejects."""
    shares = {} if one.wrong_refused is None else {"誤答": one.wrong_refused}
    names = {"noise": "ノイズ"}
    shares |= {names.get(name, escape(name)): share for name, share in one.refused.items()}
    refused = "、".join(f"{name}の {100 * share:.1f} %" for name, share in shares.items())
    kept = "正答なし" if one.right_kept is None else f"正答の {100 * one.right_kept:.1f} % を維持"
    japanese = f"{100 * one.reject:g} % 未満を棄却：{kept}、棄却されるもの：{refused or 'なし'}"
    return both(escape(one.text()), japanese)


def reliability_svg(bins: Sequence[Bin]) -> str:
    """Return a diagram as SVG: the accuracy over the probability, and the size of each bin."""
    width, side, low = 400, 200, 60
    most = max((one.images for one in bins), default=0) or 1
    step = (width - 60) / len(bins)
    drawn, told = [], []
    for place, one in enumerate(bins):
        x = 50 + place * step
        if one.images:
            height = side * one.accuracy
            count = low * one.images / most
            title = (
                f"{one.images} answers, mean probability {100 * one.probability:.1f} %, "
                f"{100 * one.accuracy:.1f} % right"
            )
            drawn.append(
                f'<rect x="{x:.1f}" y="{10 + side - height:.1f}" width="{step - 2:.1f}" '
                f'height="{height:.1f}"><title>{title}</title></rect>'
                f'<rect class="count" x="{x:.1f}" y="{30 + side}" width="{step - 2:.1f}" '
                f'height="{count:.1f}"><title>{title}</title></rect>'
            )
            told.append(title)
    marks = "".join(
        f'<text x="44" y="{14 + side - side * share / 100:.0f}" text-anchor="end">{share} %</text>'
        f'<text x="{50 + (width - 60) * share / 100:.0f}" y="{24 + side}" '
        f'text-anchor="{anchor}">{share} %</text>'
        for share, anchor in ((0, "start"), (50, "middle"), (100, "end"))
    )
    label = "accuracy (up) against probability (right): " + "; ".join(told)
    return (
        f'<svg class="reliability" viewBox="0 0 {width} {40 + side + low}" role="img" '
        f'aria-label="{label}">{"".join(drawn)}'
        f'<line x1="50" y1="{10 + side}" x2="{width - 10}" y2="10"/>{marks}</svg>'
    )


def _worst(classes: Sequence[str], worst: Sequence[Wrong]) -> str:
    if not worst:
        return f"<p>{both('None: all answers are right.', 'なし：すべて正解です。')}</p>"
    told = both(
        "Wrong answers, those that the model was surest of first.",
        "誤った答え。モデルの確信が高い順。",
    )
    return f'<p class="hint">{told}</p>' + "".join(
        picture(
            one.picture,
            classes[one.label],
            classes[one.answer],
            "" if one.sure is None else f"{100 * one.sure:.1f}\u00a0%",
        )
        for one in worst
    )


def picture(pixels: NDArray[np.uint8], truth: str, answer: str, sure: str = "") -> str:
    """Return an HTML figure: a picture (height, width, 1 or 3), its true class and the answer."""
    from PIL import Image

    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    truth, answer = escape(truth), escape(answer)
    taken = both(f"taken for {answer}", f"{answer} と判定")
    return (
        f'<figure><img alt="{truth}, taken for {answer}" src="data:image/png;base64,{data}">'
        f"<figcaption>{truth}<br>{taken} {sure}</figcaption></figure>"
    )

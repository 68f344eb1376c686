# SPDX-License-Identifier: BSD-3-Clause
"""The certificate as one self-contained HTML page, and as a model card."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bnn.measure import page as parts_of
from bnn.system import page as frame
from bnn.system.page import both

if TYPE_CHECKING:
    from bnn.train.certificate import Certificate

MAX_PICTURES = 30
#: Columns of the data's report: wide, so that no path is broken, and the browser wraps.
UNWRAPPED = 10_000

STYLE = (
    parts_of.STYLE
    + """.proof { padding: .6em 1em; border-left: 5px solid var(--best) }
.failed { border-color: var(--error) }
figure.curve { max-width: 100% } .curve svg { background: none }
.curve text { font-size: 11px; fill: var(--faint) } .curve polyline { stroke: var(--accent) }
"""
)


def page(found: Certificate, pictures: NDArray[np.uint8]) -> str:
    """Return one self-contained HTML page: comparison, curves, confusion matrix, wrong answers.

    Args:
        found: the certificate.
        pictures: pictures of the test part, uint8 (images, height, width, channels).
    """
    title = escape(_without_paths(found, f"{found.network} on {found.dataset}"))
    parts = [
        _proof(found),
        _accuracies(found),
        _sureness(found),
        _head("Data", "データ"),
        f"<pre>{escape(_without_paths(found, chr(10).join(found.data.lines(UNWRAPPED))))}</pre>",
        _head("Training", "学習"),
        _curves(found.history),
        _head("Confusion matrix", "混同行列"),
        f"<p>{both('Rows: the true class. Columns: the answer.', '行は正解、列は答えです。')}</p>",
        parts_of.confusion(found.classes, found.confusion),
        _head("Most confused", "最も大きな誤り"),
        f"<p>{both('Wrong answers, the largest margin first.', '誤った答え、差の大きい順。')}</p>",
        *(_figure(found, pictures, index) for index in found.most_confused(MAX_PICTURES)),
        _head("Settings", "設定"),
        f"<pre>{escape(_without_paths(found, _settings(found)))}</pre>",
    ]
    return frame.page(title, "\n".join(parts), STYLE)


def _head(english: str, japanese: str) -> str:
    return f"<h2>{both(english, japanese)}</h2>"


def _without_paths(found: Certificate, text: str) -> str:
    """Return ``text`` with each path of this machine replaced by the last part of the path."""
    settings = found.settings
    named = [settings.get(key) for key in ("data", "network", "init")]
    places = [found.dataset, *named, *settings.get("teachers", ())]
    # The longest first: one folder may be in another.
    for place in sorted((one for one in places if one and os.sep in one), key=len, reverse=True):
        text = text.replace(place, Path(place).name)
    return text


def _proof(found: Certificate) -> str:
    count = len(found.labels) * len(found.classes)
    worst = max(found.differing.values())
    said = "all equal" if worst == 0 else f"{worst} differ"
    japanese = "すべて一致" if worst == 0 else f"{worst} 個が不一致"
    told = both(
        f"{len(found.labels)} test pictures, {count} scores, computed by the trained PyTorch "
        f"network and by the runtimes {' and '.join(found.differing)}: <b>{said}</b>.",
        f"テスト画像 {len(found.labels)} 枚、スコア {count} 個を、学習した PyTorch の"
        f"ネットワークとランタイム {'、'.join(found.differing)} で計算：<b>{japanese}</b>。",
    )
    file = both("Model file", "モデルファイルの")
    return (
        f'<p class="proof{" failed" if worst else ""}">{told}<br>'
        f"{file} SHA-256: <code>{found.sha256}</code></p>"
    )


def _accuracies(found: Certificate) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}<td>{100 * value:.2f} %" for name, value in found.accuracy.items()
    )
    return f"{_head('Accuracy', '正解率')}<table>{rows}</table>"


def _sureness(found: Certificate) -> str:
    """Return the part of the page about probabilities.

    It has the calibration and its error, and how many answers several limits reject.
    """
    if found.calibration is None or found.error is None:
        reason = escape(str(found.no_calibration))
        told = both(
            f"The model has no calibration, so no probabilities: {reason}.",
            f"モデルに較正がないため、確率はありません：{reason}。",
        )
        return f"{_head('Probabilities', '確率')}<p>{told}</p>"
    temperature, exponent = (
        f"{found.calibration.temperature:.4g}",
        f"{found.calibration.exponent:g}",
    )
    error = f"{100 * found.error:.2f} %"
    told = both(
        f"Found on the validation part: temperature {temperature}, exponent {exponent}. Expected "
        f"calibration error on the test part: {error}.",
        f"検証データで求めた値：温度 {temperature}、指数 {exponent}。テストデータでの期待較正誤差："
        f"{error}。",
    )
    trades = "".join(f"<li>{parts_of.trade(one)}</li>" for one in found.trades)
    return f"{_head('Probabilities', '確率')}<p>{told}</p>" + (
        f"<ul>{trades}</ul>" if trades else ""
    )


def _settings(found: Certificate) -> str:
    lines = [f"{key}: {value}" for key, value in found.settings.items()]
    return "\n".join([*lines, f"machine: {found.machine}"])


# --- curves --------------------------------------------------------------------------

WIDTH, HEIGHT, MARGIN = 420, 220, 36


def _curves(history: Sequence[dict[str, float]]) -> str:
    drawn = [
        ("loss", "loss", "損失"),
        ("validation_accuracy", "accuracy on the validation part", "検証データでの正解率"),
    ]
    return "".join(
        _curve([row[key] for row in history if key in row], english, japanese)
        for key, english, japanese in drawn
    )


def _curve(values: Sequence[float], english: str, japanese: str) -> str:
    """Return a curve of ``values`` over the epochs as SVG, with what it shows under it.

    The vertical axis goes from the smallest to the largest of the values.
    """
    if not values:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1)
    points = " ".join(
        f"{MARGIN + step * n:.1f},{HEIGHT - MARGIN - (v - low) / span * (HEIGHT - 2 * MARGIN):.1f}"
        for n, v in enumerate(values)
    )
    told = both(
        f"{english}: epochs 1 to {len(values)}, from {values[0]:.4g} to {values[-1]:.4g}",
        f"{japanese}：エポック 1～{len(values)}、{values[0]:.4g} から {values[-1]:.4g} へ",
    )
    return (
        f'<figure class="curve"><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'aria-hidden="true"><polyline points="{points}" fill="none" stroke-width="1.5"/>'
        f'<text x="2" y="{MARGIN + 4}">{high:.4g}</text>'
        f'<text x="2" y="{HEIGHT - MARGIN + 4}">{low:.4g}</text>'
        f'<text x="{MARGIN}" y="{HEIGHT - 10}">1</text>'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 10}" text-anchor="end">{len(values)}</text></svg>'
        f"<figcaption>{told}</figcaption></figure>"
    )


# --- confusion -----------------------------------------------------------------------


def _figure(found: Certificate, pictures: NDArray[np.uint8], index: int) -> str:
    truth, answer = (found.classes[one[index]] for one in (found.labels, found.predicted))
    return parts_of.picture(pictures[index], truth, answer)


# --- model card ----------------------------------------------------------------------


def card(found: Certificate) -> str:
    """Return the model card as Markdown text."""
    settings, recipe = found.settings, found.settings["recipe"]
    seconds = sum(row.get("seconds", 0.0) for row in found.history)
    options = "".join(f" --{key} {recipe[key]}" for key in ("epochs", "batch", "rate", "augment"))
    start = settings.get("init")
    origins = [("init", start)] if start else []
    origins += [("teacher", one) for one in settings.get("teachers", ())]
    options += "".join(f" --{option} {Path(run).name}" for option, run in origins)
    options += f" --taught {recipe['taught']}" if settings.get("teachers") else ""
    options += f" --mix {recipe['mix']}" if recipe.get("mix") else ""
    options += " --whole" if settings.get("whole") else ""
    options += " --skip-broken" if settings.get("skip_broken") else ""
    command = (
        f"bnn train {Path(settings['network']).name} --data {Path(settings['data']).name} "
        f"--seed {settings['seed']}{options} -o RUN"
    )
    chosen = ", ".join(f"{key} {value}" for key, value in recipe.items())
    chosen_by = _chosen_by(found)
    place = found.machine + _arithmetic(found)
    return f"""# {found.network} on {found.dataset}

- Test accuracy of this file on the integer runtimes: **{100 * found.accuracy["cpu"]:.2f} %** of
  {len(found.labels)} pictures. The test part was used once, after training.
- Equal to the trained PyTorch network in every one of {found.scores.size} scores on the runtimes
  {" and ".join(found.differing)}: {sum(found.differing.values())} differ.
- Classes: {", ".join(found.classes)}.
- Data: {found.dataset}; {chosen_by}.
- Recipe: {chosen}; seed {settings["seed"]}. `bnn.train.recipes` explains each.
- Compute: {len(found.history)} epochs, {seconds / 60:.0f} minutes in all on {place}.
- Command: `{command}`
- Calibration: {_calibration(found)}.
- SHA-256: `{found.sha256}`
"""


def _calibration(found: Certificate) -> str:
    if found.calibration is None or found.error is None:
        return f"none; {found.no_calibration}"
    return (
        f"temperature {found.calibration.temperature:.4f}, exponent "
        f"{found.calibration.exponent:g}, found on the validation part.\n"
        f"  Expected calibration error on the test part: **{100 * found.error:.2f} %**"
    )


def _arithmetic(found: Certificate) -> str:
    known = found.settings.get("arithmetic", "unknown")
    return "" if known == "unknown" else f", in {known} arithmetic"


def _chosen_by(found: Certificate) -> str:
    """Return how the deployed epoch was chosen, as a phrase for the model card."""
    if found.settings.get("whole"):
        return "nothing was held out to validate, the last epoch is deployed"
    best = max((row.get("validation_accuracy", 0.0) for row in found.history), default=0.0)
    return (
        "the epoch was chosen on a validation part of the training data\n"
        f"  ({100 * best:.2f} % there)"
    )

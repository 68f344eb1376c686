# SPDX-License-Identifier: BSD-3-Clause
"""The report of ``bnn evaluate``: what it says, in two languages, and what it does not say."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.errors import DataError, InputError
from bnn.measure.calibration import Bin
from bnn.measure.page import confusion, reliability_svg
from support.models import small

VOID = {"meta", "img", "br", "rect", "line"}


class _Checked(HTMLParser):
    """Every tag that is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002  # the parser's
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, str]:
    """A folder of pictures whose classes and name are markup, and its page."""
    random = np.random.default_rng(3)
    place = tmp_path / "<b>set&"
    for name in ("no", "yes"):
        (place / name).mkdir(parents=True)
        for at in range(40):
            pixels = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / name / f"{at}.png")
    from dataclasses import replace

    from bnn.model.calibration import Calibration

    bnn.save(replace(small(), calibration=Calibration(3.0)), tmp_path / "m.bnn")
    page = tmp_path / "page.html"
    command = ["evaluate", str(tmp_path / "m.bnn"), "--data", str(place), "--report", str(page)]
    result = CliRunner().invoke(app, [*command, "--reject", "0.7"])
    assert result.exit_code == 0, result.output
    assert "page.html: each class" in result.output
    return place, page.read_text(encoding="utf-8")


def test_the_page_says_what_was_measured(made: tuple[Path, str]) -> None:
    place, text = made
    _Checked(text)
    clf = bnn.Classifier(str(place.parent / "m.bnn"))
    files = sorted(place.rglob("*.png"))
    truth = np.array([path.parent.name == "yes" for path in files]).astype(int)
    answers = clf.classify(files)
    assert f"<b>{100 * (answers == truth).mean():.2f} %</b>" in text
    for own, name in enumerate(("no", "yes")):
        counts = [int(((truth == own) & (answers == other)).sum()) for other in (0, 1)]
        assert f'title="{name} → no: {counts[0]}"' in text
        assert f'title="{name} → yes: {counts[1]}"' in text
    wrong = int((answers != truth).sum())
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert len(pictures) == min(wrong, 30)
    with Image.open(io.BytesIO(base64.b64decode(pictures[0]))) as image:
        shown = np.asarray(image)
    margins = np.abs(np.diff(clf.logits(files), axis=1)[:, 0]) * (answers != truth)
    worst = np.asarray(Image.open(files[int(margins.argmax())]))
    assert np.array_equal(shown, worst)
    assert "below 70 %:" in text


def test_the_page_has_no_path_and_loads_nothing(made: tuple[Path, str]) -> None:
    place, text = made
    assert str(place.parent) not in text
    assert "&lt;b&gt;set&amp;" in text
    assert "<b>set" not in text
    assert "http" not in text


def test_both_languages_and_the_reader_chooses(made: tuple[Path, str]) -> None:
    _, text = made
    assert text.count('<span lang="en">') == text.count('<span lang="ja">') > 10
    assert 'id="language"' in text
    assert "混同行列" in text


def test_a_page_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    for name, error in (("x.txt", InputError), ("none/x.html", DataError)):
        command = ["evaluate", "lfc-w1a1", "--data", "nowhere", "--report", str(tmp_path / name)]
        assert isinstance(CliRunner().invoke(app, command).exception, error)


def test_a_matrix_of_many_classes_is_small_and_pale_where_errors_are_few() -> None:
    matrix = np.diag(np.full(43, 1000))
    matrix[0, 1] = 3
    text = confusion([f"c{n}" for n in range(43)], matrix)
    _Checked(text)
    assert "confusion small" in text
    assert text.count("<td style") == 43 * 43
    (strength,) = re.findall(r'rgba\(210,50,40,([\d.]+)\)" title="c0 → c1: 3"', text)
    assert float(strength) < 0.1
    assert "small" not in confusion(["a", "b"], np.eye(2, dtype=int))


def test_a_class_without_pictures_and_a_bin_without_answers() -> None:
    _Checked(confusion(["a", "b"], np.array([[0, 0], [1, 2]])))
    bins = (Bin(0, 0, 0), Bin(4, 0.9, 0.75))
    text = reliability_svg(bins)
    _Checked(text)
    assert text.count("<rect") == 2
    assert "4 answers, mean probability 90.0 %, 75.0 % right" in text

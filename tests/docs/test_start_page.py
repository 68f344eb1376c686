# SPDX-License-Identifier: BSD-3-Clause
"""Questions of a reader without an FPGA: the start page leads to the page that answers each.

They were tried with fresh eyes, twice. What was missed at first: the page on boards, the plan of a
small network, and where thresholds are; each has had its row since. The second time: whether 200
pictures are enough (per class, or in all), that a topology file can be planned before training, a
summary of the commands for a board, and the main differences from BNN-PYNQ (on four pages).
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from support.scripts_loaded import load

DOCS = Path(__file__).parents[2] / "docs"
#: Question -> what stands on a page that its row leads to.
ANSWERS = {
    "What does W1A2 mean?": "W1A2 means: weights of 1 bit, activations of 2 bits",
    "How do I train on 200 photos of my own?": "200 pictures in all are enough to begin with",
    "Does a network of three layers for 64x64 pictures fit a PYNQ-Z2?": "three-layers.toml --board",
    "How do I get it onto the board?": "--runtime board",
    "What differs from BNN-PYNQ?": "No bitstream comes with the package",
    "Which file holds the thresholds?": "in the files `L-P-thres.bin`",
}


def rows() -> dict[str, str]:
    table = re.findall(r"^\| ([^|]+\?) \| (.+) \|$", (DOCS / "index.md").read_text(), re.MULTILINE)
    return dict(table)


def test_all_are_asked() -> None:
    assert set(ANSWERS) <= set(rows())


@pytest.mark.parametrize("question", ANSWERS)
def test_its_row_leads_to_the_answer(question: str) -> None:
    pages = re.findall(r"\]\(([^)#]+\.md)", rows()[question])
    assert pages
    assert any(ANSWERS[question] in (DOCS / page).read_text() for page in pages)


class FirstPage(HTMLParser):
    """What docs/_static/index.html has: its elements, and the text in each language."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.language = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self.language = dict(attrs)["lang"] or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "section":
            self.language = ""

    def handle_data(self, data: str) -> None:
        self.text[self.language] = self.text.get(self.language, "") + data

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture(scope="module")
def first() -> FirstPage:
    found = FirstPage()
    found.feed((DOCS / "_static" / "index.html").read_text(encoding="utf-8"))
    return found


def test_the_first_page_leads_to_both_languages(first: FirstPage) -> None:
    """By links, with nothing that leads there by itself."""
    links = {each["href"]: each["hreflang"] for each in first.of("a")}
    assert links == {"en/index.html": "en", "ja/index.html": "ja"}
    assert first.of("script") == []
    assert all("http-equiv" not in each for each in first.of("meta"))
    assert first.of("html") == [{"lang": "en"}]
    assert [each["lang"] for each in first.of("section")] == ["en", "ja"]


def test_the_first_page_says_what_this_is_in_two_sentences(first: FirstPage) -> None:
    english, japanese = first.text["en"], first.text["ja"]
    assert len(re.findall(r"\.\s", english)) == 2
    assert japanese.count("。") == 2
    for text in (english, japanese):
        assert "bnn-pynq" in text
        assert "BNN-PYNQ" in text


def test_the_picture_of_the_first_page_is_drawn_and_described(
    first: FirstPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (picture,) = first.of("img")
    assert picture["alt"]
    monkeypatch.setattr("sys.argv", ["draw_figures.py", str(tmp_path)])
    load("tools", "draw_figures.py").main()
    drawn = (tmp_path / str(picture["src"])).read_text(encoding="utf-8")
    assert f'width="{picture["width"]}" height="{picture["height"]}"' in drawn
    assert f"docs/figures/{picture['src']}" in (DOCS.parent / "Makefile").read_text()

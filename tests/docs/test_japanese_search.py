# SPDX-License-Identifier: BSD-3-Clause
"""Japanese pages and what a reader types into their search field are split into the same terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.scripts_loaded import load
from web.conftest import chromium

pytest.importorskip("sphinx", reason="the site needs: pip install '.[docs]'")
search = load("docs", "japanese_search.py")

TEXTS = {
    "畳み込み層": ["畳み", "み込", "込み", "み層"],
    "しきい値": ["しき", "きい", "い値"],
    "bnn plan で計画": ["bnn", "plan", "で計", "計画"],
    "LUTの数": ["LUT", "の数"],
    "層": ["層"],
    "W1A1、XC7Z020。": ["W1A1", "XC7Z020"],
    "Léonard ら": ["Léonard", "ら"],
    "  ": [],
}


@pytest.mark.parametrize("text", TEXTS)
def test_terms(text: str) -> None:
    assert search.split(text) == TEXTS[text]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="the page is tried with Playwright")
    with api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield found
        found.close()


def test_the_browser_splits_queries_in_the_same_way(browser: Any) -> None:
    page = browser.new_page()
    page.add_script_tag(content=search.JAVASCRIPT)
    for text in TEXTS:
        assert page.evaluate("text => splitQuery(text)", text) == TEXTS[text]

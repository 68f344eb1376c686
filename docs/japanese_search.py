# SPDX-License-Identifier: BSD-3-Clause
"""Search in the Japanese pages, by pairs of neighbouring characters.

Japanese has no spaces between words. Sphinx splits its pages into words with a statistical model,
but the text that a reader types into the search field is not split at all in the browser, so that
a compound such as 畳み込み層 is not found. Here pages and queries are split in the same way: each
run of Japanese characters into all its pairs (畳み, み込, 込み, み層). A page that has them all is
found.
"""

import re

from sphinx.search.ja import SearchJapanese

#: Hiragana, Katakana, Kanji and the repetition mark.
_JAPANESE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u3005"
_RUN = re.compile(rf"[{_JAPANESE}]+|(?:(?![{_JAPANESE}])\w)+")

#: The same in the browser.
JAVASCRIPT = rf"""
var splitQuery = (query) =>
  (query.match(/[{_JAPANESE}]+|(?:(?![{_JAPANESE}])[\p{{Letter}}\p{{Number}}_])+/gu) || [])
    .flatMap((run) => /^[{_JAPANESE}]{{2,}}$/u.test(run)
      ? Array.from({{ length: run.length - 1 }}, (_, i) => run.slice(i, i + 2))
      : [run]);
"""


def split(text: str) -> list[str]:
    """The terms of ``text``: words of other scripts, and pairs of Japanese characters."""
    terms = []
    for run in _RUN.findall(text):
        if len(run) > 1 and re.match(f"[{_JAPANESE}]", run):
            terms += [run[at : at + 2] for at in range(len(run) - 1)]
        else:
            terms.append(run)
    return terms


class SearchByPairs(SearchJapanese):
    """Sphinx' Japanese search, with terms that the browser can make too."""

    js_splitter_code = JAVASCRIPT

    def split(self, input: str) -> list[str]:  # noqa: A002 (Sphinx' name)
        return split(input)

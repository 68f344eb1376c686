# SPDX-License-Identifier: BSD-3-Clause
"""Comments in the code of the pages, in Japanese: ``docs/locale/ja/comments.json``.

Code is the same in both languages, so it has no entry in the catalogues (.po). Its comments are
sentences for the reader: the site replaces them (``docs/conf.py``), and ``check_translations.py``
names those that have no translation and translations of comments that are gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PATH = DOCS / "locale" / "ja" / "comments.json"
#: Languages of blocks whose comments begin with #.
LANGUAGES = ("sh", "bash", "python", "toml")

_COMMENT = re.compile(r"(?P<before>(?:^|\s)#[ \t]+)(?P<text>\S.*?)[ \t]*$", re.MULTILINE)
_BLOCK = re.compile(rf"^ *```(?:{'|'.join(LANGUAGES)})\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INCLUDED = re.compile(r"^ *```\{literalinclude\} (\S+)\n(?P<options>(?: *:.*\n)*)", re.MULTILINE)
_START = re.compile(r":start-at: (.*)")


def comments(code: str) -> list[str]:
    """Return the comments of a block, without their # ."""
    return [found["text"] for found in _COMMENT.finditer(code)]


def translate(code: str, japanese: Mapping[str, str]) -> str:
    """Return ``code`` with each comment that ``japanese`` has in Japanese."""
    return _COMMENT.sub(
        lambda found: found["before"] + japanese.get(found["text"], found["text"]), code
    )


def load() -> dict[str, str]:
    """Return the comments, English -> Japanese."""
    return dict(json.loads(PATH.read_text(encoding="utf-8")))


def of_page(page: str) -> Iterator[str]:
    """Yield each comment in the code of ``docs/PAGE.md``, and in the files that it shows."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for block in _BLOCK.findall(text):
        yield from comments(block)
    for found in _INCLUDED.finditer(text):
        shown = (DOCS / found[1]).read_text(encoding="utf-8")
        if start := _START.search(found["options"]):
            shown = shown[max(0, shown.find(start[1])) :]
        yield from comments(shown)


def faults(pages: tuple[str, ...], japanese: Mapping[str, str]) -> Iterator[str]:
    """One line for each comment of ``pages`` without a translation, and each that is gone."""
    there = {comment: page for page in pages for comment in of_page(page)}
    for comment, page in there.items():
        words = re.search(r"[^\W\d_]{2}", comment)
        if words and comment not in japanese:
            yield f"docs/{page}.md: a comment is not in {PATH.name}: {comment}"
    for comment in japanese:
        if comment not in there:
            yield f"{PATH.name}: stale, no page has this comment: {comment}"

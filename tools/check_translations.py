#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check that the Japanese pages say all that the English pages say.

    python tools/check_translations.py            # print what is missing, marked fuzzy or stale
    python tools/check_translations.py --update   # write new paragraphs into docs/locale/ja

:data:`PAGES` declares which pages are translated. The paragraphs of each are extracted from the
English page, as the site does it, into a temporary folder, and compared with
``docs/locale/ja/LC_MESSAGES/PAGE.po``. Exits with 1 if a paragraph has no translation, one of an
older English text, or one that lacks a link or a piece of code; if a comment in its code has no
Japanese (``japanese_comments.py``); or if a Japanese text breaks a rule of
``japanese_spelling.py``.
Needs the extra ``docs``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import japanese_comments
from japanese_spelling import misspelt

ROOT = Path(__file__).parents[1]
LOCALE = ROOT / "docs" / "locale"
#: Japanese that is in no catalogue: the page of ``bnn web``, and the cells of the notebooks.
_OTHERS = tuple(ROOT / "src/bnn/web/site" / name for name in ("index.html", "words/ja.js"))
_NOTEBOOKS = ROOT / "notebooks" / "source"
#: The pages that are translated, as files of docs/ without their ending.
PAGES = (
    "index",
    "tutorial",
    "understand",
    "faq",
    "glossary",
    "troubleshooting",
    "web",
    "original-api",
    "boards",
    "retrain",
    "planning",
    "split",
    "probabilities",
    "serving",
    "training",
    "converting",
    "hardware",
    "architecture",
    "lowering",
    "original-files",
    "lines",
    "commands",
    "benchmarks",
    "extending",
    "test-strength",
    "planted-mistakes",
    "reliability",
)

_CODE = re.compile(r"`+[^`]+`+")
#: A name of a network or an engine (ort-int8, lfc-w1a1), alone or after "bnn".
_NAME = re.compile(r"(?:\bbnn )?\b[a-z]+-[a-z]*\d[a-z0-9]*\b")
#: A number with its unit.
_QUANTITY = re.compile(r"[\d ,.^]+(?:%|[mu]?s|[KMGT]iB|MHz)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
#: A translation that begins so is read as a list, a heading or a quotation, and the site drops it.
_MARK = re.compile(r"\d+[.)]\s|[-+*]\s|#+\s|>")


@dataclass(frozen=True)
class Paragraph:
    """One paragraph of a page: the line in the English page (0: unknown) and its translation."""

    line: int = 0
    translation: str = ""
    fuzzy: bool = False


def faults(
    page: str, english: Mapping[str, Paragraph], translated: Mapping[str, Paragraph]
) -> Iterator[str]:
    """One line for each paragraph of ``page`` that is not translated, or not any more.

    ``english`` and ``translated`` have the English text as key.
    """
    for text, paragraph in english.items():
        found = translated.get(text)
        reason = _reason(text, found)
        if reason:
            yield f"docs/{page}.md:{paragraph.line}: {reason}: {_short(text)}"
    for text in translated:
        if text not in english:
            yield f"docs/{page}.md: stale, the English page has no such paragraph: {_short(text)}"


def _reason(text: str, found: Paragraph | None) -> str:
    if found is None or not found.translation:
        return "not translated" if _has_words(text) else ""
    if found.fuzzy:
        return "fuzzy, the English text has changed"
    if _MARK.match(found.translation):
        return "the site would not show it: a backslash is needed after its first number"
    for pattern, what in ((_CODE, "code"), (_LINK, "links")):
        if set(pattern.findall(text)) != set(pattern.findall(found.translation)):
            return f"the translation has other {what} than the English text"
    return ""


def _has_words(text: str) -> bool:
    """Whether ``text`` is more than code, names and numbers, which are the same everywhere."""
    words = re.search("[^\\W\\d_]", _NAME.sub("", _CODE.sub("", text)))
    return bool(words) and not _QUANTITY.fullmatch(text)


def _misspelt_pages() -> Iterator[str]:
    for path in sorted((LOCALE / "ja" / "LC_MESSAGES").glob("*.po")):
        where = f"docs/locale/ja/LC_MESSAGES/{path.name}"
        for paragraph in read(path).values():
            yield from misspelt(where, paragraph.translation)
    for comment in japanese_comments.load().values():
        yield from misspelt(japanese_comments.PATH.name, comment)
    for path in (ROOT / "README.ja.md", *_OTHERS, *sorted(_NOTEBOOKS.glob("*.py"))):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield from misspelt(f"{path.relative_to(ROOT)}:{number}", line)


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def read(path: Path) -> dict[str, Paragraph]:
    """The paragraphs of a catalogue (.po, .pot) by their English text."""
    from babel.messages.pofile import read_po

    if not path.exists():
        return {}
    with path.open("rb") as file:
        catalogue = read_po(file)
    return {
        str(each.id): Paragraph(
            next((line or 0 for _, line in each.locations), 0), str(each.string), each.fuzzy
        )
        for each in catalogue
        if each.id
    }


def extract(folder: Path) -> None:
    """Write PAGE.pot of each of :data:`PAGES` into ``folder``, without running any command."""
    included = ",".join(f"{page}.md" for page in PAGES)
    command = [sys.executable, "-m", "sphinx", "-Q", "-b", "gettext"]
    command += ["-D", f"include_patterns={included}", "-D", "gettext_location=1"]
    environment = {**os.environ, "BNN_DOCS_COMMANDS": "0"}
    command += ["-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder)]
    subprocess.run(command, check=True, env=environment)


def update(folder: Path) -> None:
    """Bring the catalogues of :data:`PAGES` up to date: new and changed paragraphs, no old ones."""
    from sphinx_intl import catalog

    for page in PAGES:
        path = LOCALE / "ja" / "LC_MESSAGES" / f"{page}.po"
        wanted = catalog.load_po(str(folder / f"{page}.pot"))
        for each in wanted:
            each.locations = []  # a line number would change with every paragraph above it
        if list(read(path)) == [str(each.id) for each in wanted if each.id]:
            continue  # nothing new, changed or gone
        have = catalog.load_po(str(path)) if path.exists() else _empty()
        catalog.update_with_fuzzy(have, wanted)
        have.obsolete.clear()
        for each in have:
            if each.fuzzy and each.id and not _has_words(str(each.id)):
                each.string = ""  # the translation of a number that was nearly the same
                each.flags.discard("fuzzy")
        path.parent.mkdir(parents=True, exist_ok=True)
        catalog.dump_po(str(path), have, line_width=0)


def _empty() -> Any:
    """The catalogue of a page that is declared now."""
    from babel.messages.catalog import Catalog

    comment = "# Japanese translation of the pages of bnn-pynq."
    return Catalog(locale="ja", project="bnn-pynq", header_comment=comment, fuzzy=False)


def main() -> int:
    """Check, or bring up to date; the exit status."""
    options = argparse.ArgumentParser(description="Check the Japanese pages against the English.")
    options.add_argument("--update", action="store_true", help="bring docs/locale/ja up to date")
    wants_update = options.parse_args().update
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        extract(folder)
        if wants_update:
            update(folder)
        wrong: list[str] = []
        count = 0
        for page in PAGES:
            english = read(folder / f"{page}.pot")
            count += len(english)
            wrong += faults(page, english, read(LOCALE / "ja" / "LC_MESSAGES" / f"{page}.po"))
    wrong += [*japanese_comments.faults(PAGES, japanese_comments.load()), *_misspelt_pages()]
    print(f"translated pages: {len(PAGES)}, paragraphs: {count}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 0 if wants_update else int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

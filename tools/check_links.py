#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check the links between the pages of this repository.

    python tools/check_links.py [ROOT]

Every page (a file that ends with .md) must be reached from README.md by links, and every link to a
file, a folder or a heading of this repository must lead somewhere. Links to other hosts are not
fetched: each must be well-formed, and its host one of :data:`HOSTS`. Prints the counts and every
fault; exits with 1 if there is one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
START = "README.md"
#: Folders that are not of the repository, by name.
LEFT_OUT = ("build", "dist", "node_modules", "__pycache__")
#: Hosts that pages, translations and notebooks may link to. A new one is looked at by a person.
HOSTS = ("github.com", "keepachangelog.com", "semver.org")
#: Files that are not pages. Their links to other hosts are checked too.
NO_PAGES = ("docs/locale/**/*.po", "notebooks/source/*.py")
#: Pages that a reader finds without a link: cards beside the bundled models, forms of the host.
WITHOUT_LINK = ("src/bnn/models/*.md", ".github/*.md")

_FENCE = re.compile(r"^[ ]{0,3}(```|~~~).*?^[ ]{0,3}\1[^\n]*$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_REFERENCE = re.compile(r"^[ ]{0,3}\[[^\]]+\]:\s*<?([^\s>]+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_OTHER_HOST = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_BARE = re.compile(r"(?<![(<\w])(https?://[^\s<>)\]\"|`]*[^\s<>)\]\"|`.,;:])")


def pages(root: Path) -> list[Path]:
    """Return every page below ``root``, except in hidden folders and those of :data:`LEFT_OUT`."""
    found = [*root.rglob("*.md"), *(root / ".github").rglob("*.md")]
    return sorted({path for path in found if not _is_left_out(path.relative_to(root))})


def _is_left_out(path: Path) -> bool:
    folders = path.parts[:-1]
    hidden = any(part.startswith(".") and part != ".github" for part in folders)
    return hidden or any(part in LEFT_OUT for part in folders)


def links(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number (from 1) and target of every link in a page, except those in code."""
    plain = _blank(_CODE, _blank(_FENCE, text))
    for pattern in (_LINK, _REFERENCE):
        for match in pattern.finditer(plain):
            yield plain.count("\n", 0, match.start(1)) + 1, match[1]


def bare(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number (from 1) and address where a page has an address itself, not in code."""
    plain = _blank(_CODE, _blank(_FENCE, text))
    for match in _BARE.finditer(plain):
        yield plain.count("\n", 0, match.start(1)) + 1, match[1]


def wrong_address(link: str) -> str:
    """Return what is wrong with a link to another host; nothing is fetched. "" if nothing is."""
    try:
        parts = urlsplit(link)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        return f"is not an address ({error})"
    if parts.scheme != "https":
        return "does not begin with https://"
    if port is not None or parts.username is not None or not re.fullmatch(r"[!-~]+", link):
        return "is not a plain address"
    return "" if host in HOSTS else f"{host or 'no host'} is not one of HOSTS in check_links.py"


def elsewhere(root: Path) -> tuple[int, list[str]]:
    """Return the number of links to other hosts in pages and :data:`NO_PAGES`, and the faults."""
    count, wrong = 0, []
    more = [path for pattern in NO_PAGES for path in sorted(root.glob(pattern))]
    for path in [*pages(root), *more]:
        text = path.read_text(encoding="utf-8")
        for line, link in sorted({*links(text), *bare(text)}):
            if not _OTHER_HOST.match(link):
                continue
            count += 1
            reason = wrong_address(link)
            if reason:
                wrong.append(f"{path.relative_to(root)}:{line}: {link} {reason}")
    return count, wrong


def headings(text: str) -> set[str]:
    """Return the names by which a page's headings are linked, as GitHub and GitLab make them."""
    found: dict[str, int] = {}
    names = set()
    for match in _HEADING.finditer(_blank(_FENCE, text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1]).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = found.get(name, 0)
        found[name] = number + 1
        names.add(f"{name}-{number}" if number else name)
    return names


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """Return ``text`` with blanks in place of what ``pattern`` matches; lines stay."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def problems(root: Path) -> tuple[int, int, list[str]]:
    """Return the number of pages, the number of links, and the faults, one line each."""
    texts = {path: path.read_text(encoding="utf-8") for path in pages(root)}
    targets: dict[Path, set[Path]] = {path: set() for path in texts}
    wrong, count = [], 0
    for path, text in texts.items():
        for line, link in links(text):
            if _OTHER_HOST.match(link):
                continue
            count += 1
            name, _, heading = unquote(link).partition("#")
            target = (path.parent / name).resolve() if name else path
            where = f"{path.relative_to(root)}:{line}"
            if not target.exists() or not target.is_relative_to(root):
                wrong.append(f"{where}: {link} leads nowhere")
            elif heading and target in texts and heading not in headings(texts[target]):
                wrong.append(f"{where}: {link}: the page has no such heading")
            targets[path].add(target)
    for path in sorted(set(texts) - _reached(root / START, targets)):
        name = path.relative_to(root)
        if not any(name.match(pattern) for pattern in WITHOUT_LINK):
            wrong.append(f"{name}: no link leads here from {START}")
    return len(texts), count, wrong


def _reached(start: Path, targets: dict[Path, set[Path]]) -> set[Path]:
    """Return the pages that links lead to from ``start``; a folder stands for its README.md."""
    seen, todo = {start}, [start]
    while todo:
        for target in targets.get(todo.pop(), ()):
            page = target / "README.md" if target.is_dir() else target
            if page in targets and page not in seen:
                seen.add(page)
                todo.append(page)
    return seen


def main(root: Path) -> int:
    """Print the counts and the faults; return the exit status."""
    count, checked, wrong = problems(root.resolve())
    others, wrong_others = elsewhere(root.resolve())
    print(f"pages: {count}, links between them: {checked}")
    print(f"links to other hosts: {others}; form and host are checked, nothing is fetched")
    for line in (*wrong, *wrong_others):
        print(line, file=sys.stderr)
    return int(bool(wrong or wrong_others))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))

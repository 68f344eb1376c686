# SPDX-License-Identifier: BSD-3-Clause
"""The pages link to one another, and a planted dead link or lonely page is found."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from support.scripts_loaded import ROOT, load


@pytest.fixture(scope="module")
def check() -> ModuleType:
    return load("tools", "check_links.py")


def _write(folder: Path, **pages: str) -> None:
    for name, text in pages.items():
        path = folder / (name.replace("__", "/") + ".md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_this_repository(check: ModuleType) -> None:
    count, links, wrong = check.problems(ROOT)
    assert wrong == []
    assert count > 20
    assert links > 20


def test_pages_that_are_reached_by_links(check: ModuleType, tmp_path: Path) -> None:
    _write(
        tmp_path,
        README="[a](docs/a.md) [folder](part) [other](https://example.org/x.md)",
        docs__a="# One two\n[b](b.md#what-a-b-is) [top](#one-two) [back](../README.md)",
        docs__b="# What a `b` is\n```\n[not a link](nowhere.md)\n```\n`[nor](this.md)`\n",
        part__README="[a](../docs/a.md)",
    )
    assert check.problems(tmp_path) == (4, 6, [])


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("[x](docs/none.md)", "README.md:1: docs/none.md leads nowhere"),
        ("\n[x][1]\n\n[1]: none.md", "README.md:4: none.md leads nowhere"),
        ("[x](../outside.md)", "README.md:1: ../outside.md leads nowhere"),
        ("[x](#none)", "README.md:1: #none: the page has no such heading"),
        ("[x](<docs/none.md>)", "README.md:1: docs/none.md leads nowhere"),
    ],
)
def test_a_planted_dead_link_is_found(
    check: ModuleType, tmp_path: Path, page: str, said: str
) -> None:
    _write(tmp_path, README=page)
    (tmp_path / "outside.md").unlink(missing_ok=True)
    assert check.problems(tmp_path)[2] == [said]


def test_links_to_other_hosts_of_this_repository(check: ModuleType) -> None:
    count, wrong = check.elsewhere(ROOT)
    assert wrong == []
    assert count > 5


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("[x](https://github.com/a/b)", ""),
        ("see https://github.com/a/b.", ""),
        ("`https://HOST:8000/v2` and\n```\ncurl http://127.0.0.1/\n```", ""),
        ("[x](http://github.com/a)", "http://github.com/a does not begin with https://"),
        ("see http://github.com/a.", "http://github.com/a does not begin with https://"),
        ("[x](https://githup.com/a)", "githup.com is not one of HOSTS in check_links.py"),
        ("[x](https:github.com/a)", "https:github.com/a no host is not one of HOSTS"),
        ("[x](https://github.com:443/a)", "is not a plain address"),
        ("[x](https://me@github.com/a)", "is not a plain address"),
        ("[x](https://github.com:port/a)", "is not an address"),
        ("[x](https://github.com/ü)", "is not a plain address"),
        ("[x](mailto:a@github.com)", "does not begin with https://"),
        ("[x][1]\n\n[1]: https://example.org", "example.org is not one of HOSTS"),
    ],
)
def test_a_link_to_another_host(check: ModuleType, tmp_path: Path, page: str, said: str) -> None:
    """It is well-formed, and its host is known; addresses in code are examples."""
    _write(tmp_path, README=page)
    _, wrong = check.elsewhere(tmp_path)
    assert len(wrong) == bool(said)
    assert said in "".join(wrong)


def test_links_in_catalogues_and_notebooks_are_checked(check: ModuleType, tmp_path: Path) -> None:
    for name in ("docs/locale/ja/LC_MESSAGES/a.po", "notebooks/source/a.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("[a](https://example.org/)")
    assert [each.partition(":")[0] for each in check.elsewhere(tmp_path)[1]] == [
        "docs/locale/ja/LC_MESSAGES/a.po",
        "notebooks/source/a.py",
    ]


def test_a_planted_lonely_page_is_found(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two pages that link to each other only are lonely, too; the exit status says so."""
    _write(tmp_path, README="# Here", docs__a="[b](b.md)", docs__b="[a](a.md)")
    assert check.main(tmp_path) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [f"docs/{name}.md: no link leads here from README.md" for name in "ab"]

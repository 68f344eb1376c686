# SPDX-License-Identifier: BSD-3-Clause
"""Figures that stand in several pages are those of the one file that a named command wrote.

Accuracy: ``docs/results/accuracy.json``. Cells of whole designs: ``tools/designs.json``. What the
original measured: the tables of ``docs/specification.md``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bnn
from bnn.errors import UnknownNameError
from bnn.plan import cost
from support.scripts_loaded import load

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DESIGNS = json.loads((ROOT / "tools" / "designs.json").read_text())
MEASURED = {
    each["model"]: f"{100 * each['correct'] / each['images']:.2f}"
    for each in json.loads((DOCS / "results" / "accuracy.json").read_text())["models"]
    if each["images"]
}
accuracy = load("docs", "examples", "accuracy.py")


def rows(page: str, first: str) -> list[list[str]]:
    """The cells of each row of a page whose first cell matches ``first`` as a whole."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    cells = [[each.strip() for each in line.strip("| ").split(" | ")] for line in lines]
    return [each for each in cells if re.fullmatch(first, each[0])]


def number(text: str) -> float:
    """The first number of a cell, without the spaces between its digits."""
    found = re.search(r"\d[\d ]*(?:\.\d+)?", text)
    assert found, text
    return float(found[0].replace(" ", ""))


def counted(design: str) -> tuple[float, float, float]:
    total = DESIGNS[design]["cells"]["total"]
    return total["LUT"], total["FF"], total["BRAM36"]


def in_all(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_accuracy_of_the_bundled_models() -> None:
    """The models' cards and the page on training have it as it was measured."""
    assert len(MEASURED) == 5
    training = in_all("training.md")
    for name, right in MEASURED.items():
        card = (ROOT / "src" / "bnn" / "models" / f"{name}.md").read_text(encoding="utf-8")
        assert f"integer runtimes: **{right} %**" in card
        network = name.upper().replace("-", " ")
        line = next(
            each for each in training.splitlines() if f"| {network}" in each and right in each
        )
        assert "bundled" in line
        original = f"{accuracy.ORIGINAL[name]:.2f}"
        assert f"original's board: {original} %" in card
        assert line.rstrip(" |").endswith(original)


def test_accuracy_of_the_original() -> None:
    """Its notebooks' results: section 10 of the specification, and the notebook of the test set."""
    for name, right in accuracy.ORIGINAL.items():
        network = name.replace("-w", "W").replace("a", "A")
        assert re.search(
            rf"\| {network} \| HW \| 10 000 \|.* {right:.2f} % \|", in_all("specification.md")
        )
    notebook = (ROOT / "notebooks" / "source" / "original-test-set.py").read_text(encoding="utf-8")
    board = re.search(r"^BOARD = (\{.*\})$", notebook, re.MULTILINE)
    assert board
    assert json.loads(board[1]).items() <= accuracy.ORIGINAL.items()


PLANNED = rows("planning.md", r"`[\w-]+`, `[\w-]+`")


def test_all_designs_are_on_the_page() -> None:
    assert {row[0].replace("`", "").replace(",", "") for row in PLANNED} == set(DESIGNS)


@pytest.mark.parametrize("row", PLANNED, ids=lambda row: row[0].replace("`", ""))
def test_cells_of_whole_designs(row: list[str]) -> None:
    """Estimate and count of each design; ``python tools/check_costs.py`` writes them."""
    name = row[0].replace("`", "").replace(",", "")
    said = [re.fullmatch(r"([\d .]+) / ([\d .]+) \(([+-][\d.]+) %\)", cell) for cell in row[1:]]
    pairs = [(number(each[1]), number(each[2])) for each in said if each]
    assert tuple(real for _, real in pairs) == counted(name)
    for each, (guessed, real) in zip(said, pairs, strict=True):
        assert each
        assert float(each[3]) == pytest.approx(100 * (guessed - real) / real, abs=0.06)
    try:
        guess = cost.of_design(load("tools", "check_costs.py").design_of(name, DESIGNS))
    except UnknownNameError:
        pytest.skip(f"the estimate of {name} needs the original's parameters under BNN_PARAMS")
    assert [f"{guess.lut:.0f}", f"{guess.ff:.0f}"] == [f"{each:.0f}" for each, _ in pairs[:2]]
    assert guess.bram36 == pairs[2][0]


ORIGINALS = rows("hardware.md", r"(?:lfc|cnv)W\dA\d")
RECORDS = [row for row in rows("hardware.md", r"(?:LFC|CNV) W\dA\d") if len(row) == 9]
COMPARED = [row for row in rows("hardware.md", r"(?:LFC|CNV) W\dA\d") if len(row) == 7]
CHIP = {
    row[0]: (number(row[1]), number(row[3]))
    for row in rows("specification.md", r"(?:lfc|cnv)W\dA\d")
    if len(row) == 6
}


def test_the_tables_are_found() -> None:
    assert (len(ORIGINALS), len(RECORDS), len(COMPARED), len(CHIP)) == (5, 5, 5, 5)


@pytest.mark.parametrize("row", ORIGINALS, ids=lambda row: row[0])
def test_cells_with_the_originals_folding(row: list[str]) -> None:
    data = {"lfc": "mnist", "cnv": "cifar10"}[row[0][:3]]
    assert tuple(map(number, row[1:4])) == counted(f"{data}-{row[0]} original")
    assert tuple(map(number, row[5].split(", "))) == CHIP[row[0]]


def design_of(row: list[str], folding: str) -> str:
    return f"{row[0].lower().replace(' ', '-')} {folding.strip('`')}"


@pytest.mark.parametrize("row", RECORDS, ids=lambda row: f"{row[0]} {row[1]}")
def test_records(row: list[str]) -> None:
    assert (number(row[5]), number(row[6]), number(row[7])) == counted(design_of(row, row[1]))
    assert f"({100 * number(row[5]) / 53200:.0f} %)" in row[5]
    assert number(row[3].strip("*")) == 100_000_000 // number(row[2])


@pytest.mark.parametrize("row", COMPARED, ids=lambda row: f"{row[0]} {row[1]}")
def test_errors_of_the_estimates(row: list[str]) -> None:
    """They are those of the page on planning."""
    command = re.search(r"`([\w-]+) --folding ([\w-]+)`", row[1])
    assert command
    planned = next(each for each in PLANNED if each[0] == f"`{command[1]}`, `{command[2]}`")
    for ours, theirs in zip(row[2:5], planned[1:], strict=True):
        assert theirs.endswith(f"({ours})") or (ours, theirs[-7:]) == ("0", "+0.0 %)")


def test_models_are_those_that_come_with_the_package() -> None:
    assert set(MEASURED) | {"lfc-fashion-w1a1"} == set(bnn.bundled())


def test_the_start_page_says_what_200_pictures_give() -> None:
    found = json.loads((DOCS / "results" / "few-pictures.json").read_text())
    right = [round(100 * row["advised"]["accuracy"]) for row in found["rows"]]
    said = f"{right[0]} % right of four kinds of animals, {right[1]} % of ten digits"
    assert (found["pictures"], [row["task"][:10] for row in found["rows"]]) == (
        200,
        ["4 kinds of", "10 digits "],
    )
    assert said in in_all("index.md")
    assert all(25 <= row["advised"]["cpu_s"] <= 35 for row in found["rows"])
    assert "Half a minute of a processor's time" in in_all("index.md")


def test_shares_of_planted_mistakes() -> None:
    """The page on reliability has the last samples of the page that has all."""
    samples = {row[0].replace(", all rooms", ""): row[4] for row in planted_rows()}
    last = rows("reliability.md", r"(?:Python|RTL and driver), seed \d+")
    assert [row[0].partition(",")[0] for row in last] == ["Python", "RTL and driver"]
    for name, share in last:
        kind = name.partition(",")[0]
        assert name == [each for each in samples if each.startswith(kind)][-1]
        assert share == re.sub(r" judged|; \d+ not judged", "", samples[name])


def planted_rows() -> list[list[str]]:
    return rows("planted-mistakes.md", r"(?:Python|RTL and driver), seed \d+(?:, all rooms)?")


#: Its tables are what the original recorded and its shapes; other pages quote them, and are held
#: to it above. The tables of benchmarks.md are written by a command, and have hundreds of numbers.
NOT_COMPARED = ("specification.md", "benchmarks.md")
_FENCED = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1[^\n]*$", re.DOTALL | re.MULTILINE)
_CODE_OR_TARGET = re.compile(r"`[^`]*`|\]\([^)]*\)")
_FIGURE = re.compile(
    r"(?<![\w.,^/:-])(\d{1,3}(?:[ ,]\d{3})+(?:\.\d+)?|\d+\.\d+|\d{4,})(?!\w|[.,:-]\d)"
)


def figures(text: str) -> set[float]:
    """Numbers of four digits or more that somebody measured: no size, no year, no seed."""
    plain = _CODE_OR_TARGET.sub("", _FENCED.sub("", text))
    plain = re.sub(r"\b[Ss]eeds? \d+(?:(?:, | and )\d+)*", "", plain)
    found = {(each, float(re.sub("[ ,]", "", each))) for each in _FIGURE.findall(plain)}
    return {
        value
        for written, value in found
        if len(f"{value:.12g}".replace(".", "").strip("0")) >= 4
        and not _is_size(value)
        and not re.fullmatch("(?:19|20)[0-9]{2}", written)
    }


def _is_size(value: float) -> bool:
    """A power of two, a small multiple of one, or one less: of shapes and limits."""
    number = int(value)
    if number != value:
        return False
    return (number & (number + 1)) == 0 or number // (number & -number) < 10


def held() -> set[float]:
    """Every number of the files of results."""

    def walk(value: object) -> Iterator[float]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for each in value:
                yield from walk(each)
        elif isinstance(value, int | float):
            yield float(value)

    files = [ROOT / "tools" / "designs.json", *(DOCS / "results").glob("*.json")]
    found = {each for path in files for each in walk(json.loads(path.read_text()))}
    return found | {float(each) for each in MEASURED.values()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("takes 1,234.5 us, or 12 345 cycles", {1234.5, 12345.0}),
        ("85.54 % (84.29)", {85.54, 84.29}),
        ("in 2017, of 65 536 or 65,535 or 3072; 53 200; 1.58; seeds 5200 and 5301", set()),
        ("`1 234` [a](b.md#1234)\n```\n12 345\n```\nv1234 1234-5678 2026-11-30", set()),
    ],
)
def test_which_numbers_are_figures(text: str, expected: set[float]) -> None:
    assert figures(text) == expected


def test_no_figure_is_typed_in_two_pages() -> None:
    """It stands on one page, to which others link, or in a file that a command wrote."""
    pages = [*DOCS.glob("*.md"), ROOT / "README.md"]
    where: dict[float, list[str]] = {}
    for page in pages:
        if page.name not in NOT_COMPARED:
            for each in figures(page.read_text(encoding="utf-8")) - held():
                where.setdefault(each, []).append(page.name)
    original = figures(in_all("specification.md"))
    twice = {each: found for each, found in where.items() if len(found) > 1}
    assert {each: found for each, found in twice.items() if each not in original} == {}

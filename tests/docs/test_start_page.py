# SPDX-License-Identifier: BSD-3-Clause
"""Questions of a reader without an FPGA: the start page leads to the page that answers each.

They were tried with fresh eyes, twice. What was missed at first: the page on boards, the plan of a
small network, and where thresholds are; each has had its row since. The second time: whether 200
pictures are enough (per class, or in all), that a topology file can be planned before training, a
summary of the commands for a board, and the main differences from BNN-PYNQ (on four pages).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
#: Question -> what stands on a page that its row leads to.
ANSWERS = {
    "What does W1A2 mean?": "W1A2 means: weights of 1 bit, activations of 2 bits",
    "How do I train on 200 photos of my own?": "200 pictures in all are enough to begin with",
    "Does a network of three layers for 64x64 pictures fit a PYNQ-Z2?": "three-layers.toml --board",
    "How do I get it onto the board?": "--runtime board",
    "What differs from BNN-PYNQ?": "No bitstream comes with the package",
    "Which file holds the thresholds?": "in the files `L-P-thres.bin`",
}


def rows() -> dict[str, str]:
    table = re.findall(r"^\| ([^|]+\?) \| (.+) \|$", (DOCS / "index.md").read_text(), re.MULTILINE)
    return dict(table)


def test_all_are_asked() -> None:
    assert set(ANSWERS) <= set(rows())


@pytest.mark.parametrize("question", ANSWERS)
def test_its_row_leads_to_the_answer(question: str) -> None:
    pages = re.findall(r"\]\(([^)#]+\.md)", rows()[question])
    assert pages
    assert any(ANSWERS[question] in (DOCS / page).read_text() for page in pages)

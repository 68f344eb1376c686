# SPDX-License-Identifier: BSD-3-Clause
"""Questions of a reader without an FPGA: the start page leads to the page that answers each.

They were tried with fresh eyes. What was missed then: the page on boards, the plan of a small
network, and where thresholds are; each has had its row since.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
#: Question -> what stands on a page that its row leads to.
ANSWERS = {
    "What does W1A2 mean?": "W1A2 has activations of 2 bits",
    "How do I train on 200 photos of my own?": "200 pictures per class are a good start",
    "Does my network fit a PYNQ-Z2?": "Three dense layers of 64 neurons",
    "How do I get it onto the board?": "--runtime board",
    "What differs from BNN-PYNQ?": "## What differs on purpose",
    "Which file holds the thresholds?": "files `L-P-thres.bin`",
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

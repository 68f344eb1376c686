# SPDX-License-Identifier: BSD-3-Clause
"""How many images show a pipeline's pace: four, fewer if they move many words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bnn.plan import fifos


@pytest.mark.parametrize(
    ("words", "images"),
    [(1, 4), (25, 4), (26, 3), (33, 3), (34, 2), (50, 2), (51, None), (100, None), (101, None)],
)
def test_images(words: int, images: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fifos, "_MAX_WORDS", 100)
    monkeypatch.setattr(fifos, "simulate", lambda _, count: count)
    parts = [words - words // 2, words // 2]
    instances = [SimpleNamespace(block=SimpleNamespace(output_words=part)) for part in parts]
    design: Any = SimpleNamespace(instances=instances)
    assert fifos.words(design) == words
    assert fifos.pace(design) == images

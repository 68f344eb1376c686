# SPDX-License-Identifier: BSD-3-Clause
"""A huge JPEG is read at the largest scale that memory takes."""

from __future__ import annotations

import pytest

from bnn.data.pictures import seen


@pytest.mark.parametrize(
    ("size", "reduced"),
    [
        ((10, 10), (10, 10)),
        ((11, 10), (5, 5)),
        ((20, 20), (10, 10)),
        ((40, 40), (10, 10)),
        ((42, 41), (10, 10)),
        ((44, 44), (5, 5)),
        ((1, 100), (1, 100)),
        ((100, 2), (50, 1)),
    ],
)
def test_scales(
    size: tuple[int, int], reduced: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "_WHOLE", 100)
    assert seen._reduced(size) == reduced

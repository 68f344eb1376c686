# SPDX-License-Identifier: BSD-3-Clause
"""Values in messages of training are short, as ``tests/test_short_texts.py`` says of others."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs bnn-pynq[train]")

from bnn.train.checked import MAX_QUOTED, short


@pytest.mark.parametrize("more", [-3, -1, 0, 1, 2, 99])
def test_a_text_is_cut_where_it_is_too_long(more: int) -> None:
    text = "x" * (MAX_QUOTED - 2 + more)
    whole = f"'{text}'"
    assert short(text) == (whole if more <= 0 else whole[: MAX_QUOTED - 3] + "...")
    assert short(1 << 99999) == "this int"

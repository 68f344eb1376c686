# SPDX-License-Identifier: BSD-3-Clause
"""Files of the cache that are whole, damaged or missing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bnn.data import fetch


def test_a_damaged_file_is_told_once_it_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(fetch, "notice", told.append)
    path = tmp_path / "x"
    digest = hashlib.sha256(b"right").hexdigest()
    assert not fetch._whole(path, digest)
    assert not fetch._whole(tmp_path, digest)
    path.write_bytes(b"right")
    assert fetch._whole(path, digest)
    assert told == []
    path.write_bytes(b"wrong")
    assert not fetch._whole(path, digest)
    assert told == [f"{path}: it is damaged; it is fetched again"]

# SPDX-License-Identifier: BSD-3-Clause
"""Outcomes that are kept, so that no change of any of them is unseen.

``fixtures/golden/NAME.json`` has one text for each case: a message, a report, a page, or the digest
of a program. After a change that is meant, ``fixtures/golden/make.py`` writes them anew; read the
difference before it is committed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "fixtures" / "golden"
#: Set by ``fixtures/golden/make.py``: files are written, not compared.
WRITE = "BNN_GOLDEN_WRITE"
#: How many differing cases are shown.
SHOWN = 8


def compare(name: str, found: Mapping[str, object], without: tuple[str, ...] = ()) -> None:
    """Compare ``found`` with what is kept under ``name``; values are JSON.

    Cases whose names start with one of ``without`` are not compared.
    """
    path = FOLDER / f"{name}.json"
    if os.environ.get(WRITE):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(found, indent=0, sort_keys=True, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
    kept = json.loads(path.read_text(encoding="utf-8"))
    here = json.loads(json.dumps(found))
    if without:
        kept = {case: kept[case] for case in kept if not case.startswith(without)}
        here = {case: here[case] for case in here if not case.startswith(without)}
    assert sorted(kept) == sorted(here), f"other cases than in {path.name}: {kept.keys() ^ here}"
    differing = [case for case in kept if kept[case] != here[case]]
    told = "\n".join(
        f"{case}:\n  kept:  {kept[case]!r}\n  found: {here[case]!r}" for case in differing[:SHOWN]
    )
    assert not differing, f"{path.name}: {len(differing)} of {len(kept)} cases differ\n{told}"


def digest(data: bytes | str) -> str:
    """Twelve digits that stand for ``data``."""
    data = data.encode() if isinstance(data, str) else data
    return hashlib.sha256(data).hexdigest()[:12]

# SPDX-License-Identifier: BSD-3-Clause
"""Folders that are parts of one data set: train, test, val and the like.

The name of a part contains a word for it (``train``, ``Testing``, ``valid``), possibly with other
words that all parts share (``seg_train`` and ``seg_test``, ``training_set`` and ``test_set``). A
folder called ``train`` next to folders that are not parts is a class (the vehicle).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from bnn.errors import DataError

#: A part of a data set.
Kind = Literal["training", "validation", "test"]

_WORDS: Mapping[str, Kind] = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def is_word_for_a_part(name: str) -> bool:
    """Whether a folder with this name is usually a part of a data set, not a class."""
    return name.lower() in _WORDS


def find_parts(root: Path, names: Sequence[str]) -> dict[Kind, str]:
    """Return part -> subfolder, for the subfolders ``names`` of ``root``; {} if they are not parts.

    A folder that would be the only part is a part only if it is the only folder.

    Raises:
        DataError: two subfolders are the same part, or there are parts of several data sets.
    """
    groups: dict[tuple[str, ...], dict[Kind, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        words = re.split(r"[^a-z0-9]+", name.lower())
        kinds = [_WORDS[word] for word in words if word in _WORDS]
        if len(kinds) == 1:
            rest = tuple(word for word in words if word not in _WORDS)
            groups[rest][kinds[0]].append(name)
    several = [group for group in groups.values() if len(group) > 1]
    if len(several) > 1:
        found = sorted(name for group in several for same in group.values() for name in same)
        raise DataError(f"{root}: has parts of several data sets: {', '.join(found)}; use one")
    if not several:
        alone = groups.get((), {})
        several = [alone] if alone and len(names) == 1 else []
    for kind, same in (several[0] if several else {}).items():
        if len(same) > 1:
            raise DataError(
                f"{root}: the folders {' and '.join(sorted(same))} are both a {kind} part; "
                "rename or move one"
            )
    return {kind: same[0] for kind, same in several[0].items()} if several else {}

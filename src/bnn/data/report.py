# SPDX-License-Identifier: BSD-3-Clause
"""A report on a data set: its contents, and what looks wrong, as text or JSON."""

from __future__ import annotations

import hashlib
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from bnn.data.duplicates import Repeated, repeated
from bnn.data.look import BLANK_LEVELS, Looks, Mark
from bnn.data.walk import Unreadable
from bnn.system.terminal import harmless

#: Name of the part of a data set without parts.
ALL = "all"
#: A class is reported if it has fewer pictures than this, or this factor fewer than another.
FEW, UNBALANCED = 10, 10
#: Nearly equal pictures are reported if they are more than one in so many; equal ones always.
NEAR_SHARE = 1000
_EXAMPLES = 3
_CLASSES = 12
_MAX_SIZES = 20
_LABEL = 13


@dataclass(frozen=True)
class Finding:
    """Something in a data set that looks wrong.

    Attributes:
        kind: fixed text for programs: ``blank``, ``depth``, ``alpha``, ``frames``, ``small``,
            ``turned``, ``duplicates`` or ``near duplicates`` (in one class), ``two labels`` or
            ``near two labels``, ``leak`` or ``near leak`` (in two parts), ``identical class``,
            ``few``, ``unbalanced``, ``missing``, ``trained on``.
        count: number of pictures or classes.
        text: sentence for users, without the examples.
        examples: names of some of the pictures or classes that are counted.
    """

    kind: str
    count: int
    text: str
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = f" and {self.count - len(self.examples)} more"
        shown = ", ".join(self.examples) + (more if self.count > len(self.examples) else "")
        return f"{self.text}: {shown}" if self.examples else self.text


@dataclass(frozen=True, eq=False)
class DataReport:
    """Report on a data set; every picture of the set was read for it.

    Attributes:
        name: name of the data set.
        kind: ``pictures in folders`` or ``arrays``.
        classes: names of the classes, in order.
        counts: part -> number of pictures of each class.
        origins: part -> where the part comes from, as text.
        sizes: (width, height) -> number of pictures.
        modes: Pillow's mode -> number of pictures.
        prepared: description of how a picture becomes the network's input.
        notes: sentences on how folders and names were understood.
        findings: what looks wrong.
        skipped: files that could not be read and were skipped.
        identity: digest of the classes and, for each part, of the labels and sizes of the pictures,
            and of the pixels of arrays or the names of picture files (not their contents).
        arithmetic: name of the arithmetic in which the network is trained, such as ``bf16-mixed``;
            None if it is not known.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    origins: Mapping[str, str]
    sizes: Mapping[tuple[int, int], int]
    modes: Mapping[str, int]
    prepared: str
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    skipped: tuple[Unreadable, ...] = ()
    identity: str = ""
    arithmetic: str | None = None

    def with_arithmetic(self, arithmetic: str) -> DataReport:
        """Return this report with the arithmetic of the training."""
        return replace(self, arithmetic=arithmetic)

    def with_note(self, note: str) -> DataReport:
        """Return this report with one more note."""
        return replace(self, notes=(*self.notes, note))

    def with_finding(self, finding: Finding) -> DataReport:
        """Return this report with ``finding`` as its first finding."""
        return replace(self, findings=(finding, *self.findings))

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "classes": list(self.classes),
            "parts": {
                part: {"from": self.origins[part], "pictures": sum(own), "per_class": list(own)}
                for part, own in self.counts.items()
            },
            "sizes": self._sizes_as_json(),
            "modes": dict(self.modes),
            "prepared": self.prepared,
            "arithmetic": self.arithmetic,
            "notes": list(self.notes),
            "findings": [
                {
                    "kind": one.kind,
                    "count": one.count,
                    "text": one.text,
                    "examples": list(one.examples),
                }
                for one in self.findings
            ],
            "skipped": [{"file": str(one.path), "reason": one.reason} for one in self.skipped],
            "identity": self.identity,
        }

    def _sizes_as_json(self) -> dict[str, Any]:
        """Return the smallest, largest and most frequent sizes, and the number of sizes."""
        most = list(self.sizes.items())[:_MAX_SIZES]
        return {
            "smallest": _size(min(self.sizes, key=_area)),
            "largest": _size(max(self.sizes, key=_area)),
            "different": len(self.sizes),
            "most_frequent": {_size(size): count for size, count in most},
        }

    def lines(self, width: int = 80) -> list[str]:
        """Return the report as lines of at most ``width`` characters."""
        rows = [row for label, text in self._rows() for row in _wrapped(label, text, width)]
        wrong = [row for one in self._wrong() for row in _wrapped("-", one, width, 4)]
        head = "Looks wrong:" if wrong else "Nothing looks wrong."
        return [*_folded(f"Data: {self.name} ({self.kind})", width), *rows, head, *wrong]

    def _rows(self) -> Iterator[tuple[str, str]]:
        yield "classes", f"{len(self.classes)}: {_some(self.classes, _CLASSES)}"
        yield "pictures", _counted(self.classes, self.counts)
        yield "sizes", _sizes(self.sizes)
        yield "modes", ", ".join(f"{mode} ({count})" for mode, count in self.modes.items())
        yield "prepared", self.prepared
        for part, own in self.counts.items():
            yield (
                part,
                f"{sum(own)} {'picture' if sum(own) == 1 else 'pictures'}, {self.origins[part]}",
            )
        if self.arithmetic is not None:
            yield "arithmetic", self.arithmetic
        for note in self.notes:
            yield "note", note

    def _wrong(self) -> Iterator[str]:
        if self.skipped:
            names = [f"{one.path.name} ({one.reason})" for one in self.skipped]
            files = "1 file" if len(names) == 1 else f"{len(names)} files"
            yield f"{files} skipped, because unreadable: {_some(names, len(names))}"
        yield from map(str, self.findings)


def make_report(
    name: str,
    kind: str,
    classes: Sequence[str],
    looks: Mapping[str, Looks],
    origins: Mapping[str, str],
    prepared: str,
    shape: Sequence[int],
    notes: Sequence[str] = (),
    skipped: Sequence[Unreadable] = (),
    judged: str | None = None,
) -> DataReport:
    """Return the report on a data set.

    ``looks`` has the looks of each part; the training part must be the first. ``judged`` is the
    part in which each class must have enough pictures; None: the pictures of all parts together.
    """
    counts = {
        part: tuple(np.bincount(one.labels, minlength=len(classes)).tolist())
        for part, one in looks.items()
    }
    sizes: Counter[tuple[int, int]] = Counter()
    modes: Counter[str] = Counter()
    for one in looks.values():
        wide, own = np.unique(one.sizes, axis=0, return_counts=True)
        sizes.update({(int(w), int(h)): int(n) for (w, h), n in zip(wide, own, strict=True)})
        used, many = np.unique(one.modes, return_counts=True)
        modes.update({one.mode_names[int(m)]: int(n) for m, n in zip(used, many, strict=True)})
    found = repeated(dict(looks))
    findings = [
        *_identical(classes, looks),
        *map(_repeated, filter(partial(_counts, sum(map(len, looks.values()))), found)),
        *_marked(looks, shape),
        *_uneven(classes, counts if judged is None else {judged: counts[judged]}),
    ]
    return DataReport(
        name=name,
        kind=kind,
        classes=tuple(classes),
        counts=counts,
        origins=dict(origins),
        sizes=dict(sizes.most_common()),
        modes=dict(modes.most_common()),
        prepared=prepared,
        notes=tuple(dict.fromkeys(notes)),
        findings=tuple(findings),
        skipped=tuple(skipped),
        identity=_identity(kind, classes, looks),
    )


def _identity(kind: str, classes: Sequence[str], looks: Mapping[str, Looks]) -> str:
    found = hashlib.blake2b(repr(tuple(classes)).encode(), digest_size=16)
    for part, one in looks.items():
        # Another version of Pillow may decode the same file to other bytes: digest the files.
        what = one.digests.tobytes() if kind == "arrays" else repr(one.names.tolist()).encode()
        for piece in (part.encode(), one.labels.tobytes(), one.sizes.tobytes(), what):
            found.update(len(piece).to_bytes(8, "little") + piece)
    return found.hexdigest()


# --- what looks wrong ----------------------------------------------------------------


def _marked(looks: Mapping[str, Looks], shape: Sequence[int]) -> Iterator[Finding]:
    told = {
        Mark.BLANK: ("blank", f"{{}} blank (all levels within {BLANK_LEVELS} of 255)"),
        Mark.DEEP: ("depth", "{} of more than 8 bits per channel"),
        Mark.ALPHA: ("alpha", "{} with transparency"),
        Mark.FRAMES: ("frames", "{} of several frames; the first is read"),
        Mark.TURNED: (
            "turned",
            "{} dark on light, or pale, of the input's own size; made light on black",
        ),
        Mark.SMALL: ("small", f"{{}} far smaller than the input ({shape[1]}x{shape[0]})"),
    }
    for mark, (kind, text) in told.items():
        hits = {part: np.flatnonzero(one.marks & mark) for part, one in looks.items()}
        count = sum(map(len, hits.values()))
        if count:
            names = [
                str(looks[part].names[i]) for part, own in hits.items() for i in own[:_EXAMPLES]
            ]
            yield Finding(kind, count, text.format(_many(count)), tuple(names[:_EXAMPLES]))


def _identical(classes: Sequence[str], looks: Mapping[str, Looks]) -> Iterator[Finding]:
    labels = np.concatenate([one.labels for one in looks.values()])
    digests = np.concatenate([one.digests for one in looks.values()])
    order = np.argsort(labels, kind="stable")
    edges = np.searchsorted(labels[order], np.arange(len(classes) + 1))
    same = []
    for index, name in enumerate(classes):
        own = digests[order[edges[index] : edges[index + 1]]]
        if len(own) > 1 and bool((own == own[0]).all()):
            same.append(f"{name} ({len(own)})")
    if same:
        text = "classes of which all pictures are equal once prepared"
        yield Finding("identical class", len(same), text, tuple(same[:_EXAMPLES]))


def _counts(pictures: int, one: Repeated) -> bool:
    """Return whether repeated pictures are reported.

    Equal pictures are. Nearly equal pictures are only if there are many of them: in a set of
    digits, for example, a few are normal.
    """
    return not one.nearly or one.count * NEAR_SHARE >= pictures


def _repeated(one: Repeated) -> Finding:
    equal = "nearly equal" if one.nearly else "equal"
    later, earlier = one.parts
    texts = {
        "classes": ("two labels", f"{equal} to one of another class"),
        "parts": ("leak", f"of the {later} part {equal} to one of the {earlier} part"),
        "class": ("duplicates", f"{equal} to another one of the same class"),
    }
    kind, text = texts[one.where]
    kind = f"near {kind}" if one.nearly else kind
    return Finding(kind, one.count, f"{_many(one.count)} {text}", one.examples)


def _uneven(classes: Sequence[str], counts: Mapping[str, tuple[int, ...]]) -> Iterator[Finding]:
    first, *others = counts
    main = counts[first]
    few = [f"{name} ({count})" for name, count in _pairs(classes, main) if 0 < count < FEW]
    if few:
        text = f"classes with fewer than {FEW} pictures{_in(first)}"
        yield Finding("few", len(few), text, tuple(few[:_EXAMPLES]))
    there = [pair for pair in _pairs(classes, main) if pair[1]]
    if there:
        least, most = (pick(there, key=lambda pair: pair[1]) for pick in (min, max))
        if most[1] >= UNBALANCED * least[1]:
            times = most[1] // least[1]
            text = f"{most[0]} has {times} times as many pictures as {least[0]} ({least[1]})"
            yield Finding("unbalanced", 1, text)
    for part in (first, *others):
        none = [name for name, count in _pairs(classes, counts[part]) if not count]
        if none:
            text = f"classes without pictures{_in(part)}"
            yield Finding("missing", len(none), text, tuple(none[:_EXAMPLES]))


def _in(part: str) -> str:
    return "" if part == ALL else f" in the {part} part"


def _pairs(classes: Sequence[str], counts: Sequence[int]) -> list[tuple[str, int]]:
    return list(zip(classes, counts, strict=True))


# --- words ---------------------------------------------------------------------------


def _counted(classes: Sequence[str], counts: Mapping[str, tuple[int, ...]]) -> str:
    total = np.sum(list(counts.values()), axis=0)
    there = np.flatnonzero(total)
    if not len(there):
        return "0"
    least, most = int(there[total[there].argmin()]), int(there[total[there].argmax()])
    each = "each class" if len(there) == len(total) else f"each of {len(there)} classes"
    if total[least] == total[most]:
        return f"{total.sum()}; {each} has {total[most]}"
    return (
        f"{total.sum()}; {each} has {total[least]} ({classes[least]}) "
        f"to {total[most]} ({classes[most]})"
    )


def _sizes(sizes: Mapping[tuple[int, int], int]) -> str:
    named = [f"{w}x{h} ({count})" for (w, h), count in sizes.items()]
    if len(named) == 1:
        return named[0].partition(" ")[0]
    small, large = (_size(pick(sizes, key=_area)) for pick in (min, max))
    return f"{small} to {large}; most often {_some(named, 3)}"


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _many(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _some(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _folded(text: str, width: int, indent: str = "") -> list[str]:
    # A long path is not wrapped, so that it can be copied.
    return textwrap.wrap(
        harmless(text),
        max(width, 30),
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _wrapped(label: str, text: str, width: int, label_width: int = _LABEL) -> list[str]:
    start = f"  {label}".ljust(label_width)
    return _folded(f"{start}{text}", width, " " * label_width) or [start]

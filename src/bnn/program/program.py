# SPDX-License-Identifier: BSD-3-Clause
"""The program: a frozen sequence of integer operations, which all runtimes and hardware run.

:mod:`bnn.program.operations` has the operations, :mod:`bnn.program.check` checks what is legal,
:mod:`bnn.program.semantics` defines what each operation means.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn._checked import Checked
from bnn.errors import ProgramError
from bnn.program.check import infer
from bnn.program.inputs import Input
from bnn.program.operations import ADDED, Affine, Dot, Edge, Op, Scan, each_op

#: Weights that are hashed at a time, to bound memory.
_PIECE = 1 << 20


@dataclass(frozen=True, eq=False)
class Program(Checked):
    """A checked, frozen sequence of integer operations of ten kinds.

    Attributes:
        input: how the host makes integers of what it is given.
        ops: the operations in order; each reads only edges that were made before.
        scores: name of the edge with the scores, shape (1, 1, scores).
        decision: name of the :class:`ArgMax` that decides the class. None: the class is the index
            of the largest logit, or of the largest score if there is no affine; the first one if
            several are equal.
        affine: makes logits of the scores, on the host; None if there are no logits. It cannot be
            together with ``decision``. There are as many classes as scores, unless the affine has a
            dense layer.
        edges: every edge by name, as :meth:`check` returned them. The name of an edge in the body
            of a scan begins with the scan's name and a point (``forward.state``).

    Raises:
        ProgramError: the program is not legal; the message names the operation and the reason.
    """

    input: Input
    ops: tuple[Op, ...]
    scores: str
    decision: str | None = None
    affine: Affine | None = None
    edges: Mapping[str, Edge] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", tuple(self.ops))
        object.__setattr__(self, "edges", MappingProxyType(self.check()))

    def check(self) -> dict[str, Edge]:
        """Return every edge by name, after proving that no accumulator overflows.

        Raises:
            ProgramError: the program is not legal; the message names the operation.
        """
        return infer(self)

    @property
    def classes(self) -> int:
        """Number of classes: the number of logits if there is an affine, else of scores."""
        return self.score_count if self.affine is None else self.affine.classes

    @property
    def score_count(self) -> int:
        """Number of scores per image."""
        return self.edges[self.scores].shape[2]

    @property
    def is_sequence(self) -> bool:
        """Whether the program has a scan: then a batch is one sequence, and must not be divided."""
        return any(isinstance(op, Scan) for op in self.ops)

    def op(self, name: str) -> Op:
        """Return the operation called ``name``; :class:`ProgramError` if there is none."""
        for op in self.ops:
            if op.name == name:
                return op
        raise ProgramError(f"no operation is called {name!r}")

    def __eq__(self, other: object) -> bool:
        """Whether both programs have the same input, operations and affine: equal digests."""
        return self.digest() == other.digest() if isinstance(other, Program) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        kinds = Counter(type(op).__name__ for op in self.ops)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        shape = "x".join(map(str, self.input.shape))
        return f"Program(input {shape} {self.input.precision}, {counts}, {self.score_count} scores)"

    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of everything that decides the results."""
        hasher = hashlib.sha256()
        for part in (self.input, *each_op(self.ops), self.affine):
            _hash_fields(hasher, part)
        if self.affine is not None and self.affine.dense is not None:
            _hash_fields(hasher, self.affine.dense)
        hasher.update(repr((self.scores, self.decision)).encode())
        return hasher.hexdigest()


def _hash_fields(hasher: Any, part: Any) -> None:
    hasher.update(type(part).__name__.encode())
    for item in fields(part) if part is not None else ():
        value = getattr(part, item.name)
        if item.name in ("dense", "body"):
            # Has a digest of its own; of a body only where it ends is said here.
            hasher.update(f"{len(value)} operations".encode() if item.name == "body" else b"")
            continue
        if item.name in ADDED and value == item.default:
            continue  # as if it did not exist
        if isinstance(part, Dot) and item.name == "weights":
            _hash_weights(hasher, value)
        elif isinstance(value, np.ndarray):
            hasher.update(f"{item.name}:{value.dtype.str}{value.shape}".encode())
            hasher.update(np.ascontiguousarray(value).tobytes())
        else:
            hasher.update(f"{item.name}={value!r};".encode())


def _hash_weights(hasher: Any, weights: NDArray[Any]) -> None:
    """Hash weights as int16, some rows at a time; their type (int8 or int16) does not matter."""
    wide = np.dtype(np.int16)
    hasher.update(f"weights:{wide.str}{weights.shape}".encode())
    step = max(1, _PIECE // max(1, weights.shape[1]))
    for first in range(0, len(weights), step):
        hasher.update(weights[first : first + step].astype(wide).tobytes())

# SPDX-License-Identifier: BSD-3-Clause
"""A network as a frozen program of integer operations: what all runtimes and hardware run.

:mod:`bnn.program.operations` has the operations, :mod:`bnn.program.check` says what is legal,
:mod:`bnn.program.semantics` what each operation means.
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
    """A checked network of ten kinds of integer operations; frozen.

    Attributes:
        input: what the host feeds.
        ops: operations in order; each reads only edges made before it.
        scores: name of the edge that holds the scores, shape (1, 1, scores).
        decision: name of an :class:`ArgMax` that decides the class, or None: then the
            class is the first maximum of the logits (of the scores without an affine).
        affine: makes logits of scores on the host, or None; not together with ``decision``.
            There are as many classes as scores, unless it ends in a dense layer of real weights.
        edges: every edge by name, inferred by :meth:`check`. An edge in the body of a scan has
            the scan's name and a point before its own (``forward.state``).

    Raises:
        ProgramError: the network is not legal; names the operation and the reason.
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
        """Infer every edge and prove every accumulator; :class:`ProgramError` names the op."""
        return infer(self)

    @property
    def classes(self) -> int:
        """Number of classes: of logits where there is an affine, else of scores."""
        return self.score_count if self.affine is None else self.affine.classes

    @property
    def score_count(self) -> int:
        """Number of scores of one input."""
        return self.edges[self.scores].shape[2]

    @property
    def is_sequence(self) -> bool:
        """Whether it has a scan: then a batch is one sequence, and must never be divided."""
        return any(isinstance(op, Scan) for op in self.ops)

    def op(self, name: str) -> Op:
        """Return the operation called ``name``; :class:`ProgramError` if there is none."""
        for op in self.ops:
            if op.name == name:
                return op
        raise ProgramError(f"no operation is called {name!r}")

    def __eq__(self, other: object) -> bool:
        """Whether both compute the same in the same way: equal digests."""
        return self.digest() == other.digest() if isinstance(other, Program) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        kinds = Counter(type(op).__name__ for op in self.ops)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        shape = "x".join(map(str, self.input.shape))
        return f"Program(input {shape} {self.input.precision}, {counts}, {self.score_count} scores)"

    def digest(self) -> str:
        """Return SHA-256 over everything that decides the results; the key for caches."""
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
    """Hash weights as int16, whatever type keeps them, some rows at a time."""
    wide = np.dtype(np.int16)
    hasher.update(f"weights:{wide.str}{weights.shape}".encode())
    step = max(1, _PIECE // max(1, weights.shape[1]))
    for first in range(0, len(weights), step):
        hasher.update(weights[first : first + step].astype(wide).tobytes())

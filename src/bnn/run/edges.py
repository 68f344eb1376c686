# SPDX-License-Identifier: BSD-3-Clause
"""Compute all edges of a program for a few images, and compare a runtime's edges with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bnn.errors import DisagreementError, InputError
from bnn.program.program import Program
from bnn.program.semantics import evaluate
from bnn.run import Runtime

#: Most values of all edges of all images, four bytes each.
MAX_VALUES = 1 << 29

Edges = dict[str, NDArray[np.int32]]


@runtime_checkable
class Showing(Protocol):
    """A runtime that can show the edges that it computed."""

    def edges(self, inputs: NDArray[Any]) -> Mapping[str, NDArray[np.int32]]:
        """Return the edges (integers between the operations) that this runtime can show.

        Returns:
            name of the edge -> int32 (N, height, width, channels). Edges that the runtime does
            not keep are missing.
        """
        ...


@dataclass(frozen=True)
class Difference:
    """The first value of a runtime that is not equal to the reference's value.

    Attributes:
        edge: name of the edge; all earlier edges that the runtime shows are equal.
        place: (image, row, column, channel) of the value.
        expected: the reference's value.
        found: the runtime's value.
        count: number of values of this edge that differ.
    """

    edge: str
    place: tuple[int, int, int, int]
    expected: int
    found: int
    count: int

    def __str__(self) -> str:
        image, row, column, channel = self.place
        return (
            f"{self.edge}: {self.count} values differ; the first one is image {image}, row {row}, "
            f"column {column}, channel {channel}: {self.found}, the reference has {self.expected}"
        )


def reference_edges(program: Program, batch: NDArray[Any]) -> Edges:
    """Return every edge by name, as :mod:`bnn.program.semantics` defines it.

    Args:
        program: the program.
        batch: the images, as ``program.input.check`` returned them.

    Raises:
        InputError: the program has a scan; or the edges of so many images would need more than
            2 GiB.
    """
    if program.is_sequence:
        raise InputError("the program reads sequences; its edges cannot be shown yet")
    each = sum(int(np.prod(edge.shape)) for edge in program.edges.values())
    if len(batch) * each > MAX_VALUES:
        most = MAX_VALUES // each
        raise InputError(
            f"{len(batch)} images are too many to keep every edge; give at most {most}"
        )
    parts = [evaluate(program, batch[i : i + 1]) for i in range(len(batch))]
    if not parts:
        return {name: np.empty((0, *edge.shape), np.int32) for name, edge in program.edges.items()}
    return {
        name: np.concatenate([part[name].astype(np.int32) for part in parts]) for name in parts[0]
    }


def first_difference(expected: Edges, found: Mapping[str, NDArray[np.int32]]) -> Difference | None:
    """Return the first value in which ``found`` differs from ``expected``; None if none does.

    Edges are compared in the order of ``expected``; edges that are not in ``found`` are skipped.

    Raises:
        DisagreementError: an edge has different shapes in ``found`` and ``expected``.
    """
    for name, wanted in expected.items():
        if name not in found:
            continue
        values = found[name]
        if values.shape != wanted.shape:
            raise DisagreementError(
                f"{name}: has shape {values.shape}, but the reference has {wanted.shape}"
            )
        places = np.argwhere(values != wanted)
        if len(places):
            image, row, column, channel = (int(axis) for axis in places[0])
            place = (image, row, column, channel)
            return Difference(name, place, int(wanted[place]), int(values[place]), len(places))
    return None


def compared(program: Program, batch: NDArray[Any], runtime: Runtime) -> Edges:
    """Compare the edges of ``runtime`` with the reference's edges, and return the reference's.

    A runtime that cannot show edges is not compared.

    Raises:
        DisagreementError: a value or a shape differs.
        InputError: see :func:`reference_edges`.
    """
    expected = reference_edges(program, batch)
    if isinstance(runtime, Showing):
        difference = first_difference(expected, runtime.edges(batch))
        if difference is not None:
            raise DisagreementError(str(difference))
    return expected

# SPDX-License-Identifier: BSD-3-Clause
"""Runtimes: ways to run a program; the results of all runtimes are equal bit for bit.

A runtime is a module of this package with a function ``prepare(program, **options)``, which returns
an object with the methods of :class:`Runtime`. To add a runtime, add a module, and a line in
:data:`RUNTIMES`.
"""

from __future__ import annotations

import importlib
import inspect
import os
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bnn.errors import InputError, RuntimeUnavailableError, UnknownNameError
from bnn.program.operations import MAX_COLUMNS
from bnn.program.program import Program

#: Name of each runtime and the module that prepares it.
RUNTIMES = {
    "board": "bnn.run.board",
    "cpu": "bnn.run.cpu",
    "reference": "bnn.run.reference",
    "sim": "bnn.run.sim",
}


@dataclass(frozen=True, eq=False)
class Outputs:
    """Results of a run.

    Attributes:
        scores: int32 (N, classes).
        decisions: int64 (N,), classes that the program's arg max decided; None if the program has
            no arg max for the decision.
        seconds: seconds of computing. For an accelerator, simulated or not, clock cycles divided by
            the clock. For other runtimes, the host's time from prepared inputs to scores.
        details: further figures of the runtime, by name, such as cycles, stalls, bytes moved.
        prepare_seconds: seconds that the host takes before and after computing, for packing,
            copying and unpacking.
    """

    scores: NDArray[np.int32]
    decisions: NDArray[np.int64] | None
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)
    prepare_seconds: float = 0.0


class Runtime(Protocol):
    """A program that is ready to run on images: its weights are packed or loaded."""

    def run(self, inputs: NDArray[Any]) -> Outputs:
        """Run a batch.

        Args:
            inputs: what the ``check`` method of the program's input returned: uint8
                bytes (N, height, width, channels) for pictures, else int16 integers
                (N, *shape).

        Raises:
            InputError: ``inputs`` have another shape or dtype, or values outside the precision, see
                :func:`bnn.program.inputs.ready`.
        """
        ...


@runtime_checkable
class Allocating(Protocol):
    """A runtime that has memory of its own for images."""

    def allocate(self, images: int) -> NDArray[Any] | None:
        """Return an array of zeros (images, *shape), of which :meth:`Runtime.run` copies nothing.

        None if the runtime copies or converts its inputs, so that an ordinary array is as good.
        """
        ...


#: Runtimes that can run programs with a scan.
SEQUENCE_RUNTIMES = ("cpu", "reference", "sim")


class SequenceRuntime:
    """A program with a scan that is ready to run, on one sequence at a time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def run(self, columns: NDArray[Any]) -> Outputs:
        """Run one sequence.

        Args:
            columns: what the ``check`` method of the program's input returned, (columns, *shape),
                with 0 to :data:`~bnn.program.operations.MAX_COLUMNS` columns.

        Returns:
            Outputs whose N is the number of columns.

        Raises:
            InputError: ``columns`` are too many, or have another shape or dtype.
        """
        if len(columns) > MAX_COLUMNS:
            raise InputError(
                f"the sequence has {len(columns)} columns; at most {MAX_COLUMNS} are possible"
            )
        return self._runtime.run(columns)


def prepare_sequence(name: str, program: Program, **options: Any) -> SequenceRuntime:
    """Return the runtime called ``name`` with a program for sequences loaded into it.

    The arguments are those of :func:`prepare`.

    Raises:
        UnknownNameError: there is no such runtime, or it has no such option.
        RuntimeUnavailableError: the runtime cannot run sequences, or cannot be used here.
    """
    if name in RUNTIMES and name not in SEQUENCE_RUNTIMES:
        raise RuntimeUnavailableError(
            f"the {name} runtime cannot run sequences yet; there are: "
            f"{', '.join(SEQUENCE_RUNTIMES)}"
        )
    return SequenceRuntime(_prepare(name, program, **options))


def prepare(name: str, program: Program, **options: Any) -> Runtime:
    """Return the runtime called ``name`` with ``program`` loaded into it.

    A program with a scan is refused: its batch is one sequence, which callers of this function
    could divide into parts. Use :func:`prepare_sequence`.

    Args:
        name: a key of :data:`RUNTIMES`.
        program: the program to run.
        options: options of this runtime's function ``prepare``.

    Raises:
        UnknownNameError: there is no such runtime, or it has no such option.
        RuntimeUnavailableError: this machine lacks what the runtime needs, or the program has a
            scan.
    """
    if program.is_sequence:
        raise RuntimeUnavailableError(
            "the model reads sequences of columns, not single images; use bnn ocr or bnn.LineReader"
        )
    return _prepare(name, program, **options)


def _prepare(name: str, program: Program, **options: Any) -> Runtime:
    if not isinstance(name, str) or name not in RUNTIMES:
        known = ", ".join(RUNTIMES)
        raise UnknownNameError(f"no runtime is called {name!r}; there are: {known}")
    module = importlib.import_module(RUNTIMES[name])
    known_options = list(inspect.signature(module.prepare).parameters)[1:]
    for option in sorted(options.keys() - set(known_options)):
        there = f"it has {', '.join(known_options)}" if known_options else "it has no options"
        if option == "watched":
            there += "; only sim can show its own edges"
        raise UnknownNameError(f"the {name} runtime has no option {option!r}; {there}")
    return cast(Runtime, module.prepare(program, **options))


def hardware() -> str:
    """Return the name of the accelerator runtime to use: ``board`` or ``sim``.

    It is ``board`` if the environment variable BNN_ACCELERATOR is set.
    """
    return "board" if os.environ.get("BNN_ACCELERATOR") else "sim"


def check_hardware() -> None:
    """Raise RuntimeUnavailableError if the sim runtime is to be used, but its tools are missing.

    If :func:`hardware` is ``board``, nothing is checked.
    """
    if hardware() == "sim":
        from bnn.hw.toolchain import verilator

        verilator.verilator_root()
        verilator.compiler()

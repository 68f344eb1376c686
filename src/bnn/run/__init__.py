# SPDX-License-Identifier: BSD-3-Clause
"""Runtimes: ways to run a program, all equal bit for bit.

A runtime is a module of this package with a function ``prepare(program, **options)``, which
returns an object with the method of :class:`Runtime`. To add a runtime, add a module and its
line in :data:`RUNTIMES`.
"""

from __future__ import annotations

import importlib
import inspect
import os
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from bnn.errors import UnknownNameError
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
        decisions: int64 (N,), results of the program's own arg max; None if it has none.
        seconds: seconds of computing. For an accelerator, simulated or not: its cycles divided by
            its clock. For other runtimes: the host's time from prepared inputs to scores.
        details: further figures of the runtime, by name, such as cycles, stalls, bytes moved.
        prepare_seconds: the host's seconds before and after: packing, copying, unpacking.
    """

    scores: NDArray[np.int32]
    decisions: NDArray[np.int64] | None
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)
    prepare_seconds: float = 0.0


class Runtime(Protocol):
    """A program that is ready to run: its weights are packed or loaded."""

    def run(self, inputs: NDArray[Any]) -> Outputs:
        """Run a batch.

        Args:
            inputs: what the ``check`` method of the program's input returned: uint8
                bytes (N, height, width, channels) for pictures, else int16 integers
                (N, *shape).

        Raises:
            InputError: ``inputs`` have another shape or dtype, see
                :func:`bnn.program.inputs.ready`.
        """
        ...


def prepare(name: str, program: Program, **options: Any) -> Runtime:
    """Return the runtime called ``name`` with ``program`` loaded into it.

    Args:
        name: a key of :data:`RUNTIMES`.
        program: the program to run.
        options: options of this runtime's function ``prepare``.

    Raises:
        UnknownNameError: there is no such runtime, or it has no such option.
        RuntimeUnavailableError: this machine lacks what the runtime needs.
    """
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
    """Return the accelerator runtime's name: ``board`` if BNN_ACCELERATOR is set, else ``sim``."""
    return "board" if os.environ.get("BNN_ACCELERATOR") else "sim"


def check_hardware() -> None:
    """Raise :class:`~bnn.errors.RuntimeUnavailableError` if :func:`hardware` cannot run here."""
    if hardware() == "sim":
        from bnn.hw.toolchain import verilator

        verilator.verilator_root()
        verilator.compiler()

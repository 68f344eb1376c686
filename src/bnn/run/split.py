# SPDX-License-Identifier: BSD-3-Clause
"""A program in parts: named layers run on the host, the parts between them on the accelerator.

The parts are programs of their own (:mod:`bnn.program.cut`), so every part on the accelerator is a
design of its own. They run one after the other, each on the whole batch (of a large batch: on some
images at a time). A layer on the host is run by the cpu runtime, or is a function of Python.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import BuildError, InputError
from bnn.program.inputs import ready
from bnn.program.program import Program
from bnn.run import Allocating, Outputs, Runtime, prepare
from bnn.run.crossings import Books
from bnn.run.host_function import FunctionRuntime
from bnn.run.stages import HostLayers, Stage, stages

#: Runtimes whose parts are on an accelerator.
ACCELERATORS = ("board", "sim")
#: Options of these runtimes that are for one circuit, not for several.
_OF_ONE_CIRCUIT = ("trace", "watched")
#: Values of the largest edge between parts that are run at a time, to bound memory.
CHUNK_VALUES = 1 << 24


def prepare_split(
    runtime: str, program: Program, host_layers: HostLayers, **options: Any
) -> SplitRuntime:
    """Return ``program`` in parts, made ready to run.

    Args:
        runtime: runs the parts that are not on the host.
        program: the whole program.
        host_layers: what :func:`as_host_layers` returned.
        options: of ``runtime``. ``folding`` is that of the whole program. ``build`` is a list of
            folders, one per part on the accelerator.

    Raises:
        BuildError: a part cannot become hardware; the message names its layers.
        InputError: an option is for a single circuit.
        UnknownNameError, ProgramError, RuntimeUnavailableError: see :func:`stages` and
            :func:`bnn.run.prepare`.
    """
    if program.is_sequence:
        prepare(runtime, program)  # refuses it, with the reason
    for name in _OF_ONE_CIRCUIT:
        if options.get(name):
            raise InputError(f"{name} is for one circuit; it is not possible with host_layers")
    made = stages(program, host_layers)
    given = _options(runtime, program, made, options)
    on_host = "reference" if runtime == "reference" else "cpu"
    prepared: list[Runtime] = []
    for stage in made:
        if stage.function is not None:
            prepared.append(FunctionRuntime(stage, stage.function))
        elif stage.where == "host":
            prepared.append(prepare(on_host, stage.program))
        else:
            prepared.append(_accelerated(runtime, stage, given.pop(0)))
    return SplitRuntime(program, made, prepared, accelerated=runtime in ACCELERATORS)


def _options(
    runtime: str, program: Program, made: Sequence[Stage], options: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the options of each part that is not on the host."""
    parts = [stage for stage in made if stage.where == "accelerator"]
    found = [dict(options) for _ in parts]
    if runtime == "sim":
        from bnn.hw import folding as folds

        whole = folds.choose(program, options.get("folding"))
        for each, stage in zip(found, parts, strict=True):
            each["folding"] = folds.restricted(whole, stage.program)
    if runtime == "board":
        builds = options.get("build")
        if len(parts) > 1 or isinstance(builds, list | tuple):
            folders = list(builds) if isinstance(builds, list | tuple) else []
            if len(folders) != len(parts):
                told = " and ".join(str(stage) for stage in parts)
                raise InputError(
                    f"build must be a list of {len(parts)} folders, one for each part on the "
                    f"accelerator ({told}); bnn split --parts writes a model of each"
                )
            for each, folder in zip(found, folders, strict=True):
                each["build"] = folder
    return found


def _accelerated(runtime: str, stage: Stage, options: dict[str, Any]) -> Runtime:
    try:
        return prepare(runtime, stage.program, **options)
    except BuildError as reason:
        raise BuildError(f"the part {stage}: {reason}") from reason


class SplitRuntime:
    """A program in parts.

    Attributes:
        program: the whole program.
        stages: its parts, in order.
        runtimes: what runs each part.
    """

    def __init__(
        self,
        program: Program,
        made: Sequence[Stage],
        runtimes: Sequence[Runtime],
        *,
        accelerated: bool,
    ) -> None:
        self.program = program
        self.stages = tuple(made)
        self.runtimes = tuple(runtimes)
        self._accelerated = accelerated
        largest = max(int(np.prod(stage.result.shape)) for stage in made)
        self.images_at_once = max(1, CHUNK_VALUES // largest)

    def allocate(self, images: int) -> NDArray[Any] | None:
        """Return an array that the first part reads without a copy; None if it has none."""
        first = self.runtimes[0]
        return first.allocate(images) if isinstance(first, Allocating) else None

    def run(self, inputs: NDArray[Any]) -> Outputs:
        """Run a batch, see :meth:`bnn.run.Runtime.run`.

        ``seconds`` of the result is the sum of the parts' seconds: the accelerator's cycles divided
        by its clock, and the host's time. ``details`` has the keys of the accelerator
        (:meth:`bnn.run.accelerator.AcceleratorRuntime.run`), in which each start and each copy has
        the number of its part from 1, and

        - ``parts``: list, one for each part: ``where``, ``layers``, ``seconds``,
          ``prepare_seconds`` and ``cycles``
        - ``crossings``: list of the copies between host and accelerator, at most
          :data:`~bnn.run.crossings.KEPT` (:class:`~bnn.run.crossings.Crossing`)
        """
        inputs = ready(self.program.input, inputs)
        books = Books(self.stages, accelerated=self._accelerated)
        found = [
            self._chunk(inputs[first : first + self.images_at_once], books)
            for first in range(0, max(1, len(inputs)), self.images_at_once)
        ]
        scores = np.concatenate([each.scores for each in found])
        decisions = [each.decisions for each in found if each.decisions is not None]
        return Outputs(
            scores,
            np.concatenate(decisions) if decisions else None,
            books.seconds,
            books.details(),
            books.prepare_seconds,
        )

    def _chunk(self, inputs: NDArray[Any], books: Books) -> Outputs:
        outputs = self.runtimes[0].run(inputs)
        books.add(0, outputs, len(inputs), 0.0)
        for number, stage in enumerate(self.stages[1:], 1):
            began = time.perf_counter()
            given = stage.program.input
            values = ready(given, outputs.scores.reshape(-1, *given.shape))
            checking = time.perf_counter() - began
            outputs = self.runtimes[number].run(values)
            books.add(number, outputs, len(inputs), checking)
        return outputs

# SPDX-License-Identifier: BSD-3-Clause
"""The parts of a program, and where each runs: on the host or on the accelerator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnn.errors import InputError, UnknownNameError
from bnn.program.cut import Layer, by_operation, cut_edge, layers, part, passed_on
from bnn.program.operations import INPUT, ArgMax, Edge
from bnn.program.program import Program

#: A layer in Python: takes integers int32 (N, height, width, channels), or (N, channels) of a
#: vector, and returns those of its layer's result.
HostFunction = Callable[[NDArray[np.int32]], Any]


@dataclass(frozen=True)
class AddedLayer:
    """A function of Python that runs after a layer, on its result: a layer that the model lacks.

    What it returns has the shape and the range of the result, because the next layer reads it. A
    large batch is passed to it in pieces, so an image's result must not depend on other images.

    Attributes:
        function: takes integers int32 (N, height, width, channels), or (N, channels) of a vector,
            and returns an array of integers of the same shape.
    """

    function: HostFunction


#: Layers on the host by name: None: the cpu runtime computes it; a function: that computes
#: instead of it; an :class:`AddedLayer`: it runs where it would without, and then this.
HostLayers = Mapping[str, HostFunction | AddedLayer | None]

Where = Literal["accelerator", "host", "function"]


@dataclass(frozen=True)
class Stage:
    """A part of a program, and where it runs.

    Attributes:
        where: ``accelerator``, ``host``, or ``function``: a function of Python on the host.
        layers: names of its layers, in order; of an added function the layer before it.
        start, end: names of the edges in the whole program that it reads and makes.
        program: the part; for a function what it computes instead of, or of an added one nothing.
        result: the edge ``end``: shape and bounds of what a function may return.
        is_last: whether it ends as the whole program does.
        function: the function, or None.
    """

    where: Where
    layers: tuple[str, ...]
    start: str
    end: str
    program: Program
    result: Edge
    is_last: bool
    function: HostFunction | None = None

    @property
    def is_host(self) -> bool:
        """Whether the host computes it."""
        return self.where != "accelerator"

    def __str__(self) -> str:
        """Return the layers, for messages: ``layer0 to layer4``."""
        first, last = self.layers[0], self.layers[-1]
        return first if first == last else f"{first} to {last}"


def as_host_layers(given: Any) -> HostLayers:
    """Return ``given`` as a mapping.

    Args:
        given: names of layers; or name -> None, a function, or an :class:`AddedLayer`.

    Raises:
        InputError: it is something else, or names nothing.
    """
    if isinstance(given, str):
        raise InputError(f"host_layers is a list of names: [{given!r}], not {given!r}")
    try:
        found = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given)
    except TypeError:
        raise InputError(
            f"host_layers is a list of names, or name -> function, not {given!r:.60}"
        ) from None
    if not found:
        raise InputError("host_layers names no layer; remove it to run all on one runtime")
    for name, function in found.items():
        if not isinstance(name, str):
            raise InputError(f"host_layers: a layer's name is a text, not {name!r:.60}")
        called = function.function if isinstance(function, AddedLayer) else function
        if called is not None and not callable(called):
            raise InputError(
                f"host_layers: {name!r} is mapped to None (the cpu runtime computes the layer), a "
                f"function or an AddedLayer with one, not {function!r:.60}"
            )
    return found


def stages(program: Program, host: HostLayers) -> list[Stage]:
    """Return the parts of ``program`` in order.

    Args:
        program: what is cut.
        host: layers of the host: names as :func:`bnn.program.cut.layers` has them, or the name of
            any operation of a layer.

    Raises:
        UnknownNameError: there is no such layer.
        ProgramError: a cut goes through a residual branch, or the values there cannot be an input.
        InputError: all layers are named, or one twice.
    """
    found = layers(program)
    units = _units(found, _given(found, host))
    if all(unit.where != "accelerator" for unit in units):
        raise InputError("host_layers names every layer; use runtime='cpu' instead")
    made: list[Stage] = []
    start, count = INPUT, 0
    for unit in units:
        count += sum(len(layer.ops) for layer in unit.layers)
        last = count == len(program.ops)
        end = _end(program) if last else cut_edge(program, count)
        names = tuple(layer.name for layer in unit.layers)
        if unit.added:
            if last:
                raise InputError(
                    f"host_layers: nothing reads the result of {unit.added!r} but you: compute on "
                    "the scores that the classifier returns"
                )
            names, run = (unit.added,), passed_on(program, end)
        else:
            run = part(program, start, None if last else end)
        made.append(
            Stage(unit.where, names, start, end, run, program.edges[end], last, unit.function)
        )
        start = end
    return made


@dataclass(frozen=True)
class _Unit:
    """Layers that become one part; ``added``: the layer after which a function runs, or ""."""

    where: Where
    layers: tuple[Layer, ...]
    function: HostFunction | None = None
    added: str = ""


def _units(
    found: Sequence[Layer], given: Mapping[str, HostFunction | AddedLayer | None]
) -> list[_Unit]:
    """Return the layers in groups that run at one place, and the added functions between them."""
    units: list[_Unit] = []
    for layer in found:
        own = given.get(layer.name)
        if own is not None and not isinstance(own, AddedLayer):
            units.append(_Unit("function", (layer,), own))
            continue
        on_host = layer.name in given and own is None
        where: Where = "host" if on_host else "accelerator"
        if units and units[-1].where == where:
            units[-1] = _Unit(where, (*units[-1].layers, layer))
        else:
            units.append(_Unit(where, (layer,)))
        if isinstance(own, AddedLayer):
            units.append(_Unit("function", (), own.function, layer.name))
    return units


def _given(found: Sequence[Layer], host: HostLayers) -> dict[str, HostFunction | AddedLayer | None]:
    """Return name of each layer that is named -> what runs on the host for it."""
    by_op = by_operation(found)
    given: dict[str, HostFunction | AddedLayer | None] = {}
    for name, function in host.items():
        if name not in by_op:
            known = ", ".join(layer.name for layer in found)
            raise UnknownNameError(f"host_layers: no layer is called {name!r}; there are: {known}")
        layer = by_op[name].name
        if layer in given:
            raise InputError(
                f"host_layers: the layer {layer!r} is named twice, the second time as {name!r}"
            )
        given[layer] = function
    return given


def _end(program: Program) -> str:
    """Return the edge that a last layer makes before the arg max that decides, if any."""
    name = program.scores
    while isinstance(op := program.op(name), ArgMax):
        name = op.source
    return name

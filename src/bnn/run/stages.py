# SPDX-License-Identifier: BSD-3-Clause
"""The parts of a program, and where each runs: on the host or on the accelerator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnn.errors import InputError, UnknownNameError
from bnn.program.cut import Layer, cut_edge, layers, part
from bnn.program.operations import INPUT, ArgMax, Edge
from bnn.program.program import Program

#: A layer in Python: takes integers int32 (N, height, width, channels), or (N, channels) of a
#: vector, and returns those of its layer's result.
HostFunction = Callable[[NDArray[np.int32]], Any]
#: Layers on the host by name; with a function, it computes instead of the layer.
HostLayers = Mapping[str, HostFunction | None]

Where = Literal["accelerator", "host", "function"]


@dataclass(frozen=True)
class Stage:
    """A part of a program, and where it runs.

    Attributes:
        where: ``accelerator``, ``host``, or ``function``: a function of Python on the host.
        layers: names of its layers, in order.
        start, end: names of the edges in the whole program that it reads and makes.
        program: the part; for a function what it computes instead of.
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
        given: names of layers; or name -> None or a function.

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
        if function is not None and not callable(function):
            raise InputError(
                f"host_layers: {name!r} is mapped to None (the cpu runtime computes the layer) or "
                f"to a function, not {function!r:.60}"
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
    functions = _functions(found, host)
    places = [_place(layer, functions) for layer in found]
    if "accelerator" not in places:
        raise InputError("host_layers names every layer; use runtime='cpu' instead")
    groups: list[list[int]] = []
    for number, place in enumerate(places):
        if number and place == places[number - 1] != "function":
            groups[-1].append(number)
        else:
            groups.append([number])
    made: list[Stage] = []
    start, count = INPUT, 0
    for group in groups:
        inside = [found[number] for number in group]
        count += sum(len(layer.ops) for layer in inside)
        last = count == len(program.ops)
        end = _end(program) if last else cut_edge(program, count)
        made.append(
            Stage(
                places[group[0]],
                tuple(layer.name for layer in inside),
                start,
                end,
                part(program, start, None if last else end),
                program.edges[end],
                last,
                functions.get(inside[0].name),
            )
        )
        start = end
    return made


def _functions(found: Sequence[Layer], host: HostLayers) -> dict[str, HostFunction | None]:
    """Return name of each layer of the host -> its function or None."""
    by_op = {op: layer.name for layer in found for op in layer.ops}
    functions: dict[str, HostFunction | None] = {}
    for name, function in host.items():
        if name not in by_op:
            known = ", ".join(layer.name for layer in found)
            raise UnknownNameError(f"host_layers: no layer is called {name!r}; there are: {known}")
        layer = by_op[name]
        if layer in functions:
            raise InputError(f"host_layers: {name!r} is of the layer {layer!r}, which is named too")
        functions[layer] = function
    return functions


def _place(layer: Layer, functions: Mapping[str, HostFunction | None]) -> Where:
    if layer.name not in functions:
        return "accelerator"
    return "host" if functions[layer.name] is None else "function"


def _end(program: Program) -> str:
    """Return the edge that a last layer makes before the arg max that decides, if any."""
    name = program.scores
    while isinstance(op := program.op(name), ArgMax):
        name = op.source
    return name

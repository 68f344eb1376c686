# SPDX-License-Identifier: BSD-3-Clause
"""Read files that have the arrays of layers, but not their order; a topology gives the order.

The links of Chainer and the modules of a PyTorch state dictionary are made a network in the same
way here. What differs between the two frameworks is in a :class:`Framework`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.grids import Grid, grid, real_input
from bnn.formats.report import Converted, Report
from bnn.formats.stack import Stack, add_conv, average_pool, zeros_fit
from bnn.network.layers import check_deviation
from bnn.network.network import BatchNorm, Conv2d, Flatten, Lattice, Linear, MaxPool, Network, Sign
from bnn.network.quantizers import activation, quantize_weights, unit_scale
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology
from bnn.program.inputs import Input, Shape
from bnn.program.operations import Borders
from bnn.program.precision import INT

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Link:
    """A layer with parameters: a link of Chainer or a module of PyTorch.

    Attributes:
        name: path of the link in the file.
        arrays: parameters of the link, by Chainer's names (``W``, ``b``, ``gamma``).
        spelled: Chainer's name -> name in the file, for messages.
    """

    name: str
    arrays: Arrays
    spelled: Mapping[str, str] = field(default_factory=dict)

    def array(self, key: str) -> NDArray[Any]:
        """Return the array of the parameter ``key``."""
        if key not in self.arrays:
            raise FormatError(f"array {self.key(key)} is missing")
        return self.arrays[key]

    def key(self, key: str) -> str:
        """Return the name that the parameter ``key`` has in the file."""
        return self.spelled.get(key, f"{self.name}/{key}")


@dataclass(frozen=True)
class Links:
    """The links of a file: convolutions, dense layers and batch norms, each in order."""

    convs: tuple[Link, ...]
    denses: tuple[Link, ...]
    norms: tuple[Link, ...]

    @property
    def is_guinness(self) -> bool:
        """Whether all links are named as GUINNESS names them (``conv0``, ``fc0``, ``b0``)."""
        return (
            bool(self.convs)
            and all(
                re.fullmatch(r"(.*/)?(conv|fc)[0-9]+", link.name)
                for link in self.convs + self.denses
            )
            and all(re.fullmatch(r"(.*/)?b[0-9]+", link.name) for link in self.norms)
        )


@dataclass(frozen=True)
class Framework:
    """The properties in which the frameworks differ.

    Attributes:
        name: name of the framework, for messages.
        unit: the framework's word for a layer, ``link`` or ``module``.
        epsilon: the framework's default for batch norms, used if the topology has no epsilon.
        partial_pools: kinds of pools, tried in this order until the dense layers fit: True if a
            pool has a last, partial window, else False.
        norm: makes a batch norm in the framework's order of operations from its name, gamma,
            beta, mean, variance and epsilon.
    """

    name: str
    unit: str
    epsilon: float
    partial_pools: tuple[bool, ...]
    norm: Callable[..., BatchNorm]


class Assembly:
    """Builds a network from a topology and links."""

    def __init__(
        self, framework: Framework, links: Links, report: Report, chosen: Grid | None
    ) -> None:
        self.framework = framework
        self.links = links
        self.is_guinness = framework.unit == "link" and links.is_guinness
        self.report = report
        self.chosen = chosen
        self.lattice = Lattice()
        self.stack = Stack()

    def converted(self, topology: Topology) -> Converted:
        """Return the network of ``topology`` with the arrays of the links.

        Raises:
            FormatError: an array is missing, unused or has a wrong shape; the message names it.
        """
        given, self.lattice = self._input(topology)
        last = MismatchError("")
        for cover_all in self.framework.partial_pools:
            self.stack, self.report.layers = Stack(), []
            try:
                self._layers(topology, cover_all)
            except MismatchError as error:
                last = error
                continue
            given = zeros_fit(given, self.stack.layers)
            return Converted(Network(given, tuple(self.stack.layers), self.lattice), self.report)
        raise last

    def _input(self, topology: Topology) -> tuple[Input, Lattice]:
        shape = topology.input
        chosen = self.chosen
        if chosen is None and self.is_guinness:
            chosen = grid("bytes")
        if chosen is None and topology.name != "chainer":
            return encoded_reals(shape, topology.encoding)
        if chosen is None:
            chosen = grid("symmetric")
        if self.chosen is None:
            self.report.lost.append(
                f"the file does not specify its inputs; taken as {chosen.name}: {chosen.meaning}"
            )
        self.report.assumed = chosen.name
        return chosen.input(shape), chosen.lattice()

    def _layers(self, topology: Topology, cover_all: bool) -> None:
        convs, denses = list(self.links.convs), list(self.links.denses)
        norms = list(self.links.norms)
        top = topology.input if len(topology.input) == 3 else (1, 1, *topology.input)
        shape: tuple[int, int, int] = (top[0], top[1], top[2])
        for layer in topology.layers:
            match layer:
                case Conv():
                    kernels = (layer.channels, shape[2], *layer.kernel)
                    shape = self._conv(
                        layer, _next(convs, "convolution", kernels, layer.name), shape
                    )
                case Dense():
                    matrix = (layer.units, shape[0] * shape[1] * shape[2])
                    shape = self._dense(layer, _next(denses, "linear", matrix, layer.name), shape)
                case Norm():
                    self._norm(
                        layer,
                        _next(norms, "batch norm", (1 if layer.scalar else shape[2],), layer.name),
                        shape,
                    )
                case Pool():
                    shape = self._pool(layer, shape, cover_all)
                case Act():
                    name = self.stack.name("act")
                    self.stack.add(activation(name, layer.precision))
                    self.report.used(name, f"activation, {layer.precision}")
        for what, rest in (("convolution", convs), ("linear", denses), ("batch norm", norms)):
            for link in rest:
                raise FormatError(
                    f"{self.framework.unit} {link.name} is a {what} that the topology does not have"
                )

    def _conv(self, layer: Conv, link: Link, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        weights = link.array("W")
        wanted = (layer.channels, shape[2], *layer.kernel)
        if weights.shape != wanted:
            raise FormatError(f"array {link.key('W')} has shape {weights.shape}, not {wanted}")
        integers = quantize_weights(weights.transpose(0, 2, 3, 1), layer.weights)
        name = self.stack.name(link.name)
        made = Conv2d(
            name,
            integers,
            layer.weights,
            unit_scale(layer.weights),
            self._bias(link, layer.channels),
            layer.stride,
            layer.padding,
        )
        if len(self.stack.layers) == 0:
            made = replace(made, source="input")
        add_conv(self.stack, made, self.lattice)
        self.report.used(name, f"convolution, {layer.weights} weights", link.arrays)
        return (*_slid(shape, layer.kernel, layer.stride, layer.padding), layer.channels)

    def _dense(self, layer: Dense, link: Link, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        weights = link.array("W")
        height, width, channels = shape
        is_average = self.is_guinness and weights.shape == (layer.units, channels)
        if (height, width) != (1, 1) and is_average:
            self._average(shape)
        elif weights.shape != (layer.units, height * width * channels):
            raise MismatchError(
                f"array {link.key('W')} has shape {weights.shape}, "
                f"not {(layer.units, height * width * channels)}"
            )
        elif (height, width) != (1, 1):
            self.stack.add(Flatten(self.stack.name("flatten")))
            # Chainer flattens channel, row, column.
            maps = weights.reshape(-1, channels, height, width)
            weights = maps.transpose(0, 2, 3, 1).reshape(len(weights), -1)
        integers = quantize_weights(weights, layer.weights)
        name = self.stack.name(link.name)
        bias = self._bias(link, layer.units)
        self.stack.add(Linear(name, integers, layer.weights, unit_scale(layer.weights), bias))
        self.report.used(name, f"dense, {layer.weights} weights", link.arrays)
        return (1, 1, layer.units)

    def _average(self, shape: tuple[int, int, int]) -> None:
        name = self.stack.name("average")
        source = self.stack.layers[-1].name
        self.stack.add(average_pool(name, shape[2], shape[:2], (1, 1), source))
        self.report.used(name, f"average over the map of {shape[0]}x{shape[1]}")
        act = self.stack.add(Sign(self.stack.name("average_sign")))
        self.report.used(act, "sign")

    def _bias(self, link: Link, units: int) -> NDArray[np.float32] | None:
        bias = link.arrays.get("b")
        if bias is not None and bias.shape != (units,):
            raise FormatError(f"array {link.key('b')} has shape {bias.shape}, not ({units},)")
        return None if bias is None else bias.astype(np.float32)

    def _norm(self, layer: Norm, link: Link, shape: tuple[int, int, int]) -> None:
        channels = 1 if layer.scalar else shape[2]
        one = np.ones(channels, np.float32)
        values = {
            "gamma": link.arrays.get("gamma", one),
            "beta": link.arrays.get("beta", one * 0),
            "avg_mean": link.array("avg_mean"),
            "avg_var": link.array("avg_var"),
        }
        for key, value in values.items():
            if value.shape != (channels,):
                raise MismatchError(
                    f"array {link.key(key)} has shape {value.shape}, not ({channels},)"
                )
        epsilon = layer.epsilon
        if not layer.is_stated and epsilon == Norm().epsilon:
            epsilon = self.framework.epsilon
            self.report.lost.append(
                f"{link.name}: the file does not give epsilon; taken as {epsilon:g}, "
                f"as in {self.framework.name}"
            )
        name = self.stack.name(link.name)
        gamma, beta, mean, variance = values.values()
        if (variance + np.float32(epsilon) <= 0).any():
            raise FormatError(
                f"{link.key('avg_var')}: {variance.min():g} is not a variance; it must not be "
                "negative"
            )
        check_deviation(link.key("avg_var"), variance + np.float32(epsilon))
        with np.errstate(all="ignore"):  # what is not finite is refused by name
            self.stack.add(self.framework.norm(name, gamma, beta, mean, variance, epsilon))
        self.report.used(name, f"batch norm, epsilon {epsilon:g}", link.arrays)

    def _pool(
        self, layer: Pool, shape: tuple[int, int, int], cover_all: bool
    ) -> tuple[int, int, int]:
        pads = [0, 0, 0, 0]
        for axis in range(2):
            over = -(shape[axis] - layer.kernel[axis]) % layer.stride[axis]
            if cover_all and over < layer.kernel[axis]:
                pads[axis + 2] = over
        padding: Borders = (pads[0], pads[1], pads[2], pads[3])
        name = self.stack.name("pool")
        self.stack.add(MaxPool(name, layer.kernel, layer.stride, padding))
        self.report.used(name, f"max pool {layer.kernel[0]}x{layer.kernel[1]}")
        return (*_slid(shape, layer.kernel, layer.stride, padding), shape[2])


class MismatchError(FormatError):
    """An array does not have the size that the topology needs; another kind of pool may fit."""


def encoded_reals(shape: Shape, encoding: str) -> tuple[Input, Lattice]:
    """Return a topology's input for a network that is given real values.

    With the encodings ``sign`` and ``fixed-point``, a byte p of a picture is the real value
    2p/255 - 1; ``sign`` keeps the sign of this value, ``fixed-point`` rounds it to 8 bits (see
    :func:`bnn.network.quantizers.encoded_input`). With ``bytes``, a byte p is the value p/255.
    """
    match encoding:
        case "sign":
            return grid("bipolar").input(shape), Lattice()
        case "fixed-point":
            return real_input(shape, INT(8), 1 / 128, 0, "up"), Lattice(1 / 128)
    return grid("unit").input(shape), grid("unit").lattice()


def _next(links: list[Link], what: str, size: tuple[int, ...], name: str) -> Link:
    """Remove a link from ``links``, and return it.

    It is the link called ``name``. If ``name`` is empty, it is the first link of shape ``size``;
    if no link has this shape, it is the first link, and the caller refuses its shape.

    Raises:
        FormatError: there are no more links, or none is called ``name``.
    """
    if not links:
        raise FormatError(f"the topology has more {what} layers than the file")
    if name:
        place = next((i for i, link in enumerate(links) if link.name == name), None)
        if place is None:
            known = ", ".join(link.name for link in links)
            raise FormatError(f"the file has no unused {what} called {name!r}; unused are {known}")
        return links.pop(place)
    place = next((i for i, link in enumerate(links) if size_of(link) == size), 0)
    return links.pop(place)


def size_of(link: Link) -> tuple[int, ...]:
    """Return the shape of a link's weights; for a batch norm, the shape of its mean."""
    array = link.arrays.get("W", link.arrays.get("avg_mean"))
    return () if array is None else array.shape


def _slid(
    shape: tuple[int, int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: Borders
) -> tuple[int, int]:
    height = shape[0] + padding[0] + padding[2] - kernel[0]
    width = shape[1] + padding[1] + padding[3] - kernel[1]
    return height // stride[0] + 1, width // stride[1] + 1

# SPDX-License-Identifier: BSD-3-Clause
"""Chainer models saved with ``save_npz``, and trainer snapshots, to a network.

Such a file contains arrays by the path of their link (``predictor/l1/W``), but not the forward
pass. A topology gives the order of the layers; without one, links with weights and batch norms
are paired by their numbers and read as dense - batch norm - sign, the layers of binarized
multi-layer perceptrons. With GUINNESS' names (``conv0``, ``b0``, ``fc0``) the input is bytes, and
a dense layer with as many inputs as channels reads the signs of an average over the whole map.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError, NetworkError
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
from bnn.system import npz

#: Chainer's default epsilon of batch norms; the file does not contain it.
EPSILON = 2e-5
#: A topology's default epsilon, which is BNN-PYNQ's, not Chainer's.
_TOPOLOGY_EPSILON = Norm().epsilon

Arrays = Mapping[str, NDArray[Any]]


def recognises(names: Any) -> bool:
    """Whether an npz file with arrays called ``names`` was written by Chainer."""
    return any(name == "W" or name.endswith("/W") for name in names)


def read(
    path: str | Path, topology: Topology | None = None, given_input: str | None = None
) -> Converted:
    """Read the network in the Chainer file ``path``.

    Args:
        path: an npz file of ``save_npz``, or a trainer snapshot.
        topology: the order of layers, their padding, pools, precisions; required for networks
            with convolutions.
        given_input: the values of the input, a name of :func:`bnn.formats.grids.grid`; by
            default the topology's, bytes for GUINNESS, else bytes scaled to [-1, 1].

    Raises:
        ParameterError: the file is damaged, or contains pickled objects.
        FormatError: an array is missing, unused, or has a wrong shape; the message names it.
        NetworkError: the layers are not a valid network.
    """
    path = Path(path)
    with np.errstate(over="ignore"):  # Chainer loads into float32; the rest is refused below
        arrays = {name: array.astype(np.float32) for name, array in npz.read(path).items()}
    report = Report("Chainer")
    try:
        links = _links(arrays, report)
        reader = _Assembly(links, report, None if given_input is None else grid(given_input))
        if topology is None:
            topology = _stack_of(links)
            report.lost.append(
                "the file does not specify the order of its links; taken by their numbers: "
                "linear, batch norm, sign"
            )
        return reader.converted(topology)
    except (FormatError, NetworkError) as error:
        raise type(error)(f"{path}: {error}") from None


# --- links ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Link:
    """A Chainer link: its path, and its parameters by name."""

    name: str
    arrays: Arrays

    def array(self, key: str) -> NDArray[Any]:
        """Return the parameter ``key``."""
        if key not in self.arrays:
            raise FormatError(f"array {self.name}/{key} is missing")
        return self.arrays[key]


@dataclass(frozen=True)
class Links:
    """Links in the order of their numbers."""

    convs: tuple[Link, ...]
    denses: tuple[Link, ...]
    norms: tuple[Link, ...]

    @property
    def is_guinness(self) -> bool:
        """Whether the links have names as in GUINNESS."""
        return (
            bool(self.convs)
            and all(
                re.fullmatch(r"(.*/)?(conv|fc)[0-9]+", link.name)
                for link in self.convs + self.denses
            )
            and all(re.fullmatch(r"(.*/)?b[0-9]+", link.name) for link in self.norms)
        )


_WEIGHT_KEYS = {"W", "b"}
_NORM_KEYS = {"gamma", "beta", "avg_mean", "avg_var", "N"}


def _links(arrays: Arrays, report: Report) -> Links:
    model = _model(arrays)
    report.ignored += [name for name in arrays if name not in model]
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for full, inner in model.items():
        place, _, key = inner.rpartition("/")
        found.setdefault(place, {})[key] = arrays[full]
    convs: list[Link] = []
    denses: list[Link] = []
    norms: list[Link] = []
    for name in sorted(found, key=_natural):
        link = Link(name, found[name])
        keys = set(link.arrays)
        if keys == {"b"}:
            raise FormatError(f"array {name}/W is missing")
        extra = keys - (_WEIGHT_KEYS if "W" in keys else _NORM_KEYS)
        if extra:
            raise FormatError(
                f"array {name}/{min(extra)} belongs to no linear, convolution or batch norm"
            )
        if "W" not in keys:
            norms.append(link)
        elif link.array("W").ndim == 4:
            convs.append(link)
        elif link.array("W").ndim == 2:
            denses.append(link)
        else:
            raise FormatError(f"array {name}/W has shape {link.array('W').shape}")
    if not convs + denses:
        raise FormatError("has no link with weights (no array called W)")
    for kind in (convs, denses, norms):
        _check_order(kind)
    for link in convs + denses + norms:
        for key, array in link.arrays.items():
            if not np.isfinite(array).all():
                raise FormatError(f"array {link.name}/{key} contains values that are not finite")
    return Links(tuple(convs), tuple(denses), tuple(norms))


def _check_order(links: list[Link]) -> None:
    """Refuse links of one kind and size whose names do not show which comes first."""
    seen: dict[Any, Link] = {}
    for link in links:
        sizes = _size(link)
        other = seen.setdefault(sizes, link)
        if re.sub(r"[0-9]+", "0", other.name) != re.sub(r"[0-9]+", "0", link.name):
            raise FormatError(
                f"links {other.name} and {link.name} have arrays of the same sizes, and their "
                "names do not show which comes first; name them alike, with numbers"
            )


def _size(link: Link) -> tuple[int, ...]:
    """Return the shape of a link's weights, or of a batch norm's mean."""
    array = link.arrays.get("W", link.arrays.get("avg_mean"))
    return () if array is None else array.shape


def _model(arrays: Arrays) -> dict[str, str]:
    """Return the arrays of the model, by their path in it."""
    main = "updater/model:main/"
    if any(name.startswith(main) for name in arrays):
        return {name: name[len(main) :] for name in arrays if name.startswith(main)}
    return {name: name for name in arrays}


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key for which l10 comes after l9."""
    return [(int(part or -1) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name)]


def _stack_of(links: Links) -> Topology:
    """Return a topology of dense - batch norm - sign for all links; the last without sign."""
    if links.convs:
        raise FormatError(
            "has convolutions, but the file does not specify their padding, pools and order; "
            "give a topology"
        )
    count = len(links.denses)
    if len(links.norms) not in (count, count - 1):
        raise FormatError(
            f"has {count} linear links and {len(links.norms)} batch norms; give a topology"
        )
    layers: list[Any] = []
    for index, link in enumerate(links.denses):
        layers.append(Dense(link.array("W").shape[0], bias="b" in link.arrays))
        if index < len(links.norms):
            layers.append(Norm())
        if index < count - 1:
            layers.append(Act())
    inputs = links.denses[0].array("W").shape[1]
    return Topology("chainer", (inputs,), tuple(layers), "bytes")


# --- assembly ------------------------------------------------------------------------


class _Assembly:
    """Builds a network from a topology and links."""

    def __init__(self, links: Links, report: Report, chosen: Grid | None) -> None:
        self.links = links
        self.report = report
        self.chosen = chosen
        self.lattice = Lattice()
        self.stack = Stack()

    def converted(self, topology: Topology) -> Converted:
        given, self.lattice = self._input(topology)
        # By default (cover_all), Chainer's pools have a last, partial window.
        last = FormatError("")
        for cover_all in (True, False):
            self.stack, self.report.layers = Stack(), []
            try:
                self._layers(topology, cover_all)
            except _MismatchError as error:
                last = FormatError(str(error))
                continue
            given = zeros_fit(given, self.stack.layers)
            return Converted(Network(given, tuple(self.stack.layers), self.lattice), self.report)
        raise last

    def _input(self, topology: Topology) -> tuple[Input, Lattice]:
        shape = topology.input
        chosen = self.chosen
        if chosen is None and self.links.is_guinness:
            chosen = grid("bytes")
        if chosen is None and topology.name != "chainer":
            return encoded_reals(shape, topology.encoding)
        if chosen is None:
            chosen = grid("symmetric")
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
                    shape = self._conv(layer, _next(convs, "convolution", kernels), shape)
                case Dense():
                    matrix = (layer.units, shape[0] * shape[1] * shape[2])
                    shape = self._dense(layer, _next(denses, "linear", matrix), shape)
                case Norm():
                    self._norm(layer, _next(norms, "batch norm", (shape[2],)), shape)
                case Pool():
                    shape = self._pool(layer, shape, cover_all)
                case Act():
                    name = self.stack.name("act")
                    self.stack.add(activation(name, layer.precision))
                    self.report.used(name, f"activation, {layer.precision}")
        for what, rest in (("convolution", convs), ("linear", denses), ("batch norm", norms)):
            for link in rest:
                raise FormatError(f"link {link.name} is a {what} that the topology does not have")

    def _conv(self, layer: Conv, link: Link, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        weights = link.array("W")
        wanted = (layer.channels, shape[2], *layer.kernel)
        if weights.shape != wanted:
            raise FormatError(f"array {link.name}/W has shape {weights.shape}, not {wanted}")
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
        is_average = self.links.is_guinness and weights.shape == (layer.units, channels)
        if (height, width) != (1, 1) and is_average:
            self._average(shape)
        elif weights.shape != (layer.units, height * width * channels):
            raise _MismatchError(
                f"array {link.name}/W has shape {weights.shape}, "
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
            raise FormatError(f"array {link.name}/b has shape {bias.shape}, not ({units},)")
        return None if bias is None else bias.astype(np.float32)

    def _norm(self, layer: Norm, link: Link, shape: tuple[int, int, int]) -> None:
        one = np.ones(shape[2], np.float32)
        values = {
            "gamma": link.arrays.get("gamma", one),
            "beta": link.arrays.get("beta", one * 0),
            "avg_mean": link.array("avg_mean"),
            "avg_var": link.array("avg_var"),
        }
        for key, value in values.items():
            if value.shape != (shape[2],):
                raise FormatError(
                    f"array {link.name}/{key} has shape {value.shape}, not ({shape[2]},)"
                )
        epsilon = layer.epsilon
        if epsilon == _TOPOLOGY_EPSILON:
            epsilon = EPSILON
            self.report.lost.append(
                f"{link.name}: the file does not give epsilon; taken as {EPSILON:g}, as in Chainer"
            )
        name = self.stack.name(link.name)
        gamma, beta, mean, variance = values.values()
        if (variance + np.float32(epsilon) <= 0).any():
            raise FormatError(f"{link.name}/avg_var: {variance.min():g} is not a variance")
        with np.errstate(all="ignore"):  # what is not finite is refused by name
            # As in Chainer: the root of the reciprocal is rounded differently from 1 / root.
            inv_std = np.sqrt(np.reciprocal(variance + np.float32(epsilon)))
        check_deviation(f"{link.name}/avg_var", variance + np.float32(epsilon))
        self.stack.add(BatchNorm(name, gamma, beta, mean, inv_std, "centered"))
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


class _MismatchError(FormatError):
    """A dense layer has another size: the pools may be of the other kind."""


def encoded_reals(shape: Shape, encoding: str) -> tuple[Input, Lattice]:
    """Return a topology's input encoding for networks whose inputs are real values in [-1, 1].

    ``sign`` and ``fixed-point`` as :func:`bnn.network.quantizers.encoded_input` codes the bytes
    2p/255 - 1; ``bytes`` for real values p/255.
    """
    match encoding:
        case "sign":
            return grid("bipolar").input(shape), Lattice()
        case "fixed-point":
            return real_input(shape, INT(8), 1 / 128, 0, "up"), Lattice(1 / 128)
    return grid("unit").input(shape), grid("unit").lattice()


def _next(links: list[Link], what: str, size: tuple[int, ...]) -> Link:
    """Remove and return the first link of that size, or the first of any size if none has it.

    Links of one size are in the order of their numbers, so the first one is the right one.
    """
    if not links:
        raise FormatError(f"the topology has more {what} layers than the file")
    place = next((i for i, link in enumerate(links) if _size(link) == size), 0)
    return links.pop(place)


def _slid(
    shape: tuple[int, int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: Borders
) -> tuple[int, int]:
    height = shape[0] + padding[0] + padding[2] - kernel[0]
    width = shape[1] + padding[1] + padding[3] - kernel[1]
    return height // stride[0] + 1, width // stride[1] + 1

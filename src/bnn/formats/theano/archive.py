# SPDX-License-Identifier: BSD-3-Clause
"""Networks of Theano and Lasagne, saved as ``arr_0, arr_1, ...`` (specification, section 9).

The arrays of every layer with weights and of its batch norm are, in this order: W, bias (if the
layer has one), beta, gamma, mean, inv_std. W of a dense layer is [inputs, units], W of a
convolution is [out, in, kernel row, kernel column]. Maps have the channels first, also where a
dense layer reads a flattened map.

The trained network is lowered exactly, or with the rounding of the original's own tool
(:mod:`bnn.formats.theano.rounded`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnn._typing import assert_never
from bnn.data.pictures.preprocess import Digit, Preprocess, Stretch, Thumbnail
from bnn.errors import BnnError, ParameterError
from bnn.formats.report import Converted, Report
from bnn.lower import lower
from bnn.model.model import Model
from bnn.network import zoo
from bnn.network.assemble import Parameters, Statistics, Weights, assemble
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology
from bnn.program.inputs import Shape
from bnn.system import npz

Rounding = Literal["exact", "original"]

_PRECISIONS = re.compile(r"([12])w-([12])a")
_ARRAY = re.compile("arr_(0|[1-9][0-9]{0,5})")
_STATISTICS = ("beta", "gamma", "mean", "inv_std")


@dataclass(frozen=True, eq=False)
class Trained:
    """The trained values in an archive.

    Attributes:
        topology: layers of the network.
        parameters: values of the layers that have parameters, in order.
        arithmetic: dtype of the arrays; training computed in this dtype.
        report: report on which array was used for what.
    """

    topology: Topology
    parameters: tuple[Parameters, ...]
    arithmetic: Literal["float32", "float64"]
    report: Report


def read(
    path: str | os.PathLike[str], network: str | Topology | None = None, *, flipped: bool = False
) -> Converted:
    """Return the trained network in an archive, and a report on the conversion.

    The arguments and errors are those of :func:`open_archive`.
    """
    return _converted(path, open_archive(path, network, flipped=flipped))


def load(
    path: str | os.PathLike[str],
    network: str | Topology | None = None,
    classes: Sequence[str] | None = None,
    rounding: Rounding = "exact",
    *,
    flipped: bool = False,
) -> Model:
    """Read an archive, and lower it to a model.

    Args:
        path, network, flipped: as in :func:`open_archive`.
        classes: names of the classes; by default the numbers from 0.
        rounding: how thresholds are rounded. ``exact``: the model computes what was trained.
            ``original``: they are rounded as by the original's own tool.

    Raises:
        ParameterError: as for :func:`open_archive`; or there are more or fewer names in ``classes``
            than the network has classes.
    """
    trained = open_archive(path, network, flipped=flipped)
    names = _names(path, classes, trained.topology.classes)
    if rounding == "original":
        from bnn.formats.theano.rounded import model

        return model(path, trained, names)
    program = lower(_converted(path, trained).network)
    origin = {"format": "theano-npz", "file": Path(path).name, "folding": rounding}
    return Model(program, names, preprocess(program.input.shape), origin, trained.topology.name)


def open_archive(
    path: str | os.PathLike[str], network: str | Topology | None = None, *, flipped: bool = False
) -> Trained:
    """Read the values in an archive, by layer.

    Args:
        path: the ``.npz`` file.
        network: a topology, or the name of one in :mod:`bnn.network.zoo`. By default the topology
            is recognised by the shapes of the arrays and the file's name (``mnist-1w-2a.npz``).
            With ``lfc`` or ``cnv`` it is recognised too, and must be one of this family.
        flipped: whether kernels are applied rotated by 180 degrees, as true convolutions. This is
            Lasagne's default; the original's networks do not rotate them.

    Raises:
        ParameterError: an array is missing, unused or has a wrong shape, or the file is not
            an archive of plain arrays; the message names file and array.
    """
    given = npz.read(path)
    arrays = _Arrays(path, given)
    topology = network if isinstance(network, Topology) else _topology(path, given, network)
    if flipped and not any(isinstance(layer, Conv) for layer in topology.layers):
        raise ParameterError(f"{path}: {topology.name} has no convolutions; do not use --flipped")
    parameters = tuple(_parameters(topology, arrays, flipped))
    arrays.finish()
    return Trained(topology, parameters, arrays.arithmetic, arrays.report)


#: Names of networks whose precisions are in the file's name.
_FAMILIES = ("lfc", "cnv")


class _Arrays:
    """The arrays of an archive, read in order."""

    def __init__(self, path: Any, given: dict[str, NDArray[Any]]) -> None:
        self.path, self.given, self.taken = path, given, 0
        self.report = Report("Theano/Lasagne npz")
        double = any(array.dtype == np.float64 for array in given.values())
        self.arithmetic: Literal["float32", "float64"] = "float64" if double else "float32"

    def take(self, what: str, *shapes: Shape) -> NDArray[Any]:
        """Return the next array, converted to :attr:`arithmetic`; ``what`` is for messages."""
        name = f"arr_{self.taken}"
        if name not in self.given:
            raise ParameterError(f"{self.path}: {name} ({what}) is missing")
        array = self.given[name]
        if array.shape not in shapes:
            wanted = " or ".join(map(str, shapes))
            raise ParameterError(
                f"{self.path}: {name} ({what}) has shape {array.shape}, {wanted} is expected"
            )
        self.taken += 1
        self.report.used(name, what, {name: array})
        return array.astype(self.arithmetic)

    def finish(self) -> None:
        """Refuse arrays that no layer has read."""
        expected = {f"arr_{number}" for number in range(self.taken)}
        if extra := sorted(set(self.given) - expected):
            raise ParameterError(
                f"{self.path}: {extra[0]} is not used: the network has only {self.taken} arrays"
            )


def _parameters(topology: Topology, arrays: _Arrays, flipped: bool) -> list[Parameters]:
    found: list[Parameters] = []
    number = -1
    for layer, before in zip(topology.layers, topology.shapes(), strict=False):
        match layer:
            case Conv() | Dense():
                number += 1
                found.append(_weights(layer, before, number, arrays, flipped))
            case Norm():
                shapes: tuple[Shape, ...] = ((), (1,)) if layer.scalar else ((before[2],),)
                found.append(_statistics(shapes, number, arrays))
            case Pool() | Act():
                pass
            case _:
                assert_never(layer)
    return found


def _statistics(shapes: tuple[Shape, ...], number: int, arrays: _Arrays) -> Statistics:
    beta, gamma, mean, inv_std = (
        arrays.take(f"{what} of layer {number}", *shapes).reshape(-1) for what in _STATISTICS
    )
    return Statistics(gamma, beta, mean, inv_std)


def _weights(
    layer: Conv | Dense, before: tuple[int, int, int], number: int, arrays: _Arrays, flipped: bool
) -> Weights:
    """Return the weights of a layer in this package's order of axes: units first, channels last."""
    height, width, channels = before
    what = f"weights of layer {number}"
    match layer:
        case Conv():
            kernels = arrays.take(what, (layer.channels, channels, *layer.kernel))
            kernels = kernels[:, :, ::-1, ::-1] if flipped else kernels
            weights, out = kernels.transpose(0, 2, 3, 1), layer.channels
        case Dense():
            matrix = arrays.take(what, (height * width * channels, layer.units))
            maps = matrix.reshape(channels, height, width, layer.units)
            weights, out = maps.transpose(3, 1, 2, 0).reshape(layer.units, -1), layer.units
        case _:
            assert_never(layer)
    bias = arrays.take(f"bias of layer {number}", (out,)) if layer.bias else None
    return Weights(np.ascontiguousarray(weights), bias)


def _topology(path: Any, given: dict[str, NDArray[Any]], name: str | None) -> Topology:
    """Return the topology called ``name``, or the one recognised by shapes and file name.

    The number of its classes is the number of units of the last dense layer in the archive.
    """
    first = given.get("arr_0")
    if first is None:
        raise ParameterError(f"{path}: arr_0 is missing; it is not an archive of a Lasagne network")
    last = max(
        (int(key[4:]) for key, one in given.items() if one.ndim == 2 and _ARRAY.fullmatch(key)),
        default=None,
    )
    if last is None:
        raise ParameterError(f"{path}: has no dense layer, hence no classes")
    classes = int(given[f"arr_{last}"].shape[1])
    if name in (None, *_FAMILIES):
        found = _recognised(path, first)
        if name is not None and not found.startswith(f"{name}-"):
            raise ParameterError(f"{path}: its arrays are those of {found}, not of {name}")
        name = found
    try:
        return zoo.topology(name, classes)
    except BnnError as error:
        raise ParameterError(f"{path}: {error}") from None


def _recognised(path: Any, first: NDArray[Any]) -> str:
    precisions = _PRECISIONS.search(Path(path).name)
    stacks = {units: stack for stack, units in zoo.DENSE_UNITS.items()}
    stack = "cnv" if first.ndim == 4 else stacks.get(first.shape[-1] if first.ndim == 2 else 0)
    if precisions is None or stack is None:
        raise ParameterError(
            f"{path}: neither its name nor its arrays identify the network; give --topology"
        )
    return f"{stack}-w{precisions[1]}a{precisions[2]}"


def _converted(path: Any, trained: Trained) -> Converted:
    try:
        made = assemble(trained.topology, trained.parameters, "scaled", trained.arithmetic)
    except BnnError as error:
        raise ParameterError(f"{path}: {error}") from None
    return Converted(made, trained.report)


def _names(path: Any, classes: Sequence[str] | None, count: int) -> tuple[str, ...]:
    names = tuple(map(str, range(count))) if classes is None else tuple(classes)
    if len(names) != count:
        raise ParameterError(f"{path}: has {count} classes, {len(names)} names were given")
    return names


def preprocess(shape: Shape) -> Preprocess | None:
    """Return how pictures become an input of ``shape``; None if no picture has this shape."""
    if shape == (28, 28, 1):
        return Digit()
    if shape == (32, 32, 3):
        return Thumbnail()
    return Stretch() if len(shape) == 3 and shape[2] in (1, 3) else None

# SPDX-License-Identifier: BSD-3-Clause
"""Chainer models saved with ``save_npz``, and trainer snapshots, to a network.

Such a file contains arrays, named by the path of their link (``predictor/l1/W``), but not the
forward pass. A topology gives the order of the layers. Without a topology, links with weights are
paired with batch norms by the numbers in their names, and read as dense - batch norm - sign, the
layers of binarized multi-layer perceptrons. If the links have GUINNESS' names (``conv0``, ``b0``,
``fc0``), the input is bytes, and a dense layer with as many inputs as the map before it has
channels reads the signs of an average over the whole map.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError, NetworkError
from bnn.formats.grids import grid
from bnn.formats.links import (
    Arrays,
    Assembly,
    Framework,
    Link,
    Links,
    MismatchError,
    size_of,
)
from bnn.formats.report import Converted, Report
from bnn.network.network import BatchNorm
from bnn.network.topology import Act, Dense, Norm, Topology
from bnn.system import npz

#: Chainer's default epsilon of batch norms; the file does not contain it.
EPSILON = 2e-5


def _norm(name: str, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float) -> BatchNorm:
    # In Chainer's own order: the root of the reciprocal rounds otherwise than 1 / root.
    inv_std = np.sqrt(np.reciprocal(variance + np.float32(epsilon)))
    return BatchNorm(name, gamma, beta, mean, inv_std, "centered")


#: Its pools make a last, partial window unless told otherwise (cover_all).
CHAINER = Framework("Chainer", "link", EPSILON, (True, False), _norm)


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
    with np.errstate(over="ignore"):  # as Chainer loads; infinities are refused below
        arrays = {name: array.astype(np.float32) for name, array in npz.read(path).items()}
    report = Report("Chainer")
    try:
        links = _links(arrays, report)
        reader = Assembly(
            CHAINER, links, report, None if given_input is None else grid(given_input)
        )
        if topology is not None:
            return reader.converted(topology)
        topology = _stack_of(links)
        report.lost.append(
            "the file does not specify the order of its links; taken by their numbers: "
            "linear, batch norm, sign"
        )
        return _by_numbers(reader, topology)
    except (FormatError, NetworkError) as error:
        raise type(error)(f"{path}: {error}") from None


def _by_numbers(reader: Assembly, topology: Topology) -> Converted:
    """Return the network of ``topology``, which was made from the numbers in the links' names.

    Raises:
        FormatError: an array does not have the size that the layer before its layer requires: the
            links may have to run in another order.
    """
    try:
        return reader.converted(topology)
    except MismatchError as error:
        raise FormatError(
            f"{error}; the links were taken in the order of their numbers: give their order as "
            "--topology FILE.toml (docs/converting.md)"
        ) from None


# --- links ---------------------------------------------------------------------------

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
            raise FormatError(
                f"array {name}/W has shape {link.array('W').shape}; it must have 2 or 4 axes"
            )
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
        sizes = size_of(link)
        other = seen.setdefault(sizes, link)
        if re.sub(r"[0-9]+", "0", other.name) != re.sub(r"[0-9]+", "0", link.name):
            raise FormatError(
                f"links {other.name} and {link.name} have arrays of the same sizes, and their "
                "names do not show which comes first; name them alike, with numbers"
            )


def _model(arrays: Arrays) -> dict[str, str]:
    """Return the arrays of the model: name in the file -> path in the model.

    In a trainer snapshot, the names of these arrays have a prefix, and other arrays are left out.
    """
    main = "updater/model:main/"
    if any(name.startswith(main) for name in arrays):
        return {name: name[len(main) :] for name in arrays if name.startswith(main)}
    return {name: name for name in arrays}


def _natural(name: str) -> list[tuple[int, str, str]]:
    """Return a sort key for which l10 comes after l9, whatever the length of the numbers."""
    key = []
    for place, part in enumerate(re.split(r"([0-9]+)", name)):
        number = part.lstrip("0") if place % 2 else ""
        key.append((len(number) if place % 2 else -1, number, part))
    return key


def _stack_of(links: Links) -> Topology:
    """Return a topology with dense, batch norm and sign for each link, in this order.

    The last link has no sign; it may also have no batch norm.
    """
    if links.convs:
        raise FormatError(
            "has convolutions, but the file does not specify their padding, pools and order; "
            "give them as --topology FILE.toml (docs/converting.md)"
        )
    count = len(links.denses)
    if len(links.norms) not in (count, count - 1):
        raise FormatError(
            f"has {count} linear links and {len(links.norms)} batch norms; "
            "give their order as --topology FILE.toml (docs/converting.md)"
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

# SPDX-License-Identifier: BSD-3-Clause
"""State dictionaries of PyTorch modules with linear, convolution and batch norm layers.

The state has tensors under the paths of their modules. It does not contain the order in which the
modules run, nor strides, padding, pools, activations or bits: a topology says these. If several
modules have weights of the same shape, and the topology does not name them, they are used in the
order of their tensors in the file. The weights in the file are latent (real numbers): they are
quantized to the topology's precision; bipolar weights are the signs of the latent ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.grids import grid
from bnn.formats.links import Assembly, Framework, Link, Links
from bnn.formats.report import Converted, Report
from bnn.network.network import BatchNorm
from bnn.network.topology import Topology

State = Mapping[str, NDArray[Any]]

#: PyTorch's names of a module's tensors, and what they are.
_WEIGHTED = {"weight": "W", "bias": "b"}
_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "avg_mean",
    "running_var": "avg_var",
}
#: A counter of training batches, which has no effect.
_IDLE = "num_batches_tracked"


def _norm(name: str, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float) -> BatchNorm:
    return BatchNorm.from_variance(name, gamma, beta, mean, variance, epsilon, "folded")


PYTORCH = Framework("PyTorch", "module", 1e-5, (False,), _norm)


def converted(
    state: State, topology: Topology, report: Report, given_input: str | None = None
) -> Converted:
    """Return the network of ``topology`` with the tensors of ``state``.

    Args:
        state: tensors by name, in the order of the file.
        given_input: the values that occur at the input, a name of
            :func:`bnn.formats.grids.grid`; by default the topology's.

    Raises:
        FormatError: a tensor is missing, unused or has a wrong shape; the message names it.
    """
    links = _links(state, report)
    chosen = None if given_input is None else grid(given_input)
    return Assembly(PYTORCH, links, report, chosen).converted(topology)


def _links(state: State, report: Report) -> Links:
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for key, value in state.items():
        place, _, name = key.rpartition(".")
        if name == _IDLE:
            report.ignored.append(key)
        else:
            found.setdefault(place, {})[name] = value
    convs: list[Link] = []
    denses: list[Link] = []
    norms: list[Link] = []
    for place, arrays in found.items():
        link = _link(place, arrays)
        if "W" not in link.arrays:
            norms.append(link)
        elif link.array("W").ndim == 4:
            convs.append(link)
        else:
            denses.append(link)
    if not convs + denses:
        raise FormatError("has no module with weights")
    return Links(tuple(convs), tuple(denses), tuple(norms))


def _link(place: str, arrays: Mapping[str, NDArray[Any]]) -> Link:
    names = _NORM if "running_mean" in arrays else _WEIGHTED
    prefix = f"{place}." if place else ""
    for name, array in arrays.items():
        if name not in names:
            raise FormatError(
                f"tensor {prefix}{name} belongs to no linear, convolution or batch norm: a "
                "topology cannot say what it does; give the live module to "
                "bnn.formats.convert.convert_module"
            )
        if not np.isfinite(array).all():
            raise FormatError(f"tensor {prefix}{name} holds values that are not finite")
    weight = arrays.get("weight")
    if names is _WEIGHTED and (weight is None or weight.ndim not in (2, 4)):
        shape = "missing" if weight is None else f"of shape {weight.shape}"
        raise FormatError(f"tensor {prefix}weight is {shape}; it must have 2 or 4 axes")
    held = {names[name]: array for name, array in arrays.items()}
    return Link(place, held, {key: f"{prefix}{name}" for name, key in names.items()})

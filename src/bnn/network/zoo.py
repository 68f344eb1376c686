# SPDX-License-Identifier: BSD-3-Clause
"""The named networks: TFC, SFC, LFC and CNV at W1A1, W1A2 and W2A2.

LFC and CNV are topologies of the original (specification, sections 1 and 8); TFC and SFC are
smaller stacks that FINN added. Several spellings of a name are accepted: ``cnv-w1a1``, ``cnvW1A1``,
``CNV_1W1A``.
"""

from __future__ import annotations

import re

from bnn.errors import UnknownNameError
from bnn.network.topology import Act, Conv, Dense, Layer, Norm, Pool, Topology
from bnn.program.precision import BIPOLAR, TERNARY, Precision

#: Hidden units of the fully connected networks.
DENSE_UNITS = {"tfc": 64, "sfc": 256, "lfc": 1024}
PRECISIONS = {1: BIPOLAR, 2: TERNARY}

#: Canonical names, smallest network first.
NAMES = tuple(
    f"{stack}-w{weights}a{activations}"
    for stack in (*DENSE_UNITS, "cnv")
    for weights, activations in ((1, 1), (1, 2), (2, 2))
)

_SPELLING = re.compile(r"(tfc|sfc|lfc|cnv)[-_ ]?(?:w([12])a([12])|([12])w[-_]?([12])a)")


def canonical(name: str) -> str:
    """Return the canonical spelling of ``name``, one of :data:`NAMES`.

    Raises:
        UnknownNameError: no network has this name.
    """
    match = _SPELLING.fullmatch(name.strip().lower())
    if match is not None:
        spelled = f"{match[1]}-w{match[2] or match[4]}a{match[3] or match[5]}"
        if spelled in NAMES:
            return spelled
    raise UnknownNameError(f"no network is called {name!r}; there are: {', '.join(NAMES)}")


def topology(name: str, classes: int = 10) -> Topology:
    """Return the topology called ``name``, with ``classes`` classes.

    The input of CNV is 32x32 pixels in colour, the input of the others 28x28 pixels in grey.
    """
    spelled = canonical(name)
    weights, act = PRECISIONS[int(spelled[5])], PRECISIONS[int(spelled[7])]
    if spelled.startswith("cnv"):
        return Topology(spelled, (32, 32, 3), _cnv(weights, act, classes), "fixed-point")
    hidden = DENSE_UNITS[spelled[:3]]
    return Topology(spelled, (28, 28, 1), _stack(hidden, weights, act, classes), "sign")


def _stack(units: int, weights: Precision, act: Precision, classes: int) -> tuple[Layer, ...]:
    hidden: list[Layer] = [Dense(units, weights, bias=True), Norm(), Act(act)]
    return (*hidden * 3, Dense(classes, weights, bias=True), Norm())


def _cnv(weights: Precision, act: Precision, classes: int) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for channels, then_pool in ((64, 0), (64, 1), (128, 0), (128, 1), (256, 0), (256, 0)):
        pool: list[Layer] = [Pool()] if then_pool else []
        layers += [Conv(channels, weights=weights, bias=True), *pool, Norm(), Act(act)]
    for _ in range(2):
        layers += [Dense(512, weights, bias=True), Norm(), Act(act)]
    return (*layers, Dense(classes, weights), Norm(scalar=True))

# SPDX-License-Identifier: BSD-3-Clause
"""The program of a model, or of a topology file that was not trained yet."""

from __future__ import annotations

from pathlib import Path

from bnn.library import load
from bnn.program.program import Program

SUFFIX = ".toml"


def is_topology(name: str) -> bool:
    """Return whether ``name`` is a topology file (``.toml``), which has shapes but no weights."""
    return Path(name).suffix.lower() == SUFFIX


def program_of(name: str) -> Program:
    """Return the program of what :func:`bnn.load` takes, or of a topology file.

    Random weights stand in for those that a training would find. A plan depends on shapes and
    precisions only: it is the same for the trained network.

    Raises:
        NetworkError: the topology file cannot be read, or a layer is not possible.
        BnnError: as :func:`bnn.load`.
    """
    if not is_topology(name):
        return load(name).program
    # Not for models, which most plans are of: these imports take a tenth of a second.
    import numpy as np

    from bnn.lower import lower
    from bnn.network import topology
    from bnn.network.assemble import assemble, random_parameters

    stack = topology.load(name)
    return lower(assemble(stack, random_parameters(stack, np.random.default_rng(1))))

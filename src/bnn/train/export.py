# SPDX-License-Identifier: BSD-3-Clause
"""From a trained stack to a model: lowered, with class names and provenance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bnn.data.pictures.preprocess import Preprocess
from bnn.lower import lower
from bnn.model.model import Model
from bnn.train.extract import extract
from bnn.train.stack import Stack


def to_model(
    stack: Stack,
    classes: tuple[str, ...],
    preprocess: Preprocess,
    dataset: str,
    history: Mapping[str, Any],
) -> Model:
    """Return the deployable model of ``stack``; its integer scores equal ``stack.scores``.

    Args:
        stack: the trained network; it is put into evaluation mode.
        classes: names of the classes, in the order of the scores.
        preprocess: how a picture becomes the network's input.
        dataset: name of the data set on which the network was trained.
        history: how the network was trained, as plain JSON values for the provenance.
    """
    stack.eval()
    name = stack.topology.name
    provenance = {"dataset": dataset, "network": original_name(name), **history}
    return Model(lower(extract(stack)), classes, preprocess, provenance, name)


def original_name(network: str) -> str:
    """Return the original's name of a zoo network: ``lfcW1A1`` for ``lfc-w1a1``."""
    match = re.fullmatch(r"([a-z]+)-w(\d)a(\d)", network)
    return network if match is None else f"{match[1]}W{match[2]}A{match[3]}"

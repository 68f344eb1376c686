#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write ``fires at`` of a bundled LFC, found on the last 5 000 training pictures of its data.

`bnn train` does so itself; this was used for models that were trained before it did.

    BNN_DATA=... .venv/bin/python tools/set_firing_level.py lfc-w1a1
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace

from bnn.classifier import Classifier
from bnn.data.sets import DataSet, load_train
from bnn.formats.bnn_pynq.extracting import firing_level
from bnn.library import MODELS, load
from bnn.model.file import save

HELD_OUT = 5_000


def main(name: str) -> None:
    """Write the model and its card anew."""
    model = load(name)
    pictures = load_train(model.provenance["dataset"])
    assert isinstance(pictures, DataSet)
    level = firing_level(Classifier(model).logits(pictures.images[-HELD_OUT:]))
    path, card = MODELS / f"{name}.bnn", MODELS / f"{name}.md"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    save(replace(model, provenance={**model.provenance, "fires at": level}), path)
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    card.write_text(card.read_text().replace(before, after))


if __name__ == "__main__":
    main(sys.argv[1])

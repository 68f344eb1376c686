#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write src/bnn/samples: the first test picture of each class of MNIST and of CIFAR-10.

BNN_DATA=... .venv/bin/python tools/make_samples.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bnn.data.sets import load_test

SAMPLES = Path(__file__).parents[1] / "src" / "bnn" / "samples"


def write(name: str) -> None:
    """Write one picture for each class of the data set ``name``."""
    data = load_test(name)
    (SAMPLES / name).mkdir(parents=True, exist_ok=True)
    for index, label in enumerate(data.classes):
        first = int(np.flatnonzero(data.labels == index)[0])
        picture = np.asarray(data.images[first])
        image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
        image.save(SAMPLES / name / f"{label}.png", optimize=True)


if __name__ == "__main__":
    for known in ("mnist", "cifar10"):
        write(known)

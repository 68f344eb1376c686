# SPDX-License-Identifier: BSD-3-Clause
"""Peak memory of classifying one picture: ``python picture_memory.py MODEL MPIXELS FORMAT``.

With a folder as fourth argument the first call only writes the picture there. Prints MiB of this
process before, and what the picture added beyond the bytes of its file.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import bnn


def _write(path: Path, pixels: float) -> None:
    """A picture as of a camera, 4 to 3: paper with noise and a thick dark stroke; in strips."""
    height = int((pixels * 0.75) ** 0.5)
    width = height * 4 // 3
    random = np.random.default_rng(1)
    image = Image.new("RGB", (width, height))
    for top in range(0, height, 200):
        rows = np.arange(top, min(top + 200, height))[:, None]
        ink = (np.abs(np.arange(width) - width // 2) < width // 40) & (
            np.abs(rows - height // 2) < height // 4
        )
        levels = np.where(ink, 30, 225).astype(np.int16)
        strip = levels[..., None] + random.integers(-5, 6, (*levels.shape, 3), np.int16)
        image.paste(Image.fromarray(strip.astype(np.uint8)), (0, top))
    image.save(path, compress_level=1)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    """Write a picture, if it is not there, and classify it."""
    model, millions, format_, *place = sys.argv[1:]
    folder = Path(place[0]) if place else Path(tempfile.mkdtemp())
    path = folder / f"{millions}.{format_}"
    if not path.exists():
        _write(path, float(millions) * 1e6)
        if place:
            return  # the picture's making must not count
    classifier = bnn.Classifier(model)
    before = _peak()
    classifier.classify(path)
    more = _peak() - before - (path.stat().st_size >> 20)
    sys.stdout.write(f"{before} {more}\n")


main()

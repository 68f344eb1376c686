# SPDX-License-Identifier: BSD-3-Clause
"""Measure a camera's frame to a class, and what the preparation's gap costs: ``bench/frames.py``.

Every line is of one run of one process, one thread; the least CPU time of many
rounds (others use the machine's caches too), the preparations in turn.

- An array uint8 (480, 640, 3) to `bnn.Classifier.classify`, RGB and BGR, for each ``gap`` of the
  preparation ``thumbnail`` (`bnn.data.pictures.shrink.resized`).
- The accuracy on the test pictures of CIFAR-10, enlarged (bicubic) and prepared with each ``gap``.
  The network was trained on the pictures as they are.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import bnn
from bnn.data.pictures.pillow import Resampling
from bnn.data.pictures.preprocess import Thumbnail
from bnn.data.sets import load_test
from bnn.measure.speed import machine

GAPS = (None, 1, 2, 3)
#: Sizes (width, height) of the enlarged pictures.
SIZES = ((640, 480), (640, 640), (500, 375), (333, 333))


def microseconds(calls: list[Callable[[], object]], rounds: int) -> list[float]:
    """Return the least CPU time of each call, in microseconds; they are called in turn."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, times in zip(calls, taken, strict=True):
            began = time.process_time()
            call()
            times.append(time.process_time() - began)
    return [1e6 * min(times) for times in taken]


def classifiers(model: bnn.Model) -> list[bnn.Classifier]:
    """Return one classifier for each gap."""
    return [
        bnn.Classifier(replace(model, preprocess=Thumbnail(gap=gap)), threads=1) for gap in GAPS
    ]


def enlarged(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture in another size (bicubic)."""
    return np.asarray(Image.fromarray(picture).resize(size, Resampling.BICUBIC))


def main() -> None:
    """Print the times, then the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="cnv-w1a1")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=2000)
    options = parser.parse_args()
    model = bnn.load(options.model)
    made = classifiers(model)
    print(machine())
    heads = "".join(f"{f'gap {gap}' if gap else 'none':>10}" for gap in GAPS)
    print(f"{options.model}: {'':27}{heads}")
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    for name, bgr in (("RGB", False), ("BGR", True)):
        calls = [lambda one=one, bgr=bgr: one.classify(frame, bgr=bgr) for one in made]
        taken = microseconds(calls, options.rounds)  # type: ignore[arg-type]
        print(
            f"frame 640x480 {name} to a class, us   {'':8}" + "".join(f"{t:10.0f}" for t in taken)
        )
    if options.pictures < 1:
        return
    test = load_test("cifar10")
    # The first ones, as the test part has no order.
    images, labels = test.images[: options.pictures], test.labels[: options.pictures]
    plain = (made[0].classify(images) == labels).mean()
    print(f"{len(images)} test pictures as they are: {100 * plain:.2f} %")
    for size in SIZES:
        large = [[one.classify(enlarged(i, size))[0] for one in made] for i in images]
        right = np.array(large) == labels[:, None]
        text = "".join(f"{100 * share:10.2f}" for share in right.mean(axis=0))
        print(f"enlarged to {size[0]}x{size[1]}, % right {'':19}{text}", flush=True)
        apart = right.astype(int) - right[:, :1]  # of the same picture, so its error is small
        error = 100 * apart.std(axis=0) / len(right) ** 0.5
        print(f"{'  error of the difference':47}" + "".join(f"{one:10.2f}" for one in error))


if __name__ == "__main__":
    main()

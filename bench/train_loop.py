# SPDX-License-Identifier: BSD-3-Clause
"""Measure what a training does beside the network: draw batches, vary them, run the loop.

    python bench/train_loop.py [--batch 125,1000] [--pictures 50000]

Pictures are random bytes of CIFAR-10's shape, and lie where ``bnn train`` would put them (on a
GPU, if there is one). Printed:

    NAME    pictures per second, drawn and varied by an augmentation, nothing else
    step    of a CNV that is narrowed to two channels, by ``bnn.train.loop.fit``: nearly nothing to
            compute, so what is left is what Lightning, PyTorch and the recipe take to start all
            that a step does; and the pictures per second which that allows at a batch of this
            size, however fast the device

Wall time, with the threads that PyTorch takes; set OMP_NUM_THREADS to choose.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from bnn.data.pictures.preprocess import Thumbnail
from bnn.network import zoo
from bnn.network.topology import Conv, Dense, Layer, Topology
from bnn.train.augment import AUGMENTATIONS
from bnn.train.certificate import machine
from bnn.train.data import Batches, Part, Parts
from bnn.train.early import LAST
from bnn.train.loop import FitOptions, Task, fit, restore
from bnn.train.memory import keep_memory
from bnn.train.recipes import recipe_for
from bnn.train.stack import Stack

SHAPE, CLASSES = (32, 32, 3), 10
#: Number of epochs; the last one is measured.
EPOCHS = 3
#: Steps per epoch, and pictures per step, of the measurement of a step without work.
STEPS, BATCH = 2000, 2


def random_part(count: int) -> Part:
    """Return ``count`` pictures of noise."""
    pictures = torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8)
    return Part(pictures, torch.randint(0, CLASSES, (count,)))


def drawing(part: Part, batch: int, augment: str) -> float:
    """Return the pictures per second that are drawn and varied."""
    change, gpu = AUGMENTATIONS[augment], part.labels.is_cuda
    for epoch in range(EPOCHS):
        start = time.perf_counter()
        for pictures, _ in Batches(part, batch, epoch):
            change(pictures)
        if gpu:
            torch.cuda.synchronize()
    return len(part) / (time.perf_counter() - start)


def narrowed(topology: Topology, channels: int) -> Topology:
    """Return ``topology`` with ``channels`` channels per convolution and units per hidden layer."""

    def narrow(layer: Layer) -> Layer:
        match layer:
            case Conv():
                return replace(layer, channels=channels)
            case Dense(units=units) if units != topology.classes:
                return replace(layer, units=channels)
        return layer

    return replace(topology, layers=tuple(map(narrow, topology.layers)))


def starting(augment: str) -> float:
    """Return the seconds of a step with nearly nothing to compute, with this augmentation."""
    part = random_part(STEPS * BATCH)
    few = Part(part.pictures[:BATCH], part.labels[:BATCH])
    parts = Parts("noise", tuple(map(str, range(CLASSES))), Thumbnail(), part, few, few)
    stack = Stack(narrowed(zoo.topology("cnv-w1a1", CLASSES), channels=2))
    recipe = recipe_for(stack.topology, "cifar10")
    recipe = replace(recipe, epochs=EPOCHS, batch=BATCH, augment=augment)
    # On a CPU, PyTorch's own operations, one by one as a GPU is given them.
    precision = None if torch.cuda.is_available() else "32-true"
    options = FitOptions(precision=precision, progress=False)
    with tempfile.TemporaryDirectory() as folder:
        fit(Task(stack, parts, recipe, seed=1), Path(folder), options)
        last = restore(Stack(stack.topology), Path(folder) / LAST)[-1]
    return last["seconds"] / STEPS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", default="125,1000", help="sizes of a batch")
    parser.add_argument("--pictures", type=int, default=50_000)
    chosen = parser.parse_args()
    keep_memory()
    torch.manual_seed(1)
    part = random_part(chosen.pictures)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = part.to(device)
    print(f"{machine()}, {torch.get_num_threads()} threads; pictures on {device.type}")
    plain, step = (starting(augment) for augment in ("none", "flip-shift"))
    print(f"a step without its work takes {1000 * plain:.2f} ms, {1000 * step:.2f} with flip-shift")
    for batch in map(int, chosen.batch.split(",")):
        for name in AUGMENTATIONS:
            print(f"batch {batch:5}  {name:15} {drawing(there, batch, name):12,.0f} pictures/s")
        print(f"batch {batch:5}  {'step':15} {batch / step:12,.0f} pictures/s at most")


if __name__ == "__main__":
    main()

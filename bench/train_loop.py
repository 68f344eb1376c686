# SPDX-License-Identifier: BSD-3-Clause
"""What a training does beside the network: draw batches, vary them, and run the loop.

    python bench/train_loop.py [--batch 125,1000] [--pictures 50000]

Pictures are random bytes of CIFAR-10's shape, and lie where ``bnn train`` would put them.
Printed: pictures per second

    NAME       drawn and varied by an augmentation, nothing else (on a GPU: synchronized)
    loop       by ``bnn.train.loop.fit`` in one epoch, with a network of one dense layer: steps
               of the optimiser, Lightning and logs, without augmentation; and a step's time.
               No network trains faster than this at that batch, however fast the device

Wall time, with the threads that PyTorch takes; set OMP_NUM_THREADS to choose.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from bnn.precision import BIPOLAR
from bnn.preprocess import Thumbnail
from bnn.topology import Dense, Norm, Topology
from bnn.train.augment import AUGMENTATIONS
from bnn.train.certificate import machine
from bnn.train.data import Batches, Part, Parts
from bnn.train.loop import LAST, FitOptions, Task, fit, restore
from bnn.train.memory import keep_memory
from bnn.train.recipes import CONVOLUTIONAL, Recipe
from bnn.train.stack import Stack

SHAPE, CLASSES = (32, 32, 3), 10
#: The last of so many epochs is measured.
EPOCHS = 3


def random_part(count: int) -> Part:
    """``count`` pictures of noise."""
    pictures = torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8)
    return Part(pictures, torch.randint(0, CLASSES, (count,)))


def drawing(part: Part, batch: int, augment: str) -> float:
    """Pictures per second, drawn and varied."""
    change, gpu = AUGMENTATIONS[augment], part.labels.is_cuda
    for epoch in range(EPOCHS):
        start = time.perf_counter()
        for pictures, _ in Batches(part, batch, epoch):
            change(pictures)
        if gpu:
            torch.cuda.synchronize()
    return len(part) / (time.perf_counter() - start)


def looping(part: Part, batch: int) -> float:
    """Pictures per second through the loop, with next to no network."""
    classes = tuple(map(str, range(CLASSES)))
    few = Part(part.pictures[:batch], part.labels[:batch])
    parts = Parts("noise", classes, Thumbnail(), part, few, few)
    stack = Stack(Topology("one-layer", SHAPE, (Dense(CLASSES, BIPOLAR), Norm())))
    recipe = Recipe(epochs=EPOCHS, batch=batch, rate=CONVOLUTIONAL.rate)
    with tempfile.TemporaryDirectory() as folder:
        fit(Task(stack, parts, recipe, seed=1), Path(folder), FitOptions(progress=False))
        last = restore(Stack(stack.topology), Path(folder) / LAST)[-1]
    return len(part) / last["seconds"]


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
    for batch in map(int, chosen.batch.split(",")):
        for name in AUGMENTATIONS:
            print(f"batch {batch:5}  {name:15} {drawing(there, batch, name):12,.0f} pictures/s")
        speed = looping(part, batch)
        step = 1000 * batch / speed
        print(f"batch {batch:5}  {'loop':15} {speed:12,.0f} pictures/s, {step:.2f} ms a step")


if __name__ == "__main__":
    main()

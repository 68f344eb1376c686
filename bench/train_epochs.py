# SPDX-License-Identifier: BSD-3-Clause
"""Measure epochs and time up to an accuracy: float network and binarized network.

    python bench/train_epochs.py [NETWORK] [--data mnist] [--epochs 6] [--float-rate 1e-3]

The same topology, data, augmentation, batch, schedule and optimiser; once with real
weights and ReLU (``plain`` of train_step.py), once as ``bnn.train`` does it (batch norms are
measured anew before each validation). Printed after each epoch: processor seconds of this
thread's training so far, and accuracy on the validation part.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from train_step import plain

from bnn.network import zoo
from bnn.train.augment import AUGMENTATIONS
from bnn.train.certificate import machine
from bnn.train.data import Batches, Part, Parts, load_parts
from bnn.train.loop import fastest_precision, lightning_precision, measure_norms, rate_factor
from bnn.train.recipes import Recipe, recipe_for
from bnn.train.stack import Stack, deployable


def accuracy(model: nn.Module, part: Part) -> float:
    """Return the share of ``part`` that ``model`` classifies correctly, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        right = [model(x).argmax(1).eq(y) for x, y in Batches(part, 500)]
    model.train()
    return float(torch.cat(right).float().mean())


def optimizer_of(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return Adam, with the recipe's two rates for integer networks."""
    if not isinstance(model, Stack):
        return torch.optim.Adam(model.parameters(), lr=recipe.rate, fused=True)
    weights = {id(weight) for weight in model.weights()}
    others = [one for one in model.parameters() if id(one) not in weights]
    groups = [
        {"params": model.weights(), "lr": recipe.rate},
        {"params": others, "lr": recipe.norm_rate},
    ]
    return torch.optim.Adam(groups, fused=True)


def run(name: str, model: nn.Module, parts: Parts, recipe: Recipe) -> None:
    """Train and print a line for each epoch."""
    torch.manual_seed(1)
    optimizer = optimizer_of(model, recipe)
    first = [group["lr"] for group in optimizer.param_groups]
    steps = recipe.epochs * len(Batches(parts.training, recipe.batch, 0))
    step, spent = 0, 0.0
    for epoch in range(recipe.epochs):
        start = time.process_time()
        for pictures, labels in Batches(parts.training, recipe.batch, epoch):
            factor = rate_factor(step, steps, recipe.warm_up)
            for group, rate in zip(optimizer.param_groups, first, strict=True):
                group["lr"] = rate * factor
            loss(model, AUGMENTATIONS[recipe.augment](pictures), labels, recipe).backward()
            optimizer.step()
            optimizer.zero_grad()
            if isinstance(model, Stack):
                model.project()
            step += 1
        spent += time.process_time() - start
        if isinstance(model, Stack):
            measure_norms(model, parts.training, recipe, seed=1)
        found = 100 * accuracy(model, parts.validation)
        print(f"{name:6} epoch {epoch + 1:3} {spent:7.1f} s {found:6.2f} %", flush=True)


def loss(model: nn.Module, pictures: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Return the cross entropy; the network is in bfloat16 if that is faster."""
    half = fastest_precision() == "bf16-mixed"
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=half):
        logits = model(pictures)
    return F.cross_entropy(logits.float(), labels, label_smoothing=recipe.smoothing)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", nargs="?", default="lfc-w1a1")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--float-rate", type=float, default=1e-3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    topology = deployable(zoo.topology(options.network))
    parts = load_parts(options.data, topology.input)
    recipe = replace(recipe_for(topology, options.data), epochs=options.epochs)
    stack = Stack(topology, recipe.estimator)
    kind = lightning_precision(stack, None)
    ours = "integers" if stack.uses_luts else kind
    print(f"{topology.name} on {options.data}, float in {fastest_precision()}, ", end="")
    print(f"ours in {ours}, one thread of {machine()}")
    torch.manual_seed(1)
    real = replace(recipe, rate=options.float_rate)
    run("float", plain(topology, binary=False), parts, real)
    run("ours", stack, parts, recipe)


if __name__ == "__main__":
    main()

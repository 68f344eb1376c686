# SPDX-License-Identifier: BSD-3-Clause
"""Measure the cost of a training step: float, hand-written sign, and ours, on one network.

    python bench/train_step.py [lfc|cnv] [--batch 128] [--rounds 5] [--device cpu|cuda]
                               [--keep-memory]

Ways to write one topology, with the same optimiser and batch:

    float      real weights, ReLU: ordinary training
    textbook   sign written as most tutorials do, on PyTorch's own modules:
               ``x + (where(x >= 0, 1, -1) - clamp(x, -1, 1)).detach()`` and so on
    brevitas   the bnn_pynq example of Brevitas, where it is installed
    ours       bnn.train
    integers   bnn.train in small integers (bnn.train.lut), without PyTorch's products

The rounds of all variants take turns, so that other work on the machine disturbs them
alike; time is that of this thread on the processor (on a GPU: wall time, synchronized).
With ``--keep-memory`` all of them have what ``bnn train`` tells the C library about large
tensors (bnn.train.memory). Augmentation and data loading are not included. Printed: images
per second, and the time of a step as a multiple of float's in the same precision.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bnn.network import zoo
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology
from bnn.train.certificate import machine
from bnn.train.memory import keep_memory
from bnn.train.stack import Stack, deployable


class TextbookSign(nn.Module):
    """Sign with the clipped straight-through estimator, by automatic differentiation."""

    def forward(self, x: Tensor) -> Tensor:
        window = x.clamp(-1, 1)
        return window + (torch.where(x >= 0, 1.0, -1.0) - window).detach()


def binary_weights(weight: Tensor) -> Tensor:
    """Return the signs of weights; the gradient passes unchanged."""
    return weight + (torch.where(weight >= 0, 1.0, -1.0) - weight).detach()


class TextbookLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, binary_weights(self.weight))


class TextbookConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, binary_weights(self.weight), stride=self.stride)


class Bytes(nn.Module):
    """Bytes (N, height, width, channels) to maps in [-1, 1]."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def plain(topology: Topology, *, binary: bool) -> nn.Module:
    """Return ``topology`` in PyTorch's modules, with real or binary weights and activations."""
    layers: list[nn.Module] = [Bytes()]
    flat = len(topology.input) == 1
    for layer, (height, width, channels) in zip(topology.layers, topology.shapes(), strict=False):
        match layer:
            case Conv():
                kind = TextbookConv if binary else nn.Conv2d
                layers.append(kind(channels, layer.channels, layer.kernel, bias=False))
            case Dense():
                layers += [] if flat else [nn.Flatten()]
                flat = True
                dense = TextbookLinear if binary else nn.Linear
                layers.append(dense(height * width * channels, layer.units, bias=False))
            case Norm(scalar=False):
                layers.append(nn.BatchNorm1d(channels) if flat else nn.BatchNorm2d(channels))
            case Pool():
                layers.append(nn.MaxPool2d(layer.kernel, layer.stride))
            case Act():
                layers.append(TextbookSign() if binary else nn.ReLU(inplace=True))
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def brevitas(stack: str) -> dict[str, nn.Module]:
    """Return Brevitas' own LFC and CNV at W1A1; {} if Brevitas is not installed."""
    try:
        from brevitas_examples.bnn_pynq.models.CNV import CNV
        from brevitas_examples.bnn_pynq.models.FC import FC
    except ImportError:
        return {}
    model = CNV(10, 1, 1, 8, 3) if stack == "cnv" else FC(10, 1, 1, 1, 1, [1024, 1024, 1024])
    return {"brevitas": nn.Sequential(Bytes(), model.to(memory_format=torch.channels_last))}


def step_of(model: nn.Module, batch: tuple[Tensor, Tensor], half: bool) -> Callable[[], None]:
    """Return a function that does one training step of ``model``."""
    pictures, labels = batch
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    device = pictures.device.type

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            logits = model(pictures)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        if isinstance(model, Stack):
            model.project()

    return step


def seconds(step: Callable[[], None], device: str) -> float:
    """Return the processor time (GPU: wall time) of one step, in seconds."""
    if device == "cpu":
        start = time.process_time()
        step()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / 20


def kinds(device: str) -> tuple[bool, ...]:
    """Return the kinds to measure: False float32, True bfloat16 (not on x86 without support)."""
    has = torch.cpu.get_capabilities()
    lacks = has.get("architecture") == "x86_64" and not (has["avx512_bf16"] or has["amx_bf16"])
    return (False,) if device == "cpu" and lacks else (False, True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stack", nargs="?", default="cnv", choices=["lfc", "cnv"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--keep-memory", action="store_true")
    options = parser.parse_args()
    if options.keep_memory:
        keep_memory()
    torch.set_num_threads(1)
    topology = deployable(zoo.topology(f"{options.stack}-w1a1"))
    size = (options.batch, *topology.input)
    batch = (
        torch.randint(0, 256, size, dtype=torch.uint8, device=options.device),
        torch.randint(0, topology.classes, (options.batch,), device=options.device),
    )
    times: dict[tuple[str, bool], list[float]] = {}
    steps = {}
    for half in kinds(options.device):
        for name, model in {
            "float": plain(topology, binary=False),
            "textbook": plain(topology, binary=True),
            **brevitas(options.stack),
            "ours": Stack(topology),
        }.items():
            steps[name, half] = step_of(model.to(options.device).train(), batch, half)
    integers = Stack(topology).train()
    if options.device == "cpu" and integers.use_luts():
        steps["integers", False] = step_of(integers, batch, False)
    for key, step in steps.items():
        step()
        times[key] = []
    for _ in range(options.rounds):
        for key, step in steps.items():
            times[key].append(seconds(step, options.device))
    print(f"{topology.name}, batch {options.batch}, one thread of {machine()}")
    for (name, half), found in times.items():
        middle = statistics.median(found)
        ratio = middle / statistics.median(times["float", half])
        kind = "" if name == "integers" else "bfloat16" if half else "float32"
        print(f"{kind:9} {name:9} {options.batch / middle:8.0f} images/s   {ratio:.2f} x float")


if __name__ == "__main__":
    main()

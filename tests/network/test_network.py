# SPDX-License-Identifier: BSD-3-Clause
"""What a network refuses when layers are put together, and the nearest that it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from bnn.errors import NetworkError
from bnn.network.network import (
    Add,
    BatchNorm,
    Concat,
    Conv2d,
    FixedPoint,
    Flatten,
    Lattice,
    Layer,
    Leaky,
    Linear,
    MaxPool,
    MultiThreshold,
    Network,
    Quantize,
    RealDense,
    Scale,
    Sign,
)
from bnn.program.inputs import RealInput
from bnn.program.precision import BIPOLAR, INT

FLAT = Flatten("flat")


def network(
    layers: Sequence[Layer],
    shape: tuple[int, ...] = (4, 5, 2),
    lattice: Lattice | None = None,
    arithmetic: Any = "float32",
) -> Network:
    given = RealInput(shape, INT(4), np.ones(1, np.float32), np.zeros(1, np.float32))
    return Network(given, tuple(layers), lattice or Lattice(), arithmetic)


def dense(inputs: int, units: int = 3, name: str = "end", **fields: Any) -> Linear:
    return Linear(name, np.ones((units, inputs), np.int16), BIPOLAR, **fields)


def conv(
    inputs: int = 2,
    units: int = 3,
    size: tuple[int, int] = (4, 5),
    name: str = "conv",
    **fields: Any,
) -> Conv2d:
    return Conv2d(name, np.ones((units, *size, inputs), np.int16), BIPOLAR, **fields)


def steps(channels: int) -> MultiThreshold:
    return MultiThreshold("steps", np.zeros((channels, 2)))


def fixed(channels: int, offsets: int = 2) -> FixedPoint:
    return FixedPoint("f", np.ones(channels), np.zeros(offsets), 1, -8, 7, 1.0)  # type: ignore[arg-type]


def norm(channels: int) -> BatchNorm:
    return BatchNorm("n", *np.ones((4, channels), np.float32))


def pool(size: tuple[int, int], padding: Any = (0, 0, 0, 0)) -> MaxPool:
    return MaxPool("p", size, (1, 1), padding)


def after(one: Layer, channels: int = 2) -> list[Layer]:
    return [one, FLAT, dense(40 // 2 * channels)]


#: What a value makes; the value that is taken, those that are refused, and a part of the reason.
CASES: dict[str, tuple[Callable[[Any], Any], Any, list[Any], str]] = {
    "arithmetic": (
        lambda value: network([FLAT, dense(40)], arithmetic=value),
        "float64",
        ["float16", "", None],
        "float32 or float64",
    ),
    "layers": (network, [FLAT, dense(40)], [[]], "the network has no layers"),
    "names": (
        lambda name: network([Flatten("a"), dense(40, name=name)]),
        "b",
        ["a", "input", "", 3],
        "must be unique|float|3",
    ),
    "order": (
        lambda source: network([FLAT, Sign("s"), dense(40, source=source)]),
        "s",
        ["end", "other"],
        "which no earlier layer makes",
    ),
    "end": (
        lambda size: network([conv(size=size)]),
        (4, 5),
        [(3, 5), (4, 4), (1, 1)],
        "the last layer must give a vector",
    ),
    "a kernel": (
        lambda size: network([conv(size=size)]),
        (4, 5),
        [(5, 5), (4, 6), (5, 1)],
        "is larger than the padded map",
    ),
    "a pool": (
        lambda size: network([pool(size), FLAT, dense(2)]),
        (4, 5),
        [(5, 5), (4, 6)],
        "is larger than the padded map",
    ),
    "values of the input": (
        lambda count: network([FLAT, dense(40)], lattice=Lattice(reals=tuple(range(count)))),
        16,
        [1, 15, 17, 256],
        "16 in all; it has",
    ),
    "inputs": (
        lambda count: network([FLAT, dense(count)]),
        40,
        [39, 41],
        "weights are for .* gives 40",
    ),
    "channels": (
        lambda count: network([conv(count)]),
        2,
        [1, 3],
        "weights are for .* gives 2",
    ),
    "a vector": (
        lambda shape: network([dense(2)], shape),
        (1, 1, 2),
        [(2, 1, 2), (1, 2, 2), (2, 2, 2)],
        "a dense layer reads a vector",
    ),
    "real values": (
        lambda layers: network([FLAT, dense(40, name="one"), *layers, dense(3)]),
        [Sign("s")],
        [[Scale("s")], [Leaky("s", 0.5)], [norm(3)]],
        "reads real values",
    ),
    "thresholds": (
        lambda count: network(after(steps(count))),
        2,
        [3, 4],
        r"has thresholds for [34] channels, but reads 2",
    ),
    "thresholds of all": (lambda count: network(after(steps(count))), 1, [0, 40], "thresholds"),
    **{
        f"{what} of a layer": (
            lambda count, what=what, made=made: network(  # type: ignore[misc]
                [conv(2, 3), made(what, np.ones(count, np.float32))]
            ),
            3,
            [2, 4],
            f"{what} has . values, but the map has 3 channels",
        )
        for what, made in {
            "factor": lambda what, value: Scale("s", **{what: value}),
            "offset": lambda what, value: Scale("s", **{what: value}),
            "divisor": lambda what, value: Scale("s", **{what: value}),
            "gamma": lambda what, v: BatchNorm("n", **_norm(what, v)),
            "beta": lambda what, v: BatchNorm("n", **_norm(what, v)),
            "mean": lambda what, v: BatchNorm("n", **_norm(what, v)),
            "inv_std": lambda what, v: BatchNorm("n", **_norm(what, v)),
        }.items()
    },
    "the shapes of a sum": (
        lambda size: network(
            [
                Sign("s"),
                pool(size),
                Add("a", "s", "p"),
                FLAT,
                dense(40),
            ]
        ),
        (1, 1),
        [(2, 1), (1, 2)],
        "cannot add",
    ),
    "the values of a sum": (
        lambda layers: network(
            [Sign("s"), *layers, Add("a", "s", layers[-1].name), FLAT, dense(40)]
        ),
        [Sign("t")],
        [[Scale("r")], [norm(2)]],
        "adds real values",
    ),
    "the units of a sum": (
        lambda scale: network([Sign("s"), Sign("t", scale), Add("a", "s", "t"), FLAT, dense(40)]),
        0.75,
        [np.pi, np.sqrt(2)],
        "have no common unit",
    ),
    "the shapes of what is joined": (
        lambda size: network([Sign("s"), pool(size), Concat("c", "s", "p"), FLAT, dense(80)]),
        (1, 1),
        [(2, 1), (1, 2)],
        "cannot join",
    ),
    "the scales of what is joined": (
        lambda scale: network(
            [Sign("s"), Sign("t", scale), Concat("c", "s", "t"), FLAT, dense(80)]
        ),
        1.0,
        [0.5, 2.0],
        "joins maps with different scales",
    ),
    "the values of what is joined": (
        lambda one: network([Sign("s"), one, Concat("c", "s", one.name), FLAT, dense(80)]),
        Sign("t"),
        [Scale("r"), norm(2)],
        "or real values",
    ),
    "the first values of what is joined": (
        lambda one: network([Sign("s"), one, Concat("c", one.name, "s"), FLAT, dense(80)]),
        Sign("t"),
        [Scale("r"), norm(2)],
        "or real values",
    ),
    "multipliers": (
        lambda count: network(after(fixed(count))),
        2,
        [1, 3],
        "must read a quantized map of",
    ),
    "offsets": (lambda count: network(after(fixed(2, count))), 2, [1, 3], "offsets for 2 channels"),
    "a map in fixed point": (
        lambda one: network([one, *after(fixed(2))]),
        Quantize("q", INT(4)),
        [Scale("r")],
        "must read a quantized map",
    ),
    "real weights": (
        lambda count: network([FLAT, dense(40), Sign("s"), RealDense("r", np.ones((2, count)))]),
        3,
        [2, 4],
        "takes . inputs, not",
    ),
}


def _norm(what: str, value: Any) -> dict[str, Any]:
    return {**dict.fromkeys(("gamma", "beta", "mean", "inv_std"), 1.0), what: value}


@pytest.mark.parametrize("name", CASES)
def test_both_sides(name: str) -> None:
    make, taken, refused, words = CASES[name]
    assert make(taken) is not None
    for value in refused:
        with pytest.raises(NetworkError, match=words):
            make(value)


@pytest.mark.parametrize(
    ("layers", "shape", "scale"),
    [
        ([conv(size=(2, 3), stride=(2, 1), padding=(1, 0, 0, 2))], (2, 5, 3), 1.0),
        ([conv(size=(2, 3), stride=(1, 2), padding=(0, 1, 2, 0))], (5, 2, 3), 1.0),
        ([conv(size=(4, 4), scale=0.5)], (1, 2, 3), 0.5),
        ([conv(size=(3, 5), bias=np.ones(3))], (2, 1, 3), None),
        ([conv(size=(3, 5), scale=np.ones(3))], (2, 1, 3), None),
        ([MaxPool("p", (3, 2), (1, 3), (1, 0, 1, 1))], (4, 2, 2), 1.0),
        ([Sign("s", 0.25)], (4, 5, 2), 0.25),
        ([Quantize("q", INT(4), 0.5)], (4, 5, 2), 0.5),
        ([steps(1)], (4, 5, 2), 1.0),
        ([fixed(2)], (4, 5, 2), 1.0),
        ([Sign("s", 0.5), Sign("t", 0.75), Add("a", "s", "t", (2.0, 1.0))], (4, 5, 2), 0.5),
        ([Sign("s", 0.5), Sign("t", 0.75), Add("a", "s", "t", (1.0, 2.0))], (4, 5, 2), 0.25),
        ([Sign("s", 0.5), Concat("c", "s", "s")], (4, 5, 4), 0.5),
        ([FLAT], (1, 1, 40), 1.0),
        ([Scale("x")], (4, 5, 2), None),
        ([Leaky("x", 0.5)], (4, 5, 2), None),
        ([norm(2)], (4, 5, 2), None),
    ],
)
def test_shapes_and_scales(
    layers: list[Layer], shape: tuple[int, int, int], scale: float | None
) -> None:
    count = int(np.prod(shape))
    ending = [Sign("last"), Flatten("flattened"), dense(count)]
    signal = network([*layers, *ending]).signals[layers[-1].name]
    assert (signal.shape, signal.scale) == (shape, scale)

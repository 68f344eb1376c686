# SPDX-License-Identifier: BSD-3-Clause
"""Topologies: the TOML file, its refusals, the zoo, and every stack lowered exactly."""

from pathlib import Path

import numpy as np
import pytest

from bnn.errors import NetworkError, UnknownNameError
from bnn.network import zoo
from bnn.network.assemble import assemble, random_parameters
from bnn.network.quantizers import unit_scale
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology, load, loads
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from support.lowered_exactly import assert_lowered_exactly

MINE = """
name = "mine"
input = [12, 20, 1]
encoding = "bytes"
weights = "int2n"
activations = "uint2"
layers = [
  { conv = 4, kernel = [3, 5], stride = [1, 2], padding = [1, 2] }, "norm", "act",
  { conv = 6, weights = "bipolar", bias = true }, { pool = 2 }, "norm", { act = "bipolar" },
  { conv = 5, padding = 1 }, "norm", { act = "int3" }, { pool = [1, 2], stride = 1 },
  { dense = 7, weights = "int4" }, { norm = "channel", epsilon = 0.001 }, { act = "uint8" },
  { dense = 3 }, { norm = "scalar" },
]
"""


def test_toml() -> None:
    mine = loads(MINE)
    assert mine.name == "mine"
    assert mine.classes == 3
    assert mine.layers[0] == Conv(4, (3, 5), (1, 2), (1, 2, 1, 2), TERNARY)
    assert mine.layers[3:7] == (
        Conv(6, weights=BIPOLAR, bias=True),
        Pool(),
        Norm(),
        Act(BIPOLAR),
    )
    assert mine.layers[10:13] == (Pool((1, 2), (1, 1)), Dense(7, INT(4)), Norm(epsilon=0.001))
    assert mine.layers[13] == Act(UINT(8))
    assert mine.layers[-1] == Norm(scalar=True)


@pytest.mark.parametrize("seed", range(5))
def test_any_stack_lowers_exactly(seed: int) -> None:
    mine, rng = loads(MINE), np.random.default_rng(seed)
    network = assemble(mine, random_parameters(mine, rng))
    assert_lowered_exactly(network, rng.integers(0, 256, (4, *mine.input), np.uint8))


@pytest.mark.parametrize("name", ["tfc-w1a1", "sfc-w2a2", "lfc-w1a2", "cnv-w1a1", "cnv-w2a2"])
def test_the_zoo_lowers_exactly(name: str) -> None:
    stack, rng = zoo.topology(name, 43), np.random.default_rng(3)
    network = assemble(stack, random_parameters(stack, rng))
    program = assert_lowered_exactly(network, rng.integers(0, 256, (1, *stack.input), np.uint8))
    assert program.classes == 43


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("cnv-w1a1", "cnv-w1a1"),
        ("cnvW1A1", "cnv-w1a1"),
        ("CNV_1W1A", "cnv-w1a1"),
        ("lfcW1A2", "lfc-w1a2"),
        ("LFC_1W2A", "lfc-w1a2"),
        ("TFC_2W2A", "tfc-w2a2"),
    ],
)
def test_names(spelled: str, name: str) -> None:
    assert zoo.topology(spelled).name == name


@pytest.mark.parametrize("name", ["", "cnv", "cnv-w2a1", "cnv-w1a1x", "vgg-w1a1"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(UnknownNameError, match="no network is called"):
        zoo.topology(name)


def test_the_zoo_is_the_originals() -> None:
    """Multiplications of the specification's tables in section 1, unpadded."""

    def operations(name: str) -> int:
        stack = zoo.topology(name)
        shapes, total = stack.shapes(), 0
        for layer, before, after in zip(stack.layers, shapes, shapes[1:], strict=False):
            if isinstance(layer, Conv):
                total += 2 * 9 * before[2] * after[0] * after[1] * after[2]
            if isinstance(layer, Dense):
                total += 2 * int(np.prod(before)) * after[2]
        return total

    assert operations("cnv-w1a1") == 118978048 - 2 * 512 * 54
    assert operations("lfc-w1a1") == 6029312 - 2 * 1024 * 48 - 2 * 1024 * 54


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("conv = 4,", "conv = 0,"), r"layers\[0\]: conv must be a whole number from 1"),
        (
            ("stride = 1", "strides = 1"),
            r"layers\[10\]: unknown key 'strides'; known are pool",
        ),
        (('"scalar"', '"both"'), r"layers\[15\]: norm is 'channel' or 'scalar', not 'both'"),
        (('{ act = "uint8" }', '"relu"'), r"layers\[13\]: must have exactly one of conv, dense"),
        (('{ act = "uint8" },', ""), r"layers\[13\]: reads real values; put an a"),
        (("[12, 20, 1]", "[3, 20, 1]"), r"layers\[4\]: kernel \(2, 2\) is larger than"),
        (("[12, 20, 1]", "[0, 20, 1]"), "input must be a whole number from 1 to 65536, not 0"),
        (("[12, 20, 1]", "[12, 20, 0]"), "input must be a whole number from 1 to 65536, not 0"),
        (("[12, 20, 1]", "[12, 65537, 1]"), "from 1 to 65536, not 65537"),
        (("[12, 20, 1]", "[12, 20]"), r"input is \[height, width, channels\] or \[features\]"),
        (('"bytes"', '"real"'), "encoding is one of fixed-point, sign, bytes, not 'real'"),
        (('"int2n"', '"int9"'), "weights: int9 is not possible; use bipolar"),
        (('"int2n"', "2"), "weights: no such precision: 2"),
        (("bias = true", "bias = 1"), r"layers\[3\]: bias must be true or false, not 1"),
        (('{ dense = 3 }, { norm = "scalar" },', ""), "must end with a dense layer"),
        (("input = [12, 20, 1]", ""), "'input' is missing"),
        (("layers = [", "layers = "), "not TOML: "),
        (("padding = 1 }", "padding = [1, 2, 3] }"), r"layers\[7\]: padding must be one number"),
    ],
)
def test_refusals(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in MINE
    path = tmp_path / "bad.toml"
    path.write_text(MINE.replace(*change))
    with pytest.raises(NetworkError, match=rf"bad\.toml: .*{message}"):
        load(path)


def test_refused_files(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    with pytest.raises(NetworkError, match=r"net\.toml: cannot be read: No such file"):
        load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(NetworkError, match=r"net\.toml: not a topology file: "):
        load(path)
    path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(NetworkError, match="is larger than 1048576 bytes"):
        load(path)
    path.write_text("a = " + "[" * 100000)
    with pytest.raises(NetworkError, match=r"net\.toml: not TOML"):
        load(path)


def test_parameters_that_do_not_fit() -> None:
    stack = Topology("two", (4,), (Dense(3), Norm(), Act(), Dense(2)))
    parameters = random_parameters(stack, np.random.default_rng(0))
    with pytest.raises(NetworkError, match="norm0: gamma has 3 values, but the map has 2 channels"):
        assemble(
            Topology("two", (4,), (Dense(2), Norm(), Act(), Dense(2))),
            [
                random_parameters(Topology("t", (4,), (Dense(2),)), np.random.default_rng(0))[0],
                *parameters[1:],
            ],
        )


@pytest.mark.parametrize(
    "precision", [BIPOLAR, TERNARY, INT(2), INT(4), INT(8), UINT(1), UINT(3), UINT(8)]
)
def test_a_unit_scale_fills_the_unit_range(precision: Precision) -> None:
    """Real values are of [-1, 1], [0, 1] or [-1, 1), and reach an end."""
    low, high = (number * unit_scale(precision) for number in (precision.low, precision.high))
    assert max(-low, high) == 1
    assert low in (-1, 0)


@pytest.mark.parametrize("size", [0, 65_537])
@pytest.mark.parametrize("shape", [(28, 28, 1), (784,)])
def test_sizes_of_an_input_that_is_made_in_python(shape: tuple[int, ...], size: int) -> None:
    layers = (Dense(3),)
    assert Topology("x", shape, layers).input == shape
    assert Topology("x", (65_536,), layers).input == (65_536,)
    for place in range(len(shape)):
        other = (*shape[:place], size, *shape[place + 1 :])
        with pytest.raises(NetworkError, match=r"^x: input is \[height, width, channels\] or"):
            Topology("x", other, layers)

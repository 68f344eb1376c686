# SPDX-License-Identifier: BSD-3-Clause
"""Each value of a topology from both sides of its limits, and each default."""

from __future__ import annotations

from typing import Any

import pytest

from bnn.errors import NetworkError
from bnn.network import topology
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, loads
from bnn.program.precision import BIPOLAR, INT, UINT

LONG = "x" * 200


def written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def text(layer: str, top: str = "", size: str = "[8, 9, 2]") -> str:
    return f'input = {size}\n{top}\nlayers = [{layer}, "act", {{ dense = 3 }}]\n'


def first(layer: str, top: str = "") -> Any:
    return loads(text(layer, top)).layers[0]


#: A layer, a key; values that are refused, values that are taken.
VALUES: list[tuple[str, str, list[Any], list[Any]]] = [
    (
        "conv = 4",
        "kernel",
        [0, -1, 65537, [1, 2, 3], [1], [0, 1], [1, 0], 1.5, "3"],
        [1, 8, [8, 9]],
    ),
    ("conv = 4", "stride", [0, 65537, [1, 2, 3], [], [1, 0], 1.0, True], [1, 8, [2, 3]]),
    (
        "conv = 4",
        "padding",
        [-1, 65537, [1], [1, 2, 3], [1, 2, 3, 4, 5], [0, -1], [1, 1, 1, -1], 1.0, True],
        [0, 1, [1, 0], [0, 1, 2, 3]],
    ),
    *(
        (
            layer,
            "weights",
            ["int1", "int9", "uint9", "float", "", 2],
            ["int2", "int8n", "uint8", "int2n"],
        )
        for layer in ("conv = 4", "dense = 4")
    ),
    *((layer, "bias", [0, 1, "true"], [True, False]) for layer in ("conv = 4", "dense = 4")),
    *(
        (layer, "name", [1, "a\\nb", LONG + "y"], ["", "a.b", LONG])
        for layer in ("conv = 4", "dense = 4", 'norm = "channel"')
    ),
    ('norm = "channel"', "epsilon", [0, 0.0, 1, 1.0, -0.1, "1", True], [1e-12, 0.5, 0.999]),
    ("pool = 2", "stride", [0, [1, 2, 3], 1.5], [1, 3, [1, 2]]),
]


@pytest.mark.parametrize(("layer", "key", "refused", "taken"), VALUES)
def test_values_of_layers(layer: str, key: str, refused: list[Any], taken: list[Any]) -> None:
    for value in taken:
        loads(text(f"{{ {layer}, {key} = {written(value)} }}"))
    for value in refused:
        with pytest.raises(NetworkError, match=rf"layers\[0\]: {key}"):
            loads(text(f"{{ {layer}, {key} = {written(value)} }}"))


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_units(kind: str) -> None:
    for value in (1, 4096):
        loads(text(f"{{ {kind} = {value} }}"))
    for value in (0, -1, 65537, 1.0, '"4"', "true"):
        with pytest.raises(NetworkError, match=rf"layers\[0\]: {kind} must be a whole number"):
            loads(text(f"{{ {kind} = {value} }}"))


@pytest.mark.parametrize(
    ("layer", "made"),
    [
        ("{ conv = 4 }", Conv(4, (3, 3), (1, 1), (0, 0, 0, 0), BIPOLAR, False, "")),
        (
            (
                "{ conv = 4, kernel = [2, 3], stride = [1, 2], padding = [1, 2], "
                'weights = "int4", bias = true, name = "a" }'
            ),
            Conv(4, (2, 3), (1, 2), (1, 2, 1, 2), INT(4), True, "a"),
        ),
        (
            "{ conv = 4, padding = [0, 1, 2, 3] }",
            Conv(4, (3, 3), (1, 1), (0, 1, 2, 3), BIPOLAR, False, ""),
        ),
        ("{ conv = 4, padding = 2 }", Conv(4, (3, 3), (1, 1), (2, 2, 2, 2), BIPOLAR, False, "")),
        ("{ dense = 5 }", Dense(5, BIPOLAR, False, "")),
        ('{ dense = 5, weights = "int2n", bias = true }', Dense(5, INT(2, narrow=True), True, "")),
        ('"pool"', Pool((2, 2), (2, 2))),
        ("{ pool = 3 }", Pool((3, 3), (3, 3))),
        ("{ pool = [2, 3] }", Pool((2, 3), (2, 3))),
        ("{ pool = 3, stride = 1 }", Pool((3, 3), (1, 1))),
        ('"norm"', Norm(False, 1e-4, False, "")),
        ('{ norm = "scalar" }', Norm(True, 1e-4, False, "")),
        ('{ norm = "channel", epsilon = 0.01 }', Norm(False, 0.01, True, "")),
        ('"act"', Act(BIPOLAR)),
        ('{ act = "uint2" }', Act(UINT(2))),
    ],
)
def test_defaults_of_layers(layer: str, made: Any) -> None:
    if isinstance(made, Pool | Norm | Act):
        layers = loads(text(f'{{ conv = 4 }}, "act", {layer}')).layers
        assert layers[2] == made
    else:
        assert first(layer) == made


def test_defaults_of_all_layers() -> None:
    made = loads(text("{ conv = 4 }", 'weights = "int4"\nactivations = "uint2"'))
    assert made.layers[0] == Conv(4, (3, 3), (1, 1), (0, 0, 0, 0), INT(4), False, "")
    assert made.layers[1:] == (Act(UINT(2)), Dense(3, INT(4), False, ""))
    assert (made.name, made.encoding, made.input, made.classes) == (
        "network",
        "fixed-point",
        (8, 9, 2),
        3,
    )
    assert loads(text("{ dense = 4 }", size="7")).input == (7,)


@pytest.mark.parametrize(
    ("top", "words"),
    [
        (f'name = "{LONG}"', ""),
        (f'name = "{LONG}y"', "up to 200 printable characters"),
        ('name = ""', "printable characters"),
        ('name = "a\\tb"', "printable characters"),
        ("name = 3", "printable characters"),
        ('encoding = "sign"', ""),
        ('encoding = "bytes"', ""),
        ('encoding = "other"', "encoding is one of"),
        ('made_up = "x"', "topology: unknown key 'made_up'"),
        ('wieghts = "int2"', "did you mean 'weights'"),
        ('zzz = "int2"', "known are activations, encoding, input, layers, name, weights$"),
        ('activations = "int1"', "activations: int1 is not possible"),
    ],
)
def test_values_of_the_whole(top: str, words: str) -> None:
    if not words:
        loads(text("{ conv = 4 }", top))
        return
    with pytest.raises(NetworkError, match=words):
        loads(text("{ conv = 4 }", top))


@pytest.mark.parametrize(
    ("size", "fits"),
    [
        *(("[8, 9, 2]", True), ("[1, 65536, 1]", True), ("[8]", True), ("8", True)),
        *(("[8, 9]", False), ("[8, 9, 2, 1]", False), ("[]", False), ("[0, 9, 2]", False)),
        *(("[8, 65537, 2]", False), ("[8, 9, 2.0]", False), ('"8"', False)),
    ],
)
def test_sizes_of_an_input(size: str, fits: bool) -> None:
    if fits:
        loads(text("{ dense = 2 }", size=size))
        return
    with pytest.raises(NetworkError, match="input"):
        loads(text("{ dense = 2 }", size=size))


@pytest.mark.parametrize(
    "layers",
    [
        "3",
        "{}",
        '"act"',
        "[3]",
        '["relu"]',
        "[{ dense = 2, conv = 2 }]",
        "[{ bias = true }]",
        "[[]]",
        "[]",
    ],
)
def test_what_is_no_layer(layers: str) -> None:
    with pytest.raises(NetworkError, match=r"layers|exactly one of|a topology has 1 to"):
        loads(f"input = [8]\nlayers = {layers}\n")


def test_limits_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = text('{ conv = 4 }, { norm = "channel", epsilon = 0.1234567 }')
    loads(plain)
    for name, most, words in (
        ("MAX_DIGITS", 7, "a number has more than 6 digits"),
        ("MAX_ALL_DOTS", 1, "it has more than 0 dots"),
        ("MAX_DOTS", 1, "a line has 1 dots, more than 0"),
        ("MAX_LAYERS", 4, "has 4 layers; from 1 to 3 are possible"),
    ):
        monkeypatch.setattr(topology, name, most)
        loads(plain)
        monkeypatch.setattr(topology, name, most - 1)
        with pytest.raises(NetworkError, match=words):
            loads(plain)
        monkeypatch.undo()


def test_limits_of_the_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """8x9x2 -> conv 2x2 of 4: 7x8x4 = 224 values, 32 weights -> dense 3: 672 weights."""
    plain = text("{ conv = 4, kernel = 2 }")
    for name, most, words in (
        ("MAX_VALUES", 224, r"layers\[0\]: has more than 223 values"),
        ("MAX_WEIGHTS", 32 + 672, r"layers\[2\]: .* more than 703 weights"),
    ):
        monkeypatch.setattr(topology, name, most)
        loads(plain)
        monkeypatch.setattr(topology, name, most - 1)
        with pytest.raises(NetworkError, match=words):
            loads(plain)
        monkeypatch.undo()

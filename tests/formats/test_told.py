# SPDX-License-Identifier: BSD-3-Clause
"""What the user says beside a file: what a function is, an architecture, names of arrays."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import FormatError
from bnn.formats.brevitas import state
from bnn.formats.convert import Options, convert
from bnn.formats.keras.fixed_point import FixedPoint, activation_of, fixed_point
from bnn.formats.keras.qkeras import called
from bnn.formats.qonnx import steps
from bnn.formats.qonnx.steps import StepsError, explored
from bnn.formats.report import Report
from bnn.network import topology
from bnn.network.layers import MultiThreshold, Quantize
from bnn.program.precision import INT
from support.converted import FIXTURES

MLP = FIXTURES / "keras" / "keras3-mlp.keras"


def renamed(path: Path, name: str) -> Path:
    """The fixture with its signs as a function of the user's own."""
    with zipfile.ZipFile(MLP) as held, zipfile.ZipFile(path, "w") as made:
        for member in held.namelist():
            data = held.read(member)
            if member == "config.json":
                data = data.replace(b'"config": "sign"', f'"config": "{name}"'.encode())
            made.writestr(member, data)
    return path


def test_a_function_of_the_users_own(tmp_path: Path) -> None:
    path = renamed(tmp_path / "x.keras", "my>bsign")
    with pytest.raises(FormatError, match="'my>bsign' is the user's own code, which is not run"):
        convert(path)
    told = convert(path, None, Options(quantizers=(("my>bsign", "sign"),)))
    assert told.model.program.digest() == convert(MLP).model.program.digest()
    assert "my>bsign is taken as sign, as --quantizer says" in told.report.lost


@pytest.mark.parametrize(
    ("name", "known", "line"),
    [
        ("bsign", "sign", "no function of this name; it has 'my>bsign'"),
        ("my>bsign", "my>other", "'my>other' is not known; known are .*ste_sign"),
        ("my>bsign", "nonsense", "'nonsense' is not known; known are .*ste_sign"),
        ("sign", "ste_sign", "is known already; it cannot become ste_sign"),
        ("keras>sign", "ste_sign", "is known already"),
        ("my>bsign", "ste_sign()", "'ste_sign\\(\\)' is not known"),
    ],
)
def test_what_is_told_of_it_must_be_known(name: str, known: str, line: str, tmp_path: Path) -> None:
    path = renamed(tmp_path / "x.keras", "my>bsign")
    with pytest.raises(FormatError, match=line):
        convert(path, None, Options(quantizers=((name, known),)))


def test_blanks_and_repetitions(tmp_path: Path) -> None:
    path = renamed(tmp_path / "x.keras", "my>bsign")
    told = convert(path, None, Options(quantizers=((" my>bsign ", " sign"),)))
    assert "my>bsign is taken as sign, as --quantizer says" in told.report.lost
    twice = (("my>bsign", "sign"), ("my>bsign", "ste_sign"))
    with pytest.raises(FormatError, match="given twice, as sign and as ste_sign"):
        convert(path, None, Options(quantizers=twice))
    called = (("my>bsign", "quantized_relu(2,2)"),)
    assert convert(path, None, Options(quantizers=called)).model.program.ops


def test_a_name_that_all_functions_of_the_file_lack() -> None:
    with pytest.raises(FormatError, match="this name; all its functions are known"):
        convert(MLP, None, Options(quantizers=(("bsign", "sign"),)))


def test_a_wrong_format_is_named() -> None:
    for name in ("chainer", "theano", "brevitas", "qonnx", "bnn-pynq"):
        with pytest.raises(FormatError, match=f"is not a {name} file but a keras one; remove"):
            convert(MLP, name)


def test_links_of_other_sizes_ask_for_a_topology(tmp_path: Path) -> None:
    links = {"l1/W": np.ones((4, 6)), "l2/W": np.ones((3, 5))}
    np.savez(tmp_path / "x.npz", **{k: v.astype(np.float32) for k, v in links.items()})
    with pytest.raises(FormatError, match="batch norms; give their order as --topology FILE"):
        convert(tmp_path / "x.npz")
    for name, size in (("b1", 4), ("b2", 3)):
        links |= {f"{name}/avg_{key}": np.ones(size) for key in ("mean", "var")}
    np.savez(tmp_path / "x.npz", **{k: v.astype(np.float32) for k, v in links.items()})
    with pytest.raises(FormatError, match=r"not \(3, 4\); the links .* give their order as --top"):
        convert(tmp_path / "x.npz")


def test_a_topology_or_an_architecture_by_any_name(tmp_path: Path) -> None:
    plain = FIXTURES / "pytorch" / "cnn.toml"
    beside = tmp_path / "layers.txt"
    beside.write_bytes(plain.read_bytes())
    state = FIXTURES / "pytorch" / "cnn.pt"
    one, two = (convert(state, None, Options(topology=str(p))) for p in (plain, beside))
    assert one.model.program.digest() == two.model.program.digest()


def test_a_given_input_is_no_guess() -> None:
    path = FIXTURES / "chainer" / "mlp.npz"
    told = convert(path, None, Options(input="unit"))
    assert not any("does not specify its inputs" in line for line in told.report.lost)
    assert told.model.provenance["input"] == "unit: bytes divided by 255"
    guessed = convert(path)
    assert any("does not specify its inputs" in line for line in guessed.report.lost)


def test_an_architecture_is_for_weights_alone(tmp_path: Path) -> None:
    beside = tmp_path / "x.json"
    beside.write_text(json.dumps({"class_name": "Sequential", "config": []}))
    with pytest.raises(FormatError, match="is a whole model; do not use --architecture"):
        convert(MLP, None, Options(topology=str(beside)))
    with pytest.raises(FormatError, match="is JSON and has no weights"):
        convert(beside)
    with pytest.raises(FormatError, match=r"not the architecture of a Keras .* as --architecture"):
        convert(MLP, None, Options(topology="cnv-w1a1"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("quantized_bits(8,0,1)", ("quantized_bits", {"bits": 8, "integer": 0, "symmetric": 1})),
        ("quantized_relu( 6 , integer = 2)", ("quantized_relu", {"bits": 6, "integer": 2})),
        ("ternary(alpha='auto')", ("ternary", {"alpha": "auto"})),
        ("quantized_relu", None),
        ("quantized_relu(__import__('os'))", None),
        ("os.system('x')", None),
        ("quantized_relu(6, bits=6)", None),
        ("quantized_relu(**{'bits': 6})", None),
        ("quantized_relu(1,2,3,4,5,6,7,8)", None),
        ("quantized_relu(" + "(" * 200, None),
        ("quantized_relu(6)" + " " * 400, None),
    ],
)
def test_quantizers_that_are_written_as_calls(text: str, wanted: Any) -> None:
    assert called(text) == wanted


# --- PyTorch states ------------------------------------------------------------------

STACK = 'input = 4\nlayers = [{dense=3,bias=true%s},"norm","act",{dense=3,bias=true%s}]'


def tensors(**more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made = {
        "b.weight": rng.normal(size=(3, 3)),
        "b.bias": rng.normal(size=3),
        "a.weight": rng.normal(size=(3, 4)),
        "a.bias": rng.normal(size=3),
        "n.weight": np.ones(3),
        "n.bias": np.zeros(3),
        "n.running_mean": np.zeros(3),
        "n.running_var": np.ones(3),
        "n.num_batches_tracked": np.ones(()),
        **more,
    }
    return {key: np.asarray(value, np.float32) for key, value in made.items() if value is not None}


def converted(stack: str, **more: Any) -> Any:
    return state.converted(tensors(**more), topology.loads(stack), Report("PyTorch"), "bipolar")


def test_modules_are_found_by_size_or_by_name() -> None:
    by_size = converted(STACK % ("", "")).network
    by_name = converted(STACK % (',name="a"', ',name="b"')).network
    for one, two in zip(by_size.layers, by_name.layers, strict=True):
        assert type(one) is type(two)
    np.testing.assert_array_equal(by_name.layers[0].weights, np.sign(tensors()["a.weight"]))


@pytest.mark.parametrize(
    ("names", "more", "line"),
    [
        (("", ""), {"a.bias": None, "a.scale": np.ones(3)}, r"tensor a\.scale belongs to no"),
        ((',name="c"', ""), {}, "no unused linear called 'c'; unused are b, a"),
        (("", ""), {"extra.weight": np.ones((2, 2))}, "module extra is a linear that the topology"),
        (("", ""), {"a.weight": np.full((3, 4), np.nan)}, r"a\.weight holds values that are not"),
        (("", ""), {"a.weight": None}, r"tensor a\.weight is missing"),
        (("", ""), {"n.running_var": -np.ones(3)}, r"n\.running_var: -1 is not a variance"),
    ],
)
def test_states_that_do_not_fit(names: Any, more: Any, line: str) -> None:
    with pytest.raises(FormatError, match=line):
        converted(STACK % names, **more)


# --- steps ---------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=30), st.booleans())
def test_every_step_is_found(edges: list[float], falls: bool) -> None:
    """However narrow it is: neighbours among float32 may have a level of their own."""
    table = np.unique(np.array(edges, np.float32))

    def function(x: Any) -> Any:
        count = (x[..., None] >= table).sum(-1).astype(np.float32)
        return -count if falls else count

    found = explored(function, 2, (-64.0, 64.0))
    assert found.falls.tolist() == [falls, falls]
    expected = np.nextafter(-table, np.float32(np.inf))[::-1] if falls else table
    np.testing.assert_array_equal(found.table, np.tile(expected, (2, 1)))
    np.testing.assert_array_equal(np.diff(found.values), 1)


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (lambda x: np.where(x == 3, 1.0, 0.0) + (x > 5), None),
        (lambda x: x, "more than 256"),
        (lambda x: np.abs(np.rint(x)), "neither rises nor falls"),
        (lambda x: 1 / (x > 100), "not finite"),
    ],
)
def test_what_is_no_staircase(function: Any, line: str | None) -> None:
    if line is None:  # a point between the samples, which is told
        with pytest.raises(StepsError, match="neither"):
            explored(function, 1, (-64.0, 64.0), [lambda x: np.sign(x - 3)])
        return
    with pytest.raises(StepsError, match=line):
        explored(function, 1, (-64.0, 64.0))


@settings(max_examples=40, deadline=None)
@given(st.floats(-60, 60, width=32), st.floats(0, 3, width=32), st.booleans(), st.integers(1, 2))
def test_places_around_a_meeting(at: float, width: float, falls: bool, channels: int) -> None:
    """The first and the last float32 at which it is 0, and their neighbours, also if it falls."""
    first, last = np.float32(at), np.float32(at) + np.float32(width)

    def meeting(x: Any) -> Any:
        values = np.where(x < first, -1, np.where(x > last, 1, 0))
        return -values if falls else values

    low, high = steps._position(-64.0), steps._position(64.0)
    found = steps._around(meeting, low, high, channels)
    beside = [np.nextafter(first, np.float32(-np.inf)), np.nextafter(last, np.float32(np.inf))]
    wanted = [steps._position(float(x)) for x in (first, beside[0], beside[1], last)]
    assert found.tolist() == [[place] * channels for place in wanted]


@pytest.mark.parametrize("rounding", ["TRN", "RND", "RND_CONV", "TRN_ZERO"])
@pytest.mark.parametrize(("signed", "bits", "whole"), [(1, 5, 2), (0, 4, 4), (0, 3, -1), (1, 1, 1)])
def test_fixed_point(rounding: str, signed: int, bits: int, whole: int) -> None:
    """As HGQ defines it: multiples of 2^-fraction, rounded, within the bits."""
    one = [np.full(1, value, np.float32) for value in (signed, bits, whole)]
    made = FixedPoint(*one, rounding, False)
    x = np.arange(-200, 200, dtype=np.float32)[:, None] / 16
    steps = np.asarray(x * 2.0 ** (bits - whole), np.float64)
    q = {
        "TRN": np.floor(steps),
        "RND": np.floor(steps + 0.5),
        "RND_CONV": np.round(steps),
        "TRN_ZERO": np.sign(steps) * np.floor(np.abs(steps)),
    }[rounding]
    least = -(2 ** (bits - 1)) if signed else 0
    wanted = np.clip(q, least, least + 2**bits - 1) * 2.0 ** (whole - bits)
    np.testing.assert_array_equal(made(x), wanted)


#: Bounds of what a chain reads, by channel.
SPAN = (np.full(2, -9, np.float32), np.full(2, 9, np.float32))


def fixed(bits: Any, whole: Any, rounding: str = "RND") -> FixedPoint:
    rows = [np.array(row, np.float32) for row in (np.ones(len(bits)), bits, whole)]
    return FixedPoint(*rows, rounding, False)


@pytest.mark.parametrize(
    "chain",
    [
        [lambda x: x * np.float32(2), fixed([4], [2])],
        [fixed([4], [2]), lambda x: np.maximum(x, np.float32(0)), fixed([3], [3])],
        [fixed([3, 5], [2, 3])],  # channels with other bits
        [lambda x: x + np.array([0, 1], np.float32), fixed([4, 4], [2, 2], "TRN")],
    ],
)
def test_a_chain_of_fixed_points_is_one_activation(chain: list[Any]) -> None:
    made = activation_of("here", "a", chain, 2, SPAN, "source")
    assert isinstance(made, MultiThreshold)
    assert (made.name, made.source) == ("a", "source")
    x = np.arange(-9 * 64, 9 * 64 + 1, dtype=np.float32)[:, None].repeat(2, axis=1) / 64
    wanted = x
    for function in chain:
        wanted = function(wanted)
    found = made.scale * (made.base + made.step * made.level(x))
    np.testing.assert_array_equal(found, wanted)


def test_one_fixed_point_is_a_quantizer() -> None:
    made = activation_of("here", "a", [fixed([4], [2])], 2, SPAN, "source")
    assert isinstance(made, Quantize)
    assert (made.precision, made.scale, made.source) == (INT(4), 0.25, "source")


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ([lambda x: -x, fixed([4], [2])], "here: its values fall as its input rises"),
        (
            [lambda x: x, lambda x: x],
            "here: its result, as a function of what it reads, has more than 256",
        ),
        (
            [fixed([1], [1]), lambda x: x * np.array([1, 1 / 512], np.float32)],
            "here: its values span 512 steps; at most 255 can be held",
        ),
    ],
)
def test_chains_that_are_no_activation(chain: list[Any], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        activation_of("here", "a", chain, 2, SPAN, "source")


@pytest.mark.parametrize("value", [np.nan, 2.5, np.inf, -np.inf])
def test_bits_of_hgq_that_are_not_whole_numbers(value: float) -> None:
    one, bits = np.ones(1, np.float32), np.asarray([value], np.float32)
    for arrays in ((one, bits, one), (one, one, bits)):
        with pytest.raises(FormatError, match=r"whole numbers|0 to 32|more than 32|differ"):
            fixed_point("x", arrays, "RND", "WRAP", 1)
    with pytest.raises(FormatError, match="its bits have shape"):
        fixed_point("x", (one, np.ones((0, 1)), one), "RND", "WRAP", 1)

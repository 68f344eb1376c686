# SPDX-License-Identifier: BSD-3-Clause
"""LSTM-PYNQ's parameter files: their numbers, their programs, and damaged ones."""

from __future__ import annotations

import lzma
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnn
from bnn.errors import BnnError, ParameterError, UnknownNameError
from bnn.formats import convert, lstm_pynq
from bnn.formats.lstm_pynq.reading import read_fraktur, read_plain
from bnn.formats.lstm_pynq.tables import sigmoid_table, tanh_table
from bnn.model.file import load, save
from bnn.program.semantics import evaluate
from bnn.run import prepare_sequence
from support.lstm_pynq import SIGMOID, TANH, class_sums, header, small, write

PLAIN = ("W2A2", "W2A4", "W4A4", "W4A8", "W8A8")
LINES = {
    "plain": ("010029", "010034", "010077", "010081", "010084"),
    "fraktur": ("010001", "010002", "010003", "010004", "010005", "010006", "010010"),
}


@pytest.fixture(scope="session")
def lines_dir(data_dir: Path) -> Path:
    """The folder lstm-pynq under ``BNN_DATA``."""
    folder = data_dir / "lstm-pynq"
    if not (folder / "expected").is_dir():
        pytest.skip("BNN_DATA has no lstm-pynq/expected")
    return folder


def _file(folder: Path, network: str) -> Path:
    if network == "W5A5":
        return folder / "fraktur/W5A5.npz"
    return folder / f"headers/{network}.r_model_fw_bw.hpp.xz"


# --- real files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("network", PLAIN)
def test_numbers_of_the_headers(lines_dir: Path, network: str) -> None:
    """They are those of the same network in logical order."""
    given = read_plain(_file(lines_dir, network))
    with np.load(lines_dir / f"plain/{network}.npz") as known:

        def signed(name: str, bits: int) -> Any:
            codes = known[name].astype(np.int64)
            return codes - ((codes >> (bits - 1)) << bits)

        assert (given.weight_bits, given.bits) == (known["weight_bits"], known["act_bits"])
        np.testing.assert_array_equal(given.weights, signed("w", given.weight_bits))
        np.testing.assert_array_equal(given.biases, signed("b", 8).sum(axis=3))
        np.testing.assert_array_equal(given.out_weights, signed("wfc", 8))
        np.testing.assert_array_equal(given.out_biases, signed("bfc", 8))
        np.testing.assert_array_equal(sigmoid_table(), known["sigmoid"])
        np.testing.assert_array_equal(tanh_table(), known["tanh"])


@pytest.mark.parametrize("network", PLAIN)
@pytest.mark.parametrize("line", LINES["plain"])
def test_class_sums_of_plain_lines(lines_dir: Path, network: str, line: str) -> None:
    expected = lines_dir / f"expected/plain-{network}-{line}.npz"
    if not expected.is_file():
        pytest.skip(f"{expected.name} is not there")
    model = lstm_pynq.load(_file(lines_dir, network))
    assert model.lines is not None
    columns = model.lines.columns(lines_dir / f"plain/{line}.bin.png", 32)
    scores = prepare_sequence("cpu", model.program).run(columns).scores
    with np.load(expected) as known:
        np.testing.assert_array_equal(scores, known["scores"])
    short = 40  # the reference is slow; a line's start tests every operation of it
    part = prepare_sequence("reference", model.program).run(columns[:short]).scores
    np.testing.assert_array_equal(
        part, prepare_sequence("cpu", model.program).run(columns[:short]).scores
    )


@pytest.mark.parametrize("line", LINES["fraktur"])
def test_sums_peaks_and_text_of_fraktur_lines(lines_dir: Path, line: str) -> None:
    expected = lines_dir / f"expected/fraktur-W5A5-{line}.npz"
    if not expected.is_file():
        pytest.skip(f"{expected.name} is not there")
    model = lstm_pynq.load(_file(lines_dir, "W5A5"))
    assert model.lines is not None
    columns = model.lines.columns(lines_dir / f"fraktur/{line}.raw.lnrm.png", 25)
    scores = prepare_sequence("cpu", model.program).run(columns).scores
    labels, tops = model.lines.peaks(scores)
    with np.load(expected) as known:
        np.testing.assert_array_equal(labels, known["label"])
        np.testing.assert_array_equal(tops, known["value"])
        assert model.lines.text(scores, model.classes) == str(known["text"])
        half = known["first_half"]
    edges = evaluate(model.program, columns)
    np.testing.assert_array_equal(edges["scores"][:, 0, 0], scores)
    forward, backward = (edges[f"{name}_sums"][:, 0, 0] for name in ("forward", "backward"))
    np.testing.assert_array_equal(half[::2], forward[: len(half[::2])])
    np.testing.assert_array_equal(half[1::2], backward[::-1][: len(half[1::2])])


@pytest.mark.parametrize(("network", "rows"), [("W2A2", "A2"), ("W4A4", "A4"), ("W8A8", "A8")])
def test_prepared_pixels_are_those_of_the_picture(
    lines_dir: Path, network: str, rows: str, tmp_path: Path
) -> None:
    lines = lstm_pynq.load(_file(lines_dir, network)).lines
    assert lines is not None
    text = tmp_path / "pixels.txt"
    text.write_bytes(lzma.decompress((lines_dir / f"plain/010077.{rows}.txt.xz").read_bytes()))
    from_text = lines.prepared(text, 32)
    np.testing.assert_array_equal(lines.columns(lines_dir / "plain/010077.bin.png", 32), from_text)


def test_prepared_pixels_of_fraktur(lines_dir: Path, tmp_path: Path) -> None:
    lines = lstm_pynq.load(_file(lines_dir, "W5A5")).lines
    assert lines is not None
    text, name = tmp_path / "pixels.txt", "010001.raw.lnrm.png"
    text.write_bytes(lzma.decompress((lines_dir / f"fraktur/{name}.txt.xz").read_bytes()))
    from_picture = lines.columns(lines_dir / "fraktur" / name, 25)
    np.testing.assert_array_equal(from_picture, lines.prepared(text, 25))


def test_models_are_found_by_name(lines_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_PARAMS", str(lines_dir))
    monkeypatch.setenv("BNN_DATA", "")
    assert bnn.load("plain-w4a4") == lstm_pynq.load(_file(lines_dir, "W4A4"))
    assert bnn.load("fraktur-w5a5").name == "fraktur-w5a5"
    monkeypatch.setenv("BNN_PARAMS", "")
    with pytest.raises(UnknownNameError, match="parameter files in BNN_PARAMS"):
        bnn.load("plain-w4a4")


def test_a_real_model_is_written_and_read(lines_dir: Path, tmp_path: Path) -> None:
    for network in ("W4A8", "W5A5"):
        model = lstm_pynq.load(_file(lines_dir, network))
        save(model, tmp_path / "m.bnn")
        assert load(tmp_path / "m.bnn") == model


def test_damaged_archives_of_fraktur(lines_dir: Path, tmp_path: Path) -> None:
    with np.load(_file(lines_dir, "W5A5")) as known:
        arrays = dict(known)

    def refused(**changes: Any) -> str:
        path = tmp_path / "W5A5.npz"
        kept = {**arrays, **changes}
        np.savez(path, **{name: array for name, array in kept.items() if array is not None})
        with pytest.raises(ParameterError) as caught:
            read_fraktur(path)
        return str(caught.value)

    assert "wgi must be 25000 bytes" in refused(wgi=None)
    assert "wgi must be 25000 bytes" in refused(wgi=arrays["wgi"][:-1])
    assert "wgi must be 25000 bytes" in refused(wgi=arrays["wgi"].astype(np.int16))
    assert "more than 5 bits" in refused(bfc=arrays["bfc"] + 32)
    assert "not LSTM-PYNQ's sigmoid" in refused(lut_sigmoid=arrays["lut_sigmoid"] ^ 2)
    assert "not LSTM-PYNQ's sigmoid" in refused(lut_tanh_a=arrays["lut_tanh_a"] ^ 1)
    assert "lut_exp_a does not ascend" in refused(lut_exp_a=arrays["lut_exp_a"][::-1])
    assert "unknown array more" in refused(more=np.zeros(3, np.uint8))


# --- small networks against the original's rules in plain Python --------------------------------


def test_the_tables_are_the_original_ones() -> None:
    assert sigmoid_table().tolist() == SIGMOID
    assert tanh_table().tolist() == TANH
    assert (SIGMOID[0], SIGMOID[255], TANH[0], TANH[255]) == (0, 128, -64, 64)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 8),
    st.integers(2, 8),
    st.booleans(),
    st.integers(1, 12),
)
def test_class_sums_of_random_networks(
    seed: int, weight_bits: int, bits: int, large: bool, count: int
) -> None:
    net = small(seed, weight_bits, bits, large)
    half = 1 << (bits - 1)
    columns = np.random.default_rng(seed).integers(-half, half, (count, net.rows)).astype(np.int16)
    model = _made(net)
    wanted = class_sums(net, columns)
    for runtime in ("cpu", "reference"):
        assert prepare_sequence(runtime, model.program).run(columns).scores.tolist() == wanted


@pytest.mark.parametrize(("weight_bits", "bits"), [(4, 4), (8, 8)])
def test_the_cell_saturates(weight_bits: int, bits: int) -> None:
    """All gates open and the candidate at its end: the cell grows to 32767 and stays there."""
    net = small(1, weight_bits, bits)
    net.w[:] = 0
    net.b[:] = 127
    net.b[:, 3, 2:] = -128
    columns = np.zeros((160, net.rows), np.int16)
    model = _made(net)
    wanted = class_sums(net, columns)
    edges = evaluate(model.program, columns)
    assert edges["scores"][:, 0, 0].tolist() == wanted
    assert prepare_sequence("cpu", model.program).run(columns).scores.tolist() == wanted


def _made(net: Any) -> bnn.Model:
    with tempfile.TemporaryDirectory() as folder:
        return lstm_pynq.load(write(net, Path(folder)))


# --- files --------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(small(3, 4, 4), tmp_path / "plain/W4A4")


def _reason(path: Path) -> str:
    with pytest.raises(ParameterError) as caught:
        lstm_pynq.load(path)
    message = str(caught.value)
    assert message.startswith(str(path.parent))
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("#define PE ", "#define PX ", "does not define PE"),
        ("#define PE ", "#define PE 1\n#define PE ", "PE is defined twice"),
        ("#define BIASWIDTH 8", "#define BIASWIDTH 7", "BIASWIDTH is 7, not 8"),
        ("#define PIXELWIDTH 4", "#define PIXELWIDTH 9", "pixels of 9 bits"),
        ("#define PIXELWIDTH 4", "#define PIXELWIDTH 3", "HIDDENLAYERWIDTH is 4, not 3"),
        ("#define WEIGHTWIDTH 4", "#define WEIGHTWIDTH 3", "has sizes|is not of 3 bits"),
        ("#define NUMBER_OF_NEURONS 4", "#define NUMBER_OF_NEURONS 8", "has sizes|divides no"),
        ("#define NUMBER_OF_NEURONS 4", "#define NUMBER_OF_NEURONS 99999", "99999 units"),
        ("#define HEIGHT_IN_PIX 6", "#define HEIGHT_IN_PIX 0", "0 rows"),
        ("#pragma once", "#include <x>", "line 1 is not understood: '#include"),
        ("#pragma once", "#pragma once\nint x = 3;", "line 2 is not understood: 'int x"),
        ("const ap_uint<8> bfc", "const ap_uint<9> bfc", "bfc is not of 8 bits"),
        ("t_fixed_bfc", "t_fixed_bfx", "bfc is not of 8 bits"),
        (
            "<8 , 1, AP_RND_ZERO, AP_WRAP> t_fixed_bfc",
            "<8 , 2, AP_RND_ZERO, AP_WRAP> t_fixed_bfc",
            "bfc is not of 8 bits with one",
        ),
        ("AP_RND_ZERO", "AP_RND_CONV", "is not understood"),
        ("bfc [1][10]", "bfc [10][1]", "bfc has sizes"),
        ("bfc [1][10] = { { 0x", "bfc [1][10] = { { 0x1, 0x", "bfc does not contain 10 numbers"),
        ("bfc [1][10] = { { 0x", "bfc [1][10] = { 0x", "bfc does not contain 10 numbers"),
        ("bfc [1][10] = { { 0x", "bfc [1][10] = { { 0xfff", "more than 8 bits|contain 10"),
        (" wgi_ih ", " wgx_ih ", "has no array wgi_ih"),
        (
            "const ap_uint<8> bfc",
            "const ap_uint<8> more [1] = { 0x1 };\nconst ap_uint<8> bfc",
            "unknown array more",
        ),
    ],
)
def test_damaged_headers(path: Path, old: str, new: str, reason: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert re.search(reason, _reason(path)), _reason(path)


def test_headers_that_end_too_early(path: Path) -> None:
    text = path.read_text()
    for end in range(0, len(text) - 3, len(text) // 37):
        path.write_text(text[:end])
        _reason(path)


@settings(max_examples=150)
@given(st.data())
def test_a_changed_byte_is_read_or_refused(data: st.DataObject) -> None:
    text = bytearray(header(small(5, 2, 2)).encode())
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] = data.draw(st.integers(0, 255))
    net = small(5, 2, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = write(net, Path(folder))
        path.write_bytes(bytes(text))
        with suppress(BnnError):  # and no other exception
            lstm_pynq.load(path)


def test_packed_headers_and_bombs(path: Path) -> None:
    packed = path.with_name("W4A4.r_model_fw_bw.hpp.xz")
    packed.write_bytes(lzma.compress(path.read_bytes()))
    assert lstm_pynq.load(packed) == lstm_pynq.load(path)
    packed.write_bytes(lzma.compress(b" " * (1 << 26)))
    assert "more than 33554432 bytes when unpacked" in _reason(packed)
    packed.write_bytes(lzma.compress(path.read_bytes())[:-40])
    _reason(packed)
    packed.write_bytes(b"\xff\xfe" * 100)
    assert "not a C++ header" in _reason(packed)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\na\nb\nc\n", "has 4 lines, the network has 5 classes"),
        ("x\na\nb\nc\nd\n", "first line must be empty"),
        ("\na\nb\nc\ndd\n", "one character"),
        ("\na\nb\nc\n\x1b\n", "one character"),
        (b"\n\xff\nb\nc\nd\n", "not UTF-8"),
    ],
)
def test_alphabets(path: Path, text: str | bytes, reason: str) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    path.with_name("alphabet.txt").write_bytes(data)
    assert reason in _reason(path)


def test_an_alphabet_is_found_where_the_repository_has_it(path: Path, tmp_path: Path) -> None:
    wanted = lstm_pynq.load(path)
    place = tmp_path / "lstm/src/network/plain/W4A4/r_model_fw_bw.hpp"
    place.parent.mkdir(parents=True)
    shutil.move(path, place)
    (tmp_path / "lstm/datasets/plain").mkdir(parents=True)
    shutil.move(path.with_name("alphabet.txt"), tmp_path / "lstm/datasets/plain")
    assert lstm_pynq.load(place) == wanted
    assert lstm_pynq.load(place.parent) == wanted
    assert list(lstm_pynq.sets([tmp_path])) == [("plain", "W4A4", place)]
    assert lstm_pynq.datasets_folder([tmp_path]) == str(tmp_path / "lstm/datasets")
    shutil.rmtree(tmp_path / "lstm/datasets")
    assert "alphabet.txt is not beside it" in _reason(place)


def test_a_name_that_says_another_network(path: Path) -> None:
    other = path.with_name("W2A2.r_model_fw_bw.hpp")
    path.rename(other)
    assert "contains W4A4, its name says W2A2" in _reason(other)


def test_headers_are_recognised_and_converted(path: Path) -> None:
    assert convert.recognise(path) == "lstm-pynq"
    assert convert.recognise(path.parent) == "lstm-pynq"
    assert convert.convert(path).model == bnn.load(path) == bnn.load(path.parent)

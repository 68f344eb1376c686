# SPDX-License-Identifier: BSD-3-Clause
"""A .bnn file that was damaged is refused, an older one is noticed, a newer one says to upgrade."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialize

import bnn
from bnn.commands.main import main
from bnn.data.pictures.preprocess import Digit
from bnn.errors import BnnError, ModelFileError, OldFormatWarning
from bnn.library import MODELS
from bnn.model.file import load, save
from bnn.model.model import Model
from bnn.program.inputs import PictureInput, RealInput, identity_table
from bnn.program.operations import ArgMax, Dot, Pool, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, UINT
from bnn.program.program import Program
from support.models import small


def reals() -> Model:
    """The same for real inputs, with an arg max."""
    given = RealInput((3,), INT(4), np.float32([0.5, 0.25, 1]), np.float32([0.1, 0.2, 0.3]), "up")
    dot = Dot("d", "input", [[1, -1, 1], [-1, 1, 1]], BIPOLAR)
    ops = (dot, ArgMax("class", "d", "first-positive"))
    return Model(Program(given, ops, "d", "class"), ("a", "b"))


def told(model: Model) -> Any:
    """Everything of a model that decides an answer."""
    return (model.program.digest(), model.classes, model.preprocess)


def told_or_refused(path: Path) -> Any:
    """What a file says, or None where it is refused."""
    try:
        return told(load(path))
    except ModelFileError:
        return None


def parts(data: bytes) -> dict[str, range]:
    """Bytes of the size, the header (the metadata in it) and the tensors."""
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return {"size": range(8), "header": range(8, end), "tensors": range(end, len(data))}


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("make", [small, reals])
def test_every_flipped_bit_is_refused_or_changes_nothing(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.bnn"
    save(make(), path)
    data, before = path.read_bytes(), told(make())
    refused = dict.fromkeys(parts(data), 0)
    for name, where in parts(data).items():
        for bit in range(8 * where.start, 8 * where.stop):
            path.write_bytes(flipped(data, bit))
            after = told_or_refused(path)
            refused[name] += after is None
            assert after in (None, before), f"bit {bit} ({name})"
    assert refused["tensors"] == 8 * len(parts(data)["tensors"])


def test_flipped_bits_of_a_bundled_model_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "m.bnn"
    data = (MODELS / "lfc-w1a1.bnn").read_bytes()
    random = np.random.default_rng(3)
    for byte in random.choice(parts(data)["tensors"], 60, replace=False):
        path.write_bytes(flipped(data, 8 * int(byte) + int(random.integers(8))))
        with pytest.raises(ModelFileError, match=r"m\.bnn: is damaged: .* digest"):
            load(path)


def rewritten(path: Path, change: Any) -> None:
    """The head of a file changed, its digest as it was."""
    data = path.read_bytes()
    head = json.loads(
        json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]["bnn"]
    )
    change(head)
    path.write_bytes(serialize(parse(data), {"bnn": json.dumps(head)}))


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head.update(classes=["yes", "no"]),
        lambda head: head["preprocess"].update(background=[255, 255, 254]),
        lambda head: head.update(preprocess=Digit().to_json()),
        lambda head: head.update(preprocess=None),
        lambda head: head.update(calibration={"temperature": 2.0, "exponent": 1.0}),
        lambda head: head["ops"][2].update(base=1, step=-2),
        lambda head: head["ops"][1].update(accumulator_bits=31),
        lambda head: head.update(digest="0" * 64),
        lambda head: head.update(digest=None),
        lambda head: head.update(digest=[]),
    ],
)
def test_what_decides_an_answer_is_in_the_digest(change: Any, tmp_path: Path) -> None:
    save(small(), tmp_path / "m.bnn")
    rewritten(tmp_path / "m.bnn", change)
    with pytest.raises(ModelFileError, match=r"m\.bnn: is damaged: .* digest"):
        load(tmp_path / "m.bnn")


def aged(path: Path) -> Path:
    """The file as format 1 had it."""

    def change(head: Any) -> None:
        head["format"] = 1
        del head["digest"]

    rewritten(path, change)
    return path


def test_an_older_file_loads_with_a_notice(tmp_path: Path) -> None:
    save(small(), tmp_path / "m.bnn")
    with pytest.warns(OldFormatWarning, match=r"m\.bnn: is a \.bnn file of format 1") as caught:
        model = load(aged(tmp_path / "m.bnn"))
    assert len(caught) == 1
    assert told(model) == told(small())
    save(model, tmp_path / "new.bnn")
    assert told(load(tmp_path / "new.bnn")) == told(model)  # without a notice


def test_the_command_line_prints_the_notice_on_one_line(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    save(small(), tmp_path / "m.bnn")
    path = str(aged(tmp_path / "m.bnn"))
    monkeypatch.setattr(sys, "argv", ["bnn", "info", path])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "format 1" in line] == lines
    assert len(lines) == 1
    assert lines[0].startswith(f"bnn: {path}: ")


def test_the_notice_comes_once_for_a_file(tmp_path: Path) -> None:
    save(small(), tmp_path / "m.bnn")
    path = aged(tmp_path / "m.bnn")
    program = f"import bnn\nfor _ in range(3): bnn.load({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.count("format 1") == 1


@pytest.mark.parametrize("number", [3, 99])
def test_a_newer_file_says_to_upgrade(number: int, tmp_path: Path) -> None:
    save(small(), tmp_path / "m.bnn")
    rewritten(tmp_path / "m.bnn", lambda head: head.update(format=number))
    with pytest.raises(ModelFileError, match=r"made by a newer version .*upgrade"):
        load(tmp_path / "m.bnn")


def test_format_1_with_a_digest_is_refused(tmp_path: Path) -> None:
    save(small(), tmp_path / "m.bnn")
    rewritten(tmp_path / "m.bnn", lambda head: head.update(format=1))
    with pytest.raises(ModelFileError, match="damaged"):
        load(tmp_path / "m.bnn")


def test_bundled_models_have_a_digest() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in bnn.bundled():
            bnn.load(name)


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    save(small(), tmp_path / "a.bnn")
    save(load(tmp_path / "a.bnn"), tmp_path / "b.bnn")
    assert (tmp_path / "a.bnn").read_bytes() == (tmp_path / "b.bnn").read_bytes()


def test_many_tensors_and_large_headers_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "m.bnn"
    path.write_bytes(
        serialize({f"t{n}": np.zeros(0, np.uint8) for n in range(20_000)}, {"bnn": "1"})
    )
    with pytest.raises(ModelFileError, match="20000 tensors"):
        load(path)
    path.write_bytes(struct.pack("<Q", 1 << 25) + b"{" + b" " * (1 << 25))
    with pytest.raises(ModelFileError, match="header"):
        load(path)


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "9" * 401])
def test_numbers_of_thousands_of_digits_are_refused(number: str, tmp_path: Path) -> None:
    save(small(), tmp_path / "m.bnn")
    data = parse((tmp_path / "m.bnn").read_bytes())
    (tmp_path / "m.bnn").write_bytes(serialize(data, {"bnn": f'{{"format": {number}}}'}))
    with pytest.raises(ModelFileError, match="digits"):
        load(tmp_path / "m.bnn")


CASES = os.environ.get("BNN_CASES")


@pytest.mark.skipif(not CASES, reason="BNN_CASES names no folder of cases")
def test_the_case_of_huge_edges_is_refused_when_it_is_loaded() -> None:
    with pytest.raises(BnnError, match=r"huge-edges\.bnn: .* values between operations"):
        load(Path(CASES or "") / "robustness" / "huge-edges.bnn")


def chain(count: int, side: int) -> Program:
    """Edges that are each legal: a map is padded to ``side`` squared, and pooled again."""
    ops: list[Any] = []
    source, border = "input", (side - 1) // 2
    for index in range(count):
        sides = (border, border, side - 1 - border, side - 1 - border)
        ops.append(Window(f"w{index}", source, (1, 1), (1, 1), sides))
        ops.append(Pool(f"p{index}", f"w{index}", (side, side), (side, side)))
        source = f"p{index}"
    given = PictureInput((1, 1, 1), UINT(8), identity_table())
    return Program(given, (*ops, Dot("d", source, [[1], [-1]], BIPOLAR)), "d")


def test_edges_that_are_legal_one_by_one_are_bounded_together() -> None:
    assert chain(4, 100).classes == 2
    with pytest.raises(bnn.errors.ProgramError, match=r"w\d+: .* values between operations"):
        chain(40, 8000)


def test_work_is_bounded() -> None:
    given = PictureInput((1000, 1000, 1), UINT(8), identity_table())
    pool = Pool("p", "input", (500, 500), (1, 1))
    with pytest.raises(bnn.errors.ProgramError, match=r"p: .* steps for an image"):
        Program(given, (pool,), "p")


def test_large_real_networks_are_legal() -> None:
    """CNV with four times its channels, on pictures of 224x224."""
    shape = (224, 224, 3)
    ops: list[Any] = []
    source, inputs, side = "input", 3, 224
    for index, (channels, pooled) in enumerate(
        [(256, False), (256, True), (512, False), (512, True), (1024, False), (1024, True)]
    ):
        ops.append(Window(f"w{index}", source, (3, 3)))
        weights = np.ones((channels, 9 * inputs), np.int16)
        ops.append(Dot(f"d{index}", f"w{index}", weights, BIPOLAR))
        ops.append(Threshold(f"t{index}", f"d{index}", np.zeros((channels, 1)), BIPOLAR, -1, 2))
        source, inputs, side = f"t{index}", channels, side - 2
        if pooled:
            ops.append(Pool(f"p{index}", source, (2, 2), (2, 2)))
            source, side = f"p{index}", side // 2
    ops.append(Window("flat", source, (side, side), (side, side)))
    ops.append(Dot("last", "flat", np.ones((10, side * side * inputs), np.int16), BIPOLAR))
    given = PictureInput(shape, INT(8), bnn.program.inputs.fixed_point_table())
    program = Program(given, tuple(ops), "last")
    assert program.classes == 10
    with pytest.raises(bnn.errors.ProgramError):  # at ten times that size
        dataclasses.replace(program, input=dataclasses.replace(given, shape=(2240, 2240, 3)))

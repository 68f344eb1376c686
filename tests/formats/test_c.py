# SPDX-License-Identifier: BSD-3-Clause
"""Models as C99: compiled with both kernels, they equal the reference on every input."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import bnn
from bnn.errors import FormatError
from bnn.formats import c
from bnn.formats.c.memory import places
from bnn.formats.c.write import fused_windows
from bnn.model.model import Model
from bnn.program.inputs import IntegerInput, PictureInput, RealInput
from bnn.program.operations import INPUT, Affine, Dense, Dot, Window, sources
from bnn.program.precision import BIPOLAR, INT, UINT
from bnn.program.program import Program
from bnn.program.semantics import evaluate
from support.programs import FULL, MAPS, batches, networks, residuals

CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_compiler = pytest.mark.skipif(CC is None, reason="there is no C compiler")
COMPILED = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
#: What would hide a mistake of ours stops the compiler or the program.
STRICT = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O1", "-shared", "-fPIC")


def model_of(program: Program) -> Model:
    return Model(program, tuple(str(n) for n in range(program.classes)), name="random")


def compiled(model: Model, folder: Path, *flags: str) -> Any:
    """The library of a model written into ``folder``/net, which is made if it is not there."""
    if not (folder / "net").exists():
        c.save(model, folder / "net")
    library = folder / f"net{len(flags)}.so"
    command = [CC, *STRICT, *flags, "-o", str(library), str(folder / "net" / "net.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


def answers(library: Any, inputs: Any, scores: int) -> tuple[Any, Any]:
    found = np.zeros((len(inputs), scores), np.int32)
    classes = [
        library.net_run(_pointer(np.ascontiguousarray(one)), _pointer(row))
        for one, row in zip(inputs, found, strict=True)
    ]
    return found, np.array(classes)


def _pointer(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def expected(program: Program, inputs: Any) -> tuple[Any, Any]:
    edges = evaluate(program, inputs)
    scores = edges[program.scores].reshape(len(inputs), -1)
    if program.decision is not None:
        return scores, edges[program.decision].reshape(-1)
    if program.affine is None:
        return scores, scores.argmax(axis=1)
    return scores, program.affine.logits(scores.astype(np.int32)).argmax(axis=1)


def assert_equal(program: Program, folder: Path, size: int = 12) -> None:
    inputs = program.input.check(batches(program, size, 1))
    scores, classes = expected(program, inputs)
    for flags in ((), ("-DBNN_PLAIN",)):
        library = compiled(model_of(program), folder, *flags)
        found = answers(library, inputs, program.score_count)
        np.testing.assert_array_equal(found[0], scores)
        np.testing.assert_array_equal(found[1], classes)


def _is_real_ended(program: Program) -> bool:
    return program.affine is not None and program.affine.dense is not None


@needs_compiler
@COMPILED
@given(networks(FULL))
def test_every_operation_equals_the_reference(tmp_path_factory, program) -> None:
    folder = tmp_path_factory.mktemp("c")
    if _is_real_ended(program):
        with pytest.raises(FormatError, match="its last layer has real weights"):
            c.save(model_of(program), folder / "net")
        return
    assert_equal(program, folder)


@needs_compiler
@COMPILED
@given(networks(MAPS))
def test_windows_with_borders_equal_the_reference(tmp_path_factory, program) -> None:
    if not _is_real_ended(program):
        assert_equal(program, tmp_path_factory.mktemp("c"))


@needs_compiler
@COMPILED
@given(residuals())
def test_branches_equal_the_reference(tmp_path_factory, program) -> None:
    if not _is_real_ended(program):
        assert_equal(program, tmp_path_factory.mktemp("c"))


@needs_compiler
@pytest.mark.parametrize("name", ["lfc-w1a1", "lfc-w1a2", "cnv-w1a1", "cnv-w2a2"])
def test_the_test_that_is_written_beside_a_bundled_model_passes(name: str, tmp_path: Path) -> None:
    c.save(bnn.load(name), tmp_path / "net")
    done = subprocess.run(
        ["make", "-s", "test", f"CC={CC}"], cwd=tmp_path / "net", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["8 inputs, 0 differences"] * 2


@needs_compiler
def test_the_test_beside_a_model_notices_a_wrong_weight(tmp_path: Path) -> None:
    c.save(bnn.load("lfc-w1a1"), tmp_path / "net")
    source = tmp_path / "net" / "net.c"
    text = source.read_text()
    first = text.index("0x", text.rindex("uint32_t weights"))  # of the last layer
    source.write_text(text[:first] + "0x00000000u" + text[first + 11 :])
    done = subprocess.run(
        ["make", "-s", "test", f"CC={CC}"], cwd=tmp_path / "net", capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "inputs, 0 differences" not in done.stdout


@needs_compiler
@pytest.mark.parametrize("precision", [BIPOLAR, UINT(4), INT(8, narrow=True), INT(16)])
@pytest.mark.parametrize("rounding", ["even", "up"])
@pytest.mark.parametrize("multiplied", [False, True])
def test_real_inputs_are_quantized_alike(precision, rounding, multiplied, tmp_path) -> None:
    real = RealInput((6,), precision, [0.3, 1.7, 0.5, 3, 1e-3, 0.1], [0.5], rounding, multiplied)
    program = Program(real, (Dot("d", INPUT, np.eye(3, 6), INT(2)),), "d")
    library = compiled(model_of(program), tmp_path)
    random = np.random.default_rng(2)
    values = random.normal(0, 4, (400, 6)).astype(np.float32)
    values[:100] = random.integers(-40, 40, (100, 6)) * np.float32(0.25)
    values[0], values[1] = np.inf, -np.inf
    values[2] = [1e38, -1e38, 3e-39, -3e-39, -0.0, 0]
    made = np.zeros((len(values), 6), np.int16)
    for one, row in zip(values, made, strict=True):
        library.net_quantize(_pointer(one), _pointer(row))
    np.testing.assert_array_equal(made, real.check(values))


@settings(max_examples=60, deadline=None)
@given(networks(FULL))
def test_edges_that_are_alive_do_not_overlap(program: Program) -> None:
    fused = fused_windows(program)
    found = places(program, fused)
    kept = {program.scores, program.decision}
    for step, op in enumerate(program.ops):
        later = {_read(each, fused) for after in program.ops[step:] for each in sources(after)}
        made = {INPUT, *(each.name for each in program.ops[:step])} & (later | kept)
        taken: set[tuple[str, int]] = set()
        for name in (made | {op.name}) - set(fused):
            place = found[name]
            cells = {(place.array, place.first + i) for i in range(place.size)}
            assert not taken & cells
            taken |= cells


def _read(edge: str, fused: dict[str, Window]) -> str:
    return fused[edge].source if edge in fused else edge


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a-b", "'a-b' contains '-'"),
        ("3d", "'3d' begins with a digit"),
        ("int", "'int' is a word of C or C"),
        ("main", "'main' is a word of C or C"),
        ("inline", "'inline' is a word of C or C"),
        ("class", "'class' is a word of C or C"),
        ("co_await", "'co_await' is a word of C or C"),
        ("math", r"math\.h is a header of C"),
        ("stdint", r"stdint\.h is a header of C"),
        ("é", "'é' contains 'é'"),
        ("x" * 42, "its name has more than 41 letters"),
        ("a b", "'a b' contains ' '"),
    ],
)
def test_names_that_are_not_c(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=f"{reason}.*; functions and files are called after"):
        c.save(bnn.load("lfc-w1a1"), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=f"{tmp_path / 'none'} is not a folder; make it first"):
        c.save(bnn.load("lfc-w1a1"), tmp_path / "none" / "net")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    with pytest.raises(FormatError, match="exists already; give a new folder"):
        c.save(bnn.load("lfc-w1a1"), tmp_path / "net")
    assert not list((tmp_path / "net").iterdir())


@needs_compiler
def test_names_of_classes_and_models_cannot_become_code(tmp_path: Path) -> None:
    hostile = ('"); int evil(void);//', "a\\", "??/", "日本", "\n\0")
    program = Program(
        PictureInput((2, 2, 1), UINT(8), np.arange(256)),
        (
            Window("int", INPUT, (2, 2)),
            Dot("d", "int", np.eye(5, 4), INT(2)),
        ),
        "d",
    )
    library = compiled(Model(program, hostile, name="*/ #error"), tmp_path)
    names = (ctypes.c_char_p * 5).in_dll(library, "net_classes")
    wanted = [text.encode().split(b"\0")[0] for text in hostile]
    assert list(names) == wanted
    assert not hasattr(library, "evil")


def test_too_many_constants_are_refused_before_they_are_written(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("bnn.formats.c.write.MAX_CONSTANTS", 1000)
    with pytest.raises(FormatError, match="weights and thresholds; --to c writes at most 1,000"):
        c.save(bnn.load("lfc-w1a1"), tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_a_real_last_layer_is_refused(tmp_path: Path) -> None:
    dense = Dense(np.eye(2, 3), np.zeros(2))
    program = Program(
        IntegerInput((3,), INT(4)),
        (Dot("d", INPUT, np.eye(3), INT(2)),),
        "d",
        affine=Affine(np.ones(3), np.zeros(3), dense),
    )
    with pytest.raises(FormatError, match="its last layer has real weights"):
        c.save(model_of(program), tmp_path / "net")

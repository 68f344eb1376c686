# SPDX-License-Identifier: BSD-3-Clause
"""Pictures straight into the chip: bytes in memory, arrays without a copy, starts that overlap."""

from __future__ import annotations

import gc
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bnn
from bnn.driver import chip as chips
from bnn.driver.driver import Driver
from bnn.errors import BuildError, DriverError, InputError, PlanError
from bnn.hw import export
from bnn.hw import folding as folds
from bnn.hw.blocks.unpack import Unpack, lanes_of
from bnn.hw.blocks.words import pack_rows
from bnn.hw.boards import board
from bnn.hw.design import build
from bnn.hw.earlier import EARLIER
from bnn.hw.folding import Folding, LayerFolding
from bnn.hw.loading import Metadata, metadata
from bnn.hw.memory_layout import ByteLayout
from bnn.hw.render import digest, sources, top
from bnn.plan import plan
from bnn.program.inputs import (
    IntegerInput,
    PictureInput,
    fixed_point_table,
    identity_table,
    sign_table,
)
from bnn.program.operations import INPUT, Dot, Pool, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from bnn.program.program import Program
from bnn.run import prepare
from bnn.run.accelerator import AcceleratorRuntime
from bnn.run.board import match, read_metadata
from bnn.run.sim import SimRuntime
from hw.examples import DENSE_FOLDING, dense, signs
from hw.pynq_stand_in import StandIn
from hw.test_events import assert_equal_to_rtl

pytestmark = pytest.mark.usefixtures("simulator")

EARLIER_TEXTS = Path(__file__).parent / "fixtures"
Shape = tuple[int, int, int]
LEVELS = np.arange(256, dtype=np.int16) // 64
TABLES: dict[str, tuple[Precision, np.ndarray]] = {
    "signs": (BIPOLAR, sign_table()),
    "fixed point": (INT(8), fixed_point_table()),
    "bytes": (UINT(8), identity_table()),
    "levels": (UINT(2), LEVELS),
    "any": (INT(5), np.random.default_rng(4).integers(-16, 16, 256).astype(np.int16)),
}


def vector(shape: Shape, table: str = "signs") -> Program:
    """The picture as one vector, as LFC reads it; its last word is padded if SIMD asks for it."""
    random = np.random.default_rng(0)
    precision, entries = TABLES[table]
    values = shape[0] * shape[1] * shape[2]
    return Program(
        PictureInput(shape, precision, entries),
        (
            Window("flat", INPUT, shape[:2]),
            Dot("hidden", "flat", signs(random, 8, values), BIPOLAR),
            Threshold("act", "hidden", random.integers(-4, 4, (8, 1)), BIPOLAR, -1, 2),
            Dot("out", "act", signs(random, 5, 8), BIPOLAR, np.arange(5)),
        ),
        "out",
    )


def picture(shape: Shape, table: str = "fixed point") -> Program:
    """A convolution on the picture, as CNV has it."""
    random = np.random.default_rng(1)
    precision, entries = TABLES[table]
    height, width = shape[0] - 2, shape[1] - 1
    levels = np.sort(random.integers(-300, 300, (4, 1)), axis=1)
    return Program(
        PictureInput(shape, precision, entries),
        (
            Window("w", INPUT, (3, 2)),
            Dot("hidden", "w", signs(random, 4, 6 * shape[2]), BIPOLAR),
            Threshold("act", "hidden", levels, BIPOLAR, -1, 2),
            Window("flat", "act", (height, width)),
            Dot("out", "flat", signs(random, 5, 4 * height * width), BIPOLAR),
        ),
        "out",
    )


def folded(simd: int, **choices: Any) -> Folding:
    return Folding({"hidden": LayerFolding(2, simd), "out": LayerFolding(1, 4)}, **choices)


def pictures(program: Program, count: int, seed: int = 5) -> np.ndarray:
    shape = (count, *program.input.shape)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


# ---- without a simulator ---------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)).filter(
        lambda shape: np.prod(shape) >= 8
    ),
    st.integers(1, 40),
    st.sampled_from(sorted(TABLES)),
    st.integers(1, 9),
)
def test_blocks_turn_bytes_into_the_codes_of_the_input(
    shape: Shape, simd: int, table: str, images: int
) -> None:
    """Of any size, whatever the last word of the batch has after the last image."""
    program = vector(shape, table)
    given = pictures(program, images, seed=images)
    design = build(program, folded(simd))
    assert design.input == "bytes"
    octets = given.tobytes()
    octets += bytes(range(-len(octets) % 8))
    words = [int.from_bytes(octets[at : at + 8], "little") for at in range(0, len(octets), 8)]
    for instance in design.instances:
        if instance.layer == INPUT:
            words = instance.block.golden(words)
    precision = program.input.precision
    codes = precision.encode(program.input.integers(given)).reshape(images, -1)
    padded = np.zeros((images, -(-codes.shape[1] // simd) * simd), np.uint32)
    padded[:, : codes.shape[1]] = codes
    assert words == pack_rows(padded.reshape(-1, simd), precision.bits)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 3), st.integers(1, 5))
def test_blocks_turn_scores_into_int32(scores: int, pe: int, padding: int, images: int) -> None:
    """Whatever PE and rows of padding are, memory has what NumPy calls int32."""
    random = np.random.default_rng(scores)
    program = Program(
        PictureInput((3, 3, 1), BIPOLAR, sign_table()),
        (
            Window("flat", INPUT, (3, 3)),
            Dot("out", "flat", signs(random, scores, 9), BIPOLAR, random.integers(-9, 9, scores)),
        ),
        "out",
    )
    layer = LayerFolding(pe, 9, rows=scores + padding)
    design = build(program, Folding({"out": layer}, output="int32"))
    rows = design.instance("out").block.rows
    values = random.integers(-20, 20, (images, rows))
    bits = design.ports["out"].precision.bits
    words = pack_rows((values & ((1 << bits) - 1)).reshape(-1, pe), bits)
    after = [each.name for each in design.instances].index("out") + 1
    for instance in design.instances[after:]:
        words = instance.block.golden(words)
    stored = np.array(words, np.uint64).reshape(images, design.target.memory_words)
    found = design.target.unpack(stored)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, values[:, :scores])


def test_the_choice_of_the_output() -> None:
    program = vector((3, 5, 1))
    assert build(program, folded(5)).folding.output == "int32"
    assert build(program, folded(5, output="packed")).output == "packed"
    assert build(dense(), DENSE_FOLDING).output == "packed"
    fast = Folding({"hidden": LayerFolding(8, 15), "out": LayerFolding(5, 8)})
    assert build(program, fast).output == "packed"  # five scores take five cycles, others three
    assert build(program, replace(fast, output="int32")).output == "int32"
    ends = Program(program.input, program.ops[:3], "act")
    one = Folding({"hidden": LayerFolding(2, 5)})
    assert build(ends, one).output == "packed"
    with pytest.raises(BuildError, match="output: bipolar scores are packed"):
        build(ends, replace(one, output="int32"))


@given(st.integers(1, 400))
def test_lanes_of_a_beat(lanes: int) -> None:
    found = lanes_of(lanes)
    assert lanes % found == 0
    assert found <= 8
    assert all(lanes % more for more in range(found + 1, 9))


@pytest.mark.parametrize(
    "precision", [BIPOLAR, TERNARY, UINT(1), UINT(8), INT(2), INT(8), INT(5), UINT(3)]
)
def test_integers_as_bytes(precision: Precision) -> None:
    """The natural array of integers: what NumPy calls their byte, and the code of each."""
    source = ByteLayout(IntegerInput((9, 3, 1), precision))
    legal = [-1, 1] if precision == BIPOLAR else range(precision.low, precision.high + 1)
    values = np.resize(np.array(legal, np.int16), (-(-len(legal) // 27), 9, 3, 1))
    stored = source.pack(values)
    assert stored.dtype == (np.int8 if precision.low < 0 else np.uint8)
    np.testing.assert_array_equal(stored, values)
    np.testing.assert_array_equal(source.codes[stored.view(np.uint8)], precision.encode(values))
    assert source.codes.max() < 1 << precision.bits


def test_the_choice_of_the_input(tmp_path: Path) -> None:
    program = vector((3, 5, 1))
    assert build(program, folded(5)).folding.input == "bytes"
    assert build(program, folded(5, input="packed")).input == "packed"
    assert build(dense(), DENSE_FOLDING).input == "packed"
    assert build(dense(), replace(DENSE_FOLDING, input="bytes")).input == "bytes"
    few = vector((7, 1, 1))
    assert build(few, folded(7)).input == "packed"
    with pytest.raises(BuildError, match=r"input: bytes need at least 8 values per image, not 7"):
        build(few, folded(7, input="bytes"))
    path = tmp_path / "folding.json"
    for choice in folds.INPUTS:
        path.write_text(json.dumps(folds.as_json(folded(5, input=choice))))
        assert folds.read(path, program).input == choice
    values = folds.as_json(folded(5))
    for wrong in ("raw", None, 1, ["bytes"]):
        path.write_text(json.dumps({**values, "input": wrong}))
        with pytest.raises(BuildError, match="key 'input' must be one of auto, bytes, packed"):
            folds.read(path, program)
    del values["input"]
    path.write_text(json.dumps(values))
    assert folds.read(path, program).input == "auto"
    with pytest.raises(BuildError, match=r"no block 'input_cut'; remove it, or .*'packed'"):
        build(program, folded(5, fifos={"input_cut": 4}))


def test_metadata_name_the_input() -> None:
    design = build(picture((9, 7, 3)), folded(3))
    made = metadata(design, sources(design))
    assert (made.input, made.bytes_in, made.words_in) == ("bytes", 189, 24)
    assert (made.output, made.words_out) == ("int32", 3)
    assert [made.input_words(images) for images in (0, 1, 2, 7, 8)] == [0, 24, 48, 166, 189]
    assert Metadata.from_json(json.loads(json.dumps(made.as_json()))) == made
    values = made.as_json()
    for name, wrong in (
        *(("input", "raw"), ("input", None), ("bytes_in", -1), ("bytes_in", "8")),
        *(("output", "int8"), ("output", 1)),
    ):
        with pytest.raises(DriverError, match="driver metadata: "):
            Metadata.from_json({**values, name: wrong})
    with pytest.raises(DriverError, match="driver metadata: bytes_in"):
        Metadata.from_json({**values, "input": "packed"})
    # A folder of before: none of these keys.
    del values["input"], values["bytes_in"], values["output"]
    old = Metadata.from_json(values)
    assert (old.input, old.image_bytes, old.input_words(3)) == ("packed", 192, 72)


# ---- simulated -------------------------------------------------------------------------------

#: Aligned and not, beats that divide the image and not, tables before and after the register.
SYSTEMS: dict[str, tuple[Program, Folding]] = {
    "odd": (vector((3, 5, 1)), folded(5)),
    "padded": (vector((11, 3, 1), "levels"), folded(16)),
    "padded-odd": (vector((3, 3, 3), "bytes"), folded(7)),
    "aligned": (vector((4, 6, 1)), folded(12, loadable=True)),
    "map": (picture((9, 7, 3)), folded(3)),
    "map-one": (picture((5, 5, 1), "any"), folded(1)),
    "smallest": (picture((3, 3, 1)), folded(2)),
    "scores": (vector((5, 5, 1)), folded(5, output="packed")),
    "rows": (  # padding rows, and more scores than a word has
        vector((2, 5, 1)),
        Folding({"hidden": LayerFolding(2, 5), "out": LayerFolding(4, 4, rows=12)}, output="int32"),
    ),
    "integers": (
        Program(
            IntegerInput((5, 3, 3), INT(3)),
            (
                Pool("p", INPUT, (2, 2), (1, 1)),
                Window("flat", "p", (4, 2)),
                Dot("hidden", "flat", signs(np.random.default_rng(2), 4, 24), BIPOLAR),
            ),
            "hidden",
        ),
        Folding({"hidden": LayerFolding(2, 3)}, input="bytes", output="int32"),
    ),
}


def _inputs(program: Program, count: int) -> np.ndarray:
    if isinstance(program.input, PictureInput):
        return pictures(program, count)
    shape, precision = (count, *program.input.shape), program.input.precision
    draw = np.random.default_rng(6).integers(precision.low, precision.high + 1, shape)
    return draw.astype(np.int16)


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_equal_the_reference(name: str) -> None:
    """One start after the other: what was left of the last word is not the next batch's."""
    program, folding = SYSTEMS[name]
    inputs = _inputs(program, 40)
    expected = prepare("reference", program).run(inputs).scores
    assert len(np.unique(expected)) > 4, "an example that shows nothing"
    for stall, latency in [(0, 20), (60, 3)]:
        runtime = prepare("sim", program, folding=folding, stall=stall, latency=latency, quick=True)
        for first, count in [(0, 1), (1, 2), (3, 7), (10, 1), (0, 40), (11, 8), (5, 0), (39, 1)]:
            part = inputs[first : first + count]
            found = runtime.run(part).scores
            np.testing.assert_array_equal(found, expected[first : first + count])


@pytest.mark.parametrize("latency", [0, 20])
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_cycle_is_that_of_the_rtl(name: str, latency: int) -> None:
    program, folding = SYSTEMS[name]
    assert_equal_to_rtl(build(program, folding), images=9, latency=latency)


@pytest.mark.hw
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.tuples(st.integers(3, 12), st.integers(3, 12), st.integers(1, 4)),
    st.integers(1, 30),
    st.booleans(),
    st.sampled_from(sorted(TABLES)),
    st.integers(0, 70),
    st.data(),
)
def test_any_shape(
    shape: Shape, simd: int, flat: bool, table: str, stall: int, data: st.DataObject
) -> None:
    program = vector(shape, table) if flat else picture(shape, table)
    folding = folded(simd if flat else 1 if simd % 2 else shape[2])
    inputs = pictures(program, 30)
    expected = prepare("reference", program).run(inputs).scores
    runtime = prepare("sim", program, folding=folding, stall=stall, quick=True)
    for count in (1, 30, data.draw(st.integers(0, 30)), data.draw(st.integers(1, 9))):
        np.testing.assert_array_equal(runtime.run(inputs[:count]).scores, expected[:count])
    assert_equal_to_rtl(build(program, folding), images=data.draw(st.integers(2, 9)))


# ---- arrays in the accelerator's memory ------------------------------------------------------


@pytest.fixture
def odd() -> SimRuntime:
    program, folding = SYSTEMS["odd"]
    runtime = prepare("sim", program, folding=folding, quick=True)
    assert isinstance(runtime, SimRuntime)
    return runtime


def _copies(details: dict[str, Any]) -> list[str]:
    return [entry["what"] for entry in details["ledger"]]


def test_an_allocated_array_is_used_where_it_is(odd: SimRuntime) -> None:
    program = odd.accelerated.design.program
    array = odd.allocate(24)
    assert array is not None
    assert (array.shape, array.dtype, int(array.max())) == ((24, 3, 5, 1), np.uint8, 0)
    array[:] = pictures(program, 24)
    expected = prepare("reference", program).run(np.array(array)).scores
    for part in (slice(None), slice(0, 1), slice(8, 11), slice(16, None)):
        outputs = odd.run(array[part])
        np.testing.assert_array_equal(outputs.scores, expected[part])
        assert _copies(outputs.details) == ["results"]
        assert outputs.details["in_place"] == array[part].nbytes
    array[3] = 255 - array[3]  # what the host changes, the next start reads
    again = prepare("reference", program).run(np.array(array)).scores
    np.testing.assert_array_equal(odd.run(array).scores, again)


def test_parts_that_begin_within_a_word_are_copied(odd: SimRuntime) -> None:
    program = odd.accelerated.design.program
    array = odd.allocate(24)
    assert array is not None
    array[:] = pictures(program, 24)
    expected = prepare("reference", program).run(np.array(array)).scores
    assert array[0].nbytes % 8
    for part in (slice(1, 4), slice(None, None, 2), slice(None, None, -1)):
        outputs = odd.run(array[part])
        np.testing.assert_array_equal(outputs.scores, expected[part])
        assert _copies(outputs.details) == ["images", "results"]
        assert outputs.details["in_place"] == 0


def test_memory_of_arrays_is_given_back(odd: SimRuntime) -> None:
    used = len(odd.transport._live)
    arrays = [odd.allocate(5) for _ in range(3)]
    assert len(odd.transport._live) == used + 3
    view = arrays[0][2:]  # type: ignore[index]
    del arrays
    gc.collect()
    assert len(odd.transport._live) == used + 1
    del view
    gc.collect()
    assert len(odd.transport._live) == used
    array = odd.allocate(4)
    assert array is not None
    transport = odd.transport
    del odd
    gc.collect()
    array[:] = 7  # its memory lives as long as it does
    assert transport._live


def test_arrays_keep_the_simulated_memory() -> None:
    program, folding = SYSTEMS["odd"]
    array = prepare("sim", program, folding=folding, quick=True).allocate(50)  # type: ignore[attr-defined]
    gc.collect()
    array[:] = 9
    assert array.sum() == 9 * array.size


def test_other_inputs_have_ordinary_arrays() -> None:
    runtime = prepare("sim", dense(), folding=DENSE_FOLDING)
    assert isinstance(runtime, AcceleratorRuntime)
    assert runtime.allocate(3) is None


# ---- starts that overlap ---------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_the_next_piece_is_copied_while_one_runs(
    monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    program, folding = SYSTEMS["map"]
    choice = replace(folding, input="packed") if packed else folding
    runtime = prepare("sim", program, folding=choice, quick=True)
    assert isinstance(runtime, SimRuntime)
    monkeypatch.setattr("bnn.run.accelerator.PIECE_BYTES", 1000)
    inputs = pictures(program, 23)
    outputs = runtime.run(inputs)
    expected = prepare("reference", program).run(inputs).scores
    np.testing.assert_array_equal(outputs.scores, expected)
    assert [start["images"] for start in outputs.details["starts"]] == [5, 5, 5, 5, 3]
    one = ["images", "results"]
    assert _copies(outputs.details) == ["images", *4 * one, "results"]
    cycles = [entry["cycle"] for entry in outputs.details["ledger"]]
    # Copied after the start, before its results: the clock has not moved on much.
    assert cycles[1] - cycles[0] < outputs.details["starts"][0]["cycles"] // 2
    for name in ("copy_seconds", "wait_seconds"):
        assert outputs.details[name] > 0
    assert not runtime.transport._live, "a buffer is not given back"


def test_without_room_for_a_second_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is then copied after the one before has ended."""
    program, folding = SYSTEMS["map"]
    runtime = prepare("sim", program, folding=folding, quick=True)
    assert isinstance(runtime, SimRuntime)
    monkeypatch.setattr("bnn.run.accelerator.PIECE_BYTES", 1000)
    monkeypatch.setattr(Driver, "stage", lambda *_: None)
    inputs = pictures(program, 12)
    outputs = runtime.run(inputs)
    expected = prepare("reference", program).run(inputs).scores
    np.testing.assert_array_equal(outputs.scores, expected)
    assert _copies(outputs.details) == 3 * ["images", "results"]


def test_a_start_that_fails_gives_the_next_piece_back(monkeypatch: pytest.MonkeyPatch) -> None:
    program, folding = SYSTEMS["map"]
    runtime = prepare("sim", program, folding=folding, quick=True)
    assert isinstance(runtime, SimRuntime)
    monkeypatch.setattr("bnn.run.accelerator.PIECE_BYTES", 1000)
    inputs = pictures(program, 12)
    with monkeypatch.context() as faulty:
        faulty.setattr(runtime.transport, "wait", lambda: False)
        with pytest.raises(DriverError, match="does not finish"):
            runtime.run(inputs)
    assert not runtime.transport._live
    expected = prepare("reference", program).run(inputs).scores
    np.testing.assert_array_equal(runtime.run(inputs).scores, expected)


# ---- the board -------------------------------------------------------------------------------


@pytest.fixture
def pynq(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setattr(chips, "LOCK", f"board-{os.getpid()}.lock")
    monkeypatch.setattr(chips, "LOCK_TIMEOUT_S", 0.2)
    stand_in = StandIn()
    stand_in.install(monkeypatch)
    return stand_in


def _board(pynq: StandIn, folder: Path, name: str) -> AcceleratorRuntime:
    program, folding = SYSTEMS[name]
    export.write(build(program, folding), board("pynq-z2"), folder)
    (folder / "bnn.bit").write_bytes(b"")
    pynq.knows(folder, program)
    runtime = prepare("board", program, build=folder)
    assert isinstance(runtime, AcceleratorRuntime)
    return runtime


def test_arrays_in_reserved_memory(pynq: StandIn, tmp_path: Path) -> None:
    """No copy, and whatever happens to the chip, the array stays as it is."""
    runtime = _board(pynq, tmp_path / "a", "map")
    program = runtime.accelerated.design.program
    inputs = pictures(program, 9)
    expected = prepare("reference", program).run(inputs).scores
    array = runtime.allocate(9)
    assert array is not None
    array[:] = inputs
    outputs = runtime.run(array)
    np.testing.assert_array_equal(outputs.scores, expected)
    assert _copies(outputs.details) == ["results"]
    pynq.faults["wait"] = RuntimeError("gone")
    with pytest.raises(DriverError, match="gone"):
        runtime.run(array)
    pynq.faults.clear()
    for _ in range(3):  # the bitstream is loaded again, and all idle buffers are used
        np.testing.assert_array_equal(runtime.run(inputs).scores, expected)
        np.testing.assert_array_equal(array, inputs)
    outputs = runtime.run(array)
    np.testing.assert_array_equal(outputs.scores, expected)
    assert "images" not in _copies(outputs.details)


def test_reserved_memory_is_given_back(pynq: StandIn, tmp_path: Path) -> None:
    runtime = _board(pynq, tmp_path / "a", "map")
    array = runtime.allocate(9)
    assert array is not None
    array[:] = 1
    del runtime
    gc.collect()
    assert pynq.used > 0
    assert array.sum() == array.size
    del array
    gc.collect()
    assert pynq.used == 0


def test_pieces_on_the_board(
    pynq: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = _board(pynq, tmp_path / "a", "odd")
    program = runtime.accelerated.design.program
    monkeypatch.setattr("bnn.run.accelerator.PIECE_BYTES", 100)
    inputs = pictures(program, 20)
    outputs = runtime.run(inputs)
    expected = prepare("reference", program).run(inputs).scores
    np.testing.assert_array_equal(outputs.scores, expected)
    assert [start["images"] for start in outputs.details["starts"]] == [6, 6, 6, 2]


def _of_before(folder: Path, program: Program, folding: Folding) -> None:
    """Write the folder as the version before the choice of the input did."""
    packed = replace(folding, input="packed", output="packed")
    export.write(build(program, packed), board("pynq-z2"), folder)
    (folder / "bnn.bit").write_bytes(b"")
    for name in ("folding.json", "driver.json"):
        values = json.loads((folder / name).read_text())
        for key in ("input", "output", "bytes_in"):
            values.pop(key, None)
        (folder / name).write_text(json.dumps(values))
    rtl = folder / "rtl"
    (rtl / "bnn_unpack.sv").unlink()
    for name in EARLIER:
        (rtl / name).write_text((EARLIER_TEXTS / name).read_text())
    _identify(folder, program, folding)


def _identify(folder: Path, program: Program, folding: Folding) -> None:
    """Give the folder the number that its own sources make."""
    design = build(program, replace(folding, input="packed", output="packed"))
    files = sources(design).files
    order = [name for name in files if name != "bnn_top.sv" and (folder / "rtl" / name).is_file()]
    writes = sources(design).parameter_writes
    texts = {name: (folder / "rtl" / name).read_text() for name in order}
    number = int(digest(texts, top(design, 0, writes))[:8], 16)
    (folder / "rtl" / "bnn_top.sv").write_text(top(design, number, writes))
    values = json.loads((folder / "driver.json").read_text())
    assert values["design_id"] != number
    (folder / "driver.json").write_text(json.dumps({**values, "design_id": number}))


@pytest.mark.parametrize("loadable", [False, True])
def test_a_design_of_before_goes_on_with_host_packing(tmp_path: Path, loadable: bool) -> None:
    program, folding = vector((4, 6, 1)), folded(12, loadable=loadable)
    _of_before(tmp_path, program, folding)
    host, known = match(program, tmp_path, read_metadata(tmp_path))
    assert known.input == host.design.input == known.output == host.design.output == "packed"
    inputs = pictures(program, 3)
    assert host.pack(inputs).dtype == np.uint64
    # Another model, a block of other text, or a number that the sources do not make: refused.
    other = vector((4, 6, 1), "levels")
    with pytest.raises(DriverError, match="built for another model, or by another version"):
        match(other, tmp_path, read_metadata(tmp_path))
    block = tmp_path / "rtl" / "bnn_matrix.sv"
    kept = block.read_text()
    block.write_text(kept.replace("1'b1", "1'b0", 1))
    with pytest.raises(DriverError, match="by another version"):
        match(program, tmp_path, read_metadata(tmp_path))
    _identify(tmp_path, program, folding)  # its own number does not make it right
    with pytest.raises(DriverError, match="by another version"):
        match(program, tmp_path, read_metadata(tmp_path))
    block.write_text(kept)
    with pytest.raises(DriverError, match="by another version"):
        match(program, tmp_path, read_metadata(tmp_path))
    _identify(tmp_path, program, folding)
    match(program, tmp_path, read_metadata(tmp_path))
    block.unlink()
    with pytest.raises(DriverError, match="by another version"):
        match(program, tmp_path, read_metadata(tmp_path))


def test_the_earlier_texts_are_those_of_the_fixtures() -> None:
    """The fixtures are what ``git show 6364907:src/bnn/hw/rtl/NAME`` prints."""
    for name, known in EARLIER.items():
        assert hashlib.sha256((EARLIER_TEXTS / name).read_bytes()).hexdigest() in known


# ---- for users -------------------------------------------------------------------------------


def test_classifiers_allocate() -> None:
    for runtime in ("cpu", "reference"):
        clf = bnn.Classifier("cnv-w1a1", runtime=runtime)
        array = clf.allocate(2)
        assert (array.shape, array.dtype) == ((2, 32, 32, 3), np.uint8)
        assert clf.scores(array).shape == (2, 10)
        for wrong in (-1, 1.5, True, "3"):
            with pytest.raises(InputError, match="images is a whole number of at least 0"):
                clf.allocate(wrong)  # type: ignore[arg-type]


def test_a_plan_faster_than_its_bytes_is_refused() -> None:
    program = vector((28, 28, 1))
    assert plan(program, fps=1e8 / 98, clock_mhz=100).cycles == 98
    reason = r"no design that reads images as bytes is that fast; .* \(98 cycles per image"
    with pytest.raises(PlanError, match=reason):
        plan(program, fps=1e8 / 97, clock_mhz=100)


def test_unpack_golden_by_hand() -> None:
    block = Unpack(9, 4, 4, tuple(byte & 15 for byte in range(256)))
    octets = bytes(range(18)) + bytes(6)
    words = [int.from_bytes(octets[at : at + 8], "little") for at in range(0, 24, 8)]
    beats = [0x3210, 0x7654, 0x8, 0xCBA9, 0x0FED, 0x1]
    assert block.golden(words) == beats

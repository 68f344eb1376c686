# SPDX-License-Identifier: BSD-3-Clause
"""What commands take and print, and what public names take: whole, as it was."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.errors import BnnError
from hw.examples import residual
from support.golden import compare, digest
from support.models import small

#: Times and what follows from them, which no two runs have in common.
_TIMES = re.compile(r"[\d,.]+(?= *(us|ms|µs|s per image|images/s\b.*median))|in [\d.]+ s\b")
_JSON_TIMES = re.compile(r'"(us|prepare_us|seconds)": [\d.e+-]+')


def test_options_of_every_command() -> None:
    """Names, limits, defaults and whether they can be given several times."""
    found: dict[str, Any] = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        for option in command.params:
            told = vars(option)
            limits = {
                key: told[key] for key in ("min", "max", "clamp") if told.get(key) is not None
            }
            kind = told.get("type")
            limits |= {
                key: getattr(kind, key)
                for key in ("min", "max")
                if getattr(kind, key, None) is not None
            }
            found[f"{name} {option.name}"] = [
                *option.opts, repr(option.required), repr(option.default), repr(option.nargs),
                repr(limits),
            ]  # fmt: skip
    compare("command-options", found)


def test_signatures_of_public_names() -> None:
    """Arguments with their defaults; fields of values with theirs."""
    found: dict[str, Any] = {}
    for name in sorted(bnn.__all__):
        thing = getattr(bnn, name)
        if not callable(thing):
            found[name] = repr(thing) if isinstance(thing, int | str) else type(thing).__name__
            continue
        found[name] = _arguments(thing)
        if not isinstance(thing, type):
            continue
        for member, value in vars(thing).items():
            if callable(value) and (not member.startswith("_") or member == "__init__"):
                found[f"{name}.{member}"] = _arguments(value)
        if dataclasses.is_dataclass(thing):
            found[f"{name} fields"] = [
                f"{one.name} = {'' if one.default is dataclasses.MISSING else one.default!r}"
                for one in dataclasses.fields(thing)
            ]
    compare("public-names", found)


def _arguments(thing: Any) -> list[str]:
    try:
        given = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        f"{one.kind.name.lower()} {one.name}"
        + ("" if one.default is inspect.Parameter.empty else f" = {one.default!r}")
        for one in given
    ]


def said(*args: str, folder: Path | None = None) -> str:
    done = CliRunner().invoke(app, list(args), env={"COLUMNS": "110", "NO_COLOR": "1"})
    text = done.output
    if isinstance(done.exception, BnnError):
        text += f"refused: {done.exception}"
    elif done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    text += f"\nexit {done.exit_code}"
    text = _JSON_TIMES.sub(r'"\1": TIME', _TIMES.sub("TIME", text))
    # A table is as wide as its title, which has a time.
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return text if folder is None else text.replace(str(folder), "FOLDER")


SAMPLES = Path(bnn.__file__).parent / "samples"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small models and pictures for them; the commands run here."""
    from dataclasses import replace

    from bnn.model.calibration import Calibration
    from bnn.model.model import Model

    bnn.save(replace(small(), calibration=Calibration(3.0)), tmp_path / "sure.bnn")
    bnn.save(small(), tmp_path / "small.bnn")
    program = residual()
    bnn.save(Model(program, tuple("abcde"), None, {}, "residual"), tmp_path / "residual.bnn")
    random = np.random.default_rng(4)
    for name in ("no", "yes"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for at in range(12):
            pixels = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{at}.png")
    (tmp_path / "set" / "no" / "broken.png").write_bytes(b"nothing")
    (tmp_path / "two").mkdir()
    Image.new("RGB", (5, 4), (9, 200, 30)).save(tmp_path / "two" / "green.png")
    Image.new("RGB", (3, 9), (250, 0, 30)).save(tmp_path / "two" / "red.png")
    (tmp_path / "two" / "notes.txt").write_text("text")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    for name in ("BNN_PARAMS", "BNN_DATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


COMMANDS = [
    "models",
    *(f"info {name}" for name in ("lfc-w1a1", "lfc-w1a2", "cnv-w1a1", "cnv-w2a2")),
    *("info small.bnn", "info residual.bnn --json", "info sure.bnn --json", "info"),
    *("info small.bnn --cpu", "info nowhere.bnn", "info nothing"),
    *("classify small.bnn two", "classify sure.bnn two --json", "classify sure.bnn two --top 1"),
    *("classify sure.bnn two --reject 0.9", "classify small.bnn two --reject 0.9"),
    *("classify small.bnn two --top 5", "classify small.bnn set --json", "classify small.bnn gone"),
    *("classify residual.bnn two", "classify small.bnn two --runtime board --threads 2"),
    *("classify small.bnn two --trace x.vcd", "classify small.bnn two --runtime reference --json"),
    *("evaluate sure.bnn --data set", "evaluate sure.bnn --data set --skip-broken"),
    "evaluate sure.bnn --data set --skip-broken --reject 0.7 --json",
    *("evaluate small.bnn --data set --skip-broken", "evaluate small.bnn --data two"),
    *("evaluate sure.bnn --data set --against two", "evaluate small.bnn --data set --reject 0.5"),
    *("inspect small.bnn two/red.png", "inspect sure.bnn two/green.png -o x.html"),
    *("inspect residual.bnn two/red.png", "inspect small.bnn two"),
    *("plan residual.bnn", "plan residual.bnn --fps 20000 --json", "plan small.bnn --max"),
    *("plan residual.bnn --board all --part xc7z010", "plan residual.bnn --board ultra96-v2"),
    *(
        "build residual.bnn --board pynq-z1 -o made --json",
        "build residual.bnn -o made2 --fps 3000",
    ),
    *("build residual.bnn -o two", "build small.bnn -o made3 --folding original"),
    *("convert small.bnn -o x.bnn", "convert small.bnn --to qonnx -o x.onnx"),
    *("convert small.bnn --to c -o made4", "convert small.bnn --to bnn-pynq -o made5"),
    *("bench small.bnn --threads 0", "watch small.bnn nowhere.mp4", "bulk small.bnn gone"),
]


def test_what_commands_print(folder: Path) -> None:
    found = {text: said(*text.split(), folder=folder) for text in COMMANDS}
    page = (folder / "x.html").read_text()
    found["x.html"] = digest(page)
    for path in sorted((folder / "made4").rglob("*")):
        if path.is_file():
            found[f"made4/{path.name}"] = digest(path.read_bytes())
    compare("commands", found)


def test_convert_prints_its_report(folder: Path) -> None:
    from support.converted import FIXTURES

    found: dict[str, str] = {}
    for file in ("chainer/mlp.npz", "keras/larq-padded.keras", "brevitas/qcdq.onnx"):
        for more in ("", "--json", "--input unit", "--classes two/notes.txt"):
            name = f"{file} {more}"
            text = said(
                "convert", str(FIXTURES / file), "-o", "y.bnn", *more.split(), folder=folder
            )
            found[name] = text.replace(str(FIXTURES), "FIXTURES")
    compare("command-convert", found)

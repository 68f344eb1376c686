# SPDX-License-Identifier: BSD-3-Clause
"""``bnn doctor``: what is here, what is missing, and how to get it."""

from __future__ import annotations

import json as json_text
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from bnn.errors import BnnError
from bnn.system import install
from bnn.system.terminal import echo_folded, harmless


@dataclass(frozen=True)
class Check:
    """The check of one thing that this package can use.

    Attributes:
        name: what the thing is for.
        state: ``ok`` if it is there; ``missing`` if it is an optional part that is not there;
            ``broken`` if every use of the package needs it and it is not there.
        found: what was found, such as a version.
        remedy: how to get the thing; "" if it is there.
    """

    name: str
    state: str
    found: str
    remedy: str = ""


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Show what is here, what is missing, and how to get it. Nothing is changed.

    The exit status is 1 if something is broken that every use needs; missing optional parts are no
    failure.

    Example: [bold]bnn doctor[/bold]
    """
    found = list(checks())
    for one in found:
        if json:
            typer.echo(json_text.dumps(asdict(one)))
            continue
        echo_folded(harmless(f"{one.state:8} {one.name:13} {one.found}"), 23)
        if one.remedy:
            echo_folded(harmless(f"{'':23}get it: {one.remedy}"), 23)
    if any(one.state == "broken" for one in found):
        raise typer.Exit(1)


def checks() -> Iterator[Check]:
    """Yield every check; none of them raises a `BnnError`."""
    yield Check("Python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield _tried("core", _core, "install the package again: its native module is missing")
    yield _tried("models", _models, "install the package again: its files are incomplete")
    yield _tried("cache", _cache, "set BNN_CACHE to a folder that is yours and can be written")
    yield _data()
    yield _extra("train", "training", ("torch", "lightning"))
    yield _extra("convert", "conversion", ("h5py", "onnx"))
    yield _extra("data", "downloads", ("pooch",))
    without = "; bnn watch reads folders and animations, not cameras and videos"
    yield _extra("camera", "cameras", ("cv2",), without)
    yield _extra("serve", "bnn serve", ("starlette", "uvicorn", "httptools", "prometheus_client"))
    yield _extra("bulk", "bnn bulk", ("pyarrow", "fsspec"))
    yield _extra("ray", "Ray", ("ray",), "; bnn bulk runs on this machine, not on a cluster")
    yield _simulator()
    yield _tool("Yosys", _yosys, install.command("hw"))
    yield _tool("nextpnr", _nextpnr, "docs/hardware.md says how (Debian 14 has it as a package)")
    yield _board()


def _tried(name: str, look: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, "ok", look())
    except BnnError as reason:
        return Check(name, "broken", str(reason), remedy)


def _core() -> str:
    from bnn.run.cpu import describe

    found = describe()
    return f"kernel {found.kernel}, {found.threads} threads"


def _models() -> str:
    from bnn.library import bundled, load

    return ", ".join(load(name).name and name for name in bundled())


def _cache() -> str:
    from bnn.system.cache import describe

    values = describe()
    return f"{values['folder']}, {values['bytes']:,} bytes"


def _data() -> Check:
    given = os.environ.get("BNN_DATA", "")
    roots = [Path(root) for root in given.split(os.pathsep) if root]
    lost = [str(root) for root in roots if not root.is_dir()]
    if lost:
        return Check(
            "data sets", "missing", f"no folder {', '.join(lost)}", "set BNN_DATA to your folders"
        )
    told = given or "BNN_DATA is not set; known data sets are fetched when they are needed"
    return Check("data sets", "ok", told)


def _extra(extra: str, name: str, modules: tuple[str, ...], without: str = "") -> Check:
    absent = [module for module in modules if find_spec(module) is None]
    if absent:
        return Check(name, "missing", f"no {', '.join(absent)}{without}", install.command(extra))
    return Check(name, "ok", ", ".join(modules))


def _tool(name: str, look: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, "ok", look())
    except BnnError:
        return Check(name, "missing", f"no {name}", remedy)


def _yosys() -> str:
    from bnn.hw.toolchain.synth import command

    words = command()
    return f"for bnn build --synth: {words[0] if len(words) == 1 else 'a package of Python'}"


def _nextpnr() -> str:
    from bnn.hw.toolchain.locate import command

    return f"for bnn build --pnr: {command('nextpnr-xilinx')[0]}"


def _simulator() -> Check:
    from bnn.hw.toolchain.verilator import compiler, verilator_root

    try:
        found = f"Verilator in {verilator_root()}, compiler {compiler()[0]}"
    except BnnError as reason:
        return Check("simulator", "missing", str(reason), install.command("sim"))
    return Check("simulator", "ok", found)


def _board() -> Check:
    if find_spec("pynq") is None:
        told = "the package pynq is not here: this is not a PYNQ board"
        return Check("board", "missing", told, "run this on a board with a PYNQ image")
    return Check("board", "ok", os.environ.get("BNN_ACCELERATOR", "BNN_ACCELERATOR is not set"))

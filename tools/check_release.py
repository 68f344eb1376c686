#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Build the release files and prove that each installs and works without a network.

    make dist-check                             # or:
    python tools/check_release.py [--out dist] [--given dist/*.whl dist/*.tar.gz]

1. Builds the source archive, and the wheel from it (or takes the files that are given).
2. Checks their metadata (``twine check --strict``), and that both hold every file of ``src/bnn``.
3. Downloads the wheels that they need, once, to ``build/release/wheels``. This step alone needs a
   network.
4. Installs each into a fresh environment from that folder alone (``pip install --no-index``), where
   the system allows it without any network at all, and runs ``bnn --version``, ``bnn demo``, and
   ``bnn classify`` there. The scores must be those that the package of this environment gives.

Exits with 1 at the first step that fails. ``--given`` takes files that were built elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "release"
PYTHON = sys.executable
#: A picture whose class and scores must be the same everywhere.
CLASSIFY = ("classify", "lfc-w1a1", str(ROOT / "src/bnn/samples/mnist/3.png"), "--json")


def run(*command: str | Path, folder: Path = ROOT, offline: bool = False) -> str:
    """Run ``command``, and return its standard output.

    Args:
        command: program and arguments.
        folder: where it runs.
        offline: without network interfaces, and without an index for pip.

    Raises:
        SystemExit: it fails; the message is all that it printed.
    """
    words = [str(word) for word in command]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    environment["BNN_CACHE"] = str(WORK / "cache")  # nothing from an earlier run of the user
    if offline:
        words = [*without_network(), *words]
        environment["PIP_NO_INDEX"] = "1"
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def without_network() -> list[str]:
    """Return the command prefix that removes the network; [] if the system has none."""
    words = ["unshare", "--map-root-user", "--net"]
    if (
        shutil.which("unshare")
        and not subprocess.run([*words, "true"], capture_output=True).returncode
    ):
        return words
    return []


def built(out: Path) -> list[Path]:
    """Build the source archive and the wheel in this environment into ``out``; return both."""
    out.mkdir(parents=True, exist_ok=True)
    for old in (*out.glob("*.whl"), *out.glob("*.tar.gz")):
        old.unlink()
    run(PYTHON, "-m", "build", "--no-isolation", "--outdir", out)
    return [*out.glob("*.tar.gz"), *out.glob("*.whl")]


def members(path: Path) -> set[str]:
    """Return the names of the files in a wheel, or in a source archive below its own folder."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def check_members(path: Path) -> None:
    """Refuse a release file that lacks a file of the package, or has one that is not part of it."""
    listed = run("git", "ls-files", "src/bnn").split()
    wanted = (
        {name.removeprefix("src/") for name in listed} if path.suffix == ".whl" else set(listed)
    )
    held = members(path)
    if wanted - held:
        raise SystemExit(f"{path.name}: lacks {', '.join(sorted(wanted - held)[:5])}")
    strange = [name for name in held if "__pycache__" in name]
    if path.suffix == ".whl":
        strange += [name for name in held if not name.startswith(("bnn/", "bnn_pynq-"))]
    if strange:
        raise SystemExit(f"{path.name}: holds {', '.join(sorted(strange)[:5])}")


def download(files: Sequence[Path]) -> Path:
    """Download all wheels that installing ``files`` needs, and what builds the source archive."""
    folder = WORK / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    needed = run(PYTHON, ROOT / "tools" / "build_requires.py").replace("'", "").split()
    wheel = next(path for path in files if path.suffix == ".whl")
    options = ("--quiet", "--only-binary", ":all:", "--dest", folder)
    run(PYTHON, "-m", "pip", "download", *options, wheel, *needed, "cmake", "ninja")
    for own in folder.glob("bnn_pynq-*"):  # pip copies the wheel itself
        own.unlink()
    return folder


def tried(path: Path, wheels: Path) -> list[object]:
    """Install ``path`` into a fresh environment, run its demo, and return its scores."""
    with tempfile.TemporaryDirectory(prefix="bnn-release-") as name:
        folder = Path(name)
        run(PYTHON, "-m", "venv", folder / "venv")
        programs = folder / "venv" / "bin"
        options = ("--quiet", "--no-index", "--find-links", wheels)
        run(
            programs / "python", "-m", "pip", "install", *options, path, offline=True, folder=folder
        )
        version = run(programs / "bnn", "--version", offline=True, folder=folder).strip()
        demo = run(programs / "bnn", "demo", offline=True, folder=folder)
        if not demo.strip():
            raise SystemExit(f"{path.name}: bnn demo prints nothing")
        scores = classified(programs / "bnn", folder)
        print(f"  {path.name}: installed offline; {version}; demo: {len(demo.splitlines())} lines")
        return scores


def classified(program: Path, folder: Path) -> list[object]:
    """Return class and scores that ``program`` gives for the sample."""
    lines = run(program, *CLASSIFY, offline=True, folder=folder).splitlines()
    found = [json.loads(line) for line in lines]
    return [[one["class_index"], one["scores"]] for one in found]


def main() -> None:
    """Build and check the release files; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where files are built")
    parser.add_argument("--given", type=Path, nargs="+", help="files that are built already")
    asked = parser.parse_args()
    files = [path.resolve() for path in asked.given or built(asked.out)]
    for path in files:
        print(f"  {path.name}: {path.stat().st_size / 1e6:.1f} MB", flush=True)
        check_members(path)
    run(PYTHON, "-m", "twine", "check", "--strict", *files)
    print("  metadata: passed twine check --strict", flush=True)
    wheels = download(files)
    how = "no network interface" if without_network() else "pip --no-index (the network was there)"
    print(f"  wheels of others: {len(list(wheels.iterdir()))}; offline means: {how}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        here = classified(Path(PYTHON).with_name("bnn"), Path(folder))
    for path in files:
        if tried(path, wheels) != here:
            raise SystemExit(f"{path.name}: gives other scores than this environment")
    print(f"{len(files)} files: install offline, and give the same scores")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run the wheels for ARM with a real Python of that processor, under qemu-user.

    make test-wheels                                      # or:
    python tools/test_wheels.py [armv7l] [aarch64] [--quick] [--pytest ARGUMENT ...]

For each processor, Python 3.11, NumPy and Pillow of Debian are unpacked into ``build/machines``
(nothing is installed on this machine); pip puts the other packages and the wheel from ``dist``
beside them, and refuses a wheel whose tags that machine does not take. Then there run:

1. ``bnn --version``, and the scores of all bundled pictures on every model (of one on the reference
   runtime), on an older processor and on one with everything that qemu knows: equal to those here.
2. Tests of this tree with the *installed* package (not with ``src``): see ``TESTS``.

Debian's package lists are read with a configuration of their own; what was fetched is kept, and an
interrupted run goes on. Needs the Debian package qemu-user, and the network the first time.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "machines"
PACKAGES = ("python3.11", "python3-numpy", "python3-pil", "libstdc++6")
#: What the package and its tests need beside NumPy and Pillow. All but safetensors is pure Python.
OTHERS = ("safetensors>=0.4", "typer>=0.16,<0.29", "rich>=13", "pytest>=8.2", "hypothesis>=6.100")
#: The driver over a recorded session.
DRIVER = (
    "tests/hw/test_board.py::test_recorded_session_is_said_again_word_for_word",
    "tests/hw/test_board.py::test_a_driver_that_says_something_else_is_caught",
    "tests/hw/test_board.py::test_a_ledger_is_bounded",
    "tests/hw/test_sessions.py",
)
COMMON = (
    *("tests/run/test_native.py", "tests/run/test_inputs.py", "tests/run/test_reference.py"),
    *("tests/program", "tests/test_classifier.py", *DRIVER),
)
TESTS = {
    "armv7l": COMMON,
    "aarch64": (
        *(*COMMON, "tests/test_values.py"),
        *("tests/data/pictures/test_seen.py", "tests/data/pictures/test_golden_pictures.py"),
    ),
}


@dataclass(frozen=True)
class Machine:
    """A processor as Debian, qemu and pip name it."""

    name: str
    debian: str
    qemu: str
    multiarch: str
    #: Processors that are emulated: an older one, and one with everything that qemu knows.
    processors: tuple[str, ...]
    platforms: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its files are unpacked."""
        return WORK / self.name


MACHINES = (
    Machine(
        *("armv7l", "armhf", "qemu-arm", "arm-linux-gnueabihf", ("cortex-a9", "max")),
        ("manylinux_2_31_armv7l", "manylinux_2_17_armv7l", "manylinux2014_armv7l"),
    ),
    Machine(
        *("aarch64", "arm64", "qemu-aarch64", "aarch64-linux-gnu", ("cortex-a53", "max")),
        ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    ),
)

KERNELS = "import bnn._native as n; print(*(k[0] for k in n.kernels() if k[2]))"
CLASSIFY = """
import json, sys, warnings
warnings.simplefilter('ignore')
import bnn
from pathlib import Path
found = {}
for name in sorted(path.stem for path in Path(bnn.__file__).parent.glob("models/*.bnn")):
    folder = Path(sys.argv[1], "cifar10" if name.startswith("cnv") else "mnist")
    pictures = sorted(str(path) for path in folder.glob("*.png"))
    assert len(pictures) >= 10
    for runtime in ("cpu", "reference"):
        clf = bnn.Classifier(name, runtime=runtime)
        some = pictures if runtime == "cpu" else pictures[3:4]
        found[f"{name} {runtime}"] = clf.scores(some).tolist()
print(json.dumps(found))
"""


def run(*command: str | Path, **environment: str) -> str:
    """Run ``command``; return what it prints, or stop with all of it."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)[:300]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def unpack(machine: Machine) -> None:
    """Fetch Debian's packages for ``machine`` and unpack them into its folder."""
    if (machine.folder / "unpacked").is_file():
        return
    apt = WORK / f"apt-{machine.debian}"
    for name in ("lists/partial", "archives/partial", "etc"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()  # as if nothing were installed: apt names everything that is needed
    own = next(
        path
        for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
        if path.is_file() and "debian" in path.read_text("utf-8")
    )
    options = [
        *(
            "-o",
            f"APT::Architecture={machine.debian}",
            "-o",
            f"APT::Architectures={machine.debian}",
        ),
        *("-o", f"Dir::State={apt}", "-o", f"Dir::State::status={apt / 'status'}"),
        *("-o", f"Dir::Cache={apt}", "-o", f"Dir::Etc::sourcelist={own}"),
        *("-o", f"Dir::Etc::sourceparts={apt / 'etc'}", "-o", "Debug::NoLocking=1"),
        *("-o", "APT::Sandbox::User=root"),
    ]
    print(f"{machine.name}: fetching Debian's {', '.join(PACKAGES)} and what they need", flush=True)
    # A list that a mirror is renewing may fail; what matters is whether the packages come.
    subprocess.run(["apt-get", "-qq", *options, "update"], capture_output=True, check=False)
    wanted = ("install", "--yes", "--download-only", "--no-install-recommends", *PACKAGES)
    run("apt-get", "-qq", *options, *wanted)
    for package in sorted((apt / "archives").glob("*.deb")):
        run("dpkg-deb", "-x", package, machine.folder)
    (machine.folder / "unpacked").touch()


def install(machine: Machine, wheel: Path) -> Path:
    """Put the other packages and ``wheel`` into the folder's ``site``; return it."""
    site = machine.folder / "site"
    take = [
        *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target"),
        *(str(site), "--upgrade", "--only-binary", ":all:", "--python-version", "3.11"),
        *("--implementation", "cp", *(f"--platform={each}" for each in machine.platforms)),
    ]
    if not (site / "ready").is_file():
        print(f"{machine.name}: installing {', '.join(OTHERS)}", flush=True)
        run(*take, *OTHERS)
        (site / "ready").touch()
    shutil.rmtree(site / "bnn", ignore_errors=True)
    for old in site.glob("bnn_pynq-*"):
        shutil.rmtree(old)
    run(*take, "--no-deps", wheel)
    # Children are started by the program's name, which must run under qemu, too.
    (site / "sitecustomize.py").write_text(
        "import os, sys\nsys.executable = os.environ.get('BNN_PYTHON', sys.executable)\n",
        encoding="utf-8",
    )
    return site


def python(machine: Machine, processor: str, site: Path) -> Path:
    """Write a script that runs the machine's Python on ``processor``; return its path."""
    root = machine.folder
    libraries = [f"{root}/lib/{machine.multiarch}", f"{root}/usr/lib/{machine.multiarch}"]
    libraries += [f"{libraries[1]}/{name}" for name in ("blas", "lapack")]
    path = root / f"python-{processor}"
    packages = f"{site}:{root}/usr/lib/python3/dist-packages"
    path.write_text(
        "#!/bin/sh\n"
        f"export BNN_PYTHON={path}\n"
        f"exec {machine.qemu} -cpu {processor} -L {root} -E LD_LIBRARY_PATH={':'.join(libraries)} "
        f'-E PYTHONPATH="{packages}${{PYTHONPATH:+:$PYTHONPATH}}" {root}/usr/bin/python3.11 "$@"\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


def compare(machine: Machine, site: Path) -> None:
    """Stop where scores on the emulated processors are not those of this machine."""
    samples = ROOT / "src/bnn/samples"
    here = json.loads(run(sys.executable, "-c", CLASSIFY, samples))
    for processor in machine.processors:
        program = python(machine, processor, site)
        version = run(program, "-m", "bnn", "--version", BNN_EMULATED="1").strip()
        chosen = run(program, "-c", KERNELS).strip()
        print(f"{machine.name}, {processor}: {version}, kernels: {chosen}", flush=True)
        there = json.loads(run(program, "-c", CLASSIFY, samples, BNN_EMULATED="1"))
        different = [name for name in here if there.get(name) != here[name]]
        if different or there.keys() != here.keys():
            raise SystemExit(f"{machine.name}, {processor}: other scores: {', '.join(different)}")
        count = sum(len(each) for each in there.values())
        print(f"{machine.name}, {processor}: scores of {count} pictures are equal", flush=True)


def test(machine: Machine, site: Path, extra: list[str]) -> None:
    """Run the tests of ``machine`` with the installed package; stop if one fails."""
    program = python(machine, machine.processors[0], site)
    words = [program, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:warnings"]
    done = subprocess.run(
        [*words, *(extra or TESTS[machine.name])],
        cwd=ROOT,
        env=os.environ | {"BNN_EMULATED": "1"},
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{machine.name}: tests failed")


def main() -> None:
    """Run the wheels; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "machines", nargs="*", metavar="MACHINE", help="armv7l, aarch64; default: both"
    )
    parser.add_argument("--quick", action="store_true", help="scores only, no tests")
    parser.add_argument(
        "--pytest", nargs="+", default=[], help="these tests instead of the usual ones"
    )
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where the wheels are")
    asked = parser.parse_args()
    unknown = set(asked.machines) - {each.name for each in MACHINES}
    if unknown:
        parser.error(f"unknown machine: {', '.join(sorted(unknown))}")
    for machine in MACHINES:
        if asked.machines and machine.name not in asked.machines:
            continue
        if shutil.which(machine.qemu) is None:
            print(f"skipped {machine.name}: {machine.qemu} is not installed (Debian: qemu-user)")
            continue
        wheels = sorted(asked.dist.glob(f"*-cp311-cp311-*_{machine.name}.whl"))
        if not wheels:
            raise SystemExit(
                f"{asked.dist}: no wheel of Python 3.11 for {machine.name}: make wheels"
            )
        unpack(machine)
        site = install(machine, wheels[-1])
        compare(machine, site)
        if not asked.quick:
            test(machine, site, asked.pytest)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Build the wheels of three processors on this machine, by ``zig c++``, and check each.

    make wheels                                      # or:
    python tools/build_wheels.py [--out dist] [--only armv7l ...]

One wheel for each Python below 3.12 and one for all later ones (stable ABI), for each of:

- ``x86_64`` and ``aarch64``, glibc 2.28 or later (manylinux_2_28);
- ``armv7l``, glibc 2.31 or later (manylinux_2_31): the boards PYNQ-Z1 and -Z2.

A Python is found by its name (``python3.10``) or among pyenv's; a line says which one is not here.
Headers are this machine's; sizes in ``pyconfig.h`` are written for the target and compiled against
it (``static_assert``). Each wheel is then checked: ``auditwheel show`` agrees with its tag, the
extension is of the right processor, needs the C library alone, exports nothing but
``PyInit__native``, and no code for newer processors can be called on older ones.
Exits with 1 at the first check that fails. A second run compiles only what has changed.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "wheels"
#: The last one serves every later Python.
MINORS = (10, 11, 12)
#: Prints where a Python has its headers.
INCLUDE = "import sysconfig; print(sysconfig.get_path('include'))"
ZIG = (sys.executable, "-m", "ziglang")


@dataclass(frozen=True)
class Target:
    """What wheels are built for: the processor and the oldest C library."""

    machine: str
    #: ``zig c++ -target``, with the version of glibc, and ``-mcpu``: what every such processor has.
    triple: str
    cpu: str
    #: Tag of the platform, and the name in the extension's suffix.
    tag: str
    suffix: str
    #: ELF's name of the processor.
    elf: str
    #: Sizes and alignments in ``pyconfig.h`` that are not those of 64-bit x86.
    sizes: dict[str, int]
    cmake: tuple[str, ...] = ()


TARGETS = (
    Target(
        *("x86_64", "x86_64-linux-gnu.2.28", "x86_64"),
        *("manylinux_2_28_x86_64", "x86_64-linux-gnu", "EM_X86_64", {}),
    ),
    Target(
        *("aarch64", "aarch64-linux-gnu.2.28", "generic"),
        *("manylinux_2_28_aarch64", "aarch64-linux-gnu", "EM_AARCH64", {}),
        ("-DBNN_DOTPROD_FLAGS=-mcpu=generic+dotprod",),
    ),
    Target(
        *("armv7l", "arm-linux-gnueabihf.2.31", "generic+v7a+vfp3d16+thumb2"),
        *("manylinux_2_31_armv7l", "arm-linux-gnueabihf", "EM_ARM"),
        {
            "SIZEOF_LONG": 4,
            "SIZEOF_LONG_DOUBLE": 8,
            "SIZEOF_PTHREAD_T": 4,
            "SIZEOF_SIZE_T": 4,
            "SIZEOF_TIME_T": 4,
            "SIZEOF_UINTPTR_T": 4,
            "SIZEOF_VOID_P": 4,
            "ALIGNOF_LONG": 4,
            "ALIGNOF_SIZE_T": 4,
        },
    ),
)

#: Libraries that an extension may need: the C library's.
LIBRARIES = re.compile(r"(libc|libm|libdl|librt|libpthread|ld-linux[\w-]*)\.so\.\d+$")

#: The linker's list of exported symbols: not the C++ library's, which zig links into the extension.
EXPORTS = "{ global: PyInit__native; local: *; };\n"

#: Types behind the names of ``pyconfig.h`` that Python's headers and the extension depend on.
TYPES = {
    "SIZEOF_DOUBLE": "double",
    "SIZEOF_FLOAT": "float",
    "SIZEOF_INT": "int",
    "SIZEOF_LONG": "long",
    "SIZEOF_LONG_DOUBLE": "long double",
    "SIZEOF_LONG_LONG": "long long",
    "SIZEOF_OFF_T": "off_t",
    "SIZEOF_PTHREAD_T": "pthread_t",
    "SIZEOF_SHORT": "short",
    "SIZEOF_SIZE_T": "size_t",
    "SIZEOF_TIME_T": "time_t",
    "SIZEOF_UINTPTR_T": "uintptr_t",
    "SIZEOF_VOID_P": "void *",
    "SIZEOF_WCHAR_T": "wchar_t",
    "SIZEOF__BOOL": "bool",
    "ALIGNOF_LONG": "long",
    "ALIGNOF_SIZE_T": "size_t",
}


def run(*command: str | Path, **environment: str) -> str:
    """Run ``command`` in the repository; return what it prints, or stop with all of it."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def python_of(minor: int) -> Path | None:
    """Return a Python 3.``minor`` with headers that are whole, or None."""
    name = f"python3.{minor}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(name), *map(str, sorted(pyenv.glob(f"3.{minor}.*/bin/{name}")))]
    for each in filter(None, found):
        asked = subprocess.run([each, "-c", INCLUDE], capture_output=True, text=True, check=False)
        config = Path(asked.stdout.strip()) / "pyconfig.h"
        # pyenv's own python3.X fails where another one is chosen. Debian's pyconfig.h includes one
        # of the machine's folders, where zig does not look.
        if asked.returncode or not config.is_file():
            continue
        if "#define SIZEOF_LONG " in config.read_text("utf-8"):
            return Path(each)
    return None


def builder(minor: int, python: Path) -> Path:
    """Return the Python of an environment with what builds the package."""
    folder = WORK / f"python3.{minor}"
    program = folder / "bin" / "python"
    if not (folder / "ready").is_file():
        run(python, "-m", "venv", "--clear", folder)
        needed = run(sys.executable, ROOT / "tools" / "build_requires.py")
        run(program, "-m", "pip", "install", "-q", "cmake", "ninja", *shlex.split(needed))
        (folder / "ready").touch()
    return program


def scripts(target: Target) -> Path:
    """Write ``c++``, ``ar`` and ``ranlib`` for ``target``; return their folder."""
    folder = WORK / target.machine
    folder.mkdir(parents=True, exist_ok=True)
    compiler = ("c++", "-target", target.triple, f"-mcpu={target.cpu}")
    for name, words in {"c++": compiler, "ar": ("ar",), "ranlib": ("ranlib",)}.items():
        script = f'#!/bin/sh\nexec {shlex.join([*ZIG, *words])} "$@"\n'
        path = folder / name
        # Kept if it is the same, so that CMake does not configure anew.
        if not path.is_file() or path.read_text("utf-8") != script:
            path.write_text(script, encoding="utf-8")
            path.chmod(0o755)
    (folder / "exports.map").write_text(EXPORTS, encoding="utf-8")
    return folder


def headers(target: Target, minor: int, python: Path) -> Path:
    """Copy the headers of ``python`` with the sizes of ``target``; return their folder."""
    source = Path(run(python, "-c", INCLUDE).strip())
    folder = WORK / target.machine / f"python3.{minor}"
    if folder.is_dir():
        return folder
    fresh = folder.with_name(folder.name + "-new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh)
    config = fresh / "pyconfig.h"
    text = config.read_text("utf-8")
    for name, size in target.sizes.items():
        text = re.sub(rf"(?m)^#define {name} \d+$", f"#define {name} {size}", text)
    config.write_text(text, encoding="utf-8")
    check_sizes(target, fresh)
    fresh.rename(folder)
    return folder


def check_sizes(target: Target, folder: Path) -> None:
    """Compile one assertion for each size in ``pyconfig.h``, for ``target``."""
    config = (folder / "pyconfig.h").read_text("utf-8")
    defined = dict(re.findall(r"(?m)^#define (\w+) (\d+)$", config))
    lines = [
        f"static_assert({name.partition('OF_')[0].lower()}of({type_}) == {defined[name]});\n"
        for name, type_ in TYPES.items()
        if name in defined
    ]
    if len(lines) < 12:
        raise SystemExit(f"{folder / 'pyconfig.h'}: only {len(lines)} sizes were found")
    included = ("Python.h", "pthread.h", "stdint.h", "sys/types.h", "time.h")
    source, made = folder / "sizes.cpp", folder / "sizes.o"
    text = "".join([*(f"#include <{name}>\n" for name in included), *lines])
    source.write_text(text, encoding="utf-8")
    compiler = WORK / target.machine / "c++"
    run(compiler, "-std=c++20", f"-I{folder}", "-c", source, "-o", made)
    source.unlink()
    made.unlink()


def build(target: Target, minor: int, python: Path, out: Path) -> Path:
    """Build one wheel into ``out``; return its path."""
    tools = scripts(target)
    include = headers(target, minor, python)
    program = builder(minor, python)
    suffix = ".abi3.so" if minor == MINORS[-1] else f".cpython-3{minor}-{target.suffix}.so"
    # nanobind uses stderr in headers for the stable ABI; the header of zig's C++ library lacks it.
    flags = ("-DCMAKE_CXX_FLAGS=-include stdio.h",) if minor == MINORS[-1] else ()
    options = (
        "-DCMAKE_SYSTEM_NAME=Linux",
        f"-DCMAKE_SYSTEM_PROCESSOR={target.machine}",
        f"-DCMAKE_CXX_COMPILER={tools / 'c++'}",
        f"-DCMAKE_AR={tools / 'ar'}",
        f"-DCMAKE_RANLIB={tools / 'ranlib'}",
        f"-DCMAKE_MODULE_LINKER_FLAGS=-Wl,--version-script={tools / 'exports.map'}",
        f"-DPython_INCLUDE_DIR={include}",
        *target.cmake,
        *flags,
    )
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.whl")}
    run(
        *(program, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
        *("--no-build-isolation", "--no-deps", "--wheel-dir", out, ROOT),
        SKBUILD_CMAKE_ARGS=";".join(options),
        SKBUILD_BUILD_DIR=str(WORK / target.machine / f"cp3{minor}"),
        SETUPTOOLS_EXT_SUFFIX=suffix,
        _PYTHON_HOST_PLATFORM=f"linux-{target.machine}",
        PATH=f"{program.parent}:{os.environ['PATH']}",
    )
    made = [path for path in out.glob("*.whl") if before.get(path) != path.stat().st_mtime_ns]
    if len(made) != 1:
        raise SystemExit(f"{target.machine}, Python 3.{minor}: {len(made)} wheels were built")
    retag = (sys.executable, "-m", "wheel", "tags", "--remove", "--platform-tag", target.tag)
    return out / run(*retag, made[0]).strip()


def check(wheel: Path, target: Target, minor: int) -> None:
    """Refuse a wheel whose tags, processor, libraries or symbols are not what its name says."""
    from elftools.elf.elffile import ELFFile

    late = minor == MINORS[-1]
    tags = f"cp3{minor}-{'abi3' if late else f'cp3{minor}'}-{target.tag}"
    if not wheel.name.endswith(f"-{tags}.whl"):
        raise SystemExit(f"{wheel.name}: the tags are not {tags}")
    suffix = "abi3" if late else f"cpython-3{minor}-{target.suffix}"
    with zipfile.ZipFile(wheel) as archive:
        natives = [name for name in archive.namelist() if name.endswith(".so")]
        if natives != [f"bnn/_native.{suffix}.so"]:
            raise SystemExit(f"{wheel.name}: has the extensions {natives}")
        elf = ELFFile(io.BytesIO(archive.read(natives[0])))  # type: ignore[no-untyped-call]
    if elf.header["e_machine"] != target.elf:
        raise SystemExit(f"{wheel.name}: is for {elf.header['e_machine']}")
    dynamic = elf.get_section_by_name(".dynamic")
    needed = {tag.needed for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED"}
    strange = [name for name in needed if not LIBRARIES.match(name)]
    symbols = list(elf.get_section_by_name(".dynsym").iter_symbols())
    exported = {s.name for s in symbols if s["st_shndx"] != "SHN_UNDEF" and s.name}
    if strange or exported != {"PyInit__native"}:
        raise SystemExit(f"{wheel.name}: needs {strange}, exports {sorted(exported)[:5]}")
    check_policy(wheel, target)
    check_kernels(wheel, WORK / target.machine / f"cp3{minor}" / "libbnn_core.a")


def check_policy(wheel: Path, target: Target) -> None:
    """Refuse a wheel for which auditwheel finds no tag that is as old as the one in its name."""
    text = " ".join(run(sys.executable, "-m", "auditwheel", "show", wheel).split())
    found = re.search(r'following platform tag: "manylinux_(\d+)_(\d+)_(\w+?)"', text)
    claimed = re.fullmatch(r"manylinux_(\d+)_(\d+)_(\w+)", target.tag)
    if claimed is None or found is None or found[3] != claimed[3]:
        raise SystemExit(f"{wheel.name}: auditwheel show says: {text}")
    if (int(found[1]), int(found[2])) > (int(claimed[1]), int(claimed[2])):
        raise SystemExit(f"{wheel.name}: auditwheel show says: {text}")


def check_kernels(wheel: Path, archive: Path) -> None:
    """Refuse a wheel in which code for newer processors may be called on older ones."""
    listing = shutil.which("llvm-nm") or shutil.which("nm")
    if listing is None:
        raise SystemExit("nm is not installed (Debian: binutils)")
    words = [ROOT / "tools" / "kernel-symbols", listing, archive]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{wheel.name}: {done.stdout}{done.stderr}")


def made(targets: Iterable[Target], out: Path) -> list[Path]:
    """Build and check the wheels of ``targets``; return their paths."""
    wheels = []
    for minor in MINORS:
        python = python_of(minor)
        if python is None:
            print(f"skipped: Python 3.{minor} with its headers is not here", flush=True)
            continue
        for target in targets:
            wheel = build(target, minor, python, out)
            check(wheel, target, minor)
            print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, checked", flush=True)
            wheels.append(wheel)
    return wheels


def main() -> None:
    """Build and check the wheels; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where files are built")
    parser.add_argument(
        "--only", nargs="+", choices=[each.machine for each in TARGETS], help="these processors"
    )
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    chosen = [each for each in TARGETS if asked.only is None or each.machine in asked.only]
    wheels = made(chosen, asked.out.resolve())
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", asked.out)
    if not wheels:
        raise SystemExit("no wheel was built")
    print(f"{len(wheels)} wheels and the source archive are in {asked.out}")


if __name__ == "__main__":
    main()

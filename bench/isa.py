# SPDX-License-Identifier: BSD-3-Clause
"""Limit the instructions that the compared engines find: all of this CPU, or up to AVX2.

Not every engine has an option for that (OpenVINO and PyTorch read oneDNN's ``ONEDNN_MAX_CPU_ISA``,
ONNX Runtime has none), and an option may not reach all of an engine. So the answer is changed
below them: CPUID, the instruction that all of them use, is intercepted (``cpu_avx2.c``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

#: Value of ``--isa`` -> title of its section.
TITLES = {"native": "What this CPU has", "avx2": "As on a CPU with AVX2"}

_SOURCE = Path(__file__).with_name("cpu_avx2.c")


def environment(isa: str, folder: Path) -> dict[str, str]:
    """Return the environment of a process that sees ``isa`` only; it needs ``folder`` to its end.

    Raises:
        RuntimeError: this machine has no C compiler to build the interception with.
    """
    variables = dict(os.environ)
    if isa == "native":
        return variables
    compiler = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        raise RuntimeError("ISA=avx2 needs a C compiler: cc, gcc or clang")
    library = folder / "cpu_avx2.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, _SOURCE], check=True)
    variables["LD_PRELOAD"] = str(library)
    variables["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    return variables

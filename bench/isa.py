# SPDX-License-Identifier: BSD-3-Clause
"""Which instructions the compared engines may find: all that this CPU has, or AVX2 and no more.

Not every engine has a switch for that (OpenVINO and PyTorch read oneDNN's ``ONEDNN_MAX_CPU_ISA``,
ONNX Runtime has none), and a switch need not reach all of an engine. So the question is answered
below them: the instruction that they all ask, CPUID, is intercepted (``cpu_avx2.c``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

#: What may be asked for, and how a table calls it.
TITLES = {"native": "What this CPU has", "avx2": "As on a CPU with AVX2"}

_SOURCE = Path(__file__).with_name("cpu_avx2.c")


def environment(isa: str, folder: Path) -> dict[str, str]:
    """The environment of a process that sees ``isa`` only; ``folder`` must outlive it.

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

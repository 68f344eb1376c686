# SPDX-License-Identifier: BSD-3-Clause
"""The core imports and classifies where Python has nothing of POSIX, as on Windows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import bnn

SAMPLE = Path(bnn.__file__).parent / "samples" / "mnist" / "3.png"
#: Modules that Windows lacks; the standard library itself imports some of them, and does without.
MODULES = (
    *("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline", "curses"),
    *("crypt", "nis", "spwd", "posixshmem", "_posixshmem"),
)
#: Names of os and signal that Windows lacks.
NAMES = {
    "os": (
        *("geteuid", "getuid", "getegid", "getgid", "getgroups", "fork", "forkpty", "uname"),
        *("register_at_fork", "sched_getaffinity", "sched_setaffinity", "sysconf", "statvfs"),
        *("O_NOFOLLOW", "O_CLOEXEC", "O_DIRECTORY", "O_NONBLOCK", "killpg", "getpgid", "setsid"),
        *("mkfifo", "chown", "lchown", "fchmod", "getloadavg", "pread", "pwrite", "openpty"),
    ),
    "signal": (
        "SIGHUP",
        "SIGKILL",
        "SIGALRM",
        "SIGPIPE",
        "SIGUSR1",
        "SIGTSTP",
        "alarm",
        "setitimer",
    ),
}
CHILD = """
import importlib, json, sys
modules, names = json.loads(sys.argv[1])
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
for name in modules:
    sys.modules.pop(name, None)
# What needs POSIX at its own import comes first: on Windows it takes another path there.
import subprocess, tempfile, shutil, multiprocessing, threading, random, uuid
import numpy, PIL.Image
for module, missing in names.items():
    for name in missing:
        if hasattr(importlib.import_module(module), name):
            delattr(sys.modules[module], name)
"""
CLASSIFY = """
import bnn
from PIL import Image
picture = sys.argv[2]
found = [bnn.Classifier("lfc-w1a1", runtime=runtime).scores([picture]).tolist()
         for runtime in ("cpu", "reference")]
print(json.dumps(found))
"""
COMMAND = """
from bnn.commands.main import main
sys.argv = ["bnn", "classify", "lfc-w1a1", sys.argv[2], "--json"]
main()
"""


def without_posix(code: str, tmp_path: Path) -> str:
    """Run ``code`` in a fresh Python without `MODULES` and `NAMES`; return what it prints."""
    missing = json.dumps([MODULES, NAMES])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD + code, missing, str(SAMPLE)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_core_classifies(tmp_path: Path) -> None:
    found = json.loads(without_posix(CLASSIFY, tmp_path))
    here = bnn.Classifier("lfc-w1a1").scores([str(SAMPLE)]).tolist()
    assert found == [here, here]


def test_the_command_line_classifies(tmp_path: Path) -> None:
    assert json.loads(without_posix(COMMAND, tmp_path))["class_index"] == 3


def test_the_modules_are_missing_there(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="No module named 'fcntl'"):
        without_posix("\nimport fcntl\n", tmp_path)

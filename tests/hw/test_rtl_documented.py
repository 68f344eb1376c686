# SPDX-License-Identifier: BSD-3-Clause
"""``tools/check_rtl.py``: every parameter and port has a comment, no line is too long."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bnn.hw.render import library

ROOT = Path(__file__).parents[2]


def _check(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "check_rtl.py"), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _counts(text: str) -> tuple[int, int, int]:
    found = re.search(r"with a comment: (\d+) of (\d+)\nlines over 100 columns: (\d+)\n", text)
    assert found
    return int(found[1]), int(found[2]), int(found[3])


def test_the_package_is_documented() -> None:
    run = _check()
    assert run.returncode == 0, run.stderr
    documented, total, long = _counts(run.stdout)
    assert documented == total
    assert long == 0
    # Each keyword that begins a line within a header, counted another way.
    texts = [text.split("\n);\n")[0] for name, text in library().items() if name.endswith(".sv")]
    heads = [text[text.index("\nmodule") :] for text in texts]
    # The boards' tops, which may have more than one module in a file.
    tops = sorted((ROOT / "src" / "bnn" / "hw" / "boards").glob("*.sv"))
    assert tops
    for top in tops:
        heads += [each.split(");\n")[0] for each in top.read_text().split("\nmodule")[1:]]
    assert total == sum(
        len(re.findall(r"\n    (?:parameter|localparam|input|output) ", head)) for head in heads
    )


def test_the_readme_has_every_block_once() -> None:
    text = (ROOT / "src" / "bnn" / "hw" / "rtl" / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(bnn_\w+)` \|", text, re.MULTILINE)
    assert sorted(named) == [name[:-3] for name in library() if name.endswith(".sv")]
    assert all((ROOT / file).is_file() for file in re.findall(r"`(tests/hw/\w+\.py)`", text))


_FIFO = library()["bnn_fifo.sv"]
_PORT = next(line for line in _FIFO.splitlines(keepends=True) if " i_valid,  //" in line)
_PLANTED = {
    "a port without a comment": (_PORT, re.sub(r" *//.*", "", _PORT), "i_valid has no comment"),
    "an added port": (_PORT, f"{_PORT}    input wire extra,\n", "extra has no comment"),
    "a comment that is the name": (
        *(_PORT, re.sub(r"//.*", "// i_valid", _PORT)),
        "the comment of i_valid only repeats its name",
    ),
    "the words of the name": (
        *(_PORT, re.sub(r"//.*", "// I valid", _PORT)),
        "the comment of i_valid only repeats its name",
    ),
    "two ports in a line": (_PORT, re.sub(" +i_valid,", " i_valid, more,", _PORT), "one parameter"),
    "a parameter": (
        "    parameter int BITS  = 8, ",
        "    parameter int NEW   = 8,\n    parameter int BITS  = 8, ",
        "NEW has no comment",
    ),
    "a parameter with a call": (
        "    parameter int BITS  = 8, ",
        "    parameter int NEW   = $clog2(4, 5),\n    parameter int BITS  = 8, ",
        "NEW has no comment",
    ),
    "a long line": ("endmodule", f"// {'x' * 98}\nendmodule", "101 columns, more than 100"),
}


@pytest.mark.parametrize("name", _PLANTED)
def test_a_planted_fault_is_found(name: str, tmp_path: Path) -> None:
    right, wrong, complaint = _PLANTED[name]
    assert _FIFO.count(right) == 1
    file = tmp_path / "bnn_fifo.sv"
    file.write_text(_FIFO, encoding="utf-8")
    assert _check(file).returncode == 0
    file.write_text(_FIFO.replace(right, wrong), encoding="utf-8")
    run = _check(file)
    assert run.returncode == 1
    assert complaint in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_comment_does_not_end_a_header(tmp_path: Path) -> None:
    file = tmp_path / "m.sv"
    file.write_text(
        "module m (\n    input wire a,  // what f(x);\n    input wire b\n);\nendmodule\n"
    )
    run = _check(file)
    assert _counts(run.stdout) == (1, 2, 0)
    assert run.returncode == 1

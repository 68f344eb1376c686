# SPDX-License-Identifier: BSD-3-Clause
"""``bnn convert`` and ``bnn build`` that are killed (-9) at random moments, or run twice at once.

``FAULTS`` is the number of kills for each kind of output; a few by default.
"""

import multiprocessing
import os
import random
import re
import time

import pytest

from bnn.formats.convert import convert
from bnn.model.file import load, save
from bnn.system.files import STALE_AFTER_S
from faults.command_child import command
from support.converted import FIXTURES

FAULTS = int(os.environ.get("FAULTS", "4"))
ONE, TWO = (str(FIXTURES / "theano" / name) for name in ("tfc-1w-1a.npz", "tfc-1w-2a.npz"))
LEFT = re.compile(r"\.bnn-[0-9a-f]+\.tmp(/.*)?")


@pytest.fixture(scope="module")
def context():
    """Processes that have the package loaded before they begin."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(
        ["bnn.commands.main", "bnn.formats.convert", "bnn.hw", "faults.command_child"]
    )
    return found


def run(context, *arguments, kill_after=None):
    """Seconds that the command took, or None if it was killed."""
    process = context.Process(target=command, args=tuple(map(str, arguments)))
    started = time.monotonic()
    process.start()
    process.join(kill_after)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    assert process.exitcode == 0
    return time.monotonic() - started


def contents(folder):
    """Every file below ``folder`` by name, leftovers of killed processes aside."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {name: data for name, data in files.items() if not LEFT.fullmatch(name)}


def killed(context, name, seconds, arguments, check):
    """Kill the command at :data:`FAULTS` random moments, and check what is there each time."""
    draw = random.Random(os.environ.get("FAULTS_SEED", name))
    kills = runs = 0
    while kills < FAULTS and runs < 3 * FAULTS:
        runs += 1
        kills += run(context, *arguments(runs), kill_after=draw.uniform(0, seconds)) is None
        check()
    print(f"\n{name}: {kills} kills in {runs} runs of {seconds:.2f} s")  # noqa: T201
    assert kills


def test_a_model_is_the_old_one_or_the_new_one(context, tmp_path):
    out = tmp_path / "model.bnn"
    whole = set()
    for source in (ONE, TWO):
        seconds = run(context, "convert", source, "-o", out)
        whole.add(out.read_bytes())

    def check():
        assert out.read_bytes() in whole
        assert set(contents(tmp_path)) == {"model.bnn"}

    killed(context, "model", seconds, lambda n: ("convert", (ONE, TWO)[n % 2], "-o", out), check)
    for left in tmp_path.glob(".bnn-*.tmp"):
        os.utime(left, (time.time() - 2 * STALE_AFTER_S,) * 2)
    run(context, "convert", ONE, "-o", out)
    assert [path.name for path in tmp_path.iterdir()] == ["model.bnn"]
    load(out)


def test_a_parameter_folder_is_whole_or_not_there(context, tmp_path):
    (tmp_path / "whole").mkdir()
    seconds = run(context, "convert", "lfc-w1a1", "--to", "bnn-pynq", "-o", tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    place = tmp_path / "place"
    place.mkdir()

    def check():
        for folder in place.iterdir():
            if not LEFT.fullmatch(folder.name):
                assert contents(folder) == whole

    def arguments(number):
        return "convert", "lfc-w1a1", "--to", "bnn-pynq", "-o", place / f"set{number}"

    killed(context, "folder", seconds, arguments, check)


def test_a_build_is_the_old_one_the_new_one_or_incomplete_and_is_then_built_anew(context, tmp_path):
    models = [tmp_path / name for name in ("one.bnn", "two.bnn")]
    whole = []
    for source, model in zip((ONE, TWO), models, strict=True):
        save(convert(source).model, model)
        seconds = run(context, "build", model, "-o", tmp_path / model.stem)
        whole.append(contents(tmp_path / model.stem))
    assert whole[0] != whole[1]
    used = tmp_path / "used"
    run(context, "build", models[0], "-o", used)

    def check():
        there = contents(used)
        if "driver.json" in there:  # says that a build is complete
            assert {**there, "manifest.json": b""} in [{**w, "manifest.json": b""} for w in whole]

    killed(context, "build", seconds, lambda n: ("build", models[n % 2], "-o", used), check)
    run(context, "build", models[1], "-o", used)
    assert contents(used) == whole[1]
    assert not list(used.glob(".bnn-*.tmp"))


def test_two_at_once_leave_one_whole_model(context, tmp_path):
    out = tmp_path / "model.bnn"
    whole = set()
    for source in (ONE, TWO):
        run(context, "convert", source, "-o", out)
        whole.add(out.read_bytes())
    for _ in range(max(1, FAULTS // 4)):
        both = [
            context.Process(target=command, args=("convert", source, "-o", str(out)))
            for source in (ONE, TWO)
        ]
        for process in both:
            process.start()
        for process in both:
            process.join()
            assert process.exitcode == 0
        assert out.read_bytes() in whole
        assert [path.name for path in tmp_path.iterdir()] == ["model.bnn"]

# SPDX-License-Identifier: BSD-3-Clause
"""The two commands, and that nobody else pays for PyTorch."""

import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import bnn.commands.train as commands
from bnn.commands.main import app, main
from bnn.errors import TrainError
from bnn.system import install

runner = CliRunner()


def test_the_command_line_does_not_load_pytorch():
    code = (
        "import sys, bnn, bnn.commands.main, bnn.commands.train\n"
        "assert not {'torch', 'lightning', 'tensorboard'} & set(sys.modules), 'loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("missing", ["torch", "lightning"])
@pytest.mark.parametrize(
    "arguments", [["train", "tfc-w1a1", "--data", "mnist", "-o", "y"], ["certify", "y"]]
)
def test_without_the_extra_it_says_what_to_install(monkeypatch, tmp_path, missing, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "settings.json").write_text("{}")
    monkeypatch.setattr(commands, "find_spec", lambda name: None if name == missing else object())
    result = runner.invoke(app, arguments)
    assert isinstance(result.exception, TrainError)
    assert str(result.exception) == f"training needs {missing}: {install.command('train')}"


@pytest.mark.parametrize("command", ["train", "certify"])
def test_help(command):
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "RUN" in result.output


@pytest.mark.skipif(find_spec("lightning") is None, reason="needs bnn-pynq[train]")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "vgg", "--data", "mnist", "-o", "r"], "no network is called 'vgg'"),
        (["train", "no.toml", "--data", "mnist", "-o", "r"], "no.toml"),
        (["train", "tfc-w1a1", "--data", "nowhere", "-o", "r"], "nowhere: no such folder"),
        (
            ["train", "tfc-w1a1", "--data", "mnist", "--rate", "-1", "-o", "r"],
            "rate must be above 0",
        ),
        (
            ["train", "tfc-w1a1", "--data", "mnist", "--taught", "2", "-o", "r"],
            "taught must be from 0 to 1",
        ),
        (
            ["train", "tfc-w1a1", "--data", "mnist", "--whole", "--patience", "3", "-o", "r"],
            "--patience needs a validation part",
        ),
        (["certify", "nowhere"], "nowhere: is not a run"),
    ],
)
def test_what_the_user_can_mend_is_one_line(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bnn", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    errors = capsys.readouterr().err
    assert errors.startswith("bnn: ")
    assert errors.count("\n") == 1
    assert said in errors


@pytest.mark.parametrize("kept", [False, True])
def test_only_a_run_that_is_there_is_said_to_be_resumable(tmp_path, monkeypatch, kept):
    from bnn.commands.train import _where_stopped

    monkeypatch.delitem(sys.modules, "bnn.train.run", raising=False)  # while modules were loaded
    run = tmp_path / "run"
    if kept:
        run.mkdir()
        (run / "settings.json").write_text("{}")
    assert ("--resume" in _where_stopped(run)) == kept
    assert ("start it again" in _where_stopped(run)) == (not kept)


@pytest.mark.parametrize(
    ("labels", "predicted", "said"),
    [
        ([0, 1] * 15, [0, 1] * 15, []),
        ([0, 1] * 14 + [0], [0, 1] * 14 + [0], ["with 29 test pictures: too few"]),
        ([0], [0], ["with 1 test picture: too few", "The test part has only pictures of 'cat'"]),
        ([1] * 40 + [0] * 9, [1] * 49, ["to answer 'ship' always (40 of 49 right)"]),
        ([1] * 40 + [0] * 9, [1] * 39 + [0] * 10, []),  # 48 right
        ([1] * 40 + [0] * 9, [0] * 49, ["to answer 'ship' always (40 of 49 right)"]),
    ],
)
def test_an_accuracy_that_says_little_is_told(labels, predicted, said):
    found = SimpleNamespace(
        classes=("cat", "ship"), labels=np.array(labels), predicted=np.array(predicted)
    )
    lines = list(commands._doubts(found))
    assert len(lines) == len(said)
    for line, part in zip(lines, said, strict=True):
        assert part in line


def test_with_one_class_there_is_nothing_to_compare():
    zeros = np.zeros(30, np.int64)
    found = SimpleNamespace(classes=("cat",), labels=zeros, predicted=zeros)
    assert list(commands._doubts(found)) == []

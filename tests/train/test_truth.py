# SPDX-License-Identifier: BSD-3-Clause
"""Training tells the truth: no certificate of what is not finite, edited or foreign."""

import contextlib
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")
pytest.importorskip("lightning", reason="needs bnn-pynq[train]")

from bnn.errors import BnnError, TrainError  # noqa: E402
from bnn.train.augment import AUGMENTATIONS  # noqa: E402
from bnn.train.checkpoint import read_checkpoint, to_bytes  # noqa: E402
from bnn.train.early import BEST, LAST, PREVIOUS  # noqa: E402
from bnn.train.lock import exclusive  # noqa: E402
from bnn.train.loop import FitOptions, Task  # noqa: E402
from bnn.train.origin import Origin  # noqa: E402
from bnn.train.quantizers import ESTIMATORS  # noqa: E402
from bnn.train.recipes import RANGES  # noqa: E402
from bnn.train.resume import resumed  # noqa: E402
from bnn.train.run import SETTINGS, Settings, read_settings, recertify, train  # noqa: E402
from faults.compared import compare  # noqa: E402
from faults.pictures import write_pictures  # noqa: E402
from faults.train_child import TOPOLOGIES  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:::torch")

QUIET = FitOptions(devices="1", precision="32-true", progress=False)
OUTPUTS = ("model.bnn", "report.json", "report.html", "card.md")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run of three epochs."""
    place = tmp_path_factory.mktemp("truth")
    write_pictures(place / "data", (30, 25, 35))
    (place / "dense.toml").write_text(TOPOLOGIES["dense"])
    wanted = Settings.make(
        str(place / "dense.toml"), str(place / "data"), epochs=3, batch=16, augment="shift"
    )
    train(wanted, place / "run", QUIET, resume=False)
    return place / "run"


@pytest.fixture
def run(done, tmp_path):
    """A copy of it that may be spoiled."""
    return shutil.copytree(done, tmp_path / "run")


def edit(path, change):
    content = read_checkpoint(path)
    change(content)
    path.write_bytes(to_bytes(content))


# --- not finite ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("key", "layer"),
    [
        ("stack.body.1.weight", r"layer 1 \(Dense\): weight"),
        ("stack.body.2.gamma", r"layer 2 \(BatchNorm\): gamma"),
        ("stack.body.2.beta", r"layer 2 \(BatchNorm\): beta"),
        ("stack.body.2.mean", r"layer 2 \(BatchNorm\): mean"),
        ("stack.body.2.variance", r"layer 2 \(BatchNorm\): variance"),
        ("stack.head.0.beta", r"layer \d+ \(BatchNorm\): beta"),
    ],
)
def test_no_certificate_for_values_that_are_not_finite(run, key, layer, value):
    for name in OUTPUTS:
        (run / name).unlink()
    edit(run / BEST, lambda content: content["state_dict"][key].view(-1)[0].fill_(value))
    with pytest.raises(TrainError, match=rf"best\.ckpt: {layer}: 1 of \d+ values are not finite"):
        recertify(run)
    assert not any((run / name).exists() for name in OUTPUTS)


def test_no_certificate_for_scales_and_variances_that_cannot_be(run):
    edit(run / BEST, lambda content: content["state_dict"]["stack.body.2.variance"].fill_(-1.0))
    with pytest.raises(TrainError, match="variance is negative"):
        recertify(run)
    edit(run / BEST, lambda content: content["state_dict"]["stack.body.2.variance"].fill_(0.0))
    edit(run / BEST, lambda content: content["state_dict"]["stack.body.2.gamma"].fill_(3e38))
    with pytest.raises(TrainError, match="scale: 24 of 24 values are not finite"):
        recertify(run)


def test_no_certificate_for_logits_and_losses_that_are_not_finite(run):
    rows = lambda content: next(  # noqa: E731
        one["rows"] for one in content["callbacks"].values() if "rows" in one
    )
    edit(run / LAST, lambda content: rows(content)[1].update(loss=float("nan")))
    with pytest.raises(TrainError, match="loss of epoch 2 is not finite"):
        recertify(run)
    edit(run / LAST, lambda content: rows(content)[1].update(loss=1.0))
    edit(run / BEST, lambda content: content["state_dict"]["stack.head.0.gamma"].fill_(3e38))
    with pytest.raises(TrainError, match=r"(logits|scale): .* not finite"):
        recertify(run)


# --- edited --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"seed": "1"}, "seed must be a whole number, not '1'"),
        ({"seed": True}, "seed must be a whole number, not True"),
        ({"seed": -1}, "seed must be from 0 to 4294967295"),
        ({"seed": 2**32}, "seed must be from 0 to 4294967295"),
        ({"whole": 1}, "whole must be true or false, not 1"),
        ({"network": 3}, "network must be a text, not 3"),
        ({"teachers": "lfc-w1a1"}, "teachers must be a list of texts"),
        ({"teachers": [1]}, "teachers must be a list of texts"),
        ({"init": ["x"]}, "init must be a text or null"),
        ({"preprocess": "thumnail"}, "did you mean 'thumbnail'"),
        ({"sed": 1}, "unknown key 'sed'; did you mean 'seed'"),
        ({"recipe": []}, "recipe must be a table"),
        ({"run": {"precison": None}}, "unknown key 'precison'"),
        ({"run": {"patience": 0}}, "patience must be from 1"),
        ({"run": {"devices": 1}}, "devices must be a text"),
        ({"recipe.epochs": 2.5}, "epochs must be a whole number, not 2.5"),
        ({"recipe.epochs": 0}, "epochs must be from 1"),
        ({"recipe.batch": 1}, "batch must be from 2"),
        ({"recipe.rate": "fast"}, "rate must be a number, not 'fast'"),
        ({"recipe.rate": -0.1}, "rate must be above 0"),
        ({"recipe.rate": 10**400}, "is not JSON: a number has 401 digits"),
        ({"recipe.norm_rate": None}, "norm_rate must be a number"),
        ({"recipe.taught": 1.5}, "taught must be from 0 to 1"),
        ({"recipe.smoothing": -1}, "smoothing must be from 0 to 1"),
        ({"recipe.temperature": 0}, "temperature must be above 0"),
        ({"recipe.augment": "distrot"}, "did you mean 'distort'"),
        ({"recipe.estimator": "magic"}, "estimator is one of ste, approx"),
        ({"recipe.ratte": 1}, "unknown key 'ratte'; did you mean 'rate'"),
    ],
)
def test_edited_settings_are_checked(run, edits, said):
    values = json.loads((run / SETTINGS).read_text())
    for key, value in edits.items():
        table = values["recipe"] if key.startswith("recipe.") else values
        table[key.removeprefix("recipe.")] = value
    (run / SETTINGS).write_text(json.dumps(values))
    with pytest.raises(TrainError, match=rf"settings\.json: .*{said}") as refused:
        resumed(run, {}, QUIET)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"seed": ' + b"9" * 5000 + b"}",
        b'{"seed": NaN}',
        b'{"seed": 1, "seed": 2}',
        b"null",
        b" " * (2 << 20),
    ],
)
def test_settings_that_are_no_table_are_one_line(run, text):
    (run / SETTINGS).write_bytes(text)
    with pytest.raises(TrainError, match=r"settings\.json: ") as refused:
        read_settings(run)
    assert "\n" not in str(refused.value)


def test_settings_that_are_no_file_are_refused(run):
    (run / SETTINGS).unlink()
    os.mkfifo(run / SETTINGS)
    with pytest.raises(TrainError, match="is a pipe, not a file"):
        read_settings(run)


def test_a_certificate_tells_of_the_settings_it_was_trained_with(run):
    values = json.loads((run / SETTINGS).read_text())
    values["recipe"]["rate"] = 0.5
    (run / SETTINGS).write_text(json.dumps(values))
    with pytest.raises(TrainError, match=r"best\.ckpt: was trained with rate 0\.02, .* have 0\.5"):
        recertify(run)
    longer = replace(read_settings(run).recipe, epochs=4)
    edited = replace(read_settings(run), recipe=longer)
    with pytest.raises(TrainError, match=r"was trained with rate 0\.02, the settings have 0\.5"):
        train(edited, run, QUIET, resume=True)


def test_a_run_whose_pictures_changed_is_not_resumed_and_not_certified(run, done, tmp_path):
    shutil.copytree(done.parent / "data", tmp_path / "data")
    (tmp_path / "data" / "class0" / "0.png").unlink()
    values = json.loads((run / SETTINGS).read_text())
    values["data"] = str(tmp_path / "data")
    (run / SETTINGS).write_text(json.dumps(values))
    with pytest.raises(TrainError, match="89 pictures now, 90 then"):
        recertify(run)
    (run / "data.json").unlink()  # what the checkpoint keeps finds it too
    with pytest.raises(TrainError, match="the data are not those that it was trained on"):
        recertify(run)


def test_recipes_know_the_names_that_there_are():
    assert RANGES["augment"] == tuple(AUGMENTATIONS)
    assert RANGES["estimator"] == tuple(ESTIMATORS)


# --- resuming ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": 2}, "--seed cannot change: 2 is asked, 1 in the run"),
        ({"rate": 0.5}, "--rate cannot change: 0.5 is asked, 0.02 in the run"),
        ({"batch": 32}, "--batch cannot change: 32 is asked, 16 in the run"),
        ({"data": "mnist"}, "--data cannot change: mnist is asked"),
        ({"network": "lfc-w1a1"}, "NET cannot change: lfc-w1a1 is asked"),
        ({"whole": True}, "--whole cannot change: True is asked, False in the run"),
        (
            {"precision": "bf16-mixed"},
            "--precision cannot change: bf16-mixed is asked, 32-true in the run",
        ),
        ({"teacher": ["lfc-w1a1"]}, "--teacher cannot change: lfc-w1a1 is asked"),
        ({"init": "lfc-w1a1"}, "--init cannot change: lfc-w1a1 is asked, but not in the run"),
        ({"augment": "none"}, "--augment cannot change: none is asked, shift in the run"),
    ],
)
def test_resuming_names_the_option_that_differs(run, given, said):
    with pytest.raises(TrainError, match=said):
        resumed(run, given, QUIET)


def test_a_batch_that_follows_the_data_is_not_called_by_a_number(run):
    kept = json.loads((run / SETTINGS).read_text())
    kept["batch_given"] = False
    (run / SETTINGS).write_text(json.dumps(kept))
    said = "--batch cannot change: 8 is asked, one that follows the data in the run"
    with pytest.raises(TrainError, match=said):
        resumed(run, {"batch": 8}, QUIET)


def test_resuming_takes_the_runs_own_settings(run):
    same = {"seed": 1, "rate": 0.02, "epochs": 5, "patience": 4, "devices": "1"}
    settings, options = resumed(run, same, QUIET)
    kept = read_settings(run)
    assert settings == replace(kept, recipe=replace(kept.recipe, epochs=5))
    assert (options.precision, options.patience) == ("32-true", 4)


def test_a_finished_run_says_so(run):
    said = []
    settings, options = resumed(run, {}, replace(QUIET, say=said.append))
    assert train(settings, run, options, resume=True) is not None
    assert any("its training is finished, after 3 epochs" in line for line in said)
    with pytest.MonkeyPatch.context() as patch:  # the second of two processes does not certify
        patch.setenv("LOCAL_RANK", "1")
        assert train(settings, run, options, resume=True) is None
    fewer = replace(settings, recipe=replace(settings.recipe, epochs=2))
    with pytest.raises(TrainError, match="trained 3 epochs already, more than 2"):
        train(fewer, run, options, resume=True)


def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(run, done):
    data = bytearray((run / LAST).read_bytes())
    data[len(data) // 2] ^= 1
    (run / LAST).write_bytes(data)
    said = []
    settings, options = resumed(run, {}, replace(QUIET, say=said.append))
    train(settings, run, options, resume=True)
    assert any("last.ckpt: cannot be used: it is damaged" in line for line in said)
    compare(done, run)


def test_every_flipped_bit_of_a_checkpoint_is_seen(done, tmp_path):
    data = (done / BEST).read_bytes()
    for at in range(0, len(data), max(1, len(data) // 200)):
        spoiled = bytearray(data)
        spoiled[at] ^= 1 << (at % 8)
        (tmp_path / "one.ckpt").write_bytes(spoiled)
        with pytest.raises(TrainError, match=r"one\.ckpt: cannot be used"):
            read_checkpoint(tmp_path / "one.ckpt")


@pytest.mark.parametrize("part", ["optimizer_states", "lr_schedulers", "loops"])
def test_a_checkpoint_that_lacks_a_part_is_damaged(run, part):
    """Whole in itself, with a digest that is right: only PyTorch Lightning finds it out."""
    kept = read_checkpoint(run / LAST)
    kept[part] = type(kept[part])()
    (run / LAST).write_bytes(to_bytes(kept))
    settings, options = resumed(run, {}, QUIET)
    settings = replace(settings, recipe=replace(settings.recipe, epochs=4))
    with pytest.raises(TrainError, match=r"last\.ckpt: does not fit its run: it is damaged"):
        train(settings, run, options, resume=True)


def test_an_error_of_the_training_itself_is_no_damage(run, monkeypatch):
    """Also of a run that was resumed."""

    def broken(*_):
        raise ValueError("a fault in a step")

    monkeypatch.setattr(Task, "training_step", broken)
    settings, options = resumed(run, {}, QUIET)
    settings = replace(settings, recipe=replace(settings.recipe, epochs=4))
    with pytest.raises(ValueError, match="a fault in a step"):
        train(settings, run, options, resume=True)


# --- foreign -------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def foreign(name):
    buffer = io.BytesIO()
    match name:
        case "pickle":
            return pickle.dumps(Bomb())
        case "torch pickle":
            torch.save(Bomb(), buffer)
        case "plain state dict":
            torch.save({"weight": torch.zeros(3)}, buffer)
        case "zip":
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
                file.writestr("archive/data.pkl", bytes(50_000_000))
        case "random":
            return bytes(range(256)) * 40
        case "long header":
            return (1 << 40).to_bytes(8, "little") + b"{" * 100
        case "safetensors":
            from safetensors.torch import save

            return save({"weight": torch.zeros(3)})
        case "deep":
            from safetensors.torch import save

            return save({}, {"bnn_checkpoint": "[" * 100_000, "digest": ""})
    return buffer.getvalue()


KINDS = (
    "pickle",
    "torch pickle",
    "plain state dict",
    "zip",
    "random",
    "long header",
    "safetensors",
    "deep",
    "",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["certify", "resume", "init"])
def test_foreign_checkpoints_are_one_line_and_never_run(run, tmp_path, monkeypatch, kind, way):
    monkeypatch.chdir(tmp_path)
    for name in (BEST, LAST, PREVIOUS):
        (run / name).write_bytes(foreign(kind))
    started = replace(read_settings(run), init=str(run))
    ways = {
        "certify": lambda: recertify(run),
        "resume": lambda: train(read_settings(run), run, QUIET, resume=True),
        "init": lambda: train(started, tmp_path / "other", QUIET, resume=False),
    }
    with pytest.raises(TrainError, match=r"ckpt: cannot be used") as refused:
        ways[way]()
    text = str(refused.value)
    assert "weights_only" not in text
    assert "\n" not in text
    assert len(text) < 500
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("kind", ["torch pickle", "random"])
def test_a_checkpoint_file_is_no_model_to_start_from(done, tmp_path, kind):
    (tmp_path / "one.ckpt").write_bytes(foreign(kind))
    started = replace(read_settings(done), init=str(tmp_path / "one.ckpt"))
    with pytest.raises(BnnError, match=r"one\.ckpt") as refused:
        train(started, tmp_path / "other", QUIET, resume=False)
    assert "weights_only" not in str(refused.value)


# --- processes -----------------------------------------------------------------------


def test_only_one_process_works_in_a_folder(run):
    settings = read_settings(run)
    with exclusive(run), pytest.raises(TrainError, match=f"process {os.getpid()} is using it"):
        train(settings, run, QUIET, resume=True)
    with exclusive(run), pytest.raises(TrainError, match="is using it"):
        recertify(run)
    recertify(run)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_with_a_line_and_it_can_go_on(done, tmp_path, number, code):
    settings = read_settings(done)
    # A shell's job in the background ignores SIGINT, and so would this process.
    begin = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [
        sys.executable,
        "-c",
        f"{begin}; from bnn.commands.main import main; main()",
        "train",
    ]
    asked = [settings.network, "--data", settings.data, "--epochs", "1000", "--devices", "1"]
    process = subprocess.Popen(
        [*command, *asked, "--batch", "16", "-o", "run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    lines = []
    for line in process.stdout:  # each comes when its epoch is over, though this is a pipe
        lines.append(line)
        if line.startswith("epoch") and " 2/1000 " in line:
            break
    process.send_signal(number)
    rest, errors = process.communicate()
    assert process.returncode == code
    assert lines[0].startswith("Data: ")  # what was found comes first
    start = next(i for i, line in enumerate(lines) if "pictures to train on" in line)
    assert all(line.startswith("epoch") and len(line) < 80 for line in lines[start + 1 :])
    begun, stopped = errors.strip().split("\n")
    assert begun == "bnn: starting PyTorch"
    assert "of 1000" in stopped
    assert "bnn train --resume run" in stopped
    read_checkpoint(tmp_path / "run" / LAST)
    assert not list((tmp_path / "run").glob("*.tmp"))
    del rest


def test_a_lock_goes_with_its_process(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom bnn.train.lock import exclusive\n"
        f"with exclusive(Path({str(tmp_path)!r})):\n"
        "    print('held', flush=True)\n    time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(TrainError, match=f"process {process.pid} is using it"), exclusive(tmp_path):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(TrainError), exclusive(tmp_path):
            return
    pytest.fail("the lock outlived its process")


def test_checkpoints_of_before_a_setting_was_there_go_on():
    """They mean what was done then; another value is another run."""
    kept = {"settings": {"seed": 1}}
    for settings, fits in (
        ({"seed": 1, "batch_given": True, "gap": None}, True),
        ({"seed": 1}, True),
        ({"seed": 1, "batch_given": True, "gap": 2}, False),
        ({"seed": 1, "batch_given": False, "gap": None}, False),
        ({"seed": 2, "batch_given": True, "gap": None}, False),
    ):
        refused = pytest.raises(TrainError, match="was trained with")
        with contextlib.nullcontext() if fits else refused:
            Origin(settings).check_settings(kept, "last.ckpt")

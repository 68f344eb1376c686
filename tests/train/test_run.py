# SPDX-License-Identifier: BSD-3-Clause
"""A whole training, from a folder of pictures to a certified model, and what can go wrong."""

import itertools
import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")
pytest.importorskip("lightning", reason="needs bnn-pynq[train]")

import bnn  # noqa: E402
from bnn.errors import BnnError, DataError, TrainError  # noqa: E402
from bnn.train.augment import mix  # noqa: E402
from bnn.train.checkpoint import read_checkpoint  # noqa: E402
from bnn.train.data import load_parts  # noqa: E402
from bnn.train.early import BEST, LAST  # noqa: E402
from bnn.train.loop import FitOptions, Task, rate_factor  # noqa: E402
from bnn.train.resume import where_stopped  # noqa: E402
from bnn.train.run import (  # noqa: E402
    SETTINGS,
    Settings,
    batch_for,
    read_settings,
    recertify,
    train,
    trained,
)

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:::torch")

QUIET = FitOptions(devices="1", precision="32-true", progress=False)

TOPOLOGY = """
name = "tiny"
input = [6, 9, 1]
encoding = "bytes"
activations = "int2n"
layers = [{ conv = 6, kernel = [2, 3] }, { pool = 2 }, "norm", "act", { dense = 3 }]
"""


def write_pictures(folder, counts, size=(9, 6)):
    """Classes that differ by where the picture is bright; sizes differ from picture to picture."""
    rng = np.random.default_rng(1)
    for label, count in enumerate(counts):
        place = folder / f"class{label}"
        place.mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 90, (size[1] + number % 3, size[0]), dtype=np.uint8)
            pixels[:, 3 * label : 3 * label + 3] += 150
            Image.fromarray(pixels).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), (40, 30, 50))


@pytest.fixture(scope="session")
def topology_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("topology") / "tiny.toml"
    path.write_text(TOPOLOGY)
    return path


@pytest.fixture
def settings(pictures, topology_file):
    return Settings.make(str(topology_file), str(pictures), epochs=3, batch=16, rate=0.05)


@pytest.fixture(scope="session")
def done(pictures, topology_file, tmp_path_factory):
    """A finished run: its folder and certificate."""
    folder = tmp_path_factory.mktemp("runs") / "done"
    wanted = Settings.make(str(topology_file), str(pictures), epochs=6, batch=16, rate=0.05)
    return folder, train(wanted, folder, QUIET, resume=False)


def test_it_learns_and_nothing_is_lost(done):
    folder, found = done
    assert found.differing == {"reference": 0, "cpu": 0}
    assert len(set(found.accuracy.values())) == 1
    assert found.accuracy["cpu"] > 0.8, "three bright bars are easy to tell apart"
    model = bnn.load(folder / "model.bnn")
    assert model.classes == ("class0", "class1", "class2")
    assert model.provenance["seed"] == 1


def test_the_model_classifies_pictures_of_any_size(done, pictures):
    classifier = bnn.Classifier(bnn.load(done[0] / "model.bnn"))
    paths = [pictures / f"class{label}" / f"{label}.png" for label in range(3)]
    assert classifier.classify(paths).tolist() == [0, 1, 2]


def test_the_report_tells_what_was_found(done):
    folder, found = done
    report = json.loads((folder / "report.json").read_text())
    assert report["differing_scores"] == {"reference": 0, "cpu": 0}
    assert [row["epoch"] for row in report["history"]] == [1, 2, 3, 4, 5, 6]
    assert np.array(report["confusion"]).sum() == report["images"] == 12
    assert np.trace(report["confusion"]) == round(12 * found.accuracy["cpu"])
    page = (folder / "report.html").read_text()
    assert "all equal" in page
    assert "12 test pictures, 36 scores" in page
    assert f"<th>pytorch<td>{100 * found.accuracy['cpu']:.2f} %" in page
    for key in ("loss", "validation_accuracy"):
        values = [row[key] for row in found.history]
        check_curve(page, values)
    links = re.findall(r"(?:src|href) *= *[\"']?([^\"' >]*)", page)
    assert all(link.startswith("data:image/png;") for link in links), "it must need nothing else"
    assert found.sha256 in (folder / "card.md").read_text()
    assert str(folder.parent) not in page, "a page is shared: it has no path of this machine"
    assert report["calibration"] is None
    assert "fewer than 100 pictures" in report["no_calibration"]
    assert bnn.load(folder / "model.bnn").provenance["no calibration"] == report["no_calibration"]
    assert "no probabilities: the validation part has fewer than 100 pictures" in page


def check_curve(page, values):
    """That there is a line with these values, its ends labelled, and the smallest at the bottom."""
    low, high = min(values), max(values)
    for points, *labels in re.findall(
        r'<polyline points="([^"]*)".*?<text x="2"[^>]*>([^<]*)<.*?<text x="2"[^>]*>([^<]*)<', page
    ):
        if labels == [f"{high:.4g}", f"{low:.4g}"]:
            x, y = np.array([[float(n) for n in each.split(",")] for each in points.split()]).T
            assert np.ptp(np.diff(x)) < 0.2
            assert (np.diff(x) > 0).all()
            height = (y.max() - y) / max(np.ptp(y), 1)
            wanted = (np.array(values) - low) / ((high - low) or 1)
            np.testing.assert_allclose(height, wanted, atol=2e-3)
            return
    raise AssertionError("no such curve")


def test_the_figures_of_an_epoch_are_shares(done):
    rows = done[1].history
    for row in rows:
        assert 0 <= row["training_accuracy"] <= 1
        assert 0 <= row["validation_accuracy"] <= 1
        assert row["loss"] > 0
    assert rows[-1]["training_accuracy"] > 0.5
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.parametrize("precision", ["integer", "32-true"])
def test_the_report_tells_what_was_computed_in(settings, tmp_path, precision):
    found = train(settings, tmp_path / "run", replace(QUIET, precision=precision), resume=False)
    assert found.settings["arithmetic"] == precision
    assert f"in {precision} arithmetic" in (tmp_path / "run" / "card.md").read_text()


def test_certifying_again_finds_the_same(done):
    folder, found = done
    again = recertify(folder)
    assert again.as_json() == found.as_json()


def test_resuming_goes_on_where_it_stopped(settings, tmp_path):
    train(settings, tmp_path / "run", QUIET, resume=False)
    longer = Settings.make(settings.network, settings.data, epochs=5, batch=16, rate=0.05)
    found = train(longer, tmp_path / "run", QUIET, resume=True)
    assert [row["epoch"] for row in found.history] == [1, 2, 3, 4, 5]


def test_training_on_from_a_deployed_model(done, settings, tmp_path):
    model = done[0] / "model.bnn"
    start = Settings.make(
        settings.network, settings.data, epochs=1, batch=16, init=model, rate=1e-3
    )
    found = train(start, tmp_path / "run", QUIET, resume=False)
    assert found.accuracy["cpu"] > 0.8, "one careful epoch keeps what it started from"
    assert read_settings(tmp_path / "run").init == str(model)
    assert "--init model.bnn" in (tmp_path / "run" / "card.md").read_text()


@pytest.mark.parametrize("renamed", [False, True])
def test_a_model_of_other_classes_gives_all_but_its_last_layer(
    done, settings, pictures, tmp_path, renamed
):
    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    for folder in [one for one in data.rglob("*") if one.is_dir() and list(one.glob("*.png"))]:
        folder.rename(folder.with_name(("x" if renamed else "") + folder.name))
    said = []
    start = Settings.make(
        settings.network, str(data), epochs=1, batch=16, init=done[0] / "model.bnn", rate=1e-3
    )
    train(start, tmp_path / "run", replace(QUIET, say=said.append), resume=False)
    assert any("has other classes; the last layer" in line for line in said) == renamed


def test_with_nothing_held_out_the_last_epoch_is_deployed(settings, tmp_path, monkeypatch):
    seen = []
    counted = Task.training_step
    monkeypatch.setattr(
        Task, "training_step", lambda self, *args: seen.append(self) or counted(self, *args)
    )
    wanted = replace(settings, whole=True)
    found = train(wanted, tmp_path / "run", QUIET, resume=False)
    whole, part = seen[0].parts.training, load_parts(settings.data, (6, 9, 1)).training
    assert len(whole) == len(part) + len(seen[0].parts.validation)
    last = read_checkpoint(tmp_path / "run" / LAST)["state_dict"]
    assert last["stack.body.0.weight"].equal(trained(tmp_path / "run").body[0].weight.data)
    assert found.differing == {"reference": 0, "cpu": 0}
    text = (tmp_path / "run" / "card.md").read_text()
    assert "nothing was held out" in text
    assert " --whole " in text
    again = recertify(tmp_path / "run")
    assert again.sha256 == found.sha256


def test_learning_from_another_run(done, settings, tmp_path):
    learning = {"epochs": 1, "batch": 16, "rate": 1e-3, "init": done[0], "teachers": [done[0]]}
    taught = Settings.make(settings.network, settings.data, **learning)
    found = train(taught, tmp_path / "run", QUIET, resume=False)
    assert found.accuracy["cpu"] > 0.8, "one careful epoch keeps what it started from"
    assert found.differing == {"reference": 0, "cpu": 0}
    assert read_settings(tmp_path / "run") == taught
    assert (
        f"--init {done[0].name} --teacher {done[0].name}"
        in (tmp_path / "run" / "card.md").read_text()
    )
    with pytest.raises(TrainError, match=r"other settings: (batch|rate|init)"):
        train(settings, tmp_path / "run", QUIET, resume=True)


def test_a_network_that_is_started_needs_less(settings, done):
    started = Settings.make(settings.network, settings.data, init=done[0])
    fresh = Settings.make(settings.network, settings.data)
    assert (started.recipe.epochs, started.recipe.rate) == (30, fresh.recipe.rate / 2)
    assert fresh.recipe.epochs == 100


def test_a_run_whose_pictures_are_gone_still_teaches(done, settings, tmp_path):
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    values = json.loads((done[0] / SETTINGS).read_text())
    (teacher / SETTINGS).write_text(json.dumps({**values, "data": str(tmp_path / "gone")}))
    (teacher / BEST).write_bytes((done[0] / BEST).read_bytes())
    model = str(done[0] / "model.bnn")
    taught = replace(settings, init=str(teacher), teachers=(str(teacher), model))
    assert train(taught, tmp_path / "run", QUIET, resume=False).accuracy["cpu"] > 0.8


@pytest.mark.parametrize("option", ["init", "teachers"])
def test_learning_from_no_run(settings, tmp_path, option):
    nothing = tmp_path / "nothing"
    wrong = replace(settings, **{option: str(nothing) if option == "init" else (str(nothing),)})
    with pytest.raises(BnnError, match=r"nothing: (is not a run|no such file)"):
        train(wrong, tmp_path / "run", QUIET, resume=False)


def test_runs_of_before_are_read(done, tmp_path):
    values = json.loads((done[0] / SETTINGS).read_text())
    for new in ("init", "teachers", "run"):
        del values[new]
    del values["recipe"]["taught"]
    (tmp_path / SETTINGS).write_text(json.dumps(values))
    assert read_settings(tmp_path) == read_settings(done[0])


def test_one_seed_gives_one_result(settings, tmp_path):
    one, other = (train(settings, tmp_path / name, QUIET, resume=False) for name in "ab")
    assert np.array_equal(one.scores, other.scores)


def test_the_loss_that_is_told_is_the_mean_of_an_epochs_steps(settings, tmp_path, monkeypatch):
    steps, losses = Task.training_step, {1: [], 2: [], 3: []}

    def step(task, batch, index):
        loss = steps(task, batch, index)
        losses[task.current_epoch + 1].append(loss.item())
        return loss

    monkeypatch.setattr(Task, "training_step", step)
    found = train(settings, tmp_path / "run", QUIET, resume=False)
    told = [row["loss"] for row in found.history]
    assert told == pytest.approx([np.mean(one) for one in losses.values()], rel=1e-5)
    assert len(set(told)) == 3


def test_blended_pictures_teach_too(settings, tmp_path, monkeypatch):
    blends = []
    monkeypatch.setattr(
        bnn.train.loop, "mix", lambda *args: blends.append(mix(*args)) or blends[-1]
    )
    blending = replace(settings, recipe=replace(settings.recipe, epochs=6, mix=0.5))
    found = train(blending, tmp_path / "run", QUIET, resume=False)
    assert found.differing == {"reference": 0, "cpu": 0}
    assert found.accuracy["cpu"] > 0.8
    steps = 6 * (len(load_parts(settings.data, (6, 9, 1)).training) // 16)
    assert len(blends) == steps
    assert all(len(pictures) == 16 for pictures, _ in blends)
    assert " --mix 0.5 " in (tmp_path / "run" / "card.md").read_text()


def test_interrupting_keeps_the_best(settings, tmp_path, monkeypatch):
    step = Task.training_step
    monkeypatch.setattr(
        Task,
        "training_step",
        lambda self, batch, index: (
            (_ for _ in ()).throw(KeyboardInterrupt)
            if self.current_epoch == 2
            else step(self, batch, index)
        ),
    )
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path / "run", QUIET, resume=False)
    assert "stopped in epoch 3 of 3, 2 are kept; go on with" in where_stopped(tmp_path / "run")
    found = recertify(tmp_path / "run")
    assert [row["epoch"] for row in found.history] == [1, 2]
    assert (tmp_path / "run" / "model.bnn").exists()


def test_a_loss_that_is_no_number_is_said_and_the_best_is_kept(settings, tmp_path, monkeypatch):
    forward = bnn.train.stack.Stack.forward
    monkeypatch.setattr(
        bnn.train.stack.Stack,
        "forward",
        lambda self, x: forward(self, x) * (np.nan if (tmp_path / "run" / LAST).exists() else 1),
    )
    with pytest.raises(TrainError, match="became NaN or infinite in epoch 2"):
        train(settings, tmp_path / "run", QUIET, resume=False)
    assert recertify(tmp_path / "run").differing == {"reference": 0, "cpu": 0}


def test_a_full_disk_is_said_and_the_best_is_kept(settings, tmp_path, monkeypatch):
    folder = tmp_path / "run"

    class FullDisk:
        """A file on a disk that has room for one epoch's checkpoints and for small files."""

        def __init__(self, handle, mode):
            self.file = open(handle, mode)  # noqa: PTH123, SIM115
            self.full = (folder / LAST).exists()

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            if self.full:
                self.file.write(data[: len(data) // 2])
                raise OSError(28, "No space left on device")
            self.file.write(data)

        def __getattr__(self, name):  # pictures are read through it, too
            return getattr(self.file, name)

        def flush(self):
            self.file.flush()

        def fileno(self):
            return self.file.fileno()

    with monkeypatch.context() as patched:
        patched.setattr("bnn.system.files.os.fdopen", FullDisk)
        with pytest.raises(BnnError, match=r"cannot be written: No space left on device"):
            train(settings, folder, QUIET, resume=False)
    assert sorted(path.name for path in folder.glob(".*")) == []
    found = recertify(folder)
    assert [row["epoch"] for row in found.history] == [1]


def test_a_run_is_not_overwritten(done, settings):
    with pytest.raises(TrainError, match="has a run already"):
        train(settings, done[0], QUIET, resume=False)


def test_only_the_same_run_is_resumed(done, pictures):
    other = Settings.make("tfc-w1a1", str(pictures), epochs=9, batch=16)
    with pytest.raises(TrainError, match="other settings"):
        train(other, done[0], QUIET, resume=True)


@pytest.mark.parametrize("devices", ["0", "x", "-1", "", "1.5", "0,x", "auto,1", "1 x"])
def test_devices_that_mean_nothing_are_refused_in_our_words(devices):
    with pytest.raises(TrainError, match=r"devices is auto, a number .*, not '"):
        bnn.train.loop._check_devices(devices)


@pytest.mark.parametrize("devices", ["auto", "1", "16", "0,2", "0, 2", "1,"])
def test_devices_that_are_taken(devices, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    bnn.train.loop._check_devices(devices)


@pytest.mark.parametrize("asked", [{"epochs": 1}, {"devices": "99999"}])
def test_a_refused_resumption_changes_nothing(done, tmp_path, asked):
    folder = tmp_path / "run"
    shutil.copytree(done[0], folder)
    before = (folder / SETTINGS).read_bytes()
    settings = read_settings(folder)
    kept = replace(settings.recipe, epochs=asked.get("epochs", settings.recipe.epochs + 1))
    options = replace(QUIET, devices=asked.get("devices", "1"))
    with pytest.raises(TrainError, match=r"already, more than 1;|devices '?99999"):
        train(replace(settings, recipe=kept), folder, options, resume=True)
    assert (folder / SETTINGS).read_bytes() == before
    recertify(folder)


@pytest.mark.parametrize("place", [".", "class0", "runs/new"])
def test_a_run_is_not_made_among_the_pictures(topology_file, tmp_path, place):
    write_pictures(tmp_path / "data", (9, 9, 9))
    before = sorted(tmp_path.rglob("*"))
    wanted = Settings.make(str(topology_file), str(tmp_path / "data"), batch=4)
    with pytest.raises(TrainError, match="is in the data folder"):
        train(wanted, tmp_path / "data" / place, QUIET, resume=False)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["model.bnn", "report.html", "card.md", "settings.json"])
def test_a_new_run_replaces_no_file_of_others(settings, tmp_path, name):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / name).write_text('{"mine": 1}')
    with pytest.raises(TrainError, match=f"{name}"):
        train(settings, tmp_path / "used", QUIET, resume=False)
    assert (tmp_path / "used" / name).read_text() == '{"mine": 1}'


@pytest.mark.parametrize("counts", [(12, 12), (40, 3, 12), (3, 3, 3), (30, 1, 2), (300, 4)])
def test_each_class_is_in_each_part_as_far_as_it_has_pictures(tmp_path, counts):
    write_pictures(tmp_path / "data", counts)
    parts = load_parts(tmp_path / "data", (6, 9, 1))
    drawn = (parts.training, parts.validation, parts.test)
    found = np.array([part.labels.bincount(minlength=len(counts)).numpy() for part in drawn])
    assert (found.sum(0) == counts).all()
    for count, (training, validation, test) in zip(counts, found.T, strict=True):
        assert training >= max(1, count // 2 - 1)
        assert min(validation, test) >= (1 if count > 2 else 0)


def test_nothing_to_resume(settings, tmp_path):
    with pytest.raises(TrainError, match="has no run to resume"):
        train(settings, tmp_path / "none", QUIET, resume=True)


@pytest.mark.parametrize("damage", [b"", b"hello", b"PK\x03\x04", None])
def test_a_damaged_checkpoint_is_said(done, tmp_path, damage):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / SETTINGS).write_bytes((done[0] / SETTINGS).read_bytes())
    content = (done[0] / LAST).read_bytes()
    (folder / LAST).write_bytes(content[: len(content) // 2] if damage is None else damage)
    (folder / BEST).write_bytes(content)
    with pytest.raises(TrainError, match=r"last.ckpt: cannot be used"):
        recertify(folder)


def test_a_checkpoint_of_another_network_is_said(done, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    values = json.loads((done[0] / SETTINGS).read_text())
    (folder / SETTINGS).write_text(json.dumps({**values, "network": "tfc-w1a1"}))
    for name in (BEST, LAST):
        (folder / name).write_bytes((done[0] / name).read_bytes())
    with pytest.raises(TrainError, match="belongs to another network than tfc-w1a1"):
        recertify(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recipe": 3}', None])
def test_damaged_settings_are_said(tmp_path, text):
    if text is not None:
        (tmp_path / SETTINGS).write_text(text)
    with pytest.raises(TrainError, match=SETTINGS):
        read_settings(tmp_path)


def _settings(batch: int, *, given: bool) -> Settings:
    found = Settings.make("lfc-w1a1", "mnist", batch=batch)
    return replace(found, batch_given=given)


@pytest.mark.parametrize(
    ("wanted", "pictures", "batch"),
    [
        (125, 126, 125),
        (125, 125, 125),
        (125, 124, 31),  # a quarter
        (125, 67, 16),
        (125, 68, 17),
        (125, 20, 16),
        (125, 16, 16),
        (125, 15, 15),
        (3, 2, 2),
    ],
)
def test_a_batch_that_was_given_is_kept_where_there_are_enough_pictures(wanted, pictures, batch):
    assert batch_for(_settings(wanted, given=True), pictures) == batch


@pytest.mark.parametrize(
    ("wanted", "pictures", "batch"),
    [
        (125, 60_000, 125),
        (125, 1250, 125),
        (125, 1249, 124),  # a tenth
        (125, 179, 17),
        (125, 169, 16),
        (125, 16, 16),
        (125, 15, 15),
        (3, 2, 2),
    ],
)
def test_a_batch_that_was_not_given_is_a_tenth_of_few_pictures(wanted, pictures, batch):
    assert batch_for(_settings(wanted, given=False), pictures) == batch


def test_only_a_batch_of_the_user_is_given():
    assert not Settings.make("lfc-w1a1", "mnist").batch_given
    assert not Settings.make("lfc-w1a1", "mnist", batch=None).batch_given
    assert Settings.make("lfc-w1a1", "mnist", batch=256).batch_given


def test_fewer_pictures_than_a_batch_make_the_batch_smaller(topology_file, pictures, tmp_path):
    said = []
    wanted = Settings.make(str(topology_file), str(pictures), epochs=1)
    found = train(wanted, tmp_path / "run", replace(QUIET, say=said.append), resume=False)
    assert any("batch 16 (not 125: there are few pictures)" in line for line in said)
    assert found.settings["recipe"]["batch"] == 16
    assert " --batch 16 " in (tmp_path / "run" / "card.md").read_text()


@pytest.mark.parametrize("counts", [(3, 2), (5, 4), (2, 2), (1, 9)])
def test_a_handful_of_pictures(tmp_path, counts):
    write_pictures(tmp_path / "data", counts)
    text = TOPOLOGY.replace("dense = 3", "dense = 2")
    (tmp_path / "two.toml").write_text(text)
    wanted = Settings.make(str(tmp_path / "two.toml"), str(tmp_path / "data"), epochs=2)
    try:
        found = train(wanted, tmp_path / "run", QUIET, resume=False)
    except TrainError as reason:
        assert "no picture is left to train on" in str(reason)  # noqa: PT017
    else:
        assert found.differing == {"reference": 0, "cpu": 0}


@pytest.mark.parametrize("pictures", range(2, 40))
def test_batches_are_never_single_pictures_or_more_than_there_are(pictures):
    for wanted, given in itertools.product((2, 3, 16, 17, 125), (True, False)):
        least = min(2, pictures)
        assert least <= batch_for(_settings(wanted, given=given), pictures) <= min(wanted, pictures)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((9, 0, 9), r"2 classes \(empty subfolders are not classes: class1\)"),
        ((30,), "one class only"),
        ((1, 1, 1), "no class has 3 pictures or more, which are needed"),
    ],
)
def test_classes_that_cannot_be_learned(topology_file, tmp_path, counts, said):
    write_pictures(tmp_path / "data", counts)
    wanted = Settings.make(
        str(topology_file) if len(counts) > 1 else "tfc-w1a1", str(tmp_path / "data"), batch=2
    )
    with pytest.raises(BnnError, match=said):
        train(wanted, tmp_path / "run", QUIET, resume=False)


def test_an_unreadable_picture_is_named(topology_file, tmp_path):
    write_pictures(tmp_path / "data", (9, 9, 9))
    (tmp_path / "data" / "class1" / "4.png").write_bytes(b"no picture")
    wanted = Settings.make(str(topology_file), str(tmp_path / "data"), batch=4)
    with pytest.raises(DataError, match=r"class1/4\.png: is not a picture"):
        train(wanted, tmp_path / "run", QUIET, resume=False)


def test_a_topology_for_other_classes(topology_file, tmp_path):
    write_pictures(tmp_path / "data", (9, 9))
    wanted = Settings.make(str(topology_file), str(tmp_path / "data"), batch=4)
    with pytest.raises(TrainError, match="ends in 3 units, the data has 2 classes"):
        train(wanted, tmp_path / "run", QUIET, resume=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"rate": -1.0},
        {"rate": float("nan")},
        {"mix": float("inf")},
        {"epochs": 0},
        {"network": "vgg"},
        {"preprocess": "magic"},
    ],
)
def test_settings_out_of_range(pictures, topology_file, tmp_path, changes):
    values = {"network": str(topology_file), "data": str(pictures), "batch": 16, **changes}
    with pytest.raises(BnnError):
        train(Settings.make(**values), tmp_path / "run", QUIET, resume=False)


def test_rates_rise_then_fall_to_zero():
    factors = [rate_factor(step, 1000, 200) for step in range(1001)]
    assert factors[0] == pytest.approx(1 / 200)
    assert max(factors) == pytest.approx(factors[199], rel=0.01)
    assert factors[-1] == pytest.approx(0, abs=1e-9)


# --- a data set is looked at before it is believed -------------------------------------


def findings(report):
    return {one.kind: one.count for one in report.findings}


def test_what_was_found_is_told_before_training(settings, tmp_path):
    told = []
    found = train(settings, tmp_path / "run", QUIET, resume=False, tell=told.append)
    (report,) = told
    assert report.classes == ("class0", "class1", "class2")
    assert np.sum(list(report.counts.values()), axis=0).tolist() == [40, 30, 50]
    assert [sum(own) for own in report.counts.values()] == [98, 10, 12]
    assert list(report.counts) == ["training", "validation", "test"]
    assert report.arithmetic == "32-true"
    assert found.data.as_json() == report.as_json()
    kept = json.loads((tmp_path / "run" / "data.json").read_text())
    assert {**kept, "arithmetic": "32-true"} == report.as_json()
    assert "class0, class1, class2" in (tmp_path / "run" / "report.html").read_text()
    assert json.loads((tmp_path / "run" / "report.json").read_text())["data_report"]["sizes"]


def test_all_unreadable_pictures_are_named_or_skipped(topology_file, tmp_path):
    write_pictures(tmp_path / "data", (20, 20, 20))
    for name in ("class0/3.png", "class2/7.png", "class2/8.png"):
        (tmp_path / "data" / name).write_bytes(b"no picture")
    wanted = Settings.make(str(topology_file), str(tmp_path / "data"), batch=4, epochs=1)
    with pytest.raises(DataError, match="3 files cannot be read") as caught:
        train(wanted, tmp_path / "run", QUIET, resume=False)
    assert [line.split("data/")[1].split(":")[0] for line in caught.value.lines] == [
        *("class0/3.png", "class2/7.png", "class2/8.png"),
    ]
    found = train(replace(wanted, skip_broken=True), tmp_path / "run", QUIET, resume=False)
    assert len(found.data.skipped) == 3
    assert np.sum(list(found.data.counts.values()), axis=0).tolist() == [19, 20, 18]
    assert read_settings(tmp_path / "run").skip_broken
    assert " --skip-broken" in (tmp_path / "run" / "card.md").read_text()
    assert recertify(tmp_path / "run").as_json() == found.as_json()


def test_a_class_of_which_nothing_can_be_read(topology_file, tmp_path):
    write_pictures(tmp_path / "data", (9, 1, 9))
    (tmp_path / "data" / "class1" / "0.png").write_bytes(b"no picture")
    wanted = Settings.make(str(topology_file), str(tmp_path / "data"), batch=4, skip_broken=True)
    with pytest.raises(DataError, match="class 'class1' has no pictures to train on"):
        train(wanted, tmp_path / "run", QUIET, resume=False)


def test_pictures_that_all_become_one_teach_nothing(topology_file, tmp_path):
    write_pictures(tmp_path / "data", (9, 9, 9))
    for path in (tmp_path / "data").rglob("*.png"):
        Image.new("L", (20, 20), 255).save(path)
    wanted = Settings.make(str(topology_file), str(tmp_path / "data"), batch=4)
    with pytest.raises(DataError, match="all 27 pictures are equal once prepared"):
        train(wanted, tmp_path / "run", QUIET, resume=False)


def test_a_folder_with_all_parts(tmp_path):
    write_pictures(tmp_path / "data" / "train", (20, 20, 20))
    write_pictures(tmp_path / "data" / "valid", (3, 4, 5))
    write_pictures(tmp_path / "data" / "test", (2, 2, 2))
    parts = load_parts(tmp_path / "data", (6, 9, 1))
    assert [len(one) for one in (parts.training, parts.validation, parts.test)] == [60, 12, 6]
    assert parts.report.origins["validation"] == f"from {tmp_path / 'data' / 'valid'}"
    # write_pictures draws the same pictures in each call, as far as they go
    assert findings(parts.report)["leak"] >= 2
    assert parts.classes == ("class0", "class1", "class2")


def test_a_held_out_picture_that_is_trained_on_is_found(pictures, tmp_path):
    shutil.copytree(pictures, tmp_path / "data")
    clean = load_parts(tmp_path / "data", (6, 9, 1))
    assert findings(clean.report) == {}
    for path in (tmp_path / "data" / "class1").glob("*.png"):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    report = load_parts(tmp_path / "data", (6, 9, 1)).report
    assert findings(report)["leak"] > 0
    assert findings(report)["duplicates"] > 0


def test_classes_that_are_numbers_are_in_their_order(topology_file, tmp_path):
    write_pictures(tmp_path / "data", (20, 20, 20))
    for old, new in (("class0", "1"), ("class1", "10"), ("class2", "2")):
        (tmp_path / "data" / old).rename(tmp_path / "data" / new)
    wanted = Settings.make(str(topology_file), str(tmp_path / "data"), batch=4, epochs=1)
    found = train(wanted, tmp_path / "run", QUIET, resume=False)
    assert found.classes == bnn.load(tmp_path / "run" / "model.bnn").classes == ("1", "2", "10")
    (tmp_path / "run" / "data.json").unlink()  # what the checkpoint says of the data is enough
    assert recertify(tmp_path / "run").classes == ("1", "2", "10")
    longer = replace(wanted, recipe=replace(wanted.recipe, epochs=2))
    assert train(longer, tmp_path / "run", QUIET, resume=True).classes == ("1", "2", "10")


def test_a_run_goes_on_with_the_data_it_began_with_only(topology_file, tmp_path):
    write_pictures(tmp_path / "data", (20, 20, 20))
    wanted = Settings.make(str(topology_file), str(tmp_path / "data"), batch=4, epochs=1)
    train(wanted, tmp_path / "run", QUIET, resume=False)
    more = tmp_path / "data" / "class1" / "another.png"
    more.write_bytes((tmp_path / "data" / "class1" / "0.png").read_bytes())
    for again in (
        lambda: train(wanted, tmp_path / "run", QUIET, resume=True),
        lambda: recertify(tmp_path / "run"),
    ):
        with pytest.raises(TrainError, match=r"61 pictures now, 60 then.*start a new run"):
            again()
    more.unlink()
    recertify(tmp_path / "run")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"classes": [1], "parts": {}, "identity": ""}'])
def test_a_damaged_report_is_said(done, tmp_path, text):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (SETTINGS, BEST, LAST):
        (folder / name).write_bytes((done[0] / name).read_bytes())
    (folder / "data.json").write_text(text)
    with pytest.raises(TrainError, match=r"data\.json: is damaged"):
        recertify(folder)

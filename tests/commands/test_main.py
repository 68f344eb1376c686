# SPDX-License-Identifier: BSD-3-Clause
"""The command line: what it prints, and one clear line for everything that is wrong."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bnn
from bnn.commands.main import main
from bnn.data import cifar, idx
from bnn.data.pictures.preprocess import Stretch
from bnn.model.model import Model
from bnn.program.inputs import IntegerInput, PictureInput, sign_table
from bnn.program.operations import Dot, Window
from bnn.program.precision import BIPOLAR, INT
from bnn.program.program import Program
from support.param_sets import archive, made


class Terminal:
    """Runs ``bnn`` in this process and keeps what it printed."""

    def __init__(self, capsys: Any, monkeypatch: Any) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *args: Any, status: int = 0) -> str:
        self._monkeypatch.setattr("sys.argv", ["bnn", *map(str, args)])
        with pytest.raises(SystemExit) as stopped:
            sys.exit(main())  # type: ignore[func-returns-value]
        printed = self._capsys.readouterr()
        assert (stopped.value.code or 0) == status, printed.err
        if status == 0:
            assert printed.err == ""
            return str(printed.out)
        assert printed.out == ""
        assert "Traceback" not in printed.err
        return str(printed.err)

    def json(self, *args: Any) -> list[Any]:
        return [json.loads(line) for line in self(*args, "--json").splitlines()]

    def fails(self, *args: Any) -> str:
        message = self(*args, status=1)
        assert message.count("\n") == 1, message
        assert message.startswith("bnn: ")
        return message


@pytest.fixture
def terminal(capsys: Any, monkeypatch: Any) -> Terminal:
    return Terminal(capsys, monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Dark or light, from the sum of four pixels."""
    program = Program(
        PictureInput((2, 2, 1), BIPOLAR, sign_table()),
        (
            Window("flat", "input", (2, 2)),
            Dot("d", "flat", [[-1] * 4, [1] * 4], BIPOLAR),
        ),
        "d",
    )
    path = tmp_path / "shade.bnn"
    bnn.save(Model(program, ("dark", "light"), Stretch(), {"data": "none"}, "shade"), path)
    return path


def _picture(path: Path, level: int) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("L", (2, 2), level).save(path)
    return path


@pytest.mark.parametrize("runtime", ["cpu", "reference"])
def test_classify(terminal: Terminal, model: Path, tmp_path: Path, runtime: str) -> None:
    paths = [_picture(tmp_path / "a.png", 200), _picture(tmp_path / "b.png", 3)]
    first, second = terminal.json("classify", model, *paths, "--runtime", runtime)
    assert first["us"] > 0
    assert first["prepare_us"] > 0
    for one in (first, second):
        del one["us"], one["prepare_us"]
    light = {"class_index": 1, "class_name": "light", "scores": [-4, 4]}
    dark = {"class_index": 0, "class_name": "dark", "scores": [4, -4]}
    assert first == {"image": str(paths[0]), **light}
    assert second == {"image": str(paths[1]), **dark}
    text = terminal("classify", model, *paths, "-r", runtime)
    assert "light" in text
    assert "us/image" in text


@pytest.mark.parametrize("packed", ["", ".gz", ".xz"])
def test_files_of_many_images(terminal: Terminal, model: Path, tmp_path: Path, packed: str) -> None:
    path = tmp_path / f"some-idx3-ubyte{packed}"
    idx.write_images(path, np.uint8([[[255, 255], [0, 255]], [[0, 0], [0, 0]]]))
    found = terminal.json("classify", model, path)
    assert [(one["image"], one["class_index"]) for one in found] == [
        (f"{path}[0]", 1),
        (f"{path}[1]", 0),
    ]


@pytest.mark.parametrize("name", ["two.bin", "two.bin.gz"])
def test_cifar_records(terminal: Terminal, tmp_path: Path, name: str) -> None:
    parameters = archive(tmp_path / "x-cnvW1A1.tar", made("cnvW1A1"), "w")
    images = np.random.default_rng(5).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    cifar.write_records(tmp_path / name, images)
    found = terminal.json("classify", parameters, tmp_path / name)
    expected = bnn.Classifier(parameters, "reference").scores(images)
    assert [one["scores"] for one in found] == expected.tolist()


def _folder(root: Path) -> Path:
    for name, levels in (("dark", [0, 5, 250]), ("light", [255])):
        for index, level in enumerate(levels):
            _picture(root / name / f"{index}.png", level)
    return root


@pytest.mark.parametrize("runtime", ["cpu", "reference"])
def test_evaluate(terminal: Terminal, model: Path, tmp_path: Path, runtime: str) -> None:
    folder = _folder(tmp_path / "test")
    (result,) = terminal.json("evaluate", model, "--data", folder, "-r", runtime)
    assert (result["images"], result["correct"], result["accuracy"]) == (4, 3, 0.75)
    assert result["confusion"] == [[2, 1], [0, 1]]
    assert "75.00 % of 4 images" in terminal("evaluate", model, "--data", folder)


def test_info_and_models(terminal: Terminal, model: Path) -> None:
    text = terminal("info", model)
    assert "bipolar" in text
    (found,) = terminal.json("info", model)
    assert [layer["kind"] for layer in found["layers"]] == ["window", "dot"]
    assert found["operations"] == 16
    assert found["parameter_bytes"] == 1
    assert {line["name"] for line in terminal.json("models")} >= set(bnn.bundled())


def test_figures_of_the_original_networks(terminal: Terminal, tmp_path: Path) -> None:
    """Section 1 counts 118 978 048 operations with 64 rows in the last layer; here are 10."""
    parameters = archive(tmp_path / "x-cnvW1A1.tar", made("cnvW1A1"), "w")
    (found,) = terminal.json("info", parameters)
    dots = [layer for layer in found["layers"] if layer["kind"] == "dot"]
    assert sum(layer["operations"] for layer in dots) == 118_978_048 - 2 * 54 * 512


def test_wrong_names(terminal: Terminal, model: Path, tmp_path: Path) -> None:
    picture = _picture(tmp_path / "a.png", 1)
    assert "nobody" in terminal.fails("classify", "nobody", picture)
    assert "gone.png" in terminal.fails("classify", model, tmp_path / "gone.png")
    assert "fpga" in terminal.fails("classify", model, picture, "-r", "fpga")
    assert "nowhere" in terminal.fails("evaluate", model, "--data", "nowhere")
    assert "nobody" in terminal.fails("info", "nobody")


def test_wrong_files(terminal: Terminal, model: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    assert "text.png" in terminal.fails("classify", model, text)
    cut = tmp_path / "cut-idx3-ubyte"
    idx.write_images(cut, np.zeros((3, 2, 2), np.uint8))
    cut.write_bytes(cut.read_bytes()[:-1])
    assert "cut-idx3-ubyte" in terminal.fails("classify", model, cut)
    large = tmp_path / "large-idx3-ubyte"
    idx.write_images(large, np.zeros((1, 3, 3), np.uint8))
    assert "large-idx3-ubyte" in terminal.fails("classify", model, large)
    damaged = tmp_path / "damaged.bnn"
    damaged.write_bytes(model.read_bytes()[:-1])
    assert "damaged.bnn" in terminal.fails("info", damaged)
    parameters = archive(tmp_path / "x-cnvW1A1.tar", made("cnvW1A1"), "w")
    (tmp_path / "cut.bin").write_bytes(bytes(3072))
    assert "cut.bin" in terminal.fails("classify", parameters, tmp_path / "cut.bin")


def test_data_that_the_model_does_not_know(terminal: Terminal, model: Path, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "test")
    _picture(folder / "purple" / "0.png", 3)
    assert "purple" in terminal.fails("evaluate", model, "--data", folder)


def test_data_of_another_shape_is_named(terminal: Terminal, model: Path, tmp_path: Path) -> None:
    idx.write_images(tmp_path / "t10k-images-idx3-ubyte", np.zeros((2, 3, 3), np.uint8))
    idx.write_labels(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(2, np.uint8))
    message = terminal.fails("evaluate", model, "--data", tmp_path)
    assert f"{tmp_path}: pictures of (3, 3, 1), shade takes (2, 2, 1)" in message


def test_models_that_are_not_about_pictures(terminal: Terminal, tmp_path: Path) -> None:
    program = Program(IntegerInput((2,), INT(8)), (Dot("d", "input", np.eye(2), INT(2)),), "d")
    path = tmp_path / "v.bnn"
    bnn.save(Model(program, ("x", "y")), path)
    message = terminal.fails("classify", path, _picture(tmp_path / "a.png", 1))
    assert "does not take pictures" in message
    assert "does not take pictures" in terminal.fails("evaluate", path, "--data", tmp_path)
    assert "does not take pictures" in terminal.fails("watch", path, tmp_path)


def _good(path: Path, level: int) -> str:
    return str(_picture(path, level))


def _run(capsys: Any, monkeypatch: Any, *args: Any) -> tuple[int, str, str]:
    """Status, standard output and standard error of ``bnn``."""
    monkeypatch.setattr("sys.argv", ["bnn", *map(str, args)])
    with pytest.raises(SystemExit) as stopped:
        sys.exit(main())  # type: ignore[func-returns-value]
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out, printed.err


def test_classify_goes_on_after_what_it_cannot_read(
    capsys: Any, monkeypatch: Any, model: Path, tmp_path: Path
) -> None:
    good = _good(tmp_path / "good.png", 200)
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    folder = tmp_path / "folder"
    inside = [_good(folder / name, 3) for name in ("10.png", "b/2.jpg.png")]
    for name in (".hidden.png", "__MACOSX/10.png", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no picture")
    (folder / "phone.heic").write_text("no picture")
    cut = tmp_path / "cut-idx3-ubyte"
    idx.write_images(cut, np.zeros((3, 2, 2), np.uint8))
    cut.write_bytes(cut.read_bytes()[:-1])
    arguments = ["classify", model, bad, good, folder, tmp_path / "gone.png", cut]
    status, out, err = _run(capsys, monkeypatch, *arguments, "--json")
    assert status == 1
    found = [json.loads(line) for line in out.splitlines()]
    assert [(one["image"], one["class_name"]) for one in found[:3]] == [
        (good, "light"),
        (inside[0], "dark"),
        (inside[1], "dark"),
    ]
    bad_ones = [folder / "phone.heic", bad, tmp_path / "gone.png", cut]
    assert [one["image"] for one in found[3:]] == list(map(str, bad_ones))
    for one, line in zip(found[3:], err.splitlines()[1:], strict=False):
        assert line == f"bnn: {one['image']}: {one['error']}"
    passed, *lines = err.splitlines()
    assert "1 file is passed over, for the name is not a picture's: notes.txt" in passed
    assert [line.split(": ")[1] for line in lines[:4]] == [
        str(folder / "phone.heic"),
        str(bad),
        str(tmp_path / "gone.png"),
        str(cut),
    ]
    assert lines[4:] == ["bnn: 4 of 7 cannot be read"]
    status, out, err = _run(capsys, monkeypatch, *arguments)
    assert status == 1
    assert "light" in out
    assert err.splitlines() == [passed, *lines]


def test_classify_a_folder(terminal: Terminal, model: Path, tmp_path: Path) -> None:
    names = [_good(tmp_path / "in" / f"{i}.png", 250 * (i % 2)) for i in range(5)]
    found = terminal.json("classify", model, tmp_path / "in", names[0])
    assert [one["image"] for one in found] == [*names, names[0]]
    assert [one["class_index"] for one in found] == [0, 1, 0, 1, 0, 0]


def test_folders_in_parts_of_a_batch(
    terminal: Terminal, model: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("bnn.commands.images.FILES_AT_ONCE", 2)
    names = [_good(tmp_path / "in" / f"{i}.png", 250 * (i % 2)) for i in range(5)]
    found = terminal.json("classify", model, tmp_path / "in")
    assert [(one["image"], one["class_index"]) for one in found] == [
        (name, i % 2) for i, name in enumerate(names)
    ]


def test_a_folder_without_pictures_is_said(terminal: Terminal, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    message = terminal.fails("classify", model, tmp_path / "empty")
    assert message == f"bnn: {tmp_path / 'empty'}: is a folder without pictures\n"


def test_files_that_are_passed_over_are_named(
    model: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    _good(tmp_path / "in" / "a.png", 250)
    for name in ("d.txt", "b", "c.dat", "sub/e.txt"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text("")
    status, _, err = _run(capsys, monkeypatch, "classify", model, tmp_path / "in")
    assert status == 0
    assert err.endswith(
        "in: 4 files are passed over, for the name is not a picture's: b, c.dat, d.txt, ...\n"
    )


def test_a_picture_is_no_model(terminal: Terminal, tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.webp", "a.gif", "a.tif", "a.bmp"):
        path = _picture(tmp_path / name, 3)
        message = terminal.fails("classify", path, path)
        assert "is a picture, not a model; name the model first" in message


def test_evaluate_says_what_it_found(terminal: Terminal, model: Path, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "set" / "test")
    _folder(tmp_path / "set" / "train")
    text = terminal("evaluate", model, "--data", tmp_path / "set")
    assert "classes    2: dark, light" in text
    assert "sizes      2x2" in text
    assert f"test 4 pictures, from {folder}" in " ".join(text.split())
    assert "4 pictures of the test part equal to one of the training part" in text
    (result,) = terminal.json("evaluate", model, "--data", tmp_path / "set")
    assert (result["images"], result["data"]) == (4, str(tmp_path / "set"))
    assert result["data_report"]["parts"]["test"]["per_class"] == [3, 1]
    assert "leak" in [one["kind"] for one in result["data_report"]["findings"]]


def test_evaluate_lists_all_broken_pictures(
    capsys: Any, monkeypatch: Any, model: Path, tmp_path: Path
) -> None:
    folder = _folder(tmp_path / "test")
    for name in ("x.png", "y.png", "z.webp"):
        (folder / "dark" / name).write_text("no picture")
    status, out, err = _run(capsys, monkeypatch, "evaluate", model, "--data", folder)
    assert (status, out) == (1, "")
    lines = err.splitlines()
    assert len(lines) == 4
    for name, line in zip(("x.png", "y.png", "z.webp"), lines, strict=False):
        assert line.startswith(f"bnn: {folder / 'dark' / name}: is not a picture")
    assert "3 files cannot be read" in lines[3]
    status, out, err = _run(
        capsys, monkeypatch, "evaluate", model, "--data", folder, "--skip-broken"
    )
    assert (status, err) == (0, "")
    assert "3 files skipped, because unreadable: x.png (is not a picture" in out
    assert "75.00 % of 4 images" in out
    status, out, _ = _run(
        capsys, monkeypatch, "evaluate", model, "--data", folder, "--skip-broken", "--json"
    )
    data = json.loads(out)["data_report"]
    assert [one["file"] for one in data["skipped"]] == [
        str(folder / "dark" / name) for name in ("x.png", "y.png", "z.webp")
    ]


def test_evaluate_with_nothing_that_can_be_read(
    terminal: Terminal, model: Path, tmp_path: Path
) -> None:
    for name in ("dark", "light"):
        (tmp_path / "test" / name).mkdir(parents=True)
        (tmp_path / "test" / name / "a.png").write_text("no picture")
    message = terminal.fails("evaluate", model, "--data", tmp_path / "test", "--skip-broken")
    assert "none of its pictures can be read" in message


def test_folders_by_number_are_said_or_refused(
    terminal: Terminal, model: Path, tmp_path: Path
) -> None:
    _picture(tmp_path / "test" / "0" / "a.png", 1)
    _picture(tmp_path / "test" / "1" / "a.png", 255)
    text = terminal("evaluate", model, "--data", tmp_path / "test")
    assert "numbers are taken as positions, counted from 0: 0 for dark, 1 for light" in " ".join(
        text.split()
    )
    assert "100.00 % of 2 images" in text
    (tmp_path / "test" / "1").rename(tmp_path / "test" / "light")
    message = terminal.fails("evaluate", model, "--data", tmp_path / "test")
    assert "subfolder 0 is not one of the 2 classes (dark, light)" in message


def test_a_set_of_other_names_is_refused(terminal: Terminal, model: Path, tmp_path: Path) -> None:
    """A known set's names are never taken as positions; a folder's bare labels are, and said."""
    for name in ("fashion-mnist", "plain"):
        folder = tmp_path / name
        folder.mkdir()
        idx.write_images(folder / "t10k-images-idx3-ubyte", np.zeros((2, 2, 2), np.uint8))
        idx.write_labels(folder / "t10k-labels-idx1-ubyte", np.array([0, 1], np.uint8))
    message = terminal.fails("evaluate", model, "--data", tmp_path / "fashion-mnist")
    assert "class T-shirt/top is not one of the 2 classes (dark, light)" in message
    text = terminal("evaluate", model, "--data", tmp_path / "plain")
    assert "labels are taken as positions, counted from 0: 0 for dark" in text
    assert "50.00 % of 2 images" in text


def test_evaluate_on_what_it_was_trained_on(
    terminal: Terminal, model: Path, tmp_path: Path
) -> None:
    folder = _folder(tmp_path / "pictures")
    loaded = bnn.load(model)
    trained = tmp_path / "trained.bnn"
    bnn.save(
        Model(loaded.program, loaded.classes, loaded.preprocess, {"dataset": str(folder)}, "shade"),
        trained,
    )
    (result,) = terminal.json("evaluate", trained, "--data", folder)
    assert result["data_report"]["findings"][0]["kind"] == "trained on"
    (result,) = terminal.json("evaluate", model, "--data", folder)
    assert "trained on" not in [one["kind"] for one in result["data_report"]["findings"]]
    parted = tmp_path / "parted"  # of a set with parts the test part is measured
    for part in ("train", "test"):
        _folder(parted / part)
    bnn.save(replace(bnn.load(trained), provenance={"dataset": str(parted)}), trained)
    (result,) = terminal.json("evaluate", trained, "--data", parted)
    assert "trained on" not in [one["kind"] for one in result["data_report"]["findings"]]


def test_evaluate_the_validation_part_says_so(
    terminal: Terminal, model: Path, tmp_path: Path
) -> None:
    _folder(tmp_path / "train")
    _folder(tmp_path / "val")
    text = terminal("evaluate", model, "--data", tmp_path)
    assert "there is no test part: this is measured on the validation part" in text


def test_an_npz_set(terminal: Terminal, model: Path, tmp_path: Path) -> None:
    images = np.uint8([[[255, 255], [0, 255]], [[0, 0], [0, 0]]])
    np.savez(tmp_path / "set.npz", x_test=images, y_test=np.array([1, 0]))
    (result,) = terminal.json("evaluate", model, "--data", tmp_path / "set.npz")
    assert (result["images"], result["correct"]) == (2, 2)


def test_an_interrupt_while_modules_are_imported_is_one_line(monkeypatch, capsys):
    """A user who stops a command at once does not see where Python was."""
    import builtins

    from bnn.__main__ import main as entry

    real = builtins.__import__

    def interrupted(name, *args, **kwargs):
        if name == "bnn.commands.main":
            raise KeyboardInterrupt
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(SystemExit) as ended:
        entry()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "bnn: stopped\n"

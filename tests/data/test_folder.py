# SPDX-License-Identifier: BSD-3-Clause
"""Folders of pictures: names and order, classes by name or number, and what is missing."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bnn.data.folder import class_names, open_folder
from bnn.data.pictures.preprocess import Stretch, Thumbnail
from bnn.errors import DataError


def make(root: Path, *files: str) -> Path:
    """Pictures whose grey level is their place in ``files``."""
    for level, file in enumerate(files):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4), level).save(root / file)
    return root


def test_order_and_labels(tmp_path: Path) -> None:
    make(tmp_path, "dog/b.png", "cat/2.JPG", "dog/a.bmp", "cat/10.ppm", "cow/x.gif")
    (tmp_path / "cat" / "boxes.csv").write_text("not a picture")
    (tmp_path / "cat" / ".hidden.png").write_text("not a picture")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "notes.txt").write_text("not a class")
    folder = open_folder(tmp_path)
    assert folder.classes == class_names(tmp_path) == ("cat", "cow", "dog")
    assert folder.labels.dtype == np.int64
    assert [(str(path.relative_to(tmp_path)), label) for path, label in folder] == [
        ("cat/10.ppm", 0),
        ("cat/2.JPG", 0),
        ("cow/x.gif", 1),
        ("dog/a.bmp", 2),
        ("dog/b.png", 2),
    ]
    assert len(folder) == 5


def test_batches_are_read_when_asked_for(tmp_path: Path) -> None:
    folder = open_folder(make(tmp_path, "a/0.png", "a/1.png", "b/2.png", "b/3.png", "c/4.png"))
    (tmp_path / "c" / "4.png").write_text("no picture any more")
    batches = folder.batches(Stretch(), (2, 3, 1), size=2)
    for levels, labels in (([0, 1], [0, 0]), ([2, 3], [1, 1])):
        images, found = next(batches)
        assert images.shape == (2, 2, 3, 1)
        assert images[:, 0, 0, 0].tolist() == levels
        assert found.tolist() == labels
    with pytest.raises(DataError, match=r"c/4\.png: is not a picture"):
        next(batches)


def test_all_in_one_batch(tmp_path: Path) -> None:
    folder = open_folder(make(tmp_path, "a/0.png", "b/1.png"))
    [(images, labels)] = folder.batches(Thumbnail(), (32, 32, 3))
    assert images.dtype == np.uint8
    assert images.shape == (2, 32, 32, 3)
    assert labels.tolist() == [0, 1]


def test_given_classes(tmp_path: Path) -> None:
    make(tmp_path, "dog/0.png", "cat/1.png")
    folder = open_folder(tmp_path, ["horse", "dog", "cat"])
    assert folder.classes == ("horse", "dog", "cat")
    assert list(folder) == [(tmp_path / "cat" / "1.png", 2), (tmp_path / "dog" / "0.png", 1)]
    with pytest.raises(DataError, match="subfolder cat is not one of the 1 classes"):
        open_folder(tmp_path, ["dog"])


def test_labels_for_another_list_of_classes(tmp_path: Path) -> None:
    folder = open_folder(make(tmp_path, "dog/0.png", "cat/1.png"))
    assert folder.labels.tolist() == [0, 1]
    assert folder.labels_for(["dog", "cow", "cat"]).tolist() == [2, 0]
    with pytest.raises(DataError, match="dog can mean 2 classes of the model: dog, dog"):
        folder.labels_for(["dog", "cow", "cat", "dog"])
    with pytest.raises(DataError, match="subfolder dog is not one of the 2 classes"):
        folder.labels_for(["cat", "cow"])


def test_numbered_subfolders_are_indexes(tmp_path: Path) -> None:
    folder = open_folder(make(tmp_path, "00014/0.png", "00002/1.png"))
    assert folder.labels.tolist() == [0, 1]
    assert folder.labels_for([f"sign {i}" for i in range(15)]).tolist() == [2, 14]
    with pytest.raises(DataError, match="subfolder 00002 is not one of the 14 classes"):
        folder.labels_for([f"sign {i}" for i in range(14)])


def test_names_go_before_numbers(tmp_path: Path) -> None:
    folder = open_folder(make(tmp_path, "1/0.png", "0/1.png"))
    assert folder.labels_for(["1", "0"]).tolist() == [1, 0]


def test_missing_things(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no subfolders"):
        open_folder(tmp_path)
    make(tmp_path, "cat/0.png")
    (tmp_path / "cow").mkdir()
    (tmp_path / "cow" / "list.txt").write_text("")
    with pytest.raises(DataError, match="cow: is a class without pictures"):
        open_folder(tmp_path)
    with pytest.raises(DataError, match="nowhere: cannot be listed: No such file"):
        open_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"0\.png: cannot be listed: Not a directory"):
        open_folder(tmp_path / "cat" / "0.png")


def test_what_systems_put_there_is_nothing(tmp_path: Path) -> None:
    """As a zip file from a Mac unpacks, with leftovers of Windows, Jupyter and Synology."""
    make(tmp_path, "cat/0.png", "dog/1.png")
    for junk in (
        *("__MACOSX/cat/._0.png", ".DS_Store", "cat/.DS_Store", "cat/._0.png", "cat/Thumbs.db"),
        *("dog/desktop.ini", ".ipynb_checkpoints/2.png", "cat/.ipynb_checkpoints/0.png"),
        *("@eaDir/3.png", "dog/@eaDir/1.png", "$RECYCLE.BIN/4.png", ".git/5.png"),
    ):
        (tmp_path / junk).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / junk).write_bytes(b"\0\5\26\7")
    folder = open_folder(tmp_path)
    assert folder.classes == ("cat", "dog")
    assert [path.name for path in folder.paths] == ["0.png", "1.png"]
    assert folder.notes == ()
    assert folder.unreadable == ()


def test_empty_folders_are_no_classes_and_are_named(tmp_path: Path) -> None:
    make(tmp_path, "cat/0.png", "dog/1.png")
    (tmp_path / "cow").mkdir()
    (tmp_path / "hen" / "deeper").mkdir(parents=True)
    (tmp_path / "pig").mkdir()
    (tmp_path / "pig" / ".DS_Store").write_bytes(b"")
    folder = open_folder(tmp_path)
    assert folder.classes == ("cat", "dog")
    assert folder.notes == ("empty subfolders are not classes: cow, hen, pig",)


def test_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    folder = open_folder(make(tmp_path, "10/0.png", "2/1.png", "1/2.png"))
    assert folder.classes == ("1", "2", "10")
    assert [path.parent.name for path in folder.paths] == ["1", "2", "10"]
    again = open_folder(tmp_path, order=["1", "10", "2"])
    assert again.classes == ("1", "10", "2")
    assert [path.parent.name for path in again.paths] == ["1", "10", "2"]
    with pytest.raises(DataError, match="its classes have changed: 10, 3"):
        open_folder(tmp_path, order=["1", "2", "3"])


def test_names_of_a_mac_match(tmp_path: Path) -> None:
    folder = open_folder(make(tmp_path, f"{unicodedata.normalize('NFD', 'が')}/0.png", "か/1.png"))
    assert folder.classes == ("か", unicodedata.normalize("NFD", "が"))
    assert folder.labels_for(["が", "か"]).tolist() == [1, 0]


def test_pictures_deeper_or_outside_are_named(tmp_path: Path) -> None:
    make(tmp_path, "cat/0.png", "cat/cat/1.png", "cat/a/b/2.png", "dog/3.png", "stray.png")
    folder = open_folder(tmp_path)
    assert [(path.name, label) for path, label in folder] == [
        ("0.png", 0),
        ("2.png", 0),
        ("1.png", 0),
        ("3.png", 1),
    ]
    assert folder.notes == (
        "1 picture in no class folder, passed over: stray.png",
        "pictures in subfolders of a class belong to the class: cat (2)",
    )


def test_classes_one_folder_deeper(tmp_path: Path) -> None:
    make(tmp_path, "day/cat/0.png", "day/dog/1.png", "night/cat/2.png", "night/dog/3.png")
    with pytest.raises(DataError, match=r"day, night all have the same subfolders \(cat, dog\)"):
        open_folder(tmp_path)
    assert open_folder(tmp_path / "day").classes == ("cat", "dog")
    one = make(tmp_path / "tiny", "n01/images/0.png", "n02/images/1.png")
    assert open_folder(one).classes == ("n01", "n02")


def test_loops_of_links_end(tmp_path: Path) -> None:
    make(tmp_path, "cat/0.png", "dog/1.png")
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "here").symlink_to(tmp_path)
    (tmp_path / "above").symlink_to(tmp_path.parent)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "cat" / "self.png").symlink_to(tmp_path / "cat" / "self.png")
    elsewhere = make(tmp_path.parent / f"{tmp_path.name}-cow", "2.png")
    (tmp_path / "cow").symlink_to(elsewhere)
    folder = open_folder(tmp_path)
    assert folder.classes == ("cat", "cow", "dog")
    assert [path.name for path in folder.paths] == ["0.png", "2.png", "1.png"]
    assert "links to folders around them are not followed: above, here" in folder.notes
    assert "linked folders inside a class are not read: up" in folder.notes
    assert [one.path.name for one in folder.unreadable] == ["self.png"]


def test_what_would_be_a_picture_is_not_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "cat/0.png", "dog/1.png")
    (tmp_path / "cat" / "phone.HEIC").write_bytes(b"")
    (tmp_path / "cat" / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "dog" / "pipe.png")
    (tmp_path / "dog" / "labels.txt").write_text("")
    folder = open_folder(tmp_path)
    assert [(one.path.name, one.reason.split(";")[0]) for one in folder.unreadable] == [
        ("gone.jpg", "cannot be read: No such file or directory"),
        ("phone.HEIC", "pictures of the kind .heic are not read"),
        ("pipe.png", "is not a regular file"),
    ]
    assert folder.notes == ("files that are not pictures by their names, passed over: 1 .txt",)


def test_a_class_of_unreadable_pictures_stays_a_class(tmp_path: Path) -> None:
    make(tmp_path, "cat/0.png", "dog/1.png")
    (tmp_path / "cow").mkdir()
    (tmp_path / "cow" / "a.heic").write_bytes(b"")
    assert open_folder(tmp_path).classes == ("cat", "cow", "dog")


def test_very_deep_folders(tmp_path: Path) -> None:
    make(tmp_path, "cat/0.png", "dog/1.png")
    deep = tmp_path / "cat" / "/".join("d" * 150)
    deep.mkdir(parents=True)
    folder = open_folder(tmp_path)
    assert len(folder) == 2
    assert [one.reason for one in folder.unreadable] == ["is more than 100 folders deep"]


def test_case_alone_is_named(tmp_path: Path) -> None:
    folder = open_folder(make(tmp_path, "A/0.png", "a/1.png"))
    assert folder.classes == ("A", "a")
    assert folder.notes == ("the classes A, a differ in upper and lower case only",)
    assert folder.labels_for(["a", "A"]).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("empty", "said"),
    [
        (1, "c0: is a class without pictures"),
        (2, "c0: and 1 more are classes without pictures: c1"),
        (6, "c0: and 5 more are classes without pictures: c1, c2, c3, c4, c5"),
        (8, "c0: and 7 more are classes without pictures: c1, c2, c3, c4, c5"),
    ],
)
def test_classes_without_pictures_are_counted(tmp_path: Path, empty: int, said: str) -> None:
    make(tmp_path, "full/1.png")
    for number in range(empty):
        (tmp_path / f"c{number}").mkdir()
        (tmp_path / f"c{number}" / "notes.txt").write_text("no picture")
    with pytest.raises(DataError) as raised:
        open_folder(tmp_path)
    assert str(raised.value) == f"{tmp_path}/{said}"


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (1, "1 picture in no class folder, passed over: 0.png"),
        (5, "5 pictures in no class folder, passed over: 0.png, 1.png, 2.png, 3.png, 4.png"),
        (
            7,
            "passed over: 0.png, 1.png, 2.png, 3.png, 4.png and 2 more",
        ),
    ],
)
def test_what_is_passed_over_is_counted(tmp_path: Path, count: int, told: str) -> None:
    make(tmp_path, "a/1.png", "b/1.png", *(f"{number}.png" for number in range(count)))
    assert any(note.endswith(told) for note in open_folder(tmp_path).notes)

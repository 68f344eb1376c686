# SPDX-License-Identifier: BSD-3-Clause
"""Folders of pictures: names and order, classes by name or number, and what is missing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bnn.data.folder import class_names, open_folder
from bnn.errors import DataError
from bnn.preprocess import Stretch, Thumbnail


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
    with pytest.raises(DataError, match=r"c/4\.png: is no picture"):
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
    with pytest.raises(DataError, match="subfolder cat is none of the 1 classes"):
        open_folder(tmp_path, ["dog"])


def test_labels_for_another_list_of_classes(tmp_path: Path) -> None:
    folder = open_folder(make(tmp_path, "dog/0.png", "cat/1.png"))
    assert folder.labels.tolist() == [0, 1]
    assert folder.labels_for(["dog", "cow", "cat"]).tolist() == [2, 0]
    with pytest.raises(DataError, match="dog can mean 2 classes of the model: dog, dog"):
        folder.labels_for(["dog", "cow", "cat", "dog"])
    with pytest.raises(DataError, match="subfolder dog is none of the 2 classes"):
        folder.labels_for(["cat", "cow"])


def test_numbered_subfolders_are_indexes(tmp_path: Path) -> None:
    folder = open_folder(make(tmp_path, "00014/0.png", "00002/1.png"))
    assert folder.labels.tolist() == [0, 1]
    assert folder.labels_for([f"sign {i}" for i in range(15)]).tolist() == [2, 14]
    with pytest.raises(DataError, match="subfolder 00002 is none of the 14 classes"):
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
    with pytest.raises(DataError, match="cow: has no pictures, yet stands for a class"):
        open_folder(tmp_path)
    with pytest.raises(DataError, match="nowhere: cannot be listed: No such file"):
        open_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"0\.png: cannot be listed: Not a directory"):
        open_folder(tmp_path / "cat" / "0.png")

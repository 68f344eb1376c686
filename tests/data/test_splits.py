# SPDX-License-Identifier: BSD-3-Clause
"""Folders that hold parts of a data set, and arrays in npz files and IDX files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bnn.data import cifar, idx
from bnn.data.folder import PictureFolder
from bnn.data.sets import DataSet, load_test, load_train, open_splits
from bnn.data.splits import find_parts
from bnn.errors import BnnError, DataError


def make(root: Path, *files: str) -> Path:
    for level, file in enumerate(files):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4), level).save(root / file)
    return root


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["train", "test"], {"training": "train", "test": "test"}),
        (["Train", "VALID"], {"training": "Train", "validation": "VALID"}),
        (
            ["training", "validation", "testing"],
            {"training": "training", "validation": "validation", "test": "testing"},
        ),
        (["train", "val", "sample"], {"training": "train", "validation": "val"}),
        (["seg_train", "seg_test", "seg_pred"], {"training": "seg_train", "test": "seg_test"}),
        (["training_set", "test_set"], {"training": "training_set", "test": "test_set"}),
        (["train"], {"training": "train"}),
        (["test"], {"test": "test"}),
        (["train", "car", "bus"], {}),  # vehicles
        (["steam train", "bus"], {}),
        (["cat", "dog"], {}),
        ([], {}),
    ],
)
def test_parts_are_found_by_their_names(names: list[str], parts: dict[str, str]) -> None:
    assert find_parts(Path("set"), names) == parts


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train", "val", "valid"], "set: the folders val and valid are both a validation part"),
        (["a_train", "a_test", "b_train", "b_test"], "set: has parts of several data sets"),
    ],
)
def test_parts_that_are_not_clear_are_named(names: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        find_parts(Path("set"), names)


@pytest.mark.parametrize("held_out", ["val", "valid", "validation", "test", "dev"])
def test_a_split_is_never_taken_for_classes(tmp_path: Path, held_out: str) -> None:
    make(tmp_path, "train/cat/0.png", "train/dog/1.png", f"{held_out}/dog/2.png", "train.png")
    splits = open_splits(tmp_path)
    assert splits.train().classes == ("cat", "dog")
    found = splits.test if held_out == "test" else splits.validation
    assert isinstance(found, PictureFolder)
    assert list(found) == [(tmp_path / held_out / "dog" / "2.png", 1)]
    assert list(load_test(tmp_path)) == list(found)  # type: ignore[call-overload]


def test_test_folders_are_matched_by_name(tmp_path: Path) -> None:
    make(tmp_path, "train/1/0.png", "train/10/1.png", "train/2/2.png", "test/02/3.png")
    splits = open_splits(tmp_path)
    assert splits.train().classes == ("1", "2", "10")
    assert isinstance(splits.test, PictureFolder)
    assert splits.test.labels.tolist() == [1]
    assert splits.test.notes == ("names that differ a little are taken as equal: 02 for 2",)
    make(tmp_path, "test/0/4.png")
    with pytest.raises(DataError, match=r"test: subfolder 0 is not one of the 3 classes"):
        open_splits(tmp_path)


def test_folders_beside_parts_are_named(tmp_path: Path) -> None:
    make(tmp_path, "train/a/0.png", "train/b/1.png", "test/a/2.png", "unlabelled/3.png")
    assert open_splits(tmp_path).notes == ("folders beside the parts, passed over: unlabelled",)


def test_a_class_called_test_is_named(tmp_path: Path) -> None:
    make(tmp_path, "cat/0.png", "dog/1.png", "test/2.png")
    splits = open_splits(tmp_path)
    assert splits.train().classes == ("cat", "dog", "test")
    assert splits.notes == (
        "the folder test is taken as a class: no folders for other parts are beside it",
    )
    deeper = make(tmp_path / "deeper", "train/cat/0.png", "train/dog/1.png", "extra/2.png")
    with pytest.raises(DataError, match="train has subfolders of pictures, like a part"):
        open_splits(deeper)


def test_a_test_part_alone(tmp_path: Path) -> None:
    make(tmp_path, "test/a/0.png", "test/b/1.png")
    assert load_test(tmp_path).classes == ("a", "b")
    with pytest.raises(DataError, match="has no training part"):
        load_train(tmp_path)


def test_a_packed_file_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"set\.zip: is not a folder; unpack it first"):
        open_splits(tmp_path / "set.zip")


# --- arrays --------------------------------------------------------------------------


def save(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_an_npz_file_of_keras(tmp_path: Path) -> None:
    grey = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
    path = save(
        tmp_path / "set.npz",
        x_train=grey,
        y_train=np.array([[2], [0], [1]], np.int64),
        x_test=grey[:1],
        y_test=np.array([1], np.uint8),
    )
    splits = open_splits(path)
    assert isinstance(splits.training, DataSet)
    assert isinstance(splits.test, DataSet)
    assert splits.training.classes == splits.test.classes == ("0", "1", "2")
    assert splits.training.images.shape == (3, 4, 4, 1)
    assert splits.training.labels.tolist() == [2, 0, 1]
    assert not splits.training.named


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"y_train": None}, "has no y_train"),
        ({"x_train": np.zeros((2, 4, 4), np.float32)}, "x_train is float32; pictures are uint8"),
        ({"x_train": np.zeros((2, 4, 4, 4), np.uint8)}, r"x_train has shape \(2, 4, 4, 4\)"),
        ({"x_train": np.zeros((2, 16), np.uint8)}, r"x_train has shape \(2, 16\)"),
        ({"x_train": np.zeros((3, 4, 4), np.uint8)}, "3 images, but 2 labels"),
        ({"y_train": np.array([0.0, 1.0])}, "labels are integers"),
        ({"y_train": np.array([0, -1])}, "labels are 0 to 255"),
        ({"y_train": np.array([0, 256])}, "labels are 0 to 255"),
        ({"y_train": np.eye(2, dtype=np.uint8)}, "labels are integers"),
        ({"y_train": np.array([0, None], object)}, "pickled"),
        ({"x_train": None, "y_train": None}, "needs the arrays x_train and y_train, or"),
    ],
)
def test_npz_files_that_are_no_data_sets(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    whole = {"x_train": np.zeros((2, 4, 4), np.uint8), "y_train": np.array([0, 1]), "z": 0}
    arrays = {key: value for key, value in {**whole, **changed}.items() if value is not None}
    with pytest.raises(BnnError, match=said):
        open_splits(save(tmp_path / "set.npz", **arrays))


def test_cifar_records_have_ten_classes(tmp_path: Path) -> None:
    cifar.write_records(tmp_path / "test_batch.bin", np.zeros((2, 32, 32, 3), np.uint8), [3, 10])
    with pytest.raises(DataError, match="has a label 10, but 10 classes"):
        load_test(tmp_path)


def test_labels_of_both_parts_count(tmp_path: Path) -> None:
    for prefix, labels in (("train", [0, 1, 12]), ("t10k", [0, 13])):
        images = np.zeros((len(labels), 4, 4), np.uint8)
        idx.write_images(tmp_path / f"{prefix}-images-idx3-ubyte", images)
        idx.write_labels(tmp_path / f"{prefix}-labels-idx1-ubyte", np.array(labels, np.uint8))
    splits = open_splits(tmp_path)
    assert len(splits.train().classes) == 14
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    splits = open_splits(tmp_path)
    assert splits.test is None
    assert len(splits.train().classes) == 13


@pytest.mark.parametrize("prefix", ["train", "t10k"])
def test_counts_that_differ_are_named(tmp_path: Path, prefix: str) -> None:
    idx.write_images(tmp_path / f"{prefix}-images-idx3-ubyte", np.zeros((3, 4, 4), np.uint8))
    idx.write_labels(tmp_path / f"{prefix}-labels-idx1-ubyte", np.zeros(2, np.uint8))
    with pytest.raises(DataError, match="3 images, but 2 labels"):
        open_splits(tmp_path)

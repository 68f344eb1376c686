# SPDX-License-Identifier: BSD-3-Clause
"""Data beside what a command or a model takes: classified, evaluated, or refused by name."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bnn
from bnn.commands import images as given_images
from bnn.commands.images import read_images
from bnn.data import cifar, files, idx
from bnn.errors import DataError, FormatError, InputError
from bnn.formats.convert import read_classes
from bnn.measure.accuracy import evaluate

DIGITS = bnn.load("lfc-w1a1")
PHOTOS = bnn.load("cnv-w1a1")


@pytest.mark.parametrize("name", ["some.bin", "some.bin.gz"])
def test_records_for_a_model_of_another_shape(tmp_path: Path, name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    path = tmp_path / name
    cifar.write_records(path, pixels)
    with pytest.raises(InputError, match="has pictures of 32x32x3, lfc-w1a1 takes 28x28x1"):
        read_images(DIGITS, [path])
    names, batch = read_images(PHOTOS, [path])
    np.testing.assert_array_equal(batch, pixels)
    assert names == [f"{path}[0]", f"{path}[1]"]


def test_idx_images_of_another_shape(tmp_path: Path) -> None:
    path = tmp_path / "images"
    idx.write_images(path, np.zeros((2, 27, 28), np.uint8))
    with pytest.raises(InputError, match="has pictures of 27x28, lfc-w1a1 takes 28x28x1"):
        read_images(DIGITS, [path])


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_a_file_of_images_is_opened_once(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    path = tmp_path / f"images{suffix}"
    idx.write_images(path, pixels)
    opened = []
    inner = files._opened
    monkeypatch.setattr(files, "_opened", lambda source: opened.append(source) or inner(source))
    _, batch = read_images(DIGITS, [path])
    np.testing.assert_array_equal(batch[..., 0], pixels)
    assert opened == [path]
    assert given_images._read(path, DIGITS).shape == (3, 28, 28)


def test_bytes_that_were_peeked_at_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "some.gz"
    path.write_bytes(gzip.compress(b"0123456789"))
    for counts in ((4, 2, 3), (4, 4, 6), (4, 9, 1), (20, 3, 7), (0, 5, 5)):
        with files.open_unpacked(path) as file:
            assert file.peek(counts[0]) == b"0123456789"[: counts[0]]
            assert file.read(counts[1]) + file.read(counts[2]) == b"0123456789"[: sum(counts[1:])]
            file.read()
    with files.open_unpacked(path) as file:
        assert file.peek(4) + file.read() == b"01230123456789"


def _pictures(folder: Path, *classes: str) -> None:
    random = np.random.default_rng(len(str(folder)))
    for name in classes:
        place = folder / name
        place.mkdir(parents=True)
        for number in range(2):
            pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(place / f"{number}.png")


def test_a_test_part_with_a_class_that_the_training_part_lacks(tmp_path: Path) -> None:
    _pictures(tmp_path / "train", "Cat", "Dog")
    _pictures(tmp_path / "test", "cat", "Truck", "Bird")
    found = evaluate(bnn.Classifier(PHOTOS), str(tmp_path))
    truly = dict(zip(PHOTOS.classes, found.confusion.sum(axis=1).tolist(), strict=True))
    assert {name: count for name, count in truly.items() if count} == {
        "Cat": 2,
        "Truck": 2,
        "Bird": 2,
    }
    _pictures(tmp_path / "test", "Zebra")
    with pytest.raises(DataError, match="test: subfolder Zebra is not one of the 10 classes"):
        evaluate(bnn.Classifier(PHOTOS), str(tmp_path))


def test_skipping_of_arrays_is_refused(tmp_path: Path) -> None:
    cifar.write_records(tmp_path / "test_batch.bin", np.zeros((2, 32, 32, 3), np.uint8), [0, 1])
    with pytest.raises(InputError, match="holds arrays, not picture files; remove --skip-broken"):
        evaluate(bnn.Classifier(PHOTOS), str(tmp_path), skip_broken=True)


@pytest.mark.parametrize("text", ["a\nb\na\n", "a\n b\nb \n"])
def test_a_class_named_twice(tmp_path: Path, text: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(text)
    with pytest.raises(FormatError, match="twice; give each class a name of its own"):
        read_classes(path)


def test_blank_lines_among_classes(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("a\nb\n\n \n")
    assert read_classes(path) == ("a", "b")
    path.write_text("a\n\nb\n")
    with pytest.raises(FormatError, match="line 2 has no class name; write one name per line"):
        read_classes(path)

# SPDX-License-Identifier: BSD-3-Clause
"""CIFAR-10 records: round trips, plane order, incomplete records."""

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bnn.data import cifar
from bnn.data.files import open_unpacked
from bnn.errors import DataError, InputError


def some_images(count: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cifar")


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=4),
    st.integers(0, 2**32),
    st.sampled_from(["", ".gz", ".xz"]),
)
def test_round_trip(folder: Path, labels: list[int], seed: int, suffix: str) -> None:
    images = some_images(len(labels), seed)
    cifar.write_records(folder / f"file{suffix}", images, labels)
    back, numbers = cifar.read_records(folder / f"file{suffix}")
    assert back.dtype == numbers.dtype == np.uint8
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, images)
    np.testing.assert_array_equal(numbers, labels)


def test_planes_are_red_green_blue() -> None:
    record = bytes([7]) + bytes(1024 * [10]) + bytes(1024 * [20]) + bytes(1023 * [30]) + b"\x63"
    images, labels = cifar.read_records(record)
    assert labels == [7]
    assert images[0, 0, 0].tolist() == [10, 20, 30]
    assert images[0, 31, 31].tolist() == [10, 20, 99]
    assert cifar.to_records(images, labels) == record


def test_label_is_one_by_default() -> None:
    assert cifar.to_records(some_images(2, 0))[:: cifar.RECORD_BYTES] == b"\x01\x01"


def test_no_images_are_no_records() -> None:
    assert cifar.to_records(some_images(0, 0), []) == b""


@given(st.integers(1, 3), st.integers(1, cifar.RECORD_BYTES - 1))
def test_incomplete_last_record(count: int, surplus: int) -> None:
    images = some_images(count, surplus)
    file = cifar.to_records(images) + bytes(surplus)
    np.testing.assert_array_equal(cifar.read_records(file, lenient=True)[0], images)
    with pytest.raises(DataError, match=f"not whole CIFAR records .* only {surplus}$"):
        cifar.read_records(file)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_files_without_a_record(tmp_path: Path, lenient: bool, pack: type[bytes]) -> None:
    path = tmp_path / "file.bin"
    for size in (0, 3072):
        path.write_bytes(pack(bytes(size)))
        with pytest.raises(DataError) as caught:
            cifar.read_records(path, lenient=lenient)
        assert str(caught.value).startswith(f"{path}: {size} bytes ")


def test_missing_file() -> None:
    with pytest.raises(DataError, match=r"no-such\.bin: cannot be read: No such file"):
        cifar.read_records("no-such.bin")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((1, 32, 32, 3)), 1),
        (np.zeros((32, 32, 3), np.uint8), 1),
        (np.zeros((1, 3, 32, 32), np.uint8), 1),
        (some_images(2, 0), [1]),
        (some_images(2, 0), [1, 256]),
        (some_images(2, 0), [-1, 0]),
        (some_images(2, 0), [0.5, 0.5]),
    ],
)
def test_writer_refuses(images: NDArray[np.uint8], labels: list[int] | int) -> None:
    with pytest.raises(InputError):
        cifar.to_records(images, labels)


def test_real_cifar10(data_dir: Path) -> None:
    images, labels = cifar.read_records(data_dir / "cifar10" / "test_batch.bin.xz")
    assert images.shape == (10_000, 32, 32, 3)
    assert np.bincount(labels).tolist() == 10 * [1000]
    # The published means of the test set, red, green and blue.
    published = [126.02464141, 123.7085042, 114.85431865]
    np.testing.assert_allclose(images.reshape(-1, 3).mean(0), published, atol=1e-6)


def test_an_open_file_is_read_strictly(tmp_path: Path) -> None:
    """Unless it is said otherwise, as in the original's interface."""
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(bytes(cifar.RECORD_BYTES + 5))
    with open_unpacked(path) as file, pytest.raises(DataError, match=r"last one has only 5$"):
        cifar.read_open_records(file)
    with open_unpacked(path) as file:
        assert len(cifar.read_open_records(file, lenient=True)[0]) == 1

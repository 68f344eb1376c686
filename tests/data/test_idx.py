# SPDX-License-Identifier: BSD-3-Clause
"""IDX files: round trips, the original's lenient rule, and headers that lie."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bnn.data import idx
from bnn.errors import DataError, InputError

IMAGES = arrays(np.uint8, st.tuples(*3 * [st.integers(1, 7)]))
MAGIC = 0x803


def image_file(count: int, rows: int, columns: int, data: bytes, magic: int = MAGIC) -> bytes:
    return struct.pack(">4I", magic, count, rows, columns) + data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx")


@given(images=IMAGES, suffix=st.sampled_from(["", ".gz", ".xz"]), lenient=st.booleans())
def test_images_round_trip(
    folder: Path, images: NDArray[np.uint8], suffix: str, lenient: bool
) -> None:
    idx.write_images(folder / f"images{suffix}", images)
    back = idx.read_images(folder / f"images{suffix}", lenient=lenient)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, images)


@given(labels=arrays(np.uint8, st.integers(1, 50)))
def test_labels_round_trip(folder: Path, labels: NDArray[np.uint8]) -> None:
    idx.write_labels(folder / "labels.gz", labels)
    np.testing.assert_array_equal(idx.read_labels(folder / "labels.gz"), labels)


def test_layout_is_row_major_and_big_endian() -> None:
    images = idx.read_images(image_file(1, 2, 3, bytes([1, 2, 3, 4, 5, 6])))
    np.testing.assert_array_equal(images, [[[1, 2, 3], [4, 5, 6]]])


@given(IMAGES, st.data())
def test_lenient_takes_missing_pixels_as_zero(
    images: NDArray[np.uint8], data: st.DataObject
) -> None:
    kept = data.draw(st.integers(0, images.size))
    file = image_file(*images.shape, images.tobytes()[:kept])
    expected = images.ravel().copy()
    expected[kept:] = 0
    np.testing.assert_array_equal(idx.read_images(file, lenient=True).ravel(), expected)
    if kept < images.size:
        with pytest.raises(DataError, match=f"but only {kept} follow"):
            idx.read_images(file)


@given(IMAGES, st.binary(min_size=1))
def test_surplus_bytes(images: NDArray[np.uint8], surplus: bytes) -> None:
    file = image_file(*images.shape, images.tobytes() + surplus)
    np.testing.assert_array_equal(idx.read_images(file, lenient=True), images)
    with pytest.raises(DataError, match="but more follow"):
        idx.read_images(file)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "not an IDX image file"),
        (b"\0\0\x08", "not an IDX image file"),
        (struct.pack(">2I", 0x801, 5) + b"label", "not an IDX image file"),
        (struct.pack("<4I", MAGIC, 1, 1, 1) + b"a", "not an IDX image file"),
        (b"\x89PNG\r\n\x1a\n", "not an IDX image file"),
        (image_file(1, 1, 1, b"a")[:13], "truncated inside its IDX header"),
        (image_file(0, 28, 28, b""), "0 x 28 x 28; all must be positive"),
        (image_file(2**32 - 1, 1, 1, b"a"), "-1 x 1 x 1; all must be positive"),
        (image_file(1, 0, 28, b""), "must be positive"),
        (image_file(1, 28, 2**31, b""), "must be positive"),
        (image_file(2**31 - 1, 2**31 - 1, 2**31 - 1, b"abc"), "only 3 follow"),
        (gzip.compress(image_file(2**31 - 1, 28, 28, b"abc"), mtime=0), "only 3 follow"),
        (gzip.compress(image_file(1, 1, 1, b"a"), mtime=0)[:-9], "truncated"),
    ],
)
def test_bad_files(tmp_path: Path, file: bytes, reason: str, lenient: bool) -> None:
    path = tmp_path / "bad-images"
    path.write_bytes(file)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=reason) as caught:
            idx.read_images(path, lenient=lenient)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20  # nothing is allocated on its word
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (image_file(1, 1, 1, b"a"), "not an IDX label file"),
        (struct.pack(">2I", 0x801, 0), "positive"),
        (struct.pack(">2I", 0x801, 6) + b"label", "only 5 follow"),
        (struct.pack(">2I", 0x801, 4) + b"label", "more follow"),
    ],
)
def test_bad_label_files(file: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        idx.read_labels(file)


def test_missing_file() -> None:
    with pytest.raises(DataError, match="no-such-file: cannot be read: No such file"):
        idx.read_images("no-such-file")


@pytest.mark.parametrize(
    "images", [np.zeros((1, 28, 28)), np.zeros((28, 28), np.uint8), np.zeros((0, 2, 2), np.uint8)]
)
def test_writer_refuses(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError):
        idx.write_images(tmp_path / "file", images)
    assert not (tmp_path / "file").exists()


def test_real_mnist(data_dir: Path) -> None:
    mnist = data_dir / "mnist"
    images = idx.read_images(mnist / "t10k-images-idx3-ubyte.gz")
    labels = idx.read_labels(mnist / "t10k-labels-idx1-ubyte.gz")
    assert images.shape == (10_000, 28, 28)
    assert list(np.bincount(labels)) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]

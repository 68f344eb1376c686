# SPDX-License-Identifier: BSD-3-Clause
"""A packed file is whole or refused, also where what is wanted ends before the file does."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import numpy as np
import pytest

import bnn
from bnn.data.files import open_unpacked
from bnn.errors import BnnError, DataError, FormatError, ParameterError
from bnn.formats import bnn_pynq
from bnn.system import archives, npz

PACKERS = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}


def archive(path, pack):
    """A packed tar archive of the bundled LFC, its members stored in a row."""
    bnn_pynq.save(bnn.load("lfc-w1a1"), path.parent / "set")
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as made:
        made.add(path.parent / "set", "set")
    packed = pack(plain.getvalue())
    path.write_bytes(packed)
    return packed


@pytest.mark.parametrize("kind", PACKERS)
def test_no_changed_bit_of_a_packed_set_is_accepted_if_it_changes_the_model(tmp_path, kind):
    path = tmp_path / f"set.tar.{kind}"
    packed = archive(path, PACKERS[kind])
    whole = bnn_pynq.load(path)
    draw = np.random.default_rng(5)
    refused = 0
    for place in draw.integers(len(packed), size=40):
        bad = bytearray(packed)
        bad[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(bad)
        try:
            assert bnn_pynq.load(path) == whole  # a header's time stamp and the like
        except ParameterError as error:
            refused += str(path) in str(error)
    assert refused >= 35


@pytest.mark.parametrize("level", [0, 9])
def test_stored_blocks_of_gz_have_no_other_guard_than_the_checksum(tmp_path, level):
    path = tmp_path / "set.tar.gz"
    packed = bytearray(archive(path, lambda data: gzip.compress(data, level)))
    packed[-8] ^= 1  # the checksum itself
    path.write_bytes(packed)
    with pytest.raises(ParameterError, match=r"set\.tar\.gz"):
        bnn_pynq.load(path)


@pytest.mark.parametrize("kind", PACKERS)
def test_what_follows_the_packed_data_is_refused(tmp_path, kind):
    path = tmp_path / f"set.tar.{kind}"
    packed = archive(path, PACKERS[kind])
    path.write_bytes(packed + b"something else")
    with pytest.raises(ParameterError, match="bytes follow the end of the packed data"):
        bnn_pynq.load(path)
    path.write_bytes(packed[:-3])
    with pytest.raises(ParameterError, match="truncated"):
        bnn_pynq.load(path)


@pytest.mark.parametrize("kind", PACKERS)
def test_closing_a_packed_file_reads_it_to_its_end(tmp_path, kind):
    path = tmp_path / "data"
    packed = bytearray(PACKERS[kind](np.random.default_rng(1).bytes(300_000)))
    path.write_bytes(packed)
    with open_unpacked(path) as file:
        assert len(file.read(10)) == 10
    packed[len(packed) // 2] ^= 4
    path.write_bytes(packed)
    with pytest.raises(DataError, match="cannot be read"), open_unpacked(path) as file:
        file.read(10)


def test_reading_on_stops_at_the_limit(tmp_path):
    path = tmp_path / "data.gz"
    path.write_bytes(gzip.compress(bytes(1 << 24)))
    with pytest.raises(DataError, match="more than 1000 bytes"), open_unpacked(path, 1000) as file:
        file.read(10)


def test_an_error_of_the_reader_is_not_hidden_by_the_rest_of_the_file(tmp_path):
    path = tmp_path / "data.gz"
    path.write_bytes(gzip.compress(bytes(1000))[:-2])
    with pytest.raises(BnnError, match="mine"), open_unpacked(path):
        raise DataError("mine")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("again", ["equal", "other"])
def test_a_zip_archive_with_a_member_twice_is_refused(tmp_path, again):
    path = tmp_path / "two.npz"
    arrays = [np.ones((2, 3)), np.ones((2, 3)) if again == "equal" else -np.ones((2, 3))]
    with zipfile.ZipFile(path, "w") as made:
        for array in arrays:
            data = io.BytesIO()
            np.save(data, array)
            made.writestr("arr_0.npy", data.getvalue())
    with pytest.raises(ParameterError, match=r"contains 'arr_0\.npy' twice"):
        npz.read(path)
    with pytest.raises(FormatError, match="twice"):
        archives.members(path)
    with pytest.raises(FormatError, match="twice"):
        archives.member(path, "arr_0.npy")

# SPDX-License-Identifier: BSD-3-Clause
"""Packed and damaged files: bounded, and one line of error each."""

import gzip
import lzma
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnn.data.files import open_unpacked, write_file
from bnn.errors import DataError, InputError

PACK = {"plain": bytes, "gz": gzip.compress, "xz": lzma.compress}


def everything(source: bytes | str | Path, limit: int = 1 << 20) -> bytes:
    with open_unpacked(source, limit) as file:
        return bytes(file.read())


@given(st.binary(), st.sampled_from(sorted(PACK)))
def test_packing_is_seen_by_the_first_bytes(data: bytes, packing: str) -> None:
    if packing == "plain" and data.startswith((b"\x1f\x8b", b"\xfd7zXZ")):
        return
    assert everything(PACK[packing](data)) == data


@given(st.binary(max_size=100), st.integers(0, 120))
def test_reads_what_is_asked_for(data: bytes, count: int) -> None:
    with open_unpacked(gzip.compress(data)) as file:
        assert file.read(count) == data[:count]
        assert file.read() == data[count:]


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_written_files_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    write_file(path, b"some data" * 1000)
    assert everything(path) == b"some data" * 1000
    assert (path.stat().st_size < 9000) == bool(suffix)


@pytest.mark.parametrize("packing", sorted(PACK))
def test_the_limit_is_on_unpacked_bytes(packing: str) -> None:
    assert len(everything(PACK[packing](bytes(5000)), limit=5000)) == 5000
    with pytest.raises(DataError, match="<bytes>: has more than 4999 bytes"):
        everything(PACK[packing](bytes(5000)), limit=4999)


def test_a_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(bytes(64 << 20)))
    with pytest.raises(DataError, match=r"bomb\.gz: has more than"):
        everything(bomb)


@pytest.mark.parametrize("packing", ["gz", "xz"])
@given(data=st.binary(min_size=1), where=st.floats(0, 1), flip=st.integers(1, 255))
def test_damage_is_an_error_or_harmless(packing: str, data: bytes, where: float, flip: int) -> None:
    packed = bytearray(PACK[packing](data))
    packed[6 + int(where * (len(packed) - 7))] ^= flip  # beyond the magic
    try:
        outcome: bytes | str = everything(bytes(packed))
    except DataError as error:
        outcome = str(error)
    if isinstance(outcome, bytes):
        assert outcome == data  # a bit of the gz header that means nothing
    else:
        assert re.fullmatch("<bytes>: .+", outcome)


@pytest.mark.parametrize("packing", ["gz", "xz"])
def test_truncated_packed_file(packing: str) -> None:
    packed = PACK[packing](bytes(range(256)))
    for length in range(8, len(packed)):
        with pytest.raises(DataError, match="<bytes>: "):
            everything(packed[:length])


def test_bytes_after_an_xz_stream() -> None:
    with pytest.raises(DataError, match="follow the end"):
        everything(lzma.compress(b"data") + b"more")


def test_xz_that_asks_for_much_memory() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 << 20, "preset": 0}]
    with pytest.raises(DataError, match="<bytes>: cannot be read: Memory usage limit"):
        everything(lzma.compress(b"tiny", filters=filters))


@pytest.mark.parametrize("path", ["no/such/file", ".", "nul\0byte"])
def test_paths_that_cannot_be_read(path: str) -> None:
    with pytest.raises(DataError) as caught:
        everything(path)
    assert str(caught.value).startswith(path)


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing/file: cannot be written: No such file"):
        write_file(tmp_path / "missing" / "file", b"")


def test_other_errors_pass_through() -> None:
    with pytest.raises(InputError, match="of the caller"), open_unpacked(b"data"):
        raise InputError("of the caller")

# SPDX-License-Identifier: BSD-3-Clause
"""Our reader of tar archives against Python's, on archives of each of its formats."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bnn.data.tar import members
from bnn.errors import DataError

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
#: Around the size of a block, to which every member is filled up.
SIZES = st.one_of(st.sampled_from([0, 1, 511, 512, 513, 1024]), st.integers(0, 3000))


class Bytes(io.BytesIO):
    name = "mine.tar"


def archive(sizes: list[int], format_: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format_) as tar:
        for index, size in enumerate(sizes):
            folder = tarfile.TarInfo(f"folder{index}")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            # 60 and more: too long for the name alone, in the later ones
            info = tarfile.TarInfo(f"folder{index}/{'x' * 24 * index}.bin")
            info.size = size
            tar.addfile(info, io.BytesIO(bytes([index + 1]) * size))
    return made.getvalue()


@example(sizes=[1, 700, 513, 5], format_=tarfile.USTAR_FORMAT)
@given(sizes=st.lists(SIZES, max_size=5), format_=st.sampled_from(FORMATS))
def test_members_are_those_that_python_reads(sizes: list[int], format_: int) -> None:
    data = archive(sizes, format_)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = [member for member in tar.getmembers() if member.isfile()]
        whole = [(file.name, (tar.extractfile(file) or io.BytesIO()).read()) for file in files]
    assert len(whole) == len(sizes)
    assert list(members(Bytes(data), lambda _: True, sum(sizes))) == whole
    odd = {name for name, _ in whole[1::2]}
    assert list(members(Bytes(data), odd.__contains__, sum(sizes))) == whole[1::2]


def test_a_limit_is_of_all_wanted_files_together() -> None:
    data = archive([600, 600], tarfile.USTAR_FORMAT)
    assert len(list(members(Bytes(data), lambda _: True, 1200))) == 2
    with pytest.raises(DataError, match="files together are too large"):
        list(members(Bytes(data), lambda _: True, 1199))
    assert len(list(members(Bytes(data), lambda name: "0" in name, 600))) == 1

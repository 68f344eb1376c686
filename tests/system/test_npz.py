# SPDX-License-Identifier: BSD-3-Clause
"""NumPy archives: what NumPy writes is read equal, and nothing hostile gets through."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from bnn.errors import ParameterError
from bnn.system import npz


def test_what_numpy_writes(tmp_path: Path) -> None:
    arrays = {
        "arr_0": np.arange(6, dtype=np.float32).reshape(2, 3),
        "arr_1": np.asfortranarray(np.arange(6.0).reshape(3, 2)),
        "link/W": np.float64(1.5),
        "big": np.arange(4, dtype=">i2"),
        "empty": np.zeros((0, 3)),
        "flags": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = npz.read(tmp_path / "a.npz")
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].shape == array.shape


def member(path: Path, data: bytes, name: str = "arr_0.npy") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return path


def test_python_2_headers_are_read(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8)
    assert npz.read(member(tmp_path / "a.npz", data))["arr_0"].tolist() == [0.0, 0.0]


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.array([{}], dtype=object))
    with pytest.raises(ParameterError, match=r"a\.npz: arr_0\.npy: contains pickled objects"):
        npz.read(tmp_path / "a.npz")


def test_bombs_are_refused_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MAX_BYTES", 1 << 20)
    path = member(tmp_path / "a.npz", bytes((1 << 20) + 1))
    assert path.stat().st_size < 1 << 12
    with pytest.raises(ParameterError, match="unpacks to more than 1 MiB"):
        npz.read(path)


def test_a_lying_header_allocates_nothing(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with pytest.raises(ParameterError, match=r"0 bytes, .* an array \(1000000000000,\)"):
        npz.read(member(tmp_path / "a.npz", data))


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"", "arr_0.npy", "arr_0.npy"),
        (b"\x93NUMPY\x09\x00", "arr_0.npy", "version"),
        (b"\x93NUMPY\x01\x00\x05\x00[[[[[", "arr_0.npy", "arr_0.npy"),
        (b"text", "readme.txt", "member 'readme.txt' is not an array"),
    ],
)
def test_damage(tmp_path: Path, data: bytes, name: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        npz.read(member(tmp_path / "a.npz", data, name))


def test_every_truncation_is_one_error(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", np.arange(50.0))
    whole = (tmp_path / "a.npz").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "b.npz").write_bytes(whole[:length])
        with pytest.raises(ParameterError, match=r"b\.npz: "):
            npz.read(tmp_path / "b.npz")
    with pytest.raises(ParameterError, match="no such file"):
        npz.read(tmp_path / "none.npz")


def test_every_flipped_byte_is_read_or_one_error(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", np.arange(8, dtype=np.float32))
    whole = (tmp_path / "a.npz").read_bytes()
    refused = 0
    for place in range(len(whole)):
        bad = bytearray(whole)
        bad[place] ^= 0xFF
        (tmp_path / "b.npz").write_bytes(bytes(bad))
        try:
            npz.read(tmp_path / "b.npz")
        except ParameterError:
            refused += 1
    assert refused > len(whole) // 2

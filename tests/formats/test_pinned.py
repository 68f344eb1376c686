# SPDX-License-Identifier: BSD-3-Clause
"""Numbers in files that users have, and texts at their limits."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from bnn.errors import ParameterError
from bnn.formats.bnn_pynq import load, sets_under
from bnn.formats.keras.qkeras import MAX_TEXT, called
from bnn.formats.qonnx import write
from bnn.model import file as modelfile
from bnn.network.topology import Norm


def test_numbers_of_formats() -> None:
    """A file that was written with another number would be refused, or read as another format."""
    assert modelfile.FORMAT == 2
    assert write.IR_VERSION == 7
    pytest.importorskip("torch", reason="needs bnn-pynq[train]")
    from bnn.train import checkpoint

    assert checkpoint.FORMAT == 1


def test_a_norm_that_nobody_described() -> None:
    plain = Norm()
    assert (plain.scalar, plain.epsilon, plain.is_stated, plain.name) == (False, 1e-4, False, "")


def test_a_quantizer_written_as_a_call_of_any_length() -> None:
    assert MAX_TEXT == 300
    for length in (299, 300, 301):
        text = "quantized_bits(4)".ljust(length)
        assert (called(text) is not None) == (length <= 300)


def test_sets_of_a_root_are_named_by_folder_or_archive(tmp_path: Path) -> None:
    (tmp_path / "mnist" / "lfcW1A1").mkdir(parents=True)
    (tmp_path / "chars-lfcW1A1.tar.xz").write_bytes(b"")
    (tmp_path / "mnist-lfcW1A1.tar.xz").write_bytes(b"")
    (tmp_path / "cifar10-cnvW1A1.tar.xz").write_bytes(b"")
    (tmp_path / "lfcW1A1.tar.xz").write_bytes(b"")
    (tmp_path / "x-lfcW1A1.tar.xz").mkdir()
    found = sets_under(tmp_path, "lfcW1A1")
    assert found == {
        "chars": tmp_path / "chars-lfcW1A1.tar.xz",
        "mnist": tmp_path / "mnist" / "lfcW1A1",
    }
    assert list(found) == ["chars", "mnist"]
    assert sets_under(tmp_path / "nowhere", "lfcW1A1") == {}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], "no parameter files"),
        (["a/readme.txt"], "no parameter files"),
        (["a/0-0-weights.bin", "b/0-0-weights.bin"], "2 parameter folders"),
    ],
)
def test_an_archive_has_one_folder(names: list[str], found: str, tmp_path: Path) -> None:
    path = tmp_path / "set.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ParameterError, match=f"contains {found}; one folder is needed"):
        load(path)

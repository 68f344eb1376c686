# SPDX-License-Identifier: BSD-3-Clause
"""Files are opened only if they are plain files, and written whole, durably, or not at all."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bnn.errors import BnnError, DataError, ModelFileError
from bnn.system import files
from bnn.system.files import open_file, parse_json, read_file, write_whole


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- writing -------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o027, 0o000])
def test_the_mode_is_what_the_umask_says(mask: int, umask: Any, tmp_path: Path) -> None:
    umask(mask)
    write_whole(tmp_path / "new", b"1")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~mask


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"0")
    (tmp_path / "secret").chmod(0o600)
    write_whole(tmp_path / "secret", b"1")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert (tmp_path / "secret").read_bytes() == b"1"


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_through_a_symbolic_link(relative: bool, exists: bool, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "model"
    if exists:
        target.write_bytes(b"old")
    (tmp_path / "one").symlink_to(Path("there/model") if relative else target)
    (tmp_path / "two").symlink_to(tmp_path / "one")
    write_whole(tmp_path / "two", b"new")
    assert target.read_bytes() == b"new"
    assert (tmp_path / "two").is_symlink()
    assert (tmp_path / "one").is_symlink()
    assert names(tmp_path) == ["one", "there", "two"]
    assert names(tmp_path / "there") == ["model"]


def test_links_that_lead_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    refused(tmp_path / "a")
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, ".hidden", "with space", "-o", "a\nb"])
def test_names(name: str, tmp_path: Path) -> None:
    write_whole(tmp_path / name, b"data")
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"data"


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / ("x" * 256))
    assert names(tmp_path) == []


def refused(path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be written") as caught:
        write_whole(path, b"data")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_folder_given_as_the_path(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").write_bytes(b"1")
    refused(tmp_path / "folder")
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder") == ["kept"]


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full"])
def test_devices_are_not_replaced(path: str) -> None:
    refused(Path(path))
    assert stat.S_ISCHR(Path(path).stat().st_mode)


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_missing_folders_and_odd_paths(tmp_path: Path) -> None:
    refused(tmp_path / "no" / "file")
    (tmp_path / "file").write_bytes(b"1")
    refused(tmp_path / "file" / "below")
    with pytest.raises(ModelFileError, match="cannot be written"):
        write_whole("nul\0byte", b"")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "write", "replace"])
def test_what_exists_is_kept_where_a_step_fails(
    call: str, monkeypatch: Any, tmp_path: Path
) -> None:
    (tmp_path / "m").write_bytes(b"old")

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif call == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        real = os.fdopen

        def opened(handle: int, mode: str) -> Any:
            file = real(handle, mode)
            if mode == "wb":
                file.close()
                file = real(os.open("/dev/full", os.O_WRONLY), "wb")
            return file

        monkeypatch.setattr(os, "fdopen", opened)
    with pytest.raises(DataError, match=r"m: cannot be written: No space left"):
        write_whole(tmp_path / "m", b"new" * 10_000, DataError)
    monkeypatch.undo()
    assert names(tmp_path) == ["m"]
    assert (tmp_path / "m").read_bytes() == b"old"


def test_interrupted_writing_leaves_nothing(monkeypatch: Any, tmp_path: Path) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "m", b"new")
    assert names(tmp_path) == []


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "shut").mkdir()
    (tmp_path / "shut" / "m").write_bytes(b"old")
    (tmp_path / "shut").chmod(0o555)
    refused(tmp_path / "shut" / "m")
    assert (tmp_path / "shut" / "m").read_bytes() == b"old"


def test_file_and_folder_are_synchronized_in_order(monkeypatch: Any, tmp_path: Path) -> None:
    steps: list[str] = []
    real, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        real(handle)

    def replace(path: Path, target: Path) -> Path:
        steps.append("replace")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_whole(tmp_path / "m", b"new")
    assert steps == ["file", "folder", "replace", "folder"]


# --- reading -------------------------------------------------------------------------


def test_reads_a_file(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"data")
    (tmp_path / "link").symlink_to(tmp_path / "m")
    assert read_file(tmp_path / "link", 4, DataError) == b"data"
    with pytest.raises(DataError, match="m: is larger than 3 bytes"):
        read_file(tmp_path / "m", 3, DataError)


def special(tmp_path: Path) -> dict[str, Path]:
    """Everything that is no plain file."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "lost").symlink_to(tmp_path / "nothing")
    found = {name: tmp_path / name for name in ("pipe", "socket", "folder", "link", "lost")}
    return found | {"zero": Path("/dev/zero"), "null": Path("/dev/null"), "none": tmp_path / "none"}


def test_special_files_are_refused_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    for name, path in special(Path()).items():
        with pytest.raises(DataError) as caught:
            open_file(path, 1 << 20, DataError)
        assert str(path) in str(caught.value), name
    with pytest.raises(DataError, match="is a pipe, not a file"):
        open_file("pipe", 9, DataError)


def test_a_file_that_becomes_a_pipe_meanwhile(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "m").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    real = os.open
    monkeypatch.setattr(os, "open", lambda _, flags: real(tmp_path / "pipe", flags))
    with pytest.raises(DataError, match="is a pipe"):
        open_file(tmp_path / "m", 9, DataError)


def test_a_file_that_grows_meanwhile_is_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "m").write_bytes(b"1234")
    monkeypatch.setattr(files, "_check_kind", lambda *_: None)
    with pytest.raises(DataError, match="larger than 3 bytes"):
        read_file(tmp_path / "m", 3, DataError)


READERS = {
    "model": "import bnn; bnn.load(path)",
    "picture": "import bnn; bnn.Classifier(bnn.load('lfc-w1a1')).classify([path])",
    "convert": "from bnn.formats.convert import convert; convert(path)",
    "brevitas": "from bnn.formats.convert import convert; convert(path, 'brevitas')",
    "keras": "from bnn.formats.convert import convert; convert(path, 'keras')",
    "qonnx": "from bnn.formats.convert import convert; convert(path, 'qonnx')",
    "chainer": "from bnn.formats.convert import convert; convert(path, 'chainer')",
    "theano": "from bnn.formats.convert import convert; convert(path, 'theano')",
    "original": "from bnn.formats import bnn_pynq; bnn_pynq.load(path)",
    "classes": "from bnn.formats.convert import read_classes; read_classes(path)",
    "topology": "from bnn.network import topology; topology.load(path)",
    "idx": "from bnn.data import idx; idx.read_images(path)",
    "cifar": "from bnn.data import cifar; cifar.read_records(path)",
    "folding": (
        "import bnn, pathlib; from bnn.hw import folding;"
        "folding.read(pathlib.Path(path), bnn.load('lfc-w1a1').program)"
    ),
    "image files": (
        "import bnn, pathlib; from bnn.commands.images import read_images;"
        "read_images(bnn.load('lfc-w1a1'), [pathlib.Path(path)])"
    ),
    "session": "import pathlib; from bnn.driver.recorded import Replay; Replay(pathlib.Path(path))",
}


def test_no_reader_waits_for_a_pipe_or_reads_a_device(tmp_path: Path) -> None:
    """One process for all: each reader must refuse every kind in one line, at once."""
    os.mkfifo(tmp_path / "pipe.bnn")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.bnn").symlink_to("/dev/zero")
    program = (
        "import sys\nfrom bnn.errors import BnnError\n"
        f"readers = {READERS!r}\n"
        "for path in sys.argv[1:]:\n"
        "    for name, text in readers.items():\n"
        "        try:\n            exec(text)\n"
        "        except BnnError as reason:\n"
        "            assert '\\n' not in str(reason), (name, reason)\n"
        "            assert path in str(reason), (name, path, reason)\n"
        "        else:\n            raise SystemExit(f'{name} took {path}')\n"
    )
    paths = [tmp_path / "pipe.bnn", tmp_path / "pipe.png", tmp_path / "zero.bnn", "/dev/zero"]
    command = [sys.executable, "-c", program, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 401, "{", "", "[1,]"])
def test_json_of_bounded_work(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_json(text)
    assert not isinstance(caught.value, BnnError)


def test_json() -> None:
    assert parse_json(b'{"a": [1, -2.5, null]}') == {"a": [1, -2.5, None]}


def test_leftovers_of_killed_writers_go_once_they_are_old(tmp_path: Path) -> None:
    target, other = tmp_path / "model.bnn", tmp_path / "other.bnn"
    files.write_whole(target, b"old")
    for path in (target, other):
        for age in (0, files.STALE_AFTER_S + 60):
            left = files._temporary_of(path)
            left.write_bytes(b"half")
            os.utime(left, (time.time() - age,) * 2)
    folder = files._temporary_of(target)
    (folder / "inside").mkdir(parents=True)
    os.utime(folder, (0, 0))
    assert len(list(tmp_path.glob(".bnn-*.tmp"))) == 5
    files.write_whole(target, b"new")
    assert target.read_bytes() == b"new"
    names = sorted(path.name for path in tmp_path.glob(".bnn-*.tmp"))
    assert len(names) == 3  # the young one, and those of the other file
    assert sum(name.startswith(f".bnn-{files._tag(other)}") for name in names) == 2


def test_temporary_names_fit_beside_the_longest_name(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    files.write_whole(target, b"whole")
    assert target.read_bytes() == b"whole"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("text", ["[NaN]", "[Infinity]", "[-Infinity]"])
def test_what_is_no_number_in_json_is_refused_where_it_must_be(text: str) -> None:
    assert len(files.parse_json(text)) == 1
    with pytest.raises(ValueError, match="is not a finite number"):
        files.parse_json(text, finite=True)


def test_what_cannot_be_written_is_known_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.check_writable(tmp_path / "new", BnnError)
    (tmp_path / "there").write_text("kept")
    files.check_writable(tmp_path / "there", BnnError)
    assert (tmp_path / "there").read_text() == "kept"
    assert not (tmp_path / "new").exists()
    with pytest.raises(BnnError, match="cannot be written: is a "):
        files.check_writable(tmp_path, BnnError)
    for path in (tmp_path / "no" / "new", tmp_path / "there" / "new"):
        with pytest.raises(BnnError, match=r"is not a folder|Not a directory"):
            files.check_writable(path, BnnError)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(BnnError, match=r"no permission to write .*there"):
        files.check_writable(tmp_path / "there", BnnError)

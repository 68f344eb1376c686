# SPDX-License-Identifier: BSD-3-Clause
"""The cache folder: private or refused by name, its entries whole or made again."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bnn.errors import CacheError
from bnn.system import cache

posix = pytest.mark.skipif(os.name == "nt", reason="modes and owners of POSIX")
root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away"
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv("BNN_CACHE", str(path))
    return path


def _two(work: Path) -> None:
    (work / "made" / "a.txt").write_text("first")
    (work / "made" / "b.mem").write_text("second")


def _nothing(_: Path) -> None: ...


def _entry(make: Callable[[Path], None] = _two, **more: dict[str, str]) -> Path:
    return cache.entry("things", "one", make, **more)  # type: ignore[arg-type]


# ---- where ------------------------------------------------------------------------------------


def test_one_variable_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BNN_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.place() == tmp_path / "home" / ".cache" / "bnn"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # not valid, so not looked at
    assert cache.place() == tmp_path / "home" / ".cache" / "bnn"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.place() == tmp_path / "xdg" / "bnn"
    monkeypatch.setenv("BNN_CACHE", str(tmp_path / "mine"))
    assert cache.place() == tmp_path / "mine"


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BNN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(CacheError, match="set BNN_CACHE to a folder of your own"):
        cache.folder()


@posix
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_it_is_made_private(place: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        inner = cache.folder("sim")
    finally:
        os.umask(before)
    assert inner == place / "sim"
    assert [path.stat().st_mode & 0o777 for path in (place, inner)] == [0o700, 0o700]


@posix
def test_parents_are_made_private_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_CACHE", str(tmp_path / "x" / "y" / "z"))
    before = os.umask(0)
    try:
        cache.folder()
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o700


@posix
def test_what_others_may_read_is_made_private(place: Path) -> None:
    place.mkdir(mode=0o755)
    place.chmod(0o755)
    cache.folder()
    assert place.stat().st_mode & 0o777 == 0o700


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
@pytest.mark.parametrize("inner", ["", "sim"])
def test_what_others_may_write_is_refused(place: Path, mode: int, inner: str) -> None:
    (place / inner).mkdir(parents=True)
    place.chmod(0o700)
    (place / inner).chmod(mode)
    with pytest.raises(CacheError, match=r"others may write in the cache: .*BNN_CACHE"):
        cache.folder("sim")


@posix
@pytest.mark.parametrize("inner", ["", "sim"])
def test_a_link_is_refused(place: Path, tmp_path: Path, inner: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    if inner:
        place.mkdir(mode=0o700)
    (place / inner).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheError, match=r"is a symbolic link: .*BNN_CACHE"):
        cache.folder("sim")


@posix
def test_a_shared_parent_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("BNN_CACHE", str(shared / "mine"))
    with pytest.raises(CacheError, match=r"anybody may rename files in .*shared: .*BNN_CACHE"):
        cache.folder()
    shared.chmod(0o1777)  # as /tmp: nobody can take another's folder away
    cache.folder()


@posix
def test_a_link_on_the_way_is_as_safe_as_the_folder_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "shared" / "link").symlink_to(tmp_path / "private")
    monkeypatch.setenv("BNN_CACHE", str(tmp_path / "shared" / "link" / "mine"))
    cache.folder()
    (tmp_path / "shared").chmod(0o777)
    with pytest.raises(CacheError, match=r"anybody may rename files in .*shared: .*BNN_CACHE"):
        cache.folder()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        (tmp_path / "shared").chmod(0o1777)
        os.chown(tmp_path / "shared" / "link", 12345, -1, follow_symlinks=False)
        with pytest.raises(CacheError, match=r"link belongs to another user: .*BNN_CACHE"):
            cache.folder()


@root
def test_a_parent_of_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o775)
    monkeypatch.setenv("BNN_CACHE", str(shared / "mine"))
    cache.folder()  # root's own group
    os.chown(shared, -1, 12345)
    with pytest.raises(CacheError, match=r"a group may rename files in .*shared: .*BNN_CACHE"):
        cache.folder()


@root
@pytest.mark.parametrize("which", ["", "..", "sim"])
def test_anothers_folder_is_refused(place: Path, which: str) -> None:
    (place / "sim").mkdir(parents=True)
    os.chown(place / which, 12345, 12345)
    with pytest.raises(CacheError, match=r"belongs to another user: .*BNN_CACHE"):
        cache.folder("sim")
    os.chown(place / which, 0, 0)


def test_a_file_in_its_place(place: Path) -> None:
    place.write_text("")
    with pytest.raises(CacheError, match=r"not a folder: .*BNN_CACHE"):
        cache.folder()


def test_a_file_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BNN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CacheError, match="BNN_CACHE"):
        cache.folder()


@pytest.mark.parametrize(
    ("error", "text"),
    [(30, "Read-only file system"), (28, "No space left on device"), (122, "quota")],
)
def test_a_disk_that_takes_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, error: int, text: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    for name in ("mkdir", "write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, refuse)
            with pytest.raises(CacheError) as reason:
                _entry(_nothing)
        assert text in str(reason.value)
        assert str(place) in str(reason.value)
        assert "BNN_CACHE" in str(reason.value)
        assert not list(place.glob("things/building-*"))


# ---- entries ----------------------------------------------------------------------------------


def test_an_entry_is_made_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made: list[Path] = []

    def make(work: Path) -> None:
        made.append(work)
        _two(work)

    first = _entry(make)
    assert first == place / "things" / "one"
    assert _entry(make) == first
    assert len(made) == 1
    assert sorted(path.name for path in first.iterdir()) == ["a.txt", "b.mem", cache.MANIFEST]
    assert not list(first.parent.glob("building-*"))
    assert not list(first.parent.glob("*.lock"))
    assert capsys.readouterr().err == ""


def _cut(entry: Path) -> None:
    (entry / "a.txt").write_text("fir")


def _empty(entry: Path) -> None:
    (entry / "a.txt").write_bytes(b"")


def _missing(entry: Path) -> None:
    (entry / "b.mem").unlink()


def _planted(entry: Path) -> None:
    (entry / "c.so").write_text("mine")


def _linked(entry: Path) -> None:
    (entry / "a.txt").rename(entry.parent / "kept.txt")
    (entry / "a.txt").symlink_to(entry.parent / "kept.txt")


def _no_manifest(entry: Path) -> None:
    (entry / cache.MANIFEST).unlink()


def _wrong_manifest(entry: Path) -> None:
    (entry / cache.MANIFEST).write_text('{"files": [], "entry": "one"}')


def _no_names(entry: Path) -> None:
    (entry / cache.MANIFEST).write_text('{"files": [["a.txt", "b"], [1, 2]], "entry": "one"}')


def _no_texts(entry: Path) -> None:
    (entry / cache.MANIFEST).write_text('{"files": {"a.txt": null}, "entry": 1}')


def _huge_manifest(entry: Path) -> None:
    os.truncate(entry / cache.MANIFEST, 1 << 33)  # sparse


def _pipe(entry: Path) -> None:
    (entry / cache.MANIFEST).unlink()
    os.mkfifo(entry / cache.MANIFEST)


def _others_manifest(entry: Path) -> None:
    text = (entry / cache.MANIFEST).read_text()
    (entry / cache.MANIFEST).write_text(text.replace('"one"', '"two"'))


def _folder(entry: Path) -> None:
    (entry / "a.txt").unlink()
    (entry / "a.txt").mkdir()


def _a_file(entry: Path) -> None:
    for path in entry.iterdir():
        path.unlink()
    entry.rmdir()
    entry.write_text("")


DAMAGES = [
    *(_cut, _empty, _missing, _planted, _linked, _no_manifest, _wrong_manifest),
    *(_others_manifest, _folder, _a_file, _no_names, _no_texts, _huge_manifest),
    *([_pipe] if hasattr(os, "mkfifo") else []),
]


@pytest.mark.parametrize("harm", DAMAGES)
def test_a_damaged_entry_is_made_again(
    place: Path, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    entry = _entry()
    harm(entry)
    again = _entry()
    assert (again / "a.txt").read_text() == "first"
    assert (again / "b.mem").read_text() == "second"
    assert cache.damage(again) is None
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "damaged" in told
    assert str(place) in told
    assert not list(place.glob("things/building-*"))


def test_contents_that_are_known_count_more_than_the_manifest() -> None:
    entry = _entry()
    (entry / "b.mem").write_text("planted")
    text = (entry / cache.MANIFEST).read_text()
    digests = [cache.digest(data) for data in (b"second", b"planted")]
    (entry / cache.MANIFEST).write_text(text.replace(*digests))
    assert cache.damage(entry) is None
    assert (_entry(wanted={"b.mem": digests[0]}) / "b.mem").read_text() == "second"


def test_a_make_that_fails_leaves_nothing(place: Path) -> None:
    def fail(work: Path) -> None:
        _two(work)
        raise KeyError("why")

    with pytest.raises(KeyError):
        _entry(fail)
    assert list((place / "things").iterdir()) == []
    _entry()


def test_two_threads_make_it_once(place: Path) -> None:
    made: list[int] = []

    def make(work: Path) -> None:
        made.append(1)
        time.sleep(0.2)
        _two(work)

    threads = [threading.Thread(target=_entry, args=(make,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert cache.damage(place / "things" / "one") is None


_BUILDER = """
import sys, time
from bnn.system import cache
def make(work):
    (work / "made" / "a.txt").write_text("fi")
    print("halfway", flush=True)
    time.sleep(float(sys.argv[1]))
    (work / "made" / "a.txt").write_text("first")
    (work / "made" / "b.mem").write_text("second")
cache.entry("things", sys.argv[2], make)
"""


def _builder(seconds: float, name: str = "one") -> subprocess.Popen[str]:
    builder = subprocess.Popen(
        [sys.executable, "-c", _BUILDER, str(seconds), name], stdout=subprocess.PIPE, text=True
    )
    assert builder.stdout is not None
    assert builder.stdout.readline() == "halfway\n"
    return builder


@pytest.mark.parametrize("name", ["one", "another-one"])
def test_what_a_killed_process_leaves_goes(place: Path, name: str) -> None:
    builder = _builder(60, name)
    builder.kill()
    builder.communicate()
    assert len(list(place.glob("things/building-*"))) == 1
    assert not (place / "things" / name).exists()
    _entry()
    assert not list(place.glob("things/building-*"))
    assert [path.name for path in (place / "things").iterdir()] == ["one"]


def test_what_a_living_process_makes_stays(place: Path) -> None:
    builder = _builder(1.5, "another-one")
    _entry()
    assert len(list(place.glob("things/building-another-one-*"))) == 1
    builder.communicate()
    assert builder.returncode == 0
    assert cache.damage(place / "things" / "another-one") is None


def test_two_processes_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    builder = _builder(1.0)

    def never(_: Path) -> None:
        raise AssertionError("made twice")

    entry = cache.entry("things", "one", never, title="the thing")
    builder.communicate()
    assert cache.damage(entry) is None
    assert "another process makes the thing: waiting" in capsys.readouterr().err


@posix
def test_a_whole_entry_is_used_where_nothing_can_be_written(place: Path) -> None:
    entry = _entry()
    for path in (entry, entry.parent, place):
        path.chmod(0o500)
    try:
        assert _entry(pytest.fail) == entry
    finally:
        for path in (place, entry.parent, entry):
            path.chmod(0o700)


def test_the_cache_is_bounded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_SIMULATOR_BYTES", 4500)
    for number in range(6):
        entry = cache.entry(
            "things", f"n{number}", lambda work: (work / "made" / "x").write_bytes(bytes(1000))
        )
        os.utime(entry / cache.MANIFEST, (1000 + number, 1000 + number))
        if number == 3:  # used again: not the oldest any more
            os.utime(place / "things" / "n0" / cache.MANIFEST, (2000, 2000))
    kept = sorted(path.name for path in (place / "things").iterdir())
    assert kept == ["n0", "n3", "n4", "n5"]
    assert cache.describe()["bytes"] == cache.size(place) <= 4500


def test_sealed_bytes_are_those_that_were_checked(place: Path) -> None:
    place.mkdir(mode=0o700)
    file = place / "library.so"
    file.write_bytes(b"whole")
    name = cache.sealed(file, cache.digest(b"whole"))
    if sys.platform.startswith("linux"):
        file.write_bytes(b"cut")
        assert Path(name).read_bytes() == b"whole"
    file.write_bytes(b"planted")
    with pytest.raises(CacheError, match="changed after it was checked"):
        cache.sealed(file, cache.digest(b"whole"))

# SPDX-License-Identifier: BSD-3-Clause
"""Bulk classification: rows equal the classifier's, parts are whole, runs can be interrupted."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import bnn
from bnn.data import cifar, idx
from bnn.errors import BnnError, BulkError, InputError

pa = pytest.importorskip("pyarrow", reason="needs the extra bulk")

import pyarrow.parquet as pq

from bnn.commands.main import app
from bnn.scale import bulk, sources
from bnn.scale.local import local
from bnn.scale.sources import Shard
from bnn.scale.work import Done, Job, Worker

SAMPLES = Path(bnn.__file__).parent / "samples"


def serial(job: Job, waiting: list[tuple[int, Shard]]) -> Iterator[tuple[int, Done]]:
    """An engine in this process."""
    worker = Worker(job)
    for index, shard in waiting:
        yield index, worker.run(index, shard)


def rows(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out).to_pylist()
    return found


def scores(out: Path) -> Any:
    return np.array([row["scores"] for row in rows(out)], np.int32)


def _run(model: Any, given: list[Any], out: Path, **options: Any) -> Any:
    loaded = model if isinstance(model, bnn.Model) else bnn.load(model)
    return bulk(loaded, [str(each) for each in given], out, serial, **options)


def _digits(count: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), np.uint8)


# --- every kind of source ------------------------------------------------------------


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    files = sorted((SAMPLES / "cifar10").glob("*.png"))
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    for file in files:
        Image.open(file).resize((100, 90)).save(folder / f"{file.stem}.jpg")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    (folder / "picture.heic").write_bytes(b"x")
    (folder / "notes.txt").write_text("no picture")
    done = _run("cnv-w1a1", [tmp_path / "in"], tmp_path / "out")
    assert (done.rows, done.errors) == (len(files) + 2, 2)
    found = {Path(row["name"]).name: row for row in rows(tmp_path / "out")}
    assert set(found) == {*(f"{file.stem}.jpg" for file in files), "broken.png", "picture.heic"}
    clf = bnn.Classifier("cnv-w1a1", "reference")
    for file in files:
        row = found[f"{file.stem}.jpg"]
        place = folder / f"{file.stem}.jpg"
        assert row["scores"] == clf.scores([place])[0].tolist()
        assert row["class_index"] == clf.classify([place])[0]
        assert row["class_name"] == clf.classes[row["class_index"]]
        assert row["error"] is None
    for name in ("broken.png", "picture.heic"):
        assert name in found[name]["error"]
        assert found[name]["scores"] is found[name]["class_index"] is None
    assert json.loads((tmp_path / "out" / "_summary.json").read_text()) == {
        "parts": 1, "rows": len(files) + 2, "errors": 2,
    }  # fmt: skip


@pytest.mark.parametrize("packed", ["tar", "tar.gz"])
def test_a_tar_shard(tmp_path: Path, packed: str) -> None:
    files = sorted((SAMPLES / "mnist").glob("*.png"))
    path = tmp_path / f"shard-0001.{packed}"
    with tarfile.open(path, "w:gz" if packed == "tar.gz" else "w") as made:
        for index, file in enumerate(files):
            made.add(file, f"{index:06d}.png")
            data = str(index).encode()
            info = tarfile.TarInfo(f"{index:06d}.cls")
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo("999999.png")
        info.size = 3
        made.addfile(info, io.BytesIO(b"bad"))
    done = _run("lfc-w1a1", [path], tmp_path / "out")
    assert (done.rows, done.errors) == (len(files) + 1, 1)
    found = rows(tmp_path / "out")
    assert [row["name"] for row in found] == [
        *(f"{path}/{index:06d}.png" for index in range(len(files))), f"{path}/999999.png",
    ]  # fmt: skip
    expected = bnn.Classifier("lfc-w1a1", "reference").scores(files)
    assert [row["scores"] for row in found[:-1]] == expected.tolist()


def test_a_damaged_tar_keeps_what_came_before(tmp_path: Path) -> None:
    file = SAMPLES / "mnist" / "3.png"
    path = tmp_path / "cut.tar"
    with tarfile.open(path, "w") as made:
        for index in range(5):
            last = made.offset
            made.add(file, f"{index}.png")
    path.write_bytes(path.read_bytes()[: last + 600])
    done = _run("lfc-w1a1", [path, file], tmp_path / "out")
    found = rows(tmp_path / "out")
    assert done.errors == 1
    good = [row for row in found if row["error"] is None]
    assert [row["name"] for row in good] == [*(f"{path}/{i}.png" for i in range(4)), str(file)]
    assert [row["name"] for row in found if row["error"]] == [str(path)]


def _tables(files: list[Path]) -> dict[str, Any]:
    data = [file.read_bytes() for file in files]
    return {
        "binary": pa.table({"label": range(len(data)), "image": pa.array(data, pa.binary())}),
        "struct": pa.table({"image": [{"bytes": each, "path": "x"} for each in data]}),
        "large": pa.table({"jpg": pa.array(data, pa.large_binary())}),
    }


@pytest.mark.parametrize("kind", ["binary", "struct", "large"])
@pytest.mark.parametrize("suffix", ["parquet", "arrow", "stream.arrow"])
def test_a_table_of_picture_files(tmp_path: Path, kind: str, suffix: str) -> None:
    files = sorted((SAMPLES / "mnist").glob("*.png"))
    table = _tables(files)[kind]
    path = tmp_path / f"table.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path, row_group_size=3)
    else:
        make = pa.ipc.new_stream if suffix == "stream.arrow" else pa.ipc.new_file
        with make(str(path), table.schema) as sink:
            sink.write_table(table, max_chunksize=4)
    _run("lfc-w1a1", [path], tmp_path / "out")
    expected = bnn.Classifier("lfc-w1a1", "reference").scores(files)
    np.testing.assert_array_equal(scores(tmp_path / "out"), expected)
    assert rows(tmp_path / "out")[7]["name"] == f"{path}[7]"


def test_tables_of_arrays_and_with_empty_rows(tmp_path: Path) -> None:
    images = _digits(30)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(images.ravel()), 784)
    pq.write_table(pa.table({"pixels": flat}), tmp_path / "a.parquet")
    _run("lfc-w1a1", [tmp_path / "a.parquet"], tmp_path / "out")
    expected = bnn.Classifier("lfc-w1a1", "reference").scores(images)
    np.testing.assert_array_equal(scores(tmp_path / "out"), expected)
    data = (SAMPLES / "mnist" / "3.png").read_bytes()
    for column in ([data, None, data], [{"bytes": data}, None, {"bytes": data}]):
        pq.write_table(pa.table({"image": column}), tmp_path / "b.parquet")
        out = tmp_path / f"out-{isinstance(column[0], bytes)}"
        assert _run("lfc-w1a1", [tmp_path / "b.parquet"], out).errors == 1
        assert [row["class_index"] for row in rows(out)] == [3, None, 3]


def test_columns_are_named_where_it_is_not_clear(tmp_path: Path) -> None:
    data = (SAMPLES / "mnist" / "3.png").read_bytes()
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": [data], "png": [data], "mine": [data], "n": [1]}), path)
    with pytest.raises(BulkError, match="several columns"):
        _run("lfc-w1a1", [path], tmp_path / "a")
    with pytest.raises(BulkError, match="no column 'x'"):
        _run("lfc-w1a1", [path], tmp_path / "b", column="x")
    with pytest.raises(BulkError, match="column n is int64"):
        _run("lfc-w1a1", [path], tmp_path / "c", column="n")
    _run("lfc-w1a1", [path], tmp_path / "d", column="mine")
    assert [row["class_index"] for row in rows(tmp_path / "d")] == [3]


def test_files_of_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "IMAGES", 40)
    monkeypatch.setattr(sources, "IMAGES_AT_ONCE", 16)
    digits = _digits(100)
    expected = bnn.Classifier("lfc-w1a1", "reference").scores(digits)
    np.save(tmp_path / "a.npy", digits)
    np.save(tmp_path / "flat.npy", digits.reshape(100, 784))
    idx.write_images(tmp_path / "t-idx3-ubyte", digits)
    idx.write_images(tmp_path / "t-idx3-ubyte.gz", digits)
    for name, parts in (("a.npy", 3), ("flat.npy", 3), ("t-idx3-ubyte", 3), ("t-idx3-ubyte.gz", 1)):
        out = tmp_path / f"out-{name}"
        _run("lfc-w1a1", [tmp_path / name], out)
        np.testing.assert_array_equal(scores(out), expected)
        assert len(list(out.glob("part-*"))) == parts
        assert [row["name"] for row in rows(out)] == [f"{tmp_path / name}[{i}]" for i in range(100)]
    colours = np.random.default_rng(2).integers(0, 256, (50, 32, 32, 3), np.uint8)
    wanted = bnn.Classifier("cnv-w1a1", "reference").scores(colours)
    for name in ("batch.bin", "batch.bin.xz"):
        cifar.write_records(tmp_path / name, colours)
        _run("cnv-w1a1", [tmp_path / name], tmp_path / f"out-{name}")
        np.testing.assert_array_equal(scores(tmp_path / f"out-{name}"), wanted)


def test_other_file_systems(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    folder = tmp_path / "in"
    folder.mkdir()
    for file in (SAMPLES / "mnist").glob("*.png"):
        (folder / file.name).write_bytes(file.read_bytes())
    digits = _digits(9)
    np.save(folder / "a.npy", digits)
    done = _run("lfc-w1a1", [f"file://{folder}"], tmp_path / "out")
    assert (done.rows, done.errors) == (9 + len(list(folder.glob("*.png"))), 0)
    expected = bnn.Classifier("lfc-w1a1", "reference")
    found = {row["name"].rsplit("/", 1)[1]: row["scores"] for row in rows(tmp_path / "out")}
    assert found["3.png"] == expected.scores([folder / "3.png"])[0].tolist()
    assert found["a.npy[8]"] == expected.scores(digits)[8].tolist()
    with pytest.raises(BulkError, match="cannot be read"):
        _run("lfc-w1a1", [f"file://{folder}/none.tar"], tmp_path / "other")
    with pytest.raises(BulkError, match="cannot be read"):
        _run("lfc-w1a1", ["nosuchprotocol://x/a.tar"], tmp_path / "other")


def test_what_cannot_be_classified_is_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "wrong.npy", np.zeros((3, 5, 5), np.uint8))
    np.save(tmp_path / "floats.npy", np.zeros((3, 28, 28), np.float32))
    np.save(tmp_path / "empty.npy", np.zeros((0, 28, 28), np.uint8))
    np.save(tmp_path / "flat.npy", np.zeros(3, np.uint8))
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    (tmp_path / "cut.bin").write_bytes(bytes(3074))
    (tmp_path / "cut-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + b"\0\0\0\x09" * 3)
    (tmp_path / "a.csv").write_text("1,2")
    for name, error, text in (
        ("wrong.npy", InputError, r"\[5, 5\]"),
        ("floats.npy", InputError, "uint8"),
        ("empty.npy", BulkError, "has no images"),
        ("flat.npy", BnnError, "has 1 dimensions; an array of images"),
        ("objects.npy", BnnError, "cannot be read as an array"),
        ("cut.bin", BnnError, "3074 bytes"),
        ("cut-idx3-ubyte", BnnError, "does not match"),
        ("a.csv", BulkError, "not of a known kind"),
        ("missing", BulkError, "is missing"),
    ):
        with pytest.raises(error, match=text):
            _run("lfc-w1a1", [tmp_path / name], tmp_path / f"out-{name}")


def test_inputs_named_twice_are_classified_once(tmp_path: Path) -> None:
    file = SAMPLES / "mnist" / "3.png"
    done = _run("lfc-w1a1", [file, SAMPLES / "mnist", file], tmp_path / "out")
    assert done.rows == len(list((SAMPLES / "mnist").glob("*.png")))


# --- going on ------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 200 images, which is cut into 10 shards."""
    monkeypatch.setattr(sources, "IMAGES", 20)
    np.save(tmp_path / "many.npy", _digits(200))
    return tmp_path / "many.npy"


def _check(out: Path, many: Path, parts: int = 10) -> None:
    """Every input exactly once, with the right scores."""
    found = rows(out)
    assert [row["name"] for row in found] == [f"{many}[{index}]" for index in range(200)]
    expected = bnn.Classifier("lfc-w1a1", "reference").scores(np.load(many))
    np.testing.assert_array_equal(scores(out), expected)
    names = {path.name for path in out.iterdir()}
    assert names == {*(f"part-{i:06d}.parquet" for i in range(parts)), "_plan.json",
                     "_model.bnn", "_summary.json"}  # fmt: skip


def test_an_interrupted_run_goes_on(tmp_path: Path, many: Path) -> None:
    out = tmp_path / "out"

    def until(count: int) -> Any:
        def engine(job: Job, waiting: list[tuple[int, Shard]]) -> Iterator[tuple[int, Done]]:
            for number, done in enumerate(serial(job, waiting)):
                if number == count:
                    raise KeyboardInterrupt
                yield done

        return engine

    model = bnn.load("lfc-w1a1")
    with pytest.raises(KeyboardInterrupt):
        bulk(model, [str(many)], out, until(3))
    assert not (out / "_summary.json").exists()
    before = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    damaged = sorted(before)[1]
    damaged.write_bytes(damaged.read_bytes()[:-10])  # not whole: made again
    done = _run(model, [many], out)
    assert done.kept == 20 * (len(before) - 1)
    assert done.rows + done.kept == 200
    _check(out, many)
    for path, time_ns in before.items():
        assert (path.stat().st_mtime_ns == time_ns) == (path != damaged)
    assert _run(model, [many], out).rows == 0


def test_a_changed_shard_is_classified_again(tmp_path: Path, many: Path) -> None:
    out = tmp_path / "out"
    _run("lfc-w1a1", [many], out)
    np.save(many, _digits(200, seed=9))
    os.utime(many, ns=(1, 1))
    assert _run("lfc-w1a1", [many], out).rows == 200
    _check(out, many)
    np.save(many, _digits(100, seed=9))  # parts of shards that have gone go too
    os.utime(many, ns=(2, 2))
    _run("lfc-w1a1", [many], out)
    assert len(rows(out)) == 100


def test_a_shard_that_changes_while_it_is_read_ends_the_run(
    tmp_path: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bnn.scale import work

    out = tmp_path / "out"
    read = work.blocks
    calls = 0

    def changing(shard: Shard, column: str | None) -> Iterator[Any]:
        nonlocal calls
        calls += 1
        for block in read(shard, column):
            yield block
            if calls == 4:
                os.utime(many, ns=(5, 5))

    monkeypatch.setattr(work, "blocks", changing)
    with pytest.raises(BulkError, match=r"was changed while it was read"):
        _run("lfc-w1a1", [many], out)
    assert len(list(out.glob("part-*"))) == 3
    monkeypatch.undo()
    monkeypatch.setattr(sources, "IMAGES", 20)
    _run("lfc-w1a1", [many], out)
    _check(out, many)


def test_a_full_disk_ends_the_run_with_one_line(
    tmp_path: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, writes = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal writes
        writes += 1
        if writes > 15:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    out = tmp_path / "out"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BulkError, match="No space left"):
        _run("lfc-w1a1", [many], out)
    monkeypatch.setattr(os, "fsync", real)
    assert 0 < len(list(out.glob("part-*"))) < 10
    assert list(out.glob(".bnn-*")) == []
    _run("lfc-w1a1", [many], out)
    _check(out, many)


def test_the_folder_of_a_run_without_results_can_be_used(tmp_path: Path, many: Path) -> None:
    """The wrong model was named first: it was refused before it had a result."""
    out = tmp_path / "out"
    np.save(tmp_path / "digits.npy", np.zeros((3, 28, 28, 1), np.uint8))
    with pytest.raises(InputError, match="cnv-w1a1 takes"):
        _run("cnv-w1a1", [tmp_path / "digits.npy"], out)
    assert list(out.glob("part-*")) == []
    _run("lfc-w1a1", [many], out)
    _check(out, many)


def test_another_plan_needs_another_folder(tmp_path: Path, many: Path) -> None:
    out = tmp_path / "out"
    _run("lfc-w1a1", [many], out)
    with pytest.raises(BulkError, match="another model; give a new folder"):
        _run("lfc-w1a2", [many], out)
    with pytest.raises(BulkError, match="results of other sources;"):
        _run("lfc-w1a1", [SAMPLES / "mnist"], out)
    with pytest.raises(BulkError, match="holds other files"):
        _run("lfc-w1a1", [many], tmp_path)
    _check(out, many)


# --- processes -----------------------------------------------------------------------


def test_processes_give_the_same_rows(tmp_path: Path, many: Path) -> None:
    model = bnn.load("lfc-w1a1")
    done = bulk(model, [str(many)], tmp_path / "out", local(2))
    assert done.rows == 200
    _check(tmp_path / "out", many)


def _kill_one(parent: int) -> bool:
    """Kill a process that classifies; False if there is none (yet)."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        text = Path(f"/proc/{child}/cmdline").read_bytes()
        if b"spawn_main" in text:
            os.kill(int(child), signal.SIGKILL)
            return True
    return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_killed_processes_and_drivers_lose_nothing(tmp_path: Path) -> None:
    many = tmp_path / "many.npy"
    count = 2000
    np.save(many, _digits(count))
    out = tmp_path / "out"
    code = (
        "from bnn.scale import sources; sources.IMAGES = 50\n"
        "from bnn.commands.main import main; main()"
    )
    command = [sys.executable, "-c", code, "bulk",
               "lfc-w1a1", str(many), "-o", str(out), "-w", "2", "-r", "reference"]  # fmt: skip
    # The driver is killed once a part is there; its processes end with it.
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(out.glob("part-*")) and time.monotonic() < deadline:
        assert driver.poll() is None
        time.sleep(0.05)
    children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
    driver.kill()
    driver.wait()
    while any(Path(f"/proc/{child}/cmdline").exists() and _runs(child) for child in children):
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.05)
    # Then a process is killed; the run goes on by itself.
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while driver.poll() is None and not _kill_one(driver.pid):
        time.sleep(0.05)
    assert driver.wait(300) == 0
    found = rows(out)
    assert [row["name"] for row in found] == [f"{many}[{index}]" for index in range(count)]
    expected = bnn.Classifier("lfc-w1a1").scores(np.load(many))
    np.testing.assert_array_equal(scores(out), expected)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_processes_killed_at_any_moment_stop_nothing(tmp_path: Path, many: Path) -> None:
    """While they start, classify, or send what they did: the others go on, and no row is lost."""
    random = np.random.default_rng(3)
    killed, done = 0, 0
    ended = threading.Event()

    def kill() -> None:
        nonlocal killed
        before = -1
        while not ended.wait(float(random.uniform(0, 0.8))):
            if done > before and _kill_one(os.getpid()):  # else it would give up
                killed, before = killed + 1, done

    def advance(progress: Any) -> None:
        nonlocal done
        done = progress.done

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.MonkeyPatch.context() as changed:
            changed.setattr(sources, "IMAGES", 10)
            made = bulk(bnn.load("lfc-w1a1"), [str(many)], tmp_path / "out", local(3),
                        runtime="reference", advance=advance)  # fmt: skip
    finally:
        ended.set()
        killer.join()
    assert killed > 0
    assert made.rows == 200
    _check(tmp_path / "out", many, 20)


def test_what_fails_in_a_process_is_raised(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 5, 5), np.uint8))
    with pytest.raises(InputError, match="arrays are"):
        bulk(bnn.load("lfc-w1a1"), [str(tmp_path / "a.npy")], tmp_path / "out", local(2))


def _runs(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_the_command(tmp_path: Path, many: Path) -> None:
    def invoke(*args: Any) -> Any:
        return CliRunner().invoke(app, ["bulk", *map(str, args)])

    done = invoke("lfc-w1a1", many, "-o", tmp_path / "out", "-w", 1)
    assert done.exit_code == 0, done.output
    assert "200 images" in done.output
    assert "0 errors" in done.output
    again = invoke("lfc-w1a1", many, "-o", tmp_path / "out", "-w", 1)
    assert "200 rows kept" in again.output
    for args, text in (
        (("lfc-w1a1", many, "-o", tmp_path / "out", "--engine", "spark"), "local, ray"),
        (("lfc-w1a1", many, "-o", tmp_path / "x", "-r", "sim"), "cpu or reference"),
        (("nothing", many, "-o", tmp_path / "x"), "nothing"),
    ):
        failed = invoke(*args)
        assert isinstance(failed.exception, BnnError)
        assert text in str(failed.exception)


def test_the_command_refuses_a_column_of_pictures(tmp_path: Path, many: Path) -> None:
    for source in (many, SAMPLES / "mnist"):
        args = ["bulk", "lfc-w1a1", str(source), "-o", str(tmp_path / "x"), "--column", "image"]
        failed = CliRunner().invoke(app, args)
        assert "--column image: is for tables" in str(failed.exception)
    assert not (tmp_path / "x").exists()


def test_nothing_that_can_be_read_is_status_1(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    args = ["bulk", "cnv-w1a1", str(folder), "-o", str(tmp_path / "out"), "-w", "1"]
    for _ in range(2):  # the second keeps the rows of the first
        assert CliRunner().invoke(app, args).exit_code == 1
    (folder / "c.png").write_bytes((SAMPLES / "cifar10" / "Cat.png").read_bytes())
    assert CliRunner().invoke(app, args).exit_code == 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_an_interrupt_says_how_far_it_is(tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", _digits(4000))
    out = tmp_path / "out"
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from bnn.scale import sources; sources.IMAGES = 50\n"
        "from bnn.commands.main import main; main()"
    )
    command = [sys.executable, "-c", code, "bulk", "lfc-w1a1", str(tmp_path / "many.npy"),
               "-o", str(out), "-w", "2", "-r", "reference"]  # fmt: skip
    driver = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while len(list(out.glob("part-*"))) < 4:  # two of them may not be told yet
        assert driver.poll() is None
        time.sleep(0.05)
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does it
    _, errors = driver.communicate()
    assert driver.returncode == 130
    assert errors.count("\n") == 1
    assert f"{out}: stopped: " in errors
    assert "of 80 shards" in errors
    assert "give the same command again to go on" in errors


@pytest.mark.filterwarnings("ignore")
def test_ray_gives_the_same_rows(tmp_path: Path, many: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    from bnn.scale.on_ray import on_ray

    bulk(bnn.load("lfc-w1a1"), [str(many)], tmp_path / "out", on_ray(1))
    _check(tmp_path / "out", many)

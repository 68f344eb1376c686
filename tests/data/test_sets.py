# SPDX-License-Identifier: BSD-3-Clause
"""Data sets: where they are searched, how folders are recognised, and fetching with checksums."""

import hashlib
import io
import os
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bnn.data import cifar, fetch, idx, known, sets
from bnn.data.folder import PictureFolder
from bnn.data.sets import DataSet, load_test, load_train
from bnn.errors import DataError, UnknownNameError
from bnn.system import install


@pytest.fixture(autouse=True)
def _nothing_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data but the test's own: no roots, no system folder, an empty cache, no network."""
    monkeypatch.delenv("BNN_DATA", raising=False)
    monkeypatch.setenv("BNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sets, "SYSTEM_ROOT", tmp_path / "no-system-root")
    monkeypatch.setitem(sys.modules, "pooch", None)


def grey(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), np.uint8)


def colour(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def put_mnist(folder: Path, suffix: str = "", seed: int = 0, prefix: str = "t10k") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    idx.write_images(folder / f"{prefix}-images-idx3-ubyte{suffix}", grey(3, seed))
    idx.write_labels(folder / f"{prefix}-labels-idx1-ubyte{suffix}", np.array([7, 0, 9], np.uint8))
    return folder


def put_cifar(folder: Path, suffix: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(1, 6):
        cifar.write_records(folder / f"data_batch_{i}.bin{suffix}", colour(2, i), [i, 0])
    cifar.write_records(folder / f"test_batch.bin{suffix}", colour(3), [7, 0, 9])
    return folder


def put_archive(path: Path, *members: tarfile.TarInfo | Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            if isinstance(member, Path):
                archive.add(member, f"cifar-10-batches-bin/{member.name}")
            else:
                archive.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def arrays(loaded: DataSet | PictureFolder) -> DataSet:
    assert isinstance(loaded, DataSet)
    assert loaded.labels.dtype == np.int64
    return loaded


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("below", ["mnist", "."])
def test_mnist_under_a_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str, suffix: str
) -> None:
    put_mnist(tmp_path / "second" / below, suffix)
    monkeypatch.setenv("BNN_DATA", os.pathsep.join(["", "no-such-root", str(tmp_path / "second")]))
    loaded = arrays(load_test("mnist"))
    assert loaded.name == "mnist"
    assert loaded.classes == tuple("0123456789")
    assert loaded.labels.tolist() == [7, 0, 9]
    assert len(loaded) == 3
    np.testing.assert_array_equal(loaded.images, grey(3)[..., np.newaxis])


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("below", ["cifar10", ".", "cifar10/cifar-10-batches-bin"])
def test_cifar10_under_a_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str, suffix: str
) -> None:
    put_cifar(tmp_path / "root" / below, suffix)
    monkeypatch.setenv("BNN_DATA", str(tmp_path / "root"))
    loaded = arrays(load_test("cifar10"))
    assert loaded.classes[7] == "Horse"
    assert loaded.labels.tolist() == [7, 0, 9]
    np.testing.assert_array_equal(loaded.images, colour(3))
    loaded = arrays(load_train("cifar10"))
    assert loaded.labels.tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    np.testing.assert_array_equal(loaded.images[2:4], colour(2, 2))


def test_cifar10_in_its_archive(tmp_path: Path) -> None:
    files = sorted(put_cifar(tmp_path / "files").iterdir(), reverse=True)
    put_archive(tmp_path / "root" / "cifar10" / "cifar-10-binary.tar.gz", *files)
    loaded = arrays(load_train("cifar10", tmp_path / "root"))
    assert loaded.labels.tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    np.testing.assert_array_equal(loaded.images[8:], colour(2, 5))
    np.testing.assert_array_equal(arrays(load_test("cifar10", tmp_path / "root")).images, colour(3))


def test_first_root_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, root in enumerate(("a", "b", "explicit")):
        put_mnist(tmp_path / root / "mnist", seed=seed)
    monkeypatch.setenv("BNN_DATA", os.pathsep.join([str(tmp_path / "b"), str(tmp_path / "a")]))
    np.testing.assert_array_equal(arrays(load_test("mnist")).images[..., 0], grey(3, 1))
    explicit = arrays(load_test("mnist", tmp_path / "explicit"))
    np.testing.assert_array_equal(explicit.images[..., 0], grey(3, 2))


def test_an_explicit_place_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_mnist(tmp_path / "root" / "mnist")
    monkeypatch.setenv("BNN_DATA", str(tmp_path / "root"))
    with pytest.raises(DataError, match="elsewhere: has no test files of mnist"):
        load_test("mnist", tmp_path / "elsewhere")


def test_sets_of_one_layout_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fashion = put_mnist(tmp_path / "fashion-mnist", seed=1)
    monkeypatch.setenv("BNN_DATA", str(fashion))
    assert arrays(load_test("fashion-mnist")).classes[9] == "Ankle boot"
    with pytest.raises(DataError, match=r"^mnist: not found; put"):
        load_test("mnist")  # not taken from a folder of fashion
    put_mnist(tmp_path / "plain", seed=2)
    monkeypatch.setenv("BNN_DATA", str(tmp_path / "plain"))
    np.testing.assert_array_equal(arrays(load_test("mnist")).images[..., 0], grey(3, 2))
    with pytest.raises(DataError, match=r"^fashion-mnist: not found; put"):
        load_test("fashion-mnist")  # files lying about are MNIST's, unless one says so
    assert arrays(load_test("fashion-mnist", tmp_path / "plain")).name == "fashion-mnist"


def test_system_root_is_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_mnist(tmp_path / "share" / "fashion-mnist", seed=1)
    monkeypatch.setattr(sets, "SYSTEM_ROOT", tmp_path / "share")
    np.testing.assert_array_equal(arrays(load_test("fashion-mnist")).images[..., 0], grey(3, 1))
    put_mnist(tmp_path / "root" / "fashion-mnist", seed=2)
    monkeypatch.setenv("BNN_DATA", str(tmp_path / "root"))
    np.testing.assert_array_equal(arrays(load_test("fashion-mnist")).images[..., 0], grey(3, 2))


def test_folders_are_recognised(tmp_path: Path) -> None:
    loaded = arrays(load_test(put_mnist(tmp_path / "digits")))
    assert (loaded.name, loaded.classes) == (str(tmp_path / "digits"), tuple("0123456789"))
    fashion = arrays(load_test(put_mnist(tmp_path / "fashion-mnist")))
    assert fashion.classes[0] == "T-shirt/top"
    loaded = arrays(load_train(str(put_cifar(tmp_path / "pictures"))))
    assert loaded.classes[1] == "Automobile"
    assert loaded.images.shape == (10, 32, 32, 3)


def test_a_folder_of_letters(tmp_path: Path) -> None:
    folder = put_mnist(tmp_path / "letters")
    idx.write_labels(folder / "t10k-labels-idx1-ubyte", np.array([25, 0, 3], np.uint8))
    assert arrays(load_test(folder)).classes == tuple(map(str, range(26)))


def test_folder_of_pictures(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (5, 5)).save(tmp_path / name / "picture.png")
    for load in (load_test, load_train):
        loaded = load(tmp_path)
        assert isinstance(loaded, PictureFolder)
        assert loaded.classes == ("cat", "dog")


def test_folder_of_pictures_with_splits(tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "test/dog"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (5, 5)).save(tmp_path / name / "picture.png")
    test, train = load_test(tmp_path), load_train(tmp_path)
    assert test.classes == train.classes == ("cat", "dog")
    assert list(test) == [(tmp_path / "test" / "dog" / "picture.png", 1)]
    assert len(train) == 2


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError, match=r"^cifar11: no such folder, and no data set \(mnist, fashion"
    ):
        load_test("cifar11")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: is not a folder"):
        load_test(tmp_path / "file")
    with pytest.raises(DataError, match="is not a data set: it needs test files with the names of"):
        load_test(tmp_path)


def test_folders_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    too_long = "x" * 5000
    with pytest.raises(DataError, match="x: cannot be read: File name too long"):
        sets.load_test(too_long)
    monkeypatch.setenv("BNN_DATA", too_long)
    with pytest.raises(DataError, match="idx3-ubyte: cannot be read: File name too long"):
        sets.load_test("mnist")


def test_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("BNN_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(DataError, match="set BNN_CACHE"):
        fetch.cache_folder()


def test_incomplete_sets(tmp_path: Path) -> None:
    mnist, pictures = put_mnist(tmp_path / "mnist"), put_cifar(tmp_path / "cifar10")
    (mnist / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        DataError, match="mnist: has t10k-images-idx3-ubyte, but no t10k-labels-idx1-ubyte"
    ):
        load_test("mnist", tmp_path)
    with pytest.raises(DataError, match=f"^{tmp_path}: has no train files of mnist"):
        load_train("mnist", tmp_path)
    (pictures / "data_batch_3.bin").unlink()
    with pytest.raises(
        DataError, match=r"cifar10: has data_batch_1\.bin, but no data_batch_3\.bin"
    ):
        load_train("cifar10", tmp_path)
    assert len(load_test("cifar10", tmp_path)) == 3


def test_sets_that_contradict_themselves(tmp_path: Path) -> None:
    mnist, pictures = put_mnist(tmp_path / "mnist"), put_cifar(tmp_path / "cifar10")
    idx.write_labels(mnist / "t10k-labels-idx1-ubyte", np.array([1, 2], np.uint8))
    with pytest.raises(DataError, match="mnist: 3 images, but 2 labels"):
        load_test("mnist", tmp_path)
    idx.write_labels(mnist / "t10k-labels-idx1-ubyte", np.array([1, 2, 10], np.uint8))
    with pytest.raises(DataError, match="mnist: has a label 10, but 10 classes"):
        load_test("mnist", tmp_path)
    with (pictures / "test_batch.bin").open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match=r"test_batch\.bin: .* has only 4$"):
        load_test("cifar10", tmp_path)


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    files = sorted(put_cifar(tmp_path / "files").iterdir())
    put_archive(path, *files)
    whole = path.read_bytes()
    path.write_bytes(whole[:9000])
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: "):
        load_train("cifar10", tmp_path)
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: is not a tar archive"):
        load_train("cifar10", tmp_path)
    put_archive(path, *files[:4], files[5])
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: has no data_batch_5\.bin"):
        load_train("cifar10", tmp_path)


def test_archive_entries_that_are_no_files(tmp_path: Path) -> None:
    link = tarfile.TarInfo("test_batch.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    folder = tarfile.TarInfo("test_batch.bin")
    folder.type = tarfile.DIRTYPE
    sparse = tarfile.TarInfo("test_batch.bin")  # 2 TB of zeros, none of them in the file
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    sparse.pax_headers |= {"GNU.sparse.name": "test_batch.bin", "GNU.sparse.realsize": str(1 << 41)}
    sparse.size = 512
    for entry in (link, folder, sparse):
        put_archive(tmp_path / "cifar-10-binary.tar.gz", entry)
        with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: "):
            load_test("cifar10", tmp_path)


def test_without_pooch_the_message_says_what_to_do() -> None:
    with pytest.raises(DataError) as caught:
        load_train("mnist")
    assert str(caught.value) == (
        "mnist: not found; put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz into "
        f"<root>/mnist with <root> in BNN_DATA, or let it be fetched: {install.command('data')}"
    )


class Home:
    """A server of the files in ``folder``, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        asked: list[str] = []
        self.asked = asked

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """MNIST's test files on a server, known by their checksums, and pooch back again."""
    folder = put_mnist(tmp_path / "home", ".gz")
    monkeypatch.delitem(sys.modules, "pooch")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    pytest.importorskip("pooch")
    home = Home(folder)
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    homes = (f"{home.address}no-such-folder/", home.address)
    here = replace(known.MNIST, homes=homes, files={"test": files})
    monkeypatch.setattr(sets, "KNOWN", {"mnist": here})
    thread = threading.Thread(target=home.server.serve_forever, daemon=True)
    thread.start()
    yield home
    home.server.shutdown()
    thread.join()
    home.server.server_close()


def test_fetched_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_array_equal(arrays(load_test("mnist")).images[..., 0], grey(3))
    assert len(home.asked) == 4  # two files, each missing from the first home
    monkeypatch.setitem(sys.modules, "pooch", None)  # needed no more
    assert len(load_test("mnist")) == 3
    assert len(home.asked) == 4


@pytest.mark.usefixtures("home")
def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    idx.write_images(tmp_path / "home" / "t10k-images-idx3-ubyte.gz", grey(3, 9))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz cannot be fetched .*hash"):
        load_test("mnist")
    assert not (fetch.cache_folder() / "mnist" / "t10k-images-idx3-ubyte.gz").exists()


def test_no_network(home: Home) -> None:
    home.server.shutdown()
    home.server.server_close()
    with pytest.raises(DataError, match=r"mnist: t10k-.* cannot be fetched .*; put t10k-"):
        load_test("mnist")


def test_real_mnist_under_a_root(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (data_dir / "mnist").is_dir():
        pytest.skip("MNIST is not under BNN_DATA")
    monkeypatch.setenv("BNN_DATA", str(data_dir))
    loaded = arrays(load_train("mnist"))
    assert loaded.images.shape == (60_000, 28, 28, 1)
    assert np.bincount(loaded.labels).tolist() == [
        *(5923, 6742, 5958, 6131, 5842),
        *(5421, 5918, 6265, 5851, 5949),
    ]


@pytest.mark.parametrize("what", ["images-idx3", "labels-idx1"])
@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_a_file_that_is_there_twice(tmp_path: Path, what: str, suffix: str) -> None:
    folder = put_mnist(put_mnist(tmp_path / "mnist"), suffix)
    assert len(load_test("mnist", tmp_path)) == 3, "equal contents, plain and packed, are one file"
    name = f"t10k-{what}-ubyte"
    other = (
        partial(idx.write_images, images=grey(3, 9))
        if what.startswith("images")
        else partial(idx.write_labels, labels=np.array([1, 2, 3], np.uint8))
    )
    other(folder / f"{name}{suffix}")
    with pytest.raises(DataError, match=f"{name} and {name}{suffix} have different contents"):
        load_test(folder)


def test_records_that_are_there_twice(tmp_path: Path) -> None:
    folder = put_cifar(put_cifar(tmp_path / "cifar10") / "cifar-10-batches-bin").parent
    assert len(load_train("cifar10", tmp_path)) == len(load_train(folder)) == 10
    below = folder / "cifar-10-batches-bin"
    cifar.write_records(below / "data_batch_2.bin", colour(2, 77), [2, 0])
    assert len(load_test(folder)) == 3, "only the training part is there in two ways"
    with pytest.raises(DataError, match=r"both have data_batch_1\.bin, with different contents"):
        load_train(folder)
    cifar.write_records(folder / "test_batch.bin.gz", colour(3, 5), [7, 0, 9])
    with pytest.raises(DataError, match=r"test_batch\.bin and test_batch\.bin\.gz have different"):
        load_test(folder)


def test_images_of_one_part_and_labels_of_another(tmp_path: Path) -> None:
    folder = put_mnist(tmp_path / "some")
    (folder / "t10k-labels-idx1-ubyte").rename(folder / "train-labels-idx1-ubyte")
    with pytest.raises(DataError, match="has train-labels-idx1-ubyte, but no train-images-idx3"):
        load_train(folder)
    with pytest.raises(DataError, match="has t10k-images-idx3-ubyte, but no t10k-labels-idx1"):
        load_test(folder)

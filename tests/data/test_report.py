# SPDX-License-Identifier: BSD-3-Clause
"""What a look at a data set finds: each kind is planted, and nothing else may be found."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from bnn.data.duplicates import repeated
from bnn.data.folder import open_folder
from bnn.data.look import Looks, Notebook, Reader, look_at_arrays
from bnn.data.pictures.pillow import Resampling
from bnn.data.pictures.preprocess import Stretch, Thumbnail
from bnn.data.report import DataReport, Finding, _counted, make_report
from bnn.data.sets import DataSet
from bnn.errors import InputError, UnreadableError

SHAPE = (32, 32, 3)


def scene(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A smooth picture like no other."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return coarse.resize(size, Resampling.BICUBIC)


def put(path: Path, image: Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of twelve scenes each; nothing is wrong with them."""
    for seed in range(24):
        put(tmp_path / "ab"[seed % 2] / f"{seed:02}.png", scene(seed))
    return tmp_path


def look(*roots: Path, shape: tuple[int, int, int] = SHAPE) -> DataReport:
    looks = {}
    folders = [open_folder(root) for root in roots]
    for part, found in zip(("training", "test"), folders, strict=False):
        reader, notebook = Reader(Thumbnail(), shape, len(found)), Notebook()
        for batch, labels in reader.batches(found, notebook, 5):
            assert len(batch) == len(labels) <= 5
        looks[part] = notebook.looks()
        reader.check(found.name)
    origins = dict.fromkeys(looks, "from here")
    kind, rule = "pictures in folders", "by thumbnail"
    return make_report("set", kind, folders[0].classes, looks, origins, rule, shape)


def kinds(report: DataReport) -> dict[str, int]:
    return {one.kind: one.count for one in report.findings}


def test_nothing_wrong(folder: Path) -> None:
    report = look(folder)
    assert report.findings == ()
    assert report.counts == {"training": (12, 12)}
    assert report.sizes == {(64, 48): 24}
    assert report.modes == {"RGB": 24}
    assert report.lines()[-1] == "Nothing looks wrong."
    heads = [line.split()[0] for line in report.lines()[1:-1]]
    assert heads == ["classes", "pictures", "sizes", "modes", "prepared", "training"]
    told = report.with_arithmetic("32-true").lines()
    assert told[-2].split() == ["arithmetic", "32-true"]
    assert told[:-2] == report.lines()[:-1]


def png_16(path: Path, colour: int) -> None:
    """A PNG file of 16 bits per channel, which Pillow cannot write: grey (0) or RGB (2)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    values = np.random.default_rng(1).integers(0, 1 << 16, (40, 40, 3 if colour else 1))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", 40, 40, 16, colour, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize(("name", "size"), [("x.png", (90, 30)), ("x.jpg", (20, 70))])
def test_blank_pictures(folder: Path, level: int, name: str, size: tuple[int, int]) -> None:
    """Also where white margins are put beside them."""
    put(folder / "a" / name, Image.new("RGB", size, (level, level // 2, level)))
    report = look(folder)
    assert kinds(report) == {"blank": 1}
    assert report.findings[0].examples == (f"a/{name}",)


def test_a_thing_on_white_is_not_blank(folder: Path) -> None:
    sheet = Image.new("L", (64, 64), 255)
    sheet.paste(0, (30, 10, 34, 50))
    put(folder / "a" / "line.png", sheet)
    assert kinds(look(folder)) == {}


def test_depth_alpha_frames_and_small_ones(folder: Path) -> None:
    png_16(folder / "a" / "rgb16.png", 2)
    put(folder / "a" / "alpha.png", scene(100).convert("RGBA"))
    put(folder / "a" / "la.png", scene(101).convert("LA"))
    palette = scene(102).convert("P")
    put(folder / "a" / "palette.png", palette, transparency=0)
    frames = [scene(seed) for seed in (103, 104)]
    put(folder / "b" / "moves.gif", frames[0], save_all=True, append_images=frames[1:])
    put(folder / "b" / "tiny.png", scene(105, (16, 16)))
    put(folder / "b" / "enough.png", scene(106, (17, 16)))
    found = kinds(look(folder))
    assert found == {"depth": 1, "alpha": 3, "frames": 1, "small": 1}


def test_modes_and_sizes_are_counted(folder: Path) -> None:
    put(folder / "a" / "grey.png", scene(200, (80, 20)).convert("L"))
    report = look(folder)
    assert report.modes == {"RGB": 24, "L": 1}
    text = "\n".join(report.lines())
    assert "RGB (24), L (1)" in text
    assert "80x20 to 64x48; most often 64x48 (24), 80x20 (1)" in text
    assert report.as_json()["sizes"]["different"] == 2


def test_the_same_picture_in_a_class_in_two_and_in_two_parts(folder: Path, tmp_path: Path) -> None:
    test = tmp_path.parent / f"{tmp_path.name}-test"
    for seed in range(300, 324):
        put(test / "ab"[seed % 2] / f"{seed}.png", scene(seed))
    put(folder / "a" / "again.bmp", scene(0))  # another file of the same pixels
    put(folder / "b" / "wrong.png", scene(2))
    put(test / "a" / "leaks.png", scene(4))
    put(test / "b" / "leaks and wrong.png", scene(6))
    report = look(folder, test)
    assert kinds(report) == {"two labels": 2, "leak": 2, "duplicates": 1}
    texts = {one.kind: one for one in report.findings}
    assert texts["duplicates"].examples == ("a/again.bmp (training) = a/00.png (training)",)
    assert texts["leak"].text == "2 pictures of the test part equal to one of the training part"
    assert "a/leaks.png (test) = a/04.png (training)" in texts["leak"].examples


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((128, 96), Resampling.LANCZOS),
        lambda image: image.point(lambda level: min(255, level + 6)),
        lambda image: image.filter(ImageFilter.GaussianBlur(0.7)),
    ],
)
def test_nearly_the_same_picture(folder: Path, change: Any) -> None:
    put(folder / "a" / "near.png", change(scene(0)))
    put(folder / "b" / "near.jpg", scene(3), quality=70)
    put(folder / "b" / "wrong.jpg", scene(8), quality=90)
    assert kinds(look(folder)) == {"near duplicates": 2, "near two labels": 1}


def test_classes_that_are_all_one(tmp_path: Path) -> None:
    for number in range(12):
        put(tmp_path / "a" / f"{number}.png", scene(1))
        put(tmp_path / "b" / f"{number}.png", scene(number))
    report = look(tmp_path)
    assert kinds(report)["identical class"] == 1
    assert str(report.findings[0]).endswith("equal once prepared: a (12)")


def test_classes_that_are_few_or_rare(folder: Path) -> None:
    for seed in range(500, 509):
        put(folder / "c" / f"{seed}.png", scene(seed))
    for seed in range(600, 680):
        put(folder / "b" / f"{seed}.png", scene(seed))
    report = look(folder)
    assert kinds(report) == {"few": 1, "unbalanced": 1}
    assert [str(one) for one in report.findings] == [
        "classes with fewer than 10 pictures in the training part: c (9)",
        "b has 10 times as many pictures as c (9)",
    ]


def test_all_unreadable_files_are_named_at_once(folder: Path) -> None:
    names = [f"broken{i}.png" for i in range(7)]
    for name in names:
        (folder / "a" / name).write_bytes(b"no picture")
    cut = folder / "b" / "cut.png"
    cut.write_bytes((folder / "b" / "01.png").read_bytes()[:200])
    with pytest.raises(UnreadableError, match="8 files cannot be read") as caught:
        look(folder)
    assert len(caught.value.lines) == 8
    for name in [*names, "cut.png"]:
        assert sum(f"/{name}: " in line for line in caught.value.lines) == 1
    assert "\n" not in str(caught.value)
    assert "--skip-broken skips them" in str(caught.value)


def test_a_reader_that_can_fill_nothing() -> None:
    with pytest.raises(InputError, match="cannot fill an input"):
        Reader(Stretch(), (4, 4, 2), 1)


@pytest.mark.parametrize("width", [40, 80, 100])
def test_lines_are_short(folder: Path, width: int) -> None:
    put(folder / "b" / f"{'long ' * 20}name.png", scene(0))
    lines = look(folder).lines(width)
    assert all(len(line) <= width for line in lines), lines


def test_names_move_no_cursor(folder: Path) -> None:
    put(folder / "b" / "a\n\x1b[2J.png", scene(0))
    text = "".join(look(folder).lines())
    assert "\x1b" not in text
    assert "\\n\\x1b[2J.png" in text


@pytest.mark.parametrize(
    ("count", "examples", "text"),
    [
        (5, ("a", "b", "c"), "wrong: a, b, c and 2 more"),
        (3, ("a", "b", "c"), "wrong: a, b, c"),
        (1, ("a",), "wrong: a"),
        (4, (), "wrong"),
    ],
)
def test_a_finding_names_some_and_counts_the_rest(
    count: int, examples: tuple[str, ...], text: str
) -> None:
    assert str(Finding("few", count, "wrong", examples)) == text


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((10, 10, 10), "30; each class has 10"),
        ((10, 0, 10), "20; each of 2 classes has 10"),
        ((10, 12, 11), "33; each class has 10 (a) to 12 (b)"),
        ((0, 12, 11), "23; each of 2 classes has 11 (c) to 12 (b)"),
        ((0, 0, 0), "0"),
    ],
)
def test_how_many_pictures_the_classes_have(counts: tuple[int, ...], text: str) -> None:
    assert _counted("abc", {"training": counts}) == text
    halves = {"training": tuple(n // 2 for n in counts), "test": tuple(-(-n // 2) for n in counts)}
    assert _counted("abc", halves) == text


def test_the_report_is_json(folder: Path) -> None:
    put(folder / "b" / "again.png", scene(0))
    (found,) = look(folder).as_json()["findings"]
    assert json.loads(json.dumps(found)) == {
        "kind": "two labels",
        "count": 1,
        "text": "1 picture equal to one of another class",
        "examples": ["b/again.png = a/00.png"],
    }


# --- arrays --------------------------------------------------------------------------


def arrays(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> DataSet:
    return DataSet("set", images, labels, tuple(map(str, range(10))), named=False)


def random_arrays(count: int, seed: int, side: int = 12) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 1), np.uint8)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 40), st.integers(0, 20))
def test_planted_copies_are_counted_exactly(seed: int, count: int, planted: int) -> None:
    rng = np.random.default_rng(seed)
    images = random_arrays(count, seed)
    labels = rng.integers(0, 3, count)
    copies = rng.integers(0, count, planted)
    looks: dict[str, Looks] = {
        "training": look_at_arrays(arrays(images, labels)),
        "test": look_at_arrays(arrays(images[copies], labels[copies])),
    }
    found = {(one.where, one.nearly): one.count for one in repeated(looks)}
    expected = {("parts", False): planted, ("class", False): planted - len(set(copies.tolist()))}
    assert found == {key: value for key, value in expected.items() if value}


def test_many_equal_pictures_take_no_time() -> None:
    """50 000 of one picture would be 10^9 pairs."""
    images = np.repeat(random_arrays(1, 1), 50_000, axis=0)
    looks = {"training": look_at_arrays(arrays(images, np.arange(50_000) % 10))}
    (two, same) = repeated(looks)
    assert (two.where, two.count) == ("classes", 49_999)
    assert (same.where, same.count) == ("class", 49_990)


def test_tiny_inputs_have_no_nearly_equal_pictures() -> None:
    images = np.random.default_rng(1).integers(0, 2, (500, 2, 2, 1), np.uint8) * np.uint8(255)
    looks = {"training": look_at_arrays(arrays(images, np.zeros(500, np.int64)))}
    assert [one.nearly for one in repeated(looks)] == [False]


def test_blank_arrays() -> None:
    images = random_arrays(20, 3)
    images[4] = 7
    images[5] = 7
    images[5, 0, 0] = 15  # within 8 levels
    images[6] = 7
    images[6, 0, 0] = 16
    looks = {"all": look_at_arrays(arrays(images, np.zeros(20, np.int64)))}
    report = make_report("set", "arrays", ["0"], looks, {"all": ""}, "as is", (12, 12, 1))
    assert kinds(report) == {"blank": 2}
    assert report.findings[0].examples == ("[4]", "[5]")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((10, 99), set()),
        ((10, 100), {"unbalanced"}),
        ((9, 89), {"few"}),
        ((9, 90), {"few", "unbalanced"}),
        ((1, 9), {"few"}),
        ((0, 50), {"missing"}),
        ((0, 9), {"missing", "few"}),
    ],
)
def test_from_how_many_on_classes_are_uneven(counts: tuple[int, int], expected: set[str]) -> None:
    labels = np.repeat([0, 1], counts)
    looks = {"all": look_at_arrays(arrays(random_arrays(sum(counts), 5), labels))}
    report = make_report("set", "arrays", ["a", "b"], looks, {"all": ""}, "as is", (12, 12, 1))
    assert set(kinds(report)) == expected
    assert report.counts == {"all": counts}


@pytest.mark.parametrize(("count", "told"), [(999, True), (1000, True), (1001, False)])
@pytest.mark.parametrize("nearly", [True, False])
def test_one_in_a_thousand_may_look_alike(count: int, told: bool, nearly: bool) -> None:
    """Digits do now and then. One that is equal is always told."""
    images = random_arrays(count, 6)
    images[-1] = np.minimum(images[0], 254) + 1 if nearly else images[0]
    looks = {"all": look_at_arrays(arrays(images, np.zeros(count, np.int64)))}
    report = make_report("set", "arrays", ["a"], looks, {"all": ""}, "as is", (12, 12, 1))
    expected = {"near duplicates" if nearly else "duplicates": 1} if told or not nearly else {}
    assert kinds(report) == expected


def test_the_identity_tells_sets_apart() -> None:
    images, labels = random_arrays(20, 3), np.arange(20) % 10

    def identity(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
        looks = {"training": look_at_arrays(arrays(images, labels))}
        classes = tuple("0123456789")
        return make_report(
            "set", "arrays", classes, looks, {"training": ""}, "as is", (12, 12, 1)
        ).identity

    changed = images.copy()
    changed[3, 0, 0] ^= 1
    found = {
        identity(images, labels),
        identity(changed, labels),
        identity(images, labels[::-1].copy()),
        identity(images[:-1], labels[:-1]),
    }
    assert len(found) == 4
    assert identity(images.copy(), labels.copy()) in found

# SPDX-License-Identifier: BSD-3-Clause
"""``bnn watch``: frames of folders, animations and, by a stand-in for OpenCV, cameras."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import bnn
from bnn.commands import frames
from bnn.commands.frames import frames_of, middle_square
from bnn.commands.main import app
from bnn.errors import BnnError, DataError, InputError

SAMPLES = Path(bnn.__file__).parent / "samples" / "cifar10"


def _watched(*arguments: str, status: int = 0) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["watch", *arguments, "--json"])
    assert result.exit_code == status, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_folder() -> None:
    found = _watched("cnv-w1a1", str(SAMPLES))
    names = sorted(path.name for path in SAMPLES.iterdir())
    assert [one["source"] for one in found] == names
    clf = bnn.Classifier("cnv-w1a1")
    classes = clf.classify([SAMPLES / name for name in names])
    assert [one["class_name"] for one in found] == [clf.classes[one] for one in classes]
    assert [one["frame"] for one in found] == list(range(10))
    assert found[0]["rate"] is None
    assert all(one["rate"] > 0 for one in found[1:])
    assert len(_watched("cnv-w1a1", str(SAMPLES), "--frames", "3")) == 3
    rejected = _watched("cnv-w1a1", str(SAMPLES), "--reject", "1")
    assert {one["class_name"] for one in rejected} == {"unknown"}


def test_an_animation(tmp_path: Path) -> None:
    images = [Image.open(SAMPLES / f"{name}.png").convert("RGB") for name in ("Cat", "Ship")]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:])
    found = list(frames_of(str(tmp_path / "a.png")))
    assert [name for name, _ in found] == ["a.png[0]", "a.png[1]"]
    assert all(
        np.array_equal(frame, np.asarray(image))
        for (_, frame), image in zip(found, images, strict=True)
    )
    watched = _watched("cnv-w1a1", str(tmp_path / "a.png"))
    assert [one["class_name"] for one in watched] == ["Cat", "Ship"]


def test_a_picture_without_a_digit_is_an_answer(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "white").save(tmp_path / "a.png")
    (found,) = _watched("lfc-w1a1", str(tmp_path), status=1)
    assert found["class_name"] is None
    assert found["error"].startswith("no stroke found")
    assert "probability" not in found
    # A frame of an animation or of a camera is not a file that cannot be read.
    Image.new("RGB", (40, 40), "white").save(tmp_path / "b.gif")
    (found,) = _watched("lfc-w1a1", str(tmp_path / "b.gif"))
    assert found["error"].endswith("paper on all sides of it")


def test_broken_files_are_lines_and_status_1(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "Cat.png", tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    (tmp_path / "c.heic").write_bytes(b"x")
    found = _watched("cnv-w1a1", str(tmp_path), status=1)
    assert [one["class_name"] for one in found] == ["Cat", None, None]
    assert [one["source"] for one in found] == ["a.png", "b.png", "c.heic"]
    assert "error" not in found[0]
    assert "picture" in found[1]["error"]
    assert "c.heic" in found[2]["error"]
    result = CliRunner().invoke(app, ["watch", "cnv-w1a1", str(tmp_path)])
    assert result.exit_code == 1
    assert "b.png: (" in result.stdout
    with pytest.raises(DataError, match="folder without pictures"):
        list(frames_of(str(_made(tmp_path / "empty"))))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_each_frame_has_a_line_in_a_pipe() -> None:
    result = CliRunner().invoke(app, ["watch", "cnv-w1a1", str(SAMPLES)])
    assert len(result.stdout.splitlines()) == 10


def test_a_camera_has_a_line_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", _CV2)
    result = CliRunner().invoke(app, ["watch", "cnv-w1a1", "0"])
    assert len(result.stdout.splitlines()) == 2  # the first frame, and the last one at the end


def test_a_cut_animation_names_the_frame(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    frames = [Image.fromarray(random.integers(0, 256, (64, 64), np.uint8)) for _ in range(3)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3 - 200])
    frames_there = frames_of(str(path))
    assert next(frames_there)[0] == "a.gif[0]"
    with pytest.raises(DataError, match=r"a\.gif: frame 1: "):
        next(frames_there)


def test_lines_for_people() -> None:
    result = CliRunner().invoke(app, ["watch", "cnv-w1a1", str(SAMPLES)])
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Airplane.png: ")
    assert "%" in lines[0]
    assert lines[-1].startswith("Truck.png: ")
    assert lines[-1].endswith(" frames/s")


class _Camera:
    """Stands in for cv2.VideoCapture: three frames, blue first."""

    released = 0

    def __init__(self, source: Any) -> None:
        self.left = 3 if source == 0 else 0
        self.source = source

    def get(self, what: int) -> float:
        return _CV2.stated if what == _CV2.CAP_PROP_FRAME_COUNT else -1

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return bool(self.source != 7)

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        frame = np.zeros((4, 8, 3), np.uint8)
        frame[:, 2:6] = (255, 128, 1)
        return (True, frame) if self.left >= 0 else (False, None)

    def release(self) -> None:
        _Camera.released += 1


#: What stands in for OpenCV; ``stated``: frames that each video's header has.
_CV2 = SimpleNamespace(VideoCapture=_Camera, CAP_PROP_FRAME_COUNT=7, stated=0.0)


def test_a_camera_is_turned_to_rgb_and_cut_to_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", _CV2)
    before = _Camera.released
    found = list(frames_of("0"))
    assert [name for name, _ in found] == ["camera 0"] * 3
    assert isinstance(found[0][1], np.ndarray)
    assert found[0][1].tolist() == [[[1, 128, 255]] * 4] * 4
    assert _Camera.released == before + 1
    with pytest.raises(DataError, match="camera 1: gives no frame; another program may"):
        list(frames_of("1"))


def test_why_a_camera_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cv2", _CV2)
    monkeypatch.setattr(frames, "_DEVICES", tmp_path)
    with pytest.raises(DataError, match="camera 7: no such camera; this machine has none"):
        list(frames_of("7"))
    (tmp_path / "video0").touch()
    with pytest.raises(DataError, match="camera 7: no such camera; there are 0"):
        list(frames_of("7"))
    (tmp_path / "video7").touch()
    with pytest.raises(DataError, match=r"camera 7: .*video7 cannot be opened; another program"):
        list(frames_of("7"))
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(DataError, match=r"camera 7: .*video7 may not be read by this user"):
        list(frames_of("7"))


def test_without_opencv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(BnnError, match="need OpenCV"):
        list(frames_of("0"))
    video = tmp_path / "a.mp4"
    video.write_bytes(b"x")
    with pytest.raises(BnnError, match="need OpenCV"):
        list(frames_of(str(video)))


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a camera's number nor a file"):
        list(frames_of(str(tmp_path / "none")))
    with pytest.raises(DataError, match="without pictures"):
        list(frames_of(str(tmp_path)))


@pytest.mark.parametrize("shape", [(4, 8, 3), (9, 4, 3), (5, 5), (1, 3, 3)])
def test_the_square_in_the_middle(shape: tuple[int, ...]) -> None:
    frame = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    square = middle_square(frame)
    assert square.shape[:2] == (min(shape[:2]),) * 2
    assert abs((shape[0] - square.shape[0]) // 2 * 2 - (shape[0] - square.shape[0])) <= 1
    assert (
        square.flat[0]
        == frame[(shape[0] - square.shape[0]) // 2, (shape[1] - square.shape[1]) // 2].flat[0]
    )


@pytest.mark.parametrize(
    ("stated", "said"), [(0, False), (-9.2e18, False), (3, False), (4, False), (5, True)]
)
def test_a_video_that_ends_early_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stated: float, said: bool
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", _CV2)
    monkeypatch.setattr(_CV2, "stated", stated)
    assert len(list(frames_of("0"))) == 3
    told = capsys.readouterr().err
    assert ("camera 0: 3 frames could be read, its header states 5" in told) == said


def test_pictures_are_named_with_their_folders(tmp_path: Path) -> None:
    for folder in ("left", "right"):
        shutil.copy(SAMPLES / "Cat.png", _made(tmp_path / folder) / "a.png")
    (tmp_path / "right" / "b.heic").write_bytes(b"x")
    names = [name for name, _ in frames_of(str(tmp_path))]
    assert names == ["left/a.png", "right/a.png", "right/b.heic"]


def test_a_port_without_a_page_is_refused() -> None:
    result = CliRunner().invoke(app, ["watch", "cnv-w1a1", "0", "--port", "8000"])
    assert isinstance(result.exception, InputError)
    assert "--port is for --page" in str(result.exception)

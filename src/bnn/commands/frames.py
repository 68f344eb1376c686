# SPDX-License-Identifier: BSD-3-Clause
"""Frames of a camera, a video, an animation or a folder, one after another.

OpenCV is imported only for cameras and videos; it is an optional dependency (extra ``camera``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import BnnError, DataError
from bnn.system import install
from bnn.system.terminal import notice

#: A frame's name, and the frame: RGB uint8 (height, width, 3), the path of a picture, or why
#: there is none.
Frame = tuple[str, NDArray[np.uint8] | Path | DataError]
#: Where Linux has its cameras.
_DEVICES = Path("/dev")
#: Share of the frames that a video's header states below which the video is called cut off.
_WHOLE = 0.95
#: Endings of animations, which Pillow reads.
ANIMATIONS = (".gif", ".webp", ".png", ".apng")


def is_camera(source: str) -> bool:
    """Return whether ``source`` is the number of a camera.

    The frames of a camera have no end; a frame that is not taken at once is lost.
    """
    return source.isdecimal() and not Path(source).exists()


def frames_of(source: str) -> Iterator[Frame]:
    """Yield the frames of ``source``: a camera's number, a folder, an animation or a video.

    Raises:
        DataError: the source does not exist, or cannot be read.
        BnnError: the source is a camera or a video, and OpenCV is missing.
    """
    path = Path(source)
    if path.is_dir():
        return _of_folder(path)
    if path.suffix.lower() in ANIMATIONS and path.exists():
        return _of_animation(path)
    if is_camera(source):
        return _of_video(int(source), f"camera {source}")
    if not path.is_file():
        raise DataError(f"{source}: is neither a camera's number nor a file nor a folder")
    return _of_video(source, path.name)


def _of_folder(folder: Path) -> Iterator[Frame]:
    from bnn.data.walk import walk

    found = walk(folder)
    if not found.pictures and not found.unreadable:
        raise DataError(f"{folder}: is a folder without pictures")
    for path in found.pictures:
        yield path.relative_to(folder).as_posix(), path
    for one in found.unreadable:
        yield one.path.relative_to(folder).as_posix(), DataError(str(one))


def _of_animation(path: Path) -> Iterator[Frame]:
    from PIL import ImageSequence

    from bnn.data.pictures.rules import decoding, open_picture
    from bnn.data.pictures.seen import seen

    with open_picture(path) as image:
        frames = ImageSequence.Iterator(image)
        number = 0
        while True:
            with decoding(f"{path}: frame {number}"):
                try:
                    pixels = np.asarray(seen(next(frames).convert("RGB")).image)
                except StopIteration:
                    return
            yield f"{path.name}[{number}]", pixels
            number += 1


def _of_video(source: int | str, name: str) -> Iterator[Frame]:
    cv2 = _opencv()
    capture = cv2.VideoCapture(source)
    try:
        if not capture.isOpened():
            what = _why_closed(source) if isinstance(source, int) else "is not a video that opens"
            raise DataError(f"{name}: {what}")
        there, frame = capture.read()
        if not there:
            hint = "; another program may be using it" if isinstance(source, int) else ""
            raise DataError(f"{name}: gives no frame{hint}")
        count = 0
        while there:
            # OpenCV has blue first.
            yield name, np.ascontiguousarray(middle_square(frame)[..., ::-1])
            count += 1
            there, frame = capture.read()
        _say_if_cut(name, count, capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()


def _say_if_cut(name: str, count: int, stated: float) -> None:
    """Print a notice if a video gave clearly fewer frames than its header states.

    A camera states none (0, or a negative number). Some headers hold an estimate from duration
    and rate, so a few frames do not count.
    """
    if stated * _WHOLE > count + 1:
        notice(
            f"{name}: {count} frames could be read, its header states {stated:.0f}; the file may "
            "be cut off or damaged"
        )


def _why_closed(number: int) -> str:
    """Return the most likely reason why a camera cannot be opened, judged by its device file."""
    cameras = sorted(_DEVICES.glob("video*"))
    numbers = [each.name.removeprefix("video") for each in cameras]
    device = _DEVICES / f"video{number}"
    if not device.exists():
        there = f"there are {', '.join(numbers)}" if numbers else "this machine has none"
        return f"no such camera; {there}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} may not be read by this user; add the user to the group video"
    return f"{device} cannot be opened; another program may be using it, or it is not a camera"


def _opencv() -> Any:
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # its warnings say less than our errors
    try:
        import cv2
    except ImportError:
        raise BnnError(
            f"cameras and videos need OpenCV: {install.command('camera')}; folders and animated "
            "GIFs do not"
        ) from None
    return cv2


def middle_square(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the largest square in the middle of a frame (height, width[, channels])."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frame[top : top + side, left : left + side]

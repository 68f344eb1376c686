# SPDX-License-Identifier: BSD-3-Clause
"""Frames of a camera, a video, an animation or a folder, one after another.

OpenCV is imported for cameras and videos alone; it is an optional part (``camera``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import BnnError, DataError
from bnn.system import install

#: A frame's name, and the frame: RGB uint8 (height, width, 3), or the path of a picture.
Frame = tuple[str, NDArray[np.uint8] | Path]
#: Endings of animations, which Pillow reads.
ANIMATIONS = (".gif", ".webp", ".png", ".apng")


def frames_of(source: str) -> Iterator[Frame]:
    """Yield the frames of ``source``: a camera's number, a folder, an animation or a video.

    Raises:
        DataError: the source does not exist, or cannot be read.
        BnnError: a camera or a video, and OpenCV is missing.
    """
    path = Path(source)
    if path.is_dir():
        return _of_folder(path)
    if path.suffix.lower() in ANIMATIONS and path.exists():
        return _of_animation(path)
    if source.isdecimal() and not path.exists():
        return _of_video(int(source), f"camera {source}")
    if not path.is_file():
        raise DataError(f"{source}: is neither a camera's number nor a file nor a folder")
    return _of_video(source, path.name)


def _of_folder(folder: Path) -> Iterator[Frame]:
    from bnn.data.walk import walk

    found = walk(folder)
    if not found.pictures:
        raise DataError(f"{folder}: is a folder without pictures")
    for path in found.pictures:
        yield path.name, path


def _of_animation(path: Path) -> Iterator[Frame]:
    from PIL import ImageSequence

    from bnn.data.pictures.rules import decoding, open_picture
    from bnn.data.pictures.seen import seen

    with open_picture(path) as image, decoding(str(path)):
        for number, frame in enumerate(ImageSequence.Iterator(image)):
            yield f"{path.name}[{number}]", np.asarray(seen(frame.convert("RGB")).image)


def _of_video(source: int | str, name: str) -> Iterator[Frame]:
    cv2 = _opencv()
    capture = cv2.VideoCapture(source)
    try:
        if not capture.isOpened():
            what = "no such camera" if isinstance(source, int) else "is not a video that opens"
            raise DataError(f"{name}: {what}")
        there, frame = capture.read()
        if not there:
            raise DataError(f"{name}: gives no frame")
        while there:
            # OpenCV has blue first.
            yield name, np.ascontiguousarray(middle_square(frame)[..., ::-1])
            there, frame = capture.read()
    finally:
        capture.release()


def _opencv() -> Any:
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

# SPDX-License-Identifier: BSD-3-Clause
"""A camera made of pictures: a y4m file, which Chromium plays in place of a camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bnn.data.pictures.pillow import Resampling


def write_y4m(
    path: Path, pictures: Sequence[Image.Image], rate: int = 30, repeats: int = 30
) -> None:
    """Write each picture ``repeats`` times, 640 x 480 pixels, ``rate`` frames a second."""
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W640 H480 F{rate}:1 Ip A1:1 C420jpeg\n".encode())
        for picture in pictures:
            frame = b"FRAME\n" + _planes(picture)
            file.write(frame * repeats)


def _planes(picture: Image.Image) -> bytes:
    """Luma at full size, both chromas at half size, of the picture in a square on white."""
    sheet = Image.new("RGB", (640, 480), "white")
    sheet.paste(picture.convert("RGB").resize((480, 480), Resampling.NEAREST), (80, 0))
    values = np.asarray(sheet.convert("YCbCr"))
    halves = values.reshape(240, 2, 320, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    return values[..., 0].tobytes() + halves[..., 1].tobytes() + halves[..., 2].tobytes()

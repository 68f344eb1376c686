# SPDX-License-Identifier: BSD-3-Clause
"""Colours of 16 bits that would be nearly black are refused.

Black too: Pillow keeps the upper 8 bits, and of bytes that were put into 16 bits nothing is left.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bnn
from bnn.data.pictures.depth import MIN_RANGE, check_colours
from bnn.errors import DataError

FEWEST = math.ceil(256 * MIN_RANGE)


@pytest.mark.parametrize("band", [0, 1, 2])
@pytest.mark.parametrize(
    ("most", "taken"), [(0, False), (1, False), (FEWEST - 1, False), (FEWEST, True), (255, True)]
)
def test_the_largest_colour(most: int, taken: bool, band: int) -> None:
    colour = tuple(most if one == band else 0 for one in range(3))
    image = Image.new("RGB", (2, 2), colour)
    check_colours(image, "RGB", "x.png")  # of 8 bits: it is dark, and it was meant so
    if taken:
        check_colours(image, "RGB;16B", "x.png")
    else:
        with pytest.raises(
            DataError, match=rf"^x\.png: its largest value is below {256 * (most + 1)} of 65536"
        ):
            check_colours(image, "RGB;16B", "x.png")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opacity_is_no_colour(mode: str) -> None:
    image = Image.new(mode, (2, 2), (1,) * (len(mode) - 1) + (255,))
    with pytest.raises(DataError, match="below 512 of 65536"):
        check_colours(image, f"{mode};16B", "x.png")
    image = Image.new(mode, (2, 2), (FEWEST,) * (len(mode) - 1) + (1,))
    check_colours(image, f"{mode};16B", "x.png")


def test_grey_and_ink() -> None:
    with pytest.raises(DataError, match="below 512 of 65536"):
        check_colours(Image.new("L", (2, 2), 1), "L;16", "x.tif")
    check_colours(Image.new("CMYK", (2, 2), (1, 1, 1, 1)), "CMYK;16B", "x.tif")


def test_bytes_in_16_bits(tmp_path: Path) -> None:
    """As programs write them that convert only the type: a picture, and all of it below 256."""
    pixels = np.random.default_rng(1).integers(0, 256, (4, 5, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)
    path = tmp_path / "x.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(DataError, match="largest value is below 256 of 65536"):
        bnn.Classifier("cnv-w1a1").classify(path)

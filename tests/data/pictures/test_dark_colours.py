# SPDX-License-Identifier: BSD-3-Clause
"""Colours of 16 bits that would be nearly black are refused; black itself is a picture."""

from __future__ import annotations

import math

import pytest
from PIL import Image

from bnn.data.pictures.depth import MIN_RANGE, check_colours
from bnn.errors import DataError

FEWEST = math.ceil(256 * MIN_RANGE)


@pytest.mark.parametrize("band", [0, 1, 2])
@pytest.mark.parametrize(
    ("most", "taken"), [(0, True), (1, False), (FEWEST - 1, False), (FEWEST, True), (255, True)]
)
def test_the_largest_colour(most: int, taken: bool, band: int) -> None:
    colour = tuple(most if one == band else 0 for one in range(3))
    image = Image.new("RGB", (2, 2), colour)
    check_colours(image, "RGB", "x.png")  # of 8 bits: it is dark, and it was meant so
    if taken:
        check_colours(image, "RGB;16B", "x.png")
    else:
        with pytest.raises(
            DataError, match=rf"^x\.png: its largest value is below {most + 1} of 256"
        ):
            check_colours(image, "RGB;16B", "x.png")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opacity_is_no_colour(mode: str) -> None:
    image = Image.new(mode, (2, 2), (1,) * (len(mode) - 1) + (255,))
    with pytest.raises(DataError, match="below 2 of 256"):
        check_colours(image, f"{mode};16B", "x.png")
    image = Image.new(mode, (2, 2), (FEWEST,) * (len(mode) - 1) + (1,))
    check_colours(image, f"{mode};16B", "x.png")


def test_grey_and_ink() -> None:
    with pytest.raises(DataError, match="below 2 of 256"):
        check_colours(Image.new("L", (2, 2), 1), "L;16", "x.tif")
    check_colours(Image.new("CMYK", (2, 2), (1, 1, 1, 1)), "CMYK;16B", "x.tif")

# SPDX-License-Identifier: BSD-3-Clause
"""What differs between Pillow 9.0.1, which PYNQ 3.0's image has, and later releases.

Filters and turns have the names that Pillow 9.1 gave them. In Pillow 9.0 they are constants of the
module ``Image``, which later releases keep without declaring their types.
"""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from bnn.errors import DataError

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile
    from typing_extensions import TypeIs

try:
    from PIL.Image import Resampling, Transpose
except ImportError:  # Pillow 9.0

    class Resampling(IntEnum):  # type: ignore[no-redef]
        """Filters for `PIL.Image.Image.resize`."""

        NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING = range(6)

    class Transpose(IntEnum):  # type: ignore[no-redef]
        """Turns for `PIL.Image.Image.transpose`."""

        FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM, ROTATE_90, ROTATE_180 = range(4)
        ROTATE_270, TRANSPOSE, TRANSVERSE = range(4, 7)


#: First release that reads portable maps of any maximum as their files say. Earlier ones return
#: other levels, without an error, where the maximum is not 255.
PORTABLE_MAPS = (9, 4)


def check_format(image: Image.Image, name: str) -> None:
    """Refuse a picture of a format that the installed Pillow may read wrongly.

    Raises:
        DataError: a portable map (PBM, PGM, PPM), and Pillow is older than `PORTABLE_MAPS`.
    """
    if image.format == "PPM" and release() < PORTABLE_MAPS:
        raise DataError(
            f"{name}: Pillow {PIL.__version__} may read portable maps (PBM, PGM, PPM) wrongly; "
            "save it as PNG, or install Pillow 9.4 or later"
        )


def release() -> tuple[int, ...]:
    """Return the first two numbers of the installed Pillow's version."""
    return tuple(int(part) for part in PIL.__version__.split(".")[:2])


# Their modules are not imported for a picture of another format: it would take some milliseconds.
# Pillow makes a picture of these classes only after it has imported their modules.
def is_tiff(image: Image.Image) -> TypeIs[TiffImageFile]:
    """Return whether a picture is a TIFF file, or a copy in memory of its class."""
    module = sys.modules.get("PIL.TiffImagePlugin")
    return module is not None and isinstance(image, module.TiffImageFile)


def is_webp(image: Image.Image) -> TypeIs[WebPImageFile]:
    """Return whether a picture is a WebP file, or a copy in memory of its class."""
    module = sys.modules.get("PIL.WebPImagePlugin")
    return module is not None and isinstance(image, module.WebPImageFile)


def from_array(pixels: NDArray[np.uint8], *, bgr: bool = False) -> Image.Image:
    """Return the picture of an array uint8 (height, width) or (height, width, 1, 3 or 4).

    With ``bgr``, three or four channels are blue, green, red[, alpha]. Pillow exchanges them while
    it copies; NumPy takes ten times as long.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    pixels, bgr = with_colours_forward(pixels, bgr)
    dense = np.ascontiguousarray(pixels)
    if not bgr or dense.ndim != 3:
        return Image.fromarray(dense)
    mode, raw = ("RGB", "BGR") if dense.shape[2] == 3 else ("RGBA", "BGRA")
    return Image.frombuffer(mode, dense.shape[1::-1], dense, "raw", raw, 0, 1)


def with_colours_forward(pixels: NDArray[np.uint8], bgr: bool) -> tuple[NDArray[np.uint8], bool]:
    """Return an array like ``frame[..., ::-1]`` as ``frame``, and ``bgr`` with the other value."""
    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.strides[2] == -1:
        return pixels[..., ::-1], not bgr
    return pixels, bgr


__all__ = [
    "PORTABLE_MAPS",
    "Resampling",
    "Transpose",
    "check_format",
    "from_array",
    "is_tiff",
    "is_webp",
    "release",
    "with_colours_forward",
]

# SPDX-License-Identifier: BSD-3-Clause
"""What differs between Pillow 9.0.1, which PYNQ 3.0's image has, and later releases.

Filters and turns have the names that Pillow 9.1 gave them. In Pillow 9.0 they are constants of the
module ``Image``, which later releases keep without declaring their types.
"""

from __future__ import annotations

from enum import IntEnum

import PIL
from PIL import Image

from bnn.errors import DataError

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


__all__ = ["PORTABLE_MAPS", "Resampling", "Transpose", "check_format", "release"]

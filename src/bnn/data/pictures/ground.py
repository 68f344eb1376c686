# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of one thing on a plain ground become light on black, as those of Fashion-MNIST are.

Photographs of clothes were inverted when Fashion-MNIST was made (arXiv:1708.07747, section 2), so
its ground is black in every picture. None of its 70,000 pictures is changed here: in each a quarter
of the edge is at most `MAX_GROUND` (a thing may touch the rest), and a pixel at least `MIN_THING`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnn.data.pictures.polarity import replaced

#: Black grounds: a quarter of the pixels at the edge, at least, are at most as light as this.
MAX_GROUND = 64
#: A thing on black has a pixel that is at least as light as this.
MIN_THING = 128
#: Least difference between the thing and its ground.
MIN_APART = 16


def on_black(levels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return grey levels as a light thing on black; None if they differ too little.

    Levels that are light on black already are returned as they are. Else the median of the edge
    becomes 0. The thing is what differs from it, on the side (darker or lighter) that differs
    more; the largest difference becomes 255.

    Args:
        levels: uint8 (height, width).
    """
    edge = np.sort(
        np.concatenate([levels[0], levels[-1], levels[1:-1, 0], levels[1:-1, -1]]).astype(np.int32)
    )
    least, most = int(levels.min()), int(levels.max())
    if edge[edge.size // 4] <= MAX_GROUND and most >= MIN_THING:
        return levels
    ground = int(edge[(edge.size - 1) // 2])
    darker, lighter = ground - least, most - ground
    apart = max(darker, lighter)
    if apart < MIN_APART:
        return None
    sign = -1 if darker > lighter else 1
    away = np.maximum(sign * (levels.astype(np.int32) - ground), 0)
    return (away * 255 // apart).astype(np.uint8)


def all_on_black(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures, uint8 (N, height, width, 1), each as `on_black` makes it.

    Pictures for which it returns None are not changed.
    """
    found = ((index, levels, on_black(levels)) for index, levels in enumerate(pictures[..., 0]))
    return replaced(
        pictures,
        ((index, now) for index, levels, now in found if now is not None and now is not levels),
    )

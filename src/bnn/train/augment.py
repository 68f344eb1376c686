# SPDX-License-Identifier: BSD-3-Clause
"""Random variations of a batch of pictures, computed on the batch's own device.

Every function takes and returns pictures as uint8 (N, height, width, channels), so that the
network reads bytes in training too, as after deployment.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def shift(pictures: Tensor, reach: int = 3) -> Tensor:
    """Return each picture moved at random by up to ``reach`` pixels along each axis.

    The pixels from outside are those of the picture, reflected at its border.
    """
    count, height, width, _ = pictures.shape
    rows = _shifted(count, height, reach, pictures.device)
    columns = _shifted(count, width, reach, pictures.device)
    return _gather(pictures, rows, columns)


def flip_and_shift(pictures: Tensor, reach: int = 3) -> Tensor:
    """Return the pictures after :func:`shift`; before it, a random half of them is mirrored.

    Use this only for classes whose mirror images are valid too.
    """
    count, height, width, _ = pictures.shape
    rows = _shifted(count, height, reach, pictures.device)
    columns = _shifted(count, width, reach, pictures.device)
    mirrored = torch.rand(count, 1, device=pictures.device) < 0.5
    return _gather(pictures, rows, torch.where(mirrored, columns.flip(1), columns))


def flip_shift_and_cut(pictures: Tensor, reach: int = 4, side: int = 10) -> Tensor:
    """Return the pictures after :func:`flip_and_shift`, changed in light, with a grey square.

    Contrast is multiplied by 0.75 to 1.25, and -25 to 25 (of 255) is added to brightness. The
    square is ``side`` pixels wide, and is smaller if it crosses the border of the picture: DeVries
    and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
    """
    count, height, width, _ = pictures.shape
    device = pictures.device
    moved = flip_and_shift(pictures, reach).float()
    contrast = torch.empty(count, 1, 1, 1, device=device).uniform_(0.75, 1.25)
    brightness = torch.empty(count, 1, 1, 1, device=device).uniform_(-25, 25)
    varied = moved.sub_(128).mul_(contrast).add_(128 + brightness).clamp_(0, 255).to(torch.uint8)
    rows, columns = (_strip(count, size, side, device) for size in (height, width))
    return varied.masked_fill_((rows[:, :, None] & columns[:, None, :])[..., None], 128)


def _strip(count: int, size: int, side: int, device: torch.device) -> Tensor:
    """Return bool (count, size): in each row True at ``side`` positions around a random position.

    Positions outside the row are left out.
    """
    centre = torch.randint(0, size, (count, 1), device=device)
    first = centre - side // 2
    place = torch.arange(size, device=device)
    return (place >= first) & (place < first + side)


def _gather(pictures: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    which = torch.arange(len(pictures), device=pictures.device).view(-1, 1, 1)
    return pictures[which, rows[:, :, None], columns[:, None, :]]


def _shifted(count: int, size: int, reach: int, device: torch.device) -> Tensor:
    """Return source positions (count, size) along one axis, shifted at random.

    Positions outside the axis are reflected at its ends.
    """
    moved = torch.arange(size, device=device) + torch.randint(
        -reach, reach + 1, (count, 1), device=device
    )
    last = max(size - 1, 1)
    return (last - (last - moved.abs()).abs()).clamp_(0, size - 1)


def distort(pictures: Tensor) -> Tensor:
    """Return each picture rotated, sheared, scaled, shifted and bent a little at random.

    So different handwriting is imitated. The rotation is at most 12 degrees, the shear at most 0.2,
    the scale is 0.88 to 1.14 along each axis, and the shift is at most a fourteenth of the size.
    Bending is a smooth random displacement field of 7 x 7 knots. Pixels from outside are black.
    """
    count, _, _, channels = pictures.shape
    maps = pictures.permute(0, 3, 1, 2).float()
    height, width = maps.shape[2:]
    grid = F.affine_grid(
        _affine(count, maps.device), [count, channels, height, width], align_corners=False
    )
    bend = torch.randn(count, 2, 7, 7, device=maps.device) * 0.035
    bend = F.interpolate(bend, size=(height, width), mode="bicubic", align_corners=True)
    moved = F.grid_sample(maps, grid + bend.permute(0, 2, 3, 1), align_corners=False)
    return moved.round_().to(torch.uint8).permute(0, 2, 3, 1)


def mix(pictures: Tensor, wanted: Tensor, evenness: float) -> tuple[Tensor, Tensor]:
    """Return pictures and targets, each blended with those of another picture of the batch.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018. The share of the picture itself
    is random, and is drawn for each picture. The blended pictures are rounded to bytes.

    Args:
        pictures: uint8 (N, height, width, channels).
        wanted: the targets: probability of each class, float (N, classes).
        evenness: the shares have the distribution Beta(evenness, evenness). Near 0, one of the two
            pictures has nearly the whole share; at 1, every share is equally likely.
    """
    other = torch.randperm(len(pictures), device=pictures.device)
    # As a float32 it must not become 0: a Beta distribution has no such shape.
    even = torch.full((len(pictures), 1), max(float(evenness), 1e-30), device=pictures.device)
    share = torch.distributions.Beta(even, even).sample()
    first = share[:, :, None, None]
    blend = torch.lerp(pictures[other].float(), pictures.float(), first).round_().to(torch.uint8)
    return blend, torch.lerp(wanted[other], wanted, share)


def _affine(count: int, device: torch.device) -> Tensor:
    """Return random affine maps (count, 2, 3), for rotation, shear, scale and shift.

    A map takes coordinates of the result to coordinates of the picture; both are in [-1, 1].
    """

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(count, device=device).uniform_(low, high)

    angle, shear = uniform(-math.pi / 15, math.pi / 15), uniform(-0.2, 0.2)
    wide, high = uniform(0.88, 1.14), uniform(0.88, 1.14)
    right, down = uniform(-1 / 7, 1 / 7), uniform(-1 / 7, 1 / 7)
    cosine, sine = angle.cos(), angle.sin()
    first = torch.stack([cosine * wide, shear - sine, right], 1)
    return torch.stack([first, torch.stack([sine, cosine * high, down], 1)], 1)


#: Augmentations by the name that a recipe gives.
AUGMENTATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda pictures: pictures,
    "shift": shift,
    "flip-shift": flip_and_shift,
    "flip-shift-cut": flip_shift_and_cut,
    "distort": distort,
}

# SPDX-License-Identifier: BSD-3-Clause
"""How pictures are prepared for a model: a small frozen description in the model file.

There are four kinds: `Thumbnail` (the original's rule for CNV networks), `Digit` (the original's
rule for LFC networks), `Stretch` (resizing only) and `OnBlack` (resizing; a light ground becomes
black). Pillow is imported when the first picture is prepared.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from bnn.errors import DataError, InputError
from bnn.system.kinds import of_kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from bnn.data.pictures.seen import Seen

#: Height, width and channels (1: grey, 3: RGB) of one input picture.
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Preprocess(ABC):
    """Base of the preparations: from a picture to a model's input; stored as JSON."""

    kind: ClassVar[str]

    def to_array(
        self, picture: Image.Image | str | os.PathLike[str], shape: Shape
    ) -> NDArray[np.uint8]:
        """Return a picture or picture file as uint8 (height, width, channels) of ``shape``.

        The picture is read as a person sees it: upright, on white paper where it is transparent,
        in 8 bits; see `bnn.data.pictures.seen.seen`. A picture that has this height and width
        already is only converted to grey or RGB, except by `Digit`. The caller's picture is not
        changed, except that it is decoded.

        Raises `DataError` for a file that is not a picture, cannot be decoded or has values
        without a known range, and `InputError` for a shape that is not that of a picture.
        """
        from PIL import Image

        from bnn.data.pictures.rules import decoding, picture_name
        from bnn.data.pictures.seen import open_one

        if len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3):
            raise InputError(f"a picture cannot fill an input of shape {tuple(shape)}")
        if isinstance(picture, Image.Image):
            with decoding(picture_name(picture)):
                return self._pixels(picture, shape).reshape(shape)
        with open_one(picture) as opened, decoding(picture_name(opened)):
            return self._pixels(opened, shape).reshape(shape)

    def ready(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return prepared pictures for pictures that have the input's size already.

        Both are uint8 (N, height, width, channels). Only `Digit` changes such pictures.
        """
        return pictures

    def turns(self, look: Seen, shape: Shape) -> bool:  # noqa: ARG002
        """Return whether a picture of the input's size becomes light on black."""
        return False

    def of_array(
        self, pixels: NDArray[np.uint8], shape: Shape, name: str, *, bgr: bool = False
    ) -> NDArray[np.uint8]:
        """Return what `to_array` returns for the picture of an array.

        Args:
            pixels: uint8 (height, width) or (height, width, 1, 3 or 4): grey, RGB, or RGB and
                alpha.
            shape: as for `to_array`.
            name: name of the picture, for messages.
            bgr: whether the colours of ``pixels`` are blue, green, red.
        """
        from bnn.data.pictures.pillow import from_array

        image = from_array(pixels, bgr=bgr)
        image.filename = name  # type: ignore[attr-defined]  # for messages
        return self.to_array(image, shape)

    @abstractmethod
    def _pixels(self, image: Image.Image, shape: Shape) -> NDArray[np.uint8]:
        """Return the pixels that `to_array` returns; the caller reshapes them to ``shape``.

        The picture may be decoded, but is not changed.
        """

    def to_json(self) -> dict[str, object]:
        """Return a dictionary of JSON values, from which `from_json` makes an equal object."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if values.get("gap", 0) is None:  # files without a gap stay as they were
            del values["gap"]
        return {"kind": self.kind, **values}

    @staticmethod
    def from_json(value: object) -> Preprocess:
        """Return the preparation that `to_json` described.

        Raises `ModelFileError` for an unknown kind, for missing or unknown keys, and for values
        outside their range. Keys that older files lack (`ADDED`) have their default.
        """
        return of_kind("preprocess", value, KINDS, ADDED)


@dataclass(frozen=True)
class Thumbnail(Preprocess):
    """Shrink a picture to fit the input, never enlarge it, and centre it on ``background``.

    The original's rule for CNV networks; see `bnn.data.pictures.rules.on_canvas`. With a ``gap``,
    large pictures take a tenth of the time, and give other bytes; see
    `bnn.data.pictures.shrink.resized`.
    """

    kind: ClassVar[str] = "thumbnail"
    background: tuple[int, int, int] = (255, 255, 255)
    gap: int | None = None

    def __post_init__(self) -> None:
        colour = self.background
        if not isinstance(colour, tuple) or len(colour) != 3:
            raise InputError(f"background must be three levels from 0 to 255, not {colour!r}")
        for level in colour:
            _check_integer("background", level, 0, 255)
        _check_gap(self.gap)

    def of_array(
        self, pixels: NDArray[np.uint8], shape: Shape, name: str, *, bgr: bool = False
    ) -> NDArray[np.uint8]:
        """Return what `to_array` returns for the picture of an array."""
        if self.gap is None or shape[2] != 3 or pixels.ndim != 3 or pixels.shape[2] != 3:
            return super().of_array(pixels, shape, name, bgr=bgr)
        from bnn.data.pictures.pillow import with_colours_forward
        from bnn.data.pictures.rules import check_sides, thumbnail_of_array

        check_sides((pixels.shape[1], pixels.shape[0]), name)
        pixels, bgr = with_colours_forward(pixels, bgr)
        if not bgr:
            return thumbnail_of_array(pixels, shape[:2], self.background, self.gap)
        # Each colour is prepared alone, so a few prepared pixels are turned, not all the others.
        ground = self.background[2], self.background[1], self.background[0]
        return thumbnail_of_array(pixels, shape[:2], ground, self.gap)[..., ::-1]

    def _pixels(self, image: Image.Image, shape: Shape) -> NDArray[np.uint8]:
        import numpy as np
        from PIL import Image

        from bnn.data.pictures.rules import thumbnail_array
        from bnn.data.pictures.seen import seen

        look = seen(image, self.background, within=(shape[1], shape[0]))
        pixels = thumbnail_array(look.image, look.size, shape[:2], self.background, self.gap)
        # Grey levels r = g = b = v become v again: Pillow's weights add up to one exactly.
        return pixels if shape[2] == 3 else np.array(Image.fromarray(pixels).convert("L"))


@dataclass(frozen=True)
class Digit(Preprocess):
    """Find a dark stroke on light paper, centre it and invert it: stroke 255, background 1.

    This is the original's rule for LFC networks; `bnn.data.pictures.rules.digit_array` describes
    the options. The original's rule has a fixed threshold. With ``adaptive``, if the fixed
    threshold does not find a stroke (pencil, chalk, shadows), pixels are compared with the light
    around them, and a sheet without a stroke is an error (`DataError`); see
    `bnn.data.pictures.strokes`.

    With ``like_mnist``, the stroke is placed as in MNIST: it fits a box of 20x20 of the 28x28
    pixels, its centre of mass is in the middle, and the background is 0
    (`bnn.data.pictures.rules.mnist_array`). Also, a picture of the input's size that is dark on
    light, or pale, becomes light on black (`bnn.data.pictures.polarity`). Without ``like_mnist``,
    the stroke fills the input, as in the original's notebooks, and the background is 1.
    """

    kind: ClassVar[str] = "digit"
    contrast: float = 3.0
    brightness: float = 4.0
    cut: int | None = None
    border: int = 80
    adaptive: bool = True
    like_mnist: bool = True

    def __post_init__(self) -> None:
        for name in ("contrast", "brightness"):
            factor = getattr(self, name)
            if isinstance(factor, bool) or not isinstance(factor, (int, float)):
                raise InputError(f"{name} must be a number, not {factor!r}")
            if not 0 <= factor <= 100:  # nor NaN
                raise InputError(f"{name} must be from 0 to 100, not {factor!r}")
        if self.cut is not None:
            _check_integer("cut", self.cut, 0, 255)
        _check_integer("border", self.border, 0, 1000)
        for name in ("adaptive", "like_mnist"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false, not {getattr(self, name)!r}")

    def ready(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return pictures of the input's size; with ``like_mnist``, as light strokes on black.

        Without ``like_mnist`` they are not changed, and a warning is printed if they are not light
        on black. Pictures that show no strokes (noise, colours) are not changed.
        """
        if pictures.ndim != 4 or pictures.shape[3] != 1:
            return pictures
        if self.like_mnist:
            from bnn.data.pictures.polarity import all_settled

            return all_settled(pictures)
        from bnn.data.pictures.digits import say_if_not_light

        say_if_not_light(pictures[..., 0])
        return pictures

    def turns(self, look: Seen, shape: Shape) -> bool:
        """Return whether a picture of the input's size becomes light on black."""
        from bnn.data.pictures.digits import is_turned

        return is_turned(look, shape[:2], self)

    def _pixels(self, image: Image.Image, shape: Shape) -> NDArray[np.uint8]:
        from bnn.data.pictures.digits import digit_pixels
        from bnn.data.pictures.rules import picture_name
        from bnn.data.pictures.seen import seen

        grey = digit_pixels(seen(image), shape[:2], self, picture_name(image))
        return grey if shape[2] == 1 else grey[:, :, None].repeat(3, axis=2)


@dataclass(frozen=True)
class Stretch(Preprocess):
    """Convert a picture to grey or RGB, and resize it to the size of the input (bilinear).

    The ratio of width to height may change. For ``gap`` see `bnn.data.pictures.shrink.resized`.
    """

    kind: ClassVar[str] = "stretch"
    gap: int | None = None

    def __post_init__(self) -> None:
        _check_gap(self.gap)

    def _pixels(self, image: Image.Image, shape: Shape) -> NDArray[np.uint8]:
        from bnn.data.pictures.rules import stretched
        from bnn.data.pictures.seen import seen

        mode = "L" if shape[2] == 1 else "RGB"
        return stretched(seen(image).image, shape[:2], mode, self.gap)


@dataclass(frozen=True)
class OnBlack(Preprocess):
    """Grey levels, resized as by `Stretch`, of a thing on a black ground, as in Fashion-MNIST.

    A picture with a light or coloured ground, or without a light pixel, becomes light on black; see
    `bnn.data.pictures.ground.on_black`. Pictures of the input's size are treated alike. For ``gap``
    see `bnn.data.pictures.shrink.resized`.
    """

    kind: ClassVar[str] = "on-black"
    gap: int | None = None

    def __post_init__(self) -> None:
        _check_gap(self.gap)

    def ready(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return pictures of the input's size on black grounds; blank ones are not changed."""
        if pictures.ndim != 4 or pictures.shape[3] != 1:
            return pictures
        from bnn.data.pictures.ground import all_on_black

        return all_on_black(pictures)

    def turns(self, look: Seen, shape: Shape) -> bool:
        """Return whether a picture of the input's size becomes light on black."""
        import numpy as np

        from bnn.data.pictures.ground import on_black

        levels = np.array(look.image.convert("L"))
        return levels.shape == shape[:2] and on_black(levels) is not levels

    def _pixels(self, image: Image.Image, shape: Shape) -> NDArray[np.uint8]:
        from bnn.data.pictures.ground import on_black
        from bnn.data.pictures.rules import picture_name, stretched
        from bnn.data.pictures.seen import seen

        levels = stretched(seen(image).image, shape[:2], "L", self.gap)
        ready = on_black(levels)
        if ready is None:
            raise DataError(
                f"{picture_name(image)}: is blank (grey levels {levels.min()} to {levels.max()}): "
                "nothing can be seen on its ground"
            )
        return ready if shape[2] == 1 else ready[:, :, None].repeat(3, axis=2)


#: Values of keys that older files lack. With ``adaptive``, results of the fixed rule do not change;
#: it only adds results, or errors, for pictures in which that rule does not find a stroke. With
#: ``like_mnist``, results change, so older files keep their own.
#: A ``gap`` changes results too.
ADDED: dict[str, dict[str, object]] = {
    "digit": {"adaptive": True, "like_mnist": False},
    "thumbnail": {"gap": None},
    "stretch": {"gap": None},
    "on-black": {"gap": None},
}

#: Name of a preparation -> its class.
KINDS: dict[str, type[Preprocess]] = {cls.kind: cls for cls in (Thumbnail, Digit, Stretch, OnBlack)}

#: Kinds that have a gap -> how to make one.
_WITH_GAP: dict[str, Callable[[int | None], Preprocess]] = {
    "thumbnail": lambda gap: Thumbnail(gap=gap),
    "stretch": lambda gap: Stretch(gap=gap),
    "on-black": lambda gap: OnBlack(gap=gap),
}
#: Largest gap, and that of new models: bench/frames.py measures its time and its accuracy.
MAX_GAP, GAP = 16, 2


def for_training(kind: str, gap: int | None = GAP) -> Preprocess:
    """Return the preparation of a new model: of a name of `KINDS`, with a ``gap`` if it has one."""
    return from_gap(gap) if (from_gap := _WITH_GAP.get(kind)) else KINDS[kind]()


def _check_gap(gap: object) -> None:
    if gap is not None:
        _check_integer("gap", gap, 1, MAX_GAP)


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} must be an integer from {low} to {high}, not {value!r}")

# SPDX-License-Identifier: BSD-3-Clause
"""Many drawn pictures, prepared in every way: the bytes, or the refusal, as before.

Only pictures in memory and PNG files: decoders of other formats differ between versions.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from bnn.data.pictures.pillow import Resampling, release
from bnn.data.pictures.preprocess import Digit, Preprocess, Stretch, Thumbnail
from bnn.data.pictures.tiles import tiles
from bnn.errors import BnnError, BnnWarning
from support.golden import compare, digest

#: Cases whose pictures are not the kept ones: Pillow 9.0 chooses other palettes when it makes them.
OTHER_HERE = ("P ", "palette") if release() < (9, 1) else ()

KINDS: dict[str, tuple[Preprocess, tuple[int, int, int]]] = {
    "thumbnail": (Thumbnail(), (16, 12, 3)),
    "thumbnail grey": (Thumbnail((9, 120, 200)), (8, 20, 1)),
    "stretch": (Stretch(), (7, 9, 3)),
    "digit": (Digit(), (28, 28, 1)),
    "digit fixed": (Digit(adaptive=False, cut=180, contrast=5, brightness=2), (28, 28, 3)),
}


def plain() -> Iterator[tuple[str, Image.Image]]:
    """All modes and some sizes."""
    random = np.random.default_rng(2)
    for width, height in ((40, 30), (5, 60), (28, 28), (12, 16), (1, 1)):
        colour = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        colour = colour.resize((width, height), Resampling.BOX)
        for mode in ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "HSV", "YCbCr", "I", "F", "I;16"):
            if mode == "I;16":
                deep = random.integers(0, 65536, (height, width)).astype(np.uint16)
                yield f"{mode} {width}x{height}", Image.fromarray(deep)
                continue
            made = (
                colour.convert("L").convert(mode)
                if mode in ("LA", "F", "I")
                else colour.convert(mode)
            )
            if mode in ("RGBA", "LA"):
                alpha = random.integers(0, 256, (height, width), np.uint8)
                made.putalpha(Image.fromarray(alpha))
            yield f"{mode} {width}x{height}", made


def sheets() -> Iterator[tuple[str, Image.Image]]:
    """Strokes in any light: thin, thick, faint, several, framed, cut, on a table, none."""
    for name, paper, ink, width in (
        ("black", 255, 0, 9), ("pencil", 225, 160, 5), ("chalk", 40, 215, 9),
        ("faint", 200, 188, 7), ("hair", 250, 60, 1), ("thick", 255, 30, 34),
    ):  # fmt: skip
        for shape in ("five", "two", "framed", "cut", "ruled", "table", "dots", "ring"):
            image = Image.new("L", (160, 120), paper)
            draw = ImageDraw.Draw(image)
            five = [(95, 30), (60, 30), (58, 55), (85, 58), (90, 75), (80, 92), (58, 92)]
            draw.line(five, fill=ink, width=width)
            if shape == "two":
                draw.line([(130, 30), (130, 92)], fill=ink, width=width)
            elif shape == "framed":
                draw.rectangle((14, 10, 146, 110), outline=ink, width=3)
            elif shape == "cut":
                draw.line([(0, 60), (58, 55)], fill=ink, width=width)
            elif shape == "ruled":
                for row in (12, 108):
                    draw.line([(0, row), (160, row)], fill=ink, width=2)
            elif shape == "table":
                for box in ((0, 0, 160, 12), (0, 0, 22, 120)):
                    draw.rectangle(box, fill=(paper + ink) // 3)
            elif shape == "dots":
                for place in range(20, 150, 17):
                    draw.ellipse((place, 5, place + 3, 8), fill=ink)
            elif shape == "ring":
                draw.ellipse((110, 40, 150, 80), outline=ink, width=max(2, width // 2))
            yield f"{name} {shape}", image
    slope = np.linspace(120, 250, 160)[None, :].repeat(120, 0).astype(np.uint8)
    yield "empty", Image.new("L", (160, 120), 240)
    yield "slope", Image.fromarray(slope)
    noise = np.random.default_rng(9).integers(200, 256, (120, 160), np.uint8)
    yield "noise", Image.fromarray(noise)


def outcome(rule: Preprocess, picture: Any, shape: tuple[int, int, int]) -> str:
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made = digest(rule.to_array(picture, shape).tobytes())
    except BnnError as error:
        return str(error)
    return " ".join([made, *(str(w.message) for w in caught if issubclass(w.category, BnnWarning))])


def test_prepared() -> None:
    found = {}
    for name, image in [*plain(), *sheets()]:
        for kind, (rule, shape) in KINDS.items():
            if kind != "digit" and name.split()[-1] in ("two", "framed", "ruled", "table", "dots"):
                continue  # these are for the search for a stroke
            found[f"{name}, {kind}"] = outcome(rule, image, shape)
    compare("pictures", found, without=OTHER_HERE)


def test_png_files(tmp_path: Any) -> None:
    """With a palette, a transparent level or colour, a gamma, an orientation."""
    found = {}
    random = np.random.default_rng(3)
    colour = Image.fromarray(random.integers(0, 256, (9, 14, 3), np.uint8))
    exif = Image.Exif()
    files: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "palette": (colour.convert("P"), {"transparency": 3}),
        "level": (colour.convert("L"), {"transparency": int(colour.convert("L").getpixel((0, 0)))}),
        "colour": (colour, {"transparency": colour.getpixel((1, 1))}),
        "bits": (colour.convert("1"), {}),
    }
    for turn in range(1, 9):
        exif[0x0112] = turn
        files[f"turned {turn}"] = colour, {"exif": exif.tobytes()}
    for name, (image, options) in files.items():
        stream = io.BytesIO()
        image.save(stream, "PNG", **options)
        path = tmp_path / "x.png"
        path.write_bytes(stream.getvalue())
        for kind, (rule, shape) in KINDS.items():
            text = outcome(rule, path, shape)
            found[f"{name}, {kind}"] = text.replace(str(path), "FILE")
    compare("png-files", found, without=OTHER_HERE)


def test_options_of_preparations() -> None:
    """Each value that is refused, and why; those at the limits are taken."""
    found = {}
    for kind, key, values in (
        ("digit", "contrast", (-0.1, 0, 100, 100.1, float("nan"), True, "1", None)),
        ("digit", "brightness", (-1e-9, 0, 100, 101)),
        ("digit", "cut", (-1, 0, 255, 256, 1.0, True, None)),
        ("digit", "border", (-1, 0, 1000, 1001, None)),
        ("digit", "adaptive", (0, True, None)),
        ("digit", "more", (1,)),
        (
            "thumbnail",
            "background",
            ([0, 0, 255], [0, 0], [0, 0, 256], [0, -1, 0], 3, [0, 0, True]),
        ),
        ("stretch", "border", (1,)),
        ("other", "x", (1,)),
    ):
        for value in values:
            given = {**(Digit().to_json() if kind == "digit" else {}), "kind": kind, key: value}
            try:
                text = repr(Preprocess.from_json(given))
            except BnnError as error:
                text = str(error)
            found[f"{kind} {key} = {value!r}"] = text
    compare("preparations", found)


def test_tiles() -> None:
    found = {}
    frame = np.arange(9 * 13 * 3, dtype=np.uint8).reshape(9, 13, 3)
    for size in (1, 3, 8, 9, 10):
        for stride in (1, 2, 5, 9):
            try:
                made, places = tiles(frame, size, stride)
                text = f"{made.shape} {digest(made.tobytes())} {places.tolist()[:6]} {len(places)}"
            except BnnError as error:
                text = str(error)
            found[f"{size} {stride}"] = text
    compare("tiles", found)

# SPDX-License-Identifier: BSD-3-Clause
"""Plain pictures of the input's size take a shorter way, which must not show in any pixel."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

import bnn
from bnn.data.pictures.preprocess import Digit, Preprocess, Stretch, Thumbnail
from bnn.data.pictures.seen import open_one_of
from bnn.errors import BnnError, DataError
from bnn.model.model import Model
from bnn.scale.sources import Block
from bnn.scale.work import as_it_is, decoded, picture

Levels = NDArray[np.uint8]

RANDOM = np.random.default_rng(4)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def _noise(*shape: int) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, shape, np.uint8))


def _variants(height: int, width: int) -> dict[str, bytes]:
    grey, colours = _noise(height, width), _noise(height, width, 3)
    exif = Image.Exif()
    exif[274] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "x")
    deep = Image.fromarray(RANDOM.integers(0, 1 << 16, (height, width)).astype(np.uint16))
    made = {
        "grey png": _saved(grey, "PNG"),
        "grey jpeg": _saved(grey, "JPEG"),
        "colour png": _saved(colours, "PNG"),
        "colour jpeg": _saved(colours, "JPEG", dpi=(72, 72)),
        "progressive": _saved(colours, "JPEG", progressive=True),
        "turned jpeg": _saved(colours, "JPEG", exif=exif),
        "turned png": _saved(colours, "PNG", exif=exif),
        "text": _saved(grey, "PNG", pnginfo=text),
        "transparent level": _saved(grey, "PNG", transparency=int(np.asarray(grey)[0, 0])),
        "transparent colour": _saved(
            colours, "PNG", transparency=tuple(int(v) for v in np.asarray(colours)[0, 0])
        ),
        "alpha": _saved(_noise(height, width, 4), "PNG"),
        "palette": _saved(colours.quantize(16), "PNG"),
        "two levels": _saved(grey.convert("1"), "PNG"),
        "four levels": _saved(grey.quantize(4), "PNG", bits=2),
        "deep": _saved(deep, "PNG"),
        "cmyk": _saved(colours.convert("CMYK"), "JPEG"),
        "webp": _saved(colours, "WEBP", lossless=True),
        "bmp": _saved(colours, "BMP"),
        "animated": _saved(colours, "PNG", save_all=True, append_images=[_noise(height, width, 3)]),
        "smaller": _saved(colours.resize((width - 1, height)), "PNG"),
        "interlaced": _saved(colours, "PNG", interlace=1),
    }
    cut = {f"{name}, cut": data[: len(data) * 2 // 3] for name, data in made.items()}
    return {**made, **cut}


@pytest.mark.parametrize(
    "rule", [Digit(like_mnist=False), Thumbnail(), Stretch()], ids=lambda rule: rule.kind
)
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (9, 14, 1), (20, 11, 3)])
@pytest.mark.filterwarnings("ignore")
def test_the_short_way_changes_no_pixel(rule: Preprocess, shape: tuple[int, int, int]) -> None:
    short = 0
    for name, data in _variants(shape[0], shape[1]).items():
        found = as_it_is(rule, data, shape)
        if found is None:
            continue
        short += 1
        with open_one_of(data, "x") as opened:
            np.testing.assert_array_equal(found, rule.to_array(opened, shape), err_msg=name)
    assert short >= (0 if isinstance(rule, Digit) and shape[2] == 3 else 2)


def _kinds_of_digits() -> list[Levels]:
    """Drawn digits of all grounds, cut and noisy ones, blank sheets, noise: each (28, 28)."""
    random = np.random.default_rng(7)
    drawn = np.zeros((28, 28), np.uint8)
    drawn[4:24, 12:16] = 255
    faint = drawn // 4
    rough = np.clip(235 - (drawn // 255) * 150.0 + random.normal(0, 6, (28, 28)), 0, 255)
    noise = random.integers(0, 256, (28, 28), np.uint8)
    blank = np.full((28, 28), 255, np.uint8)
    half = np.where(np.arange(28)[:, None] < 14, 0, 255).astype(np.uint8).repeat(28, axis=1)
    return [drawn, 255 - drawn, faint, 255 - faint, rough.astype(np.uint8), noise, blank, half]


@pytest.mark.parametrize("rule", [Digit(), Digit(adaptive=False), Digit(like_mnist=False)])
@pytest.mark.filterwarnings("ignore")
def test_digits_together_equal_each_alone(rule: Digit) -> None:
    model = dataclasses.replace(bnn.load("lfc-w1a1"), preprocess=rule)
    files: list[bytes | BnnError] = []
    for levels in _kinds_of_digits():
        files += [_saved(Image.fromarray(levels), kind) for kind in ("PNG", "JPEG", "BMP")]
    files += list(_variants(28, 28).values())
    files.insert(3, DataError("gone: cannot be read"))
    names = [f"picture {index}" for index in range(len(files))]
    batch, errors = decoded(model, Block(names, files))
    alone = [_alone(model, *each) for each in zip(files, names, strict=True)]
    reasons = [str(found) if isinstance(found, BnnError) else None for found in alone]
    wanted = [found for found in alone if isinstance(found, np.ndarray)]
    assert errors == reasons
    assert any(errors)
    np.testing.assert_array_equal(batch, np.stack(wanted))


def _alone(model: Model, data: bytes | BnnError, name: str) -> Levels | BnnError:
    if isinstance(data, BnnError):
        return data
    try:
        return picture(model, data, name)
    except BnnError as reason:
        return reason


@pytest.mark.filterwarnings("ignore")
def test_damage_is_told_by_the_preparation() -> None:
    model = bnn.load("cnv-w1a1")
    for name, data in _variants(32, 32).items():
        if not name.endswith("cut") or "animated" in name or "bmp" in name:
            continue
        with pytest.raises(BnnError, match=r"^mine: "):
            picture(model, data, "mine")
